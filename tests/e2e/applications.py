#!/usr/bin/env python3
"""Debian applications as layers: each is installed by apt where only the base is, captured over the base, and assigned
with each of the others in any order. The roots are judged by Debian's own tools, beside roots where apt installed both;
their applications run, apt installs another one, and unassigning leaves the tree that never had the application.

Minutes, and some GB below the build directory, where the base and the fetched packages are kept. SKIP and exit code 77
where this machine cannot show it."""

import argparse
import hashlib
import itertools
import os
import shutil
import stat
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from chroot import Chroot  # noqa: E402
from fleet import Fleet  # noqa: E402
from lab import Loopback  # noqa: E402
from scenario import in_lab  # noqa: E402

BASE = "base"

# Packages, and what an administrator does after it. Two of them extend the group ssl-cert.
SETS = {
    "nginx": (["nginx-light"], ""),
    "editors": (["git", "vim-tiny"], ""),
    "postgresql": (["postgresql"], ""),
    "mosquitto": (["mosquitto", "ssl-cert", "adduser"], "adduser --quiet mosquitto ssl-cert\n"),
}

# Each ends with 0 only when the application works; without network but the loopback.
RUNS = {
    "nginx": r"""
nginx -t -q && nginx
bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; printf "GET / HTTP/1.0\r\n\r\n" >&3; grep -q "Welcome to nginx" <&3'
nginx -s stop
""",
    "editors": r"""
git -c init.defaultBranch=main init -q /tmp/work && cd /tmp/work
git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first && git log --oneline | grep -q first
printf 'one\n' > file && vim.tiny -u NONE -es -c '%s/one/two/' -c 'wq' file && grep -qx two file
""",
    # The certificate is the machine's own: no layer has it, and a new machine makes one.
    "postgresql": r"""
make-ssl-cert generate-default-snakeoil --force-overwrite
pg_ctlcluster $(ls /etc/postgresql) main start
su postgres -c 'psql -qtAc "select 6*7"' | grep -qx 42
id -Gn postgres | tr ' ' '\n' | grep -qx ssl-cert
pg_ctlcluster $(ls /etc/postgresql) main stop
""",
    "mosquitto": r"""
mkdir -p /run/mosquitto && chown mosquitto: /run/mosquitto
mosquitto -d -c /etc/mosquitto/mosquitto.conf
i=0; until bash -c 'exec 3<>/dev/tcp/127.0.0.1/1883' 2>/dev/null; do i=$((i+1)); [ $i -lt 100 ]; sleep 0.1; done
id -Gn mosquitto | tr ' ' '\n' | grep -qx ssl-cert
pid=$(cat /run/mosquitto/mosquitto.pid); [ "$(stat -c %U /proc/$pid)" = mosquitto ]; kill $pid
""",
}
HOSTS = "[ -e /etc/hosts ] || echo 127.0.0.1 localhost > /etc/hosts\n"  # A device's own: no layer has it.
THIRD = "uuid-runtime"  # With a system user and a group of its own.

JUDGES = {
    "dpkg --verify": "dpkg --verify || true",
    "dpkg --audit": "dpkg --audit || true",
    "pwck -r": "pwck -r 2>&1 | grep -v '^pwck: no changes' || true",
    "grpck -r": "grpck -r 2>&1 | grep -v '^grpck: no changes' || true",
}

# What is made from other files, and made again on each device (shared/image/rules.hpp), with the directories in which
# that is done; and who the rest of the tree belongs to by name.
DERIVED = ("etc/ld.so.cache", "var/cache/ldconfig", "var/cache/man", "usr/share/mime/mime.cache")
OWN = (".lamina", "etc/hostname", "etc/machine-id", "etc/fstab", "proc", "sys", "dev", "run", "tmp")


def names_of(tree, file):
    names = {}
    with open(os.path.join(tree, file), encoding="utf-8") as lines:
        for line in lines:
            fields = line.split(":")
            if len(fields) > 2:
                names.setdefault(int(fields[2]), fields[0])
    return names


