"""Every registered mechanism on large books, as ratios to one sort of the limits of the same book in the same run.

One order a participant, unit orders of 1 Wh as in a run, books new for each repetition, all mechanisms in turn on each.
Mechanisms that go through pairs of orders by rule, and the continuous book, are listed apart: no sort bounds them.

Usage: python -m benchmarks.mechanisms [--json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.clearing import measure, random_book
from market.book import OrderBook
from market.mechanism import Mechanism, registered
from market.rules import MarketRules
from wattswap.parameter_reader import rules_with, run_defaults
from wattswap.plugins import load_all

SIZES = {10_000: 21, 100_000: 9}
"""Orders, and books to clear."""

PAIRWISE_SIZES, CONTINUOUS_SIZES = {1_000: 9}, {10_000: 9}
PAIRWISE = ("gsy_", "preferred_partners", "random_bilateral")
"""Names, or how they begin, of mechanisms that are O(n m) by their rule."""

RATIO, VCG_RATIO = 5.0, 10.0
"""Targets of a rule in O(n log n); VCG, which answers a query for each participant, has its own at 10,000 orders."""

ORDERS_PER_S = 300_000
"""Target of the continuous book."""

OUTSIDE = MarketRules(solver="exact", retail_micro_per_kwh=320_000, feed_in_micro_per_kwh=80_000)


def clear_of(mechanism: Mechanism) -> Callable[[OrderBook], Callable[[], Any]]:
    """What is timed: a mechanism under the defaults of a run."""
    rules = rules_with(OUTSIDE, run_defaults(mechanism))
    return lambda book: lambda: mechanism.clear(book, rules)


def argsort_of(book: OrderBook) -> Callable[[], Any]:
    """The yardstick."""
    return lambda: np.argsort(book.limit_micro_per_kwh)


def target_of(name: str, orders: int) -> str:
    """What the mechanism is to reach at a size; empty where nothing is set."""
    if name == "continuous":
        return f">= {ORDERS_PER_S:,} orders/s"
    if name.startswith(PAIRWISE):
        return ""
    if name == "vcg":
        return f"<= {VCG_RATIO:g}" if orders == 10_000 else ""
    return f"<= {RATIO:g}"


def rows() -> list[dict[str, Any]]:
    """Measure every mechanism that clears a book without a grid; one row per mechanism and size."""
    load_all()
    random, found = np.random.default_rng(1), []
    mechanisms = {
        name: m for name, m in registered().items() if not m.promises.needs_grid and name != "retailer_only"
    }
    pairwise = {name: m for name, m in mechanisms.items() if name.startswith(PAIRWISE)}
    continuous = {name: m for name, m in mechanisms.items() if name == "continuous"}
    sorting = {name: m for name, m in mechanisms.items() if name not in {**pairwise, **continuous}}
    for group, sizes in ((sorting, SIZES), (continuous, CONTINUOUS_SIZES), (pairwise, PAIRWISE_SIZES)):
        for orders, books in sizes.items() if group else ():
            methods = {"argsort": argsort_of, **{name: clear_of(m) for name, m in group.items()}}
            medians = measure([random_book(random, orders, 240_000) for _ in range(books + 1)], methods)
            found += [
                {
                    "mechanism": name,
                    "orders": orders,
                    "argsort_us": round(medians["argsort"] * 1e6, 1),
                    "clear_us": round(medians[name] * 1e6, 1),
                    "ratio": round(medians[name] / medians["argsort"], 2),
                    "orders_per_s": round(orders / medians[name]),
                    "target": target_of(name, orders),
                }
                for name in group
            ]
    return found


def main(arguments: list[str]) -> None:
    """Print the medians and ratios as a table, or as JSON."""
    found = rows()
    if "--json" in arguments:
        print(json.dumps(found))
        return
    print(
        f"{'mechanism':<20}{'orders':>8}{'argsort us':>12}{'clear us':>13}{'ratio':>9}{'orders/s':>13}  target"
    )
    for row in found:
        numbers = f"{row['argsort_us']:>12,.1f}{row['clear_us']:>13,.1f}{row['ratio']:>9.2f}{row['orders_per_s']:>13,}"
        print(f"{row['mechanism']:<20}{row['orders']:>8,}{numbers}  {row['target']}")


if __name__ == "__main__":
    main(sys.argv[1:])
