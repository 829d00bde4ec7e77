#!/usr/bin/env python3
"""Policies on loopback: what they leave out of a device's snapshots and take up again, user areas in applies, enforcements
and restores, snoozes.

usage: policy_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from node_on_loopback import user_is_missing  # noqa: E402
from one_device import OneDevice, read, scratch, write  # noqa: E402
from origin_on_loopback import run  # noqa: E402

PROGRAMS = sys.argv[1:4]
NODE = PROGRAMS[2]
checks = Checks()
check = checks.check

OFFICE = """
name = "office"
interval = "30 min"

[[unprotected]]
name = "cache"
paths = ["srv/cache"]
except = ["srv/cache/kept"]

[[user]]
name = "data"
paths = ["srv/data/*"]
"""


class Bench(OneDevice):
    def __init__(self, *where):
        super().__init__(*where)
        self.enrol()
        for path, content in (("etc/conf", "mine\n"), ("srv/cache/big", os.urandom(300_000)),
                              ("srv/cache/kept/index", "index\n"), ("srv/data/ann/letter", "dear\n"),
                              ("home/ann/report", "done\n"), ("opt/game/level", "1\n")):
            write(self.path(path), content)
        self.start()
        self.told("collection", "add", "offices", "--filter", "site = north")

    def comes_to(self, look):
        """Whether the device says so in one of its next polls: each look takes a program's start."""
        return any(look(json.loads(self.told("device", "show", self.id))) for _ in range(200))

    def policy(self):
        return json.loads(self.told("device", "show", self.id))["policy"]

    def status(self):
        return json.loads(run(NODE, "status", "--state", self.device.state, "--json").stdout)


def bad_files(bench):
    for name, text, line, why in (("key", OFFICE + "colour = 1\n", ":13:", "known are"),
                                  ("system", OFFICE.replace("srv/data/*", "usr"), ":10:", "no layer could change"),
                                  ("macro", OFFICE.replace("srv/cache\"", "{hme}/x\""), ":5:", "{home}")):
        path = bench.file(name + ".toml", text)
        for command in ("import", "preview"):
            done = bench.lamina("policy", command, path)
            check(f"policy {command} of a file with a wrong {name} is refused with its line",
                  done.returncode == 2 and path + line in done.stderr and why in done.stderr, done.stderr.strip())
    check("a file that is not there is not found", bench.lamina("policy", "import", bench.top + "/none").returncode == 3)
    check("no policy came of it", json.loads(bench.told("--json", "policy", "ls"))["policies"] == [])


def foresee(bench):
    office = bench.file("office.toml", OFFICE)
    row = json.loads(bench.told("--json", "policy", "preview", office, "--device", bench.id))
    left = row["leaves"]["cache"]
    check("a preview says what leaves, with examples",
          left["entries"] == 1 and left["bytes"] == 300_000 and left["examples"] == ["srv/cache/big"], row)
    check("and what becomes the users'", row["becomes_user"]["entries"] == 2 and
          "srv/data/ann/letter" in row["becomes_user"]["examples"], row)
    dry = bench.told("policy", "import", office, "--dry-run")
    check("a dry run of an import makes no policy",
          "no device" in dry and bench.lamina("policy", "show", "office").returncode == 3, dry)
    made = bench.told("policy", "import", office)
    check("a file makes the first version", "version 1; 0 devices" in made, made)
    shown = bench.told("policy", "assign", "office", "--collection", "offices", "--dry-run")
    check("a dry run of an assignment shows the same in words",
          "not protected any more, by rule cache: 1 entries" in shown and "srv/cache/big" in shown, shown)
    check("and assigns nothing", bench.policy() == "factory", bench.policy())


