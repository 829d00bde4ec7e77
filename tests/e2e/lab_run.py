#!/usr/bin/env python3
"""Real daemons behind a shaped line, with faults, as a scenario file says. `./dev lab` builds first.

A scenario is a TOML file (tests/e2e/scenarios/, README.md there says what stands in it). One run captures
a layer, assigns it to a site, injects the faults as the payload comes over the line, and compares every
volume with rsync. Bytes are read on the routers. Each check prints "PASS name: figure" or "FAIL ...".
"""

import argparse
import glob
import json
import os
import random
import shutil
import signal
import sys
import time
import tomllib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from checks import Checks, parse_rate, parse_time_ms, size_text  # noqa: E402
from fleet import run_directory  # noqa: E402
from lab import Branch, Lab, LabError, can_make_namespaces, ip  # noqa: E402
from scenario import BASE, Stage  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")
HEADERS = 66      # As in demo.py: what is not payload in a packet.
GOODPUT = 0.956
KINDS = ("fair", "death", "cut", "budget", "hostile", "rule", "sharing", "disk", "clock")
FIELDS = {"name": str, "kind": str, "about": str, "devices": int, "rate": str, "rtt": str, "loss": float,
          "layer_mb": int, "quick": bool, "fault": list, "check": dict}
CHECKS = {"wan_ratio": 1.03, "last_over_ideal": 1.2, "seconds_a_death": 0.0}


class ScenarioError(Exception):
    pass


def load(path):
    """A scenario file as a dict with every field; ScenarioError names file and field."""
    try:
        with open(path, "rb") as file:
            scenario = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    for field, value in scenario.items():
        if field not in FIELDS or not isinstance(value, FIELDS[field]):
            raise ScenarioError(f"{path}: '{field}' is not a field of that type; known: {', '.join(FIELDS)}")
    scenario = {"name": os.path.basename(path)[:-5], "about": "", "devices": 8, "rate": "20Mbit", "rtt": "40ms",
                "loss": 0.0, "layer_mb": 100, "quick": False, "fault": [], "check": {}, **scenario}
    if scenario.get("kind") not in KINDS:
        raise ScenarioError(f"{path}: 'kind' must be one of {', '.join(KINDS)}")
    for name in scenario["check"]:
        if name not in CHECKS:
            raise ScenarioError(f"{path}: no check is called '{name}'; known: {', '.join(CHECKS)}")
    for fault in scenario["fault"]:
        if fault.get("do") not in Faults.KNOWN or not 0 <= fault.get("at", -1) < 1:
            raise ScenarioError(f"{path}: a fault needs 'do' ({', '.join(Faults.KNOWN)}) and 'at' (a share of the payload)")
    scenario["check"] = {**CHECKS, **scenario["check"]}
    return scenario


