#!/usr/bin/env python3
"""A scenario of the simulator with the real programs: `lamina-sim emulate` starts this.

It reads a request (what the scenario comes to: sites, lines, content, when what happens), builds that in network
namespaces, rolls the content out in real time and writes down when each device had it and what each line carried.
docs/simulation.md, "With the real programs", has both formats.

Exit code 0: measured; 1: something went wrong; 2: wrong usage; 77: this machine cannot make namespaces.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from fleet import Fleet, run_directory  # noqa: E402
from lab import Branch, Lab, LabError, can_make_namespaces, wait_until  # noqa: E402
from processor import Processor  # noqa: E402

LAYER = "content"
ROLLOUT = "emulated"
FILE_BYTES = 1_000_000   # Few files: their records are no content.
SAMPLE_SECONDS = 0.25    # Between readings of the lines.
FULL = 0.95              # Of a line's rate between two readings: it was full.
# What a rule and the orders before the wave need to reach the devices.
BEFORE_SECONDS = 6


def say(text):
    print(f"emulate: {text}", file=sys.stderr, flush=True)


def make_content(tree, size, seed):
    """A tree that is stored in about `size` bytes: noise, which nothing compresses."""
    random_ = random.Random(seed)
    folder = os.path.join(tree, "usr/share/content")
    os.makedirs(folder)
    number = 0
    while size > 0:
        with open(os.path.join(folder, f"{number:05}"), "wb") as file:
            file.write(random_.randbytes(min(size, FILE_BYTES)))
        size -= FILE_BYTES
        number += 1
    return tree


class Site:
    """A site of the scenario, as one site of the origin or, where nobody fetches for the others, one a device."""

    def __init__(self, request, index):
        self.request, self.index = request, index
        self.name = request["name"]
        self.each_for_itself = request["reflectors"] == 0
        self.devices = []
        self.dead = {}  # Device: what it had received until then, by source.

    def names(self):
        """What the origin calls it."""
        if self.each_for_itself:
            return [f"{self.name}-{number}" for number in range(1, self.request["devices"] + 1)]
        return [self.name]

    def name_of(self, device):
        return self.names()[self.devices.index(device) if self.each_for_itself else 0]


class Emulation:
    def __init__(self, request, lab, build):
        self.request, self.lab, self.build = request, lab, build
        self.sites = [Site(site, index) for index, site in enumerate(request["sites"])]

    # Before.

    def prepare(self):
        request = self.request
        self.net = Branch(
            self.lab, self.build, sum(site.request["devices"] for site in self.sites), sites=len(self.sites),
            congestion=request["congestion"],
            own_lines=[{"rate": site.request["down_bits_per_s"], "up_rate": site.request["up_bits_per_s"],
                        "rtt_ms": site.request["rtt_ms"], "loss": site.request["loss"]} for site in self.sites],
            lan_rates=[site.request.get("lan_bits_per_s") for site in self.sites],
            site_of_device=[site.index for site in self.sites for _ in range(site.request["devices"])])
        fleet = self.fleet = Fleet(self.lab, self.net, self.build)
        fleet.init_origin()
        fleet.start_origin()
        tree = make_content(os.path.join(self.lab.run_dir, "tree"), request["content_bytes"], request["seed"])
        _, packs, _ = fleet.capture(LAYER, "1", tree)
        self.content = sum(packs.values())
        shutil.rmtree(tree)
        self.place_devices()
        self.write_rollout()

    def place_devices(self):
        fleet = self.fleet
        token = fleet.token("emulate", len(self.net.devices))
        for site in self.sites:
            for name in site.names():
                fleet.cli("site", "add", name)
            if site.request["reflectors"] > 1:
                fleet.cli("site", "reflectors", site.name, "--count", str(site.request["reflectors"]))
            for _ in range(site.request["devices"]):
                device = fleet.add_device()
                site.devices.append(device)
                device.give_identity()
                device.enroll(token)
                fleet.cli("device", "assign", device.id, "--site", site.name_of(device))
                device.start()

        def seen():
            records = fleet.device_records()
            return all(records[device.id].get("seen_ms") and records[device.id].get("lan_address")
                       for device in fleet.devices)

        wait_until(seen, 60, "the devices' first poll")

    def write_rollout(self):
        names = [name for site in self.sites for name in site.names()]
        # Where a site of the scenario is several here, the scenario bounds none of them.
        at_once = len(names) if any(site.each_for_itself for site in self.sites) else self.request["sites_at_once"]
        path = os.path.join(self.lab.run_dir, "rollout.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'name = "{ROLLOUT}"\nlayers = ["{LAYER}:1"]\nsites_at_once = {at_once}\n'
                       f"[[wave]]\nsites = {json.dumps(names)}\n")
        self.fleet.cli("rollout", "create", "--file", path)

    def set_limits(self):
        """Sets the run's start, and the limits as rules of the time of day that it gives."""
        limits = [(name, limit) for site in self.sites for limit in site.request["limits"] for name in site.names()]
        begin = self.request["begin_ms"] / 1000
        self.start = time.time() + BEFORE_SECONDS - begin
        if not limits:
            self.start = time.time() - begin  # Nothing but the wave depends on it.
            return
        self.start = -(-self.start // 60) * 60  # Rules have whole minutes.
        path = os.path.join(self.lab.run_dir, "rules.csv")
        with open(path, "w", encoding="ascii") as file:
            file.write("subnet,site,download KB/s,upload KB/s,start,end,days\n")
            for name, limit in limits:
                times = [time.strftime("%H:%M", time.localtime(self.start + 60 * limit[edge]))
                         for edge in ("from_minute", "until_minute")]
                kilobytes = ["" if limit[way] is None else limit[way] for way in ("download_kb", "upload_kb")]
                file.write(",".join(["", name, *map(str, kilobytes), *times, "*"]) + "\n")
        self.fleet.cli("rule", "import", path)

    # The rollout.

    def run(self):
        request, fleet = self.request, self.fleet
        self.set_limits()
        processor = Processor()
        time.sleep(max(0.0, self.start + request["begin_ms"] / 1000 - time.time()))
        before = [line.counters() for line in self.net.lines]
        fleet.cli("rollout", "start", ROLLOUT)
        self.began = time.time()
        say(f"the wave has begun: {len(fleet.devices)} devices, {self.content} bytes")
        deaths = sorted((at, site.index) for site in self.sites for at in site.request["deaths_ms"])
        self.full = [[0.0, 0.0] for _ in self.sites]
        last, last_read, looked = before, time.monotonic(), 0.0
        done = {}
        while len(done) + sum(len(site.dead) for site in self.sites) < len(fleet.devices):
            if time.time() > self.start + request["duration_ms"] / 1000:
                say(f"{len(fleet.devices) - len(done)} devices do not have it at the end of the run")
                break
            time.sleep(SAMPLE_SECONDS)
            now = [line.counters() for line in self.net.lines]
            passed, last_read = time.monotonic() - last_read, time.monotonic()
            for site, (a, b) in enumerate(zip(last, now)):
                for way, size, rate in ((0, b.down_bytes - a.down_bytes, "down_bits_per_s"),
                                        (1, b.up_bytes - a.up_bytes, "up_bits_per_s")):
                    if size * 8 >= FULL * passed * self.sites[site].request[rate]:
                        self.full[site][way] += passed
            last = now
            while deaths and time.time() >= self.start + deaths[0][0] / 1000:
                self.kill_reflector(self.sites[deaths.pop(0)[1]])
            if time.monotonic() - looked > 0.5:
                looked = time.monotonic()
                self.look(done)
        self.carried = [line.counters() - at_first for line, at_first in zip(self.net.lines, before)]
        self.ended = time.time()
        self.done, self.shares = done, processor.shares()

    def look(self, done):
        event = "applied" if self.request["until_applied"] else "layer_complete"
        for process in self.lab.processes:
            if not process.running():
                raise LabError(f"{process.name} ended: {process.tail(1)}")
        for site in self.sites:
            for device in site.devices:
                if device not in done and device not in site.dead:
                    for when, _ in device.events(event)[:1]:
                        done[device] = when

    def kill_reflector(self, site):
        """kill -9 of a device that fetches for the site, if one does."""
        holders = {one["name"]: one.get("lease_holder") for one in self.fleet.cli_json("site", "ls")}
        device = next((one for one in site.devices if one.id == holders.get(site.name) and one not in site.dead), None)
        if device is None:
            say(f"nobody fetches for {site.name} when its reflector is to die")
            return
        received = device.status().get("bytes_by_source", {})
        device.node.kill()
        site.dead[device] = received
        for process in (device.node, device.worker):
            self.lab.stop(process)
        say(f"{device.name}, which fetched for {site.name}, is killed after {time.time() - self.began:.1f} s")

    # After.

    def measured(self):
        def milliseconds(when):
            return round((when - self.start) * 1000)

        sites = []
        for site in self.sites:
            received = {}
            for device in site.devices:
                counts = site.dead.get(device) or device.status().get("bytes_by_source", {})
                for source, size in counts.items():
                    received[source] = received.get(source, 0) + size
            line, full = self.carried[site.index], self.full[site.index]
            sites.append({
                "name": site.name, "done_ms": sorted(milliseconds(self.done[device]) for device in site.devices
                                                     if device in self.done),
                "bytes_by_source": received, "down_wire_bytes": line.down_bytes, "up_wire_bytes": line.up_bytes,
                "down_full_ms": round(full[0] * 1000), "up_full_ms": round(full[1] * 1000)})
        return {"format": "lamina-sim-measured", "version": 1, "start_ms": round(self.start * 1000),
                "began_ms": milliseconds(self.began), "ended_ms": milliseconds(self.ended),
                "content_bytes": self.content, **self.shares, "sites": sites}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Example: emulate.py --request request.json --measured measured.json")
    parser.add_argument("--request", required=True, help="what to build and to do")
    parser.add_argument("--measured", required=True, help="the file for what came of it")
    parser.add_argument("--build", default="build", help="where the programs are (default: build)")
    parser.add_argument("--keep", action="store_true", help="keep volumes, states and logs")
    options = parser.parse_args()
    with open(options.request, encoding="utf-8") as file:
        request = json.load(file)
    if request.get("format") != "lamina-sim-lab" or request.get("version") != 1:
        parser.error(f"{options.request} is no request of this version")
    reason = can_make_namespaces()
    if reason:
        say(f"this needs network namespaces: {reason}")
        return 77
    os.umask(0o022)
    run_dir = run_directory(options.build, "emulate")
    with Lab(run_dir) as lab:
        try:
            emulation = Emulation(request, lab, os.path.abspath(options.build))
            emulation.prepare()
            emulation.run()
            record = emulation.measured()
        except (LabError, OSError) as error:
            say(f"{error}; logs and data: {run_dir}")
            return 1
    with open(options.measured, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    if options.keep:
        say(f"logs and data: {run_dir}")
    else:
        shutil.rmtree(run_dir, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
