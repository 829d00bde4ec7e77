#!/usr/bin/env python3
"""Driver layers by what machines are made of, on loopback: real nodes that read made sysfs trees.

usage: drivers_test.py LAMINA_ORIGIN LAMINA LAMINA_NODE     One PASS or FAIL line a check; exit code 1 if any failed.
"""

import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from checks import Checks  # noqa: E402
from node_on_loopback import user_is_missing  # noqa: E402
from one_device import OneDevice, scratch, write  # noqa: E402

PROGRAMS = sys.argv[1:4]
PATIENCE = 120
checks = Checks()
check = checks.check


def has(volume, path):
    return os.path.exists(f"{volume}/{path}")


def make_sys(place, product, slots):
    write(place + "/class/dmi/id/product_name", product + "\n")
    for number, (vendor, device) in enumerate(slots):
        slot = f"{place}/bus/pci/devices/0000:00:{number:02x}.0"
        for name, value in (("vendor", vendor), ("device", device), ("subsystem_vendor", "1028"),
                            ("subsystem_device", "0a21"), ("class", "030000")):
            write(f"{slot}/{name}", f"0x{value}\n")


def main():
    if user_is_missing():
        return 77
    with scratch("drivers") as (top, running):
        scenario(top, running)
    return checks.summary()


def scenario(top, running):
    bench = OneDevice(PROGRAMS, top, running)
    told, lamina = bench.told, bench.lamina

    def capture(name, version, kind, files):
        tree = f"{top}/tree-{name}-{version}"
        for path, text in files.items():
            write(f"{tree}/{path}", text)
        os.makedirs(tree + "/etc", exist_ok=True)
        shutil.copy("/etc/os-release", tree + "/etc")
        os.makedirs(tree + "/bin", exist_ok=True)
        shutil.copy(os.path.realpath("/bin/sh"), tree + "/bin/sh")
        bench.capture_tree(name, version, tree, "--kind", kind)

    capture("debian", "1", "base", {"etc/conf": "base\n"})
    capture("office", "1", "app", {"opt/office": "1\n"})
    capture("nvidia", "535", "driver", {"usr/lib/nvidia": "535\n"})
    capture("dock", "2", "driver", {"usr/lib/dock": "2\n"})
    bench.seed()
    machines = {}
    for name, product, slots in (("laptop", "Latitude 5420", [("10de", "1f9d"), ("8086", "15fc")]),
                                 ("till", "T-100", [("8086", "15fc")])):
        make_sys(f"{top}/{name}/sys", product, slots)
        machines[name] = bench.node(f"{top}/{name}", ["--hardware-from", f"{top}/{name}/sys"])
        machines[name].start(running)
    shown = {}
    for line in told("--json", "device", "ls").splitlines():
        device = json.loads(line)
        product = device["hardware"]["dmi"]["product_name"]
        shown["laptop" if product == "Latitude 5420" else "till"] = device
    check("devices say what they are made of", shown["laptop"]["hardware"]["pci"] ==
          ["10de:1f9d/1028:0a21/030000", "8086:15fc/1028:0a21/030000"], shown["laptop"]["hardware"])
    laptop, till = (shown[name]["id"] for name in ("laptop", "till"))

    done = lamina("driver", "set", "office:1", "--where", "pci = 10de:*")
    check("a layer of another kind gets no rule", done.returncode == 5 and "--kind driver" in done.stderr, done.stderr)
    done = lamina("driver", "set", "nvidia:535", "--where", "gpu = 10de")
    check("a fact that there is none of is named", done.returncode == 2 and "pci" in done.stderr, done.stderr)
    done = lamina("driver", "set", "nvidia:535", "--where", "pci = 10de:*", "--dry-run")
    check("a rehearsed rule is none", done.returncode == 0 and not json.loads(
        told("driver", "ls", "--json"))["rules"], done.stderr)
    told("driver", "set", "nvidia:535", "--where", "pci = 10de:*")

    rehearsed = [json.loads(line) for line in told("assign", "--site", "north", "--layers", "debian:1,office:1",
                                                   "--dry-run", "--json").splitlines()]
    to = {row["device"]: row["to"] for row in rehearsed if "device" in row}
    check("the rehearsal names the driver layers of each device",
          to == {laptop: ["debian:1", "nvidia:535", "office:1"], till: ["debian:1", "office:1"]}, to)
    told("assign", "--site", "north", "--layers", "debian:1,office:1")
    for machine in machines.values():
        machine.node.wait_for(" applied ", seconds=PATIENCE)
    volumes = {name: machine.volume for name, machine in machines.items()}
    check("the machine that it is for has it, the other one has not",
          has(volumes["laptop"], "usr/lib/nvidia") and not has(volumes["till"], "usr/lib/nvidia") and
          all(has(volume, "opt/office") for volume in volumes.values()))
    done = lamina("assign", "--device", till, "--add", "nvidia:535")
    check("nobody gets it by name", done.returncode == 5 and "by its rule" in done.stderr, done.stderr)
    done = lamina("layer", "rm", "nvidia:535")
    check("it is not removed", done.returncode == 5 and "nvidia:535" in done.stderr, done.stderr)

    told("driver", "set", "dock:2", "--where", "dmi.product_name = 'Latitude 5*' or pci = 8086:15fc/*", "--order", "1")
    due = {row["device"]: row for row in map(json.loads, told("driver", "preview", "--site", "north",
                                                              "--json").splitlines())}
    check("the preview says who is due",
          due[laptop]["due"] and due[laptop]["gets"] == ["nvidia:535", "dock:2"] and due[till]["due"] and
          due[till]["gets"] == ["dock:2"] and due[till]["other_machine"] == ["nvidia:535"], due)
    said = told("driver", "apply", "--device", till, "--dry-run")
    check("applying it is rehearsed with what it does", "debian:1,dock:2,office:1" in said, said)
    places = {name: machine.node.here() for name, machine in machines.items()}
    said = told("driver", "apply", "--site", "north")
    check("both are due", said.startswith("2 devices get"), said)
    for name, machine in machines.items():
        machine.node.wait_for(" applied ", after=places[name], seconds=PATIENCE)
    check("both have it now", all(has(volume, "usr/lib/dock") for volume in volumes.values()))
    said = told("driver", "apply", "--site", "north")
    check("who has what the rules say is left alone", said.startswith("0 devices get"), said)

    # The card is taken out: the layer leaves with the next assignment.
    machine = machines["laptop"]
    machine.stop()
    shutil.rmtree(f"{top}/laptop/sys")
    make_sys(f"{top}/laptop/sys", "Latitude 5420", [("8086", "15fc")])
    machine.start(running)
    at = machine.node.here()
    said = told("driver", "apply", "--site", "north")
    check("another card: one is due", said.startswith("1 device gets"), said)
    machine.node.wait_for(" applied ", after=at, seconds=PATIENCE)
    check("the layer left as cleanly as it came",
          not has(volumes["laptop"], "usr/lib/nvidia") and has(volumes["laptop"], "usr/lib/dock"))
    told("driver", "rm", "nvidia")
    told("layer", "rm", "nvidia:535")
    actions = [json.loads(line)["action"] for line in told("audit", "ls", "--json").splitlines()]
    check("the audit log has it", actions.count("driver.set") == 2 and "driver.remove" in actions, actions)


if __name__ == "__main__":
    sys.exit(main())
