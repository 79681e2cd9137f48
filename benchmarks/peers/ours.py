"""The books that both packages clear, and our side of the comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.mechanism import MECHANISMS
from market.rules import MarketRules, Value

Row = dict[str, Any]
PRICE_STEP_MICRO = 10
"""pymarket takes prices as equal that agree in 5 decimals."""


def made_up(
    random: np.random.Generator, orders: int, participants: int | None = None, *, units: bool = False
) -> list[Row]:
    """A book of bids and offers in equal parts, no two limits equal.

    Args:
        random: Where it is drawn from.
        orders: How many.
        participants: Who hold them in turn; as many as orders if left out.
        units: All of 1 kWh, so that both curves step together.
    """
    price = 8_000 + random.permutation(max(24_000, 20 * orders))[:orders]
    return [
        {
            "participant": row % (participants or orders),
            "side": "buy" if random.random() < 0.5 else "sell",
            "quantity_kwh": 1.0 if units else int(random.integers(1, 5_000)) / 1_000,
            "price_per_kwh": int(price[row]) * PRICE_STEP_MICRO / 1_000_000,
        }
        for row in range(orders)
    ]


def book_of(rows: list[Row]) -> OrderBook:
    """The book of these rows; ids are their numbers."""
    return OrderBook.from_orders(
        Order(
            str(i),
            row["participant"],
            Side.BUY if row["side"] == "buy" else Side.SELL,
            round(row["quantity_kwh"] * 1_000),
            round(row["price_per_kwh"] * 1_000_000),
            i,
        )
        for i, row in enumerate(rows)
    )


def clear_ours(book: OrderBook, mechanism: str, **params: Value) -> Clearing:
    """Clear by a mechanism of ours with parameters of its own."""
    return MECHANISMS.get(mechanism).clear(book, MarketRules(params=params))