def left_out(bench):
    before = bench.sync()
    check("at first all is protected", {"srv/cache/big", "srv/data/ann/letter"} <= bench.held(before))
    foresee(bench)
    bench.heard(" policy ", "name=office", "version=1",
                command=("policy", "assign", "office", "--collection", "offices"))
    check("the device has the policy of its collection", bench.policy() == "office 1, by collection offices")
    status = bench.status()
    check("it says so itself", status["policy"] == {"name": "office", "version": 1} and
          status["sync_interval_seconds"] == 1800, status)
    write(bench.path("srv/cache/more"), os.urandom(300_000))
    held = bench.held(bench.sync())
    check("the next snapshot leaves out what is unprotected, but for exceptions",
          "srv/cache/kept/index" in held and not held & {"srv/cache/big", "srv/cache/more"}, held)
    check("what was protected before is in the snapshots of then", "srv/cache/big" in bench.held(before))


def layers(bench):
    tree = bench.top + "/tree"
    for path, text in (("etc/conf", "layer\n"), ("srv/data/ann/letter", "layer\n"), ("srv/data/new", "layer\n"),
                       ("srv/shared", "layer\n"), ("usr/bin/tool", "layer\n")):
        write(f"{tree}/{path}", text)
    os.makedirs(tree + "/home")
    shutil.copy("/etc/os-release", tree + "/etc")
    shutil.copy("/bin/dash", tree + "/usr/bin/sh")
    bench.capture_tree("system", "1", tree)
    bench.seed()
    bench.heard(" applied ", command=("assign", "--site", "north", "--layers", "system:1"))
    check("an apply brings the layer", read(bench.path("srv/shared")) == "layer\n")
    check("and never touches the policy's user area",
          read(bench.path("srv/data/ann/letter")) == "dear\n" and read(bench.path("srv/data/new")) is None)
    bench.sync()
    write(bench.path("opt/other"), "1\n")
    rows = map(json.loads, bench.told("--json", "enforce", "--device", bench.id, "--remove-user-apps",
                                      "--dry-run").splitlines())
    paths = {row["path"] for row in rows}
    check("an enforcement foresees nothing in the user area", "opt/game/level" in paths and
          not any(path.startswith("srv/data") for path in paths), paths)
    bench.heard(" applied ", command=("enforce", "--device", bench.id, "--remove-user-apps"))
    check("it removes what is in no layer", read(bench.path("opt/game/level")) is None)
    check("but what is the users', and what no snapshot could bring back",
          read(bench.path("srv/data/ann/letter")) == "dear\n" and os.path.exists(bench.path("srv/cache/big")) and
          read(bench.path("home/ann/report")) == "done\n")


def restores(bench):
    write(bench.path("srv/cache/kept/index"), "index\n")  # In no layer, and protected: it was removed.
    bench.sync()
    if os.geteuid() != 0:
        print("SKIP restores onto a tree need root")
        return
    onto = bench.top + "/onto"
    shutil.copytree(bench.device.volume, onto, symlinks=True, ignore=shutil.ignore_patterns(".lamina"))
    for path in ("etc/conf", "srv/data/ann/letter", "srv/cache/kept/index"):
        write(f"{onto}/{path}", "spoilt\n")
    write(onto + "/srv/cache/newest", "newest\n")
    write(onto + "/srv/data/newest", "newest\n")
    bench.told("cvd", "restore", bench.id, "--onto", onto, "--level", "system")
    check("a restore of the system leaves the user area alone",
          read(onto + "/etc/conf") == "layer\n" and read(onto + "/srv/data/ann/letter") == "spoilt\n" and
          read(onto + "/srv/data/newest") == "newest\n")
    check("and what its snapshot left out", read(onto + "/srv/cache/newest") == "newest\n" and
          os.path.exists(onto + "/srv/cache/big") and read(onto + "/srv/cache/kept/index") == "index\n")
    write(onto + "/etc/conf", "spoilt\n")
    bench.told("cvd", "restore", bench.id, "--onto", onto, "--level", "user")
    check("one of the users' files is of that area, and of nothing else",
          read(onto + "/srv/data/ann/letter") == "dear\n" and not os.path.exists(onto + "/srv/data/newest") and
          read(onto + "/etc/conf") == "spoilt\n" and os.path.exists(onto + "/srv/cache/newest"))


