"""The bound of every comparison: no mechanism passes it, and it is the sum of the pairs that gain."""

from __future__ import annotations

from hypothesis import given

import market.mechanisms  # noqa: F401  (registers them)
from market.auctions.uniform import clear_exact
from market.mechanism import MECHANISMS
from market.rules import MarketRules
from tests.kits.unit_books import Row, cleared, efficient, rows_of, units


@given(rows_of(10))
def test_it_is_what_the_best_pairs_gain_and_it_is_proven(rows: list[Row]) -> None:
    book, clearing = cleared(MECHANISMS.get("welfare_optimum"), rows, MarketRules())
    buys, sells = units(rows, 1), units(rows, -1)
    k = efficient(buys, sells)
    assert clearing.welfare_nano == sum(b - s for (b, _), (s, _) in zip(buys[:k], sells[:k], strict=True))
    assert clearing.traded_wh(book) == k
    assert clearing.certificate is not None
    assert (clearing.certificate.gap_nano, clearing.certificate.residual_wh) == (0, 0)


@given(rows_of(10))
def test_its_price_is_the_middle_of_the_interval_and_ties_are_rationed_as_the_rules_say(
    rows: list[Row],
) -> None:
    clear, other = MECHANISMS.get("welfare_optimum").clear, MarketRules(k_ppm=0, rationing="random", seed=7)
    book, clearing = cleared(MECHANISMS.get("welfare_optimum"), rows, MarketRules())
    assert clear(book, other).accepted_wh.tolist() == clear_exact(book, other).accepted_wh.tolist()
    interval = clear(book, other).node_price[0]
    assert interval == clearing.node_price[0]
    assert interval is None or interval.price == (interval.lo + interval.hi + 1) // 2
