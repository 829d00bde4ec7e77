#!/usr/bin/env python3
"""How fast the simulator is: a day of 10,000 sites and a million devices, of a tenth of that, and the same flows
as in SimGrid. `./dev bench sim` builds and then runs this.

Seconds are the processor's, on one core, median of the runs: on a machine that does nothing else they are the wall
clock's. Exit code 0: everything ran; 1: a program failed; 2: wrong usage.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench sim: {' '.join(command)} failed with exit code {done.returncode}")
    return json.loads(done.stdout)


def day(bench, sites, runs):
    records = [run(bench, "--sites", str(sites), "--json") for _ in range(runs)]
    if len({record["hash"] for record in records}) != 1:
        sys.exit(f"bench sim: runs of {sites} sites differ from each other")
    return {name: statistics.median(record[name] for record in records)
            for name in ("cpu_seconds", "wall_seconds", "rss_mb")}


def main():
    parser = argparse.ArgumentParser(prog="dev bench sim", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: ./dev bench sim --runs 5 --json sim.json")
    parser.add_argument("--build", default="build", help="where it was built (default: build)")
    parser.add_argument("--runs", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    build = os.path.join(TOP, options.build)
    bench = os.path.join(build, "tests/bench/sim_bench")
    million, tenth = (day(bench, sites, options.runs) for sites in (10_000, 1_000))
    figures = {"sim-1m-seconds": million["cpu_seconds"], "sim-1m-rss": million["rss_mb"],
               "sim-100k-seconds": tenth["cpu_seconds"]}
    print(f"sim-1m-seconds    {million['cpu_seconds']:8.2f} s    (wall clock {million['wall_seconds']:.2f} s)")
    print(f"sim-1m-rss        {million['rss_mb']:8.1f} MB")
    print(f"sim-100k-seconds  {tenth['cpu_seconds']:8.2f} s    (wall clock {tenth['wall_seconds']:.2f} s)")
    referee = os.path.join(build, "tests/bench/simgrid_referee")
    if os.path.exists(referee):
        both = [run(referee, "--flows", "10000") for _ in range(options.runs)]
        median = lambda name: statistics.median(record[name] for record in both)
        ratio = statistics.median(record["simgrid_seconds"] / record["our_seconds"] for record in both)
        figures["sim-vs-simgrid-10k"] = ratio
        print(f"sim-vs-simgrid-10k {ratio:7.0f} x    (SimGrid {median('simgrid_seconds'):.2f} s, ours "
              f"{median('our_seconds'):.4f} s, ends differ by {max(record['worst_error'] for record in both):.1e} at most)")
    else:
        print("sim-vs-simgrid-10k    SKIP: built without SimGrid (apt-get install libsimgrid-dev, meson setup "
              "--reconfigure)")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"runs": options.runs, "figures": figures}, file, indent=1)


if __name__ == "__main__":
    main()
