"""A whole machine: a tree becomes a disk with GRUB, and QEMU starts it without KVM. Its power can be cut at any moment.

The disk is a qcow2 file over a base. QEMU writes what the guest wrote when the guest flushes, and keeps in memory
where new clusters lie until then: killed, it has lost an arbitrary part of what was written since the last flush, as a
disk with a cache of its own does."""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import time

from lab import LabError, Process

OFFSET = 1 << 20  # Of the first partition; before it lies GRUB.
PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mke2fs", "grub-mkimage", "mmdebstrap", "unshare", "rsync", "losetup")
GRUB = "/usr/lib/grub/i386-pc"
GRUB_MODULES = ("biosdisk part_msdos ext2 normal configfile linux loadenv test echo search search_fs_uuid "
                "search_fs_file ls minicmd gzio all_video").split()


def missing():
    """What this machine lacks for it, or nothing."""
    lacks = [program for program in PROGRAMS if shutil.which(program) is None]
    if not os.path.exists(os.path.join(GRUB, "boot.img")):
        lacks.append(GRUB + " (grub-pc-bin)")
    return lacks


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, stdin=subprocess.DEVNULL, timeout=600,
                          **options)
    if done.returncode != 0:
        raise LabError(f"{words[0]}: {done.stderr.decode(errors='replace').strip()[-400:]}")
    return done.stdout.decode(errors="replace")


def make_disk(tree, path, uuid, megabytes, work):
    """A raw disk that starts by BIOS and GRUB: its first partition holds the tree. /boot/grub/grub.cfg is the tree's."""
    modules = os.path.join(tree, "boot/grub/i386-pc")
    shutil.rmtree(modules, ignore_errors=True)
    shutil.copytree(GRUB, modules, ignore=lambda _, names: [n for n in names if not n.endswith((".mod", ".lst"))])
    core = os.path.join(work, "core.img")
    run("grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, *GRUB_MODULES)
    size = megabytes << 20
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "wb") as disk:
        disk.truncate(size)
    run("mke2fs", "-q", "-t", "ext4", "-F", "-U", uuid, "-O", "^metadata_csum_seed,^orphan_file", "-E",
        f"offset={OFFSET},lazy_itable_init=0,lazy_journal_init=0", "-d", tree, path, f"{(size - OFFSET) >> 10}k")
    with open(path, "r+b") as disk, open(os.path.join(GRUB, "boot.img"), "rb") as boot, open(core, "rb") as image:
        loader = image.read()
        if 512 + len(loader) > OFFSET:
            raise LabError("GRUB's core image does not fit before the first partition")
        # boot.img loads sector 1, whose block list says that the rest follows: both are their defaults.
        table = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", OFFSET // 512,
                            (size - OFFSET) // 512)
        disk.write(boot.read(440).ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa")
        disk.seek(512)
        disk.write(loader)
    return path


def overlay(base, path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2" if base.endswith(".qcow2") else "raw", "-b",
        os.path.abspath(base), path)
    return path


@contextlib.contextmanager
def mounted(disk, work, keep=False):
    """The file system of a disk as the kernel would find it at the next start (its journal is played on a copy).
    `keep`: what is changed there is on the disk afterwards."""
    raw, place = os.path.join(work, "look.raw"), os.path.join(work, "look")
    run("qemu-img", "convert", "-O", "raw", disk, raw)
    os.makedirs(place, exist_ok=True)
    loop = run("losetup", "--find", "--show", "--offset", OFFSET, raw).strip()
    try:
        run("mount", "-t", "ext4", loop, place)
        try:
            yield place
        finally:
            run("umount", place)
        if keep:
            run("qemu-img", "convert", "-O", "qcow2", raw, disk)
    finally:
        run("losetup", "--detach", loop)
        os.unlink(raw)


class Guest:
    """A machine from one switching on to its power's end. A restart of its own is another start of QEMU: emulated by
    one, a warm start stood still once in thirty times."""

    def __init__(self, lab, disk, log, memory=768):
        self.socket_path = os.path.join(lab.run_dir, "serial.sock")
        self.log, self.seen, self.started = log, "", time.monotonic()
        self.is_ending = False
        # A graphics card, though nobody looks: GRUB's own configuration asks its BIOS, and hangs where there is none.
        self.words = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-machine", "q35", "-m", str(memory),
            "-no-reboot", "-display", "none", "-vga", "std", "-no-user-config", "-nodefaults", "-device", "virtio-rng-pci",
            "-drive", f"file={disk},if=virtio,format=qcow2,cache=writeback",
            "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=",
            "-chardev", f"socket,id=s0,path={self.socket_path},server=on,wait=off", "-serial", "chardev:s0"]
        self.begin()

    def begin(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket_path)
        self.process = Process("qemu", self.words, self.log + ".qemu")
        self.line = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 20
        while True:
            try:
                self.line.connect(self.socket_path)
                break
            except OSError:
                if time.monotonic() > end or not self.process.running():
                    raise LabError(f"QEMU did not start: {self.process.tail(3)}") from None
                select.select([], [], [], 0.05)

    def age(self):
        return time.monotonic() - self.started

    def read(self, seconds):
        """Takes in what the console says within that time; false: the machine is off."""
        ready, _, _ = select.select([self.line], [], [], seconds)
        if not ready:
            return True
        try:
            data = self.line.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.line.close()
            code = self.process.popen.wait(30)
            if self.is_ending or code != 0:
                return False
            self.begin()
            return True
        text = data.decode(errors="replace")
        self.seen += text
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(text)
        return True

    def wait_for(self, expression, seconds, since=0):
        """The first match on the console from position `since` on."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(expression, self.seen[since:])
            if found:
                return found
            if time.monotonic() > end:
                raise LabError(f"the guest's console did not say '{expression}' within {seconds} s; it ends with: "
                               f"{self.seen[-300:]!r}")
            if not self.read(min(1.0, max(0.0, end - time.monotonic()))):
                raise LabError(f"the guest is off; its console ends with: {self.seen[-300:]!r}")

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.read(min(left, 1.0)):
                return

    def type(self, text):
        self.line.sendall(text.encode())

    def ask(self, command, seconds=120):
        """What a command on the root console prints."""
        since = len(self.seen)
        # The echo has the quotes in between, the answer has not.
        self.type(f"echo '<''<'; {command}; echo '>''>'\n")
        return self.wait_for(r"<<\r?\n([\s\S]*?)\r?>>\r?\n", seconds, since).group(1).replace("\r", "")

    def power_off(self, seconds=180):
        self.is_ending = True
        self.type("poweroff\n")
        end = time.monotonic() + seconds
        while self.read(1.0):
            if time.monotonic() > end:
                raise LabError("the guest did not switch itself off")

    def cut_power(self):
        self.process.kill(signal.SIGKILL)
        self.process.popen.wait(30)
        self.line.close()
