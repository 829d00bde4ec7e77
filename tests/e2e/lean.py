#!/usr/bin/env python3
"""Devices on an old version and devices with nothing at one site, all to a newer one: the new packs and those that were
written anew from old ones cross the line once, and no device fetches what it does not need. First with a reflector that
an administrator named and that does not need the latter itself, then with whoever gets the lease."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

FILES, FILE = 40, 300_000


def scenario(stage):
    fleet, checks, dice = stage.fleet, stage.checks, random.Random(7)
    tree = reference.small(os.path.join(stage.lab.run_dir, "tree"), 2)
    folder = os.path.join(tree, "usr/share/noise")
    os.makedirs(folder)

    def add(number):
        with open(os.path.join(folder, f"{number:03}"), "wb") as file:
            file.write(dice.randbytes(FILE))

    def next_version(version, remove, more):
        """Takes files away and adds others. What the capture brought, and what of that was written anew."""
        for number in remove:
            os.remove(os.path.join(folder, f"{number:03}"))
        for number in more:
            add(number)
        _, packs, _ = fleet.capture(BASE, version, tree)
        return packs, fleet.fresh_bytes(f"{BASE}:{version}")

    def here(device, packs):
        """Bytes of these packs that the device has whole."""
        return sum(size for name, size in packs.items() if os.path.exists(os.path.join(device.state, "cache/trees", name)))

    def roll_out(version, devices, seconds=120):
        before = stage.net.counters()
        fleet.assign([f"{BASE}:{version}"])
        fleet.wait_applied([f"{BASE}:{version}"], seconds, devices)
        return stage.net.counters() - before

    def on_line(what, line, payload):
        # Packet headers, records and polls.
        checks.check(what, 0.95 * payload <= line.down_bytes <= 1.1 * payload + 400_000,
                     f"{line.down_bytes} bytes for {payload} of packs")

    for number in range(FILES):
        add(number)
    stage.origin_with_layer(0, tree)
    named, other, fresh, late = stage.devices(start=False)
    for device in (named, other):
        device.start()
    roll_out("1.0", [named, other])

    packs, anew = next_version("1.1", range(0, FILES, 2), range(FILES, FILES + 6))
    payload = sum(packs.values())
    checks.check("half of the old packs' content is written anew", 0.4 * FILES * FILE < anew < 0.7 * FILES * FILE,
                 f"{anew} of {payload} bytes of new packs")
    fleet.cli("site", "reflectors", "branch", "--count", "1", "--device", named.id)
    fleet.cli("site", "appoint", "branch", "off")
    fresh.start()
    on_line("a named reflector fetches for its site what it does not need, once",
            roll_out("1.1", [named, other, fresh]), payload)
    checks.check("the one that has nothing gets it from the site", here(fresh, packs) == payload and
                 fresh.status()["bytes"]["from_origin"] == 0, f"{here(fresh, packs)} bytes of packs")
    checks.check("a device with the old version leaves it alone", here(other, packs) == payload - anew,
                 f"{here(other, packs)} bytes of packs")
    checks.check("every volume is the layer", stage.verified([named, other, fresh]) == 3, "rsync")

    # It goes on so after a restart.
    other.stop()
    other.start()
    wait_until(lambda: [layer["phase"] for layer in other.status().get("layers", [])] == ["complete"], 30,
               "a whole layer after a restart")
    checks.check("what it leans on stays over a restart", here(other, packs) == payload - anew, "no more packs than before")

    packs, anew = next_version("1.2", range(1, FILES, 4), range(FILES + 6, FILES + 12))
    payload = sum(packs.values())
    fleet.cli("site", "appoint", "branch", "on")
    fleet.cli("site", "reflectors", "branch", "--count", "1")
    late.start()
    on_line("with devices on 1.1 and one that has nothing, each pack crosses the line once",
            roll_out("1.2", [named, other, fresh, late]), payload)
    held = [here(device, packs) for device in (named, other, fresh, late)]
    # Manifest chunks that were written anew for 1.1 do for 1.2 too: some kilobytes of `anew` are older.
    checks.check("only the one that has nothing has what was written anew",
                 held[3] == payload and all(payload - anew <= one < payload - anew + 50_000 for one in held[:3]),
                 f"{held} of {payload} bytes, {anew} written anew")
    checks.check("every volume is the newer layer", stage.verified(fleet.devices) == 4, "rsync")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="lean", devices=4, rate=80_000_000, rtt_ms=20))
