#!/usr/bin/env python3
"""Uploads through the site: a device hands its changes to another one at LAN speed and is switched off;
the snapshot is "at the site" and becomes "protected" without it. A relay that is killed before it has
passed everything on does so when it is back. What arrives is byte-exact, and crosses the line once."""

import json
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import scenario_main  # noqa: E402

RATE = 8_000_000
CHANGED = 6_000_000  # Six seconds of the line.


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    fleet.init_origin()
    fleet.start_origin()
    fleet.cli("site", "add", "branch", "--subnet", stage.net.SUBNET)
    devices = sorted(stage.devices(), key=lambda device: device.id)
    relay, sender = devices[0], devices[-1]
    dice = random.Random(7)

    wait_until(lambda: all(device.status().get("relay", {}).get("port") for device in devices), 60, "open doors")
    # Each knows the others' doors with the next answer to its poll.
    wait_until(lambda: all(device.status().get("relays") == len(devices) - 1 for device in devices), 60, "relays")
    sender.command("sync", "--protected")

    def snapshots():
        """What the origin lists for the sender: the protected ones, and those at the site."""
        listed = json.loads(fleet.cli("--json", "cvd", "snapshots", sender.id).out)
        return ([one["id"] for one in listed["snapshots"]], [one["id"] for one in listed.get("at_site", [])])

    def change(name):
        path = os.path.join(sender.volume, "srv", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        content = dice.randbytes(CHANGED)
        with open(path, "wb") as file:
            file.write(content)
        return content

    def hand_over():
        begun = time.monotonic()
        done = json.loads(sender.command("sync", "--json").out)
        return done, time.monotonic() - begun

    def restored(name, content):
        to = os.path.join(stage.lab.run_dir, "restored-" + name)
        fleet.cli("cvd", "restore", sender.id, "--path", "srv/" + name, "--to", to)
        for folder, _, files in os.walk(to):
            if name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    return file.read() == content
        return False

    # A device that leaves after the hand-over.
    content = change("one")
    before = stage.net.counters()
    done, seconds = hand_over()
    sender.stop()
    checks.check("a hand-over is at the LAN's speed", done["state"] == "at the site" and done["relay"] == relay.id,
                 f"{CHANGED / 1e6:.0f} MB in {seconds:.1f} s, the line takes {CHANGED * 8 / RATE:.0f} s; {done['state']}")
    wait_until(lambda: done["snapshot"] in snapshots()[1], 20, "a snapshot at the site")
    checks.check("the origin says that it is at the site", done["snapshot"] not in snapshots()[0],
                 done["snapshot"][:16])
    wait_until(lambda: done["snapshot"] in snapshots()[0], 60, "a protected snapshot")
    line = stage.net.counters() - before
    checks.check("it becomes protected while the device is off", not snapshots()[1], done["snapshot"][:16])
    checks.check("it crosses the line once", line.up_bytes <= 1.08 * CHANGED,
                 f"{line.up_bytes / CHANGED:.3f} of it up, all else on the line included")
    checks.check("what arrived is what was sent", restored("one", content), "srv/one")
    sender.start()
    wait_until(lambda: sender.status().get("snapshot") == done["snapshot"], 60, "a device that knows")
    checks.check("the device hears of it when it is back", "at_site" not in sender.status(), done["snapshot"][:16])

    # A relay that is killed before it has passed it on. It knows the site again once it has polled.
    wait_until(lambda: sender.status().get("relays") == len(devices) - 1, 60, "relays")
    content = change("two")
    before = stage.net.counters()
    done, seconds = hand_over()
    relay.node.kill()
    checks.check("handed over again", done["state"] == "at the site", f"{seconds:.1f} s; the relay is killed")
    relay.start_node()
    wait_until(lambda: done["snapshot"] in snapshots()[0], 90, "a protected snapshot")
    line = stage.net.counters() - before
    checks.check("a relay that was killed passes on what it held", restored("two", content),
                 f"{line.up_bytes / CHANGED:.3f} of it up: at most the parcel under way goes twice")
    listed = snapshots()[0]
    checks.check("nothing counts twice", len(listed) == len(set(listed)) == 3, f"{len(listed)} snapshots")
    unreadable = all(content[at:at + 64] not in packed for packed in held_files(relay) for at in (0, CHANGED // 2))
    checks.check("nothing stays with the relay", unreadable and not list(held_files(relay)), relay.name)


def held_files(relay):
    for folder, _, files in os.walk(os.path.join(relay.state, "cache/relay")):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                yield file.read()


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="relay", devices=3, rate=RATE, rtt_ms=20))
