"""What the lines of `street_grid` do to its market, and the CPU time of a year of it with 40 homes by `nodal_price`.

`--grid` runs the scenario under uniform price, with fees between zones and with prices of nodes: how long a line
carries too much by the meters, how often a limit binds in a clearing, and how far voltages are from an AC power flow.

Homes order, the market clears, and the homes live the interval; only `clear` is timed. Intervals in which a line is
full are counted apart. Without --days 345 days are cleared, which is what the data and two weeks of history leave.

Usage: python -m benchmarks.street_grid [--days N] [--homes N] [--json] [--grid [--set KEY=VALUE ...]]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import wattswap as ws
from wattswap.runs.ac import ac_of_run
from wattswap.runs.ac_facts import facts_of
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.folder import RunFolder
from wattswap.runs.interval import position_wh, read_meters, sent_orders
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import BUNDLED, TEMPLATES, load

YEAR_DAYS, TARGET_S = 365, 30.0
YEAR_INTERVALS = YEAR_DAYS * 96


def measure(days: int, homes: int) -> dict[str, Any]:
    """Clear every interval of some days from the middle of January on. [s of CPU]"""
    drawn = [f"homes.sample_homes={homes}", "homes.sample_with_replacement=true"]
    span = ["time.start=2016-01-15T00:00:00", f"time.days={days}"]
    setup = prepare(load(TEMPLATES / BUNDLED["street_grid"], overrides=[*drawn, *span]))
    community = setup.community()
    cpu_s, full = np.zeros(setup.intervals), np.zeros(setup.intervals, dtype=np.bool_)
    for i in range(setup.intervals):
        book = closed_book(setup, i, *columns_of(sent_orders(setup, community, i)))
        rules = setup.rules_at(i)
        begun = time.process_time()
        clearing = setup.mechanism.clear(book, rules)
        cpu_s[i] = time.process_time() - begun
        assert clearing.certificate is None or clearing.certificate.holds
        assert setup.nodal is not None
        network = setup.nodal.network
        room = network.room(network.state(network.load(book, clearing.accepted_wh)))
        full[i] = bool((room[: 2 * len(network.limit_wh)] < 1).any())
        community.agree(position_wh(setup, book, clearing)[community.members])
        read_meters(setup, community, i)
    return {
        "homes": homes,
        "nodes": len(setup.nodal.grid.nodes) if setup.nodal is not None else 0,
        "intervals": setup.intervals,
        "binding_share": float(full.mean()),
        "clear_ms": 1e3 * float(np.median(cpu_s)),
        "clear_full_ms": 1e3 * float(np.median(cpu_s[full])) if full.any() else None,
        "clear_s": float(cpu_s.sum()),
        "year_s": float(cpu_s.mean()) * YEAR_INTERVALS,
        "target_s": TARGET_S,
    }


MECHANISMS = ("uniform_price", "zonal_price", "nodal_price")
METRICS = ("overload_hours", "overload_kw", "traded_kwh", "cost_with_market", "binding_share")


def on_the_grid(overrides: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Figures of a run of the scenario under each mechanism, by mechanism and name."""
    found: dict[str, dict[str, float | None]] = {}
    with TemporaryDirectory() as folder:
        for name in MECHANISMS:
            scenario = load(
                TEMPLATES / BUNDLED["street_grid"], overrides=[*overrides, f"market.mechanism={name}"]
            )
            run = RunFolder(ws.run(scenario, out=folder).path)
            facts = facts_of(ac_of_run(run))
            found[name] = {metric: run.metrics[metric] for metric in METRICS}
            for kind in ("metered", "cleared"):
                error = facts[kind]["largest_voltage_error_binding"]
                found[name][f"error_{kind}_percent"] = None if error is None else 100 * error
            found[name]["over_by_ac"] = facts["metered"]["intervals_overloaded"]["ac"]
            found[name]["losses_kwh"] = facts["metered"]["losses_kwh"]
    return found


def print_table(found: dict[str, dict[str, float | None]]) -> None:
    """Print a row a figure."""
    print(f"{'':<24}" + "".join(f"{name:>15}" for name in found))
    for figure in found[MECHANISMS[0]]:
        values = [one[figure] for one in found.values()]
        print(f"{figure:<24}" + "".join(f"{'-' if v is None else f'{v:.3f}':>15}" for v in values))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=345)
    parser.add_argument("--homes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    if asked.grid:
        figures = on_the_grid(asked.set)
        if asked.json:
            print(json.dumps(figures))
        else:
            print_table(figures)
        return
    found = measure(asked.days, asked.homes)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<14} {value if isinstance(value, int) or value is None else round(value, 3)}")


if __name__ == "__main__":
    main()