def taken_up(bench):
    exported = bench.told("policy", "export", "office")
    same = bench.told("policy", "import", bench.file("same.toml", exported))
    check("what was exported is imported as the same version", "version 1; 0 devices" in same, same)
    wider = bench.file("wider.toml", OFFICE[:OFFICE.index("[[unprotected]]")] + OFFICE[OFFICE.index("[[user]]"):])
    dry = bench.told("policy", "import", wider, "--dry-run")
    check("a dry run says what is protected again, and that nobody can count it",
          "so not counted: srv/cache" in dry, dry)
    bench.heard(" policy ", "name=office", "version=2", command=("policy", "import", wider))
    held = bench.held(bench.sync())
    check("a snapshot takes up again what is protected again", {"srv/cache/big", "srv/cache/more"} <= held, held)
    versions = json.loads(bench.told("--json", "policy", "versions", "office"))["versions"]
    check("both versions are there", [v["version"] for v in versions] == [1, 2])
    check("also the older one's file", bench.told("policy", "export", "office", "--version", "1") == exported)


def snoozes(bench):
    bench.heard(" snoozed ", "by=administrator", command=("device", "snooze", bench.id, "2h"))
    check("the device says that it snoozes", "snoozed_until" in bench.status() and
          bench.comes_to(lambda device: device.get("snoozed_until_ms", 0) > 0))
    at = bench.device.node.here()
    check("a snapshot that is asked for is made all the same", bench.device.sync().returncode == 0)
    bench.device.node.wait_for(" snapshot_kept ", after=at)
    bench.device.stop()
    bench.device.start(bench.running)
    check("a restart ends no snooze, and forgets no policy",
          "snoozed_until" in bench.status() and bench.status()["policy"]["version"] == 2, bench.status())
    done = run(NODE, "snooze", "--state", bench.device.state, "off")
    check("its user can end it", done.returncode == 0 and "snoozed_until" not in bench.status(), done.stderr)
    done = run(NODE, "snooze", "--state", bench.device.state, "90min")
    check("and begin one", done.returncode == 0 and "snoozed_until" in bench.status(), done.stderr)
    done = run(NODE, "snooze", "--state", bench.device.state, "2d")
    check("of a day at most", done.returncode == 2 and "at most" in done.stderr, done.stderr)
    check("by an administrator too", bench.lamina("device", "snooze", bench.id, "25h").returncode == 2)
    bench.heard(" snoozed ", "by=administrator", command=("device", "snooze", bench.id, "off"))
    check("who has the last word", "snoozed_until" not in bench.status())
    check("and sees it", bench.comes_to(lambda device: "snoozed_until_ms" not in device))


def taken_away(bench):
    check("a policy that is assigned stays", bench.lamina("policy", "rm", "office").returncode == 5)
    check("and a collection that has one", bench.lamina("collection", "rm", "offices").returncode == 5)
    bench.heard(" policy ", "name=factory", command=("policy", "unassign", "--collection", "offices"))
    check("without it a device has the factory rules", bench.policy() == "factory")
    check("then it can go", bench.lamina("policy", "rm", "office").returncode == 0 and
          bench.lamina("policy", "show", "office").returncode == 3)
    audit = bench.told("audit", "export")
    check("all of it is in the audit log", all(word in audit for word in (
        "policy.set", "policy.assign", "policy.unassign", "policy.remove", "device.snooze")), audit[-2000:])


def main():
    if user_is_missing():
        return 77
    with scratch("policy") as (top, running):
        bench = Bench(PROGRAMS, top, running)
        bad_files(bench)
        left_out(bench)
        layers(bench)
        restores(bench)
        taken_up(bench)
        snoozes(bench)
        taken_away(bench)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
