"""A tree on its way to a device that has an older one, or nothing: what each program sends, what the sender spends, and
what the device spends until the new tree is there.

    publish(before, after)            Sample of the sender; its bytes are what one device gets over the line
    receive(before, after, target)    Sample of the device, which holds `before` already; after publish() with the same

`before` is None for a device with nothing. Nothing is sent over a network: bytes are the sizes of what would be, without
the headers of a protocol; rsync counts its own.
"""

import json
import os
import re

import ours as origin_and_device
from measure import Sample, execute, shell
from peers import Casync as CasyncStore
from peers import Ostree as OstreeStore
from peers import Peer

HOUR = 3600


def stored_after(store, before, after):
    """What a tree adds to a repository that has the one before; labels are "before" and "after"."""
    store.make()
    if before:
        store.save(before, "before")
    former = store.bytes_stored()
    sample = store.save(after, "after")
    sample.bytes = store.bytes_stored() - former
    return sample


class Transfer(Peer):
    def path(self, name):
        return os.path.join(self.folder, name)


class Lamina(Transfer):
    """A real origin and a real device on loopback: the bytes are all that the line carries, both ways."""
    name, effort, build = "lamina", "default", "build"

    def _published(self, lamina, before, after):
        if before:
            lamina.capture(before, "1")
        device = lamina.add_device()
        lamina.enrol(device)
        if before:
            lamina.bring(device, "1")
        return device, lamina.capture(after, "2", against="1" if before else "nothing",
                                      effort=self.effort)

    def publish(self, before, after):
        with origin_and_device.Lamina(self.folder, self.build) as lamina:
            device, sample = self._published(lamina, before, after)
            sample.bytes = lamina.bring(device, "2").bytes
            return sample

    def receive(self, before, after, target):
        """It compares every chunk with the signed manifest itself."""
        del target
        with origin_and_device.Lamina(self.folder, self.build) as lamina:
            device, _ = self._published(lamina, before, after)
            return lamina.take(device, "2")


class LaminaFast(Lamina):
    name, effort = "lamina-fast", "fast"


class LaminaHigh(Lamina):
    name, effort = "lamina-high", "high"


class LaminaFrames(Transfer):
    """shared/delta alone, through its bench: frames and assembly, neither manifest nor metadata of entries."""
    name, build = "lamina-frames", "build"

    def _run(self, before, after, *words):
        sample = execute([os.path.join(self.build, "tests/bench/delta_bench"), before or "", after, "--alone", "--json",
                          "--scratch", self.folder, *words], seconds=HOUR)
        return json.loads(sample.out)

    def publish(self, before, after):
        sent = self._run(before, after, "--send-only")["send"]
        return Sample(cpu=sent["cpu"], rss=sent["rss"], bytes=sent["bytes"])

    def receive(self, before, after, target):
        """It compares every file itself, and fails on a difference."""
        del target
        received = self._run(before, after)["receive"]
        return Sample(cpu=received["cpu_decode"] + received["cpu_close"], rss=received["peak_bytes"])


class Casync(Transfer):
    name, program = "casync", "casync"
    told = "casync make, chunks of 64 KiB on average; what is new in its store, and the index; extract --seed"

    def publish(self, before, after):
        return stored_after(CasyncStore(self.folder), before, after)

    def receive(self, before, after, target):
        seed = [f"--seed={before}"] if before else []
        return execute(["casync", "extract", *seed, f"--store={self.repo}/default.castr", f"{self.repo}/after.caidx",
                        target])


class Ostree(Transfer):
    name, program = "ostree", "ostree"
    told = "ostree commit to an archive repository: what is new in it; pull to a bare repository, and checkout"

    def publish(self, before, after):
        return stored_after(OstreeStore(self.folder), before, after)

    def _device(self, before):
        device = self.path("device")
        execute(["ostree", f"--repo={device}", "init", "--mode=bare"])
        if before:
            execute(["ostree", f"--repo={device}", "pull-local", self.repo, "before"])
        return device

    def receive(self, before, after, target):
        device = self._device(before)
        os.rmdir(target)  # It wants to make the directory itself.
        return shell('ostree --repo="$1" pull-local "$2" after && ostree --repo="$1" checkout --force-copy after "$3"',
                     device, self.repo, target)


