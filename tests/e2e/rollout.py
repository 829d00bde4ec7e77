#!/usr/bin/env python3
"""A rollout in two waves: the second is staged while the first applies, takes its layers from its
cache, and goes on where it was when the origin restarts; then one whose pilot
goes back, and which stops."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from lab import wait_until  # noqa: E402
from scenario import BASE, scenario_main  # noqa: E402

PLAN = """name = "{name}"
layers = ["{layer}"]
sites_at_once = 1
[[wave]]
name = "pilot"
devices = ["{pilot}"]
success = 100
failure = 0
soak = "{soak}"
[[wave]]
sites = ["branch"]
warm = 100
"""


def scenario(stage):
    fleet, checks = stage.fleet, stage.checks
    payload = stage.origin_with_layer(12)
    pilot, second = stage.devices()
    plan = os.path.join(fleet.run_dir, "rollout.toml")

    def create(name, layer, soak):
        with open(plan, "w", encoding="utf-8") as file:
            file.write(PLAN.format(name=name, layer=layer, pilot=pilot.id, soak=soak))
        fleet.cli("rollout", "create", "--file", plan)
        fleet.cli("rollout", "start", name)

    def rollout(name):
        return fleet.cli_json("rollout", "show", name)[0]

    def row(name, device):
        return next(row for row in rollout(name)["devices"] if row["device"] == device.id)

    with open(plan, "w", encoding="utf-8") as file:
        file.write("name = \"x\"\nlayers = [\"base:1.0\"]\n[[wave]]\nsights = [\"branch\"]\n")
    wrong = fleet.cli("rollout", "create", "--file", plan, check=False)
    checks.check("a wrong plan is refused with its line",
                 wrong.code == 2 and f"{plan}:4: wave 1: unknown key 'sights'" in wrong.err, wrong.err.strip()[-100:])

    create("first", f"{BASE}:1.0", "2 s")
    fleet.cli("rollout", "pause", "first")
    wait_until(lambda: row("first", pilot)["outcome"] == "succeeded", 90, "the pilot's success")
    fleet.lab.stop(fleet.serve)
    fleet.start_serve()
    wait_until(lambda: row("first", second)["holds"], 90, "a second wave that holds the layers")
    state = rollout("first")["rollout"]
    staged = fleet.device_records()[second.id]
    checks.check("the second wave is staged, and applies nothing before its time",
                 state["waits_for"] == "waiting-for-resume" and staged["staged"] == [f"{BASE}:1.0"] and
                 staged["applied"] == [] and not os.path.exists(os.path.join(second.volume, "usr")),
                 "paused; after a restart of the origin")
    fleet.cli("rollout", "resume", "first")
    fleet.wait_applied([f"{BASE}:1.0"], 90)
    wait_until(lambda: rollout("first")["rollout"]["phase"] == "done", 30, "the end of the rollout")
    checks.check("both waves have it", stage.verified([pilot, second]) == 2, "rsync")
    fetched = sum(device.status()["bytes"]["from_origin"] for device in (pilot, second))
    checks.check("the line carried it once", fetched <= payload * 1.02, f"{fetched} of {payload} bytes")

    # One whose pilot is taken back by hand.
    with open(os.path.join(stage.tree, "etc/new"), "w", encoding="utf-8") as file:
        file.write("new\n")
    fleet.capture(BASE, "2.0", stage.tree)
    create("second", f"{BASE}:2.0", "1 h")
    wait_until(lambda: row("second", pilot)["outcome"] == "succeeded", 90, "the pilot's success")
    pilot.command("revert")
    wait_until(lambda: rollout("second")["rollout"]["phase"] == "stopped", 60, "the stop of the rollout")
    stopped = rollout("second")["rollout"]
    checks.check("a pilot that goes back stops the rollout", stopped["stop_reason"] == "failures", stopped["text"])
    checks.check("the other device stays as it was",
                 fleet.device_records()[second.id]["applied"] == [f"{BASE}:1.0"], "")
    actions = [line for line in fleet.serve.text().splitlines() if "rollout_ended" in line]
    checks.check("the origin's log says so", len(actions) >= 1, actions[-1][-90:] if actions else "")


if __name__ == "__main__":
    sys.exit(scenario_main(scenario, name="rollout", devices=2, rate=200_000_000, rtt_ms=5))
