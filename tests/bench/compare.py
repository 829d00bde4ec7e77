#!/usr/bin/env python3
"""Lamina beside tar, rsync, casync, ostree, borg and restic: bytes, wall clock, processor and memory for the same
work, in turns, on fresh ext4 file systems. `./dev bench` installs the peers, builds, and then runs this.

Wall clocks end when the file system that was written to has it on its disk (`sync -f`, for all alike). Sources are
warm: everything was read once before. A ratio is Lamina's figure divided by the peer's: below 1 is better.
Exit code 0: everything ran; 1: a program failed or a result was wrong; 77: this machine cannot show it.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable

sys.dont_write_bytecode = True
TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
import corpus  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402
import transfers  # noqa: E402
import verify  # noqa: E402
from fleet import run_directory  # noqa: E402
from lab import LabError  # noqa: E402
from measure import Sample, ToolFailed, Volume, execute, flush, no_loop_mounts, warm  # noqa: E402
from reference import ReferenceError  # noqa: E402

FAILURES = (ToolFailed, LabError, verify.VerifyError, OSError, subprocess.SubprocessError, ValueError)
OURS = "lamina"
INSIDE = "LAMINA_BENCH_MISSING"  # Set in its own namespaces: {tree: why it is not there}.
USER = "home/user"      # Where a device's volume has the home.
FILES_MAX = 100_000     # Of the snapshot that one file is restored from.
RUNS_MIN = {"restore-file": 5}  # It takes milliseconds.
CONTENT_ONLY = ["-rlnc", "--delete", "--itemize-changes"]


class Bench:
    """What all comparisons share: trees, places, turns, and what went wrong."""

    def __init__(self, options, work):
        self.options, self.work = options, work
        self.runs = options.runs or (1 if options.quick else 3)
        self.folder = options.corpus or corpus.default_folder(options.quick)
        self.errors, self.volumes = [], 0
        self.live = sys.stderr.isatty()
        self.checked = set()
        self._home = None

    def say(self, text):
        """Where it is, on a terminal only."""
        if self.live:
            sys.stderr.write(f"\r\x1b[2K{text[:150]}")
            sys.stderr.flush()

    def tree(self, name):
        return os.path.join(self.folder, name)

    def volume(self, name, mountpoint=None, copy_of=None):
        self.volumes += 1
        image = os.path.join(self.work, f"{self.volumes}-{name}.img")
        return Volume(mountpoint or os.path.join(self.work, name), image, copy_of)

    def lamina(self, folder):
        os.makedirs(folder, exist_ok=True)
        return ours.Lamina(folder, self.options.build, devices=16)

    def failed(self, what, name, error):
        self.say("")
        self.errors.append(f"{what}: {name}: {error}")
        print(f"FAIL {what}: {name}: {error}", flush=True)

    def contestants(self, *kinds):
        return [kind for kind in kinds if not self.options.peers or kind.name in self.options.peers]

    def stored(self, what, folder, kinds, trees):
        """Peers that hold trees ([(label, path)]); one that cannot store them is reported and left out."""
        ready = []
        for kind in kinds:
            peer = kind(os.path.join(folder, kind.name))
            try:
                peer.make()
                for label, tree in trees:
                    self.say(f"{what}: {kind.name} stores {label}")
                    peer.save(tree, label)
                ready.append(peer)
            except FAILURES as error:
                self.failed(what, kind.name, error)
        return ready

    def runs_of(self, what):
        return max(self.runs, RUNS_MIN.get(what, 1))

    def alternate(self, what, contestants, around=lambda run: contextlib.nullcontext()):
        """Each contestant ({name: run -> Sample}) once a run, each run beginning with another one. One that fails is
        reported, and has no further turn. Returns {name: median Sample} of those that never failed."""
        samples, names = {name: [] for name in contestants}, list(contestants)
        runs = self.runs_of(what)
        for run in range(runs):
            with around(run):
                turn = run % max(1, len(names))
                for name in names[turn:] + names[:turn]:
                    self.say(f"{what}: run {run + 1} of {runs}: {name}")
                    try:
                        samples[name].append(contestants[name](run))
                    except FAILURES as error:
                        self.failed(what, name, error)
                        names.remove(name)
        return {name: median(samples[name]) for name in names}

    def check(self, what, name, differing):
        """Once a tool: its result is the tree it was made from. `differing` () returns what is not."""
        if (what, name) not in self.checked:
            self.checked.add((what, name))
            self.say(f"{what}: compares the result of {name} by rsync")
            lines = differing()
            if lines:
                raise ToolFailed(f"its result differs in {len(lines)} places, for example {lines[0]}")

    def check_peer(self, what, name, expected, actual):
        """Peers by names, types and contents: some keep no times or owners."""
        self.check(what, name, lambda: execute(["rsync", *CONTENT_ONLY, "--exclude=/lost+found", expected + "/",
                                                actual + "/"]).out.splitlines())

    def check_ours(self, what, expected, actual, rules):
        """Ours by everything there is: also owners, modes, times, links, attributes."""
        self.check(what, OURS, lambda: verify.differences(expected, actual, rules))

    def load_fresh(self, what, one, label, tree):
        """A turn of a peer's: a tree that it stored comes back onto an empty file system."""
        def load(_run):
            with self.volume("target") as volume:
                target = os.path.join(volume.path, "tree")
                os.mkdir(target)
                sample = one.load(label, target).then(flush(volume.path))
                self.check_peer(what, one.name, tree, target)
                return sample
        return load

    def home(self):
        """A device with home0 in a snapshot, and the same in every peer's repository: (image, mount point, Lamina,
        device, peers). Lamina is stopped and nothing mounted. Made once."""
        if not self._home:
            mountpoint = os.path.join(self.work, "home")
            volume = self.volume("home", mountpoint)
            try:
                lamina = self.lamina(os.path.join(mountpoint, OURS))
                device = lamina.add_device()
                tree = os.path.join(device.volume, USER)
                self.say("home: a device with home0, and its first snapshot")
                verify.copy(self.tree("home0"), tree)
                lamina.enrol(device)
                lamina.snapshot(device)
                ready = self.stored("home", mountpoint, self.contestants(
                    peers.Tar, peers.Rsync, peers.Casync, peers.Borg, peers.Restic), [("home0", tree)])
                lamina.stop()
            finally:
                volume.unmount()
            self._home = volume.image, mountpoint, lamina, device, ready
        return self._home


