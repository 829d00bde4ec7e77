#!/usr/bin/env python3
"""The site without its line: half of the devices hold a layer, the line is cut, everybody is killed and started
again, one with another address. The others get the layer from the site and apply it, nothing crosses the line, and
every device says how old what it goes by is."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import ip, wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

LAYER = [f"{BASE}:1.0"]


def cut(net):
    """At the site's own end: not a packet is on the line, nor an answer that it is down."""
    ip("-n", net.far, "link", "set", "wan0", "down")


def emptied(net):
    """The line's counters once what was under way in it has come out: nothing for a second, where the line delays
    by 10 ms and its queue by 60 more, and the process that is the line may wait for a processor."""
    last = [(net.counters(), time.monotonic())]

    def is_still():
        now = net.counters()
        if vars(now) != vars(last[0][0]):
            last[0] = (now, time.monotonic())
        return time.monotonic() - last[0][1] >= 1

    wait_until(is_still, 20, "an empty line")
    return last[0][0]


def mend(net):
    ip("-n", net.far, "link", "set", "wan0", "up")
    ip("-n", net.far, "route", "replace", "default", "via", "10.80.1.1")


def move(net, device):
    """Another address from the site's DHCP server."""
    before, device.address = device.address, device.address.rsplit(".", 1)[0] + f".{100 + device.number}"
    ip("-n", device.space, "addr", "del", before + "/24", "dev", "eth0")
    ip("-n", device.space, "addr", "add", device.address + "/24", "dev", "eth0")
    net.route_home(device.space, 0)


def power_off(device):
    for process in (device.node, device.worker):
        process.kill()
    device.stop()


def scenario(stage):
    fleet, checks, net = stage.fleet, stage.checks, stage.net
    payload = stage.origin_with_layer(40)
    devices = stage.devices()
    holders, lacking = devices[:2], devices[2:]

    def lists():
        return [device.status().get("site", {}) for device in devices]

    wait_until(lambda: all(device.status().get("peers") == len(devices) - 1 for device in devices), 90, "peers")
    for device in holders:
        fleet.cli("assign", "--device", device.id, "--layers", ",".join(LAYER))
    fleet.wait_applied(LAYER, 180, holders)
    wait_until(lambda: len({one.get("list_sequence") for one in lists()}) == 1 and
               all(one.get("members") == len(devices) for one in lists()), 180, "the same list everywhere")

    # The others know what they shall have, and have nothing of it.
    fleet.cli("site", "appoint", "branch", "off")
    for device in holders:
        power_off(device)
    for device in lacking:
        fleet.cli("assign", "--device", device.id, "--layers", ",".join(LAYER), "--wan-budget", "never")
    wait_until(lambda: all([layer["phase"] for layer in device.status().get("layers", [])] == ["fetching"]
                           for device in lacking), 60, "the layer's records")
    cut(net)
    for device in lacking:
        power_off(device)
    before = emptied(net)
    move(net, holders[0])
    begun = time.time()
    for device in (holders[0], *lacking):
        device.start()
    wait_until(lambda: all(device.events("layer_complete") for device in lacking), 120, "the layer from the site")
    last = max(device.events("layer_complete")[-1][0] for device in lacking) - begun
    checks.check("the rest completes from a device with another address", last <= 60,
                 f"{payload / 1e6:.0f} MB in {last:.1f} s from their start")

    def applied(device):
        status = device.status()
        return status.get("target_sequence", 0) > 0 and status["target_sequence"] == status.get("applied_sequence")

    wait_until(lambda: all(applied(device) for device in lacking), 120, "the apply without the origin")
    checks.check("volumes, by rsync", stage.verified(lacking) == len(lacking), f"{len(lacking)} devices")
    line = net.counters() - before
    checks.check("bytes over the line", line.down_bytes == 0 and line.up_bytes == 0,
                 f"{line.down_bytes} down, {line.up_bytes} up")

    status = lacking[0].status()
    said = lacking[0].command("status").out
    checks.check("status says what it does without the line", "shares with the site" in status.get("line_down", "")
                 and "shares with the site" in said, status.get("line_down", "nothing"))
    checks.check("status says how old everything is",
                 status.get("origin_silent_seconds", -1) > 0 and status.get("target_age_seconds", -1) > 0 and
                 status.get("site", {}).get("list_age_seconds", -1) > 0,
                 f"origin silent for {status.get('origin_silent_seconds')} s, target {status.get('target_age_seconds')} s, "
                 f"list {status.get('site', {}).get('list_age_seconds')} s old")
    checks.check("they found each other on the LAN", status.get("heard_on_lan", 0) >= 2,
                 f"{status.get('heard_on_lan')} devices heard")

    holders[1].start()
    mend(net)
    wait_until(lambda: all(device.status().get("origin_reachable") for device in devices), 120, "the origin")
    fleet.wait_applied(LAYER, 60)
    checks.check("with the line all is as ever", not any("line_down" in device.status() for device in devices),
                 f"{len(devices)} devices")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="wan_down", devices=4, rate=80_000_000, rtt_ms=20))
