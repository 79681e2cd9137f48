"""Many batteries behind one meter: one linear program, and coordination by prices, in CPU seconds and as ratios.

A day of 96 intervals with sun at noon, prices that change with the hour, and batteries that differ in capacity, power,
both efficiencies and wear and end as full as they began. What is timed is `dispatch`, from the data to whole Wh and the
bound; the yardstick is the bare `run()` of HiGHS on the same linear program. The gap is that after rounding, proven by
numpy. With numba (the extra `fast`) and without it the answers are the same; it is used where it is installed.

Usage: python -m benchmarks.dispatch [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import numpy as np

from market.horizon import Store
from market.orders import Storage
from optimizer.blocks.clear import Limits, searched
from optimizer.blocks.hot import HotModel
from optimizer.fleet.community import Community, check_dispatch, dispatch, horizon_of
from optimizer.fleet.fast import compiled_change
from optimizer.fleet.market import MANY
from optimizer.models.multi_interval import compiled

INTERVALS = 96
FEW, TARGET_PROGRAM = (30, 100, MANY - 1), 1.05
TARGET_SHARE, TARGET_GAP = 0.5, 1e-3
TARGET_S = {(1_000, True): 5.0, (1_000, False): 30.0, (3_000, True): 15.0}
"""CPU seconds by batteries and whether numba is there."""
REPEATS = 3
WHOLE_PROGRAM = 300
"""Batteries up to which the one program is solved too."""


def community(count: int, seed: int = 0, limit: float | None = None) -> tuple[Community, tuple[Store, ...]]:
    """Homes and a battery of each.

    Args:
        count: Of homes.
        seed: Draws them.
        limit: Import limit as a share of the peak without batteries.
    """
    rng = np.random.default_rng(seed)
    hour = np.arange(INTERVALS) * 24 / INTERVALS
    load = 81 + 65 * np.exp(-((hour - 7.5) ** 2) / 3) + 162 * np.exp(-((hour - 19) ** 2) / 6)
    sun = 219 * np.sin((hour - 6) / 12 * np.pi).clip(0)
    net = np.rint(count * (load - sun) + rng.normal(0, 5 * count, INTERVALS)).astype(np.int64)
    bought = np.rint(280 + 60 * np.sin(hour / 6 * np.pi + 2) + rng.normal(0, 15, INTERVALS)).astype(np.int64)
    stores = []
    for i in range(count):
        capacity, power = int(rng.integers(4_000, 14_000)), int(rng.integers(2_000, 5_000)) // 4
        kept = int(capacity * rng.uniform(0.2, 0.6))
        rates = (int(rng.integers(9_300, 9_850)) * 100, int(rng.integers(9_300, 9_850)) * 100)
        wear = int(rng.choice([0, 5_000, 10_000, 20_000]))
        terms = Storage(0, INTERVALS - 1, capacity, kept, kept, power, power, *rates, wear)
        stores.append(Store(i, 0, terms))
    most = None if limit is None else int(limit * net.max())
    sold = np.full(INTERVALS, 80_000, dtype=np.int64)
    return Community(net, bought * 1_000, sold, most, 3_000_000), tuple(stores)


def cpu_s(what: Callable[[], Any]) -> float:
    """Median CPU seconds of a call."""
    taken = []
    for _ in range(REPEATS):
        begun = process_time()
        what()
        taken.append(process_time() - begun)
    return statistics.median(taken)


def of_program(count: int) -> dict[str, Any]:
    """One linear program, from the orders to the proven answer, against the bare run of HiGHS."""
    horizon = horizon_of(*community(count))
    limits, ratios, runs = Limits(horizon.price_range, 600.0), [], []
    for _ in range(REPEATS):
        bare = HotModel(compiled(horizon, horizon.price_range).arrays)
        begun = process_time()
        bare._highs.run()
        ran = process_time()
        searched(horizon, limits)
        ratios.append((process_time() - ran) / (ran - begun))
        runs.append(ran - begun)
    return {"batteries": count, "run_s": statistics.median(runs), "ratio": statistics.median(ratios)}


def of_dispatch(count: int, limit: float | None = None) -> dict[str, Any]:
    """Coordination of a number of batteries, checked, and what it does to the peak."""
    given, stores = community(count, limit=limit)
    found = dispatch(given, stores, many=1)
    check_dispatch(given, stores, found)
    bought, _, shed = given.drawn_wh(found.taken_wh.sum(axis=0))
    took_s = cpu_s(lambda: dispatch(given, stores, many=1))
    row = {
        "batteries": count,
        "limit": limit,
        "cpu_s": took_s,
        "check_s": cpu_s(lambda: check_dispatch(given, stores, found)),
        "rounds": found.rounds,
        "gap": found.gap,
        "saved": 1 - found.cost_nano / given.cost_nano(np.zeros_like(given.net_wh)),
        "peak_kwh": int(bought.max()) / 1_000,
        "peak_without_kwh": int(given.net_wh.max()) / 1_000,
        "shed_kwh": int(shed.sum()) / 1_000,
        "target_s": TARGET_S.get((count, compiled_change() is not None)),
    }
    if count <= WHOLE_PROGRAM and limit is None:
        row["share_of_program"] = took_s / cpu_s(partial(dispatch, given, stores, many=count + 1))
    return row


def main(arguments: list[str]) -> None:
    """Print the tables, or everything as JSON."""
    programs = [of_program(count) for count in FEW]
    rows = [of_dispatch(count) for count in (100, 300, 1_000, 3_000)] + [of_dispatch(1_000, 0.8)]
    if "--json" in arguments:
        print(json.dumps({"programs": programs, "dispatch": rows, "numba": compiled_change() is not None}))
        return
    print("numba:", "yes" if compiled_change() is not None else "no (numpy only)")
    print("| batteries | run() s | program / run() |\n|---|---|---|")
    for row in programs:
        print(f"| {row['batteries']} | {row['run_s']:.2f} | {row['ratio']:.2f} |")
    print(f"target below {MANY}: {TARGET_PROGRAM}")
    print(
        "| batteries | limit | CPU s | target | of one program | rounds | gap | saved | peak kWh | without | check s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        share = f"{row['share_of_program']:.2f}" if "share_of_program" in row else "-"
        print(
            f"| {row['batteries']} | {row['limit'] or '-'} | {row['cpu_s']:.2f} | {row['target_s'] or '-'} | {share} |"
            f" {row['rounds']} | {row['gap']:.1e} | {row['saved']:.1%} | {row['peak_kwh']:.0f} |"
            f" {row['peak_without_kwh']:.0f} | {row['check_s']:.3f} |"
        )
    print(f"targets: {MANY} at most {TARGET_SHARE} of one program; gap at most {TARGET_GAP}")


if __name__ == "__main__":
    main(sys.argv[1:])
