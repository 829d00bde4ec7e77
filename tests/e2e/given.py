#!/usr/bin/env python3
"""What takes long to make of an update is made by one device of a site or two, and given to the others. Who makes it is
killed meanwhile, and one of those who wait as well: the others go on without them, and all end right when they come
back."""

import lzma
import os
import random
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

WORDS = 400_000  # 2.6 MB: xz(1) takes seconds for them.
MODULE = "usr/lib/reference/module.ko.xz"


def patch(tree, version):
    """A module that takes long to compress, and of which little is new."""
    known = random.Random(1)
    vocabulary = ["".join(known.choices("abcdefghij", k=known.randrange(3, 9))) for _ in range(20_000)]
    words = known.choices(vocabulary, k=WORDS)
    for at in range(version, WORDS, 2_000):
        words[at] = f"version-{version}-{at}"
    os.makedirs(os.path.dirname(os.path.join(tree, MODULE)), exist_ok=True)
    with open(os.path.join(tree, MODULE), "wb") as file:
        file.write(lzma.compress(" ".join(words).encode(), lzma.FORMAT_XZ, lzma.CHECK_CRC32, preset=6))


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    tree = reference.small(os.path.join(stage.lab.run_dir, "tree"), 2)
    patch(tree, 0)
    stage.origin_with_layer(0, tree)
    devices = stage.devices()
    fleet.assign([f"{BASE}:1.0"])
    fleet.wait_applied([f"{BASE}:1.0"], 60)

    patch(tree, 1)
    fleet.capture(BASE, "1.1", tree, against="auto")
    update = fleet.cli_json("layer", "diff", "--bytes", f"{BASE}:1.0", f"{BASE}:1.1")[0]["download_bytes"]
    whole = os.path.getsize(os.path.join(tree, MODULE))
    checks.check("of the module, little is fetched", update < whole / 5, f"{update} of {whole} bytes")
    fleet.assign([f"{BASE}:1.1"])

    def waiting():
        return [device for device in devices if device.events("update_awaits")]

    wait_until(lambda: len(waiting()) >= len(devices) - 2, 90, "devices that wait for what another one makes", every=0.05)
    makers = [device for device in devices if device not in waiting()]
    killed = [waiting()[0], *makers]
    for device in killed:
        device.node.kill(signal.SIGKILL)
        fleet.lab.stop(device.node)
    checks.check("who makes it was killed before it was made",
                 makers and not any(device.events("update_taken") for device in devices),
                 f"{' '.join(device.name for device in makers)}; {killed[0].name} waited and was killed, too")

    others = [device for device in devices if device not in killed]
    fleet.wait_applied([f"{BASE}:1.1"], 120, others)
    made = [device.name for device in others if not device.events("made_at_the_site")]
    print(f"   {' '.join(made)} made it then, {len(others) - len(made)} others were given it")
    for device in killed:
        device.start_node()
    fleet.wait_applied([f"{BASE}:1.1"], 60)
    checks.check("every volume is the new layer", stage.verified(devices) == len(devices), "rsync")
    checks.check("nothing of it is fetched in another way",
                 {event[1]["fallback_chunks"] for device in devices for event in device.events("update_taken")} == {"0"},
                 "fallback_chunks")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="given", devices=6, rate=80_000_000, rtt_ms=20))
