#!/usr/bin/env python3
"""The ends and the returns of devices at a real origin: archives, erasures with their proof, replacements, quotas.

usage: devices_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import contextlib
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from node_on_loopback import USER, user_is_missing  # noqa: E402
from origin_on_loopback import Daemon, OriginOnLoopback, free_port, run  # noqa: E402

ORIGIN, LAMINA, NODE = sys.argv[1:4]
UUID = "4c4c4544-0043-3510-8052-b4c04f4a4e3"
checks = Checks()
check = checks.check


class Device:
    """A machine with a volume of its own; enrolled anew it is another device."""

    def __init__(self, origin, running, top, name, uuid, *token_options):
        self.origin, self.name = origin, name
        self.state, self.volume = f"{top}/{name}/state", f"{top}/{name}/volume"
        os.makedirs(self.volume)
        os.chmod(f"{top}/{name}", 0o755)
        before = {device["id"] for device in devices(origin)}
        token = origin.told("token", "create", "--name", name, "--kind", "enrol", "--uses", "1", "--ttl", "1d",
                            "--site", "north", *token_options).split()[-1]
        user = ["--user", USER] if os.geteuid() == 0 else []
        run(NODE, "enroll", "--origin", f"127.0.0.1:{origin.api}", "--ca-fingerprint", origin.fingerprint, "--token",
            token, "--state", self.state, "--volume", self.volume, "--hardware-uuid", uuid, *user).check_returncode()
        self.id = next(device["id"] for device in devices(origin) if device["id"] not in before)
        self.worker = Daemon(NODE, "worker", "--state", self.state, ready=" worker_ready ")
        running.callback(self.worker.stop)
        self.node = Daemon(NODE, "run", "--state", self.state, "--swarm-listen", f"127.0.0.1:{free_port()}",
                           "--beacon-port", str(free_port()), *user, ready="origin_reached")
        running.callback(self.node.stop)

    def write(self, name, content):
        with open(f"{self.volume}/{name}", "wb") as file:
            file.write(content)

    def sync(self, *more):
        return run(NODE, "sync", "--state", self.state, *more, seconds=120)

    def snapshots(self):
        return json.loads(self.origin.told("cvd", "snapshots", self.id, "--json"))["snapshots"]


def devices(origin):
    return [json.loads(line) for line in origin.told("device", "ls", "--json").splitlines()]


def is_on_disk(directory, content):
    """Whether anybody who reads the files finds it; it cannot be compressed, so it would be there as it is."""
    part = content[1000:1064]
    for at, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                if part in file.read():
                    return True
    return False


def main():
    if user_is_missing():
        return 77
    with tempfile.TemporaryDirectory(prefix="lamina-devices-") as top, contextlib.ExitStack() as running:
        os.chmod(top, 0o755)
        scenario(top, running)
    return checks.summary()


def scenario(top, running):
    origin = running.enter_context(OriginOnLoopback(ORIGIN, LAMINA, top + "/origin"))
    origin.told("site", "add", "north")
    ann = Device(origin, running, top, "ann", UUID + "1")
    bob = Device(origin, running, top, "bob", UUID + "2")
    secret, common, kept = os.urandom(50_000), os.urandom(50_000), os.urandom(50_000)
    ann.write("secret", secret)
    ann.write("common", common)
    bob.write("common", common)
    bob.write("kept", kept)
    for device in (ann, bob):
        done = device.sync()
        check(f"{device.name} has a snapshot", done.returncode == 0, done.stderr.strip())
    origin.told("collection", "add", "tills", "--device", ann.id, "--device", bob.id)

    done = origin.lamina("device", "assign", bob.id, "--site", "north", "--dry-run")
    check("an assignment can be tried", done.returncode == 0 and "dry run" in done.stdout, done.stderr.strip())

    # --- integrity
    done = origin.lamina("cvd", "verify", ann.id, "--read-data")
    check("a CVD is verified", done.returncode == 0 and "1 snapshots" in done.stdout, done.stdout + done.stderr)

    # --- erased, with proof
    check("the content is on the disk", is_on_disk(origin.data, secret))
    backup = top + "/backup"
    check("a backup is made", run(ORIGIN, "backup", "--data", origin.data, "--to", backup).returncode == 0)
    tried = json.loads(origin.told("device", "decommission", ann.id, "--erase", "--dry-run", "--json"))
    check("a dry run says what would go", tried["snapshots"] == 1 and tried["collections"] == ["tills"], str(tried))
    check("and changes nothing", len(ann.snapshots()) == 1)
    check("without an erasure there is no proof", origin.lamina("device", "proof", ann.id).returncode == 3)
    log = origin.serve.here()
    origin.told("device", "decommission", ann.id, "--erase")
    ann.node.wait_for("is not enrolled here")
    check("the device is let in no more", ann.id not in [device["id"] for device in devices(origin)])
    check("nobody reads its CVD", origin.lamina("cvd", "snapshots", ann.id).returncode == 3)
    origin.serve.wait_for(" cvd_erased ", ann.id[:8], after=log, seconds=90)
    done = origin.lamina("device", "proof", ann.id, "--json")
    proof = json.loads(done.stdout)
    check("the proof holds", done.returncode == 0 and proof["holds"] and
          not [one for one in proof["checks"] if one["found"]], done.stdout + done.stderr)
    check("what another device has stays", proof["erasure"]["chunks_shared"] > 0 and is_on_disk(origin.data, common))
    check("what only it had is in no file", not is_on_disk(origin.data, secret))
    check("the backup is named as out of reach", any(backup in place for place in proof["out_of_reach"]))
    check("a backup has it still", is_on_disk(backup, secret))
    entry = origin.told("audit", "ls", "--action", "cvd.erased", "--json")
    check("the audit log says what was erased", proof["erasure"]["chunks_digest"] in entry, entry)
    check("the other device's CVD is whole", origin.lamina("cvd", "verify", bob.id, "--read-data").returncode == 0)
    check("as text it says so, too", "no other device had" in origin.told("device", "proof", ann.id))

    # --- archived: nothing is asked of the device
    log = bob.node.here()
    origin.told("cvd", "archive", bob.id)
    bob.node.wait_for(" uploads_wait ", "archived", after=log)
    bob.write("more", os.urandom(1000))
    done = bob.sync()
    check("nothing is added to it, and the node says why", done.returncode != 0 and "archived" in done.stderr,
          done.stdout + done.stderr)
    check("a rule removes nothing of it", origin.lamina("cvd", "forget", "--device", bob.id).returncode == 5)
    status = json.loads(run(NODE, "status", "--state", bob.state, "--json").stdout)
    check("its status says so, too", "archived" in status.get("uploads_wait", ""), str(status))
    log = bob.node.here()
    origin.told("cvd", "activate", bob.id)
    bob.node.wait_for(" uploads_go_on", after=log)
    check("then it synchronizes again", bob.sync().returncode == 0)

    # --- quotas
    log = bob.node.here()
    origin.told("quota", "set", "--device", bob.id, "--hard-snapshots", "1")
    bob.node.wait_for(" uploads_wait ", "quota", after=log)
    bob.write("more", os.urandom(1000))
    done = bob.sync()
    check("uploads wait, and the node says why", done.returncode != 0 and "quota" in done.stderr,
          done.stdout + done.stderr)
    shown = json.loads(origin.told("device", "show", bob.id))
    check("the origin says why it waits", "snapshots" in shown["uploads_wait"], str(shown.get("uploads_wait")))
    table = origin.told("quota", "ls")
    check("and lists the quota", " hard " in table, table)
    check("levels that make no sense are wrong usage", origin.lamina(
        "quota", "set", "--device", bob.id, "--warn-snapshots", "3", "--hard-snapshots", "2").returncode == 2)
    log = bob.node.here()
    origin.told("quota", "set", "--device", bob.id, "--none")
    bob.node.wait_for(" uploads_go_on", after=log)
    check("then they go on", bob.sync().returncode == 0)

    # --- the machine comes back with an empty disk
    snapshots = len(bob.snapshots())
    bob.node.stop()
    again = Device(origin, running, top, "again", (UUID + "2").upper())
    found = json.loads(origin.told("device", "proposals", "--json"))["proposals"]
    check("its CVD is proposed", [(one["device"], one["cvd"]) for one in found] == [(again.id, bob.id)], str(found))
    check("and nothing else happened", not again.snapshots())
    check("machines that differ are not merged", origin.lamina("device", "merge", bob.id, "--into",
                                                               "0" * 32).returncode == 3)
    origin.told("device", "merge", bob.id, "--into", again.id)
    check("merged, it has the snapshots", len(again.snapshots()) == snapshots)
    done = origin.lamina("cvd", "restore", again.id, "--path", "kept", "--to", top + "/kept")
    with open(top + "/kept/kept", "rb") as file:
        check("and they can be restored", done.returncode == 0 and file.read() == kept, done.stderr.strip())
    done = again.sync("--protected")
    check("the device goes on with them", done.returncode == 0 and len(again.snapshots()) == snapshots + 1,
          done.stderr.strip())

    # --- a replacement with a token of its own
    origin.told("device", "decommission", again.id, "--archive")
    check("a decommissioned device is listed", "decommissioned" in origin.told("device", "ls"))
    new = Device(origin, running, top, "new", UUID + "9", "--cvd", again.id)
    check("the token brings the CVD along", len(new.snapshots()) == snapshots + 1)
    check("who has none to give is refused", origin.lamina("cvd", "reassign", new.id, "--to", again.id).returncode == 5)
    check("audit and chain hold", origin.lamina("audit", "verify").returncode == 0)


if __name__ == "__main__":
    sys.exit(main())
