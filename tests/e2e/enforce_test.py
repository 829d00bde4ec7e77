#!/usr/bin/env python3
"""What an apply does beside files, and drift, on loopback: scripts of layers, enforcing with what it downloads, an
upgrade of every device at once, layers from a device's snapshot.

usage: enforce_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from node_on_loopback import user_is_missing  # noqa: E402
from one_device import PATIENCE, OneDevice, read, scratch, write  # noqa: E402
from origin_on_loopback import run  # noqa: E402

PROGRAMS = sys.argv[1:4]
NODE = PROGRAMS[2]
checks = Checks()
check = checks.check


def make_tree(tree):
    """A system in which a shell runs."""
    write(tree + "/etc/conf", "as it was\n")
    write(tree + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    write(tree + "/usr/bin/tool", "#!/bin/sh\n", 0o755)
    os.makedirs(tree + "/home")
    shutil.copy("/etc/os-release", tree + "/etc")
    needs = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout.split()
    for path in ["/bin/sh", *(word for word in needs if word.startswith("/"))]:
        os.makedirs(tree + os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.realpath(path), tree + path)
    with open(tree + "/usr/bin/large", "wb") as file:
        file.write(os.urandom(2_000_000))


class Bench(OneDevice):
    def __init__(self, programs, top, running):
        super().__init__(programs, top, running)
        self.tree = top + "/tree"
        make_tree(self.tree)

    def applied(self, *command):
        """Runs a command of which the device applies a new target; the report of that."""
        at = self.device.node.here()
        done = self.lamina(*command)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        self.device.node.wait_for(" applied ", after=at, seconds=PATIENCE)
        return self.report(int(json.loads(self.told("device", "show", self.id))["target_sequence"]))

    def report(self, sequence):
        """Reports follow at once, but not within the same line of the log: each look takes a program's start."""
        for _ in range(500):
            rows = [json.loads(line) for line in self.told("--json", "device", "log", self.id).splitlines()]
            found = [row for row in rows if row["operation"] == "apply" and row["target_sequence"] == sequence]
            if found:
                return found[-1]
        raise RuntimeError(f"no report of target {sequence}")

    def fetched(self, report):
        """Bytes that came from elsewhere for it."""
        return sum(size for source, size in report["bytes_by_source"].items() if source != "local-cache")


def scripts(bench):
    write(bench.top + "/10-hello", "#!/bin/sh\nread x < /etc/conf\necho \"$LAMINA_LAYER says: $x\"\necho made > /made\n")
    write(bench.top + "/20-fails", "echo no >&2; exit 7\n")
    for words, code, why in ((("--post-script", bench.top + "/none"), 3, "none"),
                             (("--post-script", bench.top + "/10-hello", "--script-limit", "2d"), 2, "24 h"),
                             (("--stop-service=-x",), 2, "'-x' is no name of a unit"),
                             (("--post-script", bench.top + "/10-hello", "--post-script", bench.top + "/10-hello"), 2,
                              "twice")):
        done = bench.capture("system", "1.0", "--tree", bench.tree, *words)
        check(f"a capture with {' '.join(words).replace(bench.top, '')} is refused",
              done.returncode == code and why in done.stderr, f"{done.returncode} {done.stderr.strip()}")
    done = bench.capture("system", "1.0", "--tree", bench.tree, "--post-script", bench.top + "/10-hello",
                         "--post-script", bench.top + "/20-fails", "--script-limit", "1min", "--stop-service",
                         "web.service", "--needs-restart")
    check("a layer with scripts is published", done.returncode == 0, done.stderr.strip())
    shown = bench.told("layer", "show", "system:1.0")
    check("it is shown with them", all(word in shown for word in ("10-hello 20-fails", "web.service", "needed")), shown)


