"""The trees that are compared over, made once from Debian packages of the machine's own sources:

    A1      a desktop: minbase, kernel, browser, light Xfce; the release's own pocket only
    A2      a copy of it after dist-upgrade with the updates and security pockets: a heavy month
    A3      the next release with the same packages; left out where the sources do not have it
    home0   somebody's files: photos, PDFs, HTML, sources, documents, a database, two mailboxes
    home1   the same after a day of work
    many    three copies of a kernel's source

Everything that is generated has seeds of its own, but the archive moves: figures compare within one run. The quick
trees are made of this machine's own files and generated ones, in about half a minute.

usage: corpus.py [--corpus DIR] [--quick] [NAME...]     makes those that are missing
"""

import argparse
import glob
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import zipfile

sys.dont_write_bytecode = True
TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
import packages  # noqa: E402
import reference  # noqa: E402
import verify  # noqa: E402

NAMES = ("A1", "A2", "A3", "home0", "home1", "many")
NEXT_RELEASE = {"bookworm": "trixie"}

PACKAGES = """initramfs-tools systemd-sysv openssh-server python3 openssl ca-certificates curl git vim
network-manager sqlite3 firefox-esr xserver-xorg-core openbox lightdm xfce4-panel xfce4-session xfce4-terminal thunar
mousepad evince cups fonts-dejavu-core fonts-liberation man-db""".split()

# What a home is filled with, and where it goes there.
HOME_PACKAGES = {
    "photos": ("mate-backgrounds", "plasma-workspace-wallpapers", "gnome-backgrounds", "ukui-wallpapers"),
    "papers": ("texlive-pictures-doc",),
    "manuals": ("openjdk-17-doc", "gimp-help-en"),
}
KERNEL_SOURCE = "linux-source-6.1"


class CorpusError(Exception):
    """What could not be made, and the next step."""


def run(words, seconds, cwd=None, env=None):
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, cwd=cwd, env=env,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise CorpusError(f"{' '.join(words[:3])}...: exit code {done.returncode}: {said}")
    return done.stdout


# Where packages come from.

def fetch(cache, packages):
    """The content of packages, unpacked; each is fetched once. Returns {package: directory}."""
    folder = os.path.join(cache, "packages")
    os.makedirs(folder, exist_ok=True)
    unpacked = {}
    for package in packages:
        target = unpacked[package] = os.path.join(folder, package)
        if os.path.isdir(target):
            continue
        run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", package], 600, cwd=folder)
        [archive] = glob.glob(os.path.join(folder, package + "_*.deb"))
        run(["dpkg-deb", "-x", archive, target + ".partial"], 600)
        os.unlink(archive)
        os.rename(target + ".partial", target)
    return unpacked


# Systems.

def system(tree, code, say, cache):
    """minbase and PACKAGES of a release's own pocket."""
    del cache
    if shutil.which("mmdebstrap") is None:
        raise CorpusError("mmdebstrap is not installed: apt-get install mmdebstrap")
    say(f"{os.path.basename(tree)}: {code} with {len(PACKAGES) + 1} packages by mmdebstrap")
    architecture = run(["dpkg", "--print-architecture"], 10).strip()
    run(["mmdebstrap", "--variant=minbase", "--mode=root", "--quiet",
         "--include=" + ",".join([f"linux-image-{architecture}", *PACKAGES]),
         *[f"--aptopt={path}" for path in packages.acquire_options()],
         code, tree, *packages.sources(reference.codename(), [code])], 1800)
    clean(tree)


# In a mount namespace of its own, so that nothing stays mounted however it ends.
UPGRADE = r"""
set -e
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
before=$(ls boot/vmlinuz-*)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot . apt-get update -q
chroot . apt-get dist-upgrade -qy --no-install-recommends -o Dpkg::Options::=--force-confnew
# A new kernel's name is a new package: the former one goes, as on a machine that was restarted since.
if [ "$before" != "$(ls boot/vmlinuz-*)" ]; then
  for kernel in $before; do chroot . apt-get purge -qy "linux-image-${kernel#boot/vmlinuz-}"; done
fi
chroot . apt-get autoremove --purge -qy
chroot . apt-get clean
rm usr/sbin/policy-rc.d
"""


