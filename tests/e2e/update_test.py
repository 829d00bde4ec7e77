#!/usr/bin/env python3
"""An update of a layer on loopback: devices with the old version, with none, with files that a user changed, one that is
killed in the middle, and one whose cache is damaged. Each at a site of its own, so that what crosses each line is seen.

usage: update_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import contextlib
import glob
import gzip
import json
import os
import pwd
import random
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from origin_on_loopback import Daemon, OriginOnLoopback, free_port, run  # noqa: E402

ORIGIN, LAMINA, NODE = sys.argv[1:4]
USER = "nobody"  # Of the network process, where this runs as root.
PATIENCE = 120  # Seconds: a poll of a minute.
# By swarm the last block of a pack crosses in full, by HTTPS its bytes alone. An update of these
# trees has two packs of 16 KiB blocks at most.
PADDING = 2 * (16 << 10)
checks = Checks()
check = checks.check


class Device:
    def __init__(self, top, origin, name):
        self.name, self.state, self.volume, self.port = name, f"{top}/{name}", f"{top}/{name}-volume", free_port()
        os.makedirs(self.volume)
        origin.told("site", "add", name)
        self.user = ["--user", USER] if os.geteuid() == 0 else []
        token = origin.told("token", "create", "--name", name, "--ttl", "1d", "--kind", "enrol", "--uses", "1",
                            "--site", name).split()[-1]
        done = run(NODE, "enroll", "--origin", f"127.0.0.1:{origin.api}", "--ca-fingerprint", origin.fingerprint,
                   "--token", token, "--state", self.state, "--volume", self.volume, *self.user)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def start(self, running):
        self.worker = Daemon(NODE, "worker", "--state", self.state, ready=" worker_ready ")
        running.callback(self.worker.stop)
        self.start_node(running)

    def start_node(self, running):
        self.node = Daemon(NODE, "run", "--state", self.state, "--swarm-listen", f"127.0.0.1:{self.port}",
                           "--beacon-port", str(free_port()), *self.user, ready="origin_reached")
        running.callback(lambda node: node.process.poll() is None and node.stop(), self.node)

    def stop(self):
        for program in (self.node, self.worker):
            program.stop()

    def packs(self):
        return sorted(glob.glob(self.state + "/cache/packs/" + "[0-9a-f]" * 64))

    def fetched(self):
        """Payload over the line, of all kinds, since its state directory was made."""
        done = run(NODE, "status", "--state", self.state, "--json")
        by_source = json.loads(done.stdout)["bytes_by_source"]
        return sum(bytes for source, bytes in by_source.items() if source.startswith("origin"))

    def update(self, origin):
        """The counts of the update that it reported last."""
        for line in reversed(origin.told("device", "log", self.id(), "--json").splitlines()):
            report = json.loads(line)
            if report["operation"] == "update":
                return report
        return None

    def id(self):
        with open(self.state + "/node.json", encoding="utf-8") as file:
            return json.load(file)["device"]


def program(path, seed):
    """Something that looks like one: the machine's own, with a byte changed here and there."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    chance = random.Random(seed)
    for at in range(4096, len(data), 20_000):
        data[min(at + chance.randrange(9000), len(data) - 1)] ^= 0x55
    return bytes(data)


def make_tree(tree, version):
    for folder in ("etc", "usr/bin", "usr/share/doc"):
        os.makedirs(f"{tree}/{folder}")
    shutil.copy("/etc/os-release", tree + "/etc")
    with open(tree + "/etc/motd", "w", encoding="utf-8") as file:
        file.write(f"version {version}\n")
    for name in ("bash", "tar", "openssl", "find", "grep", "sed", "perl", "python3"):
        path = shutil.which(name)
        if path:
            with open(f"{tree}/usr/bin/{name}", "wb") as file:
                file.write(program(path, version))
            os.chmod(f"{tree}/usr/bin/{name}", 0o755)
    words = random.Random(3)
    text = " ".join(f"word{words.randrange(5000)}" for _ in range(60_000)) + f" {version}\n"
    with open(tree + "/usr/share/doc/changelog.gz", "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))


def make_images(tree, version):
    """Files that are much like each other, each larger than what a layer's own packs code together."""
    os.makedirs(tree)
    chance = random.Random(11)
    data = bytearray(chance.randbytes(1_200_000))
    for number in range(8):
        for at in range(number + 100 * version, len(data), 8000):
            data[at] ^= 0x55
        with open(f"{tree}/image{number}", "wb") as file:
            file.write(data)


def content_of(tree):
    found = {}
    for folder, folders, names in os.walk(tree):
        if ".lamina" in folders:
            folders.remove(".lamina")
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, tree)] = (os.stat(path).st_mode, file.read())
    return found


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x20]))


def main():
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            print(f"SKIP there is no user {USER}")
            return 77
    with tempfile.TemporaryDirectory(prefix="lamina-update-") as top, contextlib.ExitStack() as running:
        os.chmod(top, 0o755)
        scenario(top, running)
    return checks.summary()


