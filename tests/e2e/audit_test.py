#!/usr/bin/env python3
"""The audit log of a real origin: listed, exported, and verified after it was edited and cut off.

usage: audit_test.py LAMINA_ORIGIN LAMINA     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import hashlib
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from origin_on_loopback import Daemon, free_port, run  # noqa: E402

ORIGIN, LAMINA = sys.argv[1:3]
checks = Checks()
check = checks.check


def chain_of(lines):
    """The head that independent arithmetic gives, or None where the chain breaks."""
    previous = "0" * 64
    for line in lines:
        entry = json.loads(line)
        found = entry["hash"]
        entry["hash"] = ""
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256((previous + "\n" + text).encode()).hexdigest() != found:
            return None
        previous = found
    return previous


def main():
    with tempfile.TemporaryDirectory(prefix="lamina-audit-") as top:
        data, pin = top + "/origin", top + "/head"
        api = free_port()
        init = run(ORIGIN, "init", "--data", data, "--name", "localhost,127.0.0.1", "--api-port", str(api),
                   "--swarm-port", str(free_port()))
        check("init makes an origin", init.returncode == 0, init.stderr.strip())
        serve = Daemon(ORIGIN, "serve", "--data", data, ready=" serving ")

        def lamina(*args, token=data + "/keys/admin.token"):
            return run(LAMINA, "--origin", f"127.0.0.1:{api}", "--ca", data + "/keys/api-ca.pem",
                       "--token-file", token, *args)

        def verify(*more):
            return lamina("audit", "verify", *more)

        made = lamina("token", "create", "--name", "ann", "--kind", "admin", "--ttl", "1d", "--json")
        token = top + "/ann"
        with open(token, "w") as f:
            f.write(json.loads(made.stdout)["secret"])
        for number in range(3):
            check(f"site {number} is made", lamina("site", "add", f"s{number}", token=token).returncode == 0)
        check("a look at the CVDs", lamina("cvd", "ls", token=token).returncode == 0)
        first = verify("--pin", pin)
        check("a sound log is verified", first.returncode == 0, first.stderr.strip())
        listed = lamina("audit", "list", "--actor", "admin:ann", "--json")
        actions = [json.loads(line)["action"] for line in listed.stdout.splitlines()]
        check("who did what is listed", actions == ["site.add"] * 3 + ["cvd.list"], str(actions))
        reads = lamina("audit", "ls", "--action", "cvd.*", "--since", "1h")
        check("a read of CVDs names its reader", "admin:ann" in reads.stdout and "cvd.list" in reads.stdout)
        newest = lamina("audit", "ls", "--newest", "1", "--json")
        check("the newest ones are kept", newest.stdout.count("\n") == 1)
        wrong = lamina("audit", "ls", "--since", "soon")
        check("a time that is none is wrong usage", wrong.returncode == 2, wrong.stderr.strip())

        lines = lamina("audit", "export").stdout.splitlines()
        head = chain_of(lines)
        check("other code recomputes the same chain", head is not None and
              open(pin).read().strip() == f"{len(lines)}:{head}")
        syslog = lamina("audit", "export", "--format", "syslog", "--after", str(len(lines) - 1)).stdout
        check("an entry is one syslog line",
              syslog.startswith("<110>1 ") and syslog.count("\n") == 1 and f'hash="{head}"' in syslog, syslog)

        def of_file(some, *more):
            path = top + "/export.jsonl"
            with open(path, "w") as f:
                f.writelines(line + "\n" for line in some)
            return verify("--file", path, *more)

        check("an export is verified", of_file(lines, "--head", f"{len(lines)}:{head}").returncode == 0)
        edited = list(lines)
        edited[1] = edited[1].replace('"actor":"', '"actor":"x')
        found = of_file(edited)
        check("an edited entry is named", found.returncode == 6 and "entry 2 " in found.stdout, found.stdout)
        found = of_file(lines[:1] + lines[2:])
        check("a removed entry is named", found.returncode == 6 and "entry 2 is missing" in found.stdout, found.stdout)
        check("a log that was cut off shows nothing by itself", of_file(lines[:-2]).returncode == 0)
        found = of_file(lines[:-2], "--head", f"{len(lines)}:{head}")
        check("but it does against a head",
              found.returncode == 6 and f"entries {len(lines) - 1} to {len(lines)} are missing at the end" in found.stdout,
              found.stdout)
        check("a head that is none is wrong usage", verify("--head", "7").returncode == 2)
        check("a missing export is not found", verify("--file", top + "/none").returncode == 3)

        # An origin whose data were put back to an earlier state has lost its newest entries.
        check("serve stops", serve.stop() == 0)
        check("a copy is kept", os.system(f"cp -a {data} {top}/earlier") == 0)
        serve = Daemon(ORIGIN, "serve", "--data", data, ready=" serving ")
        check("serve says the head", f"head={len(lines)}:{head}" in serve.wait_for("audit_head"))
        check("more is done", lamina("site", "add", "late").returncode == 0)
        check("the pin moves on", verify("--pin", pin).returncode == 0 and
              open(pin).read().startswith(f"{len(lines) + 1}:"))
        check("serve stops again", serve.stop() == 0)
        check("the earlier state is put back", os.system(f"rm -rf {data} && mv {top}/earlier {data}") == 0)
        serve = Daemon(ORIGIN, "serve", "--data", data, ready=" serving ")
        found = verify("--pin", pin)
        check("what was cut off of an origin's log is named",
              found.returncode == 6 and f"entry {len(lines) + 1} is missing at the end" in found.stdout, found.stdout)
        check("another entry takes its place", lamina("site", "add", "other").returncode == 0)
        found = verify("--pin", pin)
        check("and that it is another one is named",
              found.returncode == 6 and f"entry {len(lines) + 1} is another" in found.stdout, found.stdout)
        check("serve stops at last", serve.stop() == 0)
        gone = verify()
        check("an origin that is down is one line", gone.returncode == 4 and gone.stderr.count("\n") == 1)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
