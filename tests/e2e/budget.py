#!/usr/bin/env python3
"""A site that appoints no reflector: without a WAN budget not a byte of payload crosses the line, and
the devices say why; with one of bytes no more than that; when appointment is on, everything comes."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

PIECE = 256 * 1024


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    payload = stage.origin_with_layer(60)
    devices = stage.devices()
    fleet.cli("site", "appoint", "branch", "off")

    def reasons():
        return [layer["reason"] for device in devices for layer in device.status().get("layers", [])]

    def from_origin():
        return sum(device.status().get("bytes", {}).get("from_origin", 0) for device in devices)

    before = stage.net.counters()
    fleet.assign([f"{BASE}:1.0"])
    wait_until(lambda: reasons() == ["waiting-for-reflector"] * len(devices), 30, "devices that wait and say why")
    # Longer than a lease takes to be granted, and than a budget would wait.
    wait_until(lambda: len(devices[0].events("peers")) > 0 and seconds_since(fleet, devices[0]) > 15, 60, "15 s")
    line = stage.net.counters() - before
    checks.check("no budget, no reflector: no payload", from_origin() == 0 and line.down_bytes < 0.2 * payload,
                 f"{from_origin()} bytes of payload; {line.down_bytes} bytes in all on the line (records, polls)")
    checks.check("a device says why it waits", reasons() == ["waiting-for-reflector"] * len(devices), reasons()[0])

    explained = fleet.cli("explain", "--device", devices[0].id).out
    checks.check("so does the origin", "waiting-for-reflector" in explained and f"{BASE}:1.0" in explained,
                 explained.splitlines()[-1][:100] if explained else "")

    most = 3_000_000
    fleet.cli("assign", "--device", devices[0].id, "--layers", f"{BASE}:1.0", "--wan-budget", "up to 3 MB")
    wait_until(lambda: "waiting-for-budget" in reasons(), 60, "a used-up budget")
    spent = from_origin()
    checks.check("a budget of bytes", most * 0.9 <= spent <= most + PIECE, f"{spent} bytes of payload for {most}")
    others = [device.status().get("bytes", {}).get("from_origin", 0) for device in devices[1:]]
    checks.check("the others fetch nothing over the line", not any(others), str(others))

    fleet.cli("site", "appoint", "branch", "on")
    fleet.wait_applied([f"{BASE}:1.0"], 120)
    line = stage.net.counters() - before
    checks.check("with a reflector everything comes, and nothing twice", stage.verified(devices) == len(devices) and
                 line.down_bytes - 66 * line.down_packets <= 1.06 * payload,
                 f"{(line.down_bytes - 66 * line.down_packets) / payload:.3f} of the payload in all")


def seconds_since(fleet, device):
    """Seconds since the device knew what it wants."""
    wanted = device.events("layer_wanted")
    return time.time() - wanted[0][0] if wanted else 0


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="budget", devices=3, rate=40_000_000, rtt_ms=10))
