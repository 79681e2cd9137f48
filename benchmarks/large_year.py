"""A year of 1,000 homes in quarters of an hour: memory of the workers of a comparison that share its columns.

The homes are drawn from the bundled village, with production of their own, shuffled and scaled by a seed; they are no
real homes. Their columns are written to a temporary folder, as an import does. One worker, then several at once, run
each a cell: of some days spread over the whole year, so that all pages are read, or with `--whole` of every interval.
RSS is what a process has mapped, pages of the columns included; PSS divides the shared ones among the processes.

Usage: python -m benchmarks.large_year [--json] [--homes N] [--days N] [--workers N] [--every DAYS | --whole]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from data.readings import MeterData, Source
from data.store import columns
from market.units import IntArray

TARGETS = {"peak_rss_mb": 700, "pss_mb": 3_000}
KEY = "year"

SCENARIO = """\
schema = 1
name = "large-year"
currency = "EUR"

[time]
start = 2016-02-15T00:00:00Z
days = {days}

[data]
sample = "village"  # in the place of which the workers map the columns

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08

[homes]
{more}
"""


def drawn(homes: int, days: int, seed: int) -> MeterData:
    """Homes like those of the bundled village, each shifted by whole weeks and scaled by 0.7 to 1.3; int32."""
    from data import samples

    village, draw, per_day = samples.load("village"), np.random.default_rng(seed), 96
    source, shift = (
        draw.integers(0, len(village.households), homes),
        draw.integers(0, 52, homes) * 7 * per_day,
    )
    scale = draw.integers(700, 1_301, homes)
    rows = days * per_day

    def column(energy_wh: IntArray) -> IntArray:
        found = np.empty((rows, homes), dtype=np.int32)
        for row in range(0, rows, per_day):
            time = (np.arange(row, row + per_day)[:, None] + shift) % (364 * per_day)
            found[row : row + per_day] = energy_wh[time, source] * scale // 1_000
        return found  # type: ignore[return-value]

    return MeterData(
        households=tuple(f"home-{i:04d}" for i in range(homes)),
        start_s=1_451_865_600,
        minutes=15,
        import_wh=column(village.import_wh),
        export_wh=column(village.export_wh),
        quality=np.zeros((rows, homes), dtype=np.uint8),
        sub_meters={"pv": column(village.sub_meters["pv"])},
        batteries=(None,) * homes,
        source=Source("large_year", "0" * 64),
    )


def made(folder: Path, homes: int, days: int, seed: int, more: str) -> None:
    """Write columns and scenario."""
    if columns.write(folder, KEY, drawn(homes, days, seed)) is None:
        raise SystemExit(f"{folder} has no room for the columns")
    text = SCENARIO.format(days=days - 45, more=more)
    (folder / "scenario.toml").write_text(text, encoding="utf-8")


def lived(folder: Path, every: int, marks: dict[str, str], line: Any) -> None:
    """One cell, in a worker of its own; sends its peak and waits to be measured beside the others."""
    from wattswap.comparison import cells
    from wattswap.runs import checked
    from wattswap.runs.prepare import Setup, prepare
    from wattswap.scenario.load import load

    columns.trust(marks)

    def mapped(_scenario: object) -> MeterData:
        data = columns.open(folder, KEY)
        assert data is not None, "the columns are there"
        return data

    checked.load_meter = mapped
    begun, cpu, intervals = time.perf_counter(), time.process_time(), 0
    setup = prepare(load(folder / "scenario.toml"))
    prepared_mb, seen = peak_mb(), list[int]()
    for part in spread(setup, every) if every else [setup]:
        cells.run_cell(part)
        intervals += part.intervals
        seen.append(round(smaps_mb(os.getpid())["Rss"]))
    figures = {
        "peak_rss_mb": peak_mb(),
        "prepared_mb": prepared_mb,
        "rss_mb": seen[:: max(len(seen) // 10, 1)],
        "intervals": intervals,
        "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
    }
    assert isinstance(setup, Setup)
    # As all workers look at any moment of the run: with the pages of the days that they live.
    touched = int(setup.meter.import_wh[-96 * 30 :].sum()) + int(setup.meter.export_wh[-96 * 30 :].sum())
    line.send({**figures, "touched_wh": touched})
    line.recv()


def spread(setup: Any, every: int) -> Iterator[Any]:
    """The same homes over single days of the year, one of so many; the history of each begins with the readings."""
    for day in range(0, setup.intervals // setup.steps_per_day, every):
        first = day * setup.steps_per_day
        prices = tuple(_rows(one, first, setup.steps_per_day) for one in setup.tariffs.gross)
        net = tuple(
            one[first : first + setup.steps_per_day] for one in setup.tariffs.net_import_micro_per_kwh
        )
        yield replace(
            setup,
            first_row=setup.first_row + first,
            start_s=setup.start_of(first),
            intervals=setup.steps_per_day,
            tariffs=replace(setup.tariffs, gross=prices, net_import_micro_per_kwh=net),
        )


def _rows(prices: Any, first: int, rows: int) -> Any:
    part = slice(first, first + rows)
    return replace(
        prices,
        import_micro_per_kwh=prices.import_micro_per_kwh[part],
        feed_in_micro_per_kwh=prices.feed_in_micro_per_kwh[part],
    )


def peak_mb() -> float:
    """Largest resident size of this process so far. [MB]"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def smaps_mb(process: int) -> dict[str, float]:
    """RSS and PSS of a process by Linux. [MB]"""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name: int(size.split()[0]) / 1e3 for name, size in (line.split(":") for line in lines)}


