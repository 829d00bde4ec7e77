"""The programs that Lamina is compared with. Each stores trees in a repository of its own and brings them back; what
it was told (`told`, printed below the tables with its version) is what its users tell it.

    make()                    an empty repository
    save(tree, label)         stores a tree
    load(label, target)       brings it back into an empty directory
    update(label, target)     makes the directory, which holds an older version, equal to it
    rescan(tree, label)       stores a tree that has not changed since it was saved
    save_again(tree, label)   stores a tree that has changed since; Sample.bytes is what it cost
    one_file(label, path, target)   one file of a stored tree, until its first byte is there
"""

import os
import re
import subprocess
import time

from measure import execute, shell, size_of

META = ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]


class Peer:
    name, program, version_words, told = "", "", ("--version",), ""

    def __init__(self, folder):
        """Everything it keeps is below `folder`, which needs not exist yet."""
        self.folder = folder
        self.repo = os.path.join(folder, "repo")
        os.makedirs(folder, exist_ok=True)

    def make(self):
        os.makedirs(self.repo)

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, *cls.version_words], capture_output=True, text=True, timeout=20)
        found = re.search(r"\d+(?:\.\d+)*[\w.+-]*", done.stdout + done.stderr)
        return f"{cls.name} {found.group(0) if found else '?'}"

    def can(self, verb):
        return getattr(type(self), verb, None) is not None

    def bytes_stored(self):
        return size_of(self.repo)

    def save_again(self, tree, label):
        before = self.bytes_stored()
        sample = self.save(tree, label)
        sample.bytes = self.bytes_stored() - before
        return sample


class Tar(Peer):
    name, program = "tar", "tar"
    told = "tar --xattrs --acls --numeric-owner | zstd -3 -T0; zstd -dc | tar -x"

    def _archive(self, label):
        return os.path.join(self.repo, label + ".tar.zst")

    def save(self, tree, label):
        return shell('tar -C "$1" "${@:3}" --sort=name -cf - . | zstd -3 -T0 -q -o "$2"', tree, self._archive(label),
                     *META)

    def load(self, label, target):
        return shell('zstd -dc "$2" | tar -C "$1" "${@:3}" -xpf -', target, self._archive(label), *META)

    def one_file(self, label, path, target):
        del target
        # Reads on to the end of the archive after the file, as it must for a later copy of the name.
        return shell('zstd -dc "$1" | tar -xOf - "$2"', self._archive(label), "./" + path, first_byte=True)

    save_again = None


class Rsync(Peer):
    name, program = "rsync", "rsync"
    told = "rsync -aHAX --numeric-ids between two directories; a day's bytes are those sent by -z --zc=zstd --zl=3"

    def _copy(self, source, target, *words):
        return execute(["rsync", "-aHAX", "--numeric-ids", *words, source + "/", target + "/"])

    def save(self, tree, label):
        return self._copy(tree, os.path.join(self.repo, label))

    def load(self, label, target):
        return self._copy(os.path.join(self.repo, label), target)

    def update(self, label, target):
        return self._copy(os.path.join(self.repo, label), target, "--delete")

    def rescan(self, tree, label):
        return self._copy(tree, os.path.join(self.repo, label), "--delete")

    def save_again(self, tree, label):
        """To a server of its own on this machine, against the newest copy there."""
        [former] = os.listdir(self.repo)
        wrapper = os.path.join(self.folder, "here")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\nshift\nexec "$@"\n')
        os.chmod(wrapper, 0o755)
        sample = execute(["rsync", "-aHAXz", "--zc=zstd", "--zl=3", "--numeric-ids", "--stats", "--rsh", wrapper,
                          f"--link-dest=../{former}", tree + "/", f"here:{os.path.join(self.repo, label)}/"])
        sample.bytes = int(re.search(r"Total bytes sent: ([\d,]+)", sample.out).group(1).replace(",", ""))
        return sample

    def one_file(self, label, path, target):
        return execute(["rsync", "-a", os.path.join(self.repo, label, path), target + "/"])


class Casync(Peer):
    name, program = "casync", "casync"
    told = "casync make and extract, chunks of 64 KiB on average, local store; an update extracts over the old tree"

    def _words(self, label):
        return [f"--store={self.repo}/default.castr", os.path.join(self.repo, label + ".caidx")]

    def save(self, tree, label):
        store, index = self._words(label)
        return execute(["casync", "make", store, index, tree])

    def load(self, label, target):
        store, index = self._words(label)
        return execute(["casync", "extract", store, index, target])

    update = load


class Ostree(Peer):
    name, program = "ostree", "ostree"
    told = "ostree commit to an archive repository; checkout of a copy; an update checks out beside the old tree"

    def make(self):
        execute(["ostree", f"--repo={self.repo}", "init", "--mode=archive"])

    def save(self, tree, label):
        return execute(["ostree", f"--repo={self.repo}", "commit", "-b", label, f"--tree=dir={tree}"])

    def load(self, label, target):
        os.rmdir(target)  # It wants to make the directory itself.
        return execute(["ostree", f"--repo={self.repo}", "checkout", "--force-copy", label, target])

    def update(self, label, target):
        return execute(["ostree", f"--repo={self.repo}", "checkout", "--force-copy", label, target + ".new"])

    save_again = None


class Borg(Peer):
    name, program = "borg", "borg"
    told = "borg create -C zstd,3 to a local repository without encryption"

    def _run(self, *words, **options):
        return execute(["borg", *words], env={
            "BORG_REPO": self.repo, "BORG_BASE_DIR": os.path.join(self.folder, "home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}, **options)

    def make(self):
        self._run("init", "-e", "none")

    def save(self, tree, label):
        return self._run("create", "-C", "zstd,3", f"::{label}", ".", cwd=tree)

    def rescan(self, tree, label):
        return self.save(tree, f"{label}-{time.time_ns()}")  # An archive's name is used once.

    def load(self, label, target):
        return self._run("extract", "--numeric-ids", f"::{label}", cwd=target)

    def one_file(self, label, path, target):
        return self._run("extract", "--stdout", f"::{label}", path, cwd=target, first_byte=True)


class Restic(Peer):
    name, program, version_words = "restic", "restic", ("version",)
    told = "restic backup to a local repository, compression auto (it always encrypts)"

    def _run(self, *words, **options):
        cache = os.path.join(self.folder, "cache")
        return execute(["restic", "--quiet", "-r", self.repo, "--cache-dir", cache, *words],
                       env={"RESTIC_PASSWORD": "bench"}, **options)

    def make(self):
        self._run("init")

    def save(self, tree, label):
        return self._run("backup", "--host", "bench", "--tag", label, ".", cwd=tree)

    rescan = save

    def load(self, label, target):
        return self._run("restore", "latest", "--tag", label, "--target", target)

    def one_file(self, label, path, target):
        return self._run("dump", "--tag", label, "latest", "/" + path, cwd=target, first_byte=True)


class Find(Peer):
    """Keeps nothing, and is no peer: the least that looking at every file can cost."""
    name, program = "find", "find"
    told = "find -printf '%i %s %C@ %T@ %m %p\\n': the least that looking at every file costs"

    def make(self):
        pass

    def save(self, tree, label):
        pass

    def rescan(self, tree, label):
        del label
        return shell('find "$1" -printf "%i %s %C@ %T@ %m %p\\n" > /dev/null', tree)

    save_again = None


ALL = (Tar, Rsync, Casync, Ostree, Borg, Restic, Find)
