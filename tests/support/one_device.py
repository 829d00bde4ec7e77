"""A site of one device on loopback, and what its administrator and its user do: what tests of a device's content begin
with."""

import contextlib
import json
import os
import shutil
import tempfile

from node_on_loopback import NodeOnLoopback
from origin_on_loopback import Daemon, OriginOnLoopback

PATIENCE = 180  # Seconds, for what a device does by itself: a poll of a minute, an apply.


def write(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(path, mode)


def read(path):
    """None: it is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


@contextlib.contextmanager
def scratch(name):
    """A directory that others may enter, and an ExitStack for what runs in it; both end with the block."""
    with tempfile.TemporaryDirectory(prefix=f"lamina-{name}-") as top, contextlib.ExitStack() as running:
        os.chmod(top, 0o755)
        yield top, running


class OneDevice:
    """An origin with the site "north", and a device in it once it is enrolled, in the directory `top`. `programs` are
    lamina-origin, lamina and lamina-node; `running` is an ExitStack."""

    def __init__(self, programs, top, running, origin_options=()):
        self.origin_program, lamina_program, self.node_program = programs
        self.top, self.running = top, running
        self.origin = running.enter_context(
            OriginOnLoopback(self.origin_program, lamina_program, top + "/origin", origin_options))
        self.told, self.lamina = self.origin.told, self.origin.lamina
        self.told("site", "add", "north")

    def token(self, name, *words):
        return self.told("token", "create", "--name", name, "--ttl", "1d", *words).split()[-1]

    def node(self, top, options=()):
        """A device that is enrolled and does not run yet."""
        os.makedirs(top, exist_ok=True)
        return NodeOnLoopback(self.node_program, top, self.origin,
                              self.token(os.path.basename(top), "--kind", "enrol", "--uses", "1", "--site", "north"),
                              options)

    def enrol(self, options=()):
        self.device = self.node(self.top, options)
        self.volume = self.device.volume

    def start(self):
        self.device.start(self.running)
        self.id = json.loads(self.told("--json", "device", "ls").splitlines()[0])["id"]

    def seed(self):
        """The origin's seeder, once it serves a layer."""
        seed = Daemon(self.origin_program, "seed", "--data", self.origin.data, "--listen",
                      f"127.0.0.1:{self.origin.swarm}", ready=" torrent_served ")
        self.running.callback(seed.stop)
        return seed

    def capture(self, name, version, *words):
        return self.lamina("layer", "capture", "--name", name, "--version", version, "--key",
                           self.origin.data + "/keys/publisher.key", *words)

    def capture_tree(self, name, version, tree, *words):
        """One that has to succeed."""
        done = self.capture(name, version, "--tree", tree, *words)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def path(self, name):
        return self.volume + "/" + name

    def file(self, name, text):
        write(f"{self.top}/{name}", text)
        return f"{self.top}/{name}"

    def heard(self, *texts, command):
        """Runs a command, and waits for what the node says of it."""
        at = self.device.node.here()
        self.told(*command)
        return self.device.node.wait_for(*texts, after=at, seconds=PATIENCE)

    def sync(self):
        """The new snapshot's id."""
        done = self.device.sync()
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        snapshots = json.loads(self.told("--json", "cvd", "snapshots", self.id))["snapshots"]
        return max(snapshots, key=lambda snapshot: snapshot["number"])["id"]

    def held(self, snapshot):
        """The files of a snapshot, by restoring it."""
        to = f"{self.top}/to-{snapshot[:8]}"
        self.told("cvd", "restore", self.id, "--snapshot", snapshot, "--to", to)
        found = {os.path.relpath(os.path.join(where, name), to) for where, _, names in os.walk(to) for name in names}
        shutil.rmtree(to)
        return found

    def restore(self, tree, *more):
        return self.lamina("cvd", "restore", self.id, "--onto", tree, *more)
