"""What goes wrong in the lab, when the line has carried its share of the payload."""

import contextlib
import json
import os
import re
import signal
import sys
import time

from fleet import SWARM_PORT
from lab import LabError, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))


class Faults:
    """Carries faults out, ends those that last, and brings back at the end who is missing."""

    def __init__(self, stage, faults):
        self.stage, self.waiting = stage, sorted(faults, key=lambda fault: fault["at"])
        self.ends = []      # (when, call): of faults that last.
        self.away = []      # Devices that are not waited for.
        self.back = []      # Calls that bring them back.
        self.deaths = 0
        self.done = []      # [{"do", "share", "device"}]
        self.foreground = None
        self.small = None   # The device whose disk can be filled.
        self.rules = []     # (transport, bytes fetched as ranges until then) of each rule about the line.

    @property
    def lasting(self):
        """Whether some fault is not over yet."""
        return bool(self.ends)

    def step(self, share):
        now = time.monotonic()
        for end in [end for end in self.ends if end[0] <= now]:
            self.ends.remove(end)
            end[1]()
        if self.waiting and share >= self.waiting[0]["at"]:
            fault = self.waiting[0]
            victim = getattr(self, "_" + fault["do"].replace("-", "_"))(fault)
            if victim:
                self.waiting.pop(0)
                name = getattr(victim, "name", "")
                self.done.append({"do": fault["do"], "share": round(share, 3), "device": name})
                print(f"   {fault['do']} at {share:.0%} {name}", flush=True)

    def finish(self):
        """Ends what still lasts and brings everybody back; returns the devices that were away."""
        for _, call in self.ends:
            call()
        for call in self.back:
            call()
        away, self.ends, self.back, self.away = self.away, [], [], []
        return away

    def holder(self):
        for site in self.stage.fleet.cli_json("site", "ls"):
            for device in self.stage.fleet.devices:
                if site.get("lease_holder") == device.id and device not in self.away:
                    return device
        return None

    def _later(self, fault, call):
        self.ends.append((time.monotonic() + fault["seconds"], call))

    # Each returns whether it could be done now: the device that it struck, or True.

    def _kill_reflector(self, _fault):
        device = self.holder()
        if device:
            device.node.kill(signal.SIGKILL)
            self.stage.lab.stop(device.node)
            self.deaths += 1
            self.away.append(device)
            self.back.append(device.start_node)
        return device

    def _power_off_reflector(self, _fault):
        device = self.holder()
        if device:
            self.stage.net.unplug(device.number)
            for process in (device.node, device.worker):
                process.kill(signal.SIGKILL)
                self.stage.lab.stop(process)

            def power_on():
                self.stage.net.plug_in(device.number)
                device.start()

            self.deaths += 1
            self.away.append(device)
            self.back.append(power_on)
        return device

    def _stop_reflector(self, fault):
        device = self.holder()
        if device:
            device.node.kill(signal.SIGSTOP)
            self.deaths += 1
            self.away.append(device)
            self._later(fault, lambda: device.node.kill(signal.SIGCONT))
        return device

    def _restart_seeder(self, _fault):
        self.stage.lab.stop(self.stage.fleet.seed)
        self.stage.fleet.start_seed()
        return True

    def _kill_seeder(self, fault):
        """kill -9; it comes back at the end, and joins nothing anew."""
        fleet, number = self.stage.fleet, fault["number"]
        process = fleet.seed if number == 1 else fleet.mirrors.pop(number)
        process.kill(signal.SIGKILL)
        self.stage.lab.stop(process)
        if number == 1:
            fleet.seed = None
        self.back.append(fleet.start_seed if number == 1 else lambda: fleet.start_mirror(number))
        return True

    def _unplug_seeder(self, fault):
        """Its machine is gone without a word: nobody closes its connections."""
        net, number = self.stage.net, fault["number"]
        net.unplug_seeder(number)
        self.back.append(lambda: net.plug_in_seeder(number))
        return True

    def _restart_api(self, _fault):
        self.stage.lab.stop(self.stage.fleet.serve)
        self.stage.fleet.start_serve()
        return True

    def _transport_rule(self, fault):
        """Of every site. What was fetched until then is kept, for judge()."""
        fleet = self.stage.fleet
        for site in fleet.cli_json("site", "ls"):
            fleet.cli("site", "edit", site["name"], "--transport", fault["to"])
        self.rules.append((fault["to"], fleet.fetched_as_ranges()))
        return True

    def _cut_wan(self, fault):
        self.stage.net.cut()
        self._later(fault, self.stage.net.mend)
        return True

    def _foreground(self, fault):
        """A bulk TCP transfer of somebody else's, from the data centre to a desk of the site."""
        lab, net, port = self.stage.lab, self.stage.net, 5999
        program = [sys.executable, os.path.join(HERE, "foreground.py")]
        sender = lab.start("foreground-send", [*program, "send", net.ORIGIN, port, fault["seconds"]], net.origin)
        wait_until(lambda: "ready" in sender.text(), 10, "the foreground's sender")
        receiver = lab.start("foreground-receive", [*program, "receive", net.ORIGIN, port, 0], net.devices[-1])
        self.foreground = {"begun": time.monotonic(), "ended": None, "tenths": None}

        def ended():
            wait_until(lambda: not receiver.running(), 20, "the foreground's end")
            # When its last byte came, not when somebody looked.
            self.foreground["tenths"] = json.loads(receiver.text())
            self.foreground["ended"] = self.foreground["begun"] + len(self.foreground["tenths"]) / 10
            for process in (sender, receiver):
                lab.stop(process)

        self._later(fault, ended)
        return True

    def _bad_peer(self, mode):
        """The last device that does not hold the lease turns bad: it says that it has everything."""
        holder = self.holder()
        if not holder:
            return None
        device = [one for one in self.stage.fleet.devices if one is not holder and one not in self.away][-1]
        torrents = os.path.join(device.state, "cache/torrents")
        names = os.listdir(torrents) if os.path.isdir(torrents) else []
        if not names:
            return None
        self.stage.lab.stop(device.node)
        liar = self.stage.lab.start(f"{mode}-peer", [
            self.stage.fleet.program("tests/support/lamina-bad-peer"), mode, device.state,
            f"{device.address}:{SWARM_PORT}", os.path.join(torrents, names[0]), os.path.join(device.home, mode)],
            device.space)
        wait_until(lambda: "ready" in liar.text() or not liar.running(), 10, f"the {mode} peer")
        if not liar.running():
            raise LabError(f"the {mode} peer does not start: {liar.tail(1)}")

        def better():
            self.stage.lab.stop(liar)
            print(f"   the {mode} peer {liar.tail(1)} bytes", flush=True)
            # Whoever was lied to by this address does not deal with it for a while.
            until = self._shut_out_until(device)
            wait_until(lambda: time.time() > until, 120, f"{device.name} to be dealt with again")
            device.start_node()

        self.away.append(device)
        self.back.append(better)
        return device

    def _shut_out_until(self, device):
        """When the last device deals with this one's address again: seconds since 1970."""
        until = 0.0
        for other in self.stage.fleet.devices:
            for when, fields in other.events("swarm_trouble"):
                said = re.search(r"the peer at (\S+) .* shut out for ([\d.]+) s", fields.get("error", ""))
                if said and said.group(1) == device.address:
                    until = max(until, when + float(said.group(2)))
        return until

    def _corrupt_peer(self, _fault):
        return self._bad_peer("corrupt")

    def _silent_peer(self, _fault):
        return self._bad_peer("silent")

    def _fill_disk(self, fault):
        """Somebody else fills the disk of a device, and makes room again later."""
        filler = os.path.join(self.small.state, "cache/filler")
        with open(filler, "wb") as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
        self._later(fault, lambda: os.remove(filler))
        return self.small

    def _hostile_connections(self, fault):
        """A visitor's computer fills the acting reflector's swarm port."""
        holder = self.holder()
        if not holder:
            return None
        net, lab = self.stage.net, self.stage.lab
        space = net.add_stranger(net.site_of(holder.number))
        hostile = lab.start("hostile", [sys.executable, os.path.join(HERE, "hostile.py"), holder.address, SWARM_PORT,
                                        fault["count"]], space)
        wait_until(lambda: "ready" in hostile.text(), 10, "the hostile connections")
        self.back.append(lambda: lab.stop(hostile))
        return holder
