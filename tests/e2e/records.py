#!/usr/bin/env python3
"""Applications that were captured apart, on one device: the real programs on loopback, small trees made by hand. What
each changes in account files and package databases adds up, in any order, and goes again; the device's own stays."""

import argparse
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from fleet import Fleet  # noqa: E402
from lab import Loopback  # noqa: E402
from scenario import in_lab  # noqa: E402

BASE = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\nssl-cert:x:110:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
    "etc/issue": "base\n",
}
RECORDS = ("etc/passwd", "etc/group", "etc/shadow", "var/lib/dpkg/status")
ANN = "ann:x:1000:1000::/home/ann:/bin/sh\n"


def write(tree, path, text):
    path = os.path.join(tree, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(tree, path):
    try:
        with open(os.path.join(tree, path), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def install(base, tree, name, uid):
    """What an installation leaves where only the base is: a user in a common group, a package, files, a removal."""
    verify.copy(base, tree)
    for path, more in (("etc/passwd", f"{name}:x:{uid}:110::/nonexistent:/usr/sbin/nologin\n"),
                       ("etc/shadow", f"{name}:!:19000::::::\n"),
                       ("var/lib/dpkg/status", f"Package: {name}\nStatus: install ok installed\nVersion: 1\n\n"
                                               f"Package: common\nStatus: install ok installed\nVersion: {uid}~{name}\n\n")):
        write(tree, path, read(tree, path) + more)
    write(tree, "etc/group", f"root:x:0:\nssl-cert:x:110:{name}\n")
    write(tree, f"opt/{name}/data", name)
    write(tree, "etc/issue", f"{name}\n")
    if os.geteuid() == 0:
        os.chown(os.path.join(tree, f"opt/{name}/data"), uid, 110)
    os.unlink(os.path.join(tree, f"opt/without-{name}"))


def said(lines):
    return [json.loads(line) for line in lines.splitlines()]


def brute_conflicts(base, trees):
    """What of the first tree's changes to the base the second one hides, found by comparing each path and line."""
    def files(tree):
        found = {}
        for folder, _, names in os.walk(tree):
            for name in names:
                full = os.path.join(folder, name)
                with open(full, "rb") as file:
                    found[os.path.relpath(full, tree)] = file.read()
        return found

    def records(tree, path):
        text = read(tree, path) or ""
        if path == "var/lib/dpkg/status":
            return {stanza.splitlines()[0].removeprefix("Package: "): stanza for stanza in text.split("\n\n") if stanza}
        # Members of a group are a set: who adds one hides nobody's.
        return {line.split(":")[0]: line.rsplit(":", 1)[0] if path == "etc/group" else line for line in text.splitlines()}

    was, one, two = files(base), *map(files, trees)
    found = set()
    for path in was.keys() | one.keys() | two.keys():
        if path in RECORDS:
            old, first, second = records(base, path), *(records(tree, path) for tree in trees)
            found |= {(path, name) for name in first.keys() | second.keys()
                      if first.get(name) != old.get(name) and second.get(name) != old.get(name)
                      and first.get(name) != second.get(name)}
        elif one.get(path) != was.get(path) and two.get(path) != was.get(path) and one.get(path) != two.get(path):
            found.add((path, ""))
    return found


def reports(fleet, checks, base, trees):
    """What lamina says before anything moves, beside what the trees say."""
    found = {(row["path"], row["record"]): (row["hidden"], row["winner"])
             for row in said(fleet.cli("--json", "layer", "conflicts", "web:1", "mail:1").out)}
    expected = brute_conflicts(base, trees)
    checks.check("conflicts are those that comparing each path and line finds, with both layers",
                 expected and found == {key: ("web:1", "mail:1") for key in expected}, str(found))
    changes = {row["path"]: row["change"]
               for row in said(fleet.cli("--json", "layer", "diff", "base:1", "base:1,web:1").out)}
    checks.check("a difference of stacks has what the application brings, and takes",
                 changes.get("opt/web/data") == "adds" and changes.get("opt/without-web") == "removes" and
                 changes.get("etc/issue") == "replaces", str(changes))


def dry_runs(fleet, checks, device):
    """A dry run says what an assignment would do, and does nothing; collections."""
    before = json.loads(fleet.cli("device", "show", device.id).out)
    fleet.cli("collection", "add", "all", "--filter", "site = branch and not host = nobody")
    members = fleet.cli("collection", "show", "all").out
    checks.check("a filter finds the device", device.id in members, members.strip())
    rows = said(fleet.cli("--json", "assign", "--collection", "all", "--add", "web:1,mail:1", "--dry-run").out)
    row = next(row for row in rows if "device" in row)
    checks.check("a dry run says what a device would get", row["to"] == ["base:1", "web:1", "mail:1"] and row["adds"] > 0
                 and row["removes"] == 2 and row["download_bytes"] > 0 and row["space_bytes"] > 64 << 20, str(row))
    checks.check("and which conflicts there would be, none of them with the base",
                 {(row["conflict"], row["record"]) for row in rows if "conflict" in row} ==
                 {("etc/issue", ""), ("var/lib/dpkg/status", "common")}, str([row for row in rows if "conflict" in row]))
    after = json.loads(fleet.cli("device", "show", device.id).out)
    checks.check("nothing is assigned by it", after["target_sequence"] == before["target_sequence"],
                 str(after["target_sequence"]))
    refused = fleet.cli("assign", "--collection", "all", "--add", "none:1", "--dry-run", check=False)
    real = fleet.cli("assign", "--collection", "all", "--add", "none:1", check=False)
    checks.check("a mistake is told as by the command itself", refused.code == real.code == 3 and refused.err == real.err,
                 refused.err.strip())
    return row["download_bytes"]


def scenario(fleet, checks):
    base = os.path.join(fleet.run_dir, "base")
    reference.name_system(base)
    for path, text in {**BASE, "opt/without-web": "x", "opt/without-mail": "x"}.items():
        write(base, path, text)
    fleet.init_origin()
    fleet.start_origin()
    fleet.capture("base", "1", base)
    application_bytes = 0
    for name, uid in (("web", 101), ("mail", 101)):
        tree = os.path.join(fleet.run_dir, name)
        install(base, tree, name, uid)
        _, packs, _ = fleet.capture(name, "1", tree, kind="app", over="base:1")
        application_bytes += sum(packs.values())
        checks.check(f"{name} is captured over the base as what differs", sum(packs.values()) < 20_000,
                     f"{sum(packs.values())} bytes of packs")
        verified = fleet.cli("layer", "verify", f"{name}:1", check=False)
        checks.check(f"the layer {name} is whole", verified.code == 0, verified.err.strip()[-200:] or "verified")
    refused = fleet.cli(*fleet.capture_words("wrong", "1", base, "base"), "--over", "base:1", check=False)
    checks.check("a base layer lies over nothing", refused.code == 2 and "--over" in refused.err, refused.err.strip())
    missing = fleet.cli(*fleet.capture_words("wrong", "1", base, "app"), "--over", "none:1", check=False)
    checks.check("a layer that is not there is named", missing.code == 3 and "none:1" in missing.err, missing.err.strip())

    reports(fleet, checks, base, [os.path.join(fleet.run_dir, name) for name in ("web", "mail")])
    fleet.cli("site", "add", "branch", "--subnet", fleet.net.SUBNET)
    device = fleet.add_device()
    device.give_identity()
    device.enroll(fleet.token("records", 1))
    fleet.cli("device", "assign", device.id, "--site", "branch")
    device.start()

    def assign(*names):
        layers = [f"{name}:1" for name in ("base", *names)]
        fleet.assign(layers)
        fleet.wait_applied(layers, 60)
        return {path: read(device.volume, path) for path in (*BASE, "opt/web/data", "opt/mail/data", "opt/without-web",
                                                             "opt/without-mail")}

    alone = assign()
    checks.check("the base is as captured", all(alone[path] == text for path, text in BASE.items()), f"{len(BASE)} files")
    foreseen = dry_runs(fleet, checks, device)
    checks.check("the bytes to download are those of both applications' packs", foreseen == application_bytes,
                 f"{foreseen} foreseen, {application_bytes} in packs")
    first = assign("web")
    write(device.volume, "etc/passwd", read(device.volume, "etc/passwd") + ANN)
    both = assign("web", "mail")
    users = {line.split(":")[0]: line.split(":")[2] for line in both["etc/passwd"].splitlines()}
    checks.check("both have their users, one of them another id", users == {"root": "0", "web": "101", "ann": "1000",
                                                                          "mail": "100"}, both["etc/passwd"].strip())
    checks.check("both extend the group", "ssl-cert:x:110:web,mail\n" in both["etc/group"], both["etc/group"].strip())
    checks.check("both packages are installed", both["var/lib/dpkg/status"].count("Package:") == 4, "4 stanzas")
    checks.check("both removals hold", both["opt/without-web"] is None and both["opt/without-mail"] is None, "")
    if os.geteuid() == 0:
        owner = os.stat(os.path.join(device.volume, "opt/mail/data")).st_uid
        checks.check("the moved account has its files", owner == 100, f"uid {owner}")
    log = fleet.cli("device", "log", device.id).out
    checks.check("the account that moved is reported", "user mail has id 100 here, not 101, which web has" in log,
                 log.splitlines()[1][:200])
    protected = device.command("sync", "--protected", check=False)
    checks.check("merged files reach the origin", protected.code == 0, protected.err.strip()[-200:] or "protected")
    restored = os.path.join(fleet.run_dir, "restored")
    fleet.cli("cvd", "restore", device.id, "--path", "etc/passwd", "--to", restored)
    checks.check("and are restored as they are", read(restored, "passwd") == both["etc/passwd"], "etc/passwd")
    after = assign("web")
    checks.check("mail unassigned leaves what web had, and the user's own",
                 after == {**first, "etc/passwd": first["etc/passwd"] + ANN}, "")
    swapped = assign("mail", "web")
    checks.check("in the other order both are there", all(f"\n{name}:" in swapped["etc/passwd"] for name in ("web", "mail"))
                 and swapped["opt/mail/data"] == "mail", "")
    after = assign()
    checks.check("without both the base is back, with the user's own",
                 after == {**alone, "etc/passwd": alone["etc/passwd"] + ANN}, "")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--keep", action="store_true", help="keep trees, volumes and logs")
    options = parser.parse_args()
    if shutil.which("rsync") is None:
        print("SKIP records: rsync is not installed")
        return 77
    return in_lab(options, "records", lambda lab, checks: scenario(Fleet(lab, Loopback(1), options.build), checks))


if __name__ == "__main__":
    sys.exit(main())
