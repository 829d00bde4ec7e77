#!/usr/bin/env python3
"""A site where eight devices have the old version, two of the same a user's changes besides, and three have nothing, all
to the new one at once: every pack crosses the line once, whether it is one of the update from the old version or of that
from nothing. Then all to a newer one, of which only the update crosses."""

import lzma
import os
import random
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

OLD, CHANGED, FRESH = 8, 2, 3
NEWS = 1_000_000
IMAGES, IMAGE = 6, 1_200_000
MORE = 40_000  # Bytes of records and polls for each device; measured are up to 33,000.
BY_USER = "usr/lib/reference/part-0"
MODULE = "usr/lib/reference/module.ko.xz"


def patch(tree, version):
    """Every part becomes another one that is much like it, a byte in 2,000, and NEWS bytes are like nothing before."""
    folder = os.path.join(tree, os.path.dirname(BY_USER))
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            content = bytearray(file.read())
        for at in range(1000 * version, len(content), 2000):
            content[at] ^= 0x55
        with open(path, "wb") as file:
            file.write(content)
    with open(os.path.join(tree, "usr/lib/news"), "wb") as file:
        file.write(random.Random(version).randbytes(NEWS))
    # It takes long to make, for its size: a device makes it, the others have it from that one.
    with open(os.path.join(folder, "part-0"), "rb") as plain, open(os.path.join(tree, MODULE), "wb") as file:
        file.write(lzma.compress(plain.read(), lzma.FORMAT_XZ, lzma.CHECK_CRC32, preset=6))


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    tree = reference.small(os.path.join(stage.lab.run_dir, "tree"), 2)
    folder = os.path.join(tree, os.path.dirname(BY_USER))
    os.makedirs(folder)
    for number, program in enumerate(("bash", "python3", "openssl", "tar", "find", "perl")):
        found = shutil.which(program)
        if found:
            shutil.copyfile(os.path.realpath(found), os.path.join(folder, f"part-{number}"))
    # Much like each other, each larger than what a layer's own packs code together.
    image = bytearray(random.Random(11).randbytes(IMAGE))
    for number in range(IMAGES):
        for at in range(number, len(image), 8000):
            image[at] ^= 0x55
        with open(os.path.join(folder, f"image-{number}"), "wb") as file:
            file.write(image)

    def publish(version):
        """What a device with the version before fetches, and one that has nothing."""
        patch(tree, version)
        fleet.capture(BASE, f"1.{version}", tree)
        cost = fleet.cli_json("layer", "diff", "--bytes", f"{BASE}:1.{version - 1}", f"{BASE}:1.{version}")[0]
        return cost["download_bytes"], cost["fresh_bytes"]

    def roll_out(version, devices):
        before = stage.net.counters()
        fleet.assign([f"{BASE}:{version}"])
        fleet.wait_applied([f"{BASE}:{version}"], 150, devices)
        return (stage.net.counters() - before).down_bytes

    def fallback(devices):
        return [event[1].get("fallback_chunks") for device in devices for event in device.events("update_taken")]

    stage.origin_with_layer(0, tree, against="auto")
    devices = stage.devices(start=False)
    with_old, fresh = devices[:OLD + CHANGED], devices[OLD + CHANGED:]
    changed = with_old[OLD:]
    for device in with_old:
        device.start()
    roll_out("1.0", with_old)
    for device in changed:
        with open(os.path.join(device.volume, BY_USER), "ab") as file:
            file.write(b"a user was here")

    update, full = publish(1)
    stored = fleet.cli_json("layer", "show", f"{BASE}:1.1")[0]["stored_bytes"]
    checks.check("fresh devices take an update from nothing", full < stored - (1 << 20), f"{full} of {stored} bytes")
    checks.check("the update is a part of the layer", NEWS < update < full / 2, f"{update} of {full} bytes")
    for device in fresh:
        device.start()
    crossed = roll_out("1.1", devices)
    print(f"   1.1: {crossed} bytes over the line; the update has {update}, the layer {full}")
    # Headers of packets too.
    checks.check("each pack crosses the line once", crossed <= 1.08 * (full + update) + MORE * len(devices),
                 f"{crossed} bytes for {full} and {update}")
    checks.check("nobody falls back", set(fallback(devices)) == {"0"}, fallback(devices))
    given = [device for device in with_old if device.events("made_at_the_site")]
    made = [device.name for device in with_old if device not in given]
    checks.check("what takes long to make is made by few, and given to the others", len(made) <= len(with_old) // 2,
                 f"made by {made}")
    checks.check("every volume is the layer", stage.verified(devices[:OLD] + fresh) == OLD + FRESH, "rsync")
    for device in changed:
        differing = verify.differences(tree, device.volume, verify.LAYER_FILTER + verify.sockets(tree))
        checks.check(f"so is {device.name}'s, but for what its user changed",
                     all(BY_USER in line for line in differing), differing[:3])

    update, full = publish(2)
    crossed = roll_out("1.2", devices)
    print(f"   1.2: {crossed} bytes over the line; the update has {update}, the layer {full}")
    checks.check("where everybody has the version before, only the update crosses, once",
                 crossed <= 1.08 * update + MORE * len(devices), f"{crossed} bytes for {update}")
    checks.check("nobody falls back then", set(fallback(devices)) <= {"0"}, fallback(devices))
    checks.check("every volume is the newer layer", stage.verified(devices[:OLD] + fresh) == OLD + FRESH, "rsync")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="mixed", devices=OLD + CHANGED + FRESH, rate=80_000_000, rtt_ms=20))
