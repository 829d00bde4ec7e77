#!/usr/bin/env python3
"""Restores of every level onto trees of a real device's volume, judged by rsync.

usage: restore_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE [DEBIAN]     One PASS or FAIL line a check; exit code 1 if any
failed. With DEBIAN, a tree as `./dev demo` keeps in build/demo/debian, that is the device's system.
"""

import contextlib
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import verify  # noqa: E402
from checks import Checks  # noqa: E402
from node_on_loopback import user_is_missing  # noqa: E402
from one_device import OneDevice, scratch  # noqa: E402

PROGRAMS = sys.argv[1:4]
DEBIAN = sys.argv[4] if len(sys.argv) > 4 else None
USERS = ("home", "root")
IDENTITY = {"etc/hostname": "till-7\n", "etc/machine-id": "0" * 32 + "\n", "boot/grub/grub.cfg": "set root=hd0\n",
            "etc/fstab": "/dev/null / ext4 defaults 0 1\nproc /proc proc defaults 0 0\n"}
checks = Checks()
check = checks.check


def write(tree, path, content, mode=0o644):
    path = os.path.join(tree, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(path, mode)


def make_base(tree):
    if DEBIAN:
        verify.copy(DEBIAN, tree)
    else:
        for directory in ("etc", "usr/bin", "usr/lib", "home", "root"):
            os.makedirs(f"{tree}/{directory}")
        shutil.copy("/etc/os-release", tree + "/etc")
        shutil.copy("/bin/bash", tree + "/usr/bin/bash")
        os.symlink("usr/bin", tree + "/bin")
        write(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        write(tree, "etc/group", "root:x:0:\n")
    write(tree, "usr/lib/library.so", os.urandom(200_000))
    write(tree, "etc/base.conf", "as delivered\n")
    write(tree, "etc/drift.conf", "as delivered\n")


def live_in(tree):
    """What a machine and its user add."""
    for path, text in IDENTITY.items():
        write(tree, path, text)
    write(tree, "opt/tool/tool", os.urandom(100_000), 0o755)
    write(tree, "etc/base.conf", "settings of this machine\n")
    write(tree, "home/ann/report", os.urandom(150_000), 0o600)
    os.chown(tree + "/home/ann/report", 1000, 1000)
    os.link(tree + "/home/ann/report", tree + "/home/ann/same report")
    os.symlink("report", tree + "/home/ann/link")
    os.setxattr(tree + "/home/ann/report", "user.comment", b"mine")
    write(tree, "root/.profile", "umask 022\n")
    installed = ""
    if DEBIAN:
        with open(tree + "/var/lib/dpkg/status", encoding="utf-8") as status:
            installed = status.read().rstrip("\n") + "\n\n"
    write(tree, "var/lib/dpkg/status", installed + "Package: tool\nStatus: install ok installed\nArchitecture: all\n"
                                       "Version: 1.2-3\n\nPackage: gone\nStatus: deinstall ok config-files\n"
                                       "Architecture: all\nVersion: 1\n\n")
    with open(tree + "/home/ann/disk.img", "wb") as image:
        image.truncate(4 << 20)
        image.seek(1 << 20)
        image.write(os.urandom(10_000))
    os.mkfifo(tree + "/home/ann/pipe", 0o640)


def spoil(tree):
    """What happens to a tree after its last snapshot, in every part of it."""
    write(tree, "usr/lib/library.so", b"broken")
    write(tree, "etc/drift.conf", "edited since\n")
    write(tree, "etc/base.conf", "edited since\n")
    shutil.rmtree(tree + "/opt/tool")
    write(tree, "opt/new/program", "installed since\n", 0o755)
    write(tree, "etc/hostname", "another\n")
    os.unlink(tree + "/bin")
    write(tree, "bin/planted", "a directory in the place of a symlink\n")
    os.chmod(tree + "/usr/bin/bash", 0o700)
    write(tree, "home/ann/report", "overwritten")
    write(tree, "home/bob/new", "since then\n")
    os.link(tree + "/etc/passwd", tree + "/home/bob/a name of a system file")
    os.unlink(tree + "/home/ann/link")
    os.makedirs(tree + "/home/ann/link/now a directory")
    os.removexattr(tree + "/home/ann/same report", "user.comment")
    os.utime(tree + "/root/.profile", (1, 1))


def differences(expected, actual, part=None):
    """Of the users' files, of all others, or of everything that snapshots hold."""
    if part is None:
        return verify.differences(expected, actual, verify.SNAPSHOT_FILTER)
    if part == "system":
        return verify.differences(expected, actual, verify.SNAPSHOT_FILTER + [f"- /{top}/*" for top in USERS])
    found = []
    for top in USERS:  # The directory itself is the system's.
        found += [line for line in verify.differences(f"{expected}/{top}", f"{actual}/{top}")
                  if not line.endswith(" ./")]
    return found


def main():
    if os.geteuid() != 0 or not shutil.which("rsync"):
        print("SKIP this needs root and rsync")
        return 77
    if user_is_missing():
        return 77
    with scratch("restore") as (top, running):
        scenario(OneDevice(PROGRAMS, top, running))
    return checks.summary()


def scenario(bench):
    top, origin, restore = bench.top, bench.origin, bench.restore
    base = top + "/base"
    make_base(base)
    bench.capture_tree("system", "1.0", base)
    bench.seed()
    bench.enrol()
    bench.start()
    here, volume, device = bench.device, bench.volume, bench.id
    bench.heard(" applied ", command=("assign", "--device", device, "--layers", "system:1.0"))
    live_in(volume)
    check("a snapshot is at the origin", here.sync().returncode == 0)
    was, spoiled = top + "/was", top + "/spoiled"
    verify.copy(volume, was)
    verify.copy(volume, spoiled)
    spoil(spoiled)

    def fresh(name, of=spoiled):
        tree = f"{top}/{name}"
        verify.copy(of, tree)
        return tree

    # --- what would be done
    tree = fresh("dry")
    done = restore(tree, "--dry-run")
    check("a dry run lists the changes", done.returncode == 0 and "~ usr/lib/library.so" in done.stdout and
          "- home/bob/new" in done.stdout and "m usr/bin/bash" in done.stdout and "+ opt/tool/tool" in done.stdout,
          done.stdout + done.stderr)
    check("and changes nothing", not verify.differences(spoiled, tree))

    # --- the levels
    done = restore(tree, "--level", "system")
    check("system only is restored", done.returncode == 0, done.stderr.strip())
    check("every user file is as it was before", not differences(spoiled, tree, "user"),
          differences(spoiled, tree, "user"))
    check("everything else is as in the snapshot", not differences(was, tree, "system"),
          differences(was, tree, "system"))

    tree = fresh("user")
    done = restore(tree, "--level", "user", "--json")
    check("user data only is restored", done.returncode == 0, done.stderr.strip())
    check("user files are as in the snapshot", not differences(was, tree, "user"), differences(was, tree, "user"))
    check("nothing else is changed", not differences(spoiled, tree, "system"), differences(spoiled, tree, "system"))
    check("it says what it did", json.loads(done.stdout)["made"] > 0 and json.loads(done.stdout)["dry_run"] is False)

    tree = fresh("apps")
    done = restore(tree, "--level", "apps-and-user")
    check("applications and user data are restored", done.returncode == 0, done.stderr.strip())
    check("user files are as in the snapshot again", not differences(was, tree, "user"))
    with open(tree + "/etc/base.conf", encoding="utf-8") as file:
        check("settings are those of the snapshot", file.read() == "settings of this machine\n")
    check("an application is back, one of later is gone", os.path.exists(tree + "/opt/tool/tool") and
          not os.path.exists(tree + "/opt/new"))
    with open(tree + "/etc/drift.conf", encoding="utf-8") as one, open(tree + "/etc/hostname", encoding="utf-8") as two:
        check("what the base layer has and the machine's identity stay", one.read() == "edited since\n" and
              two.read() == "another\n")

    tree = fresh("whole")
    done = restore(tree)
    check("the whole device is restored", done.returncode == 0, done.stderr.strip())
    check("it is bit-identical", not differences(was, tree), differences(was, tree))
    done = restore(tree, "--json")
    said = json.loads(done.stdout)
    check("a second time nothing is to do", done.returncode == 0 and said["bytes"] == 0 and
          said["made"] + said["replaced"] + said["metadata"] + said["removed"] == 0, done.stdout)

    # --- onto an empty disk, and another machine's
    empty = top + "/empty"
    os.makedirs(empty)
    done = restore(empty)
    check("an empty disk gets the whole device", done.returncode == 0 and not differences(was, empty),
          done.stderr.strip())
    write(volume, "etc/fstab", "UUID=no-such-disk / ext4 defaults 0 1\nLABEL=nor-this /srv ext4 defaults 0 2\n"
                               "tmpfs /tmp tmpfs defaults 0 0\n")
    check("a snapshot with other volumes", here.sync().returncode == 0)
    tree = fresh("other-disks")
    done = restore(tree)
    check("other volumes are refused, with all differences", done.returncode == 5 and
          "/: this machine has no UUID=no-such-disk (ext4)" in done.stderr and
          "/srv: this machine has no LABEL=nor-this (ext4)" in done.stderr and "tmpfs" not in done.stderr, done.stderr)
    check("and nothing is changed", not verify.differences(spoiled, tree))
    done = restore(tree, "--keep-disks")
    with open(tree + "/etc/fstab", encoding="utf-8") as file:
        check("unless the disks' files are kept", done.returncode == 0 and file.read() == IDENTITY["etc/fstab"],
              done.stderr.strip())

    # --- what is refused
    tree = fresh("release")
    text = "ID=debian\nVERSION_ID=\"99\"\n"
    write(tree, "etc/os-release", text)
    done = restore(tree, "--level", "user")
    check("another release is refused, with both named", done.returncode == 5 and " 99 " in done.stderr and
          "--level whole" in done.stderr, done.stderr)
    check("the whole device may be another release", restore(tree, "--keep-disks").returncode == 0)
    tree = fresh("blocked")
    shutil.rmtree(tree + "/home")
    os.symlink("elsewhere", tree + "/home")
    done = restore(tree, "--level", "user")
    check("what stands in the way is named", done.returncode == 5 and "'home' is no directory" in done.stderr, done.stderr)
    for words, code, what in ((("--level", "all"), 2, "an unknown level"), (("--to", top + "/x"), 2, "two targets")):
        check(f"{what} is wrong usage", restore(tree, *words).returncode == code)
    check("a missing tree is not found", restore(top + "/none").returncode == 3)
    check("no target is wrong usage", origin.lamina("cvd", "restore", device).returncode == 2)
    check("a snapshot that is none is not found", restore(tree, "--snapshot", "0" * 64).returncode == 3)

    # --- one file, as ever; and who read it
    done = origin.lamina("cvd", "restore", device, "--path", "home/ann", "--to", top + "/ann")
    check("a directory is restored beside", done.returncode == 0 and
          not [line for line in verify.differences(was + "/home/ann", top + "/ann")], done.stderr.strip())
    packages = [json.loads(line) for line in origin.told("cvd", "software", "--json").splitlines()]
    tool = {"device": device, "package": "tool", "version": "1.2-3", "architecture": "all"}
    check("the packages of all devices are told", tool in packages and (len(packages) > 50 if DEBIAN else
                                                                       len(packages) == 1), str(packages)[:1000])
    check("and those of one, by name", origin.told("cvd", "software", device, "--package", "x*").count("\n") == 1)
    reads = origin.told("audit", "ls", "--action", "cvd.read", "--object", f"device:{device}")
    check("who read the CVD is in the audit log", "admin:" in reads, reads)


if __name__ == "__main__":
    sys.exit(main())
