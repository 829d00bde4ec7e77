"""What every scenario of tests/e2e starts with: arguments, a lab with an origin and devices, a summary.

    def scenario(stage): ...            # stage.fleet, stage.checks, stage.net, stage.lab
    sys.exit(scenario_main(scenario, name="failover", devices=4, rate=40_000_000))
"""

import argparse
import os
import shutil
import sys

import reference
import verify
from checks import Checks
from fleet import Fleet, run_directory
from lab import Branch, Lab, LabError, can_make_namespaces

BASE = "base"


class Stage:
    def __init__(self, lab, net, build, checks):
        self.lab, self.net, self.checks = lab, net, checks
        self.fleet = Fleet(lab, net, build)
        self.cache = os.path.join(os.path.abspath(build), "demo")
        self.sites = ["branch"] + [f"branch{site + 1}" for site in range(1, getattr(net, "sites", 1))]

    def origin_with_layer(self, megabytes, tree=None, against="none"):
        """An origin that has published `base:1.0`; the layer's tree is self.tree. Returns the bytes of its packs:
        those that a fresh device fetches, unless there is an update from nothing (against)."""
        self.tree = tree or reference.small(os.path.join(self.lab.run_dir, "tree"), megabytes)
        self.fleet.init_origin()
        self.fleet.start_origin()
        _, packs, _ = self.fleet.capture(BASE, "1.0", self.tree, against=against)
        for number, site in enumerate(self.sites):
            self.fleet.cli("site", "add", site, "--subnet", self.net.subnet(number) if number else self.net.SUBNET)
        self.fleet.start_mirrors()
        return sum(packs.values())

    def devices(self, start=True, enroll=None):
        """Enrols a device for each namespace, places them in their sites and starts them. enroll(device, token) may
        take the place of Device.enroll."""
        token = self.fleet.token("scenario", len(self.net.devices))
        for number, _ in enumerate(self.net.devices):
            device = self.fleet.add_device()
            device.give_identity()
            if enroll:
                enroll(device, token)
            else:
                device.enroll(token)
            self.fleet.cli("device", "assign", device.id, "--site", self.sites[number % len(self.sites)])
            if start:
                device.start()
        return self.fleet.devices

    def verified(self, devices):
        """How many volumes equal the tree, by rsync."""
        count = 0
        for device in devices:
            rules = verify.LAYER_FILTER + verify.sockets(self.tree)
            differing = verify.differences(self.tree, device.volume, rules)
            count += not differing
            if differing:
                print(f"   {device.name} differs in {len(differing)} places: {differing[0]}")
        return count


def in_lab(options, name, work):
    """work(lab, checks) in a lab of its own below options.build; what it made goes away, unless a check failed or
    options.keep is set. The exit code."""
    os.umask(0o022)
    checks = Checks()
    run_dir = run_directory(options.build, name)
    with Lab(run_dir) as lab:
        try:
            work(lab, checks)
        except (LabError, verify.VerifyError, reference.ReferenceError, OSError) as error:
            checks.check("the scenario runs to its end", False, f"{type(error).__name__}: {error}")
            for process in lab.processes:
                print(f"--- {process.name}\n{process.tail(6)}", file=sys.stderr)
    if checks.failed or options.keep:
        print(f"logs and data: {run_dir}")
    else:
        shutil.rmtree(run_dir, ignore_errors=True)
    return checks.summary()


def scenario_main(scenario, name, devices=2, rate=20_000_000, rtt_ms=30, queue_ms=60):
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--keep", action="store_true", help="keep volumes, states and logs")
    options = parser.parse_args()
    reason = can_make_namespaces()
    if reason:
        print(f"SKIP {name}: needs network namespaces: {reason}")
        return 77
    return in_lab(options, name, lambda lab, checks: scenario(
        Stage(lab, Branch(lab, options.build, devices, rate, rtt_ms, queue_ms=queue_ms), options.build, checks)))
