#!/usr/bin/env python3
"""What the comparison makes of what it measured: ratios, medians, turns, names; which sources a tree is made of."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402
from measure import Sample, ToolFailed, execute, shell  # noqa: E402

import packages  # noqa: E402


class Options:
    """As of `--quick --runs 3`."""
    runs, quick, corpus, peers, variants = 3, True, None, None, None


class Compare(unittest.TestCase):
    def test_a_record_has_ratios_of_those_that_were_measured(self):
        [comparison, *beside] = compare.chosen(["fresh-bytes"])
        self.assertEqual([one.name for one in beside], ["fresh-line", "update-line", "fresh"])
        samples = {compare.OURS: Sample(2.0, 3.0, 100, 50), "borg": Sample(4.0, None, 200, 100), "none": Sample()}
        records = {record["name"]: record for record in compare.results_of(comparison, samples)}
        self.assertEqual(records["fresh-bytes"], {"name": "fresh-bytes", "comparison": "capture", "unit": "bytes",
                                                  "ours": 50, "peers": {"borg": 100}, "ratios": {"borg": 0.5}})
        self.assertEqual(records["capture-cpu"]["peers"], {})

    def test_nothing_is_said_without_lamina(self):
        [comparison] = compare.chosen(["capture"])
        self.assertEqual(list(compare.results_of(comparison, {"borg": Sample(1.0)})), [])

    def test_an_unknown_name_is_refused(self):
        with self.assertRaisesRegex(ValueError, "no comparison 'speed'"):
            compare.chosen(["speed"])

    def test_without_names_what_is_asked_for_by_name_is_left_out(self):
        names = [comparison.name for comparison in compare.chosen([])]
        self.assertIn("restore", names)
        self.assertNotIn("publish-release", names)

    def test_the_figures_of_updates_name_their_comparisons(self):
        names = [one.name for one in compare.chosen(["update-bytes", "migration-bytes", "publish-cpu", "decode-cpu",
                                                     "decode-rss"])]
        self.assertEqual(names, ["update", "migration", "decode"])

    def test_each_run_begins_with_another_one_and_a_failure_ends_its_turns(self):
        bench = compare.Bench(Options, "/nowhere")
        bench.live = False
        bench.failed = lambda what, name, error: bench.errors.append(name)
        order = []

        def works(name):
            return lambda run: order.append(name) or Sample(wall=float(run))

        def fails(_run):
            order.append("c")
            raise ToolFailed("no")

        medians = bench.alternate("it", {"a": works("a"), "b": works("b"), "c": fails})
        self.assertEqual("".join(order), "abcbaab")
        self.assertEqual(medians, {"a": Sample(wall=1.0), "b": Sample(wall=1.0)})
        self.assertEqual(bench.errors, ["c"])


class Measure(unittest.TestCase):
    @unittest.skipUnless(os.path.exists("/usr/bin/time"), "time(1) is not installed")
    def test_a_program_is_measured_with_what_it_started(self):
        sample = shell("for _ in 1 2; do (i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done); done; echo done")
        self.assertEqual(sample.out, "done\n")
        self.assertGreater(sample.cpu, 0.01)
        self.assertGreater(sample.wall, 0.01)
        self.assertGreater(sample.rss, 1 << 20)

    @unittest.skipUnless(os.path.exists("/usr/bin/time"), "time(1) is not installed")
    def test_a_failure_says_what_the_program_said(self):
        with self.assertRaisesRegex(ToolFailed, "exit code 3: it broke"):
            execute(["sh", "-c", "echo it broke >&2; exit 3"])
        with self.assertRaisesRegex(ToolFailed, "no end after 0.2 s"):
            execute(["sleep", "30"], seconds=0.2)


class Sources(unittest.TestCase):
    def test_both_forms_are_read(self):
        stanza = ("Types: deb\nURIs: http://a/debian\nSuites: one one-updates\nComponents: main extra\n"
                  "Signed-By: /k.gpg\n")
        self.assertEqual(list(packages.deb822(stanza + "\n" + stanza.replace("deb\n", "deb-src\n"))),
                         [("[signed-by=/k.gpg] ", "http://a/debian", ["one", "one-updates"], ["main", "extra"])])
        lines = "deb [signed-by=/k.gpg] http://a/debian one main\ndeb-src http://b one x\n"
        self.assertEqual(list(packages.one_line(lines)),
                         [("[signed-by=/k.gpg] ", "http://a/debian", ["one"], ["main"])])


if __name__ == "__main__":
    unittest.main()
