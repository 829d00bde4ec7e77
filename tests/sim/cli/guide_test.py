#!/usr/bin/env python3
"""Follows sim/README.md word by word, from `init` to a report that answers its question.

usage: guide_test.py LAMINA_SIM README     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

PROGRAM, README = (os.path.abspath(path) for path in sys.argv[1:3])
failures = 0


def check(name, good, detail=""):
    global failures
    failures += 0 if good else 1
    print(("PASS " if good else "FAIL ") + name + (f": {detail}" if detail and not good else ""))


def commands():
    with open(README, encoding="utf-8") as file:
        blocks = re.findall(r"^```\n(.*?)^```", file.read(), re.M | re.S)
    return [shlex.split(line) for line in blocks[0].splitlines() if line] if blocks else []


def main():
    all_commands = commands()
    check("from one to six commands", 1 <= len(all_commands) <= 6, str(all_commands))
    said = {}
    with tempfile.TemporaryDirectory() as top:
        for words in all_commands:
            check("the command is lamina-sim's", words[0] == "lamina-sim", str(words))
            done = subprocess.run([PROGRAM] + words[1:], cwd=top, capture_output=True, text=True, timeout=100)
            check(" ".join(words), done.returncode == 0, done.stderr or done.stdout)
            said.setdefault(words[1], done.stdout)
        answer = re.search(r"^site\.cap=(\S+) is enough", said.get("solve", ""), re.M)
        check("solve has an answer", answer is not None, said.get("solve", ""))
        last = all_commands[-1]
        check("the last command uses it", answer is not None and f"site.cap={answer[1]}" in last, str(last))
        out = os.path.join(top, last[last.index("--out") + 1])
        with open(out + "/result.json", encoding="utf-8") as file:
            wave = json.load(file)["waves"][2]
        p95 = wave["over_replicas"]["p95"]["highest_ms"]
        check("wave 3 is done within 8 h in every replica", p95 is not None and p95 < 8 * 3600 * 1000, str(wave))
        with open(out + "/report.html", encoding="utf-8") as file:
            page = file.read()
        title = ElementTree.fromstring(page).findtext("head/title")
        check("the report is well-formed and has a title", bool(title))
        check("the report loads nothing", not re.search(r"https?:|src=|href=|url\(|@import|<script", page))
    return 1 if failures else 0


sys.exit(main())