def scenario(top, running):
    origin = running.enter_context(OriginOnLoopback(ORIGIN, LAMINA, top + "/origin"))
    trees = {version: f"{top}/tree-1.{version}" for version in (0, 1, 2)}
    for version, tree in trees.items():
        make_tree(tree, version)

    def publish(version, *more):
        return origin.told("layer", "capture", "--name", "system", "--version", f"1.{version}", "--tree",
                           trees[version], "--key", origin.data + "/keys/publisher.key", *more)

    publish(0)
    seed = Daemon(ORIGIN, "seed", "--data", origin.data, "--listen", f"127.0.0.1:{origin.swarm}",
                  ready=" torrent_served ")
    running.callback(seed.stop)
    names = ("old", "changed", "killed", "damaged", "halted", "fresh")
    devices = {name: Device(top, origin, name) for name in names}
    for device in devices.values():
        device.start(running)
    with_old = [devices[name] for name in names if name != "fresh"]
    for device in with_old:
        origin.told("assign", "--site", device.name, "--layers", "system:1.0")
    for device in with_old:
        device.node.wait_for(" applied ", seconds=PATIENCE)
    before = {device.name: device.fetched() for device in with_old}
    check("devices have the old version", all(
        content_of(device.volume) == content_of(trees[0]) for device in with_old))

    said = publish(1, "--effort", "high")
    check("publishing says what a device with the old version fetches", "a device with system:1.0 fetches" in said, said)
    rehearsed = {json.loads(line)["device"]: json.loads(line) for line in
                 origin.told("assign", "--site", "old", "--layers", "system:1.1", "--dry-run", "--json").splitlines()
                 if "download_bytes" in line}
    foreseen = rehearsed[devices["old"].id()]["download_bytes"]
    everyone = [word for device in devices.values() for word in ("--device", device.id())]
    groups = [json.loads(line) for line in
              origin.told("assign", *everyone, "--layers", "system:1.1", "--dry-run", "--json").splitlines()
              if "each_bytes" in line]
    check("the rehearsal says what devices with the same version fetch",
          sorted((group["from"], group["devices"], group["each_bytes"] == foreseen) for group in groups) ==
          [([], 1, False), (["system:1.0"], 5, True)], groups)
    difference = json.loads(origin.told("layer", "diff", "--bytes", "system:1.0", "system:1.1", "--json"))
    check("so does the comparison of both versions", difference["download_bytes"] == foreseen and
          difference["fresh_bytes"] > 5 * foreseen, difference)

    # --- a user's own change; a cache that forgot something; one that is killed while it fetches
    with open(devices["changed"].volume + "/usr/bin/bash", "ab") as file:
        file.write(b"a user was here")
    damaged = devices["damaged"]
    halted = devices["halted"]  # Damaged too, and killed when it knows what it lacks.
    for device in (damaged, halted):
        flip(max(device.packs(), key=os.path.getsize))
    for device in devices.values():
        origin.told("assign", "--site", device.name, "--layers", "system:1.1")
    killed = devices["killed"]
    killed.node.wait_for(" layer_wanted ", "name=\"system 1.1\"", seconds=PATIENCE)
    killed.node.kill()
    killed.start_node(running)
    halted.node.wait_for(" update_lacks ", seconds=PATIENCE)
    halted.node.kill()
    halted.start_node(running)
    wanted = content_of(trees[1])
    for device in devices.values():
        device.node.wait_for(" applied ", "sequence=2" if device.name != "fresh" else "", seconds=PATIENCE)
        got = content_of(device.volume)
        if device.name == "changed":
            wanted_here = {path: entry for path, entry in wanted.items() if path != "usr/bin/bash"}
            got.pop("usr/bin/bash", None)
        else:
            wanted_here = wanted
        check(f"the device '{device.name}' has the new version", got == wanted_here,
              sorted(path for path in wanted if got.get(path) != wanted[path]))

    full = devices["fresh"].fetched()
    cost = {device.name: device.fetched() - before[device.name] for device in with_old}
    check("an update is far smaller than the layer", cost["old"] * 5 < full, f"{cost} of {full}")
    check("the rehearsal foresaw it", abs(cost["old"] - foreseen) <= PADDING, f"{foreseen} foreseen, {cost['old']} fetched")
    check("a user's changes cost nothing", cost["changed"] <= foreseen + PADDING, cost)
    check("the one that was killed fetched little twice", cost["killed"] <= cost["old"] * 2, cost)
    for name in ("old", "changed", "killed"):
        report = devices[name].update(origin)
        check(f"'{name}' reports an update without fallback",
              report and report["ok"] and report["counts"]["fallback_bytes"] == 0, report)
    report = damaged.update(origin)
    packs = os.listdir(origin.data + "/layers/packs")
    largest = max(os.path.getsize(f"{origin.data}/layers/packs/{pack}") for pack in packs)
    check("damage in the cache costs what leaned on it, and is reported",
          report and 0 < report["counts"]["fallback_bytes"] < largest * 2 / 3 and report["counts"]["chunks"] > 0,
          f"{report}, of a pack of {largest}")
    for device in (damaged, halted):
        check(f"'{device.name}' fetched no more than that",
              cost[device.name] <= foreseen + report["counts"]["fallback_bytes"] + PADDING, cost)
    said = origin.told("explain", "--device", damaged.id())
    check("explain says what the damage cost", "system:1.1: by an update of " in said and
          " of packs were needed besides: " in said and "; 0 B of packs" not in said, said)
    check("a fresh device takes no update", devices["fresh"].update(origin) is None)

    # --- upon what was rebuilt, and back
    publish(2)
    old = devices["old"]
    at, base = old.node.here(), old.fetched()
    origin.told("assign", "--site", "old", "--layers", "system:1.2")
    old.node.wait_for(" applied ", "sequence=3", after=at, seconds=PATIENCE)
    check("an update upon an update", content_of(old.volume) == content_of(trees[2]))
    check("it is small too", (old.fetched() - base) * 5 < full, f"{old.fetched() - base} of {full}")
    at, base = old.node.here(), old.fetched()
    origin.told("assign", "--site", "old", "--layers", "system:1.1")
    old.node.wait_for(" applied ", "sequence=4", after=at, seconds=PATIENCE)
    check("the way back is free", content_of(old.volume) == wanted and old.fetched() - base < 64 << 10,
          f"{old.fetched() - base} fetched")
    make_tree(top + "/tree-1.3", 3)
    trees[3] = top + "/tree-1.3"
    said = publish(3, "--against", "none")
    check("updates can be left out", "a device with" not in said, said)
    from_nothing(origin, top, running)
    done = run(ORIGIN, "check", "--data", origin.data, "--read-data")
    check("the origin is sound", done.returncode == 0, done.stdout + done.stderr)
    listed = set(os.listdir(origin.data + "/layers/packs"))
    origin.serve.stop()
    done = run(ORIGIN, "gc", "--data", origin.data)
    check("a collection keeps the updates", done.returncode == 0 and
          set(os.listdir(origin.data + "/layers/packs")) == listed, done.stdout + done.stderr)


