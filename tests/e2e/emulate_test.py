#!/usr/bin/env python3
"""`lamina-sim emulate` with three devices for some seconds, and `calibrate` from it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
from checks import Checks  # noqa: E402
from lab import can_make_namespaces  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    options = parser.parse_args()
    checks = Checks()
    scenario = os.path.join(HERE, "emulate/tiny.toml")

    def sim(*words):
        return subprocess.run([os.path.join(options.build, "sim/lamina-sim"), *words], capture_output=True, text=True,
                              timeout=200, check=False)

    with tempfile.TemporaryDirectory(prefix="lamina-emulate-") as folder:
        lab = ["--lab", HERE, "--build", options.build]
        out, calibration = os.path.join(folder, "run"), os.path.join(folder, "calibration.toml")

        done = sim("emulate", scenario, "--out", out, "--lab", folder, "--build", options.build)
        checks.check("without the lab's script it says where it comes from",
                     done.returncode == 3 and "name its folder with --lab" in done.stderr, done.stderr.strip()[-120:])
        done = sim("emulate", scenario, "--out", out, *lab, "--set", "site.devices=31", "--set", "rollout.mode=reflector")
        checks.check("what the lab cannot do is refused with its key",
                     done.returncode == 2 and "sites: 31 devices" in done.stderr and "rollout.mode:" in done.stderr,
                     f"exit code {done.returncode}")
        reason = can_make_namespaces()
        if reason:
            print(f"SKIP emulate: needs network namespaces: {reason}")
            return 1 if checks.failed else 77

        os.umask(0o022)
        done = sim("emulate", scenario, "--out", out, *lab)
        if not checks.check("the real programs carry it out", done.returncode == 0, done.stderr.strip()[-200:]):
            return checks.summary()
        results = []
        for path in ("plan/result.json", "result.json"):
            with open(os.path.join(out, path), encoding="utf-8") as file:
                results.append(json.load(file))
        plan, actual = results
        checks.check("all three devices have it", actual["waves"][0]["done"] == 3, actual["waves"][0]["done"])
        carried = actual["totals"]["wan_down_wire_bytes"] / plan["totals"]["wan_down_wire_bytes"]
        checks.check("it crossed the line once", 0.98 <= carried <= 1.1, f"{carried:.3f} of the simulated bytes")
        times = [result["waves"][0]["since_it_began"]["p50_ms"] / 1000 for result in results]
        checks.check("it took about as long as simulated", times[0] * 0.9 <= times[1] <= times[0] + 6,
                     f"{times[1]:.2f} s, simulated {times[0]:.2f} s")
        checks.check("both are compared", "WAVE  FIGURE" in done.stdout and "Over the lines: " in done.stdout,
                     done.stdout.splitlines()[0])
        checks.check("there is a report of each", all(os.path.exists(os.path.join(out, path)) for path in (
            "report.html", "plan/report.html", "sites.csv")), "report.html")

        found = sim("calibrate", out, "--out", calibration, "--json")
        factors = {factor["name"]: factor["mean"] for factor in json.loads(found.stdout or "{}").get("factors", [])}
        checks.check("a run tells goodput and start", sorted(factors) == ["goodput", "start_takes"] and
                     0.85 <= factors["goodput"] <= 0.96 and factors["start_takes"] < 6, json.dumps(factors))
        done = sim("run", scenario, "--set", f"calibration={calibration}", "--json", "-")
        again = json.loads(done.stdout)["waves"][0]["since_it_began"]["p50_ms"] / 1000 if done.returncode == 0 else 0
        checks.check("with them the simulation gives what was measured", abs(again - times[1]) < 0.05,
                     f"{again:.2f} s, measured {times[1]:.2f} s")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
