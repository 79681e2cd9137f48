"""What it is worth to a home to see the book before the gate closes, as an operator does where orders are in the open.

Usage: python -m benchmarks.seeing_the_book

Every home of the demo plays against the orders of all others in each interval of a day, alone. It multiplies the
distance of its limits from the best price that it can hope for by one factor (1: its true limits), and its surplus is
counted by the true ones. It knows:

truthful    nothing: factor 1
history     which factor was best over all intervals before
book        all orders of this interval: the best reply, which an operator has in the open

Seeing the book is worth `book` less `history`. Sealed orders leave `history`: that their envelopes have one size, and
f shares that fit every key, is for tests/p2p/wire/test_sealing.py to show. The error is that of the mean over homes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import mean, stdev

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from p2p.wire.messages import OrderMessage
from wattswap.nodes.interval import book_of
from wattswap.runs.interval import clear_book
from wattswap.runs.prepare import Setup
from wattswap.simulation.base import Base, base_of
from wattswap.simulation.plan import Shape

FACTORS = tuple(i / 10 for i in range(11))
INTERVALS = 96
TRUE = len(FACTORS) - 1

Surplus = npt.NDArray[np.int64]
"""By home, interval and factor. [nano]"""


def main(_: Sequence[str]) -> int:
    """Print what each home gains over being truthful."""
    base = base_of(Shape(intervals=INTERVALS), True)
    surplus = surpluses(base.setup, base)
    truthful = gains(surplus, lambda home, i: TRUE)
    print(f"{len(truthful)} homes that trade, {INTERVALS} intervals from {first(base.setup)}")
    print(f"{'':<12} {'gain over truthful':>20}")
    for name, choose in (
        ("history", lambda home, i: best_before(surplus, home, i)),
        ("book", lambda home, i: int(np.argmax(surplus[home, i]))),
    ):
        found = gains(surplus, choose)
        shares = [100 * (mine / true - 1) for mine, true in zip(found, truthful, strict=True)]
        error = stdev(shares) / len(shares) ** 0.5
        print(f"{name:<12} {mean(shares):>12.1f} +- {error:.1f} %")
    return 0


def first(setup: Setup) -> str:
    """When the first interval starts."""
    return datetime.fromtimestamp(setup.start_of(0), UTC).strftime("%Y-%m-%dT%H:%MZ")


def surpluses(setup: Setup, base: Base) -> Surplus:
    """The surplus of each home with each factor, the others being truthful; homes that never trade are left out."""
    found = np.zeros((len(setup.roster), INTERVALS, len(FACTORS)), dtype=np.int64)
    for i in range(INTERVALS):
        orders = [said for said in base.ordered[i].values() if isinstance(said, OrderMessage)]
        outside = [line.limit_micro_per_kwh for order in orders for line in order.orders]
        if not outside:
            continue
        for order in orders:
            home = setup.roster.index(order.household)
            others = [one for one in orders if one is not order]
            for number, factor in enumerate(FACTORS):
                mine = shaded(order, factor, min(outside), max(outside))
                found[home, i, number] = surplus_of(setup, i, home, order, [*others, mine])
    traded: Surplus = found[found[:, :, TRUE].sum(axis=1) > 0]
    return traded


def shaded(order: OrderMessage, factor: float, low: int, high: int) -> OrderMessage:
    """An order whose limits are nearer to the best price that it can hope for."""
    lines = []
    for line in order.orders:
        hoped = low if line.side > 0 else high
        limit = hoped + round(factor * (line.limit_micro_per_kwh - hoped))
        lines.append(replace(line, limit_micro_per_kwh=limit))
    return replace(order, orders=tuple(lines))


def surplus_of(setup: Setup, i: int, home: int, true: OrderMessage, orders: list[OrderMessage]) -> int:
    """What a home gains by the market, by its true limits, the best of them first. [nano]"""
    start_s = setup.start_of(i)
    in_order = tuple(sorted(orders, key=lambda one: setup.roster.index(one.household)))
    book = book_of(setup, start_s, in_order)
    clearing = clear_book(setup, i, book)[0]
    total = 0
    for side in (1, -1):
        rows = np.flatnonzero((book.participant == home) & (book.side == side))
        left_wh = int(clearing.accepted_wh[rows].sum())
        paid = int((clearing.accepted_wh[rows] * clearing.price_micro_per_kwh[rows]).sum())
        worth = 0
        own = sorted(
            (line for line in true.orders if line.side == side),
            key=lambda one: -side * one.limit_micro_per_kwh,
        )
        for line in own:
            taken_wh = min(left_wh, line.energy_wh)
            worth += taken_wh * line.limit_micro_per_kwh
            left_wh -= taken_wh
        total += side * (worth - paid)
    return total


def gains(surplus: Surplus, choose: Callable[[int, int], int]) -> list[int]:
    """Surplus of each home over all intervals with the factors that it chooses. [nano]"""
    homes, intervals, _ = surplus.shape
    return [sum(int(surplus[home, i, choose(home, i)]) for i in range(intervals)) for home in range(homes)]


def best_before(surplus: Surplus, home: int, i: int) -> int:
    """The factor with the most surplus in all intervals before, the true one at first."""
    return int(np.argmax(surplus[home, :i].sum(axis=0))) if surplus[home, :i].any() else TRUE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
