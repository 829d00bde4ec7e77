"""Reference trees: a Debian base system, a small tree made of this machine's own files, specimens of
everything a file system can hold, and the next version of a tree."""

import contextlib
import glob
import os
import random
import shutil
import socket
import stat
import struct
import subprocess

from verify import copy


class ReferenceError(Exception):
    pass


def codename():
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=", 1)[1].strip().strip('"')
    raise ReferenceError("/etc/os-release names no VERSION_CODENAME: pass a tree with --tree")


def debian(cache, say):
    """A Debian minbase tree by mmdebstrap with this machine's own package sources; made once."""
    tree = os.path.join(cache, "debian")
    if os.path.exists(tree + ".complete"):
        return tree
    code = codename()
    sources = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        if path.endswith((".list", ".sources")) and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                # Other vendors' sources have suites and keys of their own.
                if code in file.read():
                    sources.append(path)
    if not sources:
        raise ReferenceError(f"no package source of {code} in /etc/apt: pass a tree with --tree")
    options = []
    for path in sorted(glob.glob("/etc/apt/apt.conf.d/*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if "Acquire" in file.read():
                options.append(f"--aptopt={path}")
    say(f"building a Debian {code} base system with mmdebstrap (once, kept in {os.path.relpath(cache)})")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(cache, exist_ok=True)
    done = subprocess.run(["mmdebstrap", "--variant=minbase", "--mode=root", "--quiet", *options, code, tree, *sources],
                          capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise ReferenceError(f"mmdebstrap: {done.stderr.strip()[-800:]}")
    add_specimens(tree)
    with open(tree + ".complete", "w", encoding="ascii"):
        pass
    return tree


def small(cache, megabytes=60, specimens=True):
    """About `megabytes` of this machine's own files, with a root's shape. Quick to make, so made anew."""
    tree = os.path.join(cache, "small")
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("etc", "usr", "var/log/apt", "var/lib", "proc", "sys", "dev", "run", "tmp", "home", "root", "srv"):
        os.makedirs(os.path.join(tree, name), exist_ok=True)
    left = megabytes * 1_000_000
    for source, share in (("/etc", 0.05), ("/usr/share/perl5", 0.1), ("/usr/share/zoneinfo", 0.05),
                          ("/usr/lib/python3", 0.2), ("/usr/bin", 0.6)):
        left -= _copy_some(source, tree + source, min(left, int(megabytes * 1_000_000 * share)))
    name_system(tree)
    with open(os.path.join(tree, "var/log/apt/history.log"), "w", encoding="ascii") as file:
        file.write("what a log says is not part of a layer\n")
    with open(os.path.join(tree, "etc/fstab"), "w", encoding="ascii") as file:
        file.write("UUID=reference / ext4 defaults 0 1\n")
    if specimens:
        add_specimens(tree)
    return tree


def name_system(tree):
    """Makes the tree say which system it is: a release file and a shell, this machine's own."""
    for folder in ("etc", "usr/lib", "usr/bin"):
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    shutil.copy("/etc/os-release", os.path.join(tree, "usr/lib/os-release"))
    shutil.copy2("/bin/sh", os.path.join(tree, "usr/bin/dash"))
    for name, target in (("etc/os-release", "../usr/lib/os-release"), ("bin", "usr/bin"), ("usr/bin/sh", "dash")):
        with contextlib.suppress(FileExistsError):
            os.symlink(target, os.path.join(tree, name))


def _copy_some(source, target, budget):
    """Copies files in the order of their names until the budget is used; returns the bytes copied."""
    used = 0
    for folder, folders, names in os.walk(source):
        folders.sort()
        here = os.path.join(target, os.path.relpath(folder, source))
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)) or \
                        status.st_size > budget - used or status.st_size > 8 << 20:
                    continue
                os.makedirs(here, exist_ok=True)
                shutil.copy2(path, os.path.join(here, name), follow_symlinks=False)
                if os.geteuid() == 0:
                    os.lchown(os.path.join(here, name), status.st_uid, status.st_gid)
                    if not stat.S_ISLNK(status.st_mode):
                        os.chmod(os.path.join(here, name), stat.S_IMODE(status.st_mode))
                used += status.st_size
            except OSError:
                continue  # Unreadable for this user: the tree is a sample anyway.
    return used


def add_specimens(tree):
    """opt/specimens: one of everything. What the file system or the user cannot make is left out."""
    base = os.path.join(tree, "opt/specimens")
    os.makedirs(base, exist_ok=True)

    def at(name):
        return os.path.join(os.fsencode(base), os.fsencode(name))

    def write(name, data, mode=0o644):
        with open(at(name), "wb") as file:
            file.write(data)
        os.chmod(at(name), mode)

    write("empty", b"")
    write("one-byte", b"\n")
    write("set-user-id", b"#!/bin/sh\n", 0o4755)
    if os.geteuid() == 0:  # Nobody else could compare it.
        write("unreadable-mode", b"secret\n", 0)
    write(b"latin-1-\xe9\xff", b"a name that is not UTF-8\n")
    write("new\nline and 'quotes' \\ *", b"awkward\n")
    write("hard-link-a", b"one inode, two names\n" * 100)
    os.makedirs(at("sub/deeper"), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.link(at("hard-link-a"), at("sub/hard-link-b"))
    with open(at("sparse"), "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"in the middle of nothing")
    for name, target in (("symlink", "one-byte"), ("dangling", "/does/not/exist"), ("long-symlink", "x/" * 100 + "x")):
        with contextlib.suppress(FileExistsError):
            os.symlink(target, at(name))
    with contextlib.suppress(OSError):
        os.mkfifo(at("fifo"), 0o622)
    with contextlib.suppress(OSError):
        os.mknod(at("device"), stat.S_IFCHR | 0o640, os.makedev(1, 3))
    with contextlib.suppress(OSError):
        os.setxattr(at("one-byte"), b"user.note", b"\x00\xff binary value")
        os.setxattr(at("sub"), b"user.note", b"on a directory")
    with contextlib.suppress(OSError):
        # VFS_CAP_REVISION_2, effective; cap_net_bind_service permitted.
        os.setxattr(at("set-user-id"), b"security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    with contextlib.suppress(OSError, FileNotFoundError):
        subprocess.run(["setfacl", "-m", "u:1:rwx,g:2:r", at("empty")], capture_output=True, timeout=10)
        subprocess.run(["setfacl", "-d", "-m", "u:1:rx", at("sub")], capture_output=True, timeout=10)
    with contextlib.suppress(OSError):
        os.chown(at("one-byte"), 12345, 54321)
    with contextlib.suppress(OSError):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(base, "socket"))
    for name, when in (("one-byte", 981173106_123456789), ("empty", 4102444799_999999999), ("sub/deeper", 1)):
        os.utime(at(name), ns=(when, when))
    os.utime(at("symlink"), ns=(5, 1234567890_000000007), follow_symlinks=False)
    os.chmod(at("sub/deeper"), 0o2750)


def next_version(tree, target, seed=11, share=0.06):
    """Version 1.1 of a tree: a share of its bytes rebuilt (a byte in every kilobyte differs, as in a
    rebuilt program), and files added, removed, renamed and with other modes. Returns the paths
    (relative) whose content is new."""
    copy(tree, target)
    random_ = random.Random(seed)
    files, total = [], 0
    for folder, folders, names in os.walk(target):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, target)
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or not relative.startswith("usr/"):
                continue
            total += status.st_size
            files.append((os.path.dirname(relative), relative, status.st_size))
    # Whole directories until the share is reached, because a package's files lie together.
    folders = sorted({folder for folder, _, _ in files})
    random_.shuffle(folders)
    changed, used = [], 0
    for folder in folders:
        for parent, relative, size in files:
            if parent != folder or used >= share * total or size == 0:
                continue
            path = os.path.join(target, relative)
            with open(path, "rb") as file:
                data = bytearray(file.read())
            for start in range(0, len(data), 1024):
                place = start + random_.randrange(min(1024, len(data) - start))
                data[place] ^= random_.randrange(1, 256)
            status = os.lstat(path)
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, stat.S_IMODE(status.st_mode))
            changed.append(relative)
            used += size
        if used >= share * total:
            break
    specimens = os.path.join(target, "opt/specimens")
    if os.path.isdir(specimens):
        with open(os.path.join(specimens, "added-in-1.1"), "wb") as file:
            file.write(random_.randbytes(300_000))
        changed.append("opt/specimens/added-in-1.1")
        os.unlink(os.path.join(specimens, "dangling"))
        os.chmod(os.path.join(specimens, "one-byte"), 0o600)
        os.rename(os.path.join(specimens, "sub/deeper"), os.path.join(specimens, "renamed"))
    return changed
