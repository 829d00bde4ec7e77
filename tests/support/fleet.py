"""Lamina's own programs in a lab: an origin with its seeder, devices with worker and network process,
and the administrator's command line. The command lines are those of docs/operator.md."""

import glob
import json
import os
import pwd
import re
import shutil
import stat
import tempfile
import time

from lab import LabError, wait_until

API_PORT, SWARM_PORT = 8443, 8444
HARDWARE_UUID = "11111111-2222-3333-4444-555555555555"  # One machine, so all devices share it.


def worker_capabilities():
    """The CapabilityBoundingSet of the worker's unit, as setpriv(1) writes capabilities."""
    unit = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../node/systemd/lamina-node-worker.service")
    with open(unit, encoding="utf-8") as file:
        match = re.search(r"^CapabilityBoundingSet=(.+)$", file.read(), re.M)
    return [word.removeprefix("CAP_").lower() for word in match.group(1).split()]


def run_directory(build, name):
    """An empty directory that every user can reach: below the build directory where that is so."""
    path = os.path.join(os.path.abspath(build), "lab", name)
    parent = os.path.dirname(path)
    os.makedirs(parent, exist_ok=True)
    while parent != "/":
        if not os.stat(parent).st_mode & stat.S_IXOTH and os.geteuid() == 0:
            return tempfile.mkdtemp(prefix=f"lamina-{name}-", dir="/var/tmp")
        parent = os.path.dirname(parent)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


