#!/usr/bin/env python3
"""An origin on loopback that is backed up while it serves, killed, restored elsewhere, rebuilt and moved.

usage: backup_test.py LAMINA_ORIGIN LAMINA     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import http.client
import json
import os
import shutil
import ssl
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from origin_on_loopback import ServedOrigin, free_port, run  # noqa: E402

ORIGIN, LAMINA = sys.argv[1:3]
checks = Checks()
check = checks.check


class Origin(ServedOrigin):
    """And devices call it."""

    def __init__(self, data, port):
        super().__init__(ORIGIN, LAMINA, data, port)

    def post(self, path, body, ca, certificate=None):
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(*certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.api, context=context, timeout=20)
        connection.request("POST", path, json.dumps(body), {"Lamina-Protocol": "1"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


class Device:
    """Enrols once, and keeps what it got then."""

    def __init__(self, top, origin, token):
        self.key, self.certificate, self.ca = (f"{top}/device.{kind}" for kind in ("key", "pem", "ca"))
        request = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", self.key, "-subj", "/CN=device")
        shutil.copy(origin.data + "/keys/api-ca.pem", self.ca)
        status, reply = origin.post("/v1/enroll", {
            "token": token, "csr_pem": request.stdout, "hardware_uuid": "", "host_name": "pc1",
            "node_version": "1", "attributes": {}}, self.ca)
        if status != 201:
            raise RuntimeError(f"{status} {reply}")
        with open(self.certificate, "w") as file:
            file.write(reply["certificate_pem"])

    def poll(self, origin, sequence):
        return origin.post("/v1/node/poll", {
            "target_sequence": sequence, "applied_sequence": sequence, "site_version": 0, "applied": [],
            "wants": [], "lan_address": "", "swarm_port": 0, "wait_ms": 0, "node_version": "1"},
            self.ca, (self.certificate, self.key))


def answers(origin):
    """What an administrator is told, without what time alone changes."""
    told = {}
    for name, args in {"layers": ("layer", "ls"), "sites": ("site", "ls"), "devices": ("device", "ls"),
                       "tokens": ("token", "ls"), "cvds": ("cvd", "ls")}.items():
        told[name] = [json.loads(line) for line in origin.told("--json", *args).splitlines()]
    for device in told["devices"]:
        for key in ("seen_ms", "applied_sequence", "public_address"):
            device.pop(key, None)
    return told


def main():
    with tempfile.TemporaryDirectory(prefix="lamina-backup-") as top:
        data, backup, restored, moved = (top + "/" + name for name in ("origin", "backup", "restored", "moved"))
        port = free_port()
        init = run(ORIGIN, "init", "--data", data, "--name", "localhost,127.0.0.1", "--api-port", str(port))
        check("init makes an origin", init.returncode == 0, init.stderr.strip())
        origin = Origin(data, port)
        origin.told("site", "add", "north")
        token = origin.told("token", "create", "--name", "batch", "--kind", "enrol", "--uses", "5", "--ttl", "1d",
                              "--site", "north").split()[-1]
        device = Device(top, origin, token)
        tree = top + "/tree/etc"
        os.makedirs(tree)
        shutil.copy("/etc/os-release", tree)
        os.makedirs(top + "/tree/usr/bin")
        shutil.copy("/bin/dash", top + "/tree/usr/bin/dash")

        def publish(version):
            with open(tree + "/version", "w") as file:
                file.write(version)
            origin.told("layer", "capture", "--name", "system", "--version", version, "--tree", top + "/tree",
                          "--key", data + "/keys/publisher.key")

        publish("1.0")
        origin.told("assign", "--site", "north", "--layers", "system:1.0")
        check("the device has its target", "target" in device.poll(origin, 0)[1])

        stop = threading.Event()
        writes = [0]

        def write():
            while not stop.is_set():
                origin.told("token", "create", "--name", f"t{writes[0]}", "--kind", "metrics", "--ttl", "1d")
                writes[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        live = [run(ORIGIN, "backup", "--data", data, "--to", backup) for _ in range(3)]
        stop.set()
        writer.join()
        check("backups are made while it serves and is written to", all(b.returncode == 0 for b in live),
              f"{writes[0]} writes; {live[-1].stderr.strip()}")
        before = answers(origin)
        last = run(ORIGIN, "backup", "--data", data, "--to", backup, "--json")
        check("the last one copies no pack again", json.loads(last.stdout)["backup"]["packs_new"] == 0, last.stderr)
        # What the backup does not know: a newer target, which the device has seen.
        publish("1.1")
        origin.told("assign", "--site", "north", "--layers", "system:1.1")
        check("the device has a newer target", "target" in device.poll(origin, 1)[1])
        origin.serve.kill()

        # --- another machine
        shutil.move(data, top + "/lost")
        done = run(ORIGIN, "restore", "--from", backup, "--data", restored)
        check("it is restored elsewhere", done.returncode == 0, done.stderr.strip())
        origin = Origin(restored, port)
        check("every answer is as it was", answers(origin) == before)
        status, reply = device.poll(origin, 1)
        check("the device is known by its certificate", status == 200 and reply["status"] == "assigned", str(status))
        check("a device that saw nothing newer is left alone", "target" not in reply)
        status, reply = device.poll(origin, 2)
        check("one that did is given its target again", status == 200 and "target" in reply, str(status))
        check("the layers' packs are whole",
              run(ORIGIN, "check", "--data", restored, "--read-data").returncode == 0)

        # --- its databases are lost
        before = answers(origin)
        origin.serve.kill()
        for name in ("catalog", "layers/index", "cvd/index"):
            shutil.rmtree(f"{restored}/{name}")
        done = run(ORIGIN, "serve", "--data", restored)
        check("nobody serves an empty catalogue", done.returncode == 6, done.stderr.strip().splitlines()[-1])
        done = run(ORIGIN, "rebuild", "--data", restored)
        check("they are rebuilt", done.returncode == 0, done.stderr.strip())
        origin = Origin(restored, port)
        check("every answer is as before the rebuild", answers(origin) == before)
        check("the device goes on", device.poll(origin, 2)[0] == 200)

        # --- a larger disk
        done = run(ORIGIN, "move", "--data", restored, "--to", moved)
        check("a move waits for serve to be stopped", done.returncode == 4, done.stderr.strip())
        origin.serve.kill()
        done = run(ORIGIN, "move", "--data", restored, "--to", moved)
        check("it is moved", done.returncode == 0, done.stderr.strip())
        check("the old directory serves no more", run(ORIGIN, "serve", "--data", restored).returncode == 3)
        origin = Origin(moved, port)
        check("every answer is as before the move", answers(origin) == before)
        report = json.loads(run(ORIGIN, "capacity", "--data", moved, "--json").stdout)["capacity"]
        check("the report knows the layers", len(report["layers"]) == 1 and report["spaces"]["layers"] > 0)
        origin.serve.kill()
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
