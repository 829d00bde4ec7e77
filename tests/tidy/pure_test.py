#!/usr/bin/env python3
"""The pure folders build and test without the swarm, the database and the network: none of their test
programs is linked with libtorrent, LMDB or OpenSSL's TLS, and none of their objects asks for one.

usage: pure_test.py PROGRAM...
"""

import subprocess
import sys

BANNED = ("libtorrent", "liblmdb", "libssl.", "libboost")

failed = 0
for program in sys.argv[1:]:
    needed = [line.split("[")[1].rstrip("]") for line in subprocess.run(
        ["readelf", "-d", program], check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
        if "(NEEDED)" in line]
    if not needed:
        print(f"{program}: names no library: is it a program?")
        failed += 1
    for library in needed:
        if library.startswith(BANNED):
            print(f"{program}: needs {library}")
            failed += 1
print(f"{len(sys.argv) - 1} programs, {failed} findings")
sys.exit(1 if failed or len(sys.argv) < 2 else 0)