def together(folder: Path, workers: int, every: int) -> dict[str, Any]:
    """Run a cell in each of some workers at once; the largest PSS of all together is sampled while they run."""
    context, marks = get_context("spawn"), columns.checked()
    lines, processes = [], []
    for _ in range(workers):
        here, there = context.Pipe()
        process = context.Process(target=lived, args=(folder, every, marks, there))
        process.start()
        lines.append(here)
        processes.append(process)
    found: list[dict[str, Any]] = []
    most_pss = 0.0
    while len(found) < workers:
        refuse_ended(processes)
        found += [line.recv() for line in lines if line.poll(0)]
        most_pss = max(most_pss, sum(_pss_mb(process.pid) for process in processes))
        time.sleep(0.2)
    for line in lines:
        line.send("done")
    for process in processes:
        process.join()
    return {
        "workers": workers,
        "pss_mb": most_pss,
        "peak_rss_mb": max(one["peak_rss_mb"] for one in found),
        "of_each": found,
    }


def refuse_ended(processes: list[Any]) -> None:
    """Stop where a worker has ended by itself, instead of waiting for it.

    Raises:
        SystemExit: One has.
    """
    if any(process.exitcode is not None for process in processes):
        raise SystemExit("a worker has ended by itself")


def _pss_mb(process: int | None) -> float:
    try:
        return smaps_mb(process or 0).get("Pss", 0.0)
    except (OSError, ValueError):
        return 0.0


def main(arguments: list[str]) -> None:
    """Measure one worker and several, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_year", description=__doc__)
    parser.add_argument("--homes", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--more", default="", help="lines of [homes] of the scenario")
    parser.add_argument("--every", type=int, default=24, help="days of which one is lived")
    parser.add_argument("--whole", action="store_true", help="every interval of the year")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="wattswap-year-") as name:
        folder = Path(name)
        made(folder, given.homes, given.days, given.seed, given.more)
        size_mb = sum(path.stat().st_size for path in folder.rglob("*.bin")) / 1e6
        rows = [
            together(folder, workers, 0 if given.whole else given.every)
            for workers in dict.fromkeys((1, given.workers))
        ]
    if given.json:
        print(json.dumps({"columns_mb": size_mb, "targets": TARGETS, "rows": rows}))
        return
    print(f"{given.homes} homes, {given.days} days of 15 minutes: {size_mb:.0f} MB of columns")
    for row in rows:
        one = row["of_each"][0]
        print(
            f"{row['workers']} worker(s): peak RSS {row['peak_rss_mb']:.0f} MB each (target {TARGETS['peak_rss_mb']}),"
            f" PSS of all {row['pss_mb']:.0f} MB (target {TARGETS['pss_mb']});"
            f" {one['intervals']} intervals, {one['cpu_s']:.0f} s CPU, prepared at {one['prepared_mb']:.0f} MB,"
            f" RSS on the way {one['rss_mb']}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
