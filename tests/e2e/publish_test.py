#!/usr/bin/env python3
"""A real origin on loopback: init, serve and seed; capture, update and refusals by the real CLI.

usage: publish_test.py LAMINA_ORIGIN LAMINA     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from origin_on_loopback import Daemon, free_port, run  # noqa: E402

ORIGIN, LAMINA = sys.argv[1:3]
checks = Checks()
check = checks.check


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) * 1024


def make_tree(path):
    os.makedirs(path + "/etc")
    os.makedirs(path + "/usr/bin")
    shutil.copy("/etc/os-release", path + "/etc/os-release")
    shutil.copy("/bin/dash", path + "/usr/bin/dash")
    with open(path + "/etc/machine-id", "w") as f:
        f.write("identity must not travel\n")
    # Python's own library is on every machine that runs this.
    library = os.path.dirname(os.__file__)
    for package in ("asyncio", "email", "encodings", "json", "unittest", "xml"):
        shutil.copytree(os.path.join(library, package), f"{path}/usr/lib/python/{package}", symlinks=True)


def main():
    with tempfile.TemporaryDirectory(prefix="lamina-publish-") as top:
        data, tree = top + "/origin", top + "/tree"
        api, swarm = free_port(), free_port()
        make_tree(tree)
        init = run(ORIGIN, "init", "--data", data, "--name", "localhost,127.0.0.1", "--api-port",
                   str(api), "--swarm-port", str(swarm))
        check("init makes an origin", init.returncode == 0, init.stderr.strip())
        check("init refuses a directory in use", run(ORIGIN, "init", "--data", data, "--name", "x").returncode == 5)
        serve = Daemon(ORIGIN, "serve", "--data", data, ready=" serving ")
        seed = Daemon(ORIGIN, "seed", "--data", data, ready=" seeding ")
        second = run(ORIGIN, "serve", "--data", data)
        check("a second serve is told who has the store",
              second.returncode == 4 and str(serve.process.pid) in second.stderr, second.stderr.strip())

        def lamina(*args, token=data + "/keys/admin.token"):
            return run(LAMINA, "--origin", f"127.0.0.1:{api}", "--ca", data + "/keys/api-ca.pem",
                       "--token-file", token, *args)

        def capture(version, *more, key="publisher"):
            return lamina("layer", "capture", "--name", "system", "--version", version, "--tree", tree,
                          "--key", f"{data}/keys/{key}.key", *more)

        first = capture("1.0")
        check("a tree is captured and published", first.returncode == 0, first.stderr.strip())
        seed.wait_for("torrent_served")
        check("the seeder serves it", True)
        packs = data + "/layers/packs"
        size = lambda: sum(os.path.getsize(os.path.join(packs, p)) for p in os.listdir(packs))
        before = size()
        with open(tree + "/etc/new", "w") as f:
            f.write("one small file\n")
        check("an update is published", capture("1.1").returncode == 0)
        check("an update costs what changed", size() - before < 64 * 1024, f"{size() - before} bytes")
        tar = subprocess.run(f"tar -C {tree} -c . | zstd -3 -c | wc -c", shell=True, capture_output=True,
                             text=True, timeout=60)
        ratio = before / int(tar.stdout)
        check("a layer is no larger than 1.10 x tar | zstd -3", ratio <= 1.10, f"{ratio:.3f}")
        listed = lamina("layer", "ls")
        check("both versions are listed", "system:1.0" in listed.stdout and "system:1.1" in listed.stdout)
        shown = lamina("layer", "show", "system:1.1")
        check("a layer is shown", shown.returncode == 0 and "system:1.1" in shown.stdout, shown.stderr.strip())
        check("a layer that is not there is not found", lamina("layer", "show", "system:9").returncode == 3)
        verify = lambda *more: lamina("layer", "verify", "system:1.1", *more)
        good = verify("--publisher", data + "/keys/publisher.pub")
        check("a layer is verified through its packs", good.returncode == 0 and "the given publisher" in good.stdout,
              good.stderr.strip())
        check("another publisher's key is refused", verify("--publisher", data + "/keys/target.pub").returncode == 5)
        largest = max((os.path.join(packs, p) for p in os.listdir(packs)), key=os.path.getsize)
        with open(largest, "r+b") as f:
            f.seek(1000)
            kept = f.read(1)
            f.seek(1000)
            f.write(bytes([kept[0] ^ 1]))
        bad = verify()
        check("one changed bit in a pack is corrupt, in one line",
              bad.returncode == 6 and bad.stderr.count("\n") == 1, bad.stderr.strip())
        with open(largest, "r+b") as f:
            f.seek(1000)
            f.write(kept)
        check("and verifies once it is undone", verify("--json").returncode == 0)
        check("an older version is refused", capture("1.0").returncode == 5)
        check("a revision is a number above zero", capture("1.3", "--revision", "0").returncode == 2)
        check("a revision may be given", capture("1.3", "--revision", "70").returncode == 0)
        check("a foreign key is refused", capture("1.2", key="target").returncode == 5)
        with open(top + "/wrong", "w") as f:
            f.write("0" * 64)
        check("a wrong token is refused", lamina("site", "ls", token=top + "/wrong").returncode == 5)
        missing = lamina("layer", "capture", "--name", "x", "--version", "1", "--tree", top + "/none", "--key",
                         data + "/keys/publisher.key")
        check("a missing tree is one line", missing.returncode == 3 and missing.stderr.count("\n") == 1,
              missing.stderr.strip())
        most = max(peak_memory(d.process.pid) for d in (serve, seed))
        check("serve and seed stay small", most < 200 << 20, f"{most >> 20} MiB")
        check("serve and seed stop when asked", serve.stop() == 0 and seed.stop() == 0)
        gone = lamina("site", "ls")
        check("an origin that is down is one line", gone.returncode == 4 and gone.stderr.count("\n") == 1,
              gone.stderr.strip())
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
