#!/usr/bin/env python3
"""tidy.py must notice what it promises to notice: each case is a tree with one fault."""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

GOOD = {
    "shared/base/README.md": "", "shared/net/README.md": "", "shared/policy/README.md": "", "tests/README.md": "",
    "shared/base/meson.build": "x = ['a.cpp']", "shared/base/a.cpp": '#include "shared/base/a.hpp"\n',
    "shared/base/a.hpp": "#pragma once\n#include <fmt/format.h>\n",
}
CASES = [
    ("nothing", {}, None),
    ("a layer that looks up", {"shared/policy/p.hpp": '#pragma once\n#include "shared/net/h.hpp"\n'}, "may not include"),
    ("a library before its door", {"shared/policy/p.hpp": "#pragma once\n#include <lmdb.h>\n"}, "in a header"),
    ("a library in a foreign folder", {"shared/base/a.cpp": "#include <lmdb.h>\n"}, "belongs behind shared/store"),
    ("a clock", {"shared/base/a.cpp": "auto t = std::chrono::steady_clock::now();\n"}, "a clock is allowed only"),
    ("a clock in a comment", {"shared/base/a.cpp": "// steady_clock::now() is banned here\n"}, None),
    ("a clock behind its door", {"shared/net/n.cpp": "auto t = std::chrono::steady_clock::now();\n",
                                 "shared/net/meson.build": "'n.cpp'"}, None),
    ("sleep", {"shared/base/a.cpp": "void f() { usleep(5); }\n"}, "sleep is allowed only"),
    ("a file nobody builds", {"shared/base/b.cpp": "\n"}, "no meson.build builds"),
    ("a folder without README", {"shared/cli/c.hpp": "#pragma once\n"}, "shared/cli: no README"),
    ("an unfinished mark", {"shared/base/a.cpp": "// " + "TO" + "DO: later\n"}, "mark"),
    ("a header twice", {"shared/base/a.hpp": "\n"}, "no #pragma once"),
    ("an include by name", {"shared/base/a.cpp": '#include "a.hpp"\n'}, "by its path from the root"),
    ("a big file", {"shared/base/big.bin": "x" * (tidy.SIZE_MAX + 1)}, "over 1 MiB"),
]


def findings_of(tree):
    with tempfile.TemporaryDirectory() as top:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
            with open(os.path.join(top, path), "w") as file:
                file.write(text)
        return tidy.check(top, sorted(tree))


failures = 0
for name, fault, expected in CASES:
    found = findings_of({**GOOD, **fault})
    right = not found if expected is None else len(found) == 1 and expected in found[0]
    failures += not right
    print("ok  " if right else "FAIL", name, *([] if right else found or ["nothing was noticed"]), sep="  ")
sys.exit(1 if failures else 0)
