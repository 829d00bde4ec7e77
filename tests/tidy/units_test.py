#!/usr/bin/env python3
"""The systemd units: `systemd-analyze verify` says nothing about them, and `security` finds little exposed.

Both look at files only: no service is started. Skipped (77) without systemd-analyze.

usage: units_test.py SOURCE_DIRECTORY
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Of 10. The worker is root and writes every file of the volume, and that counts.
EXPOSURE = {"lamina-node-worker.service": 3.5}
EXPOSURE_ELSE = 1.8


def main():
    top = sys.argv[1]
    if shutil.which("systemd-analyze") is None or not os.path.isdir("/usr/lib/systemd/system"):
        print("SKIP units: systemd-analyze is not installed")
        return 77
    units = sorted(glob.glob(top + "/*/systemd/*.service"))
    if len(units) < 4:
        print(f"FAIL only {len(units)} units below {top}")
        return 1
    failed = 0
    with tempfile.TemporaryDirectory() as root:
        # A machine on which the programs are installed.
        shutil.copytree("/usr/lib/systemd/system", root + "/usr/lib/systemd/system", symlinks=True)
        for program in ("lamina-origin", "lamina-node"):
            os.makedirs(root + "/usr/bin", exist_ok=True)
            with open(f"{root}/usr/bin/{program}", "w", encoding="ascii") as file:
                file.write("#!/bin/sh\n")
            os.chmod(f"{root}/usr/bin/{program}", 0o755)
        os.makedirs(root + "/etc/systemd/system")
        for unit in units:
            shutil.copy(unit, root + "/etc/systemd/system")
        for unit in map(os.path.basename, units):
            installed = f"{root}/etc/systemd/system/{unit}"
            said = subprocess.run(["systemd-analyze", "--root", root, "--recursive-errors=no", "verify", installed],
                                  capture_output=True, text=True, timeout=60)
            good = said.returncode == 0 and not said.stderr.strip()
            print("PASS" if good else "FAIL", f"{unit}: verify", said.stderr.strip())
            failed += not good
            said = subprocess.run(["systemd-analyze", "--root", root, "--offline=true", "--no-pager", "security",
                                   installed], capture_output=True, text=True, timeout=60)
            overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
            exposure = float(overall.group(1)) if overall else 10.0
            most = EXPOSURE.get(unit, EXPOSURE_ELSE)
            good = exposure <= most
            print("PASS" if good else "FAIL", f"{unit}: exposure {exposure:.1f} (at most {most})", said.stderr.strip())
            failed += not good
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
