#!/usr/bin/env python3
"""lamina-sim and ns-3's TCP on the same small trees of lines: when the last transfer is over.

Every device fetches for itself. What lamina-sim gives is what a planner would get: a scenario's files, run by the
program. ns-3 moves packets: with Reno through short queues, of one product of bandwidth and delay, and with CUBIC
through deep ones, which lose none. Exit code 1: an end differs by 5 % or more, or they do by 3 % or more on average.

With --cubic also CUBIC through short queues, which is shown and not judged: ns-3's leaves most of a line to some
transfers, and the others are late (sim/MODEL.md, "Checked").
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

EACH_SHARE = 0.05
MEAN_SHARE = 0.03
GOODPUT = 1448 / 1502  # Payload of a full packet on ns-3's lines, which ns3_tree has.
MEGABYTE = 1_000_000


class Tree:
    """Sites are (Mbit/s of the line, megabytes of each transfer, seconds at which transfers start)."""

    def __init__(self, name, sites, rtt_ms=40, origin_mbit=1000):
        self.name, self.sites, self.rtt_ms, self.origin_mbit = name, sites, rtt_ms, origin_mbit
        # Where several sites fill one deep queue, whoever has more packets in it has more of the line.
        shares_origin = sum(site[0] for site in sites) > origin_mbit
        self.judged = [RENO] if shares_origin else [RENO, DEEP_CUBIC]


RENO, DEEP_CUBIC, CUBIC = ("reno", "short"), ("cubic", "deep"), ("cubic", "short")
# Large enough that TCP finds its rate: what a shorter one does is its start alone (sim/MODEL.md, "TCP").
TREES = [
    Tree("one transfer", [(20, 20, [0])]),
    Tree("one over a slow line", [(5, 10, [0])], rtt_ms=10),
    Tree("one from far away", [(20, 40, [0])], rtt_ms=150),
    Tree("one over a fast line", [(100, 50, [0])], rtt_ms=20),
    Tree("two share a line", [(20, 20, [0, 0])], rtt_ms=30),
    Tree("two share a line, a little apart", [(20, 20, [0, 0.3])], rtt_ms=30),
    Tree("three, one after the other", [(20, 10, [0, 5, 10])]),
    Tree("ten share a line", [(50, 10, [0] * 10)], rtt_ms=30),
    Tree("ten share a line, a little apart", [(50, 10, [i / 10 for i in range(10)])], rtt_ms=30),
    Tree("thirty share a line", [(100, 5, [0] * 30)]),
    Tree("sites with different lines", [(5, 10, [0]), (10, 10, [0, 0]), (20, 10, [0, 0])]),
    Tree("the origin's line is full", [(20, 10, [0, 0]), (20, 10, [0, 0]), (20, 10, [0, 0])], origin_mbit=30),
    Tree("it is full, and later a site's", [(5, 10, [0]), (20, 10, [0]), (20, 20, [0])], origin_mbit=30),
]


def run(command, text):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"ns3_referee: {' '.join(command)} failed with exit code {done.returncode}")
    return done.stdout


def theirs(program, tree, tcp, queue):
    text = f"origin {tree.origin_mbit}\nrtt {tree.rtt_ms}\ntcp {tcp}\nqueue {queue}\n"
    for mbit, megabytes, starts in tree.sites:
        text += f"site {mbit} {megabytes * MEGABYTE} {' '.join(map(str, starts))}\n"
    return max(float(end) for end in run([program], text).split())


def ours(program, tree, folder):
    """A version for each size, a site for each line, a wave for each start. Without loss all of TCP is one model."""
    sizes = sorted({megabytes for _, megabytes, _ in tree.sites})
    starts = sorted({start for _, _, starts in tree.sites for start in starts})
    scenario = f"""name = "ns-3"
sites = "sites.csv"
[run]
start = 2026-03-02T20:00:00Z
duration = "1h"
[origin]
uplink = "{tree.origin_mbit}Mbit"
[tcp]
goodput = {GOODPUT}
[rollout]
mode = "direct"
sites_at_once = "all"
"""
    for start in starts:
        shares = []
        for i, (_, _, of_site) in enumerate(tree.sites):
            upto = sum(1 for one in of_site if one <= start)
            if upto > 0:
                shares.append(f'{{ site = "s{i}", percent = {100 * upto // len(of_site)} }}')
        scenario += f'[[rollout.wave]]\nname = "from {start} s"\nstart = "{round(1000 * start)}ms"\nsuccess = 0\nshares = ['
        scenario += ", ".join(shares) + "]\n"
    for i, size in enumerate(sizes):
        scenario += f'[[content.version]]\nname = "{size}"\nshare = {int(i == 0)}\nfetch = "{size}MB"\n'
    for size in sizes:
        scenario += f'[[mix]]\nname = "{size}"\nversions = {{ "{size}" = 1 }}\n'
    sites = "site,devices,mix,wan_down,rtt,lan\n"
    for i, (mbit, megabytes, of_site) in enumerate(tree.sites):
        sites += f"s{i},{len(of_site)},{megabytes},{mbit}Mbit,{tree.rtt_ms}ms,10Gbit\n"
    path = os.path.join(folder, "scenario.toml")
    for name, text in ((path, scenario), (os.path.join(folder, "sites.csv"), sites)):
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    result = json.loads(run([program, "run", path, "--json", "-"], ""))
    return result["totals"]["finished_ms"] / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: ns3_referee.py build/sim/lamina-sim build/tests/bench/ns3_tree")
    parser.add_argument("lamina_sim")
    parser.add_argument("ns3_tree")
    parser.add_argument("--cubic", action="store_true", help="also CUBIC through short queues, which is not judged")
    options = parser.parse_args()
    errors = []
    print(f"{'last end':34}{'lamina-sim':>10}{'Reno':>18}{'CUBIC, no loss':>18}" + "CUBIC".rjust(18) * options.cubic)
    for tree in TREES:
        with tempfile.TemporaryDirectory() as folder:
            our = ours(options.lamina_sim, tree, folder)
        line = f"{tree.name:34}{our:8.2f} s"
        for kind in [RENO, DEEP_CUBIC] + [CUBIC] * options.cubic:
            if kind not in tree.judged + [CUBIC]:
                line += " " * 18
                continue
            their = theirs(options.ns3_tree, tree, *kind)
            error = our / their - 1
            line += f"{their:8.2f} s{100 * error:+6.1f}%"
            if kind in tree.judged:
                errors.append(abs(error))
                line += " !" if abs(error) >= EACH_SHARE else "  "
        print(line.rstrip())
    mean = sum(errors) / len(errors)
    good = max(errors) < EACH_SHARE and mean < MEAN_SHARE
    print(f"{'PASS' if good else 'FAIL'} {len(errors)} ends: mean error {100 * mean:.1f} % (bound {100 * MEAN_SHARE:.0f}), "
          f"largest {100 * max(errors):.1f} % (bound {100 * EACH_SHARE:.0f})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
