#!/usr/bin/env python3
"""How far the simulator is from the real programs: the table of sim/MODEL.md. `./dev bench emulate` builds first.

Twenty devices in two sites roll a layer out in the lab, some times in each situation, and `lamina-sim run` says how
long that takes and what the lines carry. Its factors come from other runs, of other scenarios. Runs that are in the
output directory already are kept, so that what was broken off goes on. Needs root; takes about 20 minutes.

Exit code 0: all within the bounds; 1: not, or a run failed; 2: wrong usage; 75: stopped before the last run; 77: this
machine cannot make namespaces.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
from lab import can_make_namespaces  # noqa: E402

SITUATIONS = {"reflector": "with a reflector", "direct": "without", "death": "one is killed",
              "switch": "a rate switch in mid-transfer"}
# Runs of each; those whose figures scatter have more.
CALIBRATION = {"plain": 2, "death": 2, "rules": 2, "ports": 2, "direct": 3}
BOUNDS = {"bytes": 0.02, "p50": 0.10, "p95": 0.10}  # Of the measured median.


class Stopped(Exception):
    pass


class Table:
    def __init__(self, options):
        self.options = options
        self.sim = os.path.join(options.build, "sim/lamina-sim")
        self.begun = time.monotonic()

    def run(self, *words):
        done = subprocess.run([self.sim, *words], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"emulate table: lamina-sim {' '.join(words)} ended with {done.returncode}")
        return done.stdout

    def scenario(self, name):
        return os.path.join(HERE, "emulate", name + ".toml")

    def emulated(self, name, number):
        """The directory of one run, which is carried out unless it is there."""
        directory = os.path.join(self.options.out, f"{name}-{number}")
        if not os.path.exists(os.path.join(directory, "result.json")):
            if time.monotonic() - self.begun > self.options.stop_after:
                raise Stopped(f"{name}, run {number}")
            print(f"== {name}, run {number}", file=sys.stderr, flush=True)
            self.run("emulate", self.scenario(name), "--out", directory, "--lab", HERE, "--build", self.options.build)
        return directory

    def calibrate(self):
        runs = [self.emulated(f"calibrate-{name}", number) for name, count in CALIBRATION.items()
                for number in range(1, count + 1)]
        path = os.path.join(os.path.abspath(self.options.out), "calibration.toml")
        print(self.run("calibrate", *runs, "--out", path), flush=True)
        return path

    def rows(self):
        """(situation, figure, model, [measured])"""
        runs = {name: [self.figures(os.path.join(self.emulated(name, number), "result.json"))
                       for number in range(1, self.options.runs + 1)] for name in SITUATIONS}
        calibration = self.calibrate()
        for name, measured in runs.items():
            path = os.path.join(self.options.out, f"{name}-simulated.json")
            self.run("run", self.scenario(name), "--set", f"calibration={calibration}", "--json", path)
            model = self.figures(path)
            for figure in BOUNDS:
                yield name, figure, model[figure], [one[figure] for one in measured]

    @staticmethod
    def figures(path):
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
        times = result["waves"][0]["since_it_began"]
        seconds = {name: None if times[name + "_ms"] is None else times[name + "_ms"] / 1000 for name in ("p50", "p95")}
        return {"bytes": result["totals"]["wan_down_wire_bytes"] / 1e6, **seconds}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench emulate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Example: ./dev bench emulate --runs 5 --out build/emulate")
    parser.add_argument("--build", default="build", help="where it was built (default: build)")
    parser.add_argument("--out", default="build/emulate", help="the runs' directory (default: build/emulate)")
    parser.add_argument("--runs", type=int, default=5, help="of each situation (default: 5)")
    parser.add_argument("--stop-after", type=float, default=float("inf"), metavar="SECONDS",
                        help="begin no further run after so long; the same command goes on another time")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    table = Table(options)
    try:
        rows = list(table.rows())
    except Stopped as stopped:
        print(f"emulate table: stopped before {stopped}; the same command goes on", file=sys.stderr)
        return 75
    print("| situation | figure | model | measured: median | lowest to highest | error | bound |\n"
          "|---|---|---|---|---|---|---|")
    outside, records = 0, []
    for name, figure, model, measured in rows:
        unit, title = ("MB", "over the lines") if figure == "bytes" else ("s", figure)
        reached = [value for value in measured if value is not None]
        if model is None or len(reached) < len(measured):
            outside += 1
            print(f"| {SITUATIONS[name]} | {title} | not reached in {len(measured) - len(reached)} runs | | | | |")
            continue
        median = statistics.median(measured)
        error = model / median - 1
        outside += abs(error) > BOUNDS[figure]
        records.append({"situation": name, "figure": figure, "model": model, "measured": measured, "error": error})
        print(f"| {SITUATIONS[name]} | {title} | {model:.2f} {unit} | {median:.2f} {unit} | {min(measured):.2f} to "
              f"{max(measured):.2f} | {error:+.1%} | {BOUNDS[figure]:.0%} |")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"runs": options.runs, "rows": records}, file, indent=1)
    print(f"\n{len(rows) - outside} of {len(rows)} figures are within their bounds")
    return 1 if outside else 0


if __name__ == "__main__":
    reason = can_make_namespaces() if "-h" not in sys.argv and "--help" not in sys.argv else None
    if reason:
        print(f"SKIP bench emulate: needs network namespaces: {reason}")
        sys.exit(77)
    sys.exit(main())
