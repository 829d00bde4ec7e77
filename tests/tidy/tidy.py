#!/usr/bin/env python3
"""Rules about the tree that no compiler checks: who may include whom, names that belong behind one
door, files that nobody builds, folders without a README. One line a finding; exit code 1 if any.

usage: tidy.py [DIR]       (default: the directory above tests/)
"""

import os
import re
import subprocess
import sys

# What each folder may include directly; what those may include comes with them.
SHARED = ("base", "hash", "codec", "chunk", "delta", "format", "image", "policy", "wire", "os", "cli", "store",
          "update", "tree", "net", "swarm", "metrics", "archive", "support")
MAY_INCLUDE = {
    "shared/base": (),
    "shared/hash": ("shared/base",),
    "shared/codec": ("shared/base",),
    "shared/chunk": ("shared/hash",),
    # A manifest is cut with the chunker's own limits.
    "shared/format": ("shared/codec", "shared/hash", "shared/chunk"),
    "shared/delta": ("shared/codec", "shared/hash", "shared/chunk"),
    "shared/image": ("shared/format",),
    "shared/policy": ("shared/base",),
    "shared/wire": ("shared/format",),
    "shared/os": ("shared/base",),
    "shared/cli": ("shared/base",),
    "shared/metrics": ("shared/base",),
    "shared/archive": ("shared/format", "shared/os"),
    "shared/support": ("shared/archive", "shared/net", "shared/os"),
    "shared/store": ("shared/format", "shared/os"),
    "shared/update": ("shared/delta", "shared/format", "shared/store"),
    "shared/tree": ("shared/store", "shared/chunk", "shared/image", "shared/os"),
    "shared/net": ("shared/wire", "shared/os"),
    "shared/swarm": ("shared/store",),
    "reflector": tuple("shared/" + name for name in SHARED),
    "origin": tuple("shared/" + name for name in SHARED),
    "node": tuple("shared/" + name for name in SHARED),
    "sim": tuple("shared/" + name for name in SHARED if name not in ("os", "store", "tree", "net", "swarm", "archive", "support")),
}
# The roles never include each other; the node's program alone puts node and reflector together.
COMPOSES = {"node/main.cpp": ("reflector",), "node/cmd_run.cpp": ("reflector",),
            # The simulator touches a disk in one file, and asks an origin and the clock in another.
            "sim/cli/files.cpp": ("shared/os",),
            "sim/cli/cmd_import.cpp": ("shared/net", "shared/os"),
            "sim/cli/commands.hpp": ("shared/net",), "sim/cli/program.cpp": ("shared/net",),
            # The administrator's program runs it.
            "origin/cli/cmd_rollout_plan.cpp": ("sim",)}

# Third-party headers: the folders whose .cpp files may include them. A header of ours includes none
# of these, so that a change of library stays behind its door and nobody pays for its compile time.
DOORS = {
    "libtorrent/": ("shared/swarm",),
    "lmdb.h": ("shared/store",),
    "archive": ("shared/archive",),
    "boost/asio": ("shared/net", "shared/swarm"),
    "boost/beast": ("shared/net",),
    "boost/": ("shared/net", "shared/swarm"),
    "openssl/": ("shared/hash", "shared/net", "shared/format", "shared/os", "shared/swarm", "origin"),
    "zstd": ("shared/codec",),
    "lzma.h": ("shared/codec",),
    "zlib.h": ("shared/codec",),
    "xxhash.h": ("shared/hash",),
    "nlohmann/": None,  # Any .cpp file.
    "CLI/": None,
    "toml++/": None,
}
# Headers that are part of a door themselves: only .cpp files of the same folder include them.
DOOR_HEADERS = {"shared/wire/json_fields.hpp", "shared/wire/report_fields.hpp",
                "shared/wire/audit_fields.hpp", "shared/wire/policy_fields.hpp", "shared/wire/reflector_fields.hpp",
                "shared/wire/retention_fields.hpp", "shared/wire/snapshot_fields.hpp",
                "shared/net/asio.hpp", "shared/net/openssl.hpp", "node/net/site_status.hpp",
                "shared/swarm/libtorrent.hpp", "shared/swarm/pack_disk.hpp",
                "shared/swarm/plugins.hpp", "origin/cli/session.hpp",
                "origin/cli/toml_reader.hpp"}

# Pure folders compile and test without these libraries at all.
BANNED = [
    (r"system_clock::now|steady_clock::now|high_resolution_clock", "a clock",
     ("shared/os", "shared/net", "shared/base/log.cpp")),
    (r"\b(?:std::|::)?(?:time|gettimeofday)\s*\((?:NULL|nullptr|0|&\w+)?\)", "the time of day",
     ("shared/os", "shared/net", "shared/base/log.cpp")),
    (r"\b(?:std::)?s?rand\s*\(|\brandom_device\b|\bdrand48\b", "a random source", ("shared/os", "shared/net")),
    (r"\bsleep_for\b|\bsleep_until\b|\b(?:u|nano)?sleep\s*\(", "sleep", ("shared/os", "shared/net")),
    (r"std::\w+_distribution\b", "a distribution that differs per library", ()),
    (r"(?<![\w.])(?:std::)?printf\s*\(", "printf", ()),
    # They return a std::ranges::subrange, which the fuzz targets' compiler (clang 14) cannot make.
    (r"\branges::(?:unique|partition|stable_partition|remove|remove_if|rotate)\(", "one of std::ranges that clang 14 lacks",
     ()),
]
# The lab's own programs and the benches measure real time: that is what they are for.
BANS_SPARE = ("tests/support/", "tests/bench/", "tests/e2e/")