class OstreeDelta(Ostree):
    name = "ostree-delta"
    told = "ostree static-delta generate --inline --min-fallback-size=0, after the commit; apply-offline, and checkout"

    def publish(self, before, after):
        commit = super().publish(before, after)
        delta = self.path("delta")
        sample = shell('ostree --repo="$1" static-delta generate --from=before --to=after --inline --filename="$2" '
                       '--min-fallback-size=0', self.repo, delta, seconds=HOUR)
        sample.bytes = os.path.getsize(delta)
        return commit.then(sample)

    def receive(self, before, after, target):
        device = self._device(before)
        os.rmdir(target)
        return shell('ostree --repo="$1" static-delta apply-offline "$2" && '
                     'ostree --repo="$1" checkout --force-copy "$(ostree --repo="$3" rev-parse after)" "$4"',
                     device, self.path("delta"), self.repo, target)


class Rsync(Transfer):
    name, program = "rsync", "rsync"
    told = "rsync -aHAXz --zc=zstd --zl=3 --delete: bytes both ways, processor time of both sides, for every device anew"

    def publish(self, before, after):
        copy = self.path("copy")
        os.makedirs(copy)
        if before:
            execute(["cp", "-a", before + "/.", copy])
        return self._sync(after, copy)

    def receive(self, before, after, target):
        if before:
            execute(["cp", "-a", before + "/.", target])
        return self._sync(after, target)

    def _sync(self, source, target):
        wrapper = self.path("here")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\nshift\nexec "$@"\n')
        os.chmod(wrapper, 0o755)
        sample = execute(["rsync", "-aHAXz", "--zc=zstd", "--zl=3", "--numeric-ids", "--delete", "--stats", "--rsh",
                          wrapper, source + "/", f"here:{target}/"])
        sample.bytes = sum(int(count.replace(",", "")) for count in
                           re.findall(r"Total bytes (?:sent|received): ([\d,]+)", sample.out))
        return sample


class TarPatch(Transfer):
    name, program = "tar-patch", "zstd"
    told = "zstd -9 -T1 --long=31 --patch-from over tar files of whole trees sorted by name; without making those of old"

    def _tar(self, tree, name):
        shell('tar --sort=name --numeric-owner -C "$1" -cf "$2" .', tree, self.path(name))
        return self.path(name)

    def publish(self, before, after):
        return self._zstd("-9", "-T1", "--long=31", f"--patch-from={self._tar(before, 'before.tar')}",
                          self._tar(after, "after.tar"))

    def _zstd(self, *words):
        sample = execute(["zstd", "-q", "-f", *words, "-o", self.path("sent")], seconds=HOUR)
        sample.bytes = os.path.getsize(self.path("sent"))
        os.unlink(self.path("after.tar"))
        return sample

    def receive(self, before, after, target):
        return shell('zstd -q -d --long=31 --patch-from="$1" "$2" -o "$3" && tar -C "$4" -xpf "$3"',
                     self.path("before.tar"), self.path("sent"), self.path("new.tar"), target)


class TarZstd9(TarPatch):
    name = "tar-zstd9"
    told = "zstd -9 -T1 over the tar file of a whole tree"

    def publish(self, before, after):
        return self._zstd("-9", "-T1", self._tar(after, "after.tar"))

    def receive(self, before, after, target):
        return shell('zstd -q -dc "$1" | tar -C "$2" -xpf -', self.path("sent"), target)


OURS = (LaminaFast, LaminaHigh, LaminaFrames)  # Beside Lamina itself, at its default effort.
PEERS = (Casync, Ostree, OstreeDelta, Rsync, TarPatch, TarZstd9)
FRESH_PEERS = (Casync, Ostree, Rsync, TarZstd9)