def median(samples):
    def middle(values):
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    return Sample(**{field: middle([getattr(sample, field) for sample in samples]) for field in UNITS})


# The comparisons. Each returns {tool: Sample}.

def capture(bench):
    """A1 becomes a layer, or an archive, in an empty store."""
    tree = bench.tree("A1")
    warm(tree)

    def lamina(_run):
        with bench.volume("store") as volume, bench.lamina(volume.path) as one:
            return one.capture(tree, "1").then(flush(volume.path))

    def peer(kind):
        def save(_run):
            with bench.volume("store") as volume:
                one = kind(volume.path)
                one.make()
                sample = one.save(tree, "A1").then(flush(volume.path))
                sample.bytes = one.bytes_stored()
                return sample
        return save

    kinds = bench.contestants(peers.Restic, peers.Borg, peers.Tar, peers.Casync, peers.Ostree)
    return bench.alternate("capture", {OURS: lamina, **{kind.name: peer(kind) for kind in kinds}})


def publish(bench, name):
    """Another tree after A1: what it adds to the store."""
    before, after = bench.tree("A1"), bench.tree(name)
    warm(before)
    warm(after)

    def lamina(_run):
        with bench.volume("store") as volume, bench.lamina(volume.path) as one:
            one.capture(before, "1")
            return one.capture(after, "2").then(flush(volume.path))

    def peer(kind):
        def save(_run):
            with bench.volume("store") as volume:
                one = kind(volume.path)
                one.make()
                one.save(before, "A1")
                former = one.bytes_stored()
                sample = one.save(after, name).then(flush(volume.path))
                sample.bytes = one.bytes_stored() - former
                return sample
        return save

    kinds = bench.contestants(peers.Restic, peers.Borg, peers.Casync, peers.Ostree)
    return bench.alternate(f"publish {name}", {OURS: lamina, **{kind.name: peer(kind) for kind in kinds}})


