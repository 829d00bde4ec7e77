#!/usr/bin/env python3
"""Images become layers: laid out beside what other programs unpack, then through a real origin.

usage: import_test.py LAMINA_ORIGIN LAMINA LAY_OUT     One PASS, FAIL or SKIP line a check.

The images are made here, by GNU tar. They are unpacked three times: by LAY_OUT, which goes through the
layers that an import publishes; by the rules of the OCI specification, in Python around GNU tar; and by
umoci, where it is installed. Owners, devices and most attributes need root: without it they are not compared.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from checks import Checks  # noqa: E402
from origin_on_loopback import OriginOnLoopback, run  # noqa: E402

ORIGIN, LAMINA, LAY_OUT = sys.argv[1:4]
ROOT = os.geteuid() == 0
checks = Checks()
check = checks.check


def write(path, text="", mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def tar(tree, *names):
    """A layer: what is in the tree, or the named paths of it, as GNU tar writes it."""
    done = subprocess.run(["tar", "-C", tree, "--format=posix", "--pax-option=delete=atime,delete=ctime", "--xattrs",
                           "--acls", "--sparse", "--sort=name", "-c", *(names or ["."])],
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make_layers(top):
    """The layers of an image, the lowest first, as (bytes of a tar file, directory it was made of)."""
    layers = []

    def layer():
        layers.append(f"{top}/layer{len(layers)}")
        os.makedirs(layers[-1])
        return layers[-1]

    base = layer()
    shutil.copy("/etc/os-release", write_dir(base, "etc") + "/os-release")
    write(base + "/etc/passwd", "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n")
    write(base + "/etc/group", "root:x:0:\ndaemon:x:1:\n")
    shutil.copy("/bin/dash", write_dir(base, "usr/bin") + "/dash")
    os.symlink("dash", base + "/usr/bin/sh")
    os.symlink("usr/bin", base + "/bin")
    write(base + "/usr/bin/tool", "#!/bin/sh\n", 0o4755)
    os.link(base + "/usr/bin/tool", base + "/usr/bin/alias")
    write(base + "/usr/share/doc/a/readme", "a" * 300000)
    write(base + "/usr/share/doc/b/readme", "b")
    write(base + "/opt/old/data/file", "goes by an opaque directory")
    write(base + "/opt/old/keep/file", "likewise")
    write(base + "/srv/becomes-a-file/x", "x")
    write(base + "/srv/becomes-a-directory", "x")
    write(base + "/usr/lib/caf\u00e9 name", "a name that is not ASCII")
    os.mkfifo(base + "/srv/pipe")
    with open(base + "/srv/sparse", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"in the middle")
    if ROOT:
        os.chown(base + "/usr/share/doc/b/readme", 1, 1)
        os.setxattr(base + "/usr/share/doc/b/readme", "user.note", b"\x00\xff bytes")
        run("setcap", "cap_net_raw+ep", base + "/usr/bin/dash")
        run("setfacl", "-m", "u:daemon:r,g:daemon:rx", base + "/usr/share/doc/a/readme")
        run("setfacl", "-d", "-m", "u:daemon:rx", base + "/usr/share/doc")

    second = layer()
    write(second + "/usr/bin/.wh.alias")
    write(second + "/usr/share/doc/.wh.b")
    write(second + "/opt/old/.wh..wh..opq")
    write(second + "/opt/old/new/file", "in the opaque directory")
    write(second + "/srv/becomes-a-file", "it did")
    write(second + "/srv/becomes-a-directory/x", "it did")
    write(second + "/usr/share/doc/a/readme", "a" * 299999 + "b")

    third = layer()
    write(third + "/usr/share/doc/b/readme", "it is back")
    os.link(third + "/usr/share/doc/b/readme", third + "/usr/share/doc/b/again")
    write(third + "/srv/becomes-a-directory/.wh.x")
    os.chmod(write_dir(third, "srv"), 0o700)

    # Everything has a time of its own, so that times are compared.
    for index, tree in enumerate(layers):
        for count, (folder, _, names) in enumerate(os.walk(tree, topdown=False)):
            for name in sorted(names) + ["."]:
                os.utime(os.path.join(folder, name), ns=(0, (1600000000 + 1000 * index + count) * 10**9 + 500),
                         follow_symlinks=False)
    return [(tar(tree), tree) for tree in layers]


def write_dir(top, path):
    os.makedirs(f"{top}/{path}", exist_ok=True)
    return f"{top}/{path}"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def oci_layout(top, layers, coders):
    """An image layout of the tar files, each compressed by its coder."""
    os.makedirs(top + "/blobs/sha256")

    def blob(data):
        with open(f"{top}/blobs/sha256/{digest(data)[7:]}", "wb") as file:
            file.write(data)
        return {"digest": digest(data), "size": len(data)}

    code = {"": lambda data: data, "gzip": gzip.compress,
            "zstd": lambda data: subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout}
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar" + ("+" + coder if coder else ""),
                    **blob(code[coder](layer))} for layer, coder in zip(layers, coders)]}
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode()),
         "annotations": {"org.opencontainers.image.ref.name": "latest"},
         "platform": {"architecture": "amd64", "os": "linux"}}]}
    write(top + "/oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))
    write(top + "/index.json", json.dumps(index))


def docker_archive(path, layers):
    """What `docker save` writes: a tar file of tar files."""
    with tempfile.TemporaryDirectory() as top:
        config = json.dumps({"os": "linux", "architecture": "amd64",
                             "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}})
        name = digest(config.encode())[7:] + ".json"
        write(f"{top}/{name}", config)
        names = []
        for layer in layers:
            names.append(f"{digest(layer)[7:]}/layer.tar")
            with open(write_dir(top, digest(layer)[7:]) + "/layer.tar", "wb") as file:
                file.write(layer)
        write(top + "/manifest.json", json.dumps([{"Config": name, "RepoTags": ["test:1"], "Layers": names}]))
        check_call("tar", "-C", top, "--sort=name", "-cf", path, *sorted(os.listdir(top)))


def check_call(*args):
    done = run(*args)
    assert done.returncode == 0, done.stderr


def unpack(layers, to):
    """The specification's rules, one layer after the other: first what is removed, then what is added."""
    os.makedirs(to)
    for data, _ in layers:
        names = subprocess.run(["tar", "-t"], input=data, capture_output=True, check=True).stdout.decode().splitlines()
        for name in names:
            folder, base = os.path.split(name.rstrip("/"))
            if base == ".wh..wh..opq":
                for inside in os.listdir(f"{to}/{folder}"):
                    remove(f"{to}/{folder}/{inside}")
            elif base.startswith(".wh."):
                remove(f"{to}/{folder}/{base[4:]}")
        for name in names:
            here = f"{to}/{name.rstrip('/')}"
            # GNU tar replaces files by itself, directories only by files that it is told of.
            if os.path.lexists(here) and os.path.isdir(here) != name.endswith("/") and not os.path.islink(here):
                remove(here)
        subprocess.run(["tar", "-C", to, "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
                        "--same-permissions", "--exclude=.wh.*", "-x"], input=data, check=True, timeout=60)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def describe(tree):
    """Every path with everything that is said of it. Hard links by the first of their names."""
    found, first = {}, {}
    for folder, folders, names in os.walk(tree):
        for name in folders + names + (["."] if folder == tree else []):
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            said = {"mode": facts.st_mode, "time": facts.st_mtime_ns}
            if ROOT:
                said["owner"] = (facts.st_uid, facts.st_gid)
                said["attributes"] = {a: os.getxattr(path, a, follow_symlinks=False)
                                      for a in os.listxattr(path, follow_symlinks=False)}
            if os.path.islink(path):
                said["target"] = os.readlink(path)
                del said["mode"]
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    said["content"] = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, tree)] = (facts, said)
    for path in sorted(found):
        facts, said = found[path]
        if facts.st_nlink > 1 and not os.path.isdir(os.path.join(tree, path)):
            said["links"] = first.setdefault(facts.st_ino, path)
    return {path: said for path, (_, said) in found.items()}