class Device:
    """One device: its namespace, volume, state directory and two processes."""

    def __init__(self, fleet, number):
        self.fleet, self.number = fleet, number
        self.name = f"device {number}"
        self.space = fleet.net.devices[number - 1]
        self.address = fleet.net.device_address(number)
        self.home = os.path.join(fleet.run_dir, f"device{number}")
        self.volume, self.state = os.path.join(self.home, "volume"), os.path.join(self.home, "state")
        os.makedirs(self.volume, exist_ok=True)
        os.chmod(self.home, 0o755)
        self.worker = self.node = None
        self.own_filter = []  # rsync rules for what a scenario puts on this device beside the layers.
        self.clock_seconds = 0.0  # What its clock is ahead of the others'.
        self.env = None
        self.run_options = []  # More words for `lamina-node run`.
        self.more_capabilities = []  # For a worker whose volume is not the machine's root.
        self.id = ""

    def give_identity(self):
        """What is this device's own, and must be the same after every apply. Returns {path: bytes}."""
        own = {"etc/hostname": f"branch-{self.number}\n", "etc/machine-id": f"{self.number:032x}\n",
               "etc/fstab": f"UUID={self.number:08x} / ext4 defaults 0 1\n"}
        for path, text in own.items():
            os.makedirs(os.path.dirname(os.path.join(self.volume, path)), exist_ok=True)
            with open(os.path.join(self.volume, path), "w", encoding="ascii") as file:
                file.write(text)
        self.identity = {path: text.encode() for path, text in own.items()}
        return self.identity

    def identity_kept(self):
        def same(path, text):
            try:
                with open(os.path.join(self.volume, path), "rb") as file:
                    return file.read() == text
            except OSError:
                return False

        return all(same(path, text) for path, text in self.identity.items())

    def enroll(self, token, check=True, origin=None, fingerprint=None):
        fleet = self.fleet
        words = [fleet.program("node/lamina-node"), "enroll", "--origin", origin or fleet.api, "--ca-fingerprint",
                 fingerprint or fleet.fingerprint, "--token", token, "--state", self.state, "--volume", self.volume,
                 "--hardware-uuid", HARDWARE_UUID]
        if os.geteuid() == 0:
            words += ["--user", fleet.user]
        done = fleet.lab.run(words, self.space, check=check, env=self.env)
        if done.code == 0:
            with open(os.path.join(self.state, "node.json"), encoding="utf-8") as file:
                self.id = json.load(file)["device"]
        return done

    def set_clock(self, offset):
        """A wrong clock ("+365d", "-10m") for programs that are started from now on; "" is the right one. By
        libfaketime: only the wall clock is wrong."""
        self.env, self.clock_seconds = None, 0.0
        if not offset:
            return
        number, unit = float(offset[:-1]), {"s": 1, "m": 60, "h": 3600, "d": 86400}[offset[-1]]
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise LabError("libfaketime is not installed: apt-get install faketime")
        self.clock_seconds = number * unit
        self.env = dict(os.environ, LD_PRELOAD=found[0], FAKETIME=f"{self.clock_seconds:+.0f}",
                        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")

    def start(self):
        self.start_worker()
        self.start_node()

    def start_worker(self):
        words = [self.fleet.program("node/lamina-node"), "worker", "--state", self.state]
        if os.geteuid() == 0:
            # With what the systemd unit leaves to it, and no more.
            words = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=" + ",".join(
                ["-all", *("+" + capability for capability in worker_capabilities() + self.more_capabilities)]), *words]
        # No network at all for the process that runs as root.
        self.worker = self.fleet.lab.start(f"worker-{self.number}", words, None, env=self.env)

    def start_node(self):
        words = [self.fleet.program("node/lamina-node"), "run", "--state", self.state, "--swarm-listen",
                 f"{self.address}:{SWARM_PORT + (self.number if not self.fleet.net.shaped else 0)}"]
        if os.geteuid() == 0:
            words += ["--user", self.fleet.user]
        words += ["--record", self.fleet.new_record(f"node-{self.number}", os.path.join(self.state, "net"))]
        words += self.run_options
        self.node = self.fleet.lab.start(f"node-{self.number}", words, self.space, env=self.env)

    def stop(self):
        for process in (self.node, self.worker):
            if process:
                self.fleet.lab.stop(process)
        self.node = self.worker = None

    def command(self, *words, check=True, seconds=300):
        """`lamina-node WORDS... --state DIR`."""
        return self.fleet.lab.run([self.fleet.program("node/lamina-node"), *words, "--state", self.state], self.space,
                                  check=check, seconds=seconds)

    def status(self):
        """What `lamina-node status --json` says, or {} while the node does not answer."""
        done = self.command("status", "--json", check=False, seconds=20)
        try:
            return json.loads(done.out) if done.code == 0 else {}
        except ValueError:
            return {}

    def events(self, event):
        """The log lines of one event: [(seconds since 1970, {field: value})]."""
        if not self.node:
            return []
        found, word = [], f" {event}"
        for line in self.node.text().splitlines():
            if word not in line:  # Cheaper than the expression, which thirty devices' logs feel.
                continue
            match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z \w+ " + event + r"(?: |$)(.*)", line)
            if match:
                seconds = time.mktime(time.strptime(match.group(1) + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone
                fields = {key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|\S+)', match.group(3))}
                found.append((seconds + int(match.group(2)) / 1000 - self.clock_seconds, fields))
        return found


class Fleet:
    """An origin and its devices in one lab. `net` is a Branch or a Loopback."""

    def __init__(self, lab, net, build):
        self.lab, self.net, self.build = lab, net, os.path.abspath(build)
        self.run_dir = lab.run_dir
        self.data = os.path.join(self.run_dir, "origin")
        self.api = f"{net.ORIGIN}:{API_PORT}"
        self.user = "nobody"
        pwd.getpwnam(self.user)
        self.serve = self.seed = None
        self.records = []  # What the programs decided, each start in a file of its own.
        self.mirrors = {}  # Seeders on hosts of their own, by number.
        self.fingerprint = ""
        self.devices = []

    def program(self, path):
        full = os.path.join(self.build, path)
        if not os.path.exists(full):
            raise LabError(f"{full} is not built: run ./dev build")
        return full

    # The origin.

    def init_origin(self):
        done = self.lab.run([self.program("origin/lamina-origin"), "init", "--data", self.data, "--name",
                             self.net.ORIGIN, "--api-port", API_PORT, "--swarm-port", SWARM_PORT], self.net.origin)
        match = re.search(r"\b[0-9a-f]{64}\b", done.out)
        if not match:
            raise LabError(f"lamina-origin init printed no CA fingerprint: {done.out.strip()[:200]}")
        self.fingerprint = match.group(0)

    def fetched_as_ranges(self):
        """Bytes that the devices got over the API's port until now."""
        return sum(device.status().get("bytes", {}).get("from_origin_https", 0) for device in self.devices)

    def new_record(self, name, folder=None):
        """A file for `--record`, which replay_records() reads."""
        self.records.append(os.path.join(folder or os.path.join(self.run_dir, "log"), f"{len(self.records)}-{name}.record"))
        return self.records[-1]

    def replay_records(self):
        """Feeds every program's inputs to the same decisions again: (records, decisions, what differed)."""
        found, decisions, wrong = 0, 0, []
        for path in filter(os.path.exists, self.records):
            done = self.lab.run([self.program("origin/lamina-origin"), "replay", path, "--json"], check=False)
            found += 1
            if done.code:
                wrong.append(f"{os.path.basename(path)}: {done.err.strip() or done.code}")
            else:
                decisions += json.loads(done.out)["replay"]["decisions"]
        return found, decisions, wrong

    def start_origin(self):
        self.start_serve()
        self.start_seed()

    def start_serve(self):
        self.serve = self.lab.start("origin-serve", [self.program("origin/lamina-origin"), "serve", "--data", self.data,
                                                     "--record", self.new_record("serve")], self.net.origin)
        wait_until(lambda: self.cli("site", "ls", check=False).code == 0 or not self.serve.running(), 20,
                   "the origin's API", every=0.2)
        if not self.serve.running():
            raise LabError(f"lamina-origin serve ended: {self.serve.tail(1)}")

    def start_seed(self):
        self.seed = self.lab.start("origin-seed", [self.program("origin/lamina-origin"), "seed", "--data", self.data,
                                                   "--record", self.new_record("seed")], self.net.origin)

    def start_mirrors(self):
        """The seeders beside the origin's own join, and have everything when this returns."""
        for number in getattr(self.net, "seeders", {}):
            if number == 1:
                continue
            secret = self.cli_json("token", "create", "--name", f"s{number}", "--kind", "seeder", "--ttl", "1d")[0]["secret"]
            self.start_mirror(number, "--join", self.api, "--ca-fingerprint", self.fingerprint, "--token", secret)
        if self.mirrors:
            wait_until(lambda: all(one["state"] in ("up", "origin") for one in self.cli_json("seeder", "ls")), 120,
                       "seeders that have everything")

    def start_mirror(self, number, *words):
        self.mirrors[number] = self.lab.start(f"seeder-{number}", [
            self.program("origin/lamina-origin"), "seed", "--data", os.path.join(self.run_dir, f"seeder{number}"),
            "--record", self.new_record(f"seeder-{number}"), *words], self.net.seeders[number])

    def cli(self, *words, check=True, seconds=60, name=None):
        """`lamina WORDS...` as the administrator, in the data centre."""
        return self.lab.run(self.administrator(*words), self.net.origin, check=check, seconds=seconds, name=name)

    def administrator(self, *words):
        """The command line of `lamina WORDS...`."""
        return [self.program("origin/lamina"), "--origin", self.api, "--ca-fingerprint", self.fingerprint,
                "--token-file", os.path.join(self.data, "keys/admin.token"), *words]

    def cli_json(self, *words, **options):
        """The records of `lamina --json`: one JSON value a line, or one list."""
        records = []
        for line in self.cli("--json", *words, **options).out.splitlines():
            if line.strip():
                value = json.loads(line)
                if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
                    value = next(iter(value.values()))
                records += value if isinstance(value, list) else [value]
        return records

    def layer_packs(self):
        """{name: bytes} of every pack in the layer space, read from the disk."""
        folder = os.path.join(self.data, "layers/packs")
        return {entry.name: entry.stat().st_size for entry in os.scandir(folder)} if os.path.isdir(folder) else {}

    def fresh_bytes(self, layer):
        """Of the packs of "NAME:VERSION", those that devices with an earlier layer do not fetch."""
        return self.cli_json("layer", "show", layer)[0].get("fresh_bytes", 0)

    def download_bytes(self, layer, version, former=None):
        """What a device fetches for a version of a layer that has a former one, or nothing."""
        cost = self.cli_json("layer", "diff", "--bytes", f"{layer}:{former or version}", f"{layer}:{version}")[0]
        return cost["download_bytes" if former else "fresh_bytes"]

    def capture(self, layer, version, tree, kind="base", over=None, against=None, seconds=900):
        """Captures and publishes a tree. Returns (seconds, new packs {name: bytes}, what the CLI said)."""
        before = self.layer_packs()
        words = self.capture_words(layer, version, tree, kind)
        words += (["--over", over] if over else []) + (["--against", against] if against else [])
        done = self.cli(*words, seconds=seconds, name="lamina-capture")
        new = {name: size for name, size in self.layer_packs().items() if name not in before}
        return done.seconds, new, done

    def capture_words(self, layer, version, tree, kind="base"):
        # A tree of any other files does not say which system it is.
        named = any(os.path.exists(os.path.join(tree, path)) for path in ("usr/lib/os-release", "etc/os-release"))
        platform = [] if named else ["--os-family", "linux", "--distribution", "any", "--release", "1",
                                     "--architecture", os.uname().machine]
        return ["layer", "capture", "--name", layer, "--version", version, "--kind", kind, "--tree", tree,
                "--key", os.path.join(self.data, "keys/publisher.key"), *platform]

    def token(self, name, uses, site=None):
        words = ["token", "create", "--name", name, "--kind", "enrol", "--uses", uses, "--ttl", "1d"]
        if site:
            words += ["--site", site]
        return self.cli_json(*words)[0]["secret"]

    # Devices.

    def add_device(self):
        self.devices.append(Device(self, len(self.devices) + 1))
        return self.devices[-1]

    def device_records(self):
        return {record["id"]: record for record in self.cli_json("device", "ls")}

    def assign(self, layers, site="branch", budget=None):
        """Returns the time when the origin accepted it (seconds since 1970)."""
        self.cli("assign", "--site", site, "--layers", ",".join(layers),
                 *(["--wan-budget", budget] if budget else []))
        return time.time()

    def wait_applied(self, layers, seconds, devices=None, each=None):
        """Waits until every device has applied exactly `layers`. each(records) is called all along.
        Fails early when a program has died."""
        wanted = {device.id for device in (devices or self.devices)}

        def applied():
            for process in self.lab.processes:
                if not process.running():
                    raise LabError(f"{process.name} ended: {process.tail(1)}")
            records = self.device_records()
            if each:
                each(records)
            return all(records.get(one, {}).get("applied") == layers for one in wanted)

        wait_until(applied, seconds, f"{', '.join(layers)} on {len(wanted)} devices", every=1.0)
