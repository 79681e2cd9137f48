"""Every certificate of optimality says itself whether it proves anything."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from market.book import Order, OrderBook, Side
from market.certificate import DualPrice, KktResiduals, LpDuals, MilpGap, NodalPrices, OptimalityCertificate
from market.clearing import Clearing, PriceInterval, check_feasible
from market.errors import InfeasibleClearing

RIGHT = KktResiduals(0.0, 0.0, 0.0)
NODAL = NodalPrices(np.array([1, 2]), 3, 5, np.array([0, 0]), 0)


@pytest.mark.parametrize(
    ("proof", "holds"),
    [
        (DualPrice(100, 0, 0), True),
        (DualPrice(100, 1, 0), False),
        (DualPrice(100, 0, 1), False),
        (RIGHT, True),
        (KktResiduals(nan, 0.0, 0.0), False),
        (KktResiduals(0.0, 0.0, 1e-6), False),
        (KktResiduals(-1.0, 0.0, 0.0), False),
        (KktResiduals(0.0, -inf, 0.0), False),
        (KktResiduals(0.0, 0.0, -1e-6), False),
        (KktResiduals(0.0, 0.0, nan), False),
        (LpDuals(np.array([1.0]), np.array([0.0]), RIGHT), True),
        (LpDuals(np.array([inf]), np.array([0.0]), RIGHT), False),
        (LpDuals(np.array([1.0]), np.array([0.0]), replace(RIGHT, gap=1.0)), False),
        (NODAL, True),
        (replace(NODAL, gap_nano=6), False),
        (replace(NODAL, gap_nano=-1), False),
        (replace(NODAL, overload_wh=1), False),
        (replace(NODAL, residual_wh=np.array([0])), False),
        (replace(NODAL, residual_wh=np.array([], dtype=np.int64)), False),
        (replace(NODAL, residual_wh=np.array([0, -1])), False),
        (MilpGap(100, 100), True),
        (MilpGap(100, 103, 2), False),
        (MilpGap(100, 102, 2, complete=False), True),
        (MilpGap(100, 99), False),
    ],
)
def test_a_certificate_holds_or_not(proof: OptimalityCertificate, holds: bool) -> None:
    assert proof.holds is holds


def sold_with_losses(losses_wh: int) -> tuple[OrderBook, Clearing]:
    book = OrderBook.from_orders(
        [Order("b", 0, Side.BUY, 100, 300_000), Order("s", 1, Side.SELL, 104, 100_000)]
    )
    price = np.array([208_000, 200_000])
    clearing = Clearing(book.energy_wh, price, (PriceInterval(0, 1, 1),), 0, 0, losses_wh=losses_wh)
    return book, clearing


def test_declared_losses_are_sold_and_not_bought() -> None:
    book, clearing = sold_with_losses(4)
    check_feasible(book, clearing)
    assert clearing.traded_wh(book) == 100


@pytest.mark.parametrize("losses_wh", [0, 3, 5, -4])
def test_losses_that_do_not_balance_are_refused(losses_wh: int) -> None:
    with pytest.raises(InfeasibleClearing, match="bought minus sold"):
        check_feasible(*sold_with_losses(losses_wh))


def test_prices_lie_by_interval_and_node() -> None:
    _, clearing = sold_with_losses(4)
    assert clearing.prices == (clearing.node_price,)
    longer = replace(clearing, later_prices=((None,), (PriceInterval(1, 2, 1),)))
    assert [row[0] for row in longer.prices] == [PriceInterval(0, 1, 1), None, PriceInterval(1, 2, 1)]
