#!/usr/bin/env python3
"""An origin on loopback whose disk lies: packs are damaged and lost, found by the scrub, and brought back by a
device, by a mirror and from a backup; a device's own cache is damaged, too.

usage: heal_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

ORIGIN, LAMINA, NODE = sys.argv[1:4]
USER = "nobody"  # Of the network process, where this runs as root.
failures = 0


def check(name, good, detail=""):
    global failures
    failures += 0 if good else 1
    print(("PASS " if good else "FAIL ") + name + (f": {detail}" if detail else ""), flush=True)


def run(*args, timeout=60):
    return subprocess.run(args, capture_output=True, text=True, timeout=timeout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """One that runs until it is stopped; its log is read as it comes."""

    def __init__(self, *args):
        self.name = " ".join(os.path.basename(word) for word in args[:2])
        self.lines = []
        self.news = threading.Condition()
        self.ended = False
        self.process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def find(self, *words, after=0):
        """Number of the first line behind `after` with all of the words."""
        return next((i for i in range(after, len(self.lines)) if all(word in self.lines[i] for word in words)), None)

    def wait_for(self, *words, after=0, seconds=90):
        with self.news:
            self.news.wait_for(lambda: self.find(*words, after=after) is not None or self.ended, seconds)
            at = self.find(*words, after=after)
        if at is None:
            raise TimeoutError(f"{self.name}: no line with {words}:\n" + "".join(self.lines[-40:]))
        return at

    def here(self):
        return len(self.lines)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


def flip(path, at=None):
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        file.seek(size // 2 if at is None else at)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x20]))
        file.flush()
        os.fsync(file.fileno())


class Origin:
    def __init__(self, top):
        self.data = top + "/origin"
        self.api, self.swarm = free_port(), free_port()
        done = run(ORIGIN, "init", "--data", self.data, "--name", "localhost,127.0.0.1", "--api-port", str(self.api),
                   "--swarm-port", str(self.swarm))
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        self.fingerprint = next(line.split()[-1] for line in done.stdout.splitlines() if "fingerprint" in line)
        self.serve = None

    def start(self):
        self.serve = Program(ORIGIN, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.api}",
                             "--scrub-rate", "64 MiB", "--scrub-every", "1s")
        self.serve.wait_for(" serving ")

    def lamina(self, *args):
        done = run(LAMINA, "--origin", f"127.0.0.1:{self.api}", "--ca", self.data + "/keys/api-ca.pem",
                   "--token-file", self.data + "/keys/admin.token", *args)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def token(self, name, *words):
        return self.lamina("token", "create", "--name", name, "--ttl", "1d", *words).split()[-1]

    def packs(self, space):
        return sorted(glob.glob(f"{self.data}/{space}/packs/" + "[0-9a-f]" * 64))

    def check(self):
        done = run(ORIGIN, "check", "--data", self.data, "--read-data", "--json")
        return done.returncode, json.loads(done.stdout)["check"]["findings"]


class Device:
    def __init__(self, top, origin):
        self.state, self.volume, self.port = top + "/state", top + "/volume", free_port()
        os.makedirs(self.volume)
        self.user = ["--user", USER] if os.geteuid() == 0 else []
        done = run(NODE, "enroll", "--origin", f"127.0.0.1:{origin.api}", "--ca-fingerprint", origin.fingerprint,
                   "--token", origin.token("batch", "--kind", "enrol", "--uses", "5", "--site", "north"),
                   "--state", self.state, "--volume", self.volume, "--hardware-uuid",
                   "00000000-0000-4000-8000-000000000001", *self.user)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def start(self):
        self.worker = Program(NODE, "worker", "--state", self.state)
        self.node = Program(NODE, "run", "--state", self.state, "--swarm-listen", f"127.0.0.1:{self.port}",
                            "--beacon-port", str(free_port()), "--cache-patrol", "1s", *self.user)

    def stop(self):
        for program in (self.node, self.worker):
            program.stop()

    def sync(self):
        return run(NODE, "sync", "--state", self.state, timeout=120)

    def packs(self):
        return sorted(glob.glob(self.state + "/cache/packs/" + "[0-9a-f]" * 64))


def main():
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            print(f"SKIP there is no user {USER}")
            return 77
    with tempfile.TemporaryDirectory(prefix="lamina-heal-") as top:
        os.chmod(top, 0o755)
        origin = Origin(top)
        origin.start()
        serve = origin.serve
        origin.lamina("site", "add", "north")
        tree = top + "/tree"
        os.makedirs(tree + "/etc")
        os.makedirs(tree + "/usr/bin")
        shutil.copy("/etc/os-release", tree + "/etc")
        shutil.copy("/bin/bash", tree + "/usr/bin/bash")
        origin.lamina("layer", "capture", "--name", "system", "--version", "1.0", "--tree", tree, "--key",
                      origin.data + "/keys/publisher.key")
        seed = Program(ORIGIN, "seed", "--data", origin.data, "--listen", f"127.0.0.1:{origin.swarm}")
        seed.wait_for(" torrent_served ")
        device = Device(top, origin)
        device.start()
        origin.lamina("assign", "--site", "north", "--layers", "system:1.0")
        device.node.wait_for(" layer_complete ")
        device.node.wait_for(" applied ")
        os.makedirs(device.volume + "/srv", exist_ok=True)
        with open(device.volume + "/srv/report", "wb") as file:
            file.write(os.urandom(300_000))
        check("the device has the layer, and a snapshot at the origin", device.sync().returncode == 0)
        code, findings = origin.check()
        check("the origin is sound", code == 0, str(findings))
        layers = [os.path.basename(path) for path in origin.packs("layers")]

        # --- a flipped bit in a layer's pack
        at, seeded = serve.here(), seed.here()
        flip(origin.packs("layers")[-1])
        line = serve.lines[serve.wait_for(" pack_set_aside ", "space=layers", after=at)]
        check("the scrub finds it, and says which block", "block" in line and " next=" in line, line.strip())
        line = serve.lines[serve.wait_for(" pack_healed ", after=at)]
        check("the device brings the pack back", "from=device:" in line, line.strip())
        seed.wait_for(" torrent_served ", "missing=0", after=seeded)
        check("the seeder serves it again", True)
        code, findings = origin.check()
        check("the origin is sound again", code == 0, str(findings))

        # --- a pack that is gone, and a mirror
        mirror = Program(ORIGIN, "seed", "--data", top + "/mirror", "--join", f"127.0.0.1:{origin.api}",
                         "--ca-fingerprint", origin.fingerprint, "--token", origin.token("s2", "--kind", "seeder"),
                         "--listen", f"127.0.0.1:{free_port()}")
        mirror.wait_for(" layer_mirrored ")
        device.stop()
        at = serve.here()
        os.remove(origin.packs("layers")[0])
        line = serve.lines[serve.wait_for(" pack_healed ", after=at)]
        check("a mirror brings back a pack that is gone", "from=seeder:s2" in line, line.strip())
        mirror.stop()

        # --- what a device sent
        at = serve.here()
        for path in origin.packs("cvd"):
            flip(path)
        serve.wait_for(" pack_set_aside ", "space=cvd", after=at)
        code, findings = origin.check()
        hit = [finding for finding in findings if finding["kind"] == "pack-aside"]
        check("check names the device and its snapshot", code == 6 and hit and all(f["devices"] for f in hit) and
              any(f["snapshots"] for f in hit), str(findings))
        device.start()
        device.node.wait_for("origin_reached")
        done = device.sync()
        check("the device sends its content again", done.returncode == 0, done.stderr.strip())
        code, findings = origin.check()
        check("the origin is sound with it", code == 0, str(findings))

        # --- a device's cache
        at = device.node.here()
        flip(device.packs()[-1])
        device.node.wait_for(" layer_damaged ", after=at)
        device.node.wait_for(" layer_complete ", after=at)
        check("a device finds damage in its cache and fetches the pack again",
              sorted(os.path.basename(path) for path in device.packs()) == layers)
        device.stop()
        seed.stop()

        # --- nobody has it but the backup
        done = run(ORIGIN, "backup", "--data", origin.data, "--to", top + "/backup")
        check("a backup is made", done.returncode == 0, done.stderr.strip())
        at = serve.here()
        for space in ("layers", "cvd"):
            for path in origin.packs(space):
                flip(path, 1000)
        for space in ("layers", "cvd"):
            serve.wait_for(" pack_set_aside ", "space=" + space, after=at)
        serve.stop()
        done = run(ORIGIN, "repair", "--data", origin.data, "--from", top + "/backup")
        check("repair takes the rest from a backup", done.returncode == 0, done.stdout + done.stderr)
        code, findings = origin.check()
        check("the origin is sound after it", code == 0, str(findings))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
