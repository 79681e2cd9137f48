"""Bidding strategies: limits, and what every registered strategy promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.bidding import STRATEGIES, Strategy, one_order_a_home, refuse_without_limits
from agents.bidding.truthful import TRUTHFUL
from agents.errors import InvalidOrders, NoLimits
from agents.rules import AgentRules
from market.errors import UnknownName
from market.random import random_words, whole_between
from market.settlement.tariff import IntervalPrices
from tests.kits.community_kit import PRICES, homes_of, registers, view_of


def test_limits_by_lot_cover_the_gap_evenly_and_never_lose() -> None:
    zi_c = STRATEGIES.get("zi_c").bid
    many = np.full(20_000, 100)
    words = random_words(1, 900, np.arange(20_000))
    limit = zi_c({}, view_of(many, words=words)).limit_micro_per_kwh
    assert limit.min() >= 80_000
    assert limit.max() <= 320_000
    counts = np.histogram(limit, bins=12, range=(80_000, 320_000))[0]
    # 1,667 expected a bin, with a standard deviation of 39: five of them.
    assert np.abs(counts - 20_000 / 12).max() < 200
    narrow = IntervalPrices(100_000, 200_000)
    orders = zi_c({}, view_of(np.array([5, -5]), narrow, words[:2]))
    assert orders.limit_micro_per_kwh.tolist() == [100_000, 200_000]


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(0, 2**64 - 1))
def test_a_whole_number_by_lot_lies_between_its_bounds(low: int, more: int, word: int) -> None:
    words = np.array([word, 0, 2**64 - 1], dtype=np.uint64)
    drawn = whole_between(words, np.full(3, low), np.full(3, low + more)).tolist()
    assert low <= drawn[0] <= low + more
    assert drawn[1:] == [low, low + more]


def test_truthful_limits_are_the_outside_prices() -> None:
    bids = STRATEGIES.get("truthful").bid({}, view_of(np.array([500, -300, 0])))
    assert bids.side.tolist()[:2] == [1, -1]
    assert bids.energy_wh.tolist() == [500, 300, 0]
    # A buyer compares 0.30 + 0.03 outside with the local price + 0.01.
    assert bids.limit_micro_per_kwh.tolist()[:2] == [320_000, 80_000]


@pytest.mark.parametrize("name", STRATEGIES.all())
def test_a_home_alone_orders_what_it_orders_among_others(name: str) -> None:
    strategy, homes = STRATEGIES.get(name), np.arange(7)
    net, words = np.array([500, -300, 0, 20, -7, 900, -1]), random_words(3, 900, homes)
    together = strategy.bid(strategy.start(homes, AgentRules()), view_of(net, words=words))
    for i in homes.tolist():
        alone = strategy.bid(
            strategy.start(homes[i : i + 1], AgentRules()), view_of(net[i : i + 1], words=words[i : i + 1])
        )
        mine = together.home == i
        for column in ("side", "energy_wh", "limit_micro_per_kwh"):
            assert getattr(alone, column).tolist() == getattr(together, column)[mine].tolist()


@pytest.mark.parametrize("name", STRATEGIES.all())
def test_identical_limits_are_declared_where_they_are_true(name: str) -> None:
    strategy, homes = STRATEGIES.get(name), np.arange(200)
    net = np.where(homes % 2, 100, -100)
    # Quantiles from one side of the net energy to the other, other ones for every third home.
    spread = np.linspace(-90, 90, len(strategy.quantiles_ppm)).astype(np.int64)[:, None] // (1 + homes % 3)
    view = view_of(
        net,
        PRICES,
        random_words(1, 900, homes),
        quantiles_wh=net + spread,
        has_quantiles=np.ones(200, dtype=np.bool_),
    )
    orders = strategy.bid(strategy.start(homes, AgentRules()), view)
    limits = {side: len(np.unique(orders.limit_micro_per_kwh[orders.side == side])) for side in (1, -1)}
    identical = limits == {1: 1, -1: 1}
    if strategy.learns:  # before they have learned anything homes may agree all the same
        assert identical or not strategy.identical_limits
    else:
        assert identical == strategy.identical_limits


@pytest.mark.parametrize("name", ["staircase", "truthful", "zi_c"])
def test_limits_for_meters_are_those_of_orders_that_a_home_would_be_asked_for(name: str) -> None:
    """A home that plans 1 Wh, or has no quantiles, states in its order the limit that it states for its meter."""
    strategy, words = STRATEGIES.get(name), random_words(8, 900, np.arange(9))
    assert strategy.limits is not None
    for prices in (PRICES, IntervalPrices(100_000, 200_000)):
        buy, sell = strategy.limits({}, view_of(np.zeros(9, dtype=np.int64), prices, words))
        for net, limits in ((1, buy), (-1, sell)):
            orders = strategy.bid({}, view_of(np.full(9, net), prices, words))
            assert orders.limit_micro_per_kwh.tolist() == limits.tolist()


def test_no_other_strategy_states_limits_for_meters() -> None:
    """Studies, and strategies that learn by what they planned, are refused with metered quantities."""
    stating = {name for name, strategy in STRATEGIES.all().items() if strategy.limits is not None}
    assert stating == {"staircase", "truthful", "zi_c"}


def test_strategies_without_limits_are_named_in_one_sentence() -> None:
    for name in ("silent", "mute"):
        STRATEGIES.register(Strategy(name, lambda state, view: one_order_a_home(view.net_wh, 1, 1), "a test"))
    try:
        homes = homes_of(*registers(1, 3, 3), strategies=["silent", "truthful", "mute"])
        with pytest.raises(NoLimits) as caught:
            homes.limits(PRICES)
        assert str(caught.value) == (
            "bidding strategies 'mute', 'silent' state no limits for metered quantities; choose 'staircase' or"
            " 'truthful' or 'zi_c', or market.quantities = \"ordered\""
        )
        with pytest.raises(NoLimits, match="strategy 'mute' states no limits"):
            refuse_without_limits(["mute", "truthful", "mute"])
        refuse_without_limits(["truthful", "zi_c"])
    finally:
        STRATEGIES.forget("silent")
        STRATEGIES.forget("mute")


def test_limits_stand_in_the_order_of_the_homes_and_must_be_whole_numbers() -> None:
    wrong = Strategy(
        "halved",
        TRUTHFUL.bid,
        "a test",
        limits=lambda state, view: (np.full(2, 0.5), np.zeros(2, dtype=np.int64)),
    )
    STRATEGIES.register(wrong)
    try:
        registers_of = registers(1, 3, 4)
        mixed = homes_of(*registers_of, strategies=["zi_c", "truthful", "zi_c", "truthful"])
        buy, sell = mixed.limits(PRICES)
        assert (buy[[1, 3]] == 320_000).all()
        assert (sell[[1, 3]] == 80_000).all()
        drawn = homes_of(*registers_of, strategies=["zi_c"] * 4).limits(PRICES)
        for side, all_drawn in zip((buy, sell), drawn, strict=True):
            assert side[[0, 2]].tolist() == all_drawn[[0, 2]].tolist()
        with pytest.raises(
            InvalidOrders, match="'halved' states limits that are not one whole number per home"
        ):
            homes_of(*registers(1, 3, 2), strategies=["halved"] * 2).limits(PRICES)
    finally:
        STRATEGIES.forget("halved")


def test_a_misspelt_strategy_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'truthful'"):
        STRATEGIES.get("truthfull")
