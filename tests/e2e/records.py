#!/usr/bin/env python3
"""Applications that were captured apart, on one device: the real programs on loopback, small trees made by hand. What
each changes in account files and package databases adds up, in any order, and goes again; the device's own stays."""

import argparse
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
                       ("var/lib/dpkg/status", f"Package: {name}\nStatus: install ok installed\nVersion: 1\n\n")):
        write(tree, path, read(tree, path) + more)
    write(tree, "etc/group", f"root:x:0:\nssl-cert:x:110:{name}\n")
    write(tree, f"opt/{name}/data", name)
    if os.geteuid() == 0:
        os.chown(os.path.join(tree, f"opt/{name}/data"), uid, 110)
    os.unlink(os.path.join(tree, f"opt/without-{name}"))


def scenario(fleet, checks):
    base = os.path.join(fleet.run_dir, "base")
    reference.name_system(base)
    for path, text in {**BASE, "opt/without-web": "x", "opt/without-mail": "x"}.items():
        write(base, path, text)
    fleet.init_origin()
    fleet.start_origin()
    fleet.capture("base", "1", base)
    for name, uid in (("web", 101), ("mail", 101)):
        tree = os.path.join(fleet.run_dir, name)
        install(base, tree, name, uid)
        _, packs, _ = fleet.capture(name, "1", tree, kind="app", over="base:1")
        checks.check(f"{name} is captured over the base as what differs", sum(packs.values()) < 20_000,
                     f"{sum(packs.values())} bytes of packs")
        verified = fleet.cli("layer", "verify", f"{name}:1", check=False)
        checks.check(f"the layer {name} is whole", verified.code == 0, verified.err.strip()[-200:] or "verified")
    refused = fleet.cli(*fleet.capture_words("wrong", "1", base, "base"), "--over", "base:1", check=False)
    checks.check("a base layer lies over nothing", refused.code == 2 and "--over" in refused.err, refused.err.strip())
    missing = fleet.cli(*fleet.capture_words("wrong", "1", base, "app"), "--over", "none:1", check=False)
    checks.check("a layer that is not there is named", missing.code == 3 and "none:1" in missing.err, missing.err.strip())

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
    first = assign("web")
    write(device.volume, "etc/passwd", read(device.volume, "etc/passwd") + ANN)
    both = assign("web", "mail")
    users = {line.split(":")[0]: line.split(":")[2] for line in both["etc/passwd"].splitlines()}
    checks.check("both have their users, one of them another id", users == {"root": "0", "web": "101", "ann": "1000",
                                                                          "mail": "100"}, both["etc/passwd"].strip())
    checks.check("both extend the group", "ssl-cert:x:110:web,mail\n" in both["etc/group"], both["etc/group"].strip())
    checks.check("both packages are installed", both["var/lib/dpkg/status"].count("Package:") == 3, "3 stanzas")
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
