#!/usr/bin/env python3
"""Runs programs that compute the same, built differently, and compares what they print.

usage: same_bits.py PROGRAM PROGRAM...
Exit code 0: all equal; 1: not, or one failed; 77: a program is "none", for want of its compiler.
"""

import subprocess
import sys


def main():
    programs = sys.argv[1:]
    if len(programs) < 2:
        sys.exit(__doc__)
    if "none" in programs:
        print("SKIP: clang++ is not installed (apt-get install clang)")
        return 77
    said = {}
    for program in programs:
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{program} failed with {done.returncode}: {done.stdout}{done.stderr}")
            return 1
        said.setdefault(done.stdout, []).append(program)
    for text, who in said.items():
        print(", ".join(who), text, sep="\n")
    return 0 if len(said) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
