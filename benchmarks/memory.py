"""Memory of a process that solves hot for a year: resident size after 1,000, 10,000 and 35,040 solves of each session.

Every program is solved again with other numbers, as the intervals of a year are: `nodal_price` on a congested feeder,
`uniform_price` by HiGHS with books of changing size, the linear program of storages in a horizon, and the plan of
a common battery. Each in a process of its own.

Usage: python -m benchmarks.memory [--json] [SESSION ...]; all of them take some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.blocks import with_storages
from benchmarks.nodal import book_of, feeder
from market.book import OrderBook
from market.grid import NO_LIMIT
from market.rules import MarketRules
from optimizer.mechanisms import multi_interval, nodal_price, uniform_price
from optimizer.storage.plan import Planner
from optimizer.storage.store import Demand, Store

SOLVES = (1_000, 10_000, 35_040)
BOOKS = 97
"""Books that come in turn: more than any session keeps."""
DRAWN = 300
"""Books of the feeder, of which many need no program."""
PERIODS = 8

Solve = Callable[[int], object]


def nodal() -> Solve:
    """A feeder of 20 nodes and 60 homes, in intervals in which a limit binds."""
    random = np.random.default_rng(1)
    wide, node = feeder(random, 20, 60)
    limit_wh = wide.lines.limit_wh
    narrow = np.where(limit_wh == NO_LIMIT, limit_wh, limit_wh * 3 // 10)
    grid = replace(wide, lines=replace(wide.lines, limit_wh=narrow))
    rules = MarketRules(grid=grid, params={"intervals": "price"})
    drawn = [book_of(random, node, 24 * i / DRAWN) for i in range(DRAWN)]
    books = [book for book in drawn if len(set(nodal_price.clear(book, rules).node_price)) > 1][:BOOKS]
    assert len(books) == BOOKS
    return lambda i: nodal_price.clear(books[i % BOOKS], rules)


def uniform() -> Solve:
    """Books of 20 to 116 orders."""
    random = np.random.default_rng(2)
    books = [
        OrderBook.from_columns(
            np.arange(orders),
            np.where(random.random(orders) < 0.5, 1, -1).astype(np.int8),
            random.integers(1, 3_000, orders),
            random.integers(80_000, 300_000, orders),
        )
        for orders in range(20, 20 + BOOKS)
    ]
    rules = MarketRules(solver="highs")
    return lambda i: uniform_price.clear(books[i % BOOKS], rules)


def horizon() -> Solve:
    """Eight intervals with three storages: a program is compiled for each horizon, and its session made and dropped."""
    books = [with_storages(seed, 3, PERIODS, 4) for seed in range(BOOKS)]
    return lambda i: multi_interval.clear(books[i % BOOKS], MarketRules())


def common_battery() -> Solve:
    """One hot program of a day in hours, for one size after the other."""
    random = np.random.default_rng(3)
    need, offer = random.integers(0, 4_000, (2, 24))
    demand = Demand(need, offer, random.integers(200_000, 400_000, 24), np.full(24, 80_000), 10_000)
    planner = Planner(demand, Store(0, 0, 950_000, 950_000))
    return lambda i: planner.plan(Store(1_000 + 37 * (i % BOOKS), 2_000, 950_000, 950_000))


SESSIONS: dict[str, Callable[[], Solve]] = {
    "nodal_price": nodal,
    "uniform_price, highs": uniform,
    "multi_interval, storages": horizon,
    "common battery": common_battery,
}


def resident_kb() -> int:
    """Memory of this process that is resident, by Linux. [KiB]"""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_024


def resident_after(solve: Solve, counts: Sequence[int]) -> Iterator[int]:
    """Resident memory after each of these numbers of solves, ascending. [KiB]"""
    done = 0
    for count in counts:
        for i in range(done, count):
            solve(i)
        done = count
        yield resident_kb()


def measure(name: str) -> dict[str, Any]:
    """One session, in this process."""
    begun = time.process_time()
    found = list(resident_after(SESSIONS[name](), SOLVES))
    return {"session": name, "resident_kb": found, "cpu_s": time.process_time() - begun}


def main(arguments: list[str]) -> None:
    """Measure and print, each session as it comes; all, or those named."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Resident memory of a process that solves for a year; all sessions take some minutes.",
    )
    known = ", ".join(f'"{name}"' for name in SESSIONS)
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help=f"{known}; all where none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object a session")
    given = parser.parse_args(arguments)
    for name in given.sessions:
        if name not in SESSIONS:
            parser.error(f"no session {name!r}; known: {known}")
    if not given.json:
        print("resident memory after so many solves, and the CPU time of all")
        print(f"{'session':<26}" + "".join(f"{count:>13,}" for count in SOLVES), flush=True)
    for name in given.sessions or SESSIONS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(measure, name).result()
        if given.json:
            print(json.dumps(row), flush=True)
            continue
        sizes = "".join(f"{kb / 1_024:>10.1f} MB" for kb in row["resident_kb"])
        print(f"{row['session']:<26}{sizes}{row['cpu_s']:>9.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
