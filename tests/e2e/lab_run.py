#!/usr/bin/env python3
"""Real daemons behind a shaped line, with faults, as a scenario file says. `./dev lab` builds first.

A scenario is a TOML file (tests/e2e/scenarios/; README.md there says what stands in it). One run captures a layer,
assigns it, injects the faults as the payload comes over the line, brings everybody back and compares every volume
with rsync. Bytes are read on the routers. Each check prints "PASS name: figure" or "FAIL ...".
"""

import argparse
import contextlib
import datetime
import glob
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reference  # noqa: E402
import verify  # noqa: E402
from checks import Checks, parse_rate, parse_time_ms, size_text  # noqa: E402
from faults import Faults  # noqa: E402
from fleet import SWARM_PORT, run_directory  # noqa: E402
from lab import Branch, Counters, Lab, LabError, can_make_namespaces, wait_until  # noqa: E402
from processor import Processor  # noqa: E402
from scenario import BASE, Stage  # noqa: E402
from scenario_file import ScenarioError, load  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")
HEADERS = 66      # Of a packet: Ethernet, IP, TCP with time stamps.
SEGMENT = 1448    # Bytes of payload in a full one.
GOODPUT = 0.956   # What of a line's rate such packets leave to the payload.
PIECE = 256 * 1024
SECOND, FORMER = "second", "former"


