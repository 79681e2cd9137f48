"""Clearing one interval on radial grids with voltages, as ratios to the bare run of HiGHS on the same programs.

Each interval is cleared by `nodal_price` with canonical prices and certificate, and its program is run by highspy
alone: costs and bounds are changed before the clock starts, and only `run()` is timed, hot, from the basis of the
interval before. `congested` intervals need the program, in `carried` ones the grid carries the clearing without limits;
each kind is measured by itself, so that both have the same intervals before. All times are CPU seconds of one process,
medians over the intervals; clearing and bare run take turns. `check` is the same clearing derived from what the solver
found and proven without it, as a validator does, and `bytes` is what it reads for that.

Usage: python -m benchmarks.nodal [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from market.auctions.network import Network, network_of
from market.book import OrderBook
from market.grid import NO_LIMIT, Grid, Lines, Nodes
from market.rules import MarketRules
from optimizer.mechanisms import nodal_price
from optimizer.nodal.program import Slots

SIZES = ((33, 100, 288), (123, 400, 288), (1_000, 3_000, 96))
"""Nodes, homes, intervals."""
TARGETS = {
    (33, "congested"): 3.0,
    (123, "congested"): 3.0,
    (1_000, "congested"): 1.8,
    (33, "carried"): 0.5,
    (123, "carried"): 0.15,
    (1_000, "carried"): 0.05,
}
IMPORT_MICRO, EXPORT_MICRO = 300_000, 80_000


def feeder(random: np.random.Generator, nodes: int, homes: int) -> tuple[Grid, np.ndarray]:
    """A radial feeder whose lines are sized for the homes behind them, and the node of each home."""
    start = np.array([int(random.integers(max(0, i - 4), i)) for i in range(1, nodes)])
    end = np.arange(1, nodes)
    node = random.integers(1, nodes, homes)
    behind = np.bincount(node, minlength=nodes).astype(np.float64)
    for i in range(nodes - 1, 0, -1):
        behind[start[i - 1]] += behind[i]
    limit = np.ceil(800 * behind[1:] ** 0.9 + 400).astype(np.int64)
    limit = np.where(random.random(nodes - 1) < 0.5, limit, NO_LIMIT)
    depth = np.zeros(nodes)
    for i in range(1, nodes):
        depth[i] = depth[start[i - 1]] + 1
    r = (0.5 + random.random(nodes - 1)) * 0.09 / (homes * 0.35 * max(1.0, float(depth.mean())))
    lines = Lines(tuple(f"l{i}" for i in range(nodes - 1)), start, end, r, 0.5 * r, limit)
    names = tuple(f"n{i}" for i in range(nodes))
    return Grid("lindistflow", Nodes(names, np.full(nodes, 0.01 * homes / nodes)), lines), node


def book_of(random: np.random.Generator, node: np.ndarray, hour: float) -> OrderBook:
    """Two orders a home, a buyer or a seller by the sun, and the retailer at the root."""
    sun = max(0.0, np.sin((hour - 6) / 12 * np.pi)) * random.random()
    side = np.repeat(np.where(random.random(len(node)) < 0.8 * sun, -1, 1), 2).astype(np.int8)
    node = np.repeat(node, 2)
    homes = len(node)
    energy = random.integers(25, 750, homes)
    limit = np.where(
        side > 0, random.integers(150_000, 320_000, homes), random.integers(60_000, 200_000, homes)
    )
    plenty = 10 * int(energy.sum())
    return OrderBook.from_columns(
        np.concatenate((np.arange(homes) // 2, [homes, homes + 1])),
        np.concatenate((side, np.array([-1, 1], dtype=np.int8))),
        np.concatenate((energy, [plenty, plenty])),
        np.concatenate((limit, [IMPORT_MICRO, EXPORT_MICRO])),
        np.concatenate((node, [0, 0])),
    )


class BareHighs:
    """The yardstick: the same program in a HiGHS object of its own, of which only `run()` is timed."""

    def __init__(self, network: Network, book: OrderBook) -> None:
        counts = np.bincount(book.node, minlength=len(network.grid.nodes)).astype(np.int64)
        self.slots = Slots(network, counts)

    def run_s(self, book: OrderBook) -> float:
        """CPU time of `run()` on a book. [s]"""
        highs, columns = self.slots.session._highs, self.slots.columns(book)
        index = np.arange(self.slots.size, dtype=np.int32)
        highs.changeColsCost(len(index), index, columns.cost)
        highs.changeColsBounds(len(index), index, columns.lower, columns.upper)
        begun = time.process_time()
        highs.run()
        return time.process_time() - begun


def measure(nodes: int, homes: int, intervals: int, seed: int = 1) -> list[dict[str, Any]]:
    """Clear the intervals of a grid, and run their programs."""
    random = np.random.default_rng(seed)
    grid, node = feeder(random, nodes, homes)
    books = [book_of(random, node, 24 * i / intervals) for i in range(intervals)]
    rules = MarketRules(grid=grid, params={"intervals": "price"})
    kinds: dict[str, list[OrderBook]] = {"congested": [], "carried": []}
    for book in books:
        prices = set(nodal_price.clear(book, rules).node_price)
        kinds["congested" if len(prices) > 1 else "carried"].append(book)
    rows = []
    for what, some in kinds.items():
        bare, times = BareHighs(network_of(grid), books[0]), []
        for book in some:
            run_s = bare.run_s(book)
            begun = time.process_time()
            clearing = nodal_price.clear(book, rules)
            cleared = time.process_time()
            solution = nodal_price.to_bytes(clearing)
            assert clearing.certificate is not None
            assert clearing.certificate.holds
            assert solution is not None
            again = time.process_time()
            derived = nodal_price.derive(book, rules, solution)
            times.append((run_s, cleared - begun, time.process_time() - again, len(solution)))
            assert derived.accepted_wh.tolist() == clearing.accepted_wh.tolist()
        rows += [_row(nodes, homes, what, times)] if times else []
    return rows


def _row(nodes: int, homes: int, what: str, times: list[tuple[float, float, float, int]]) -> dict[str, Any]:
    run_s, clear_s, derive_s, size = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "nodes": nodes,
        "homes": homes,
        "intervals": len(times),
        "what": what,
        "run_ms": 1e3 * run_s,
        "clear_ms": 1e3 * clear_s,
        "ratio": clear_s / run_s,
        "derive_ms": 1e3 * derive_s,
        "solution_bytes": size,
        "target": TARGETS.get((nodes, what)),
    }


def main(arguments: list[str]) -> None:
    """Measure and print."""
    rows = [row for size in SIZES for row in measure(*size)]
    if "--json" in arguments:
        print(json.dumps(rows))
        return
    print(
        f"{'nodes':>5} {'homes':>6} {'intervals':>9}  {'what':<10} {'run ms':>8} {'clear ms':>8} {'ratio':>6}"
        f" {'check ms':>8} {'bytes':>6}  target"
    )
    for r in rows:
        print(
            f"{r['nodes']:>5} {r['homes']:>6} {r['intervals']:>9}  {r['what']:<10} {r['run_ms']:>8.3f}"
            f" {r['clear_ms']:>8.3f} {r['ratio']:>6.2f} {r['derive_ms']:>8.3f} {r['solution_bytes']:>6.0f}"
            f"  <= {r['target']}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
