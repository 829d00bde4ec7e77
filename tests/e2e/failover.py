#!/usr/bin/env python3
"""The acting reflector dies in mid-transfer (kill -9): the site completes, and hardly a byte crosses
the line twice. Then the same with SIGSTOP: one that was stopped and continued does no harm."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402


def holder(stage):
    """The device that holds the site's lease, or None."""
    for site in stage.fleet.cli_json("site", "ls"):
        for device in stage.fleet.devices:
            if site["name"] == "branch" and site.get("lease_holder") == device.id:
                return device
    return None


def scenario(stage):
    payload = stage.origin_with_layer(90)
    devices = stage.devices()
    before = stage.net.counters()
    begun = time.monotonic()
    stage.fleet.assign([f"{BASE}:1.0"])

    def moved():
        return (stage.net.counters() - before).down_bytes

    wait_until(lambda: moved() > 0.4 * payload, 120, "40 % of the payload on the line")
    first = wait_until(lambda: holder(stage), 20, "a holder of the lease")
    first.node.kill(signal.SIGKILL)
    stage.fleet.lab.stop(first.node)
    print(f"   {first.name} held the lease and was killed after {moved() / payload:.0%}")

    second = wait_until(lambda: (h := holder(stage)) and h is not first and h, 30, "another holder of the lease")
    took_over = time.monotonic() - begun
    wait_until(lambda: moved() > 0.7 * payload, 120, "70 % of the payload on the line")
    second.node.kill(signal.SIGSTOP)
    print(f"   {second.name} took over and was stopped after {moved() / payload:.0%}")
    survivors = [device for device in devices if device not in (first, second)]
    stage.fleet.wait_applied([f"{BASE}:1.0"], 180, survivors)
    seconds = time.monotonic() - begun
    at_completion = moved()

    second.node.kill(signal.SIGCONT)
    first.start_node()
    stage.fleet.wait_applied([f"{BASE}:1.0"], 120, devices)
    total = moved()
    headers = 66 * (stage.net.counters() - before).down_packets
    stage.checks.check("the site completes", stage.verified(devices) == len(devices),
                       f"{len(devices)} devices verified; survivors after {seconds:.1f} s, take-over seen at {took_over:.1f} s")
    stage.checks.check("bytes on the line after a kill -9 and a SIGSTOP", total - headers <= 1.10 * payload,
                       f"{(total - headers) / payload:.3f} of the payload without headers, {total / payload:.3f} with (at most 1.10)")
    stage.checks.check("coming back costs the line nothing", total - at_completion < 400_000,
                       f"{total - at_completion} bytes for two devices that came back")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="failover", devices=5, rate=20_000_000))