def compare(name, expected, actual):
    wrong = [f"{path}: {expected.get(path)} is {actual.get(path)}" for path in sorted(expected.keys() | actual.keys())
             if expected.get(path) != actual.get(path)]
    check(name, not wrong, f"{len(expected)} entries" if not wrong else "; ".join(wrong[:3]))


def compare_with_others(top):
    layers = make_layers(top)
    tars = [data for data, _ in layers]
    oci_layout(top + "/oci", tars, ["gzip", "zstd", ""])
    docker_archive(top + "/docker.tar", tars)
    oci_layout(top + "/gzipped", tars, ["gzip", "gzip", "gzip"])
    check_call("tar", "-C", top + "/gzipped", "-cf", top + "/oci.tar", ".")
    unpack(layers, top + "/expected")
    expected = describe(top + "/expected")
    for name in ("oci", "oci.tar", "docker.tar"):
        for squash in ((), ("--squash",)):
            out = f"{top}/out-{name}{len(squash)}"
            done = run(LAY_OUT, f"{top}/{name}", out, *squash)
            what = f"{name}, {'squashed' if squash else 'layer by layer'}, is what GNU tar and the rules unpack"
            if done.returncode != 0:
                check(what, False, done.stderr)
            else:
                compare(what, expected, describe(out))
    with open(top + "/plain.tar.gz", "wb") as file:
        file.write(gzip.compress(tars[0]))
    check_call(LAY_OUT, top + "/plain.tar.gz", top + "/out-plain")
    unpack(layers[:1], top + "/expected-plain")
    compare("a compressed tar file is what GNU tar unpacks", describe(top + "/expected-plain"),
            describe(top + "/out-plain"))
    if not ROOT or shutil.which("umoci") is None:
        checks.skip("the image is what umoci unpacks", "umoci is not installed" if ROOT else "needs root")
        return top
    done = run("umoci", "raw", "unpack", "--image", top + "/gzipped:latest", top + "/umoci")
    if done.returncode != 0:
        check("umoci unpacks the image", False, done.stderr)
    else:
        compare("the image is what umoci unpacks", without_acl(describe(top + "/umoci")), without_acl(describe(top + "/out-oci0")))
    return top