def make_tree(tree, megabytes, seed=7):
    """A tree that compresses to a little more than `megabytes`: noise for the most part, and text."""
    random_ = random.Random(seed)
    left, number = megabytes * 1_000_000, 0
    while left > 0:
        size = min(left, random_.choice((3_000, 30_000, 300_000, 3_000_000)))
        folder = os.path.join(tree, f"usr/share/d{number % 53:02}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"f{number:05}"), "wb") as file:
            file.write(random_.randbytes(size))
        with open(os.path.join(folder, f"t{number:05}"), "wb") as file:
            file.write((b"line %d of a text\n" % number) * (size // 40))
        left -= size
        number += 1
    reference.name_system(tree)
    reference.add_specimens(tree)
    return tree


def payload_of(line):
    """The line's bytes without packet headers."""
    return line.down_bytes - HEADERS * line.down_packets


class Meter:
    """What the line carried, now and over time."""

    def __init__(self, net):
        self.net, self.before = net, net.counters()
        self.samples = []  # (monotonic seconds, payload bytes)

    def read(self):
        line = self.net.counters() - self.before
        self.samples.append((time.monotonic(), payload_of(line)))
        return line

    def rate(self, begin, end):
        """Payload bits per second between two instants; None when nothing was read there."""
        inside = [sample for sample in self.samples if begin <= sample[0] <= end]
        if len(inside) < 2 or inside[-1][0] - inside[0][0] < 0.3:
            return None
        return (inside[-1][1] - inside[0][1]) * 8 / (inside[-1][0] - inside[0][0])


class Run:
    """One run of one scenario."""

    def __init__(self, scenario, stage, checks):
        self.scenario, self.stage, self.checks = scenario, stage, checks
        self.fleet, self.net = stage.fleet, stage.net
        self.rate = parse_rate(scenario["rate"])
        self.layers = [f"{BASE}:1.0"]
        self.extra = {}
        self.faults = Faults(stage, scenario["fault"])
        self.mounted = []

    def check(self, name, holds, figure):
        self.checks.check(f"{self.scenario['name']}: {name}", holds, figure)

    def check_time(self, name, holds, figure):
        self.checks.check_time(f"{self.scenario['name']}: {name}", holds, figure, self.extra["cpu_stolen"])

    # Before.

    def prepare(self):
        scenario, run_dir = self.scenario, self.stage.lab.run_dir
        tree = make_tree(os.path.join(run_dir, "tree"), scenario["layer_mb"])
        self.payload = self.stage.origin_with_layer(0, tree)
        if scenario["second_layer_mb"]:
            self.payload += self.capture_second(tree, scenario["second_layer_mb"])
        self.ideal = self.payload * scenario["sites"] * 8 / (GOODPUT * self.rate)
        if scenario["wan_transport"] == "https":
            self.net.close_port(SWARM_PORT)
        if scenario["sites"] > 1:
            self.net.watch_between_sites()
        self.devices = self.stage.devices(start=False, enroll=self.enroll)
        if any(fault["do"] == "fill-disk" for fault in scenario["fault"]):
            self.give_own_disk(self.devices[-1])
        # The others come when the one with the wrong clock holds the lease.
        self.first = self.devices[:1] if scenario["clock_reflector"] else self.devices
        if scenario["cache_mb"]:
            for device in self.devices:
                device.run_options = ["--cache", f"{scenario['cache_mb']} MB"]
        for device in self.first:
            device.start()
        self.wait_seen(self.first)
        if scenario["cache_mb"]:
            self.give_former_layer()
        self.name_reflectors()

    def name_reflectors(self):
        """Which devices of the first site fetch for it, when that is not left to the origin."""
        count = self.scenario["reflectors"]
        self.reflectors = self.devices[::self.scenario["sites"]][:count] if count > 1 else []
        if self.reflectors:
            words = [word for device in self.reflectors for word in ("--device", device.id)]
            self.fleet.cli("site", "reflectors", self.stage.sites[0], "--count", str(count), *words)

    def wait_seen(self, devices):
        def seen():
            records = self.fleet.device_records()
            return all(records[device.id].get("seen_ms") and records[device.id].get("lan_address") for device in devices)

        wait_until(seen, 30, "the devices' first poll")

    def give_former_layer(self):
        """A layer that the devices have had before the one of the scenario: it has to make room."""
        # Nothing in it is in the other one: they share no packs.
        random_, tree = random.Random(9), os.path.join(self.stage.lab.run_dir, "former")
        os.makedirs(os.path.join(tree, "usr/share/former"))
        for number in range(20):
            with open(os.path.join(tree, f"usr/share/former/{number}"), "wb") as file:
                file.write(random_.randbytes(1_000_000))
        self.fleet.capture(FORMER, "1.0", tree)
        self.fleet.assign([f"{FORMER}:1.0"])
        self.fleet.wait_applied([f"{FORMER}:1.0"], 120, self.devices)

    def judge_cache(self):
        """What is assigned stays above the limit; what was, has left."""
        caches = [device.status().get("reflector", {}).get("cache", {}) for device in self.devices]
        own = all(cache.get("bytes", 0) >= self.payload for cache in caches)
        over = [cache.get("over_bytes", 0) for cache in caches]
        self.check("assigned content stays, above the cache's limit", own and min(over) > 0,
                   f"{min(over)} bytes over {self.scenario['cache_mb']} MB")
        evicted = [[fields.get("name") for _, fields in device.events("layer_evicted")] for device in self.devices]
        self.check("the former layer made room", all(names == [f"{FORMER} 1.0"] for names in evicted),
                   ", ".join(sorted({name for names in evicted for name in names})) or "nothing left")

    def capture_second(self, tree, megabytes):
        """An application of `megabytes` of its own and as much of the base's files under other names."""
        app, noise = os.path.join(self.stage.lab.run_dir, "second"), os.path.join(self.stage.lab.run_dir, "noise")
        make_tree(noise, megabytes, seed=8)
        os.makedirs(os.path.join(app, "opt"))
        os.rename(os.path.join(noise, "usr/share"), os.path.join(app, "opt/second"))
        shutil.rmtree(noise)
        left = megabytes * 1_000_000
        for path in sorted(glob.glob(os.path.join(tree, "usr/share/d*/f*"))):
            if left <= 0:
                break
            shutil.copy2(path, os.path.join(app, "opt/second/copy-of-" + os.path.basename(path)))
            left -= os.path.getsize(path)
        # What both have is the same, so that the merge is the base and opt/second.
        os.makedirs(os.path.join(app, "usr"))
        for name in ("etc", "bin", "usr/bin", "usr/lib"):
            subprocess.run(["cp", "-a", os.path.join(tree, name), os.path.join(app, name)], check=True, timeout=60)
        for name in ("usr", "opt", "."):
            shutil.copystat(os.path.join(tree, name), os.path.join(app, name))
        _, packs, _ = self.fleet.capture(SECOND, "1.0", app, kind="app")
        subprocess.run(["cp", "-a", os.path.join(app, "opt/second"), os.path.join(tree, "opt")], check=True, timeout=300)
        shutil.copystat(os.path.join(app, "opt"), os.path.join(tree, "opt"))  # The copy changed its time.
        self.layers.append(f"{SECOND}:1.0")
        return sum(packs.values()) - self.fleet.fresh_bytes(f"{SECOND}:1.0")  # Devices have the base.

    def enroll(self, device, token):
        offset = {1: self.scenario["clock_reflector"], 2: self.scenario["clock_device"]}.get(device.number, "")
        device.set_clock(offset)
        done = device.enroll(token, check=not offset)
        if offset and done.code != 0:
            self.check(f"a clock {offset} off is named at enrolment", "clock" in done.err, done.err.strip()[-160:])
            device.set_clock("")
            device.enroll(token)
        elif offset:
            print(f"   {device.name} enrolled with its clock {offset} off", flush=True)
            if device.clock_seconds > 86400:
                self.faults.away.append(device)
                self.faults.back.append(lambda: self.correct_clock(device))

    def give_own_disk(self, device):
        cache = os.path.join(device.state, "cache")
        owner, kept = os.stat(cache), cache + ".kept"
        subprocess.run(["cp", "-a", cache, kept], check=True, timeout=20)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={4 * self.payload},mode=0{owner.st_mode & 0o777:o},"
                        f"uid={owner.st_uid},gid={owner.st_gid}", "lamina-lab", cache], check=True, timeout=20)
        self.mounted.append(cache)
        subprocess.run(["cp", "-aT", kept, cache], check=True, timeout=20)
        self.faults.small = device

    def unmount(self):
        for path in self.mounted:
            subprocess.run(["umount", "-l", path], capture_output=True, timeout=20)

    # The roll-out.

    def assign(self):
        self.meter = Meter(self.net)
        self.seeders_before = self.net.sent_by_seeders()
        if self.scenario["wan_budget"]:
            self.hold_back()
        for site in self.stage.sites:
            self.started = self.fleet.assign(self.layers, site)
        if self.first != self.devices:
            wait_until(lambda: self.faults.holder() is self.devices[0], 30, "a lease for the device with the wrong clock")
            for device in self.devices[1:]:
                device.start()

    def hold_back(self):
        """With no reflector: only what the budget allows crosses the line, for some seconds; then one is appointed."""
        scenario, device = self.scenario, self.devices[0]
        self.fleet.cli("site", "appoint", "branch", "off")
        self.fleet.assign(self.layers, budget="never")
        if scenario["wan_budget"] != "never":
            self.fleet.cli("assign", "--device", device.id, "--layers", ",".join(self.layers), "--wan-budget",
                           scenario["wan_budget"])

        def reasons():
            return {layer.get("reason") for one in self.devices for layer in one.status().get("layers", [])}

        least = scenario["budget_mb"] * 0.9e6
        wait_until(lambda: reasons() and payload_of(self.meter.read()) >= least, 60 + scenario["budget_seconds"],
                   "the devices' reasons, and what the budget allows")
        end = time.monotonic() + scenario["budget_seconds"]
        while time.monotonic() < end:
            self.meter.read()
            time.sleep(0.2)
        said = reasons()
        spent = sum(one.status().get("bytes", {}).get("from_origin", 0) for one in self.devices)
        self.held = self.meter.read()
        allowed = scenario["budget_mb"] * 1e6 + (PIECE if scenario["budget_mb"] else 0)
        self.check(f"budget '{scenario['wan_budget']}': payload over the line", spent <= allowed,
                   f"{spent} bytes (at most {allowed:.0f}); {payload_of(self.held)} bytes with records and polls")
        expected = {"waiting-for-reflector"} if scenario["wan_budget"] == "never" else \
            {"waiting-for-reflector", "waiting-for-budget", "lan-peer"}
        self.check("every device says why it waits", said and said <= expected, ", ".join(sorted(said)))
        self.extra.update(budget_payload_bytes=spent, reasons=sorted(said))
        self.meter = Meter(self.net)
        self.fleet.cli("site", "appoint", "branch", "on")

    def missing(self):
        want = len(self.layers)
        return [device for device in self.devices if device not in self.faults.away and
                len({fields.get("layer") for _, fields in device.events("layer_complete")
                     if fields.get("name") != f"{FORMER} 1.0"}) < want]

    def set_rule(self):
        """A rule from the next whole minute that leaves time to be heard of, for some minutes."""
        if not self.scenario["rule_kilobytes"]:
            return
        now = datetime.datetime.now()
        begin = (now + datetime.timedelta(seconds=75)).replace(second=0, microsecond=0)
        end = begin + datetime.timedelta(minutes=self.scenario["rule_minutes"])
        path = os.path.join(self.stage.lab.run_dir, "rules.csv")
        with open(path, "w", encoding="ascii") as file:
            file.write("subnet,site,download KB/s,upload KB/s,start,end,days\n"
                       f",branch,{self.scenario['rule_kilobytes']},,{begin:%H:%M},{end:%H:%M},*\n")
        self.fleet.cli("rule", "import", path)
        monotonic = time.monotonic() - time.time()
        self.rule = (begin.timestamp() + monotonic, end.timestamp() + monotonic)
        # The transfer is under way when the rule begins.
        time.sleep(max(0.0, self.rule[0] - time.monotonic() - 15))

    def roll_out(self):
        processor = Processor()
        self.set_rule()
        self.assign()
        scenario, faults = self.scenario, self.faults
        lasting = sum(fault.get("seconds", 0) for fault in scenario["fault"]) + 60 * scenario["rule_minutes"] * bool(
            scenario["rule_kilobytes"])
        end = time.monotonic() + 3 * self.ideal + lasting + 90
        read_at, least, missing = 0.0, {}, True
        while faults.waiting or faults.lasting or missing:
            if time.monotonic() - read_at > 0.25:
                read_at = time.monotonic()
                missing = self.missing()
                faults.step(payload_of(self.meter.read()) / (self.payload * scenario["sites"]))
                self.watch_progress(least)
            for process in [self.fleet.serve, self.fleet.seed, *self.fleet.mirrors.values(), *(d.node for d in self.devices if d not in faults.away)]:
                if process and not process.running():
                    raise LabError(f"{process.name} ended: {process.tail(1)}")
            if time.monotonic() > end:
                names = ", ".join(device.name for device in self.missing())
                raise LabError(f"{names or 'nobody'} lacks the layer; {len(faults.waiting)} faults did not come about")
            time.sleep(0.05)
        self.ended = time.monotonic()
        self.extra.update(processor.shares())
        at_completion = payload_of(self.meter.read())
        self.seeders_after = self.net.sent_by_seeders()
        survivors = [device for device in self.devices if device not in faults.away]
        self.last = max(device.events("layer_complete")[-1][0] for device in survivors) - self.started
        back = faults.finish()
        wait_until(lambda: not self.missing(), 90, "the devices that came back")
        self.fleet.wait_applied(self.layers, 240, self.devices)
        self.line = self.meter.read()
        self.verified = self.stage.verified(self.devices)
        if back:
            more = payload_of(self.line) - at_completion
            self.check(f"{len(back)} came back", more < 0.01 * self.payload + 400_000, f"{more} bytes more on the line")

    def correct_clock(self, device):
        """A device that is far ahead fetches nothing, and says why; with the right time it does."""
        reasons = {layer.get("reason") for layer in device.status().get("layers", [])}
        self.check("a device waits for its clock, and says so", reasons == {"waiting-for-clock"}, ", ".join(reasons))
        said = device.status().get("clock_trouble", "")
        self.check("its status says what to do", "set the clock" in said, said)
        device.stop()
        device.set_clock("")
        device.start()

    def watch_progress(self, least):
        """A restart of the origin must not throw anybody back."""
        if not any(fault["do"].startswith("restart") or fault["do"].endswith("seeder")
                   for fault in self.scenario["fault"]):
            return
        for device in self.devices:
            for layer in device.status().get("layers", []):
                missing = layer["missing_bytes"]
                if missing > least.get(device.number, missing) + PIECE:
                    raise LabError(f"{device.name} lacked {least[device.number]} bytes and now {missing}")
                if layer["phase"] != "records":
                    least[device.number] = min(missing, least.get(device.number, missing))

    # After.

    def judge(self):
        bounds, scenario = self.scenario["check"], self.scenario
        expected = self.payload * scenario["sites"]
        ratio = self.wan_payload() / expected
        self.check("wan_ratio", ratio <= bounds["wan_ratio"], f"{ratio:.4f} (at most {bounds['wan_ratio']})")
        cut = sum(fault["seconds"] for fault in scenario["fault"] if fault["do"] == "cut-wan")
        most = bounds["last_over_ideal"] * self.ideal + bounds["seconds_a_death"] * self.faults.deaths + \
            bounds["seconds_more"] + cut
        self.check_time("last device", self.last <= most,
                        f"{self.last:.1f} s, {self.last / self.ideal:.3f} of ideal (at most {most:.1f} s)")
        self.check("verified by rsync", self.verified == len(self.devices), f"{self.verified} of {len(self.devices)}")
        if self.reflectors:
            self.judge_reflectors(bounds)
        if scenario["sites"] > 1:
            between = self.net.bytes_between_sites()
            self.check("bytes between the sites", between == 0, str(between))
            self.extra["bytes_between_sites"] = between
        if scenario["seeders"] > 1:
            self.judge_seeders(bounds)
        if scenario["cache_mb"]:
            self.judge_cache()
        if self.faults.foreground:
            self.judge_foreground(bounds)
        if scenario["rule_kilobytes"]:
            self.judge_rule(bounds)
        if scenario["wan_transport"] == "https":
            served = self.fleet.fetched_as_ranges()
            self.check("the payload came over the API's port", served >= 0.9 * expected, f"{served} bytes")
        records, decisions, wrong = self.fleet.replay_records()
        self.check("what was decided is decided again alike", records > len(self.devices) and decisions > 0 and not wrong,
                   f"{decisions} decisions of {records} programs{'; '.join(['', *wrong])}")
        self.extra["decisions_replayed"] = decisions
        if self.faults.rules:
            marks = [fetched for _, fetched in self.faults.rules] + [self.fleet.fetched_as_ranges()]
            for (rule, before), after in zip(self.faults.rules, marks[1:]):
                part = (after - before) / expected
                self.check(f"under the rule {rule} the line is used so",
                           part >= 0.2 if rule == "https" else part <= 0.05, f"{part:.1%} of the payload as ranges")
        if self.faults.small:
            full = [fields.get("error", "") for _, fields in self.faults.small.events("swarm_trouble")
                    if "space" in fields.get("kind", "")]
            self.check("a full disk is named", bool(full), full[0][:140] if full else "never")

    def judge_reflectors(self, bounds):
        """What each of the named fetched over the line; one that was killed counts anew, and is left out."""
        struck = {fault["device"] for fault in self.faults.done}
        got = {device.name: device.status().get("bytes", {}).get("from_origin", 0) / self.payload
               for device in self.reflectors if device.name not in struck}
        self.check("each reflector fetched a share", min(got.values()) >= bounds["reflector_share"],
                   ", ".join(f"{name}: {share:.1%}" for name, share in got.items()))
        self.extra["reflector_shares"] = [round(share, 4) for share in got.values()]

    def judge_foreground(self, bounds):
        fore = self.faults.foreground
        seconds = fore["ended"] - fore["begun"]
        share = sum(fore["tenths"]) * 8 / len(fore["tenths"]) * 10 / (GOODPUT * self.rate)
        self.check_time("a foreground transfer's share of the line", share >= bounds["foreground_share"],
                        f"{share:.3f} over {seconds:.0f} s (at least {bounds['foreground_share']})")
        back = None
        for tenth in range(0, 200):
            begin = fore["ended"] + tenth / 10
            rate = self.meter.rate(begin, begin + 1)
            if rate is not None and rate >= 0.9 * GOODPUT * self.rate:
                back = tenth / 10
                break
        self.check_time("the line is taken back", back is not None and back <= bounds["line_back_seconds"],
                        f"after {back} s (at most {bounds['line_back_seconds']})" if back is not None else "never")
        self.extra.update(foreground_share=round(share, 4), line_back_seconds=back)

    def judge_rule(self, bounds):
        begin, end = self.rule
        limit, switch = self.scenario["rule_kilobytes"] * 8000, bounds["rule_switch_seconds"]
        held = self.meter.rate(begin + switch, end)
        self.check_time("the rule holds", held is not None and abs(held / limit - 1) <= bounds["rule_share"],
                        f"{(held or 0) / limit:.3f} of {self.scenario['rule_kilobytes']} KB/s over "
                        f"{end - begin - switch:.0f} s (within {bounds['rule_share']:.0%})")
        before, after = self.meter.rate(begin - 5, begin), self.meter.rate(end + switch, end + switch + 3)
        full = 0.9 * GOODPUT * self.rate
        self.check_time("before and after it the line is full", (before or 0) >= full and (after or 0) >= full,
                        f"{(before or 0) / 1e6:.2f} and {(after or 0) / 1e6:.2f} Mbit/s of payload")
        self.extra.update(rule_share=round((held or 0) / limit, 4))

    def wan_payload(self):
        return payload_of(self.own_line(getattr(self, "line", Counters())))

    def judge_seeders(self, bounds):
        """What each sent until the last device had everything, with headers; the origin's with the API's answers."""
        sent = {number: after - self.seeders_before[number] for number, after in self.seeders_after.items()}
        shares = {number: count / max(1, sum(sent.values())) for number, count in sent.items()}
        self.check("each seeder sent a share", min(shares.values()) >= bounds["seeder_share"],
                   ", ".join(f"{number}: {share:.1%}" for number, share in shares.items()))
        self.extra["seeder_bytes"] = [sent[number] for number in sorted(sent)]

    def own_line(self, line):
        """Without what the foreground's receiver got."""
        if not self.faults.foreground or not self.faults.foreground["tenths"]:
            return line
        foreign = sum(self.faults.foreground["tenths"])
        packets = foreign // SEGMENT
        return line - Counters(foreign + HEADERS * packets, packets)

    def record(self, error=None):
        scenario = self.scenario
        line, payload = getattr(self, "held", None) or getattr(self, "line", None), getattr(self, "payload", 0)
        if line:
            line = self.own_line(line)
        record = {"name": scenario["name"], "kind": scenario["kind"], "wan_transport": scenario["wan_transport"],
                  "loss": scenario["loss"], "devices": scenario["devices"],
                  "payload_bytes": payload * scenario["sites"],
                  "wan_down_bytes": line.down_bytes if line else 0, "wan_down_packets": line.down_packets if line else 0,
                  "ideal_seconds": round(getattr(self, "ideal", 0), 2),
                  "last_device_seconds": round(getattr(self, "last", 0), 2),
                  "verified_devices": getattr(self, "verified", 0)}
        if line and payload:
            record["wan_ratio"] = round(payload_of(line) / record["payload_bytes"], 4)
        record.update(self.extra, deaths=self.faults.deaths, faults=self.faults.done)
        if error:
            record["error"] = error
        return record

    def carry_out(self, begin):
        try:
            self.prepare()
            begin()
            self.roll_out()
            self.judge()
            print(f"   {size_text(self.payload)} of payload, {size_text(self.line.down_bytes)} on the line, "
                  f"ideal {self.ideal:.1f} s; processors {self.extra['cpu_idle']:.0%} idle, "
                  f"{self.extra['cpu_stolen']:.1%} taken by the machine's host", flush=True)
            return self.record()
        except (LabError, verify.VerifyError, OSError, subprocess.SubprocessError) as error:
            self.check("runs to its end", False, f"{type(error).__name__}: {error}")
            for process in self.stage.lab.processes:
                print(f"--- {process.name}\n{process.tail(5)}", file=sys.stderr)
            return self.record(str(error))
        finally:
            self.unmount()


def run(scenario, options, checks):
    """One run in a lab of its own. Returns its record."""
    run_dir = run_directory(options.build, f"lab-{scenario['name']}{options.side}")
    print(f"\n== {scenario['name']}: {scenario['about']}\n   {scenario['devices']} devices, {scenario['rate']}, "
          f"{scenario['rtt']}, jitter {scenario['jitter']}, loss {scenario['loss']:.1%}", flush=True)
    failed_before = checks.failed
    with Lab(run_dir) as lab:
        net = Branch(lab, options.build, scenario["devices"], parse_rate(scenario["rate"]), parse_time_ms(scenario["rtt"]),
                     loss=scenario["loss"], sites=scenario["sites"], seeders=scenario["seeders"],
                     jitter_ms=parse_time_ms(scenario["jitter"]))
        record = Run(scenario, Stage(lab, net, options.build, checks), checks).carry_out(
            lambda: wait_for_others(options.gate))
    if checks.failed > failed_before or options.keep:
        print(f"   logs and data: {run_dir}")
    else:
        shutil.rmtree(run_dir, ignore_errors=True)
    return record


BIG = 10  # Devices of a scenario that has the machine to itself.
PREPARE_MAX, RUN_MAX = 600, 1800  # Seconds.


def wait_for_others(gate):
    """Of a run beside others: says that everything is prepared, and waits until it is for all."""
    if gate:
        ready, go = map(int, gate.split(","))
        os.write(ready, b"r")
        if not select.select([go], [], [], PREPARE_MAX)[0]:
            raise LabError("the scenarios beside this one are not prepared")
        os.read(go, 1)


class Beside:
    """One of several runs side by side, as a process with its own lab: preparing takes all of the processor, so that
    none begins its rollout before all are prepared."""

    def __init__(self, path, number, options):
        self.output = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.json = tempfile.NamedTemporaryFile("r", suffix=".json", encoding="utf-8")
        self.ready, ready = os.pipe()
        go, self.go = os.pipe()
        words = [sys.executable, os.path.abspath(__file__), path, "--build", options.build, "--json", self.json.name,
                 "--gate", f"{ready},{go}", "--side", f"-{number}"] + ["--keep"] * options.keep
        self.process = subprocess.Popen(words, stdout=self.output, stderr=subprocess.STDOUT, pass_fds=(ready, go))
        os.close(ready)
        os.close(go)

    def wait_ready(self):
        if select.select([self.ready], [], [], PREPARE_MAX)[0]:
            os.read(self.ready, 1)  # Or it has ended.

    def begin(self):
        with contextlib.suppress(BrokenPipeError):
            os.write(self.go, b"g")

    def finish(self, checks):
        """Shows what it said. Returns its records."""
        try:
            self.process.wait(RUN_MAX)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(60)
        os.close(self.ready)
        os.close(self.go)
        self.output.seek(0)
        for line in self.output.read().splitlines():
            if not re.match(r"\d+ checks passed", line):
                checks.repeat(line)
        text = self.json.read()
        if not text or self.process.returncode not in (0, 1):
            checks.check("the scenario beside others ran", False, f"exit code {self.process.returncode}")
        return json.loads(text)["scenarios"] if text else []


def run_beside(scenarios, options, checks):
    """Runs (path, scenario) side by side, as many as --jobs allows. Yields their records."""
    small = [path for path, scenario in scenarios if scenario["devices"] <= BIG]
    big = [path for path, scenario in scenarios if scenario["devices"] > BIG]
    batches = [small[i:i + options.jobs] for i in range(0, len(small), options.jobs)] + [[path] for path in big]
    for batch in batches:
        runs = [Beside(path, number, options) for number, path in enumerate(batch)]
        for one in runs:
            one.wait_ready()
        for one in runs:
            one.begin()
        for one in runs:
            yield from one.finish(checks)


def main():
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__.split("\n\n")[0],
                                     epilog="Example: ./dev lab --quick; ./dev lab tests/e2e/scenarios/kill-50.toml")
    parser.add_argument("scenario", nargs="*", help="scenario files, or their names")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--all", action="store_true", help="run all of them: about an hour")
    parser.add_argument("--quick", action="store_true", help="run those that take seconds")
    parser.add_argument("--times", type=int, default=1, help="run each so many times")
    parser.add_argument("--jobs", type=int, default=1, help=f"run so many side by side that have up to {BIG} devices")
    parser.add_argument("--gate", default="", help=argparse.SUPPRESS)
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--json", help="write the records to this file")
    parser.add_argument("--keep", action="store_true", help="keep volumes, states and logs")
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    known = {os.path.basename(path)[:-5]: path for path in sorted(glob.glob(FOLDER + "/*.toml"))}
    try:
        if options.list:
            for path in known.values():
                scenario = load(path)
                print(f"{scenario['name']:<18} {scenario['kind']:<8} {scenario['devices']:>3} devices  {scenario['about']}")
            return 0
        paths = [known.get(name, name) for name in options.scenario]
        if options.all or options.quick:
            paths += [path for path in known.values() if options.all or load(path)["quick"]]
        if not paths or options.times < 1 or options.jobs < 1:
            parser.error("name a scenario, or --list, --quick or --all; --times and --jobs are 1 or more")
        scenarios = [(path, load(path)) for path in paths for _ in range(options.times)]
    except ScenarioError as error:
        parser.error(str(error))
    reason = can_make_namespaces()
    if reason:
        print(f"SKIP lab: needs network namespaces: {reason}")
        return 77
    if not options.gate:
        with contextlib.suppress(OSError):  # Not every kernel lets root choose; the figures say how it went.
            os.nice(-10)
    os.umask(0o022)
    checks, records = Checks(), []
    runs = run_beside(scenarios, options, checks) if options.jobs > 1 else (
        run(scenario, options, checks) for _, scenario in scenarios)
    for record in runs:
        records.append(record)
        if options.json:  # After each: a run that is broken off leaves what was measured.
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"scenarios": records}, file, indent=2)
                file.write("\n")
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
