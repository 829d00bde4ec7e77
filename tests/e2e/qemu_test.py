#!/usr/bin/env python3
"""A machine whose base layer is replaced while its power is cut: Debian in QEMU, with its own kernel, initramfs, GRUB
and node, fed by an origin on this machine. It runs from one base, gets another one with another kernel, other packages
and accounts, and the power fails at random moments of the starts in which it changes: each time it must come up wholly
old or wholly new, as the same machine. Where what it is to start from is damaged, it goes back by itself.

Minutes, and some GB below the build directory, where the two systems are kept. SKIP and exit code 77 where this machine
cannot show it."""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import guest  # noqa: E402
import reference  # noqa: E402
import verify  # noqa: E402
from chroot import Chroot  # noqa: E402
from fleet import Fleet  # noqa: E402
from guest import Guest  # noqa: E402
from lab import LabError, Loopback, Process, wait_until  # noqa: E402
from scenario import in_lab  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
UUID = "6c616d69-6e61-4000-8000-000000000001"
HOST = "10.0.2.2"  # This machine, as QEMU's guests see it.
BOOT_SECONDS = 1800

COMMON = ["systemd-sysv", "udev", "openssh-server", "initramfs-tools", "grub-pc-bin", "grub-common", "iproute2", "kmod",
          "libtorrent-rasterbar2.0", "libarchive13", "libxxhash0", "zstd", "e2fsprogs"]
# The two differ in kernel, packages, accounts, files and metadata.
SYSTEMS = {
    "old": ["nano", "less", "bzip2"],
    "new": ["mosquitto", "nginx-light", "adduser"],
}

# What a running system writes where layers are, and what is made anew on each device.
DRIFT = ["/etc/ld.so.cache", "/var/cache/ldconfig/", "/boot/initrd.img-*", "/boot/lamina", "/boot/grub/", "/lib/modules/",
         "/usr/lib/modules/*/modules.*", "/var/lib/initramfs-tools/", "/etc/udev/hwdb.bin", "/usr/lib/udev/hwdb.bin",
         "/var/lib/systemd/", "/var/cache/man", "/var/lib/nginx/", "/etc/.updated", "/var/.updated", "/etc/resolv.conf",
         "/var/cache/apt/*.bin", "/etc/.pwd.lock", "/var/lib/mosquitto/",
         # An account's id is the device's own: compared by name.
         "/etc/passwd", "/var/log/mosquitto"]
KEPT = ["etc/hostname", "etc/machine-id", "etc/fstab", "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key",
        "var/lib/lamina-node/node.json", "var/lib/lamina-node/net/device.key", "root/notes"]


def kernels(count):
    """The newest cloud kernels of this release that apt knows, oldest first."""
    said = subprocess.run(["apt-cache", "search", "--names-only", r"^linux-image-[0-9.]+-[0-9]+-cloud-amd64$"],
                          capture_output=True, text=True, check=False).stdout
    names = sorted((line.split()[0] for line in said.splitlines()),
                   key=lambda name: [int(part) for part in name.split("-")[2].split(".") + [name.split("-")[3]]])
    if len(names) < count:
        raise reference.ReferenceError("apt knows too few cloud kernels: run apt-get update")
    return names[-count:]


