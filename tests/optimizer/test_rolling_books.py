"""Horizons as homes with batteries and a retailer make them: nearly nobody gains at the prices, and many are tied."""

from __future__ import annotations

import numpy as np
import pytest

from market.book import OrderBook
from market.orders import Flexible, Storage, Terms
from market.rules import MarketRules
from optimizer.blocks.whole import to_total
from optimizer.mechanisms.multi_interval import check, clear

HOURS, HOMES = 24, 8


def book_of_homes(seed: int, most_offered_wh: int = 4_000, *, large: bool = False) -> OrderBook:
    """Needs at the price at which a retailer sells, offers at that at which it buys, and a battery a home.

    With large and empty batteries buying and selling hardly pays any of them, and rounding makes some lose.
    """
    rng = np.random.default_rng(seed)
    asked = np.where((np.arange(HOURS) + seed) % 24 > 18, 540_000, 220_000)
    paid = 50_000 + 25 * np.arange(HOURS)
    rows: list[tuple[int, int, int, int, Terms | None]] = []

    def simple(who: int, t: int, side: int, energy: int, limit: int) -> None:
        terms = None if t == 0 else Flexible(t, t, 0, energy, 1)
        rows.append((who, side, energy, limit, terms))

    for t in range(HOURS):
        for home in range(HOMES):
            net = int(rng.integers(-most_offered_wh, 3_000))
            if net:
                simple(home, t, 1 if net > 0 else -1, abs(net), int(asked[t]) if net > 0 else 50_000)
        simple(HOMES, t, -1, 10**6, int(asked[t]))
        simple(HOMES, t, 1, 10**6, int(paid[t]))
    for home in range(HOMES):
        capacity = int(rng.integers(20_000, 60_000) if large else rng.integers(2_000, 15_000))
        initial = 0 if large else int(rng.integers(0, capacity))
        terms = Storage(0, HOURS - 1, capacity, initial, 0, 5_000, 4_999, 948_683, 948_683, 0)
        rows.append((home, 1, 5_000, 45_000 if large else 128_000, terms))
    who, side, energy, limit, terms_of = zip(*rows, strict=True)
    return OrderBook.from_columns(
        np.array(who),
        np.array(side, dtype=np.int8),
        np.array(energy),
        np.array(limit),
        terms={row: one for row, one in enumerate(terms_of) if one is not None},
    )


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_a_horizon_of_homes_and_a_retailer_clears_with_a_proof(seed: int, large: bool) -> None:
    book, rules = book_of_homes(seed, 1_000 if large else 4_000, large=large), MarketRules()
    clearing = clear(book, rules)
    check(book, clearing, rules)
    assert clearing.certificate is not None
    assert clearing.certificate.holds
    assert clearing.traded_wh(book) > 0


def test_storages_that_lag_behind_their_plan_still_keep_the_total() -> None:
    """Contents that rounding has left behind ask for more than is offered: those ahead of the others take less."""
    wanted = np.array([-0.38, -0.81, 1.63, -0.76, -0.67, 19_106.14, 1.32, 1.86, -0.85, 18_327.09])
    least = np.array([0, 0, -4_497, 0, 0, -20_523, -7_694, -50_200, 0, -73_400])
    most = np.array([33_500, 5_000, 5_000, 5_000, 7_000, 30_600, 18_300, 4_313, 5_000, 18_327])
    found = to_total(wanted, least, most, 37_430)
    assert found.sum() == 37_430
    assert (np.abs(found - wanted) <= 4).all()
    assert ((least <= found) & (found <= most)).all()
    most[[2, 6, 7]] = 0  # as they were: these three can take nothing
    assert to_total(wanted, least, most, 37_430).sum() == 37_430
