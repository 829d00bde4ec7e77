"""Independent comparison: rsync, tar and zstd judge what Lamina did; none of its own code does.

The rules below are written down a second time on purpose: an expectation that reads the product's
own table could not notice a wrong entry in it.
"""

import os
import stat
import subprocess

# What a layer leaves out and an apply never touches, as rsync filter rules relative to the tree.
IDENTITY = """
/.lamina /var/lib/lamina-node /etc/lamina
/etc/fstab /etc/crypttab /etc/mdadm/mdadm.conf /etc/lvm/backup/* /etc/lvm/archive/*
/etc/machine-id /var/lib/dbus/machine-id /etc/machine-info /etc/hostid /etc/hostname /etc/mailname /etc/hosts
/etc/adjtime /etc/ssh/ssh_host_* /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
/etc/iscsi/initiatorname.iscsi /etc/nvme/host*
/etc/network/interfaces /etc/network/interfaces.d/* /etc/systemd/network/* /etc/netplan/*
/etc/NetworkManager/system-connections/* /var/lib/NetworkManager/* /etc/udev/rules.d/70-persistent-*
/etc/resolv.conf /var/lib/dhcp/* /var/lib/dhcpcd/*
/var/lib/systemd/random-seed /var/lib/urandom/random-seed /var/lib/misc/random-seed
/var/lib/systemd/credential.secret /var/lib/cloud/* /var/lib/systemd/timesync/* /var/lib/bluetooth/* /etc/popularity-contest.conf
/boot/lamina /boot/grub/*/* /boot/grub/grub.cfg /boot/grub/grubenv /boot/grub/device.map /etc/default/grub /etc/default/grub.d/*
/boot/efi/* /boot/loader/* /boot/extlinux/extlinux.conf /etc/kernel/cmdline /etc/initramfs-tools/conf.d/resume
/home/* /root/*
""".split()
RUNTIME = """
/proc/* /sys/* /dev/* /run/* /tmp/* /var/tmp/* /mnt/* /media/* /lost+found /swapfile /swap.img
""".split()
LEFTOVER = """
/var/cache/apt/archives/*.deb /var/lib/apt/periodic/* /var/crash/* /var/lib/systemd/coredump/* /var/lib/logrotate/status
""".split()

LAYER_FILTER = [f"- {rule}" for rule in IDENTITY + RUNTIME + LEFTOVER] + [
    "+ /var/log/**/", "- /var/log/**", "+ /var/lib/apt/lists/**/", "- /var/lib/apt/lists/**"]
SNAPSHOT_FILTER = [f"- {rule}" for rule in RUNTIME + ["/.lamina", "/var/lib/lamina-node", "/etc/lamina"]]


def sockets(tree):
    """Rules that leave out the sockets of a tree: layers and snapshots list them, and hold none."""
    found = []
    for folder, _, names in os.walk(tree):
        for name in names:
            if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode):
                found.append("- /" + os.path.relpath(os.path.join(folder, name), tree))
    return found


class VerifyError(Exception):
    pass


def _rsync(words, seconds):
    done = subprocess.run(["rsync", *words], capture_output=True, timeout=seconds)
    if done.returncode != 0:
        raise VerifyError(f"rsync: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout.decode(errors="backslashreplace")


def copy(source, target, filters=(), seconds=900):
    """A copy with all metadata, by rsync."""
    os.makedirs(target, exist_ok=True)
    _rsync(["-aHAXS", "--numeric-ids", "--delete", "--modify-window=-1", *[f"--filter={f}" for f in filters], source + "/", target + "/"],
           seconds)


def differences(expected, actual, filters=(), seconds=900):
    """Lines of `rsync --itemize-changes` that would make actual equal to expected: contents, types,
    modes, owners, times to the nanosecond, hard links, ACLs, xattrs, and what is too much. Empty: equal."""
    out = _rsync(["-aHAXnc", "--numeric-ids", "--delete", "--itemize-changes", "--modify-window=-1",
                  *[f"--filter={f}" for f in filters], expected + "/", actual + "/"], seconds)
    return [line for line in out.splitlines() if line.strip()]


def tar_zstd_bytes(tree, level=3, files=None):
    """Size of `tar | zstd -LEVEL` of a tree, or of the listed files of it."""
    tar = ["tar", "-C", tree, "--xattrs", "--acls", "--numeric-owner", "--sparse", "-cf", "-"]
    if files is None:
        tar += ["."]
    else:
        tar += ["--no-recursion", "--null", "-T", "-"]
    first = subprocess.Popen(tar, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    second = subprocess.Popen(["zstd", f"-{level}", "-q", "-c"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    if files is not None:
        first.stdin.write(b"\0".join(os.fsencode(f) for f in files))
    first.stdin.close()
    size = 0
    while block := second.stdout.read(1 << 20):
        size += len(block)
    if second.wait(600) != 0 or first.wait(600) not in (0, 1):
        raise VerifyError(f"tar | zstd of {tree} failed")
    return size


def census(tree):
    """Counts of a tree: entries and bytes of file content."""
    entries = size = 0
    for folder, folders, names in os.walk(tree):
        entries += len(folders) + len(names)
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            if status.st_mode & 0o170000 == 0o100000:
                size += status.st_size
    return entries, size