def write(tree, path, text, mode=0o644):
    full = os.path.join(tree, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(full, mode)


class Systems:
    """The two Debian trees: their packages once, kept below `cache`; Lamina's own files at every run."""

    def __init__(self, build):
        self.build, self.cache = os.path.abspath(build), os.path.join(os.path.abspath(build), "qemu")
        os.makedirs(self.cache, exist_ok=True)
        demo = os.path.join(self.build, "demo")
        self.base = reference.debian(demo, print)
        self.chroot = Chroot(os.path.join(demo, "apt"))
        older, *_, newest = kernels(7)
        self.packages = {"old": COMMON + [older] + SYSTEMS["old"], "new": COMMON + [newest] + SYSTEMS["new"]}
        self.kernel = {"old": older.removeprefix("linux-image-"), "new": newest.removeprefix("linux-image-")}

    def tree(self, name):
        return os.path.join(self.cache, "debian-" + name)

    def make(self, name):
        tree, made = self.tree(name), self.tree(name) + ".complete"
        wanted = " ".join(sorted(self.packages[name]))
        if not os.path.exists(made) or open(made, encoding="ascii").read() != wanted:
            print(f"installing the {name} system (once, kept in {os.path.relpath(tree)})", flush=True)
            shutil.rmtree(tree, ignore_errors=True)
            verify.copy(self.base, tree)
            # Quick to make, and enough for this machine's disk and network.
            write(tree, "etc/initramfs-tools/conf.d/guest", "MODULES=list\nCOMPRESS=gzip\nFSTYPE=ext4\n")
            write(tree, "etc/initramfs-tools/modules", "virtio_pci\nvirtio_blk\nvirtio_net\n")
            self.chroot.update(tree)
            self.chroot.install(tree, self.packages[name])
            with open(made, "w", encoding="ascii") as file:
                file.write(wanted)
        self.add_lamina(name)

    def add_lamina(self, name):
        tree = self.tree(name)

        def put(source, path, mode):
            full = os.path.join(tree, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            shutil.copyfile(source, full)
            os.chmod(full, mode)

        for program, path in (("node/lamina-node", "usr/bin/lamina-node"),
                              ("node/lamina-early", "usr/lib/lamina/lamina-early")):
            put(os.path.join(self.build, program), path, 0o755)
            guest.run("strip", os.path.join(tree, path))
        early = os.path.join(TOP, "node/early")
        for kind in ("hooks", "scripts/local-bottom"):
            put(f"{early}/initramfs-tools/{kind}/lamina", f"usr/share/initramfs-tools/{kind}/lamina", 0o755)
        put(f"{early}/grub.d/42_lamina", "etc/grub.d/42_lamina", 0o755)
        for unit in ("lamina-node.service", "lamina-node-worker.service"):
            put(os.path.join(TOP, "node/systemd", unit), "usr/lib/systemd/system/" + unit, 0o644)
        put(os.path.join(TOP, "node/systemd/sysusers.d/lamina-node.conf"), "usr/lib/sysusers.d/lamina-node.conf", 0o644)
        write(tree, "etc/systemd/system/lamina-node.service.d/guest.conf",
              "[Service]\nExecStart=\nExecStart=/usr/bin/lamina-node run --state /var/lib/lamina-node "
              "--wan-transport https --beacon-port off\n")
        write(tree, "etc/systemd/system/serial-getty@ttyS0.service.d/guest.conf",
              "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 - dumb\n")
        write(tree, "etc/lamina-test", f"the {name} system\n")
        self.chroot.must(tree, f"""
systemd-sysusers
systemctl enable -q lamina-node.service lamina-node-worker.service systemd-networkd.service serial-getty@ttyS0.service
systemctl mask -q apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer man-db.timer \
  systemd-networkd-wait-online.service getty@tty1.service getty-static.service e2scrub_reap.service fstrim.timer \
  systemd-pstore.service systemd-update-utmp.service systemd-journal-flush.service systemd-binfmt.service \
  systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service logrotate.timer mosquitto nginx
update-initramfs -u -k {self.kernel[name]}
rm -f /etc/hostname /etc/machine-id /etc/fstab /etc/resolv.conf /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
""", scratch=False)


class Machine:
    def __init__(self, lab, fleet, systems):
        self.lab, self.fleet, self.systems = lab, fleet, systems
        self.tree = os.path.join(lab.run_dir, "machine")
        self.log = os.path.join(lab.run_dir, "log", "console")
        self.id = ""

    def make(self, token):
        """The machine as it was set up by hand: the old system, with what is its own."""
        verify.copy(self.systems.tree("old"), self.tree)
        kernel = self.systems.kernel["old"]
        write(self.tree, "etc/hostname", "branch-7\n")
        write(self.tree, "etc/hosts", "127.0.0.1 localhost branch-7\n")
        write(self.tree, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        write(self.tree, "etc/fstab", f"UUID={UUID} / ext4 defaults 0 1\n")
        write(self.tree, "root/notes", "mine\n")
        write(self.tree, "etc/systemd/network/wire.network",
              f"[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway={HOST}\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n")
        write(self.tree, "etc/default/grub",
              'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'
              'GRUB_CMDLINE_LINUX="console=ttyS0 panic=5 no_timer_check"\nGRUB_DISABLE_OS_PROBER=true\nGRUB_DISABLE_RECOVERY=true\n')
        # Until the machine's first own grub-mkconfig.
        write(self.tree, "boot/grub/grub.cfg", f"""set default=0
set timeout=0
menuentry 'Debian' {{
  search --no-floppy --fs-uuid --set=root {UUID}
  linux /boot/vmlinuz-{kernel} root=UUID={UUID} ro console=ttyS0 panic=5 no_timer_check quiet
  initrd /boot/initrd.img-{kernel}
}}
if [ -f /boot/lamina/grub.cfg ]; then
  source /boot/lamina/grub.cfg
fi
""")
        for kind in ("ed25519", "rsa"):
            key = os.path.join(self.tree, f"etc/ssh/ssh_host_{kind}_key")
            for old in (key, key + ".pub"):
                if os.path.exists(old):
                    os.unlink(old)
            guest.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key)
        self.systems.chroot.must(self.tree, f"""
lamina-node enroll --origin {self.fleet.api} --ca-fingerprint {self.fleet.fingerprint} --token {token} \
  --volume /mnt --user lamina --hardware-uuid 11111111-2222-3333-4444-555555555555
""", scratch=False, network=True)
        self.id = self.fleet.cli_json("device", "ls")[0]["id"]
        self.fleet.cli("device", "assign", self.id, "--site", "branch")
        self.fill_cache()
        self.kept = {}  # What is this machine's own.
        for path in KEPT:
            with open(os.path.join(self.tree, path), "rb") as file:
                self.kept[path] = file.read()

    def fill_cache(self):
        """Its own programs, run in its root before it is a disk: the old base counts as applied, and the packs of both
        are there. QEMU without KVM takes minutes for that. /mnt is the root without what is mounted in it."""
        self.fleet.cli("assign", "--device", self.id, "--layers", "debian:1")
        running = Process("first node", ["unshare", "--mount", "--pid", "--kill-child", "--fork", "chroot", self.tree, "sh",
                                         "-c", """
mount -t proc proc /proc
mount --bind / /mnt
lamina-node run --state /var/lib/lamina-node --wan-transport https --beacon-port off &
exec lamina-node worker --state /var/lib/lamina-node
"""], self.log + ".first")
        try:
            self.fleet.wait_applied(["debian:1"], 300, [self])
            self.fleet.cli("stage", "--device", self.id, "--layers", "debian:2")
            wait_until(lambda: self.has_cached(2), 300, "both bases in the machine's cache", every=1.0)
        finally:
            running.kill()
            running.popen.wait(30)
        config = os.path.join(self.tree, "var/lib/lamina-node/node.json")
        with open(config, encoding="utf-8") as file:
            text = file.read()
        with open(config, "w", encoding="utf-8") as file:
            file.write(text.replace('"/mnt"', '"/"'))

    def has_cached(self, layers):
        held = self.record().get("layers") or []
        return len(held) == layers and all(layer["missing_bytes"] == 0 and layer["reason"] == "local-cache"
                                           for layer in held)

    def start(self, disk):
        return Guest(self.lab, disk, self.log)

    def record(self):
        return self.fleet.cli_json("device", "show", self.id)[0]

    def waits(self):
        return any(layer["reason"] == "waiting-for-restart" for layer in self.record().get("layers") or [])


def differing(tree, place):
    """{path: how it differs there}, in what layers hold."""
    rules = [f"- {rule}" for rule in DRIFT] + verify.LAYER_FILTER + verify.sockets(tree)
    found = {}
    for line in verify.differences(tree, place, rules):
        how, _, path = line.partition(" ")
        # A directory's time alone: something ran from it.
        if how != ".d..t......":
            found[path.strip()] = how
    if accounts(tree) != accounts(place):
        found["etc/passwd"] = "accounts"
    return found


def accounts(tree):
    """Without their ids, and in any order."""
    lines = read(os.path.join(tree, "etc/passwd")).decode().splitlines()
    return sorted(line.split(":")[:2] + line.split(":")[4:] for line in lines)


def side_of(place, systems, made):
    """Which system the file system at `place` is wholly, or "" and what differs from each. `made`: the times that are
    other ones since the disk was made, by a tool that keeps no fractions of seconds."""
    wrong = {}
    for name in SYSTEMS:
        found = {path: how for path, how in differing(systems.tree(name), place).items()
                 if made.get(path) != how or how[2:] != "..t......"}
        if not found:
            return name, {}
        wrong[name] = found
    return "", wrong


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


class Trial:
    def __init__(self, lab, checks, options):
        self.lab, self.checks, self.options = lab, checks, options
        self.systems = Systems(options.build)
        net = Loopback(1)
        net.ORIGIN = HOST
        net.SUBNET = "10.0.2.0/24"
        self.fleet = Fleet(lab, net, options.build)
        self.machine = Machine(lab, self.fleet, self.systems)

    def disk(self, name):
        return os.path.join(self.lab.run_dir, name)

    def prepare(self):
        """The disk of a machine that runs the old base and has the new one staged."""
        self.fleet.init_origin()
        self.fleet.start_serve()
        for number, name in enumerate(SYSTEMS):
            self.fleet.capture("debian", str(number + 1), self.systems.tree(name))
        self.fleet.cli("site", "add", "branch", "--subnet", self.fleet.net.SUBNET)
        self.machine.make(self.fleet.token("machine", 1))
        guest.make_disk(self.machine.tree, self.disk("made.raw"), UUID, 2500, self.lab.run_dir)
        shutil.rmtree(self.machine.tree)
        staged = guest.overlay(self.disk("made.raw"), self.disk("staged.qcow2"))
        machine = self.machine.start(staged)
        machine.wait_for(r"root@branch-7:", BOOT_SECONDS)
        print(f"   it runs the old base after {machine.age():.0f} s", flush=True)
        self.fleet.cli("assign", "--device", self.machine.id, "--layers", "debian:2")
        self.wait(machine, self.machine.waits, "the new base staged")
        record = self.machine.record()
        self.checks.check("staged, it waits for the restart, and says so",
                          record["applied"] == ["debian:1"] and record.get("restart_due") == ["debian 2"],
                          f"because of {record.get('restart_due')}, {machine.age():.0f} s after its start")
        explained = self.fleet.cli("explain", "--device", self.machine.id).out
        said = [line for line in explained.splitlines() if "waiting-for-restart" in line]
        self.checks.check("explain says what it waits for", said, " ".join(said))
        machine.power_off()

    def wait(self, machine, condition, what, seconds=BOOT_SECONDS):
        """Keeps the console flowing meanwhile."""
        def holds():
            if not machine.read(0.2):
                raise LabError(f"the guest is off; its console ends with: {machine.seen[-300:]!r}")
            return condition()
        wait_until(holds, seconds, what, every=1.0)

    def staged(self):
        """The disk of prepare(), which is kept and serves again with --staged: the starts need no origin."""
        kept = os.path.join(self.systems.cache, "staged")
        facts = os.path.join(kept, "own.json")
        if not (self.options.staged and os.path.exists(facts)):
            self.prepare()
            shutil.rmtree(kept, ignore_errors=True)
            os.makedirs(kept)
            guest.run("qemu-img", "convert", "-O", "qcow2", self.disk("staged.qcow2"), os.path.join(kept, "disk.qcow2"))
            self.write(facts, {path: text.hex() for path, text in self.machine.kept.items()})
        with open(facts, encoding="ascii") as file:
            self.machine.kept = {path: bytes.fromhex(text) for path, text in json.load(file).items()}
        disk = os.path.join(kept, "disk.qcow2")
        with guest.mounted(disk, self.lab.run_dir) as place:
            self.made = differing(self.systems.tree("old"), place)
        self.checks.check("before the start it is wholly old",
                          all(how[2:] == "..t......" for how in self.made.values()),
                          f"{len(self.made)} times but for their fractions")
        return disk

    @staticmethod
    def write(path, value):
        with open(path, "w", encoding="ascii") as file:
            json.dump(value, file)

    def run(self):
        staged = self.staged()
        generator = random.Random(self.options.seed)
        disk = self.disk("trial.qcow2")
        took = os.path.join(os.path.dirname(staged), "seconds.json")
        if self.options.staged and os.path.exists(took):
            with open(took, encoding="ascii") as file:
                seconds = json.load(file)
        else:
            # Once without a failure: how long it takes, and that it works at all.
            guest.overlay(staged, disk)
            machine = self.machine.start(disk)
            seconds = self.come_up(machine)
            self.judge("without a power cut", disk, machine, wanted="new")
            self.write(took, seconds)
        for number in range(1, self.options.cuts + 1):
            guest.overlay(staged, disk)
            at = generator.uniform(0.5, seconds)
            machine = self.machine.start(disk)
            machine.watch(at)
            machine.cut_power()
            machine = self.machine.start(disk)
            self.come_up(machine)
            self.judge(f"power cut {number}, after {at:.1f} of {seconds:.0f} s", disk, machine)
        for part, why in (("vmlinuz", "which GRUB cannot load"), ("initrd.img", "with which the kernel panics")):
            self.fall_back(staged, disk, part, why)

    def fall_back(self, staged, disk, part, why):
        """What the machine is to start from after the change does not come up: it goes back by itself."""
        guest.overlay(staged, disk)
        machine = self.machine.start(disk)
        machine.wait_for("early_restarts_the_machine", BOOT_SECONDS)
        machine.cut_power()
        with guest.mounted(disk, self.lab.run_dir, keep=True) as place:
            with open(os.path.join(place, "boot/lamina/grub.cfg"), encoding="ascii") as file:
                offered = re.match(r"# lamina kept \d+ offered (\d+)", file.readline()).group(1)
            damaged = os.path.join(place, "boot/lamina", offered, part)
            os.unlink(damaged)  # The system's own file has another name.
            write(place, os.path.relpath(damaged, place), "none\n" * 1000)
        machine = self.machine.start(disk)
        self.come_up(machine)
        started = machine.ask("cat /proc/cmdline")
        self.checks.check(f"a damaged {part}, {why}: the kernel of before is started",
                          "lamina.start=kept" in started, f"{machine.age():.0f} s")
        self.judge(f"and the machine is as before, with a damaged {part}", disk, machine, wanted="old")

    def come_up(self, machine):
        """Seconds until the machine is up, the change over, and the loader the machine's own again."""
        machine.wait_for(r"root@branch-7:", BOOT_SECONDS)
        end = time.monotonic() + BOOT_SECONDS
        while "waits" in machine.ask("[ -e /boot/lamina/grub.cfg ] && echo waits; [ -e /.lamina/due ] && echo waits"):
            if time.monotonic() > end:
                raise LabError("the machine does not come to rest")
            machine.watch(2.0)
        return machine.age()

    def judge(self, what, disk, machine, wanted=None):
        kernel = machine.ask("uname -r").strip()
        failed = machine.ask("systemctl list-units --failed --plain --no-legend").strip()
        machine.power_off()
        with guest.mounted(disk, self.lab.run_dir) as place:
            side, wrong = side_of(place, self.systems, self.made)
            foreign = [path for path, own in self.machine.kept.items() if read(os.path.join(place, path)) != own]
        holds = side and kernel == self.systems.kernel[side] and wanted in (None, side) and not foreign and not failed
        text = (f"wholly {side}" if side else "between: " + "; ".join(
            f"{len(paths)} from {name}, as {', '.join(f'{how} {path}' for path, how in list(paths.items())[:4])}"
            for name, paths in wrong.items()))
        self.checks.check(what, holds, f"{text}; kernel {kernel}" + (f"; not its own: {foreign}" if foreign else "") +
                          (f"; failed: {failed}" if failed else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Example: ./dev qemu --cuts 5 --seed 7")
    parser.add_argument("--build", default="build")
    parser.add_argument("--cuts", type=int, default=20, help="power cuts (default: 20)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the cuts (default: by chance)")
    parser.add_argument("--staged", action="store_true", help="begin with the staged disk of the run before")
    parser.add_argument("--keep", action="store_true", help="keep disks, the origin and logs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    lacks = guest.missing()
    if os.geteuid() != 0 or lacks:
        print("SKIP qemu: needs " + (f"{', '.join(lacks)}" if lacks else "root"))
        return 77
    if not options.inside:
        systems = Systems(options.build)
        for name in SYSTEMS:
            systems.make(name)
        if options.seed is None:
            options.seed = random.SystemRandom().randrange(1 << 32)
        # In a network of its own the origin is at the address that QEMU gives this machine.
        return subprocess.run(["unshare", "--net", "sh", "-ec", f"ip link set lo up; ip addr add {HOST}/32 dev lo; "
                               'exec "$@"', "sh", sys.executable, os.path.abspath(__file__), "--inside",
                               "--build", options.build, "--cuts", str(options.cuts), "--seed", str(options.seed),
                               *[f"--{name}" for name in ("keep", "staged") if getattr(options, name)]], check=False).returncode
    print(f"seed {options.seed}", flush=True)
    return in_lab(options, "qemu", lambda lab, checks: Trial(lab, checks, options).run())


if __name__ == "__main__":
    sys.exit(main())
