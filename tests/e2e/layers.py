#!/usr/bin/env python3
"""Two layers on a device that has files of its own: the last layer wins, an unassigned layer leaves,
the worker is killed in the middle of applies, an apply is reverted, a rejected device gets nothing."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    stage.origin_with_layer(12)
    app = os.path.join(fleet.run_dir, "app")
    reference.name_system(app)
    write(os.path.join(app, "opt/tool/run"), "the tool\n")
    write(os.path.join(app, "etc/shells"), "the tool's shells\n")
    fleet.capture("tool", "1", app, kind="app")
    device, other = stage.devices()

    def at(path):
        return os.path.join(device.volume, path)

    write(at("opt/own/file"), "the device's own\n")
    fleet.assign([f"{BASE}:1.0", "tool:1"])
    fleet.wait_applied([f"{BASE}:1.0", "tool:1"], 90)
    checks.check("the last layer wins", read(at("etc/shells")) == "the tool's shells\n" and
                 read(at("opt/tool/run")) == "the tool\n", "base and app applied on 2 devices")
    write(at("opt/tool/notes"), "put there by the user\n")

    fleet.assign([f"{BASE}:1.0"])
    fleet.wait_applied([f"{BASE}:1.0"], 90)
    with open(os.path.join(stage.tree, "etc/shells"), encoding="utf-8") as file:
        base_shells = file.read()
    checks.check("an unassigned layer leaves, and the layer below comes back",
                 read(at("opt/tool/run")) is None and read(at("etc/shells")) == base_shells, "")
    checks.check("what the user put there stays", read(at("opt/tool/notes")) == "put there by the user\n" and
                 read(at("opt/own/file")) == "the device's own\n", "")

    # The power of the worker fails in the middle of an apply, at whatever place it is.
    killed = 0
    for round_number in range(6):
        layers = [f"{BASE}:1.0", "tool:1"] if round_number % 2 == 0 else [f"{BASE}:1.0"]
        starts = len(device.events("apply_starts"))
        fleet.assign(layers)
        wait_until(lambda: len(device.events("apply_starts")) > starts, 60, "the start of an apply", every=0.002)
        time.sleep(0.004 * round_number)  # Each round dies at another place.
        device.worker.kill(signal.SIGKILL)
        fleet.lab.stop(device.worker)
        killed += 1
        device.start_worker()
        fleet.wait_applied(layers, 60)
        good = read(at("opt/tool/run")) == ("the tool\n" if len(layers) == 2 else None)
        if not good or not device.identity_kept():
            checks.check("an apply survives the death of its worker", False, f"round {round_number}")
            break
    else:
        checks.check("an apply survives the death of its worker", True, f"{killed} kills")
    device.own_filter = ["- /opt"]
    checks.check("the volume is the layer's in the end", stage.verified([other]) == 1 and not verify.differences(
        stage.tree, device.volume, verify.LAYER_FILTER + verify.sockets(stage.tree) + device.own_filter), "rsync")

    was = os.path.join(fleet.run_dir, "was")
    verify.copy(device.volume, was)
    fleet.assign([f"{BASE}:1.0", "tool:1"])
    fleet.wait_applied([f"{BASE}:1.0", "tool:1"], 60)
    changed = verify.differences(was, device.volume, verify.SNAPSHOT_FILTER)
    device.command("revert")
    reverted = fleet.device_records()
    left = verify.differences(was, device.volume, verify.SNAPSHOT_FILTER)
    checks.check("revert brings the very state before back", changed and not left, left[:5] or f"{len(changed)} changes undone")
    wait_until(lambda: fleet.device_records()[device.id]["applied"] == [f"{BASE}:1.0"], 20, "the report of the revert")
    checks.check("the origin knows, and the other device is untouched",
                 reverted[other.id]["applied"] == [f"{BASE}:1.0", "tool:1"], "")

    fleet.cli("device", "reject", other.id)
    fleet.cli("assign", "--device", device.id, "--layers", f"{BASE}:1.0")
    fleet.wait_applied([f"{BASE}:1.0"], 60, [device])
    wait_until(lambda: other.events("poll_failed"), 60, "the rejected device's log")
    checks.check("a rejected device is told so", "rejected" in other.node.text(), other.node.tail(1)[-120:])


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="layers", devices=2, rate=200_000_000, rtt_ms=5))