def listing(tree):
    """{path: what stands there}, with the names of owners instead of their ids; account files by name and members."""
    users, groups = names_of(tree, "etc/passwd"), names_of(tree, "etc/group")
    found = {}
    for folder, folders, files in os.walk(tree):
        here = os.path.relpath(folder, tree)
        for name in [*folders, *files]:
            path = os.path.normpath(os.path.join(here, name))
            if any(path == one or path.startswith(one + "/") for one in (*DERIVED, *OWN)):
                if name in folders:
                    folders.remove(name)
                continue
            full = os.path.join(tree, path)
            facts = os.lstat(full)
            what = [stat.filemode(facts.st_mode), users.get(facts.st_uid, facts.st_uid),
                    groups.get(facts.st_gid, facts.st_gid)]
            is_holder = any(os.path.dirname(one) == path for one in (*DERIVED, *OWN))
            if not is_holder:
                what.append(facts.st_mtime_ns)
            if stat.S_ISLNK(facts.st_mode):
                what.append(os.readlink(full))
            elif stat.S_ISREG(facts.st_mode):
                what.append(digest(full, users, groups, path))
            what.append(sorted((key, os.getxattr(full, key, follow_symlinks=False))
                               for key in os.listxattr(full, follow_symlinks=False)))
            found[path] = what
    return found


def digest(full, users, groups, path):
    with open(full, "rb") as file:
        data = file.read()
    if path in ("etc/passwd", "etc/group", "etc/subuid", "etc/subgid"):
        # An account that stays keeps the id that it got here.
        lines = []
        for line in data.decode().splitlines():
            fields = line.split(":")
            if path == "etc/passwd":
                fields[2:4] = [users.get(int(fields[2])), groups.get(int(fields[3]))]
            elif path == "etc/group":
                fields[2] = groups.get(int(fields[2]))
            lines.append(tuple(fields))
        return lines
    return hashlib.sha256(data).hexdigest()


def differing(one, other):
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