def without_acl(tree):
    """umoci 0.4 knows no SCHILY.acl: neither the ACLs nor, with a mask, the group's bits are compared."""
    for said in tree.values():
        if "attributes" in said:
            said["attributes"] = {k: v for k, v in said["attributes"].items() if not k.startswith("system.posix_acl")}
    return tree


def through_the_origin(top):
    with OriginOnLoopback(ORIGIN, LAMINA, top + "/origin") as origin:
        def take(source, name, *more):
            return origin.lamina("layer", "import", f"{top}/{source}", "--name", name, "--key",
                                 origin.data + "/keys/publisher.key", *more)

        def names():
            return [json.loads(line)["name"] + ":" + json.loads(line)["version"]
                    for line in origin.lamina("--json", "layer", "ls").stdout.splitlines()]

        checks_of_the_origin(top, origin.lamina, take, names)


def checks_of_the_origin(top, lamina, take, names):
    tried = take("oci", "image", "--dry-run", "--json")
    rows = [json.loads(line) for line in tried.stdout.splitlines()]
    check("a dry run says which layers it would be, and sends none",
          [row["name"] for row in rows] == ["image", "image-2", "image-3"] and names() == [], tried.stderr)
    check("and counts removals", rows[1]["whiteouts"] == 4, rows[1])
    done = take("oci", "image")
    check("each layer of an image becomes one", done.returncode == 0 and
          names() == ["image:1", "image-2:1", "image-3:1"], done.stderr or names())
    for layer in names():
        verified = lamina("layer", "verify", layer)
        check(f"{layer} is whole", verified.returncode == 0, verified.stderr)
    done = take("docker.tar", "image", "--squash")
    check("the next version has its number by itself", done.returncode == 0 and "image:2" in names(), done.stderr)
    check("and is whole", lamina("layer", "verify", "image:2").returncode == 0)
    shown = json.loads(lamina("--json", "layer", "show", "image:2").stdout)
    system = dict(line.strip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    check("an image's system is read from its own files",
          (shown["distribution"], shown["architecture"]) == (system["ID"].strip('"'), os.uname().machine), shown)
    check("a tar file is a layer", take("plain.tar.gz", "plain").returncode == 0)
    refused = take("none.tar", "x")
    check("a missing file is one line, code 3", refused.returncode == 3 and refused.stderr.count("\n") == 1, refused.stderr)
    with open(f"{top}/broken.tar", "wb") as file:
        file.write(open(f"{top}/docker.tar", "rb").read()[:300000])
    refused = take("broken.tar", "x", "--form", "docker")
    check("a truncated image is corrupt, in one line, code 6",
          refused.returncode == 6 and refused.stderr.count("\n") == 1, refused.stderr)
    check("an unknown form is refused", take("oci", "x", "--form", "zip").returncode == 2)
    check("another release than the base is refused with both named",
          refuses(lamina, take, "--release", "7", "release"))
    check("another machine than the base is refused with both named",
          refuses(lamina, take, "--architecture", "vax", "architecture"))


def refuses(lamina, take, option, value, what):
    name = "other-" + what
    done = take("plain.tar.gz", name, "--kind", "app", option, value)
    assert done.returncode == 0, done.stderr
    run_site = lamina("site", "add", "s-" + what)
    assert run_site.returncode == 0, run_site.stderr
    answer = lamina("assign", "--site", "s-" + what, "--layers", f"plain:1,{name}:1")
    base = json.loads(lamina("--json", "layer", "show", "plain:1").stdout)
    print(f"NOTE assigning {name}: {answer.stderr.strip()}", flush=True)
    return answer.returncode == 5 and f"'{value}'" in answer.stderr and f"'{base[what]}'" in answer.stderr


def main():
    if not ROOT:
        checks.skip("owners, capabilities and ACLs are compared", "needs root")
    with tempfile.TemporaryDirectory(prefix="lamina-import-") as top:
        compare_with_others(top)
        through_the_origin(top)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
