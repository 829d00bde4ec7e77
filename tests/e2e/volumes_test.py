#!/usr/bin/env python3
"""A device of several volumes on loopback: what its policy protects beside the first one, and restores onto machines whose
file systems are mounted otherwise. tmpfs stands for disks, in a mount namespace that ends with the test.

usage: volumes_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import verify  # noqa: E402
from checks import Checks  # noqa: E402
from node_on_loopback import user_is_missing  # noqa: E402
from one_device import PATIENCE, OneDevice, scratch, write  # noqa: E402

PROGRAMS = sys.argv[1:4]
checks = Checks()
check = checks.check

POLICY = 'name = "disks"\nvolumes = ["srv/data", "home"]\n'


class Bench(OneDevice):
    def __init__(self, *where):
        super().__init__(*where)
        self.enrol()
        # /home is on the first volume, whatever the policy says.
        for path, content in (("etc/fstab", "/dev/null / ext4 defaults 0 1\n/dev/null /srv/data ext4 defaults 0 2\n"),
                              ("home/ann/report", "done\n"), ("opt/game/level", "1\n"), ("etc/conf", "mine\n")):
            write(f"{self.volume}/{path}", content)
        self.mount("srv/data")
        self.mount("srv/other")
        write(self.volume + "/srv/data/ann/letter", "dear\n")
        write(self.volume + "/srv/data/big", os.urandom(700_000))
        os.link(self.volume + "/srv/data/big", self.volume + "/srv/data/same")
        write(self.volume + "/srv/other/film", "no\n")
        self.start()

    def mount(self, place, tree=None, size="16m"):
        at = f"{tree or self.volume}/{place}"
        os.makedirs(at, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", at], check=True)
        self.running.callback(subprocess.run, ["umount", "-l", at], check=False, stderr=subprocess.DEVNULL)

    def tree(self, name, *mounts):
        tree = f"{self.top}/{name}"
        os.makedirs(tree)
        for place in mounts:
            self.mount(place, tree)
        return tree


def protection(bench):
    check("without a policy the first volume alone is protected", "home/ann/report" in bench.held(bench.sync()) and
          not any(path.startswith("srv/") for path in bench.held(bench.sync())))
    for text, why in (("volumes = [\"/srv\"]", "as in \"srv/data\""), ("volumes = [\"proc\"]", "by rule 'factory'"),
                      ("volumes = [\"a\", \"a\"]", "named twice"), ("volumes = [\"a/../b\"]", "no place")):
        done = bench.lamina("policy", "import", bench.file("bad.toml", f"name = \"bad\"\n{text}\n"))
        check(f"a policy with {text} is refused", done.returncode == 2 and why in done.stderr, done.stderr.strip())
    policy = bench.file("disks.toml", POLICY)
    shown = bench.told("policy", "preview", policy, "--device", bench.id)
    check("a preview names the volumes that nobody can count yet", "not counted: volume srv/data" in shown, shown)
    bench.told("policy", "import", policy)
    check("the policy is written as it is read", 'volumes = ["srv/data", "home"]' in bench.told("policy", "show", "disks"))
    bench.heard(" policy ", "name=disks", command=("policy", "assign", "disks", "--device", bench.id))
    held = bench.held(bench.sync())
    check("the protected volume is in the next snapshot", {"srv/data/ann/letter", "srv/data/big", "srv/data/same",
                                                           "home/ann/report"} <= held, held)
    check("another one is not", "srv/other/film" not in held, held)
    shown = bench.told("policy", "assign", "factory", "--device", bench.id, "--dry-run")
    check("a preview counts what leaves with a volume", "not protected any more, volume srv/data: 4 entries" in shown, shown)


def layers(bench):
    base = bench.top + "/base"
    for path in ("usr/bin/tool", "etc/conf", "home/.keep"):
        write(f"{base}/{path}", "layer\n")
    shutil.copy("/etc/os-release", base + "/etc")
    shutil.copy("/bin/dash", base + "/usr/bin/sh")
    bench.capture_tree("system", "1", base)
    bench.seed()
    bench.heard(" applied ", command=("assign", "--site", "north", "--layers", "system:1"))
    bench.sync()
    shown = bench.told("enforce", "--device", bench.id, "--remove-user-apps", "--dry-run")
    check("a preview of an enforcement has nothing of other volumes", "removes opt/game" in shown and
          "srv/data" not in shown, shown)
    bench.heard(" applied ", command=("enforce", "--device", bench.id, "--remove-user-apps"))
    check("an enforcement removes what is in no layer", not os.path.exists(bench.volume + "/opt/game"))
    check("and on other volumes nothing", os.path.exists(bench.volume + "/srv/data/big") and
          os.path.exists(bench.volume + "/srv/other/film"))
    bench.sync()
    rows = [json.loads(line) for line in bench.told(
        "--json", "layer", "capture", "--name", "app", "--version", "1", "--kind", "app", "--snapshot", bench.id,
        "--key", bench.origin.data + "/keys/publisher.key", "--dry-run").splitlines()]
    left = [row for row in rows if row.get("path") == "srv/data"]
    check("a layer that is captured from the snapshot is of the first volume",
          left and left[0]["rule"] == "other-volume" and left[0]["files"] == 2, rows)


def restores(bench):
    was = bench.top + "/was"
    verify.copy(bench.volume, was)
    shutil.rmtree(was + "/srv/other")
    bench.sync()

    def differences(tree, *but):
        return [line for line in verify.differences(was, tree, verify.SNAPSHOT_FILTER) if "srv/other" not in line and
                not line.endswith((" srv/", *but))]

    tree = bench.tree("bare")
    done = bench.restore(tree)
    check("a volume that is not mounted is refused, by name", done.returncode == 5 and
          f"srv/data: nothing is mounted at {tree}/srv/data" in done.stderr and "--keep-disks" in done.stderr, done.stderr)
    check("and nothing is written", os.listdir(tree) == [])
    done = bench.restore(tree, "--level", "user")
    check("so it is for the users' data", done.returncode == 5, done.stderr)
    done = bench.restore(tree, "--keep-disks")
    check("into the layout that is there it is restored, its fstab aside", done.returncode == 0 and
          not differences(tree, "etc/fstab", " etc/"), f"{done.stderr.strip()} {differences(tree)}")

    tree = bench.tree("likewise", "srv/data", "srv/other")
    write(tree + "/srv/data/later", "goes\n")
    write(tree + "/srv/other/own", "stays\n")
    done = bench.restore(tree)
    check("onto volumes that are laid out likewise it is restored", done.returncode == 0 and not differences(tree),
          f"{done.stderr.strip()} {differences(tree)}")
    check("in the volume it holds, what is not in the snapshot goes", not os.path.exists(tree + "/srv/data/later"))
    check("others are left alone", os.listdir(tree + "/srv/other") == ["own"])
    check("the files of the volume are on it", os.stat(tree + "/srv/data/big").st_dev != os.stat(tree).st_dev and
          os.stat(tree + "/srv/data/big").st_ino == os.stat(tree + "/srv/data/same").st_ino)
    said = json.loads(bench.restore(tree, "--json").stdout)
    check("a second time nothing is to do", said["bytes"] == said["made"] + said["removed"] + said["replaced"] == 0, said)

    tree = bench.tree("more", "srv/data", "home", "srv/other")
    write(tree + "/srv/other/own", "stays\n")
    done = bench.restore(tree)
    check("a volume where the snapshot has content of the first one is refused", done.returncode == 5 and
          "home: the snapshot has no file system of its own here" in done.stderr, done.stderr)
    done = bench.restore(tree, "--keep-disks")
    check("and restored into where the disks are kept", done.returncode == 0 and
          not differences(tree, "etc/fstab", " etc/") and
          os.stat(tree + "/home/ann").st_dev != os.stat(tree).st_dev, f"{done.stderr.strip()} {differences(tree)}")
    check("but for one of which the snapshot has nothing", os.listdir(tree + "/srv/other") == ["own"])

    tree = bench.tree("small")
    bench.mount("srv/data", tree, "512k")
    done = bench.restore(tree)
    check("a volume that is too small is named, with the numbers", done.returncode == 7 and
          f"{tree}/srv/data has " in done.stderr, done.stderr)
    check("before anything is written", os.listdir(tree) == ["srv"] and os.listdir(tree + "/srv/data") == [])


def unmounted(bench):
    subprocess.run(["umount", "-l", bench.volume + "/srv/data"], check=True)
    at = bench.device.worker.here()
    held = bench.held(bench.sync())
    said = bench.device.worker.wait_for(" scan_note ", "path=srv/data", after=at, seconds=PATIENCE)
    check("a protected volume that should be mounted and is not is reported", "not mounted" in said, said)
    check("the snapshot has the rest", "etc/conf" in held and not any(path.startswith("srv/data/") for path in held), held)
    tree = bench.tree("alone", "srv/data")
    write(tree + "/srv/data/own", "stays\n")
    done = bench.restore(tree)
    check("a restore of it leaves the volume alone", done.returncode == 0 and
          os.listdir(tree + "/srv/data") == ["own"], done.stderr)


def main():
    if os.geteuid() != 0 or not shutil.which("rsync"):
        print("SKIP this needs root and rsync")
        return 77
    if user_is_missing():
        return 77
    if "--inside" not in sys.argv:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv, "--inside"],
                              check=False).returncode
    with scratch("volumes") as (top, running):
        bench = Bench(PROGRAMS, top, running)
        protection(bench)
        layers(bench)
        restores(bench)
        unmounted(bench)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
