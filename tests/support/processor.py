"""What the machine's processors did, and what its host took of them."""

# More than this share, and a bound in seconds says nothing of Lamina.
STOLEN_MAX = 0.05


class Processor:
    """What the machine's processors did since this was made: shares of their time."""

    def __init__(self):
        self.before = self._read()

    @staticmethod
    def _read():
        with open("/proc/stat", encoding="ascii") as file:
            return [int(word) for word in file.readline().split()[1:9]]

    def shares(self):
        spent = [now - before for before, now in zip(self.before, self._read())]
        total = max(1, sum(spent))
        return {"cpu_idle": round((spent[3] + spent[4]) / total, 3), "cpu_stolen": round(spent[7] / total, 3)}
