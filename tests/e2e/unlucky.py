#!/usr/bin/env python3
"""Wrong arguments, missing directories, a port in use, an origin that is down, a full disk: one line
that says what and what to do, and the documented exit code; where waiting helps, it is waited."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    stage.origin_with_layer(12)
    origin, node = fleet.program("origin/lamina-origin"), fleet.program("node/lamina-node")
    nowhere = os.path.join(fleet.run_dir, "nowhere")

    def expect(name, done, codes, *words):
        lines = (done.err.strip() or done.out.strip()).splitlines()
        said = lines[-1] if lines else ""
        checks.check(name, done.code in codes and len(lines) == 1 and all(word in said for word in words),
                     f"exit code {done.code}: {said[:160]}" + (f" ({len(lines)} lines)" if len(lines) != 1 else ""))

    def run(*words, space=stage.net.origin):
        return fleet.lab.run(words, space, check=False, seconds=40)

    expect("init twice", run(origin, "init", "--data", fleet.data, "--name", "x"), (1, 2, 5), fleet.data)
    expect("serve without a data directory", run(origin, "serve", "--data", nowhere), (3,), nowhere)
    expect("serve twice", run(origin, "serve", "--data", fleet.data), (4,), fleet.data)
    other = os.path.join(fleet.run_dir, "other")
    run(origin, "init", "--data", other, "--name", stage.net.ORIGIN)
    expect("a port in use", run(origin, "serve", "--data", other, "--listen", f"{stage.net.ORIGIN}:8443"), (1, 4), "8443")
    expect("capture of a missing tree", fleet.cli("layer", "capture", "--name", "x", "--version", "1", "--kind", "base",
                                                  "--tree", nowhere, "--key", os.path.join(fleet.data, "keys/publisher.key"),
                                                  check=False), (3,), nowhere)
    expect("a layer that is not there", fleet.cli("assign", "--site", "branch", "--layers", "none:1", check=False), (3,),
           "none")
    expect("a site that is not there", fleet.cli("assign", "--site", "atlantis", "--layers", f"{BASE}:1.0", check=False),
           (3,), "atlantis")
    expect("run without enrolment", run(node, "run", "--state", nowhere), (3,), "enroll")
    expect("status without a node", run(node, "status", "--state", nowhere), (3, 4), nowhere)
    bad = fleet.cli("device", "show", "not-an-id", check=False)
    checks.check("a wrong argument", bad.code in (2, 3), f"exit code {bad.code}: {bad.err.strip()[:120]}")

    # The origin is down while devices want something: they wait and go on by themselves.
    devices = stage.devices()
    wait_until(lambda: all(device.status() for device in devices), 30, "the devices")
    fleet.lab.stop(fleet.serve)
    expect("the origin is down", fleet.cli("site", "ls", check=False), (4,), fleet.api)
    fleet.start_serve()

    # A disk that is too small for the layer: refused before anything is touched, with the numbers.
    full = devices[0]
    full.stop()
    fleet.lab.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", full.volume])
    try:
        full.give_identity()
        full.start()
        fleet.assign([f"{BASE}:1.0"])
        fleet.wait_applied([f"{BASE}:1.0"], 120, devices[1:])
        checks.check("the other device goes on", stage.verified(devices[1:]) == len(devices) - 1, "verified")

        def reported():
            report = fleet.device_records()[full.id].get("last_report") or {}
            return report if not report.get("ok", True) else None

        report = wait_until(reported, 60, "a report of the full disk")
        checks.check("a full disk is reported", "space" in report["text"], report["text"][:160])
        checks.check("a full disk changes nothing", sorted(os.listdir(full.volume)) in (["etc"], [".lamina", "etc"])
                     and full.identity_kept(), " ".join(sorted(os.listdir(full.volume))))
        fleet.lab.run(["mount", "-o", "remount,size=400m", full.volume])
        fleet.wait_applied([f"{BASE}:1.0"], 180, devices)
        checks.check("with room it goes on by itself", stage.verified(devices) == len(devices), "verified")
    finally:
        full.stop()
        fleet.lab.run(["umount", "-l", full.volume], check=False)


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="unlucky", devices=2, rate=100_000_000, rtt_ms=5))
