"""Every registered mechanism on large books, as ratios to one sort of the limits of the same book in the same run.

Unit orders of 1 Wh as in a run, books new for each repetition, all mechanisms in turn on each. Two kinds of books: one
order a participant with limits of a micro, and four of each on average, on both sides, with limits of a tenth of a
cent, so that most of them tie. The continuous book is listed apart: no sort bounds it.

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
from market.mechanism import MECHANISMS, Mechanism
from market.parameters import rules_with
from market.rules import MarketRules
from wattswap.inputs.parameters import run_defaults

SIZES = {10_000: 21, 100_000: 9}
"""Orders, and books to clear."""

CONTINUOUS_SIZES = {10_000: 9}

FREED = 2**21
"""Length of a column that is made and freed before: until a process has done so, glibc gives the memory of every column
back to the system, and a clearing is slower by the page faults of the next one."""

RATIO, VCG_RATIO = 5.0, 10.0
"""Targets of a rule in O(n log n); VCG, which answers a query for each participant, has its own at 10,000 orders."""

PASS_OVER = ("gsy_pay_as_bid", "preferred_partners")
"""Go from pair to pair where somebody is on both sides, because own orders pass each other over."""

ORDERS_PER_S = 300_000
"""Target of the continuous book."""

OUTSIDE = MarketRules(solver="exact", retail_micro_per_kwh=320_000, feed_in_micro_per_kwh=80_000)


def one_each(random: np.random.Generator, orders: int) -> OrderBook:
    """A book of participants with one order each, hardly any limit twice."""
    return random_book(random, orders, 240_000)


def some_each(random: np.random.Generator, orders: int, participants: int = 0) -> OrderBook:
    """A book of participants with several orders each, four if their number is not given, and 240 limits."""
    book = random_book(random, orders, 240)
    who = random.integers(0, participants or max(orders // 4, 1), orders)
    return OrderBook.from_columns(who, book.side, book.energy_wh, book.limit_micro_per_kwh)


KINDS: dict[str, Callable[[np.random.Generator, int], OrderBook]] = {
    "one each": one_each,
    "four each": some_each,
}
"""Kinds of books."""


def clear_of(mechanism: Mechanism, **params: str) -> Callable[[OrderBook], Callable[[], Any]]:
    """What is timed: a mechanism under the defaults of a run, but for some parameters."""
    rules = rules_with(OUTSIDE, {**run_defaults(mechanism), **params})
    return lambda book: lambda: mechanism.clear(book, rules)


def argsort_of(book: OrderBook) -> Callable[[], Any]:
    """The yardstick."""
    return lambda: np.argsort(book.limit_micro_per_kwh)


def target_of(name: str, orders: int, kind: str) -> str:
    """What the mechanism is to reach on a book; empty where nothing is set."""
    if name == "continuous":
        return f">= {ORDERS_PER_S:,} orders/s"
    if name in PASS_OVER and kind != "one each":
        return ""
    if name == "vcg":
        return f"<= {VCG_RATIO:g}" if orders == 10_000 else ""
    return f"<= {RATIO:g}"


def rows() -> list[dict[str, Any]]:
    """Measure every mechanism that clears a book without a grid; one row per kind of book, size and mechanism."""
    np.ones(FREED)
    random, found = np.random.default_rng(1), []
    mechanisms = {
        name: m
        for name, m in MECHANISMS.all().items()
        if not m.promises.needs_places and m.scope != "horizon" and name != "retailer_only"
    }
    continuous = mechanisms.pop("continuous")
    sorting = {name: clear_of(m) for name, m in mechanisms.items()}
    for kind, book_of in KINDS.items():
        for orders, count in SIZES.items():
            found += _measured(kind, orders, [book_of(random, orders) for _ in range(count + 1)], sorting)
        for orders, count in CONTINUOUS_SIZES.items():
            books = [book_of(random, orders) for _ in range(count + 1)]
            found += _measured(kind, orders, books, {"continuous": clear_of(continuous)})
    skip = {"continuous": clear_of(continuous, self_trade="skip")}
    for participants in (2, 3):
        for orders, count in CONTINUOUS_SIZES.items():
            books = [some_each(random, orders, participants) for _ in range(count + 1)]
            found += _measured(f"of {participants}, skip", orders, books, skip)
    return found


def _measured(
    kind: str,
    orders: int,
    books: list[OrderBook],
    methods: dict[str, Callable[[OrderBook], Callable[[], Any]]],
) -> list[dict[str, Any]]:
    medians = measure(books, {"argsort": argsort_of, **methods})
    return [
        {
            "mechanism": name,
            "book": kind,
            "orders": orders,
            "argsort_us": round(medians["argsort"] * 1e6, 1),
            "clear_us": round(medians[name] * 1e6, 1),
            "ratio": round(medians[name] / medians["argsort"], 2),
            "orders_per_s": round(orders / medians[name]),
            "target": target_of(name, orders, kind),
        }
        for name in methods
    ]


def main(arguments: list[str]) -> None:
    """Print the medians and ratios as a table, or as JSON."""
    found = rows()
    if "--json" in arguments:
        print(json.dumps(found))
        return
    numbers = f"{'argsort us':>12}{'clear us':>13}{'ratio':>9}{'orders/s':>13}"
    print(f"{'mechanism':<20}{'book':<12}{'orders':>8}{numbers}  target")
    for row in found:
        numbers = f"{row['argsort_us']:>12,.1f}{row['clear_us']:>13,.1f}{row['ratio']:>9.2f}{row['orders_per_s']:>13,}"
        print(f"{row['mechanism']:<20}{row['book']:<12}{row['orders']:>8,}{numbers}  {row['target']}")


if __name__ == "__main__":
    main(sys.argv[1:])
