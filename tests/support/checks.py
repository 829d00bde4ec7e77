"""What a scenario says: one line a check, a summary, figures in the units people use."""

import re

from processor import STOLEN_MAX


class Checks:
    """Collects "PASS name: figure" lines; .ci/run counts them."""

    def __init__(self):
        self.results = []

    def check(self, name, holds, figure=""):
        self._say("PASS" if holds else "FAIL", name, figure)
        return bool(holds)

    def check_time(self, name, holds, figure, stolen):
        """A bound in seconds, or of a rate: not judged where the machine's host took that share of the processors."""
        if holds or stolen <= STOLEN_MAX:
            return self.check(name, holds, figure)
        return self.skip(name, f"{figure}; not judged, the machine's host took {stolen:.0%} of the processors")

    def skip(self, name, why):
        self._say("SKIP", name, why)

    def repeat(self, line):
        """A line that another process printed: said again, and counted if it is a check's."""
        word, _, rest = line.partition(" ")
        name, colon, figure = rest.rpartition(": ") if word == "SKIP" else rest.partition(": ")
        if colon and word in ("PASS", "FAIL", "SKIP"):
            self._say(word, name, figure)
        else:
            print(line, flush=True)

    def _say(self, word, name, figure):
        self.results.append({"result": word, "name": name, "figure": str(figure)})
        print(f"{word} {name}: {figure}", flush=True)

    @property
    def failed(self):
        return sum(result["result"] == "FAIL" for result in self.results)

    def summary(self):
        """Prints the counts; the exit code of the scenario."""
        passed = sum(result["result"] == "PASS" for result in self.results)
        skipped = len(self.results) - passed - self.failed
        print(f"\n{passed} checks passed, {self.failed} failed" + (f", {skipped} skipped" if skipped else ""))
        return 1 if self.failed or not passed else 0


def size_text(size):
    if size is None:
        return "-"
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size} bytes"


def parse_rate(text):
    """"20Mbit" as bits per second."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)bit(?:/s)?", text)
    if not match or float(match.group(1)) <= 0:
        raise ValueError(f"cannot read the rate '{text}': write it like 20Mbit")
    return int(float(match.group(1)) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match.group(2)])


def parse_time_ms(text):
    """"30ms" as milliseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)", text)
    if not match:
        raise ValueError(f"cannot read the time '{text}': write it like 30ms")
    return float(match.group(1)) * (1000 if match.group(2) == "s" else 1)