def publish_update(bench):
    """A2 after A1: what it adds to the store."""
    return publish(bench, "A2")


def publish_release(bench):
    """A3 after A1: what it adds to the store."""
    return publish(bench, "A3")


def fresh_line(bench):
    """A device that has nothing gets A2 from an origin that holds A1 too. MB: all bytes that device and origin exchange
    until every pack is there; beside it, from an origin that holds A2 only."""
    before, after = bench.tree("A1"), bench.tree("A2")
    warm(before)
    warm(after)

    def fetch(*trees):
        def run(_run):
            with bench.volume("store") as volume, bench.lamina(os.path.join(volume.path, OURS)) as one:
                for version, tree in trees:
                    one.capture(tree, version, against="nothing")
                device = one.add_device()
                one.enrol(device)
                return one.bring(device, "2")
        return run

    return bench.alternate("fresh-line", {OURS: fetch(("1", before), ("2", after)), "only A2": fetch(("2", after))})


def update_line(bench):
    """A device that has A1 gets A2 without an update (`update` has those). MB: all bytes that device and origin exchange;
    beside it, the packs that the capture of A2 sent."""
    before, after = bench.tree("A1"), bench.tree("A2")
    warm(before)
    warm(after)
    sent = []

    def fetch(_run):
        with bench.volume("store") as volume, bench.lamina(os.path.join(volume.path, OURS)) as one:
            one.capture(before, "1")
            device = one.add_device()
            one.enrol(device)
            one.bring(device, "1")
            sent.append(one.packs_added(lambda: one.capture(after, "2"), "2"))
            return one.bring(device, "2")

    samples = bench.alternate("update-line", {OURS: fetch})
    return {**samples, "sent": Sample(bytes=statistics.median(sent))} if sent else samples


def apply_fresh(bench):
    """A2 onto an empty file system, from what is on this machine already."""
    what, tree = "apply-fresh", bench.tree("A2")
    with bench.volume("store") as store, bench.lamina(os.path.join(store.path, OURS)) as lamina:
        bench.say(f"{what}: {OURS} captures A2")
        lamina.capture(tree, "2")
        ready = bench.stored(what, store.path, bench.contestants(
            peers.Tar, peers.Rsync, peers.Casync, peers.Ostree, peers.Borg, peers.Restic), [("A2", tree)])
        warm(store.path)

        def apply(_run):
            device = lamina.add_device()
            with bench.volume("target", device.volume):
                try:
                    lamina.enrol(device)
                    lamina.bring(device, "2")
                    sample = lamina.apply(device, "2")
                    bench.check_ours(what, tree, device.volume, verify.LAYER_FILTER + verify.sockets(tree))
                    return sample
                finally:
                    device.stop()

        return bench.alternate(what, {OURS: apply, **{
            one.name: bench.load_fresh(what, one, "A2", tree) for one in ready}})


def apply_update(bench):
    """A2 onto a file system that has A1, from what is on this machine already."""
    what, before, tree = "apply-update", bench.tree("A1"), bench.tree("A2")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(bench.volume("store"))
        lamina = stack.enter_context(bench.lamina(os.path.join(store.path, OURS)))
        bench.say(f"{what}: {OURS} captures A1 and A2, and applies A1")
        lamina.capture(before, "1")
        lamina.capture(tree, "2")
        device = lamina.add_device()
        stack.enter_context(bench.volume("target", device.volume))
        stack.callback(device.stop)
        lamina.enrol(device)
        lamina.bring(device, "1")
        lamina.apply(device, "1")
        lamina.bring(device, "2")
        ready = bench.stored(what, store.path, bench.contestants(peers.Rsync, peers.Casync, peers.Ostree),
                             [("A1", before), ("A2", tree)])
        base = stack.enter_context(bench.volume("base"))
        verify.copy(before, os.path.join(base.path, "tree"))
        base.unmount()
        warm(store.path)

        def apply(run):
            if run > 0:
                lamina.apply(device, "1")
            warm(device.volume)
            sample = lamina.apply(device, "2")
            bench.check_ours(what, tree, device.volume, verify.LAYER_FILTER + verify.sockets(tree))
            return sample

        def peer(one):
            def update(_run):
                with bench.volume("base", copy_of=base.image) as volume:
                    target = os.path.join(volume.path, "tree")
                    warm(target)
                    sample = one.update("A2", target).then(flush(volume.path))
                    new = target + ".new"
                    bench.check_peer(what, one.name, tree, new if os.path.isdir(new) else target)
                    return sample
            return update

        return bench.alternate(what, {OURS: apply, **{one.name: peer(one) for one in ready}})