MARKS = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
SIZE_MAX = 1 << 20
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def folder_of(path):
    """The rule's folder of a path: "shared/net/http/x.cpp" -> "shared/net"; None outside the rules."""
    parts = path.split("/")
    if parts[0] == "tests" and len(parts) > 1:
        return folder_of("/".join(parts[1:]))
    depth = 2 if parts[0] == "shared" else 1
    folder = "/".join(parts[:depth])
    return folder if folder in MAY_INCLUDE and len(parts) > depth else None


def closure():
    reach = {}

    def visit(folder):
        if folder not in reach:
            reach[folder] = {folder}.union(*(visit(f) for f in MAY_INCLUDE[folder]))
        return reach[folder]

    for folder in MAY_INCLUDE:
        visit(folder)
    return reach


def strip(text):
    """Comments and string literals become blanks; lines keep their numbers."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_includes(path, text, reach, findings):
    folder = folder_of(path)
    is_test = path.startswith("tests/")
    for match in INCLUDE.finditer(text):
        kind, target = match.groups()
        where = f"{path}:{line_of(text, match.start())}"
        if kind == '"':
            other = folder_of(target)
            if "/" not in target:
                findings.append(f'{where}: include "{target}" by its path from the root')
            elif target in DOOR_HEADERS and (path.endswith(".hpp") and path not in DOOR_HEADERS or
                                             folder_of(path) != other):
                findings.append(f"{where}: {target} is behind a door: only .cpp files of {other} include it")
            elif folder and other and not is_test and other not in reach[folder] and \
                    other not in COMPOSES.get(path, ()):
                findings.append(f"{where}: {folder} may not include {other} ({target})")
            elif target.startswith("tests/") and not is_test:
                findings.append(f"{where}: product code includes test code ({target})")
            continue
        door = next((prefix for prefix in DOORS if target.startswith(prefix)), None)
        if door is None or is_test:
            continue
        if path.endswith(".hpp") and path not in DOOR_HEADERS:
            findings.append(f"{where}: <{target}> in a header: keep it in .cpp files, behind our own types")
        elif DOORS[door] is not None and folder not in DOORS[door]:
            findings.append(f"{where}: <{target}> belongs behind {' or '.join(DOORS[door])}")


def check_banned(path, text, findings):
    if path.startswith(BANS_SPARE):
        return
    for pattern, what, allowed in BANNED:
        if path.startswith(allowed) or path.startswith(tuple("tests/" + a for a in allowed)):
            continue
        for match in re.finditer(pattern, text):
            findings.append(f"{path}:{line_of(text, match.start())}: {match.group().strip()}: {what} is "
                            f"allowed only in {', '.join(allowed) or 'no folder'}: take it as an argument")


def check_built(files, read, findings):
    """Every .cpp file is named by the meson.build of its own folder or of one above it."""
    named = {}
    for path in files:
        if os.path.basename(path) == "meson.build":
            folder = os.path.dirname(path)
            for name in re.findall(r"'([^'\n]+\.cpp)'", read(path)):
                named.setdefault(os.path.normpath(os.path.join(folder, name)), path)
            # Names made from a list: foreach name : ['a', 'b'] ... name + '.cpp'.
            for suffix in re.findall(r"\+ '([^'\n]*\.cpp)'", read(path)):
                for stem in re.findall(r"'([\w/]+)'", read(path)):
                    named.setdefault(os.path.normpath(os.path.join(folder, stem + suffix)), path)
    for path in files:
        if path.endswith(".cpp") and path not in named:
            findings.append(f"{path}: no meson.build builds this file")


def check_readmes(files, findings):
    with_code = {folder_of(path) for path in files if path.endswith((".cpp", ".hpp")) and
                 not path.startswith("tests/")} - {None}
    for folder in sorted(with_code | {"tests"}):
        if folder + "/README.md" not in files:
            findings.append(f"{folder}: no README.md")


def check(top, files):
    """All findings about `files` (paths relative to `top`), as lines."""
    findings = []

    def read(path):
        with open(os.path.join(top, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    reach = closure()
    for path in files:
        size = os.path.getsize(os.path.join(top, path))
        if size > SIZE_MAX:
            findings.append(f"{path}: {size} bytes: files over 1 MiB do not belong into the repository")
            continue
        if path.endswith((".cpp", ".hpp")):
            text = read(path)
            check_includes(path, text, reach, findings)
            check_banned(path, strip(text), findings)
            if path.endswith(".hpp") and "#pragma once" not in text:
                findings.append(f"{path}: no #pragma once")
        if path.endswith((".cpp", ".hpp", ".py", ".build", ".sh")) or path in ("dev", ".ci/run"):
            if path not in ("tests/tidy/tidy.py", "tests/tidy/tidy_test.py"):
                for match in MARKS.finditer(read(path)):
                    findings.append(f"{path}:{line_of(read(path), match.start())}: a {match.group()} mark: "
                                    "finish it, or write an issue")
    check_built(files, read, findings)
    check_readmes(files, findings)
    return findings


def tracked(top):
    """The files of the working tree that git would keep; all files where there is no git."""
    try:
        out = subprocess.run(["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             check=True, capture_output=True, timeout=60).stdout
        return sorted({p for p in out.decode(errors="surrogateescape").split("\0")
                       if p and os.path.isfile(os.path.join(top, p))})
    except (OSError, subprocess.CalledProcessError):
        files = []
        for folder, folders, names in os.walk(top):
            folders[:] = [f for f in folders if not f.startswith((".git", "build"))]
            files += [os.path.relpath(os.path.join(folder, n), top) for n in names]
        return sorted(files)


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    files = tracked(top)
    findings = check(top, files)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
