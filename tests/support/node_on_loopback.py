"""A device on loopback: the two processes of the node, and a directory as its volume."""

import glob
import os
import pwd

from origin_on_loopback import Daemon, free_port, run

USER = "nobody"  # Of the network process, where this runs as root.


def user_is_missing():
    """Says so, too: then this machine cannot show it."""
    if os.geteuid() != 0:
        return False
    try:
        pwd.getpwnam(USER)
    except KeyError:
        print(f"SKIP there is no user {USER}")
        return True
    return False


def packs_in(directory):
    return sorted(glob.glob(directory + "/packs/" + "[0-9a-f]" * 64))


class NodeOnLoopback:
    """Enrolled at `origin` with a token's secret; its files are below the directory `top`."""

    def __init__(self, node_program, top, origin, token, options=()):
        self.program, self.options = node_program, options
        self.state, self.volume, self.port = top + "/state", top + "/volume", free_port()
        os.makedirs(self.volume, exist_ok=True)
        self.user = ["--user", USER] if os.geteuid() == 0 else []
        done = run(node_program, "enroll", "--origin", f"127.0.0.1:{origin.api}", "--ca-fingerprint",
                   origin.fingerprint, "--token", token, "--state", self.state, "--volume", self.volume,
                   "--hardware-uuid", "00000000-0000-4000-8000-000000000001", *self.user)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def start(self, running):
        """`running` stops it in the end, and then prints what it said last if something failed."""
        self.programs = [
            Daemon(self.program, "worker", "--state", self.state, ready=" worker_ready "),
            Daemon(self.program, "run", "--state", self.state, "--swarm-listen", f"127.0.0.1:{self.port}",
                   "--beacon-port", str(free_port()), *self.options, *self.user, ready="origin_reached"),
        ]
        self.worker, self.node = self.programs
        for program in self.programs:
            running.callback(program.stop)
        running.push(lambda kind, *_: print(self.node.log[-4000:], flush=True) if kind else None)

    def stop(self):
        for program in reversed(self.programs):
            program.stop()

    def sync(self):
        return run(self.program, "sync", "--state", self.state, seconds=120)

    def packs(self):
        return packs_in(self.state + "/cache")
