#!/usr/bin/env python3
"""What a capture leaves out, and what has changed between start and finish, through a real origin.

usage: capture_test.py LAMINA_ORIGIN LAMINA [--debian]     One PASS, FAIL or SKIP line a check.

The trees are made by hand: what makes a Debian 11, 12 or 13 that machine, beside what every machine of it has.
With --debian, as root and with a mirror, real ones are made by mmdebstrap as well; that takes minutes.
"""

import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from checks import Checks  # noqa: E402
from origin_on_loopback import OriginOnLoopback, run  # noqa: E402

checks = Checks()
check = checks.check

# What must not travel, by what it is. {n} stands for the release.
IDENTITY = ["etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/fstab",
            "etc/adjtime", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_rsa_key",
            "etc/network/interfaces", "etc/network/interfaces.d/eth0", "var/lib/systemd/random-seed",
            "var/lib/systemd/timesync/clock", "home/ann", "root/.bash_history", "boot/grub/grub.cfg"]
OF_RELEASE = {
    "11": ["var/lib/urandom/random-seed", "var/lib/dhcp/dhclient.eth0.leases", "etc/udev/rules.d/70-persistent-net.rules"],
    "12": ["var/lib/systemd/credential.secret", "var/lib/dhcp/dhclient.eth0.leases",
           "etc/NetworkManager/system-connections/office.nmconnection"],
    "13": ["var/lib/systemd/credential.secret", "var/lib/dhcpcd/eth0.lease", "etc/systemd/network/10-eth0.link"],
}
LEFTOVERS = ["var/log/syslog", "var/log/apt/history.log", "var/cache/apt/archives/bash_5.deb",
             "var/lib/apt/lists/mirror_main_Packages", "var/lib/logrotate/status", "var/crash/dump"]
SYSTEM = ["etc/passwd", "etc/ssh/sshd_config", "etc/network/if-up.d/ifenslave", "usr/bin/tool", "var/lib/dpkg/status",
          "etc/udev/rules.d/60-local.rules", "etc/systemd/system/own.service", "boot/vmlinuz", "var/cache/debconf/config.dat"]
KEPT_DIRECTORIES = ["var/log", "var/log/apt", "var/lib/apt/lists", "home", "root", "proc", "tmp"]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def make_debian(tree, release):
    for path in IDENTITY + OF_RELEASE[release] + LEFTOVERS + SYSTEM:
        write(f"{tree}/{path}" + ("/notes" if path == "home/ann" else ""), f"content of {path}\n")
    write(tree + "/etc/os-release", f'ID=debian\nVERSION_ID="{release}"\n')
    for folder in ("proc/1", "tmp/x"):
        os.makedirs(f"{tree}/{folder}")
    os.makedirs(tree + "/usr/bin", exist_ok=True)
    shutil.copy("/bin/dash", tree + "/usr/bin/dash")
    os.symlink("dash", tree + "/usr/bin/sh")
    os.symlink("usr/bin", tree + "/bin")


def capture_of_releases(top, lamina, key):
    for release in OF_RELEASE:
        tree = f"{top}/debian{release}"
        make_debian(tree, release)
        rows = [json.loads(line) for line in
                lamina("--json", "layer", "capture", "--tree", tree, "--dry-run").stdout.splitlines()]
        out = {row["path"]: row for row in rows if "path" in row}
        expected = set(IDENTITY + OF_RELEASE[release] + LEFTOVERS + ["proc/1", "tmp/x"])
        check(f"Debian {release}: what makes the machine that machine is left out, and nothing else",
              set(out) == expected, sorted(set(out) ^ expected))
        check(f"Debian {release}: files and bytes are counted",
              out["home/ann"]["files"] == 1 and out["etc/hostname"]["bytes"] == len("content of etc/hostname\n"))
        done = lamina("layer", "capture", "--name", "debian" + release, "--tree", tree, "--key", key)
        check(f"Debian {release}: it is captured, and each rule's share is told",
              done.returncode == 0 and "rule ssh-host-keys left out 3 paths, 3 files" in done.stderr, done.stderr[-300:])
        shown = json.loads(lamina("--json", "layer", "show", f"debian{release}:1").stdout)
        check(f"Debian {release}: the layer says what it is", shown["release"] == release, shown)
        kept = sum(len(files) + len(folders) for _, folders, files in os.walk(tree)) + 1
        beneath = sum(1 for path in expected for _, folders, files in os.walk(f"{tree}/{path}")
                      for _ in folders + files)
        check(f"Debian {release}: everything else is in it", rows[-1]["entries"] == kept - len(out) - beneath, rows[-1])