def rescan(bench):
    """A tree of many files that has not changed since its last snapshot."""
    what = "rescan"
    with bench.volume("store") as store, bench.lamina(os.path.join(store.path, OURS)) as lamina:
        device = lamina.add_device()
        tree = os.path.join(device.volume, "srv")
        bench.say(f"{what}: {OURS} makes the first snapshot")
        verify.copy(bench.tree("many"), tree)
        lamina.enrol(device)
        lamina.snapshot(device)
        ready = bench.stored(what, store.path, bench.contestants(
            peers.Find, peers.Rsync, peers.Borg, peers.Restic), [("many", tree)])
        warm(tree)

        def peer(one):
            return lambda _run: one.rescan(tree, "many")

        def lamina_rescan(_run):
            return lamina.snapshot(device)

        contestants = {OURS: lamina_rescan, **{one.name: peer(one) for one in ready}}
        for name, scan in contestants.items():  # The first one after a copy finds caches cold.
            with contextlib.suppress(*FAILURES):
                bench.say(f"{what}: {name}, not counted")
                scan(0)
        return bench.alternate(what, contestants)


def day(bench):
    """home0 becomes home1: the next snapshot, or backup. MB: of ours and rsync what is sent, of others what is stored."""
    what = "day"
    image, mountpoint, lamina, device, ready = bench.home()
    tree = os.path.join(device.volume, USER)

    @contextlib.contextmanager
    def morning(_run):
        """Everything as it was after the first snapshot, and the day's work done."""
        with bench.volume("home", mountpoint, copy_of=image):
            try:
                execute(["rsync", "-aHAX", "--numeric-ids", "--delete", "--inplace", bench.tree("home1") + "/",
                         tree + "/"])
                warm(mountpoint)
                lamina.start()
                yield
            finally:
                lamina.stop()

    def peer(one):
        def save(_run):
            before = one.bytes_stored()
            sample = one.save_again(tree, "home1").then(flush(mountpoint))
            sample.stored = one.bytes_stored() - before
            return sample
        return save

    def snapshot(run):
        sample = lamina.snapshot(device).then(flush(mountpoint))
        if run == 0:
            restored = os.path.join(mountpoint, "restored")
            lamina.restore(device, USER, restored)
            bench.check_ours(what, tree, restored, [])
        return sample

    return bench.alternate(what, {OURS: snapshot, **{one.name: peer(one) for one in ready if one.save_again}},
                           around=morning)


def restore(bench):
    """All of home0 onto an empty file system, from the origin or the repository on this machine."""
    what, tree = "restore", bench.tree("home0")
    image, mountpoint, lamina, device, ready = bench.home()
    with bench.volume("home", mountpoint, copy_of=image):
        warm(mountpoint)
        lamina.start()
        try:
            def from_cvd(_run):
                with bench.volume("target") as volume:
                    target = os.path.join(volume.path, "restored")
                    sample = lamina.restore(device, USER, target).then(flush(volume.path))
                    bench.check_ours(what, tree, target, [])
                    return sample

            return bench.alternate(what, {OURS: from_cvd, **{
                one.name: bench.load_fresh(what, one, "home0", tree) for one in ready}})
        finally:
            lamina.stop()


