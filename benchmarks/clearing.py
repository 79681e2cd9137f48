"""Clearing one interval at a uniform price, as ratios to yardsticks of the same run.

`exact` is measured against what any sorting method must do at least: one numpy argsort of the limits and the
cumulative energies of both sides. `highs` is measured against the bare highspy loop on the same books: change
costs, change bounds, run, read the values. Books are new for each repetition; all methods take turns on each.

Usage: python -m benchmarks.clearing [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.rules import MarketRules
from optimizer.mechanisms import uniform_price
from optimizer.solver.session import OPTIONS

EXACT_SIZES, HIGHS_SIZES = (100, 1_000, 10_000, 100_000), (100, 1_000, 10_000)
TARGETS = {("exact", 10_000): 1.0, ("exact", 100_000): 1.0, ("highs", 100): 1.3, ("highs", 1_000): 1.3}
EXACT, HIGHS = MarketRules(solver="exact"), MarketRules(solver="highs")


def random_book(random: np.random.Generator, orders: int, prices: int) -> OrderBook:
    """A book of bids and offers in equal parts, whose limits are drawn from so many prices."""
    side = np.where(random.random(orders) < 0.5, 1, -1).astype(np.int8)
    energy = random.integers(1, 5_000, orders)
    limit = 80_000 + 240_000 * random.integers(0, prices, orders) // prices
    return OrderBook.from_columns(np.arange(orders), side, energy, limit)


def sort_and_sum(book: OrderBook) -> None:
    """The yardstick of `exact`: both curves of the book."""
    order = book.limit_micro_per_kwh.argsort()
    energy, is_buy = book.energy_wh[order], book.side[order] > 0
    np.cumsum(energy * is_buy)
    np.cumsum(energy * ~is_buy)


class BareHighs:
    """The yardstick of `highs`: the program of a book in its own order, re-solved by the least that must be called."""

    def __init__(self, orders: int) -> None:
        import highspy

        self.highs = highspy.Highs()
        for name in ("output_flag", "presolve", "solver", "threads"):
            self.highs.setOptionValue(name, OPTIONS[name])
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = orders, 1
        lp.col_cost_ = lp.col_lower_ = lp.col_upper_ = np.zeros(orders)
        lp.row_lower_ = lp.row_upper_ = np.zeros(1)
        lp.a_matrix_.start_ = np.arange(orders + 1, dtype=np.int32)
        lp.a_matrix_.index_, lp.a_matrix_.value_ = np.zeros(orders, dtype=np.int32), np.ones(orders)
        self.highs.passModel(lp)
        self.columns = np.arange(orders, dtype=np.int32)

    def solver_of(self, book: OrderBook) -> Callable[[], Any]:
        """Prepare the arrays of a book; the function returned is what is timed."""
        signed = (book.side * book.energy_wh).astype(np.float64)
        cost = -book.limit_micro_per_kwh.astype(np.float64)
        lower, upper = np.minimum(signed, 0.0), np.maximum(signed, 0.0)

        def solve() -> Any:
            self.highs.changeColsCost(len(cost), self.columns, cost)
            self.highs.changeColsBounds(len(cost), self.columns, lower, upper)
            self.highs.run()
            return self.highs.getSolution().col_value

        return solve


def measure(
    books: list[OrderBook], methods: dict[str, Callable[[OrderBook], Callable[[], Any]]]
) -> dict[str, float]:
    """Median time of each method over the books, all methods in turn on each book. [s]"""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for number, book in enumerate(books):
        for name, prepare in methods.items():
            run = prepare(book)
            begun = time.perf_counter()
            run()
            if number:  # the first book warms up
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


def rows() -> list[dict[str, Any]]:
    """Measure everything; one row per solver, size and number of prices."""
    found = []
    random = np.random.default_rng(1)
    cases = [("exact", n, 240_000) for n in EXACT_SIZES] + [("exact", n, 50) for n in EXACT_SIZES[2:]]
    cases += [("highs", n, 240_000) for n in HIGHS_SIZES]
    for solver, orders, prices in cases:
        repeats = max(11, min(301, 300_000 // orders))
        books = [random_book(random, orders, prices) for _ in range(repeats)]
        if solver == "exact":
            methods: dict[str, Callable[[OrderBook], Callable[[], Any]]] = {
                "yardstick": lambda book: lambda: sort_and_sum(book),
                "ours": lambda book: lambda: clear_exact(book, EXACT),
            }
        else:
            methods = {
                "yardstick": BareHighs(orders).solver_of,
                "ours": lambda book: lambda: uniform_price.clear(book, HIGHS),
            }
        medians = measure(books, methods)
        found.append(
            {
                "solver": solver,
                "orders": orders,
                "prices": prices,
                "yardstick_us": round(medians["yardstick"] * 1e6, 1),
                "ours_us": round(medians["ours"] * 1e6, 1),
                "ratio": round(medians["ours"] / medians["yardstick"], 2),
                "target": TARGETS.get((solver, orders)) if prices > orders else None,
            }
        )
    return found


def main(arguments: list[str]) -> None:
    """Print the medians and ratios as a table, or as JSON."""
    found = rows()
    if "--json" in arguments:
        print(json.dumps(found))
        return
    print(f"{'solver':<7}{'orders':>8}{'prices':>9}{'yardstick us':>14}{'clear us':>11}{'ratio':>7}  target")
    for row in found:
        target = "" if row["target"] is None else f"<= {row['target']}"
        numbers = f"{row['yardstick_us']:>14,.1f}{row['ours_us']:>11,.1f}{row['ratio']:>7.2f}"
        print(f"{row['solver']:<7}{row['orders']:>8,}{row['prices']:>9,}{numbers}  {target}")


if __name__ == "__main__":
    main(sys.argv[1:])
