#!/usr/bin/env python3
"""What the origin and the devices say in figures is what happened: bytes by source add up to what each
device fetched, and the line carried the payload once; nothing counts twice after kills and restarts."""

import os
import re
import signal
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

SCRAPE = """
import ssl, sys, urllib.request
url, ca, token = sys.argv[1:]
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(token).read().strip()})
with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca), timeout=20) as reply:
    sys.stdout.write(reply.read().decode())
"""
LAN, WAN = ("lan-peer", "reflector"), ("origin-by-lease", "origin-by-budget", "origin-by-https")


def samples(text):
    """{name{labels}: value} of a text in Prometheus' format."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([a-z_]+(?:\{.*\})?) (-?\d+)", line)
        if match:
            found[match.group(1)] = int(match.group(2))
    return found


def by_source(figures, name, site=""):
    label = f'site="{site}",' if site else ""
    prefix = name + "{" + label + 'source="'
    return {key[len(prefix):-2]: value for key, value in figures.items() if key.startswith(prefix)}


def total(sources, names):
    return sum(sources.get(name, 0) for name in names)


def secrets_of(folders, more):
    """Every line of every private file below the folders (their owner's only), PEM frames apart."""
    found = set()
    for folder in folders:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and (name.endswith((".key", ".token")) or path in more):
                with open(path, encoding="ascii") as file:
                    found |= {line.strip() for line in file if line.strip() and not line.startswith("-----")}
    for path in more:
        with open(path, encoding="ascii") as file:
            found.add(file.read().strip())
    return found


def support_bundles(stage, token):
    fleet, checks, device = stage.fleet, stage.checks, stage.fleet.devices[0]
    secrets = secrets_of([os.path.join(fleet.data, "keys"), os.path.join(fleet.data, "seed"),
                          os.path.join(device.state, "net")], [token])
    to = os.path.join(stage.lab.run_dir, "origin.tar")
    stage.lab.run([fleet.program("origin/lamina-origin"), "support-bundle", "--data", fleet.data, "--to", to],
                  stage.net.origin)
    of_device = os.path.join(stage.lab.run_dir, "device.tar")
    device.command("support-bundle", "--to", of_device)
    for what, path, parts in (("the origin", to, {"catalogue.json", "audit.jsonl"}),
                              ("a device", of_device, {"status.json", "metrics.txt", "bytes.json"})):
        with tarfile.open(path) as tar:
            texts = {entry.name: tar.extractfile(entry).read().decode() for entry in tar}
        parts |= {"versions.txt", "settings.json", "certificates.json", "sizes.txt", "problems.txt"}
        checks.check(f"the support bundle of {what} has its parts", parts <= set(texts) and not texts["problems.txt"],
                     ", ".join(sorted(texts)) + " " + texts["problems.txt"][:200])
        leaked = [name for name, text in texts.items() if "PRIVATE KEY" in text or
                  any(secret in text for secret in secrets)]
        checks.check(f"and none of {len(secrets)} lines of secrets", len(secrets) > 20 and not leaked, str(leaked))


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    payload = stage.origin_with_layer(40)
    devices = stage.devices()
    token = os.path.join(stage.lab.run_dir, "metrics.token")
    with open(token, "w", encoding="ascii") as file:
        file.write(fleet.cli("token", "create", "--name", "prom", "--kind", "metrics").out)

    def scrape():
        done = stage.lab.run([sys.executable, "-c", SCRAPE, f"https://{fleet.api}/metrics",
                              os.path.join(fleet.data, "keys/api-ca.pem"), token], stage.net.origin)
        return samples(done.out)

    def of_site():
        return by_source(scrape(), "lamina_site_bytes_total", "branch")

    def of_device(device):
        return by_source(samples(device.command("metrics").out), "lamina_node_bytes_total")

    fleet.assign([f"{BASE}:1.0"])
    fleet.wait_applied([f"{BASE}:1.0"], 120)

    # Each device received the payload; what libtorrent discarded (a piece that came twice) is on top.
    sources = [of_device(device) for device in devices]
    received = [total(one, LAN + WAN) for one in sources]
    checks.check("what a device received by source is the layer", all(payload <= one <= 1.05 * payload
                                                                       for one in received),
                 ", ".join(f"{one / payload:.3f}" for one in received) + " of the payload")
    wan = sum(total(one, WAN) for one in sources)
    checks.check("over the line it was counted once", payload <= wan <= 1.02 * payload, f"{wan / payload:.3f}")
    checks.check("the reflector's share is its own source", sum(one["reflector"] for one in sources) > 0,
                 str(sources[-1]))
    wait_until(lambda: total(of_site(), LAN + WAN) == sum(received), 120, "polls that say everything")
    site = of_site()
    checks.check("the origin's figures are the sum of the devices'",
                 all(site[name] == sum(one.get(name, 0) for one in sources) for name in LAN + WAN), str(site))
    savings = {record["days"]: record for record in fleet.cli_json("site", "savings")}
    checks.check("saved by peers", savings[7]["lan_bytes"] == savings[28]["lan_bytes"] == total(site, LAN) and
                 savings[7]["wan_bytes"] == total(site, WAN), str(savings[7]))

    for device, one in zip(devices, sources):
        log = [record for record in fleet.cli_json("device", "log", device.id) if record["operation"] == "apply"]
        cost = log[0]["bytes_by_source"] if log else {}
        checks.check(f"{device.name}: its apply is logged once, with its sources",
                     len(log) == 1 and log[0]["ok"] and payload <= sum(cost.values()) and
                     all(value <= one[name] for name, value in cost.items()), str(cost))

    # Kill every network process, restart the origin's API: nothing falls, nothing is counted again.
    for device in devices:
        device.node.kill(signal.SIGKILL)
    fleet.lab.stop(fleet.serve)
    checks.check("a device that does not answer has figures too", "lamina_node_up 0" in
                 devices[0].command("metrics", check=False).out)
    fleet.start_serve()
    checks.check("after a restart of the origin the same", of_site() == site)
    for device in devices:
        device.start_node()
    wait_until(lambda: scrape().get('lamina_site_devices_up{site="branch"}') == len(devices), 60, "all devices")
    checks.check("after kills of the devices the same", of_site() == site and
                 [of_device(device) for device in devices] == sources, str(of_site()))

    support_bundles(stage, token)

    figures = samples(devices[0].command("metrics").out)
    certificate = figures['lamina_node_certificate_seconds_left{certificate="device"}']
    checks.check("a device's figures", figures["lamina_node_up"] == 1 and
                 figures["lamina_node_cache_bytes"] >= payload and figures["lamina_node_target_applied"] == 1 and
                 0 < certificate <= 7 * 86400, f"certificate: {certificate} s")
    # The disk that this runs on may be low.
    alerts = [record for record in fleet.cli_json("alert", "ls") if record["kind"] != "disk-low"]
    help_text = fleet.cli("alert", "ls", "--help").out
    kinds = {f'lamina_alerts{{kind="{kind}"}}'
             for kind in re.findall(r"[a-z-]+", re.search(r"Kinds: ([^.]+)\.", help_text).group(1))}
    figured = {key for key in scrape() if key.startswith("lamina_alerts")}
    checks.check("every kind of alert in the help has a figure, and none lasts",
                 kinds and kinds == figured and not alerts, f"{sorted(kinds ^ figured)} {alerts}")
    ids = [device.id for device in devices]
    text = fleet.cli("device", "ls").out
    checks.check("no label names a device", all(one in text for one in ids) and
                 not any(one in str(scrape()) or one in str(figures) for one in ids))


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="figures", devices=3, rate=40_000_000, rtt_ms=10))