def restore_file(bench):
    """One small file out of a snapshot of many: until its first byte is there (ours and rsync: until they end)."""
    what = "restore-file"
    with bench.volume("store") as store, bench.lamina(os.path.join(store.path, OURS)) as lamina:
        device = lamina.add_device()
        tree = os.path.join(device.volume, "srv")
        bench.say(f"{what}: {OURS} makes the first snapshot")
        paths = copy_some(bench.tree("many"), tree, FILES_MAX)
        lamina.enrol(device)
        lamina.snapshot(device)
        ready = bench.stored(what, store.path, bench.contestants(peers.Tar, peers.Rsync, peers.Borg, peers.Restic),
                             [("many", tree)])
        warm(store.path)
        small = [path for path in paths if 1000 < os.lstat(os.path.join(tree, path)).st_size < 20_000]
        path = small[len(small) // 2]
        counter = iter(range(1_000_000))

        def target():
            return os.path.join(store.path, f"restored-{next(counter)}")

        def from_cvd(_run):
            folder = target()
            sample = lamina.restore(device, "srv/" + path, folder)
            bench.check(what, OURS, lambda: [] if same(os.path.join(tree, path), only_file(folder)) else [path])
            return sample

        def peer(one):
            def load(_run):
                folder = target()
                os.mkdir(folder)
                return one.one_file("many", path, folder)
            return load

        contestants = {OURS: from_cvd, **{one.name: peer(one) for one in ready}}
        for load in contestants.values():  # Warm is what counts.
            with contextlib.suppress(*FAILURES):
                load(0)
        return bench.alternate(what, contestants)


def copy_some(source, target, most):
    """The first `most` files of a tree; their paths."""
    paths = []
    for folder, folders, names in os.walk(source):
        folders.sort()
        paths += [os.path.relpath(os.path.join(folder, name), source) for name in sorted(names)
                  if not os.path.islink(os.path.join(folder, name))]
        if len(paths) >= most:
            break
    paths = paths[:most]
    os.makedirs(target)
    done = subprocess.run(["rsync", "-a", "--from0", "--files-from=-", source + "/", target + "/"],
                          input=b"\0".join(map(os.fsencode, paths)), capture_output=True, timeout=900)
    if done.returncode != 0:
        raise ToolFailed(f"rsync: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return paths


def only_file(folder):
    [path] = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return path


def same(one, other):
    with open(one, "rb") as first, open(other, "rb") as second:
        return first.read() == second.read()


THROUGH = "Lamina's from an origin to a device on loopback, all that the line carries; -frames: of shared/delta alone"


def transfers_of(bench, what, kinds, run, ours_too=transfers.OURS):
    """Each in a fresh file system with directories of its own: `run` (transfer, volume's path) returns its Sample."""
    def turn(kind):
        def once(_run):
            with bench.volume("transfer") as volume:
                one = kind(os.path.join(volume.path, kind.name))
                one.build = os.path.abspath(bench.options.build)
                return run(one, volume.path)
        return once

    wanted = bench.options.variants
    beside = [kind for kind in ours_too if wanted is None or kind.name in wanted]
    chosen_kinds = [transfers.Lamina, *beside, *bench.contestants(*kinds)]
    return bench.alternate(what, {kind.name: turn(kind) for kind in chosen_kinds})


def send(bench, what, before, after, kinds):
    trees = [bench.tree(name) if name else None for name in (before, after)]
    for tree in filter(None, trees):
        warm(tree)
    ours_too = transfers.OURS if before else [transfers.LaminaFrames]  # Efforts are of updates.
    return transfers_of(bench, what, kinds, lambda one, _path: one.publish(*trees), ours_too)


def update(bench):
    """A2 to a device that has A1: what it gets, and what the sender spends."""
    return send(bench, "update", "A1", "A2", transfers.PEERS)


def migration(bench):
    """A3 to a device that has A1: what it gets, and what the sender spends."""
    return send(bench, "migration", "A1", "A3", [kind for kind in transfers.PEERS if kind != transfers.OstreeDelta])


def fresh(bench):
    """A2 to a device with nothing: what it gets, and what the sender spends."""
    return send(bench, "fresh", None, "A2", transfers.FRESH_PEERS)


def receive(bench, what, kinds, *names):
    before, after = map(bench.tree, names)
    warm(before)
    warm(after)

    def turn(one, path):
        # Ours publish within receive(), and compare by themselves.
        is_ours = isinstance(one, (transfers.Lamina, transfers.LaminaFrames))
        if not is_ours:
            one.publish(before, after)
        target = os.path.join(path, "tree")
        os.mkdir(target)
        sample = one.receive(before, after, target)
        if not is_ours:
            bench.check_peer(what, one.name, after, target)
        sample.bytes = None
        return sample

    return transfers_of(bench, what, kinds, turn, [transfers.LaminaFrames])


def decode(bench):
    """A device that has A1 makes A2 of what it got. What is made is compared with A2."""
    return receive(bench, "decode", transfers.PEERS, "A1", "A2")


def decode_migration(bench):
    """A device that has A1 makes A3 of what it got, and closes what no other device does for it. What is made is
    compared with A3."""
    return receive(bench, "decode-migration", [kind for kind in transfers.PEERS if kind != transfers.OstreeDelta],
                   "A1", "A3")


@dataclass
class Comparison:
    name: str
    run: Callable
    trees: tuple
    told: str                 # Which of ours.TOLD.
    figures: dict             # The fields of a Sample that are its results: {field: name}.
    asked_for: bool = False   # Runs only when it is named.
    belongs_to: str = ""      # The figure of another comparison that it is looked at with.
    note: str = ""            # Stands in its table's heading.


def figures(prefix, *fields, **special):
    return {field: special.get(field, f"{prefix}-{field}") for field in fields}


COMPARISONS = [
    Comparison("capture", capture, ("A1",), "capture",
               figures("capture", "bytes", "wall", "cpu", "rss", bytes="fresh-bytes")),
    Comparison("fresh-line", fresh_line, ("A1", "A2"), "stage", figures("fresh-line", "bytes"),
               belongs_to="fresh-bytes"),
    Comparison("update-line", update_line, ("A1", "A2"), "stage", figures("update-line", "bytes"),
               belongs_to="fresh-bytes"),
    Comparison("apply-fresh", apply_fresh, ("A2",), "apply", figures("apply-fresh", "wall", "cpu", "rss")),
    Comparison("apply-update", apply_update, ("A1", "A2"), "apply", figures("apply-update", "wall", "cpu", "rss")),
    Comparison("rescan", rescan, ("many",), "snapshot", figures("rescan", "wall", "cpu", "rss")),
    Comparison("day", day, ("home0", "home1"), "snapshot", figures("day", "bytes", "stored", "wall", "cpu", "rss")),
    Comparison("restore-file", restore_file, ("many",), "restore",
               figures("restore-file", "wall", "cpu", "rss", wall="restore-file-latency")),
    Comparison("restore", restore, ("home0",), "restore", figures("restore", "wall", "cpu", "rss")),
    Comparison("publish-update", publish_update, ("A1", "A2"), "capture",
               figures("publish-update", "bytes", "wall", "cpu", "rss"), asked_for=True),
    Comparison("publish-release", publish_release, ("A1", "A3"), "capture",
               figures("publish-release", "bytes", "wall", "cpu", "rss"), asked_for=True),
    Comparison("update", update, ("A1", "A2"), "transfer",
               figures("update", "bytes", "cpu", "rss", cpu="publish-cpu", rss="publish-rss"), asked_for=True,
               note=THROUGH),
    Comparison("migration", migration, ("A1", "A3"), "transfer", figures("migration", "bytes", "cpu", "rss"),
               asked_for=True, note=THROUGH),
    Comparison("fresh", fresh, ("A2",), "transfer", figures("fresh", "bytes", "cpu", "rss"), asked_for=True,
               note=THROUGH),
    Comparison("decode", decode, ("A1", "A2"), "transfer", figures("decode", "cpu", "rss"), asked_for=True,
               note=THROUGH),
    Comparison("decode-migration", decode_migration, ("A1", "A3"), "transfer",
               figures("decode-migration", "cpu", "rss"), asked_for=True, note=THROUGH),
]
PEER_NAMES = {kind.name for kind in (*peers.ALL, *transfers.PEERS)}
VARIANT_NAMES = {kind.name for kind in transfers.OURS}
UNITS = {"wall": "s", "cpu": "s", "rss": "bytes", "bytes": "bytes", "stored": "bytes"}
HEADS = {"wall": "wall s", "cpu": "cpu s", "rss": "peak MB", "bytes": "MB", "stored": "stored MB"}


def results_of(comparison, samples):
    """The JSON records of one comparison."""
    for field, name in comparison.figures.items():
        mine = getattr(samples[OURS], field) if OURS in samples else None
        if mine is None:
            continue
        theirs = {tool: getattr(sample, field) for tool, sample in samples.items()
                  if tool != OURS and getattr(sample, field) is not None}
        yield {"name": name, "comparison": comparison.name, "unit": UNITS[field], "ours": round(mine, 4),
               "peers": {tool: round(value, 4) for tool, value in theirs.items()},
               "ratios": {tool: round(mine / value, 4) for tool, value in theirs.items() if value > 0}}


def print_table(comparison, samples, census, runs):
    print(f"\n{comparison.name}: {' '.join((comparison.run.__doc__ or '').split())}")
    print(f"  {census}; median of {runs}")
    if comparison.note:
        print(f"  {comparison.note}")
    fields = [field for field in ("bytes", "stored", "wall", "cpu", "rss") if field in comparison.figures]
    print("  " + f"{'':<14}" + "".join(f"{HEADS[field]:>12}{'ratio':>8}" for field in fields))
    for tool, sample in samples.items():
        cells = ""
        for field in fields:
            value, mine = getattr(sample, field), getattr(samples.get(OURS, Sample()), field)
            shown = "-" if value is None else f"{value / 1e6:.1f}" if UNITS[field] == "bytes" else f"{value:.3f}"
            cells += f"{shown:>12}{'' if tool == OURS or not value or mine is None else f'{mine / value:.2f}':>8}"
        print(f"  {tool:<14}{cells}")
    sys.stdout.flush()


def chosen(names):
    known = {figure for comparison in COMPARISONS for figure in comparison.figures.values()}
    known |= {comparison.name for comparison in COMPARISONS}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no comparison '{name}': one of {', '.join(sorted(known))}")
    return [comparison for comparison in COMPARISONS
            if (not names and not comparison.asked_for) or comparison.name in names or
            comparison.belongs_to in names or set(names) & set(comparison.figures.values())]


def have_trees(options, comparisons, say):
    """Makes what is missing of the corpus, or looks into the one that was given. Returns {tree: why it is missing}."""
    missing = {}
    folder = options.corpus or corpus.default_folder(options.quick)
    for name in dict.fromkeys(name for comparison in comparisons for name in comparison.trees):
        try:
            if options.corpus and not os.path.isdir(os.path.join(folder, name)):
                missing[name] = f"{options.corpus} has no {name}"
            elif not options.corpus:
                corpus.make(name, folder, options.quick, say)
        except (corpus.CorpusError, ReferenceError, *FAILURES) as error:
            missing[name] = str(error)
    return missing


def run_all(bench, comparisons, missing, told):
    results = []
    for comparison in comparisons:
        lacking = [missing[name] for name in comparison.trees if name in missing]
        if lacking:
            print(f"\nSKIP {comparison.name}: {lacking[0]}", flush=True)
            continue
        census = ", ".join("{}: {} entries, {:.0f} MB".format(name, entries, size / 1e6) for name, (entries, size) in
                           ((name, verify.census(bench.tree(name))) for name in comparison.trees))
        try:
            samples = comparison.run(bench)
        except FAILURES as error:
            bench.failed(comparison.name, OURS, error)
            continue
        bench.say("")
        print_table(comparison, samples, census, bench.runs_of(comparison.name))
        results += results_of(comparison, samples)
        if bench.options.json:  # After each one: the whole takes long, and may be broken off.
            with open(bench.options.json, "w", encoding="utf-8") as file:
                json.dump({"results": results, "runs": bench.runs, "quick": bench.options.quick, "told": told,
                           "failed": bench.errors}, file, indent=2)
                file.write("\n")


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0], epilog=
                                     "Comparisons: " + ", ".join(one.name for one in COMPARISONS) + "; or the name of "
                                     "one of their figures. `./dev bench load` and `./dev bench unit` are others: "
                                     "tests/bench/README.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to compare (all but those of updates: publish-*, update, migration, fresh, decode, decode-migration)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    parser.add_argument("--quick", action="store_true", help="small trees and one run; under five minutes")
    parser.add_argument("--runs", type=int, help="how often each has its turn (3; 1 with --quick)")
    parser.add_argument("--corpus", metavar="DIR", help="other trees: DIR/A1, A2, A3, home0, home1, many; what is not "
                        "there is skipped")
    parser.add_argument("--peers", type=lambda text: text.split(","), metavar="NAME,...", help="only these of " +
                        ", ".join(sorted(PEER_NAMES)))
    parser.add_argument("--variants", type=lambda text: text.split(","), metavar="NAME,...", help="beside lamina only "
                        "these of " + ", ".join(sorted(VARIANT_NAMES)))
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs is not None and not 1 <= options.runs <= 100:
        parser.error("--runs: between 1 and 100")
    try:
        options.comparisons = chosen(options.names)
    except ValueError as error:
        parser.error(str(error))
    strangers = set(options.peers or []) - PEER_NAMES
    if strangers:
        parser.error(f"--peers: no peer is called {', '.join(sorted(strangers))}")
    strangers = set(options.variants or []) - VARIANT_NAMES
    if strangers:
        parser.error(f"--variants: none is called {', '.join(sorted(strangers))}")
    if options.corpus and not os.path.isdir(options.corpus):
        parser.error(f"--corpus {options.corpus}: no such directory")
    options.corpus = options.corpus and os.path.abspath(options.corpus)
    return options


def main():
    options = parse()
    os.umask(0o022)
    programs = {kind.program for kind in (*peers.ALL, *transfers.PEERS)}
    absent = sorted(program for program in programs if shutil.which(program) is None)
    if absent:
        print(f"bench: {', '.join(absent)} not installed: run it as ./dev bench, or apt-get install them",
              file=sys.stderr)
        return 1
    if INSIDE not in os.environ:
        if os.geteuid() != 0:
            print("SKIP bench: needs root, for file systems of its own (a loop-mounted ext4 for each run)")
            return 77

        def say(text):
            print(f"corpus: {text}", file=sys.stderr, flush=True)

        missing = have_trees(options, options.comparisons, say)
        # Mounts of its own, that end with it whatever happens, and a loopback on which every port is free.
        os.execvpe("unshare", ["unshare", "--mount", "--net", sys.executable, *sys.argv],
                   {**os.environ, INSIDE: json.dumps(missing)})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: sys.exit(128 + n))
    execute(["ip", "link", "set", "lo", "up"])
    work = run_directory(os.path.join(TOP, "build"), "bench")
    reason = no_loop_mounts(work)
    if reason:
        print(f"SKIP bench: needs loop-mounted file systems: {reason}")
        return 77
    bench = Bench(options, work)
    told = {f"{OURS}, {which}": ours.TOLD[which]
            for which in dict.fromkeys(comparison.told for comparison in options.comparisons)}
    kinds = [kind for is_transfer, all_kinds in ((False, peers.ALL), (True, transfers.PEERS)) for kind in all_kinds
             if any((comparison.told == "transfer") == is_transfer for comparison in options.comparisons)]
    told |= {kind.version(): kind.told for kind in bench.contestants(*kinds)}
    try:
        run_all(bench, options.comparisons, json.loads(os.environ[INSIDE]), told)
    finally:
        bench.say("")
        shutil.rmtree(work, ignore_errors=True)
    print()
    for name, words in told.items():
        print(f"  {name}: {words}")
    return 1 if bench.errors else 0


if __name__ == "__main__":
    sys.exit(main())