def first_apply(bench):
    report = bench.applied("assign", "--site", "north", "--layers", "system:1.0")
    ends = report.get("scripts", [])
    check("scripts ran in the volume, and their output is at the origin",
          [(end["name"], end["code"]) for end in ends] == [("10-hello", 0), ("20-fails", 7)] and
          ends[0]["output"] == "system says: as it was\n" and ends[1]["output"] == "no\n" and
          read(bench.path("made")) == "made\n", ends)
    check("one that failed undoes nothing, and is counted", report["ok"] and report["counts"]["scripts_failed"] == 1
          and read(bench.path("etc/conf")) == "as it was\n", report["text"])
    log = bench.told("device", "log", bench.id)
    check("the log shows them", "script 20-fails of system 1.0: exit code 7" in log and "  no" in log, log)
    check("no restart is due where nothing runs from the volume",
          "restart_due" not in json.loads(bench.told("device", "show", bench.id)))


def drift(bench):
    write(bench.path("etc/conf"), "edited\n")
    os.unlink(bench.path("usr/bin/tool"))
    write(bench.path("opt/game/level"), "1\n")
    write(bench.path("home/ann/letter"), "dear\n")
    write(bench.path("etc/hostname"), "mine\n")
    write(bench.path("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")


def enforcing(bench):
    drift(bench)
    check("a snapshot has the drift", bench.device.sync().returncode == 0)
    enforce = lambda *words: ("enforce", "--device", bench.id, *words)

    def foreseen(mode):
        rows = map(json.loads, bench.told("--json", *enforce(mode, "--dry-run")).splitlines())
        return {(row["change"], row["path"]) for row in rows if row["path"] not in ("", "etc", "usr/bin", "home")}

    before = json.loads(bench.told("device", "show", bench.id))["target_sequence"]
    keep = {("changes", "etc/conf"), ("brings back", "usr/bin/tool")}
    found = foreseen("--keep-user-apps")
    check("a dry run says what comes back", found == keep, found)
    found = foreseen("--remove-user-apps")
    check("and what goes", found == keep | {("removes", path) for path in ("made", "opt", "opt/game", "opt/game/level")},
          found)
    check("and changes nothing", json.loads(bench.told("device", "show", bench.id))["target_sequence"] == before and
          read(bench.path("etc/conf")) == "edited\n")
    for words, code in ((("enforce", "--device", bench.id), 2), (enforce("--keep-user-apps", "--remove-user-apps"), 2),
                        (("enforce", "--device", "0" * 32, "--keep-user-apps"), 3),
                        (("enforce", "--site", "none", "--keep-user-apps"), 3)):
        done = bench.lamina(*words)
        check(f"{' '.join(words).replace(bench.id, 'ID')} is refused", done.returncode == code, done.stderr.strip())

    report = bench.applied(*enforce("--keep-user-apps"))
    check("enforced, what the layers have is as they have it, and the user's is kept",
          read(bench.path("etc/conf")) == "as it was\n" and os.path.exists(bench.path("usr/bin/tool")) and
          read(bench.path("opt/game/level")) == "1\n" and "ann:" in read(bench.path("etc/passwd")), report["counts"])
    check("nothing was downloaded for it", bench.fetched(report) == 0, report["bytes_by_source"])
    check("scripts of the layers ran again", report["counts"]["scripts"] == 2)

    # Of the cache, one pack is lost: that one alone is fetched.
    drift(bench)
    os.unlink(bench.path("usr/bin/large"))
    at = bench.device.node.here()
    largest = max(bench.device.packs(), key=os.path.getsize)
    size, rest = os.path.getsize(largest), sum(map(os.path.getsize, bench.device.packs())) - os.path.getsize(largest)
    with open(largest, "r+b") as file:
        file.seek(size // 2)
        file.write(b"\0" * 64)
    report = bench.applied(*enforce("--remove-user-apps"))
    bench.device.node.wait_for(" layer_damaged ", after=at, seconds=PATIENCE)
    check("only what the cache lacked was downloaded", rest > 0 and 0 < bench.fetched(report) <= size + (1 << 14),
          f"{bench.fetched(report)} of {size} + {rest} bytes")
    left = {name for name in os.listdir(bench.device.volume) if name != ".lamina"}
    check("with the user's applications gone nothing is left but layers, scripts and the device's own",
          left == set(os.listdir(bench.tree)) | {"made"} and not os.path.exists(bench.path("opt")), left)
    check("what is the device's own stays", read(bench.path("home/ann/letter")) == "dear\n" and
          read(bench.path("etc/hostname")) == "mine\n" and "ann:" in read(bench.path("etc/passwd")))
    check("and so does the device", bench.device.sync().returncode == 0 and
          json.loads(bench.told("device", "show", bench.id))["status"] == "assigned")
    reverted = run(NODE, "revert", "--state", bench.device.state, seconds=120)
    check("it can be undone", reverted.returncode == 0 and read(bench.path("opt/game/level")) == "1\n" and
          read(bench.path("etc/conf")) == "edited\n", reverted.stderr.strip())


def upgrading(bench):
    write(bench.tree + "/etc/new", "new\n")
    bench.capture("system", "1.1", "--tree", bench.tree).check_returncode()
    row = json.loads(bench.told("--json", "layer", "upgrade", "system", "--dry-run"))
    check("an upgrade says whom it moves", row["device"] == bench.id and row["from"] == "system:1.0" and not row["moved"], row)
    bench.applied("layer", "upgrade", "system")
    check("and moves them", read(bench.path("etc/new")) == "new\n")
    check("and once", bench.told("layer", "upgrade", "system").startswith("0 devices"))
    check("an upgrade of no layer is not found", bench.lamina("layer", "upgrade", "none").returncode == 3)


def from_snapshot(bench):
    write(bench.path("opt/app/data"), "application\n")
    check("a snapshot has the application", bench.device.sync().returncode == 0)
    done = bench.capture("golden", "1", "--snapshot", bench.id, "--kind", "base")
    check("a base layer is made of the snapshot", done.returncode == 0 and "rule" in done.stderr, done.stderr.strip())
    verified = bench.lamina("layer", "verify", "golden:1", "--publisher", bench.origin.data + "/keys/publisher.pub")
    check("and is whole", verified.returncode == 0, verified.stderr.strip())
    rows = [json.loads(line) for line in bench.told("--json", "layer", "diff", "system:1.1", "golden:1").splitlines()]
    paths = {row["path"] for row in rows if "path" in row}
    check("it has what the device has, and nothing of its own", {"opt/app/data", "made"} <= paths and
          not paths & {"etc/hostname", "home/ann", "home/ann/letter"}, paths)
    done = bench.capture("app", "1", "--snapshot", bench.id, "--kind", "app")
    check("an application layer too, over what the device had", done.returncode == 0, done.stderr.strip())
    rows = [json.loads(line) for line in
            bench.told("--json", "layer", "diff", "system:1.1", "system:1.1,app:1").splitlines()]
    added = {row["path"] for row in rows if row.get("change") == "adds"}
    check("it has what was installed", "opt/app/data" in added and "usr/bin/large" not in added, added)
    dry = bench.lamina("--json", "layer", "capture", "--snapshot", bench.id, "--dry-run")
    check("a dry run says what the rules leave out", dry.returncode == 0 and "etc/hostname" in dry.stdout, dry.stderr.strip())
    check("a device without snapshots is not found",
          bench.capture("x", "1", "--snapshot", "0" * 32).returncode == 3)
    check("a tree and a snapshot are too much",
          bench.capture("x", "1", "--snapshot", bench.id, "--tree", bench.tree).returncode == 2)


def main():
    if os.geteuid() != 0:
        print("SKIP only root runs scripts in a volume")
        return 77
    if user_is_missing():
        return 77
    with scratch("enforce") as (top, running):
        bench = Bench(PROGRAMS, top, running)
        scripts(bench)
        bench.seed()
        bench.enrol()
        bench.start()
        first_apply(bench)
        enforcing(bench)
        upgrading(bench)
        from_snapshot(bench)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