def make_tree(tree, megabytes):
    """A tree that compresses to a little more than `megabytes`: noise for the most part, and text."""
    random_ = random.Random(7)
    left, number = megabytes * 1_000_000, 0
    while left > 0:
        size = min(left, random_.choice((3_000, 30_000, 300_000, 3_000_000)))
        folder = os.path.join(tree, f"usr/share/d{number % 53:02}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"f{number:05}"), "wb") as file:
            file.write(random_.randbytes(size))
        with open(os.path.join(folder, f"t{number:05}"), "wb") as file:
            file.write((b"line %d of a text\n" % number) * (size // 40))
        left -= size
        number += 1
    reference.name_system(tree)
    reference.add_specimens(tree)
    return tree


class Faults:
    """Carries faults out when the line has carried their share of the payload, and ends those that last."""

    KNOWN = ("kill-reflector", "stop-reflector", "power-off-reflector", "restart-seeder", "restart-api", "cut-wan")

    def __init__(self, stage, faults):
        self.stage, self.waiting = stage, sorted(faults, key=lambda fault: fault["at"])
        self.ends = []      # (when, call)
        self.dead = []      # Devices that are expected to miss the end.
        self.deaths = 0
        self.done = []

    def step(self, share):
        now = time.monotonic()
        for when, call in [end for end in self.ends if end[0] <= now]:
            call()
            self.ends = [end for end in self.ends if end[1] is not call]
        if self.waiting and share >= self.waiting[0]["at"]:
            fault = self.waiting[0]
            if getattr(self, fault["do"].replace("-", "_"))(fault):
                self.waiting.pop(0)
                self.done.append(fault["do"])
                print(f"   {fault['do']} at {share:.0%}", flush=True)

    def finish(self):
        """Ends what still lasts, and brings dead devices back."""
        for _, call in self.ends:
            call()
        self.ends = []
        for device in self.dead:
            link(device.space, "eth0", "up")
            self.stage.net._default_route(device.space, "10.80.2.1")
            device.stop()
            device.start()
        back, self.dead = self.dead, []
        return back

    def holder(self):
        for site in self.stage.fleet.cli_json("site", "ls"):
            for device in self.stage.fleet.devices:
                if site.get("lease_holder") == device.id and device not in self.dead:
                    return device
        return None

    # Each returns whether it could be done now.

    def kill_reflector(self, _fault):
        device = self.holder()
        if device:
            device.node.kill(signal.SIGKILL)
            self.stage.fleet.lab.stop(device.node)
            self.mourn(device)
        return device

    def power_off_reflector(self, fault):
        device = self.holder()
        if device:
            link(device.space, "eth0", "down")
            for process in (device.node, device.worker):
                process.kill(signal.SIGKILL)
                self.stage.fleet.lab.stop(process)
            self.mourn(device)
        return device

    def stop_reflector(self, fault):
        device = self.holder()
        if device:
            device.node.kill(signal.SIGSTOP)
            self.deaths += 1
            self.later(fault, lambda: device.node.kill(signal.SIGCONT))
        return device

    def restart_seeder(self, _fault):
        self.stage.fleet.lab.stop(self.stage.fleet.seed)
        self.stage.fleet.start_seed()
        return True

    def restart_api(self, _fault):
        self.stage.fleet.lab.stop(self.stage.fleet.serve)
        self.stage.fleet.start_serve()
        return True

    def cut_wan(self, fault):
        link(self.stage.net.near, "origin0", "down")
        self.later(fault, lambda: link(self.stage.net.near, "origin0", "up"))
        return True

    def mourn(self, device):
        self.dead.append(device)
        self.deaths += 1

    def later(self, fault, call):
        self.ends.append((time.monotonic() + fault.get("seconds", 60), call))


def link(space, device, state):
    ip("-n", space, "link", "set", device, state)


def run(scenario, options, checks):
    """One run. Returns its record."""
    rate, rtt = parse_rate(scenario["rate"]), parse_time_ms(scenario["rtt"])
    run_dir = run_directory(options.build, "lab-" + scenario["name"])
    print(f"\n== {scenario['name']}: {scenario['about']}\n   {scenario['devices']} devices, {scenario['rate']}, "
          f"{scenario['rtt']}, loss {scenario['loss']:.1%}", flush=True)
    failed_before = checks.failed
    with Lab(run_dir) as lab:
        try:
            net = Branch(lab, options.build, scenario["devices"], rate, rtt, loss=scenario["loss"])
            record = measure(scenario, Stage(lab, net, options.build, checks), rate, checks)
        except (LabError, verify.VerifyError, OSError) as error:
            checks.check(f"{scenario['name']}: runs to its end", False, f"{type(error).__name__}: {error}")
            for process in lab.processes:
                print(f"--- {process.name}\n{process.tail(5)}", file=sys.stderr)
            record = {"name": scenario["name"], "kind": scenario["kind"], "error": str(error)}
    if checks.failed > failed_before or options.keep:
        print(f"   logs and data: {run_dir}")
    else:
        shutil.rmtree(run_dir, ignore_errors=True)
    return record


def measure(scenario, stage, rate, checks):
    payload = stage.origin_with_layer(0, make_tree(os.path.join(stage.lab.run_dir, "tree"), scenario["layer_mb"]))
    ideal = payload * 8 / (GOODPUT * rate)
    devices = stage.devices()
    fleet, faults = stage.fleet, Faults(stage, scenario["fault"])
    end_of_wait = time.monotonic() + 30
    while not all(r.get("seen_ms") and r.get("lan_address") for r in fleet.device_records().values()):
        if time.monotonic() > end_of_wait:
            raise LabError("the devices' first poll: not after 30 s")
        time.sleep(0.2)
    before = stage.net.counters()
    started = fleet.assign([f"{BASE}:1.0"])
    lasting = sum(fault.get("seconds", 60) for fault in scenario["fault"] if fault["do"] in ("cut-wan", "stop-reflector"))
    end = time.monotonic() + 3 * ideal + lasting + 90

    def missing():
        return [device for device in devices if device not in faults.dead and not device.events("layer_complete")]

    while faults.waiting or missing():
        faults.step((stage.net.counters() - before).down_bytes / payload)
        for process in [fleet.serve, fleet.seed, *(d.node for d in devices if d not in faults.dead)]:
            if not process.running():
                raise LabError(f"{process.name} ended: {process.tail(1)}")
        if time.monotonic() > end:
            raise LabError(f"{len(missing())} devices lack the layer; {len(faults.waiting)} faults did not come about")
        time.sleep(0.1)
    line = stage.net.counters() - before
    last = max(device.events("layer_complete")[-1][0] for device in devices if device not in faults.dead) - started
    back = faults.finish()
    fleet.wait_applied([f"{BASE}:1.0"], 180, devices)
    verified = stage.verified(devices)

    name, bounds = scenario["name"], scenario["check"]
    ratio = (line.down_bytes - HEADERS * line.down_packets) / payload
    checks.check(f"{name}: wan_ratio", ratio <= bounds["wan_ratio"], f"{ratio:.4f} (at most {bounds['wan_ratio']})")
    most = bounds["last_over_ideal"] * ideal + bounds["seconds_a_death"] * faults.deaths + \
        sum(fault.get("seconds", 60) for fault in scenario["fault"] if fault["do"] == "cut-wan")
    checks.check(f"{name}: last device", last <= most,
                 f"{last:.1f} s, {last / ideal:.3f} of ideal (at most {most:.1f} s)")
    checks.check(f"{name}: verified by rsync", verified == len(devices),
                 f"{verified} of {len(devices)}" + (f", {len(back)} of them came back from the dead" if back else ""))
    print(f"   {size_text(payload)} of payload, {size_text(line.down_bytes)} on the line, ideal {ideal:.1f} s")
    return {"name": name, "kind": scenario["kind"], "wan_transport": "tcp", "loss": scenario["loss"],
            "devices": len(devices), "payload_bytes": payload, "wan_down_bytes": line.down_bytes,
            "wan_down_packets": line.down_packets, "wan_ratio": round(ratio, 4), "ideal_seconds": round(ideal, 2),
            "last_device_seconds": round(last, 2), "verified_devices": verified, "faults": faults.done}


def main():
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__.split("\n\n")[0],
                                     epilog="Example: ./dev lab --quick; ./dev lab tests/e2e/scenarios/kill-50.toml")
    parser.add_argument("scenario", nargs="*", help="scenario files, or their names")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--all", action="store_true", help="run all of them: half an hour")
    parser.add_argument("--quick", action="store_true", help="run those that take seconds")
    parser.add_argument("--times", type=int, default=1, help="run each so many times")
    parser.add_argument("--json", help="write the records to this file")
    parser.add_argument("--keep", action="store_true", help="keep volumes, states and logs")
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    known = {os.path.basename(path)[:-5]: path for path in sorted(glob.glob(FOLDER + "/*.toml"))}
    try:
        if options.list:
            for path in known.values():
                scenario = load(path)
                print(f"{scenario['name']:<18} {scenario['kind']:<8} {scenario['devices']:>3} devices  {scenario['about']}")
            return 0
        paths = [known.get(name, name) for name in options.scenario]
        if options.all or options.quick:
            paths += [path for path in known.values() if options.all or load(path)["quick"]]
        if not paths:
            parser.error("name a scenario, or --list, --quick or --all")
        scenarios = [load(path) for path in paths]
    except ScenarioError as error:
        parser.error(str(error))
    reason = can_make_namespaces()
    if reason:
        print(f"SKIP lab: needs network namespaces: {reason}")
        return 77
    os.umask(0o022)
    checks, records = Checks(), []
    for scenario in scenarios:
        for _ in range(options.times):
            records.append(run(scenario, options, checks))
            if options.json:  # After each: a run that is broken off leaves what was measured.
                with open(options.json, "w", encoding="utf-8") as file:
                    json.dump({"scenarios": records}, file, indent=2)
                    file.write("\n")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
