"""Where this machine gets Debian packages from."""

import glob
import os
import re

from reference import ReferenceError


def sources(code, suites):
    """One-line sources of exactly these suites, from what this machine's own sources of `code` say. A suite of the
    next release lies where this one's does."""
    found = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        if not path.endswith((".list", ".sources")) or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"^#.*\n?", "", file.read(), flags=re.M)
        found += deb822(text) if path.endswith(".sources") else one_line(text)
    lines = []
    for suite in suites:
        release, _, pocket = suite.partition("-")
        beside = suite.replace(release, code, 1)
        for options, uri, has, components in found:
            if beside in has and "main" in components:
                lines.append(f"deb {options}{uri} {suite} main")
                break
        else:
            raise ReferenceError(f"no package source of {beside} in /etc/apt: add one, or give trees of your own "
                                 f"({pocket or 'release'} pocket)")
    return lines


def deb822(text):
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.M))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
            key = fields.get("Signed-By", "")
            options = f"[signed-by={key}] " if key.startswith("/") else ""
            for uri in fields.get("URIs", "").split():
                yield options, uri, fields.get("Suites", "").split(), fields.get("Components", "").split()


def one_line(text):
    for options, uri, suite, components in re.findall(r"^deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$", text, re.M):
        yield options, uri, [suite], components.split()


def acquire_options():
    """The machine's own settings of how packages are fetched, as mmdebstrap takes them."""
    options = []
    for path in sorted(glob.glob("/etc/apt/apt.conf.d/*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if "Acquire" in file.read():
                options.append(path)
    return options