def upgraded(tree, before, say):
    """A copy of `before` after dist-upgrade with the updates and security pockets."""
    code = reference.codename()
    say(f"{os.path.basename(tree)}: a copy of A1 after dist-upgrade")
    verify.copy(before, tree)
    kept = {}
    pockets = packages.sources(code, [code, code + "-updates", code + "-security"])
    for name, text in (("etc/apt/sources.list", "".join(line + "\n" for line in pockets)),
                       ("etc/resolv.conf", read_text("/etc/resolv.conf")),
                       *((f"etc/apt/apt.conf.d/98{number}", read_text(path))
                         for number, path in enumerate(packages.acquire_options()))):
        path = os.path.join(tree, name)
        kept[path] = read_text(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    run(["unshare", "--mount", "sh", "-c", UPGRADE, "upgrade", tree], 1800)
    for path, text in kept.items():
        os.unlink(path)
        if text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    clean(tree)


def read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def clean(tree):
    """Without what a running system makes by itself, and without what only some of the compared programs can hold."""
    for pattern in ("var/lib/apt/lists/*", "var/cache/apt/*", "var/log/**/*", "tmp/*", "var/tmp/*", "run/*", "dev/*"):
        for path in glob.glob(os.path.join(tree, pattern), recursive=True):
            if os.path.isdir(path) and not os.path.islink(path):
                if not pattern.startswith("var/log"):
                    shutil.rmtree(path)
            else:
                os.unlink(path)


# Homes. Sizes are those of `scale` 1.

WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ster", "ban", "hu", "over", "un", "per", "ge")
         for b in ("ra", "den", "lit", "o", "tach", "ni", "we", "sol", "mu", "fi")
         for c in ("n", "ing", "t", "er", "s", "ly", "", "ed", "al", "um")]


def prose(random_, count):
    return " ".join(random_.choices(WORDS, k=count))


def mail(random_, number):
    """One message; every fourth has an attachment."""
    body = [f"From user{random_.randrange(500)}@example Thu Jan  1 00:00:00 2026\n"
            f"Message-Id: <{number}.{random_.random()}>\nSubject: {prose(random_, 6)}\n\n"
            f"{prose(random_, random_.randrange(40, 600))}\n"]
    if number % 4 == 0:
        text = random_.randbytes(random_.randrange(2_000, 150_000)).hex()
        body.append("\n".join(text[i:i + 76] for i in range(0, len(text), 76)))
    return ("\n".join(body) + "\n\n").encode()


def write_mails(path, random_, size, mode="wb"):
    with open(path, mode) as file:
        end, number = file.tell() + size, random_.randrange(1 << 30)
        while file.tell() < end:
            number += 1
            file.write(mail(random_, number))


def write_document(path, random_, paragraphs):
    """What an office program writes: a zip with a large XML part and a picture."""
    text = "".join(f"<w:p><w:r><w:t>{p}</w:t></w:r></w:p>" for p in paragraphs)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("[Content_Types].xml", b"<Types/>" * 40), ("word/document.xml", text.encode()),
                           ("word/media/image1.png", random_.randbytes(20_000))):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def write_database(path, random_, rows):
    with sqlite3.connect(path) as database:
        database.execute("pragma page_size = 4096")
        database.execute("create table message (id integer primary key, key text, body text)")
        database.execute("create index by_key on message (key)")
        database.executemany("insert into message (key, body) values (?, ?)",
                             ((random_.randbytes(16).hex(), prose(random_, 50)) for _ in range(rows)))
    database.close()


def write_pages(path, random_, pages):
    """A mail store of pages, some of text, some of compressed attachments."""
    with open(path, "wb") as file:
        for number in range(pages):
            file.write(random_.randbytes(4096) if number % 3 == 0 else
                       prose(random_, 700).encode()[:4096].ljust(4096, b"\0"))