def from_nothing(origin, top, running):
    """A layer whose files are much alike: who has nothing takes an update from nothing."""
    trees = {version: f"{top}/images-{version}" for version in (1, 2)}
    said = {}
    for version, tree in trees.items():
        make_images(tree, version)
        said[version] = origin.told("layer", "capture", "--name", "images", "--version", str(version), "--tree", tree,
                                    "--key", origin.data + "/keys/publisher.key", "--os-family", "linux",
                                    "--distribution", "any", "--release", "1", "--architecture", os.uname().machine)
        check(f"publishing version {version} says what a fresh device fetches, and what that takes at the origin",
              re.search(r"a fresh device fetches [^ ]+ [^ ]+ instead of ", said[version]) and
              "of the origin's disk" in said[version], said[version])
    shown = {version: json.loads(origin.told("layer", "show", f"images:{version}", "--json")) for version in trees}
    devices = {name: Device(top, origin, name) for name in ("first", "early", "torn")}
    for device in devices.values():
        device.start(running)
    rehearsed = [json.loads(line) for line in
                 origin.told("assign", "--site", "first", "--layers", "images:2", "--dry-run", "--json").splitlines()
                 if "download_bytes" in line]
    foreseen = rehearsed[0]["download_bytes"]
    check("the rehearsal counts with the update from nothing", foreseen < shown[2]["stored_bytes"] * 3 / 4, rehearsed)
    origin.told("assign", "--site", "early", "--layers", "images:1")
    origin.told("assign", "--site", "first", "--layers", "images:2")
    # One that is killed while it fetches or takes it.
    torn = devices["torn"]
    origin.told("assign", "--site", "torn", "--layers", "images:2")
    torn.node.wait_for(" layer_wanted ", seconds=PATIENCE)
    torn.node.kill()
    torn.start_node(running)
    for name, version in (("first", 2), ("torn", 2), ("early", 1)):
        device = devices[name]
        device.node.wait_for(" applied ", seconds=PATIENCE)
        check(f"the device '{name}' has the version", content_of(device.volume) == content_of(trees[version]))
    check("it costs what was foreseen", abs(devices["first"].fetched() - foreseen) <= PADDING,
          f"{foreseen} foreseen, {devices['first'].fetched()} fetched")
    report = devices["first"].update(origin)
    check("the device reports what came out of it, without fallback",
          report and report["ok"] and report["counts"]["fallback_bytes"] == 0 and report["counts"]["chunks"] > 0,
          report)
    # What came out of one from nothing is what an update from a version starts at.
    early = devices["early"]
    at, before = early.node.here(), early.fetched()
    origin.told("assign", "--site", "early", "--layers", "images:2")
    early.node.wait_for(" applied ", "sequence=2", after=at, seconds=PATIENCE)
    check("an update upon one from nothing", content_of(early.volume) == content_of(trees[2]))
    check("it is smaller than one from nothing", early.fetched() - before < foreseen, f"{early.fetched() - before}")
    done = run(NODE, "cache", "export", "--layer", "images:2", "--to", top + "/medium", "--state", early.state)
    check("what came out of updates is no layer to be exported", done.returncode != 0 and
          "came out of an update" in done.stderr, done.stderr)


if __name__ == "__main__":
    sys.exit(main())