def own_rules(top, lamina, key):
    tree, rules = f"{top}/own", f"{top}/own.toml"
    make_debian(tree, "12")
    write(tree + "/srv/app/cache/big", "x" * 1000)
    write(tree + "/srv/app/cache/index", "kept")
    write(tree + "/etc/app.conf", "secret")
    write(rules, '[[rule]]\nname = "app-index"\ntake = "keep"\npaths = ["srv/app/cache/index"]\n'
                 '[[rule]]\nname = "app-cache"\npaths = ["srv/app/cache/*"]\n'
                 '[[rule]]\nname = "app-conf"\ntake = "make-empty"\npaths = ["etc/app.conf"]\n')
    rows = [json.loads(line) for line in lamina("--json", "layer", "capture", "--tree", tree, "--rules", rules,
                                                "--dry-run").stdout.splitlines()]
    mine = {row["path"]: (row["rule"], row["take"], row["bytes"]) for row in rows if row.get("rule", "").startswith("app")}
    check("own rules leave out, make empty, and keep",
          mine == {"srv/app/cache/big": ("app-cache", "leave-out", 1000), "etc/app.conf": ("app-conf", "make-empty", 6)}, mine)
    done = lamina("layer", "capture", "--name", "own", "--tree", tree, "--rules", rules, "--key", key)
    check("and the capture follows them", done.returncode == 0 and "rule app-conf left out 1 paths, 1 files, 6 B" in
          done.stderr, done.stderr[-300:])
    check("the layer is whole", lamina("layer", "verify", "own:1").returncode == 0)
    write(rules, "[[rule]]\nname = \"x\"\npaths = [\"/absolute\"]\n")
    refused = lamina("layer", "capture", "--name", "own", "--tree", tree, "--rules", rules, "--key", key)
    check("a wrong rule is named by file and line, code 2", refused.returncode == 2 and "own.toml:1" in refused.stderr,
          refused.stderr)


def start_and_finish(top, lamina, key):
    tree, state = f"{top}/reference", f"{top}/state"
    make_debian(tree, "12")
    done = lamina("layer", "capture", "--name", "reference", "--tree", tree, "--key", key)
    assert done.returncode == 0, done.stderr
    done = lamina("layer", "capture", "start", "--tree", tree, "--state", state)
    check("a start remembers a tree", done.returncode == 0 and "remembered" in done.stdout, done.stderr)
    again = lamina("layer", "capture", "start", "--tree", tree, "--state", state)
    check("a second one at the same place is refused", again.returncode == 5, again.stderr)
    nothing = lamina("layer", "capture", "finish", "--state", state, "--name", "app", "--key", key)
    check("without a change there is no layer", nothing.returncode == 5 and "nothing has changed" in nothing.stderr,
          nothing.stderr)
    write(tree + "/usr/bin/app", "new\n" * 100000)
    write(tree + "/etc/passwd", "changed\n")
    write(tree + "/etc/machine-id", "another machine\n")
    write(tree + "/var/log/app.log", "noise\n")
    write(tree + "/home/ann/app", "a user's\n")
    os.remove(tree + "/usr/bin/tool")
    shutil.rmtree(tree + "/var/cache/debconf")
    os.utime(tree + "/etc/ssh/sshd_config")
    rows = [json.loads(line) for line in lamina("--json", "layer", "capture", "finish", "--state", state,
                                                "--dry-run").stdout.splitlines()]
    said = {row["path"]: row["kind"] for row in rows}
    check("a finish takes what has changed in the machine's area, and removals as whiteouts",
          said == {"etc/passwd": "file", "etc/ssh/sshd_config": "file", "usr/bin": "directory", "usr/bin/app": "file",
                   "usr/bin/tool": "whiteout", "var/cache": "directory", "var/cache/debconf": "whiteout",
                   "var/log": "directory"}, said)
    done = lamina("layer", "capture", "finish", "--state", state, "--name", "app", "--key", key)
    check("it is published as an app layer", done.returncode == 0, done.stderr[-300:])
    shown = json.loads(lamina("--json", "layer", "show", "app:1").stdout)
    check("for the system it was made on", (shown["kind"], shown["release"]) == ("app", "12"), shown)
    check("with the content of the files that it changes", shown["files"] == 3, shown)
    check("and is whole", lamina("layer", "verify", "app:1").returncode == 0)
    missing = lamina("layer", "capture", "finish", "--state", f"{top}/none", "--name", "app", "--key", key)
    check("a finish without a start is told so, code 3", missing.returncode == 3 and "start" in missing.stderr,
          missing.stderr)


