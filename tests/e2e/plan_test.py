#!/usr/bin/env python3
"""A rollout is planned from what a real origin on loopback knows, carried out by devices, and compared.

The devices are this script: they enrol, say what they applied and what came over the line, and report.

usage: plan_test.py LAMINA_ORIGIN LAMINA LAMINA_SIM     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import http.client
import json
import os
import shutil
import ssl
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from origin_on_loopback import OriginOnLoopback, run  # noqa: E402

ORIGIN, LAMINA, SIM = sys.argv[1:4]
checks = Checks()
check = checks.check


class Device:
    def __init__(self, origin, top, name, token):
        self.origin, self.keys, self.wan = origin, f"{top}/{name}", 0
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=" + name, "-keyout", self.keys + ".key", "-out", self.keys + ".csr").check_returncode()
        with open(self.keys + ".csr", encoding="ascii") as file:
            csr = file.read()
        reply = self.post("/v1/enroll", {"token": token, "csr_pem": csr, "hardware_uuid": "", "host_name": name,
                                         "node_version": "test", "attributes": {}}, certificate=False)
        with open(self.keys + ".pem", "w", encoding="ascii") as file:
            file.write(reply["certificate_pem"])

    def post(self, path, message, certificate=True):
        context = ssl.create_default_context(cafile=self.origin.data + "/keys/api-ca.pem")
        if certificate:
            context.load_cert_chain(self.keys + ".pem", self.keys + ".key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.origin.api, context=context, timeout=20)
        connection.request("POST", path, json.dumps(message),
                           {"Content-Type": "application/json", "Lamina-Protocol": "1"})
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        if reply.status >= 300:
            raise RuntimeError(f"{path}: {reply.status} {body.decode()}")
        return json.loads(body)

    def poll(self, applied, sequence=0, wan=0):
        self.wan += wan
        return self.post("/v1/node/poll", {
            "target_sequence": sequence, "applied_sequence": sequence, "site_version": 0, "applied": applied,
            "wants": [], "lan_address": "10.1.0.1", "swarm_port": 0, "wait_ms": 0, "node_version": "test",
            "bytes": {"since_ms": 1, "by_source": {"origin-by-lease": self.wan}}})

    def applies(self, layer, sequence, wan):
        self.post("/v1/node/report", {
            "operation": "apply", "layers": [layer], "target_sequence": sequence, "started_ms": 1, "finished_ms": 2,
            "ok": True, "text": "", "bytes_by_source": {"origin-by-lease": wan, "lan-peer": 1000}, "counts": {}})
        self.poll([layer], sequence, wan)


def make_tree(path):
    os.makedirs(path + "/etc")
    os.makedirs(path + "/usr/bin")
    shutil.copy("/etc/os-release", path + "/etc/os-release")
    shutil.copy("/bin/dash", path + "/usr/bin/dash")


def main():
    with tempfile.TemporaryDirectory(prefix="lamina-plan-") as top, \
            OriginOnLoopback(ORIGIN, LAMINA, top + "/origin") as origin:
        tree = top + "/tree"
        make_tree(tree)
        capture = lambda version: origin.told("layer", "capture", "--name", "system", "--version", version, "--tree",
                                                tree, "--key", origin.data + "/keys/publisher.key")
        capture("1.0")
        with open(tree + "/etc/noise", "wb") as file:
            file.write(os.urandom(3_000_000))
        capture("1.1")
        layers = {layer["version"]: layer for layer in map(json.loads, origin.told(
            "--json", "layer", "ls").splitlines())}
        devices = {}
        for site in ("north", "south"):
            origin.told("site", "add", site)
            token = json.loads(origin.told("--json", "token", "create", "--name", "t-" + site, "--kind", "enrol",
                                             "--uses", "9", "--site", site))["secret"]
            devices[site] = [Device(origin, top, f"{site}{i}", token) for i in range(3)]
            for device in devices[site]:
                device.poll([layers["1.0"]["id"]])

        plan_file = top + "/rollout.toml"
        with open(plan_file, "w", encoding="ascii") as file:
            file.write('name = "r"\nlayers = ["system:1.1"]\n[[wave]]\nname = "pilot"\nsites = ["north"]\n'
                       '[[wave]]\nsites = ["south"]\n')
        text = origin.told("rollout", "plan", "--file", plan_file, "--line", "8Mbit")
        check("a plan says what is assumed, waves and sites",
              "2 sites of 2, whose line nobody measured, have 8Mbit" in text and "pilot" in text and "south" in text)
        check("nothing was assigned", not json.loads(origin.told("--json", "device", "ls").splitlines()[0])["target"])
        planned = origin.told("--json", "rollout", "plan", "--file", plan_file, "--line", "8Mbit")
        plan = json.loads(planned)
        least = 3_000_000
        fetched = [site["content_bytes"]["origin-by-lease"] for site in plan["sites"]]
        check("each site fetches what it lacks, once", all(least < bytes < 1.05 * least for bytes in fetched), fetched)
        check("the waves are done", all(wave["done"] == 3 for wave in plan["waves"]))
        one = json.loads(origin.told("--json", "rollout", "plan", "--site", "south", "--layers", "system:1.1"))
        check("an assignment is planned too", [site["name"] for site in one["sites"]] == ["south"])
        for args, code, why in ((("--site", "south", "--layers", "system:9"), 3, "has no layer 'system:9'"),
                                (("--site", "south", "--layers", "system:1.0"), 2, "there is nothing to fetch"),
                                (("--site", "none", "--layers", "system:1.1"), 2, "no device of the waves"),
                                (("nameless",), 3, "there is no rollout 'nameless'"),
                                ((), 2, "")):
            done = origin.lamina("rollout", "plan", *args)
            check(f"a plan of {' '.join(args) or 'nothing'} is refused", done.returncode == code and why in done.stderr,
                  done.stderr.strip())

        origin.told("rollout", "create", "--file", plan_file)
        imported = lambda directory: run(SIM, "import", directory, "--rollout", "r", *origin.access, "--line", "8Mbit",
                                         "--start", "2026-03-02T20:00:00+01:00")
        made = imported(top + "/scenario")
        check("a scenario is imported", made.returncode == 0, made.stderr.strip())
        check("nothing is overwritten", imported(top + "/scenario").returncode == 5)
        checked = run(SIM, "check", top + "/scenario/scenario.toml")
        check("it is a good one", checked.returncode == 0, checked.stderr.strip())
        imported(top + "/again")
        read = lambda name: open(name, "rb").read()
        check("the same answers give the same bytes", all(
            read(f"{top}/scenario/{name}") == read(f"{top}/again/{name}") for name in os.listdir(top + "/again")))
        ran = run(SIM, "run", top + "/scenario/scenario.toml", "--json", top + "/plan.json")
        check("it runs", ran.returncode == 0, ran.stderr.strip())
        same = lambda result: [(site["finished_ms"], site["content_bytes"]) for site in result["sites"]]
        check("and says what the plan said", same(json.loads(read(top + "/plan.json"))) == same(plan))

        origin.told("rollout", "start", "r")
        lacks = fetched[0]
        for site in ("north", "south"):
            for number, device in enumerate(devices[site]):
                device.applies(layers["1.1"]["id"], 1, lacks if number == 0 else 0)
        measured = origin.told("--json", "rollout", "show", "r")
        check("the rollout is done", json.loads(measured)["rollout"]["phase"] == "done")
        with open(top + "/measured.json", "w", encoding="ascii") as file:
            file.write(measured)
        compared = run(SIM, "compare", top + "/plan.json", top + "/measured.json", "--json")
        check("plan and measured are compared", compared.returncode == 0, compared.stderr.strip())
        said = json.loads(compared.stdout)
        check("by wave", [wave["name"] for wave in said["waves"]] == ["pilot", "wave 2"] and
              all(wave["p95_error"] is not None for wave in said["waves"]))
        check("by site, with the bytes over its line",
              [site["bytes_error"] for site in said["sites"]] == [0, 0] and
              all(site["finished_error"] is not None for site in said["sites"]), compared.stdout.strip())
        check("nothing is in one alone", said["only_planned"] == said["only_actual"] == [])
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
