#!/usr/bin/env python3
"""The whole of Lamina on one machine: an origin, a thin line, a branch of devices. Every step is
checked by rsync, tar and the line's own counters. `./dev demo` builds first and then runs this.

Each check prints one line, "PASS name: figure" or "FAIL name: figure". Exit code 0: all passed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from checks import Checks, parse_rate, parse_time_ms, size_text  # noqa: E402
from fleet import Fleet, run_directory  # noqa: E402
from lab import Branch, Lab, LabError, Loopback, can_make_namespaces, wait_until  # noqa: E402
from processor import Processor  # noqa: E402

HEADERS = 66           # Ethernet 14, IP 20, TCP 32 with time stamps: what is not payload in a packet.
GOODPUT = 0.956        # (1514 - 66) / 1514: the share of a line that TCP payload can have.
BASE = "debian"


class Progress:
    """A live table on a terminal: one bar a device, and the line. Silent without a terminal."""

    def __init__(self, fleet, total, rate):
        self.fleet, self.total, self.rate = fleet, total, rate
        self.live = sys.stdout.isatty()
        self.lines = 0
        self.last = (time.monotonic(), fleet.net.counters())

    def __call__(self, records):
        if not self.live:
            return
        out = []
        for device in self.fleet.devices:
            record, status = records.get(device.id, {}), device.status()
            done = record.get("applied") and record.get("target") == record.get("applied")
            layers = status.get("layers", [])
            missing = sum(layer["missing_bytes"] for layer in layers)
            known = layers and all(layer["phase"] != "records" for layer in layers)
            share = 1.0 if done else 1 - min(1.0, missing / max(1, self.total)) if known else 0.0
            doing = "applied" if done else "applies" if known and not missing else \
                "fetches for the site" if status.get("holds_lease") else ""
            bar = "#" * int(share * 30)
            out.append(f"  device {device.number:<3} [{bar:<30}] {share:4.0%} {doing}")
        now, counters = time.monotonic(), self.fleet.net.counters()
        moved = counters - self.last[1]
        rate = moved.down_bytes * 8 / max(0.001, now - self.last[0])
        self.last = (now, counters)
        if self.fleet.net.shaped:
            out.append(f"  WAN line  {rate / 1e6:5.1f} of {self.rate / 1e6:.0f} Mbit/s, "
                       f"{size_text(counters.down_bytes)} so far")
        if self.lines:
            sys.stdout.write(f"\x1b[{self.lines}A")
        sys.stdout.write("".join(f"\x1b[2K{line}\n" for line in out))
        sys.stdout.flush()
        self.lines = len(out)


class Demo:
    def __init__(self, options, lab, net, checks):
        self.options, self.lab, self.net, self.checks = options, lab, net, checks
        self.fleet = Fleet(lab, net, options.build)
        self.figures = {}
        self.cache = os.path.join(os.path.abspath(options.build), "demo")

    def say(self, text):
        print(f"\n== {text}", flush=True)

    # Steps.

    def prepare_tree(self):
        if self.options.tree:
            self.tree = os.path.abspath(self.options.tree)
            if not os.path.isdir(self.tree):
                raise LabError(f"--tree {self.tree}: no such directory")
        elif self.options.quick or os.geteuid() != 0:
            self.tree = reference.small(self.cache)
        else:
            self.tree = reference.debian(self.cache, self.say)
        self.expected = self.expectation(self.tree, "1.0")
        entries, size = verify.census(self.expected)
        self.figures["tree_zstd3_bytes"] = verify.tar_zstd_bytes(self.expected)
        print(f"   the tree: {entries} entries, {size_text(size)} of content, "
              f"{size_text(self.figures['tree_zstd3_bytes'])} as tar | zstd -3")

    def expectation(self, tree, version):
        """The tree without what the factory rules leave out, copied by rsync with rules of its own."""
        target = os.path.join(self.lab.run_dir, f"expected-{version}")
        verify.copy(tree, target, verify.LAYER_FILTER + verify.sockets(tree))
        return target

    def start_origin(self):
        self.say("an origin: certificate authorities, keys, API, seeder")
        self.fleet.init_origin()
        self.fleet.start_origin()

    def capture(self):
        self.say("capture the tree as base layer 1.0")
        seconds, _, _ = self.fleet.capture(BASE, "1.0", self.tree)
        payload = self.fleet.download_bytes(BASE, "1.0")
        self.figures.update(payload_bytes=payload, capture_seconds=round(seconds, 2))
        ratio = payload / self.figures["tree_zstd3_bytes"]
        self.checks.check("payload against tar | zstd -3", ratio <= 1.10,
                          f"{ratio:.3f} ({size_text(payload)}, {seconds:.1f} s; at most 1.10)")

    def enrol(self):
        count = len(self.net.devices)
        self.say(f"enrol {count} devices with one batch token and one hardware UUID")
        self.fleet.cli("site", "add", "branch", "--subnet", self.net.SUBNET)
        token = self.fleet.token("branch-batch", count)
        for _ in range(count):
            device = self.fleet.add_device()
            device.give_identity()
            device.enroll(token)
        records = self.fleet.device_records()
        ids = {device.id for device in self.fleet.devices}
        pending = sum(1 for one in ids if records.get(one, {}).get("status") == "pending")
        self.checks.check("devices pending with ids of their own", len(ids) == count == pending,
                          f"{pending} of {count}")
        used_up = self.lab.run([self.fleet.program("node/lamina-node"), "enroll", "--origin", self.fleet.api,
                                "--ca-fingerprint", self.fleet.fingerprint, "--token", token, "--state",
                                os.path.join(self.lab.run_dir, "one-too-many"), "--volume", self.lab.run_dir],
                               self.net.devices[0], check=False)
        self.checks.check("a used-up token enrols nobody", used_up.code == 5, f"exit code {used_up.code}")
        for device in self.fleet.devices:
            self.fleet.cli("device", "assign", device.id, "--site", "branch")
            device.start()
        wait_until(lambda: all(device.status() for device in self.fleet.devices), 30, "the devices' processes")
        # Everybody has polled once, so that the measurement starts with a site at rest.
        wait_until(lambda: all(r.get("seen_ms") and r.get("lan_address") for r in self.fleet.device_records().values()),
                   30, "the devices' first poll")

    def roll_out(self, version, expected, payload, seconds):
        """Assigns a version, waits, verifies. Returns (line, last_device_seconds, apply_seconds, verified)."""
        before = self.net.counters()
        started = self.fleet.assign([f"{BASE}:{version}"])
        progress = Progress(self.fleet, payload, self.net.rate)
        self.fleet.wait_applied([f"{BASE}:{version}"], seconds, each=progress)
        line = self.net.counters() - before
        last = 0.0
        apply_seconds = 0.0
        for device in self.fleet.devices:
            complete = [t for t, _ in device.events("layer_complete") if t >= started - 2]
            applied = [t for t, _ in device.events("applied") if t >= started - 2]
            if complete and applied:
                last = max(last, max(complete) - started)
                apply_seconds = max(apply_seconds, max(applied) - max(complete))
        verified = 0
        for device in self.fleet.devices:
            # What users put there is no layer's: it stays, and no layer has it.
            differing = verify.differences(expected, device.volume, verify.LAYER_FILTER + device.own_filter)
            if differing:
                print(f"   {device.name} differs in {len(differing)} places, for example: {differing[0]}")
            verified += not differing and device.identity_kept()
        self.checks.check(f"{version} verified by rsync -aHAXnc --delete", verified == len(self.fleet.devices),
                          f"{verified} of {len(self.fleet.devices)} devices; their own host name, machine-id and fstab kept")
        return line, last, apply_seconds, verified

    def first_rollout(self):
        payload = self.figures["payload_bytes"]
        ideal = payload * 8 / (GOODPUT * self.net.rate)
        self.say(f"assign 1.0 to the branch ({ideal:.0f} s if the line were all payload)")
        processor = Processor()
        line, last, apply_seconds, verified = self.roll_out("1.0", self.expected, payload, 4 * ideal + 120)
        stolen = processor.shares()["cpu_stolen"]
        self.figures.update(
            wan_down_bytes=line.down_bytes, wan_down_packets=line.down_packets, wan_up_bytes=line.up_bytes,
            ideal_seconds=round(ideal, 2), last_device_seconds=round(last, 2), apply_seconds=round(apply_seconds, 2),
            devices_verified=verified)
        if self.net.shaped:
            ratio = (line.down_bytes - HEADERS * line.down_packets) / payload
            self.figures["wan_ratio"] = round(ratio, 4)
            self.checks.check("one copy over the line", ratio <= 1.03, f"wan_ratio {ratio:.4f} (at most 1.03)")
            # To find the seeder and to read the last pack back takes its second for any layer.
            slow = 1.20 if payload > 40e6 else 1.20 + 2 / ideal
            self.checks.check_time("time of the last device", 0 < last <= slow * ideal,
                                   f"{last:.1f} s, {last / ideal:.3f} of ideal (at most {slow:.2f})", stolen)
        else:
            self.checks.skip("one copy over the line", "no line on loopback")
            self.checks.skip("time of the last device", "no line on loopback")

    def synchronize(self, device, name):
        """One `lamina-node sync`, until the origin has it; returns the line's counters for it."""
        before = self.net.counters()
        device.command("sync", "--protected")
        time.sleep(0.3)  # What is still in the line's queue belongs to it.
        return self.net.counters() - before

    def deltas(self):
        device = self.fleet.devices[0]
        self.say(f"changes on {device.name}, and their way to the origin")
        big_bytes = (20 if self.options.quick else 100) * 1_000_000
        random_ = random.Random(3)
        folder = os.path.join(device.volume, "srv/data")
        os.makedirs(folder)
        device.own_filter = ["- /srv"]
        # Compressible, so that the preparation is quick; every chunk of it is different.
        big = os.path.join(folder, "big")
        with open(big, "wb") as file:
            for number in range(big_bytes // 1000):
                file.write((b"%012d " % number + random_.randbytes(12).hex().encode()) * 27)
            file.truncate(big_bytes)
        with open(os.path.join(folder, "small"), "wb") as file:
            file.write(random_.randbytes(5000))
        first = self.synchronize(device, "first")
        print(f"   first snapshot: {size_text(first.up_bytes)} up for {size_text(big_bytes)} of new data "
              "(the layers' content is at the origin already)")

        new_bytes = 10_000_000
        for number in range(10):
            with open(os.path.join(folder, f"new-{number}"), "wb") as file:
                file.write(random_.randbytes(new_bytes // 10))
        line = self.synchronize(device, "new files")
        self.figures.update(delta_changed_bytes=new_bytes, delta_wan_up_bytes=line.up_bytes)
        self.on_line("delta of 10 MB new files", line.up_bytes <= 1.06 * new_bytes,
                     f"{line.up_bytes / new_bytes:.4f} of it on the line (at most 1.06)")

        with open(big, "r+b") as file:
            file.seek(big_bytes // 2)
            file.write(b"!")
        line = self.synchronize(device, "one byte")
        total = line.up_bytes + line.down_bytes
        self.figures["delta_byte_in_big_file_bytes"] = total
        self.on_line(f"one byte changed in a file of {size_text(big_bytes)}", total <= 600_000,
                     f"{total} bytes both ways (at most 600000)")

        with open(os.path.join(folder, "small"), "r+b") as file:
            file.seek(100)
            file.write(b"!")
        line = self.synchronize(device, "small")
        total = line.up_bytes + line.down_bytes
        self.figures["delta_byte_in_small_file_bytes"] = total
        self.on_line("one byte changed in a small file", total <= 65_536, f"{total} bytes both ways (at most 65536)")

    def on_line(self, name, holds, figure):
        if self.net.shaped:
            self.checks.check(name, holds, figure)
        else:
            self.checks.skip(name, "no line on loopback")

    def restore(self):
        device = self.fleet.devices[0]
        self.say(f"restore a deleted file, and the whole of {device.name}")
        snapshots = self.fleet.cli_json("cvd", "snapshots", device.id)
        self.checks.check("snapshots in the CVD", len(snapshots) >= 4, f"{len(snapshots)}")
        lost = "srv/data/new-3"
        with open(os.path.join(device.volume, lost), "rb") as file:
            content = file.read()
        os.unlink(os.path.join(device.volume, lost))
        one = os.path.join(self.lab.run_dir, "restored-file")
        self.fleet.cli("cvd", "restore", device.id, "--path", lost, "--to", one, name="lamina-restore")
        found = [os.path.join(f, n) for f, _, names in os.walk(one) for n in names]
        same = len(found) == 1 and open(found[0], "rb").read() == content
        self.checks.check("a deleted file restored", same, f"{len(found)} file of {len(content)} bytes")
        if found:
            shutil.copy2(found[0], os.path.join(device.volume, lost))

        whole = os.path.join(self.lab.run_dir, "restored-device")
        begun = time.monotonic()
        self.fleet.cli("cvd", "restore", device.id, "--to", whole, seconds=600, name="lamina-restore")
        seconds = time.monotonic() - begun
        rules = verify.SNAPSHOT_FILTER + verify.sockets(device.volume)
        differing = [line for line in verify.differences(device.volume, whole, rules)
                     # The file that was deleted and put back, and its directory, have new times.
                     if not line.endswith((" " + lost, " srv/data/"))]
        for line in differing[:3]:
            print("   differs:", line)
        self.figures["restore_verified"] = same and not differing
        self.checks.check("a whole device restored, verified by rsync", not differing,
                          f"{verify.census(whole)[0]} entries in {seconds:.1f} s")

    def update(self):
        self.say("version 1.1: some directories rebuilt, files added, removed and renamed")
        tree = os.path.join(self.lab.run_dir, "tree-1.1")
        changed = reference.next_version(self.tree, tree)
        expected = self.expectation(tree, "1.1")
        changed_zstd = verify.tar_zstd_bytes(tree, 3, changed)
        seconds, _, _ = self.fleet.capture(BASE, "1.1", tree)
        payload = self.fleet.download_bytes(BASE, "1.1", "1.0")
        print(f"   {len(changed)} files changed, {size_text(changed_zstd)} as tar | zstd -3; "
              f"{size_text(payload)} to fetch after {seconds:.1f} s")
        line, last, apply_seconds, verified = self.roll_out("1.1", expected, payload, 180)
        self.figures.update(update_payload_bytes=payload, update_wan_bytes=line.down_bytes,
                            update_changed_zstd3_bytes=changed_zstd, update_last_device_seconds=round(last, 2),
                            update_apply_seconds=round(apply_seconds, 2), update_devices_verified=verified)
        ratio = line.down_bytes / changed_zstd
        # Polls, certificates and records are the same hundred kilobytes or two for any update.
        bound = 1.10 if changed_zstd > 2.5e6 else 1.10 + 0.3e6 / changed_zstd
        self.on_line("update against the compressed changed files", ratio <= bound,
                     f"{ratio:.3f} ({size_text(line.down_bytes)} down; at most {bound:.2f})")

    def memory(self):
        peaks = {name: peak for name, peak in self.lab.peak_rss().items()
                 if name.startswith(("origin", "node", "worker", "lamina"))}
        self.figures["peak_rss_bytes"] = peaks
        worst = max(peaks, key=peaks.get)
        self.checks.check("peak memory of every program", peaks[worst] <= 200 << 20,
                          f"{worst} {peaks[worst] >> 20} MiB (at most 200)")

    def run(self):
        steps = [self.prepare_tree, self.start_origin, self.capture, self.enrol, self.first_rollout, self.deltas,
                 self.restore, self.update, self.memory]
        for step in steps:
            begun = time.monotonic()
            step()
            self.figures.setdefault("step_seconds", {})[step.__name__] = round(time.monotonic() - begun, 2)


def table(figures):
    rows = [
        ("payload of 1.0", size_text(figures.get("payload_bytes"))),
        ("the tree as tar | zstd -3", size_text(figures.get("tree_zstd3_bytes"))),
        ("down the line", size_text(figures.get("wan_down_bytes"))),
        ("wan_ratio (without headers)", figures.get("wan_ratio")),
        ("last device / ideal", f"{figures.get('last_device_seconds')} s / {figures.get('ideal_seconds')} s"),
        ("apply", f"{figures.get('apply_seconds')} s"),
        ("devices verified", figures.get("devices_verified")),
        ("delta of 10 MB, up the line", size_text(figures.get("delta_wan_up_bytes"))),
        ("1 byte in the big / small file", f"{figures.get('delta_byte_in_big_file_bytes')} / "
                                           f"{figures.get('delta_byte_in_small_file_bytes')} bytes"),
        ("restore verified", figures.get("restore_verified")),
        ("update: changed as zstd -3 / down", f"{size_text(figures.get('update_changed_zstd3_bytes'))} / "
                                              f"{size_text(figures.get('update_wan_bytes'))}"),
    ]
    rows += [(f"peak memory, {name}", size_text(peak)) for name, peak in figures.get("peak_rss_bytes", {}).items()]
    print()
    for name, value in rows:
        print(f"  {name:<36} {value}")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tree", help="any other directory than the Debian base system")
    parser.add_argument("--wan", default="20Mbit", help="rate of the line (20Mbit)")
    parser.add_argument("--rtt", default="30ms", help="round trip of the line (30ms)")
    parser.add_argument("--devices", type=int, help="devices of the branch (8; 4 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a small tree; under two minutes")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep volumes, states and logs")
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        rate, rtt = parse_rate(options.wan), parse_time_ms(options.rtt)
    except ValueError as error:
        parser.error(str(error))
    count = options.devices or (4 if options.quick else 8)
    if not 1 <= count <= 200:
        parser.error("--devices: between 1 and 200")
    # Seeds and workers inherit the umask: trees are made as they are told.
    os.umask(0o022)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    checks = Checks()
    run_dir = run_directory(options.build, "demo")
    reason = can_make_namespaces()
    failed = None
    with Lab(run_dir) as lab:
        if reason:
            print(f"No network namespaces here ({reason}): everything runs on loopback. Not shown: the line (wan_*, "
                  "delta sizes, times), one device's isolation from another"
                  + (", owners of files and the split of privileges" if os.geteuid() != 0 else "") + ".")
            net = Loopback(count, rate, rtt)
        else:
            net = Branch(lab, options.build, count, rate, rtt)
            print(f"{count} devices behind {rate / 1e6:g} Mbit/s with {rtt:g} ms; logs in {run_dir}/log")
        demo = Demo(options, lab, net, checks)
        try:
            demo.run()
        except (LabError, verify.VerifyError, reference.ReferenceError, KeyError, OSError) as error:
            failed = f"{type(error).__name__}: {error}"
            checks.check("the demo runs to its end", False, failed)
            for process in lab.processes:
                print(f"--- {process.name}\n{process.tail(6)}", file=sys.stderr)
    table(demo.figures)
    print("\n  Left out of layers and untouched by applies (the devices' own): " +
          " ".join(rule for rule in verify.IDENTITY[3:] if "*" not in rule)[:200] + " ... (tests/support/verify.py)")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**demo.figures, "wan_bits_per_second": rate, "rtt_ms": rtt, "devices": count,
                       "checks": checks.results}, file, indent=2)
            file.write("\n")
    if not options.keep and not checks.failed:
        shutil.rmtree(run_dir, ignore_errors=True)
    else:
        print(f"  logs and data: {run_dir}")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
