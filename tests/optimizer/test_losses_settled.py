"""A clearing on a grid with losses, settled: energy adds up to the Wh and money to the nano, with the grid operator."""

from __future__ import annotations

import numpy as np
import pytest

from market.settlement.accounts import MONEY_COLUMNS, SYSTEM_ACCOUNTS, check_balanced
from market.settlement.imbalance import Imbalance, ImbalanceRule
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.settlement.zones import GridTerms
from optimizer.mechanisms.nodal_price import clear
from tests.kits.grid_kit import book_of, grid_of, losing, on, random_book, random_losing

PRICES = IntervalPrices(300_000, 70_000, 20_000, 50_000)
RETAILER = ImbalanceRule(Imbalance.RETAILER)


def alone(members: int, node: np.ndarray, nodes: int) -> GridTerms:
    """Every node a zone of its own, with no way to the root."""
    barred = np.zeros(members, dtype=np.bool_)
    return GridTerms(node, (None,) * nodes, barred, barred)


def test_a_tenth_lost_is_posted_with_the_grid_operator_and_paid_by_who_buys() -> None:
    """4.5 kWh at .10 are paid, 5 kWh at .09 are got. Meters show what was traded: the retailer has no part in it."""
    grid, book = losing(grid_of([(0, 1)]), 100_000), book_of((0, -10_000, 90_000), (1, 4_500, 240_000))
    found = clear(book, on(grid))
    postings = settle(book, found, np.array([0, 4_500]), np.array([5_000, 0]), PRICES, rule=RETAILER)
    assert postings.column("loss_wh").tolist() == [0, 0, 0, 500, 0]
    assert postings.column("trade_nano").tolist() == [450_000_000, -450_000_000, 0, 0, 0]
    assert not postings.column("retail_nano").any()
    assert postings.column("sold_wh").sum() == postings.column("bought_wh").sum() + 500


@pytest.mark.parametrize("on_a_grid", [False, True])
def test_energy_and_money_add_up_whatever_the_meters_say(on_a_grid: bool) -> None:
    rng = np.random.default_rng(21)
    lost = rents = 0
    for _ in range(40):
        grid = random_losing(rng)
        book = random_book(rng, grid, 15, 1_000)
        found = clear(book, on(grid))
        drawn, given = (
            np.maximum(found.accepted_wh * (book.side == side) + rng.integers(-50, 50, len(book)), 0)
            for side in (1, -1)
        )
        terms = alone(len(book), book.node, len(grid.nodes)) if on_a_grid else None
        postings = settle(book, found, drawn, given, PRICES, rule=RETAILER, grid=terms)
        check_balanced(postings)
        assert all(postings.column(name).sum() == 0 for name in MONEY_COLUMNS)
        keeps = SYSTEM_ACCOUNTS.index("grid_operator" if on_a_grid else "market_operator")
        assert postings.column("trade_nano")[len(book) + keeps] == found.operator_surplus_nano
        assert postings.column("loss_wh").sum() == found.losses_wh
        lost += found.losses_wh
        rents += found.operator_surplus_nano
    assert lost > 0
    assert rents > 0
