#!/usr/bin/env python3
"""No program needs memory in proportion to the layer: a 3 GB tree through capture, seeder, reflector,
device and restore; each peak at most 200 MiB. Not part of the tests: it takes several minutes and
20 GB of disk. Run it with `python3 tests/e2e/memory.py [GIGABYTES]` after ./dev build."""

import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

GIGABYTES = float(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else 3.0


def make_tree(tree, size):
    """Half compressible text, half noise, in files from 1 kB to 200 MB."""
    random_ = random.Random(5)
    number, left = 0, size
    while left > 0:
        length = min(left, random_.choice((1_000, 5_000, 20_000, 100_000, 1_000_000, 10_000_000, 200_000_000)))
        folder = os.path.join(tree, f"usr/share/d{number % 97:02}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"f{number}"), "wb") as file:
            written = 0
            while written < length:
                part = min(1 << 20, length - written)
                file.write(random_.randbytes(part) if number % 2 else
                           (b"%d " % random_.getrandbits(40)) * (part // 8 + 1))
                written = file.tell()
        left -= length
        number += 1
    reference.name_system(tree)


def scenario(stage):
    tree = os.path.join(stage.lab.run_dir, "tree")
    make_tree(tree, int(GIGABYTES * 1e9))
    payload = stage.origin_with_layer(0, tree)
    devices = stage.devices()
    begun = time.monotonic()
    stage.fleet.assign([f"{BASE}:1.0"])
    stage.fleet.wait_applied([f"{BASE}:1.0"], 1800)
    stage.checks.check("verified", stage.verified(devices) == len(devices),
                       f"{len(devices)} devices, {payload / 1e6:.0f} MB of packs in {time.monotonic() - begun:.0f} s")
    devices[0].command("sync", "--protected", seconds=900)
    for name, peak in stage.lab.peak_rss().items():
        if name.startswith(("origin", "node", "worker", "lamina")):
            stage.checks.check(f"peak memory of {name}", peak <= 200 << 20, f"{peak >> 20} MiB for {GIGABYTES:g} GB")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="memory", devices=2, rate=400_000_000, rtt_ms=5))
