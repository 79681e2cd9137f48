"""One declared rationing for all mechanisms that leave it open, and their own order in a single case."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.merit_order import Ranking
from market.auctions.rationing import ration
from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook, Side
from market.checking.check import check_mechanism
from market.clearing import check_feasible
from market.mechanism import MECHANISMS
from market.rules import MarketRules, Rationing
from tests.kits.pairs_kit import cleared, orders

RULES = st.builds(MarketRules, rationing=st.sampled_from(get_args(Rationing)), seed=st.integers(0, 9))
FOLLOW = ("mcafee", "muda_vickrey", "pay_as_bid", "posted_price", "sbba", "trade_reduction")


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Energies above 0, limits of which equal ones stand together, and what there is."""
    limits = sorted(draw(st.lists(st.integers(0, 3), min_size=1, max_size=8)))
    energy = [draw(st.integers(1, 9)) for _ in limits]
    return energy, limits, draw(st.integers(0, sum(energy)))


@given(queues(), RULES)
def test_a_queue_is_served_by_limit_and_the_last_limit_is_rationed(
    queue: tuple[list[int], list[int], int], rules: MarketRules
) -> None:
    energy, limit, take = queue
    rows = np.arange(len(energy))[::-1]  # the book lists them the other way round
    sequence = np.arange(len(energy), dtype=np.int64)[::-1].copy()  # and the queue is by arrival
    side = Ranking(rows, np.array(limit), np.array(energy), np.cumsum(energy))
    got = side.best(take, sequence, rules).tolist()
    got += [0] * (len(energy) - len(got))
    assert sum(got) == take
    left = take
    for level in sorted(set(limit)):
        here = [i for i, one in enumerate(limit) if one == level]
        room = sum(energy[i] for i in here)
        share = min(left, room)
        assert sum(got[i] for i in here) == share
        if rules.rationing == "pro_rata":
            assert all(abs(got[i] - Fraction(energy[i] * share, room)) < 1 for i in here)
        elif rules.rationing == "time":
            assert [got[i] for i in here] == [
                min(energy[i], max(share - sum(energy[j] for j in here if j < i), 0)) for i in here
            ]
        else:
            assert sum(0 < got[i] < energy[i] for i in here) <= 1
        left -= share


def test_a_random_draw_differs_by_seed_and_not_by_arrival() -> None:
    energy, arrival = np.array([5, 5, 5], dtype=np.int64), np.array([2, 0, 1])
    drawn = [
        ration(energy, 5, turn, MarketRules(rationing="random", seed=seed)).tolist()
        for seed in range(9)
        for turn in (arrival, arrival[::-1])
    ]
    assert drawn[::2] == drawn[1::2]
    assert len({tuple(one) for one in drawn}) == 3


@given(orders(), RULES)
def test_mechanisms_of_the_same_welfare_accept_the_same_energies_and_differ_in_the_price_alone(
    listed: list[Order], rules: MarketRules
) -> None:
    book = OrderBook.from_orders(listed)
    best = clear_exact(book, rules).accepted_wh.tolist()
    for name in ("pay_as_bid", "vcg", "welfare_optimum", "uniform_price"):
        clearing = cleared(name, book, rules)
        assert clearing.accepted_wh.tolist() == best, name
        check_feasible(book, clearing)


@given(orders(), RULES, st.data())
def test_an_order_without_energy_changes_nothing_for_the_others(
    listed: list[Order], rules: MarketRules, data: st.DataObject
) -> None:
    """Under no rationing: it takes no place in a draw. A counterexample of the test above was one in 300 at random."""
    some = [order for order in listed if order.energy_wh]
    if not some:
        return
    empty = replace(data.draw(st.sampled_from(some)), id="empty", energy_wh=0)
    place = data.draw(st.integers(0, len(some)))
    more = OrderBook.from_orders([*some[:place], empty, *some[place:]])
    for name in ("pay_as_bid", "vcg", "uniform_price"):
        without = cleared(name, OrderBook.from_orders(some), rules).accepted_wh
        accepted = cleared(name, more, rules).accepted_wh
        assert accepted[more.energy_wh > 0].tolist() == without.tolist(), name


@pytest.mark.parametrize("name", FOLLOW)
def test_ties_share_in_a_run_and_the_earliest_is_served_in_a_case(name: str) -> None:
    """Two equal bids for the energy of one: 6 and 2 against 4 wanted at one limit."""
    who = iter(range(9))
    book = OrderBook.from_orders(
        [
            Order("late", next(who), Side.BUY, 6, 20, 1),
            Order("early", next(who), Side.BUY, 2, 20, 0),
            *(Order(f"more{i}", next(who), Side.BUY, 1, 30, 2) for i in range(3)),
            Order("sell", next(who), Side.SELL, 7, 10, 3),
        ]
    )
    params = {"unit_wh": 1, "price_micro_per_kwh": 15, "exogenous_price_micro_per_kwh": 15}
    energies = {
        rationing: MECHANISMS.get(name)
        .clear(book, MarketRules(rationing=rationing, params=params))
        .accepted_wh[:2]
        .tolist()
        for rationing in ("pro_rata", "time")
    }
    if name == "posted_price":  # all that accept the price are equal, whatever their limits
        assert energies == {"pro_rata": [4, 1], "time": [5, 2]}
    elif name in ("mcafee", "trade_reduction", "sbba"):  # one unit goes, or is drawn out
        assert energies == {"pro_rata": [2, 1], "time": [1, 2]}
    else:
        assert energies == {"pro_rata": [3, 1], "time": [2, 2]}


@pytest.mark.parametrize("rationing", get_args(Rationing))
@pytest.mark.parametrize("name", FOLLOW)
def test_every_promise_holds_under_every_rationing(name: str, rationing: Rationing) -> None:
    verdict = check_mechanism(MECHANISMS.get(name), 60, 5, {"rationing": rationing})
    assert verdict.holds, [finding for finding in verdict.findings if finding.broken]
