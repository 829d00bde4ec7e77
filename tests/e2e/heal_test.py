#!/usr/bin/env python3
"""An origin on loopback whose disk lies: packs are damaged and lost, found by the scrub, and brought back by a
device, by a mirror and from a backup; a device's own cache is damaged, too.

usage: heal_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from node_on_loopback import packs_in, user_is_missing  # noqa: E402
from one_device import PATIENCE, OneDevice, scratch  # noqa: E402
from origin_on_loopback import Daemon, free_port, run  # noqa: E402

PROGRAMS = sys.argv[1:4]
ORIGIN = PROGRAMS[0]
checks = Checks()
check = checks.check


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x20]))
        file.flush()
        os.fsync(file.fileno())


def damage(packs, serve):
    """Until the scrub has set all of them aside."""
    at = serve.here()
    for path in packs:
        flip(path)
    for path in packs:
        serve.wait_for(" pack_set_aside ", os.path.basename(path), after=at, seconds=PATIENCE)


class Bench(OneDevice):
    def packs(self, space):
        return packs_in(f"{self.origin.data}/{space}")

    def check(self):
        done = run(ORIGIN, "check", "--data", self.origin.data, "--read-data", "--json")
        return done.returncode, json.loads(done.stdout)["check"]["findings"]


def main():
    if user_is_missing():
        return 77
    with scratch("heal") as (top, running):
        scenario(Bench(PROGRAMS, top, running, ("--scrub-rate", "64 MiB", "--scrub-every", "1s")))
    return checks.summary()


def scenario(bench):
    top, origin = bench.top, bench.origin
    serve = origin.serve
    tree = top + "/tree"
    os.makedirs(tree + "/etc")
    os.makedirs(tree + "/usr/bin")
    shutil.copy("/etc/os-release", tree + "/etc")
    shutil.copy("/bin/bash", tree + "/usr/bin/bash")
    bench.capture_tree("system", "1.0", tree)
    seed = bench.seed()
    bench.enrol(("--cache-patrol", "1s"))
    bench.start()
    device = bench.device
    origin.told("assign", "--site", "north", "--layers", "system:1.0")
    device.node.wait_for(" layer_complete ", seconds=PATIENCE)
    device.node.wait_for(" applied ", seconds=PATIENCE)
    os.makedirs(device.volume + "/srv", exist_ok=True)
    with open(device.volume + "/srv/report", "wb") as file:
        file.write(os.urandom(300_000))
    check("the device has the layer, and a snapshot at the origin", device.sync().returncode == 0)
    code, findings = bench.check()
    check("the origin is sound", code == 0, findings)
    layers = [os.path.basename(path) for path in bench.packs("layers")]

    # --- a flipped bit in a layer's pack
    at, seeded = serve.here(), seed.here()
    flip(bench.packs("layers")[-1])
    line = serve.wait_for(" pack_set_aside ", "space=layers", after=at, seconds=PATIENCE)
    check("the scrub finds it, and says which block", "block" in line and " next=" in line, line)
    line = serve.wait_for(" pack_healed ", after=at, seconds=PATIENCE)
    check("the device brings the pack back", "from=device:" in line, line)
    line = seed.wait_for(" torrent_served ", "missing=0", after=seeded, seconds=PATIENCE)
    check("the seeder serves it again", True, line)
    code, findings = bench.check()
    check("the origin is sound again", code == 0, findings)

    # --- a pack that is gone, and a mirror; the device is asked first, by the poll that it left behind
    mirror = Daemon(ORIGIN, "seed", "--data", top + "/mirror", "--join", f"127.0.0.1:{origin.api}",
                    "--ca-fingerprint", origin.fingerprint, "--token", bench.token("s2", "--kind", "seeder"),
                    "--listen", f"127.0.0.1:{free_port()}", ready=" layer_mirrored ")
    bench.running.callback(mirror.stop)
    device.stop()
    at = serve.here()
    os.remove(bench.packs("layers")[0])
    line = serve.wait_for(" pack_healed ", after=at, seconds=PATIENCE)
    check("a mirror brings back a pack that is gone", "from=seeder:s2" in line, line)
    mirror.stop()

    # --- what a device sent
    damage(bench.packs("cvd"), serve)
    code, findings = bench.check()
    hit = [finding for finding in findings if finding["kind"] == "pack-aside"]
    check("check names the device and its snapshot", code == 6 and hit and all(f["devices"] for f in hit) and
          any(f["snapshots"] for f in hit), findings)
    device.start(bench.running)
    done = device.sync()
    check("the device sends its content again", done.returncode == 0, done.stderr.strip())
    code, findings = bench.check()
    check("and an older snapshot lacks its list of files alone",
          [f["snapshots"] for f in findings] == [[f"1 of {device}"] for f in findings for device in f["devices"]],
          findings)

    # --- a device's cache
    at = device.node.here()
    flip(device.packs()[-1])
    device.node.wait_for(" layer_damaged ", after=at, seconds=PATIENCE)
    device.node.wait_for(" layer_complete ", after=at, seconds=PATIENCE)
    packs = [os.path.basename(path) for path in device.packs()]
    check("a device finds damage in its cache and fetches the pack again", packs == layers, f"{len(packs)} packs")
    device.stop()
    seed.stop()

    # --- nobody has it but the backup
    done = run(ORIGIN, "backup", "--data", origin.data, "--to", top + "/backup")
    check("a backup is made", done.returncode == 0, done.stderr.strip())
    damage(bench.packs("layers") + bench.packs("cvd"), serve)
    serve.stop()
    done = run(ORIGIN, "repair", "--data", origin.data, "--from", top + "/backup")
    check("repair takes the rest from a backup", done.returncode == 0, done.stdout + done.stderr)
    code, findings = bench.check()
    check("the origin is sound after it", code == 0, findings)


if __name__ == "__main__":
    sys.exit(main())
