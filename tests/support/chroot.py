"""Programs of a tree that is a whole system, run in it as root, in a mount namespace of their own: nothing stays
mounted however they end."""

import os
import shutil
import subprocess

import packages
import reference

# $1 the tree, $2 "changes" or "scratch" (what is written goes to memory, and is gone afterwards), $3 what apt has in
# common for all trees, $4 "network" or "alone", $5 the script.
ENTER = r"""
set -e
tree=$1
mount --make-rprivate /
if [ "$2" = scratch ]; then
  mkdir -p "$3/scratch"
  mount -t tmpfs tmpfs "$3/scratch"
  mkdir "$3/scratch/upper" "$3/scratch/work" "$3/scratch/root"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/scratch/upper,workdir=$3/scratch/work" "$3/scratch/root"
  tree=$3/scratch/root
fi
cd "$tree"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
chmod 1777 tmp
mkdir run/apt run/lock
mount --bind "$3/lists" var/lib/apt/lists
mount --bind "$3/archives" var/cache/apt/archives
cp -r "$3/etc" run/apt/etc
if [ "$4" = network ]; then cp "$3/resolv.conf" run/resolv.conf; else ip link set lo up; fi
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root APT_CONFIG=/run/apt/etc/apt.conf
exec chroot . sh -ec "$5"
"""

# Said first by those that install something: no service starts, and names are found.
INSTALLING = r"""
had=; [ ! -e /etc/resolv.conf ] || had=1
[ -n "$had" ] || cp /run/resolv.conf /etc/resolv.conf
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
"""
INSTALLED = r"""
rm -f /usr/sbin/policy-rc.d /var/cache/apt/*.bin
[ -n "$had" ] || rm -f /etc/resolv.conf
"""


class Chroot:
    """What apt has in common for all trees stands in `shared`: sources, lists and packages, fetched once."""

    def __init__(self, shared):
        self.shared = os.path.abspath(shared)
        for name in ("lists/partial", "archives/partial", "etc/parts", "scratch"):
            os.makedirs(os.path.join(self.shared, name), exist_ok=True)
        code = reference.codename()
        pockets = packages.sources(code, [code, code + "-updates", code + "-security"])
        self._write("etc/sources.list", "".join(line + "\n" for line in pockets))
        parts = ["Dir::Etc::sourcelist \"/run/apt/etc/sources.list\";", "Dir::Etc::sourceparts \"/nowhere\";",
                 "APT::Install-Recommends \"0\";", "APT::Keep-Downloaded-Packages \"1\";",
                 "Binary::apt-get::APT::Keep-Downloaded-Packages \"1\";", "APT::Sandbox::User \"root\";",
                 "Dir::Cache::pkgcache \"\";", "Dir::Cache::srcpkgcache \"\";"]
        for path in packages.acquire_options():
            with open(path, encoding="utf-8") as file:
                parts.append(file.read())
        self._write("etc/apt.conf", "\n".join(parts) + "\n")
        shutil.copy("/etc/resolv.conf", os.path.join(self.shared, "resolv.conf"))

    def _write(self, name, text):
        with open(os.path.join(self.shared, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, tree, script, scratch=True, network=False, seconds=600):
        """Both streams of a script in the tree, and its exit code; what it changes there is gone afterwards, unless
        `scratch` is false."""
        namespaces = ["--mount"] if network else ["--mount", "--net"]
        done = subprocess.run(["unshare", *namespaces, "sh", "-c", ENTER, "enter", os.path.abspath(tree),
                               "scratch" if scratch else "changes", self.shared, "network" if network else "alone",
                               script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=seconds, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def must(self, tree, script, **options):
        code, said = self.run(tree, script, **options)
        if code != 0:
            raise reference.ReferenceError(f"in {os.path.basename(tree)}: exit code {code}: {said.strip()[-800:]}")
        return said

    def update(self, tree):
        self.must(tree, INSTALLING + "apt-get update -q" + INSTALLED, network=True)

    def install(self, tree, names, more="", scratch=False):
        """Installs packages; `more` is done after it."""
        return self.must(tree, INSTALLING + f"apt-get install -qy {' '.join(names)}\n{more}" + INSTALLED,
                         scratch=scratch, network=True)
