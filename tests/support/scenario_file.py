"""Scenario files of the lab: what may stand in them, with errors that name file and field.

tests/e2e/README.md is the table for people; SCENARIO and FAULTS below are the one that counts.
"""

import os
import tomllib

from checks import parse_rate, parse_time_ms

KINDS = ("fair", "death", "cut", "budget", "hostile", "rule", "sharing", "disk", "clock")


class ScenarioError(Exception):
    pass


def _whole(least, most):
    def read(value):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value
    return read


def _number(least, most):
    def read(value):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"a number from {least} to {most}")
        return float(value)
    return read


def _text(value):
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _yes_or_no(value):
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _one_of(*words):
    def read(value):
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return value
    return read


def _rate(value):
    parse_rate(_text(value))
    return value


def _time(value):
    parse_time_ms(_text(value))
    return value


REQUIRED = object()
AT = (_number(0, 0.999), REQUIRED)         # A share of the payload on the line.
SECONDS = (_number(0.1, 600), 60.0)

# {field: (reader, default)}
FAULTS = {
    "kill-reflector": {"at": AT},
    "stop-reflector": {"at": AT, "seconds": SECONDS},
    "power-off-reflector": {"at": AT},
    "restart-seeder": {"at": AT},
    "kill-seeder": {"at": AT, "number": (_whole(1, 4), 1)},
    "unplug-seeder": {"at": AT, "number": (_whole(2, 4), 2)},
    "restart-api": {"at": AT},
    "transport-rule": {"at": AT, "to": (_one_of("auto", "swarm", "https"), REQUIRED)},
    "cut-wan": {"at": AT, "seconds": SECONDS},
    "foreground": {"at": AT, "seconds": (_number(3, 600), 12.0)},
    "corrupt-peer": {"at": AT},
    "silent-peer": {"at": AT},
    "fill-disk": {"at": AT, "seconds": (_number(1, 600), 15.0)},
    "hostile-connections": {"at": AT, "count": (_whole(1, 2000), 100)},
}
CHECK = {
    "wan_ratio": (_number(0, 10), 1.03),
    "last_over_ideal": (_number(1, 20), 1.2),
    "seconds_a_death": (_number(0, 300), 0.0),
    "seconds_more": (_number(0, 600), 0.0),
    "foreground_share": (_number(0, 1), 0.8),
    "line_back_seconds": (_number(1, 60), 5.0),
    "rule_share": (_number(0, 1), 0.05),
    "rule_switch_seconds": (_number(1, 60), 5.0),
    "seeder_share": (_number(0, 1), 0.0),
    "reflector_share": (_number(0, 1), 0.0),
}
SCENARIO = {
    "name": (_text, None), "about": (_text, ""), "kind": (_one_of(*KINDS), REQUIRED), "quick": (_yes_or_no, False),
    "devices": (_whole(1, 60), 8), "sites": (_whole(1, 4), 1), "seeders": (_whole(1, 4), 1),
    "rate": (_rate, "20Mbit"), "rtt": (_time, "40ms"), "jitter": (_time, "0ms"), "loss": (_number(0, 0.2), 0.0),
    "layer_mb": (_whole(1, 4000), 160),
    "wan_transport": (_one_of("tcp", "https"), "tcp"),
    "reflectors": (_whole(1, 4), 1),          # With more than one, as many devices of the first site are named.
    "second_layer_mb": (_whole(0, 4000), 0),  # An application that shares as much with the base.
    "cache_mb": (_whole(0, 4000), 0),  # Of every device; a former layer is there before.
    "wan_budget": (_text, ""), "budget_seconds": (_number(1, 600), 25.0), "budget_mb": (_number(0, 4000), 0.0),
    "rule_kilobytes": (_whole(0, 1_000_000), 0), "rule_minutes": (_whole(1, 10), 1),
    "clock_device": (_text, ""), "clock_reflector": (_text, ""),  # "+365d", "-10m": faketime's offsets.
}


def _read(where, table, fields, what):
    for name in table:
        if name not in fields:
            raise ScenarioError(f"{where}: {what} has no field '{name}'; it has: {', '.join(fields)}")
    values = {}
    for name, (reader, default) in fields.items():
        if name not in table:
            if default is REQUIRED:
                raise ScenarioError(f"{where}: {what} needs '{name}'")
            values[name] = default
            continue
        try:
            values[name] = reader(table[name])
        except ValueError as error:
            raise ScenarioError(f"{where}: '{name}' of {what} is {table[name]!r}: {error}") from None
    return values


def load(path):
    """A scenario file as a dict with every field; ScenarioError names file and field."""
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    faults, check = table.pop("fault", []), table.pop("check", {})
    if not isinstance(faults, list) or not all(isinstance(fault, dict) for fault in faults):
        raise ScenarioError(f"{path}: faults are written as [[fault]]")
    if not isinstance(check, dict):
        raise ScenarioError(f"{path}: 'check' is a table")
    scenario = _read(path, table, SCENARIO, "a scenario")
    scenario["name"] = scenario["name"] or os.path.basename(path).removesuffix(".toml")
    scenario["check"] = _read(path, check, CHECK, "'check'")
    scenario["fault"] = []
    for fault in faults:
        what = fault.pop("do", None)
        if what not in FAULTS:
            raise ScenarioError(f"{path}: a fault's 'do' is {what!r}: one of {', '.join(FAULTS)}")
        scenario["fault"].append({"do": what, **_read(path, fault, FAULTS[what], f"the fault '{what}'")})
    if scenario["reflectors"] > scenario["devices"] // scenario["sites"]:
        raise ScenarioError(f"{path}: {scenario['reflectors']} reflectors are more than a site has devices")
    bad_peers = sum(fault["do"] in ("corrupt-peer", "silent-peer") for fault in scenario["fault"])
    for fault in scenario["fault"]:
        if fault.get("number", 1) > scenario["seeders"]:
            raise ScenarioError(f"{path}: there is no seeder {fault['number']}: 'seeders' is {scenario['seeders']}")
    if bad_peers >= scenario["devices"]:
        raise ScenarioError(f"{path}: {bad_peers} devices turn bad, and none is left")
    return scenario