def fill_home(tree, scale, materials, say):
    """`materials` are {folder: directories that are copied there}."""
    say(f"home0: {int(1600 * scale)} MB of files")
    random_ = random.Random(41)
    os.makedirs(tree)
    for folder, directories in materials.items():
        for directory in directories:
            run(["cp", "-a", "--reflink=auto", directory, os.path.join(tree, folder)] if
                not os.path.exists(os.path.join(tree, folder)) else
                ["cp", "-a", "--reflink=auto", directory + "/.", os.path.join(tree, folder)], 900)
    os.makedirs(os.path.join(tree, "documents"))
    for number in range(int(400 * scale)):
        paragraphs = [prose(random_, 80) for _ in range(random_.randrange(20, 200))]
        write_document(os.path.join(tree, f"documents/report-{number}.docx"), random_, paragraphs)
    write_database(os.path.join(tree, "messages.sqlite"), random_, int(350_000 * scale))
    write_mails(os.path.join(tree, "inbox.mbox"), random_, int(200e6 * scale))
    write_pages(os.path.join(tree, "store.pst"), random_, int(50_000 * scale))


def day_of_work(tree, scale, say):
    """What somebody does to it in a day, in place."""
    say("home1: home0 after a day of work")
    random_ = random.Random(43)
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(tree) for name in names
                   if not os.path.islink(os.path.join(folder, name)))
    small = [path for path in files if os.path.getsize(path) < 100_000 and "/documents/" not in path]
    os.makedirs(os.path.join(tree, "today"))
    for number in range(int(90 * scale) + 5):  # New files, 27 MB of them at scale 1.
        size = int(10 ** random_.uniform(4, 6))
        with open(os.path.join(tree, f"today/new-{number}"), "wb") as file:
            file.write(random_.randbytes(size) if number % 2 else prose(random_, size // 6).encode())
    write_mails(os.path.join(tree, "inbox.mbox"), random_, int(2e6 * scale), "ab")
    with open(os.path.join(tree, "store.pst"), "r+b") as file:
        pages = os.path.getsize(os.path.join(tree, "store.pst")) // 4096
        for _ in range(max(1, int(500 * scale))):
            file.seek(random_.randrange(pages) * 4096)
            file.write(prose(random_, 700).encode()[:4096].ljust(4096, b"\0"))
    with sqlite3.connect(os.path.join(tree, "messages.sqlite")) as database:
        rows = database.execute("select count(*) from message").fetchone()[0]
        for _ in range(max(1, int(2_500 * scale))):
            database.execute("update message set key = ?, body = ? where id = ?",
                             (random_.randbytes(16).hex(), prose(random_, 50), random_.randrange(1, rows + 1)))
        database.executemany("insert into message (key, body) values (?, ?)",
                             ((random_.randbytes(16).hex(), prose(random_, 50)) for _ in range(int(500 * scale))))
    database.close()
    for number in range(max(1, int(20 * scale))):  # A document is written anew when it is saved.
        path = os.path.join(tree, f"documents/report-{number}.docx")
        with zipfile.ZipFile(path) as archive:
            text, picture = archive.read("word/document.xml"), archive.read("word/media/image1.png")
        half = len(text) // 2
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in (("[Content_Types].xml", b"<Types/>" * 40),
                               ("word/document.xml", text[:half] + prose(random_, 30).encode() + text[half:]),
                               ("word/media/image1.png", picture)):
                archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    for path in random_.sample(small, min(len(small), int(60 * scale) + 2)):
        with open(path, "ab") as file:
            file.write(prose(random_, 20).encode())
    for path in random_.sample(small, min(len(small), int(30 * scale) + 1)):
        os.rename(path, os.path.join(tree, "today", f"moved-{random_.randrange(1 << 30)}-{os.path.basename(path)}"))
    largest = sorted(entry.name for entry in os.scandir(tree) if entry.is_dir() and entry.name != "today")
    for name in largest[-2:]:
        os.rename(os.path.join(tree, name), os.path.join(tree, name + "-2026"))


def home(tree, cache, say):
    unpacked = fetch(cache, [package for group in HOME_PACKAGES.values() for package in group])
    materials = {folder: [unpacked[package] for package in packages] for folder, packages in HOME_PACKAGES.items()}
    kernel = kernel_source(cache)
    materials["sources"] = [os.path.join(kernel, name) for name in ("fs", "net")]
    fill_home(tree, 1.0, materials, say)


def next_home(tree, before, scale, say):
    verify.copy(before, tree)
    day_of_work(tree, scale, say)


# Many files.

def kernel_source(cache):
    folder = os.path.join(cache, "packages/kernel")
    if not os.path.isdir(folder):
        [archive] = glob.glob(os.path.join(fetch(cache, [KERNEL_SOURCE])[KERNEL_SOURCE], "usr/src/*.tar.xz"))
        os.makedirs(folder + ".partial", exist_ok=True)
        run(["tar", "-x", "--strip-components=1", "--no-same-owner", "-C", folder + ".partial", "-f", archive], 900)
        os.rename(folder + ".partial", folder)
    return folder


def many(tree, cache, say):
    say("many: three copies of a kernel's source")
    kernel = kernel_source(cache)
    os.makedirs(tree)
    for number in range(3):
        run(["cp", "-a", "--reflink=auto", kernel, os.path.join(tree, str(number))], 900)


# Quick ones.

QUICK_SCALE = 0.04


def quick_system(tree, _code, say, cache):
    say("A1: some of this machine's own files")
    os.rename(reference.small(os.path.join(cache, "packages"), 100, specimens=False), tree)


def quick_home(tree, cache, say):
    del cache
    fill_home(tree, QUICK_SCALE, {name: [path] for name, path in (
        ("manuals", "/usr/share/perl"), ("sources", "/usr/include/linux"), ("papers", "/usr/share/zoneinfo"))
        if os.path.isdir(path)}, say)


def quick_many(tree, cache, say):
    del cache
    say("many: 12,000 files")
    random_ = random.Random(47)
    for number in range(12_000):
        folder = os.path.join(tree, f"{number % 20:02}/{number % 600:03}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"file-{number}"), "w", encoding="ascii") as file:
            file.write(prose(random_, random_.randrange(10, 1500)))


def make(name, folder, quick, say):
    """The tree of that name in `folder`, made unless it is there. Returns its path."""
    tree, partial = os.path.join(folder, name), os.path.join(folder, name + ".partial")
    if os.path.isdir(tree):
        return tree
    os.makedirs(folder, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    code = reference.codename()
    if name == "A1":
        (quick_system if quick else system)(partial, code, say, folder)
    elif name == "A2" and quick:
        say("A2: the next version of A1")
        reference.next_version(make("A1", folder, quick, say), partial)
    elif name == "A2":
        upgraded(partial, make("A1", folder, quick, say), say)
    elif name == "A3":
        if quick or code not in NEXT_RELEASE:
            raise CorpusError("a release after this machine's own is no part of the quick trees" if quick else
                              f"no release after {code} is known")
        system(partial, NEXT_RELEASE[code], say, folder)
    elif name == "home0":
        (quick_home if quick else home)(partial, folder, say)
    elif name == "home1":
        next_home(partial, make("home0", folder, quick, say), QUICK_SCALE if quick else 1.0, say)
    elif name == "many":
        (quick_many if quick else many)(partial, folder, say)
    else:
        raise CorpusError(f"there is no tree '{name}': one of {', '.join(NAMES)}")
    os.rename(partial, tree)
    return tree


def default_folder(quick):
    return os.path.join(TOP, "build/bench", "corpus-quick" if quick else "corpus")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--corpus", help="where they are made (build/bench/corpus, or corpus-quick)")
    parser.add_argument("--quick", action="store_true", help="small trees, of this machine's own files")
    options = parser.parse_args()
    os.umask(0o022)
    code = 0
    for name in options.names or NAMES:
        try:
            tree = make(name, options.corpus or default_folder(options.quick), options.quick,
                        lambda text: print(text, file=sys.stderr, flush=True))
            print(tree)
        except (CorpusError, reference.ReferenceError, verify.VerifyError, subprocess.TimeoutExpired) as error:
            print(f"SKIP {name}: {error}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