class Trial:
    def __init__(self, fleet, checks, chroot):
        self.fleet, self.checks, self.chroot = fleet, checks, chroot
        self.run_dir = fleet.run_dir

    def tree(self, name):
        return os.path.join(self.run_dir, "trees", name)

    def make_trees(self, base):
        os.makedirs(os.path.join(self.run_dir, "trees"))
        verify.copy(base, self.tree(BASE))
        self.chroot.update(self.tree(BASE))
        self.fleet.capture(BASE, "1", self.tree(BASE))
        for name, (packages, more) in SETS.items():
            verify.copy(self.tree(BASE), self.tree(name))
            self.chroot.install(self.tree(name), packages, more)
            seconds, packs, done = self.fleet.capture(name, "1", self.tree(name), kind="app", over=f"{BASE}:1")
            print(f"   {name}: {done.out.splitlines()[-1]}, {seconds:.1f} s, {sum(packs.values()) / 1e6:.1f} MB of packs")

    def both_by_apt(self, one, other):
        """What Debian's tools say where apt installed both."""
        packages = SETS[one][0] + SETS[other][0]
        script = "".join(f"echo '== {name}'\n{command}\n" for name, command in JUDGES.items())
        said = self.chroot.install(self.tree(BASE), packages, SETS[one][1] + SETS[other][1] + "echo '== judges'\n" +
                                   script, scratch=True)
        return said.partition("== judges\n")[2]

    def judge(self, volume, expected, names):
        """Whether the tools say nothing that they do not say there, each line; what the applications and apt did."""
        script = "".join(f"echo '== {name}'\n{command}\n" for name, command in JUDGES.items())
        said = self.chroot.must(volume, script)
        more = [line for line in said.splitlines() if line not in expected.splitlines()]
        self.checks.check(f"{' + '.join(names)}: dpkg, pwck and grpck find nothing more than after apt", not more,
                          "; ".join(more)[:300] or f"{len(said.splitlines()) - len(JUDGES)} lines")
        for name in names:
            code, said = self.chroot.run(volume, HOSTS + RUNS[name])
            self.checks.check(f"{' + '.join(names)}: {name} runs", code == 0, said.strip()[-300:] or "it does")
        try:
            said = self.chroot.install(volume, [THIRD], "dpkg --audit\nid uuidd\n", scratch=True)
            self.checks.check(f"{' + '.join(names)}: apt installs {THIRD}", "uid=" in said, said.splitlines()[-1])
        except reference.ReferenceError as error:
            self.checks.check(f"{' + '.join(names)}: apt installs {THIRD}", False, str(error)[-300:])

    def assign(self, device, names):
        layers = [f"{name}:1" for name in (BASE, *names)]
        self.fleet.cli("assign", "--device", device.id, "--layers", ",".join(layers))
        self.fleet.wait_applied(layers, 300, [device])

    def same(self, what, device, expected):
        differs = differing(expected, listing(device.volume))
        self.checks.check(what, not differs, ", ".join(differs)[:300] or f"{len(expected)} paths")

    def revert(self, device, name):
        """An application and back: rsync compares with a copy of before, what is made from other files aside."""
        self.assign(device, ())
        was = self.tree("was-" + name)
        verify.copy(device.volume, was)
        rules = [*verify.SNAPSHOT_FILTER, *verify.sockets(device.volume), *(f"- /{path}" for path in DERIVED)]
        self.assign(device, (name,))
        changed = verify.differences(was, device.volume, rules)
        device.command("revert")
        left = [line for line in verify.differences(was, device.volume, rules)
                # The directories in which something is made anew.
                if not any(line.endswith(f" {os.path.dirname(path)}/") for path in DERIVED)]
        self.checks.check(f"{name} reverted: the very tree of before", changed and not left,
                          ", ".join(left)[:300] or f"{len(changed)} changes undone")

    def run(self, only):
        device, other = self.fleet.devices
        for name in only:
            self.revert(other, name)
        self.assign(device, ())
        base = listing(device.volume)
        for one, two in itertools.combinations(only, 2):
            expected = self.both_by_apt(one, two)
            for first, second in ((one, two), (two, one)):
                # A volume that has the first only, and never had the second.
                self.assign(other, (first,))
                never = listing(other.volume)
                self.assign(device, (first, second))
                self.judge(device.volume, expected, (first, second))
                self.assign(device, (first,))
                self.same(f"{first}, {second} unassigned: the tree that never had it", device, never)
                code, said = self.chroot.run(device.volume, HOSTS + RUNS[first])
                self.checks.check(f"{first}, {second} unassigned: {first} still runs", code == 0,
                                  said.strip()[-300:] or "it does")
                self.assign(other, ())
                self.same(f"{first} unassigned: the base", other, base)
        self.assign(device, ())
        self.same("all unassigned: the base", device, base)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Example: ./dev applications --only nginx,mosquitto")
    parser.add_argument("--build", default="build")
    parser.add_argument("--keep", action="store_true", help="keep trees, volumes and logs")
    parser.add_argument("--only", default=",".join(SETS), help=f"sets of applications (default: {','.join(SETS)})")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := [name for name in only if name not in SETS]:
        parser.error(f"there is no set '{unknown[0]}': one of {', '.join(SETS)}")
    missing = [tool for tool in ("mmdebstrap", "unshare", "rsync") if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        print("SKIP applications: needs " + (f"the programs {', '.join(missing)}" if missing else "root"))
        return 77

    def work(lab, checks):
        cache = os.path.join(os.path.abspath(options.build), "demo")
        base = reference.debian(cache, print)
        chroot = Chroot(os.path.join(cache, "apt"))
        fleet = Fleet(lab, Loopback(2), options.build)
        fleet.init_origin()
        fleet.start_origin()
        trial = Trial(fleet, checks, chroot)
        for name in list(SETS):
            if name not in only:
                del SETS[name]
        trial.make_trees(base)
        fleet.cli("site", "add", "branch", "--subnet", fleet.net.SUBNET)
        token = fleet.token("applications", 2)
        for _ in fleet.net.devices:
            device = fleet.add_device()
            device.more_capabilities = ["sys_chroot"]
            device.give_identity()
            device.enroll(token)
            fleet.cli("device", "assign", device.id, "--site", "branch")
            device.start()
        trial.run(only)

    return in_lab(options, "applications", work)


if __name__ == "__main__":
    sys.exit(main())