def versions(lamina, key, top):
    for expected in ("2", "3"):
        done = lamina("layer", "capture", "--name", "own", "--tree", f"{top}/own", "--key", key)
        check(f"version {expected} comes by itself", done.returncode == 0 and f"own:{expected}" in done.stdout, done.stderr)
    done = lamina("layer", "upgrade", "own", "--dry-run")
    check("an upgrade goes to the newest version", done.returncode == 0 and "would move to own:3" in done.stdout, done.stderr)
    check("of a layer that is there", lamina("layer", "upgrade", "none").returncode == 3)
    done = lamina("layer", "capture", "--tree", f"{top}/own")
    check("what an order lacks is told, code 2", done.returncode == 2 and "--name and --key" in done.stderr, done.stderr)


def real_trees(top, lamina):
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        checks.skip("real trees", "need root and mmdebstrap")
        return
    # Found by their names wherever they are, so that a rule whose path is wrong is noticed.
    suspicious = ["machine-id", "hostname", "ssh_host_*", "random-seed", "*.lease*", "resolv.conf", "*.deb"]
    for release, code in (("11", "bullseye"), ("12", "bookworm"), ("13", "trixie")):
        tree = f"{top}/real{release}"
        made = run("mmdebstrap", "--variant=minbase", "--include=systemd,dbus,openssh-server,ifupdown", code, tree, seconds=900)
        if made.returncode != 0:
            checks.skip(f"Debian {release}, real", made.stderr.strip().splitlines()[-1])
            continue
        write(tree + "/etc/hostname", "reference\n")
        rows = [json.loads(line) for line in
                lamina("--json", "layer", "capture", "--tree", tree, "--dry-run").stdout.splitlines()]
        out = {row["path"] for row in rows if "path" in row}
        names = [n for n in suspicious for _ in [0]]
        found = run("find", tree, "-xdev", "-type", "f", "(", *[w for n in names for w in ("-o", "-name", n)][1:], ")",
                    # Debian 11 has programs and libraries outside of /usr, too.
                    *[word for folder in ("*/usr", "*/dpkg", tree + "/bin", tree + "/lib")
                      for word in ("-not", "-path", folder + "/*")]).stdout.split()
        left = [os.path.relpath(path, tree) for path in found
                if not any(os.path.relpath(path, tree).startswith(rule) for rule in out)]
        check(f"Debian {release}, real: nothing that identifies it stays", not left, left)
        check(f"Debian {release}, real: it keeps its keys and lists to itself",
              any(path.startswith("etc/ssh/ssh_host_") for path in out), sorted(out)[:5])


def main():
    origin_program, lamina_program = sys.argv[1:3]
    with tempfile.TemporaryDirectory(prefix="lamina-capture-") as top, \
            OriginOnLoopback(origin_program, lamina_program, top + "/origin") as origin:
        key = origin.data + "/keys/publisher.key"
        capture_of_releases(top, origin.lamina, key)
        own_rules(top, origin.lamina, key)
        start_and_finish(top, origin.lamina, key)
        versions(origin.lamina, key, top)
        if "--debian" in sys.argv:
            real_trees(top, origin.lamina)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
