"""Sizes of a common battery: warm against cold solves of one program, whole studies, and ten Californian homes.

Warm: one session whose bounds change from size to size. Cold: a new session for each size. Both in turn in one run, CPU
seconds, medians. Homes: the bundled street with a dear evening, 28 days and 350, quarter hours.

Usage: python -m benchmarks.sizing [--homes FOLDER] [--times N] [--only warm|study|california]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import wattswap as ws
from benchmarks.market_game import CALIFORNIA, HEAD
from optimizer.storage.plan import Planner
from optimizer.storage.rules import self_consuming
from optimizer.storage.store import Demand, Store
from optimizer.storage.whole import whole
from wattswap.results import BatterySizes
from wattswap.scenario.load import Scenario
from wattswap.sizing.homes import Homes, homes_of
from wattswap.sizing.walk import walked

SIZES_KWH: Final = range(0, 61, 10)
EVENING: Final = (
    'tariff.time_of_use=[{ days = "mon-fri", from = "17:00", to = "21:00", import_per_kwh = 0.45 }]'
)
WINDOWS: Final = {
    "28 days": ("time.start=2016-09-01", "time.days=28"),
    "350 days": ("time.start=2016-01-15", "time.end=2016-12-30"),
}
POOLED: Final = Store(64_000, 50_000, 949_000, 949_000)
TARGET_S: Final = 10.0


def street(window: str) -> Scenario:
    """The bundled street with a dear evening over a window."""
    cost = "community.battery.cost_per_kwh=400"
    return ws.demo([*WINDOWS[window], EVENING, cost])


def stores(minutes: int) -> list[Store]:
    """Batteries of the sizes with 0.5 kW for each kWh."""
    return [Store(kwh * 1_000, kwh * 500 * minutes // 60, 950_000, 950_000) for kwh in SIZES_KWH]


def cpu_s(solve: Callable[[Demand, list[Store]], object], demand: Demand, sizes: list[Store]) -> float:
    """CPU seconds of all sizes."""
    begun = time.process_time()
    solve(demand, sizes)
    return time.process_time() - begun


def warm(demand: Demand, sizes: list[Store]) -> list[float]:
    """Costs of all sizes by one session. [nano-currency]"""
    planner = Planner(demand, sizes[0])
    return [planner.plan(size).cost_nano for size in sizes]


def cold(demand: Demand, sizes: list[Store]) -> list[float]:
    """The same by a session for each. [nano-currency]"""
    return [Planner(demand, size).plan(size).cost_nano for size in sizes]


def warm_and_cold(times: int) -> None:
    """Print one line a window."""
    for window in WINDOWS:
        homes = homes_of(street(window))
        demand, sizes = homes.demand, stores(homes.setup.minutes)
        off = max(
            abs(a - b) / max(abs(a), 1) for a, b in zip(warm(demand, sizes), cold(demand, sizes), strict=True)
        )
        taken = [(cpu_s(warm, demand, sizes), cpu_s(cold, demand, sizes)) for _ in range(times)]
        hot, new = (median(column) for column in zip(*taken, strict=True))
        print(
            f"{window:<9} {len(demand.need_wh):>6} intervals, {len(sizes)} sizes: warm {hot:.2f} s, cold {new:.2f} s,"
            f" ratio {new / hot:.1f}; costs differ by {off:.0e}",
            flush=True,
        )


def studied(scenario: Scenario) -> tuple[float, float, BatterySizes]:
    """CPU seconds until the sizes are done and of the rest, and the study."""
    begun, at = time.process_time(), dict[str, float]()

    def on_step(what: str, done: int, total: int) -> None:
        at[what] = time.process_time()

    study = ws.size_battery(scenario, SIZES_KWH, share_at=30, on_step=on_step)
    return at["sizes"] - begun, time.process_time() - at["sizes"], study


def studies(times: int) -> None:
    """Print what a whole study takes, homes and shares included."""
    for window in WINDOWS:
        scenario = street(window)
        found = [studied(scenario) for _ in range(times)]
        taken, study = [one[:2] for one in found], found[-1][2]
        sizes_s, shares_s = (median(column) for column in zip(*taken, strict=True))
        method = study.sharing and study.sharing.method
        size = study.sizes[3]
        print(
            f"{window:<9} study: homes and sizes {sizes_s:.1f} s (target {TARGET_S:.0f}), shares {shares_s:.1f} s"
            f" ({method}); 30 kWh save {size.best.saving_per_year:.0f} a year at most,"
            f" {size.rule.saving_per_year:.0f} by rule",
            flush=True,
        )


def california(folder: Path) -> None:
    """Print the costs of ten homes with one battery of 64 kWh, 28 days."""
    if not folder.exists():
        print(f"left out: ten Californian homes, no data at {folder}")
        return
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "scenario.toml"
        head = HEAD.format(currency="USD", start="2016-09-01T07:00:00Z")
        file.write_text(head + CALIFORNIA.format(path=folder.resolve()), encoding="utf-8")
        homes: Homes = homes_of(ws.load(file, overrides=['homes.batteries="none"']))
    demand = homes.demand
    costs = {
        "no battery": demand.cost_nano(),
        "rule": demand.cost_nano(self_consuming(demand, POOLED).taken_wh),
        "plan from forecasts": demand.cost_nano(walked(homes, demand, [POOLED])[0].taken_wh),
        "known future": demand.cost_nano(
            whole(demand, POOLED, Planner(demand, POOLED).plan(POOLED)).taken_wh
        ),
    }
    print(
        "ten Californian homes: " + ", ".join(f"{name} {cost / 1e9:.1f}" for name, cost in costs.items()),
        "USD",
    )


def main(argv: list[str]) -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing")
    parser.add_argument("--homes", type=Path, default=Path("../shared/data/homes_fontana_ca"))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", choices=("warm", "study", "california"))
    given = parser.parse_args(argv)
    if given.only in (None, "warm"):
        warm_and_cold(given.times)
    if given.only in (None, "study"):
        studies(given.times)
    if given.only in (None, "california"):
        california(given.homes)


if __name__ == "__main__":
    main(sys.argv[1:])
