#!/usr/bin/env python3
"""Reflectors as an administrator manages them: suspended, disabled, rebuilt, bounded; layers that come before the
window, that stay for a later device, and that travel on a disk. What crosses the line is read on the router."""

import json
import os
import random
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

OLD, NEW = [f"{BASE}:1.0"], [f"{BASE}:2.0"]


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    dice = random.Random(5)
    # So little that the new layer does not lean on the old one for it.
    tree = reference.small(os.path.join(stage.lab.run_dir, "tree"), 2)
    # Enough for a pack that only the old layer has, and one that only the new one has.
    former, more = os.path.join(tree, "usr/share/former"), os.path.join(tree, "usr/share/more")
    with open(former, "wb") as file:
        file.write(dice.randbytes(40_000_000))
    stage.origin_with_layer(0, tree)
    os.remove(former)
    with open(more, "wb") as file:
        file.write(dice.randbytes(30_000_000))
    devices = stage.devices(start=False)
    first, second, third, late = devices
    for device in devices[:3]:
        device.start()
    fleet.assign(OLD)
    fleet.wait_applied(OLD, 60, devices[:3])

    def show(device):
        return fleet.cli_json("reflector", "show", device.id)[0]

    def reflector(device, verb, *words):
        return fleet.cli_json("reflector", verb, device.id, *words)[0]

    def settled(device, what):
        wait_until(lambda: show(device)["settled"], 20, what)

    def kept(device):
        return [layer["name"] for layer in device.status().get("reflector", {}).get("kept", [])]

    def from_origin(device):
        return device.status().get("bytes", {}).get("from_origin", 0)

    def damage(path):
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b"!!damaged!!")

    def log_of(device, operation):
        return [one for one in fleet.cli_json("device", "log", device.id) if one["operation"] == operation]

    # Suspended: whoever held the lease would take it again; it has the layer from its site all the same.
    reflector(first, "suspend")
    settled(first, "a device that knows that it is suspended")
    spent = from_origin(first)
    _, packs, _ = fleet.capture(BASE, "2.0", stage.tree)
    payload = sum(packs.values())
    before = stage.net.counters()
    fleet.cli("stage", "--site", "branch", "--layers", ",".join(NEW))
    wait_until(lambda: all(any(layer["layer"] == NEW[0] and layer["held_bytes"] == layer["size_bytes"]
                               for layer in show(device)["layers"]) for device in devices[:3]), 60, "warm devices")
    line = stage.net.counters() - before
    checks.check("staged layers cross the line once", line.down_bytes <= 1.2 * payload,
                 f"{line.down_bytes / payload:.3f} of {payload} bytes")
    checks.check("a suspended device fetches nothing over the line", from_origin(first) == spent,
                 f"{from_origin(first) - spent} bytes; role {show(first)['role']}")
    records = fleet.device_records()
    checks.check("what is staged is not applied", all(records[device.id]["applied"] == OLD for device in devices[:3]),
                 "the old layers")
    reflector(first, "resume")

    before = stage.net.counters()
    fleet.assign(NEW)
    fleet.wait_applied(NEW, 60, devices[:3])
    line = stage.net.counters() - before
    checks.check("in the window nothing is left to fetch", line.down_bytes < 0.1 * payload + 100_000,
                 f"{line.down_bytes} bytes")

    # What nobody needs any more stays for a device that gets it later.
    wait_until(lambda: all(kept(device) == [f"{BASE} 1.0"] for device in devices[:3]), 20, "former layers that stay")
    fleet.cli("assign", "--device", late.id, "--layers", ",".join(OLD))
    before = stage.net.counters()
    late.start()
    fleet.wait_applied(OLD, 60, [late])
    line = stage.net.counters() - before
    checks.check("a later device has a former layer from its site", from_origin(late) < 1_000_000,
                 f"{from_origin(late)} bytes of 45 MB; {line.down_bytes} on the line, with records and polls")
    saved = max(show(device).get("serving", {}).get("sent_bytes", 0) for device in devices)
    checks.check("what a device gave is counted", saved > payload // 4, f"{saved} bytes by one of them")

    # Rebuild: a pack that rotted is found and fetched from the site.
    wanted = {name for name in os.listdir(os.path.join(third.state, "cache/packs"))}
    rotten = max(set(packs) & wanted)
    damage(os.path.join(third.state, "cache/packs", rotten))
    before = stage.net.counters()
    reflector(third, "rebuild")
    wait_until(lambda: log_of(third, "reflector-rebuild"), 30, "the end of a rebuild")
    found = log_of(third, "reflector-rebuild")[-1]["counts"]
    wait_until(lambda: third.status().get("layers") and all(layer["phase"] == "complete"
                                                            for layer in third.status()["layers"]), 60, "a whole cache")
    line = stage.net.counters() - before
    checks.check("a rebuild finds what rotted", found["damaged"] == 1, json.dumps(found))
    size = packs[rotten]
    checks.check("it is fetched again, and nothing else", line.down_bytes < 1.2 * size + 200_000,
                 f"{line.down_bytes} bytes on the line, the pack has {size}")
    checks.check("a command is carried out once", not show(third)["settings"]["commands"], "none waits")

    # Bounded: the former layer leaves, the assigned one never.
    disk = os.path.join(stage.lab.run_dir, "disk")
    os.makedirs(disk)
    os.chmod(disk, 0o777)
    second.command("cache", "export", "--layer", OLD[0], "--to", disk)
    reflector(second, "configure", "--cache", "1 MB", "--connections", "20")
    wait_until(lambda: not kept(second), 20, "a cache without former layers")
    state = second.status()["reflector"]
    checks.check("what is assigned stays above the limit", state["cache"]["over_bytes"] > 0 and
                 all(layer["phase"] == "complete" for layer in second.status()["layers"]), json.dumps(state["cache"]))
    reflector(second, "configure", "--cache", "default")
    settled(second, "a device with its own limit")

    # On a disk: what is damaged is named, the rest is taken in while the node runs.
    damaged = os.path.join(stage.lab.run_dir, "damaged")
    shutil.copytree(disk, damaged)
    own = sorted(set(os.listdir(os.path.join(damaged, "cache/packs"))) - set(os.listdir(os.path.join(second.state,
                                                                                                      "cache/packs"))))
    damage(os.path.join(damaged, "cache/packs", own[0]))
    done = second.command("cache", "import", "--from", damaged, check=False)
    checks.check("a damaged pack is refused by name", done.code == 6 and own[0] in done.out, done.err.strip()[-120:])
    checks.check("the layer waits for the rest", not kept(second), "it is not shared")
    before = stage.net.counters()
    done = second.command("cache", "import", "--from", disk, "--json")
    record = json.loads(done.out.splitlines()[0])
    wait_until(lambda: kept(second) == [f"{BASE} 1.0"], 20, "an imported layer")
    line = stage.net.counters() - before
    # The others were taken from the damaged disk.
    checks.check("an import brings a layer without the line", record["packs"] == 1 and
                 record["known"] == len(os.listdir(os.path.join(disk, "cache/packs"))) - 1 and line.down_bytes < 200_000,
                 f"{record['packs']} packs taken, {record['known']} there; {line.down_bytes} bytes on the line")
    fetched = os.path.join(stage.lab.run_dir, "headquarters")
    fleet.cli("layer", "export", OLD[0], "--to", fetched)
    checks.check("headquarters exports the same", same(disk, fetched), OLD[0])

    # Disabled: nothing but its own, and nobody is served.
    reflector(second, "disable")
    wait_until(lambda: not kept(second) and show(second)["role"] == "disabled", 20, "a disabled device")
    checks.check("a disabled device keeps its own layers only", set(packs) <= set(os.listdir(os.path.join(
        second.state, "cache/packs"))) and second.status()["reflector"]["cache"]["kept_bytes"] == 0, second.name)
    reflector(third, "reject", "--peer", late.id)
    wait_until(lambda: third.status().get("reflector", {}).get("rejected") == [late.id], 20, "a rejected peer")
    roles = {one["device"]: one["role"] for one in fleet.cli_json("reflector", "ls", "--site", "branch")}
    checks.check("every device of the site is listed", set(roles) == {device.id for device in devices}, json.dumps(
        sorted(roles.values())))

    # Also without the origin, after a restart.
    fleet.lab.stop(fleet.serve)
    second.stop()
    second.start()
    wait_until(lambda: second.status().get("reflector", {}).get("mode") == "disabled", 30, "settings without the origin")
    checks.check("settings hold while the origin is away", True, "disabled after a restart")


def same(one, other):
    def files(folder):
        found = {}
        for path, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    found[os.path.relpath(os.path.join(path, name), folder)] = file.read()
        return found
    return files(one) == files(other)


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="reflector", devices=4, rate=80_000_000, rtt_ms=20))
