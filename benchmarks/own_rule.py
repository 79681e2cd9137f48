"""A rule written in Pyomo: compiled once and then given numbers, against built and solved by Pyomo for each book.

The rule is that of docs/how-to/own-rule.md: no home sells more than 40 % of what is sold. Both ways clear the same
books, in turn, and their welfare is compared.

Usage: python -m benchmarks.own_rule
"""

from __future__ import annotations

import sys
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from pyomo.environ import ConcreteModel, Constraint, Var

from market.book import OrderBook
from optimizer.own_rule import Structure, allocate, solve_with_pyomo

BOOKS = 20
SIZES = (40, 400)


def two_fifths(structure: Structure) -> Any:
    """No home sells more than two fifths of what is sold."""
    model = ConcreteModel()
    model.quantity = Var(structure.orders)
    model.balance = Constraint(expr=sum(model.quantity[i] for i in structure.orders) == 0)
    sold = -sum(model.quantity[i] for i in structure.offers)
    model.share = Constraint(structure.offers, rule=lambda model, i: -model.quantity[i] <= 0.4 * sold)
    return model


def books_of(orders: int) -> list[OrderBook]:
    """Books of one structure: half bids, half offers, other numbers each time."""
    random = np.random.default_rng(7)
    side = np.where(np.arange(orders) % 2 == 0, 1, -1).astype(np.int8)
    who = np.arange(orders)
    return [
        OrderBook.from_columns(
            who, side, random.integers(0, 2_000, orders), random.integers(80_000, 300_000, orders)
        )
        for _ in range(BOOKS)
    ]


def main(_: list[str]) -> None:
    """Print one line a size."""
    for orders in SIZES:
        compiled_s, plain_s = [], []
        for book in books_of(orders):
            begun = process_time()
            accepted, _proof = allocate(two_fifths, book)
            between = process_time()
            quantity = solve_with_pyomo(two_fifths(Structure.of_book(book)), book)
            plain_s.append(process_time() - between)
            compiled_s.append(between - begun)
            limits = book.limit_micro_per_kwh
            apart = float(quantity @ limits - (book.side * accepted) @ limits)
            # Rounding to whole Wh moves an order by less than 1 Wh.
            assert abs(apart) <= orders * int(limits.max()), apart
        ours, theirs = (1e3 * median(found[1:]) for found in (compiled_s, plain_s))
        print(
            f"{orders} orders: compiled once {ours:.2f} ms of CPU (the first {1e3 * compiled_s[0]:.0f}),"
            f" built and solved by Pyomo {theirs:.1f} ms, {theirs / ours:.0f} times"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
