"""What a run costs (wall clock, processor, memory), and the fresh file systems that it runs on."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace

TICKS = os.sysconf("SC_CLK_TCK")


class ToolFailed(Exception):
    """A program that did not do what it was told, with what it said."""


@dataclass
class Sample:
    """One run of one tool. None: not measured."""
    wall: float = None       # Seconds, until the result is on the disk where one is written.
    cpu: float = None        # Seconds, user and system, of all its processes.
    rss: int = None          # Most resident bytes of its largest process.
    bytes: int = None        # What it stored or sent.
    stored: int = None       # What a repository grew by, where less than that was sent.
    out: str = ""            # What the tool said, for whoever takes figures from it.

    def then(self, other):
        """The cost of this and, after it, of another."""
        return replace(self, wall=self.wall + other.wall, cpu=self.cpu + other.cpu, rss=max(self.rss, other.rss))


def execute(words, cwd=None, env=None, seconds=1200, first_byte=False):
    """Runs a program to its end and measures it with everything that it started. With first_byte the wall clock ends
    at the first byte that it prints."""
    words = [str(word) for word in words]
    with tempfile.NamedTemporaryFile("r", encoding="ascii") as peak:
        begun, before = time.monotonic(), _cpu_of_children()
        # time(1) starts the program from a small process of its own: a child's peak begins with that of its parent.
        popen = subprocess.Popen(["/usr/bin/time", "-q", "-f", "%M", "-o", peak.name, *words], cwd=cwd,
                                 env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, start_new_session=True)
        try:
            head = b""
            if first_byte and select.select([popen.stdout], [], [], seconds)[0]:
                head = os.read(popen.stdout.fileno(), 1)
            wall = time.monotonic() - begun
            out, err = popen.communicate(timeout=seconds)
            if not first_byte:
                wall = time.monotonic() - begun
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"{' '.join(words[:6])}: no end after {seconds} s") from None
        finally:
            if popen.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)
                popen.communicate()
        cpu = _cpu_of_children() - before
        out = (head + out).decode(errors="replace")
        if popen.returncode != 0:
            said = err.decode(errors="replace").strip() or out.strip() or "no output"
            raise ToolFailed(f"{' '.join(words[:8])}: exit code {popen.returncode}: {said[-1500:]}")
        return Sample(wall, cpu, int(peak.read().split()[-1]) * 1024, out=out)


def _cpu_of_children():
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def shell(script, *arguments, **options):
    """A pipeline: fails when one of its programs does."""
    return execute(["bash", "-c", "set -euo pipefail\n" + script, "bench", *arguments], **options)


class Daemons:
    """What long-running processes use from now on, by the kernel's own count of each."""

    def __init__(self, pids):
        self.pids = list(pids)
        for pid in self.pids:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")  # The peak begins anew.
        self.before = self._cpu()

    def _cpu(self):
        total = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                words = file.read().rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
        return total / TICKS

    def cpu(self):
        return self._cpu() - self.before

    def rss(self):
        most = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                most = max(most, *(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")))
        return most

    def with_client(self, client):
        """The cost of a program together with that of the daemons it spoke to."""
        return replace(client, cpu=client.cpu + self.cpu(), rss=max(client.rss, self.rss()))


def sent_on_loopback():
    """Bytes of all packets on the loopback of this network namespace until now, headers and answers with them."""
    with open("/proc/self/net/dev", encoding="ascii") as file:  # /sys shows another namespace's.
        [fields] = [line.split(":")[1].split() for line in file if line.strip().startswith("lo:")]
    return int(fields[8])


def flush(path):
    """Everything that was written to this file system is on its disk when this returns."""
    return execute(["sync", "-f", path])


def warm(path):
    """Reads every file, so that no tool pays for the disk of another one's turn."""
    shell('find "$1" -type f -print0 | xargs -0 -r cat > /dev/null', path)


def size_of(*paths, leave_out=()):
    """Bytes of all files below, each inode once."""
    seen, total = set(), 0
    for path in paths:
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if name not in leave_out]
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                if status.st_ino not in seen and name not in leave_out:
                    seen.add(status.st_ino)
                    total += status.st_size
    return total


class Volume:
    """An ext4 of its own in a sparse file, mounted by a loop device. Files are made several times as fast there as in
    a large old file system, whose cost hides what the tools themselves do."""

    GIGABYTES = 24

    def __init__(self, mountpoint, image, copy_of=None):
        self.path, self.image = mountpoint, image
        os.makedirs(mountpoint, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(image)
        if copy_of:
            execute(["cp", "--sparse=always", copy_of, image])
        else:
            with open(image, "wb") as file:
                file.truncate(self.GIGABYTES << 30)
            execute(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", image])
        # Nothing shall initialize tables in the background of a measurement: the sparse file reads as zeros anyway.
        execute(["mount", "-o", "loop,noinit_itable", image, mountpoint])
        self.mounted = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def unmount(self):
        """The image stays."""
        if self.mounted:
            execute(["umount", self.path])
            self.mounted = False

    def drop(self):
        if self.mounted:
            # Whoever still holds a file of it is being killed: it must not keep the name.
            subprocess.run(["umount", "--lazy", self.path], capture_output=True, timeout=60)
            self.mounted = False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)


def no_loop_mounts(folder):
    """None, or why this machine and user cannot mount a file system of its own."""
    if os.geteuid() != 0:
        return "not root"
    try:
        with Volume(os.path.join(folder, "probe"), os.path.join(folder, "probe.img")):
            return None
    except (ToolFailed, OSError) as error:
        return str(error)
