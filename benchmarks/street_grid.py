"""CPU time of clearing a year of `street_grid` with 40 homes drawn from its 13, interval by interval, by `nodal_price`.

Homes order, the market clears, and the homes live the interval; only `clear` is timed. Intervals in which a line is
full are counted apart. Without --days 345 days are cleared, which is what the data and two weeks of history leave.

Usage: python -m benchmarks.street_grid [--days N] [--homes N] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from wattswap.runs.books import closed_book, columns_of
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=345)
    parser.add_argument("--homes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.days, asked.homes)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<14} {value if isinstance(value, int) or value is None else round(value, 3)}")


if __name__ == "__main__":
    main()
