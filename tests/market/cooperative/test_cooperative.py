"""Shapley value, core and the game of a community: published games, brute force over orders, conservation."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from math import factorial, lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import OrderBook
from market.clearing import no_trade
from market.cooperative.core import core_check
from market.cooperative.game import LARGEST_VALUE_NANO, MAX_PLAYERS, coalition_values, players_of, subset_sums
from market.cooperative.shapley import sampled_shapley, shapley
from market.errors import AmountTooLarge, InvalidGame
from market.settlement.baseline import baseline_nano
from market.settlement.settle import settle
from market.settlement.tariff import OutsidePrices
from market.units import IntArray, rounded_shares


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def game(players: int, worth: Callable[[list[int]], int]) -> IntArray:
    """The array of a game given by a function of the list of members."""
    members = [[i for i in range(players) if s >> i & 1] for s in range(1 << players)]
    return ints(*(worth(one) for one in members))


def brute_force(value: IntArray) -> list[Fraction]:
    """Walk through every order of arrival."""
    n = players_of(value)
    total = [0] * n
    for order in permutations(range(n)):
        present = 0
        for player in order:
            total[player] += int(value[present | 1 << player]) - int(value[present])
            present |= 1 << player
    return [Fraction(x, factorial(n)) for x in total]


GLOVES = game(3, lambda s: 6 if 0 in s and len(s) > 1 else 0)
"""Player 0 has the only left glove, 1 and 2 have right ones; a pair is worth 6."""
MAJORITY = game(3, lambda s: 6 if len(s) >= 2 else 0)


@st.composite
def games(draw: st.DrawFn, most: int = 5, low: int = -20, high: int = 20) -> IntArray:
    n = draw(st.integers(1, most))
    return ints(0, *draw(st.lists(st.integers(low, high), min_size=2**n - 1, max_size=2**n - 1)))


# ---- Shapley


def test_the_glove_game() -> None:
    """The scarce glove gets 4 / 6, each other 1 / 6."""
    assert shapley(GLOVES).tolist() == [4, 1, 1]


def test_a_simple_majority_shares_equally_and_outside_the_empty_core() -> None:
    assert shapley(MAJORITY).tolist() == [2, 2, 2]
    found = core_check(MAJORITY, shapley(MAJORITY))
    assert not found.in_core
    assert found.excess_nano == 2


@given(costs=st.lists(st.integers(0, 50), min_size=1, max_size=7))
def test_the_airport_game_shares_each_stretch_of_runway_among_those_who_need_it(costs: list[int]) -> None:
    """Littlechild and Owen 1973: phi_i = sum over k <= i of (c_k - c_(k-1)) / (n - k + 1), c rising; a cost is < 0."""
    n = len(costs)
    unit = lcm(*range(1, n + 1))
    cost = sorted(c * unit for c in costs)
    expected, share = [], 0
    for k, c in enumerate(cost):
        share += (c - (cost[k - 1] if k else 0)) // (n - k)
        expected.append(-share)
    assert shapley(game(n, lambda s: -max((cost[i] for i in s), default=0))).tolist() == expected


@given(value=games())
def test_shares_are_the_mean_over_every_order_rounded_once(value: IntArray) -> None:
    exact, share = brute_force(value), shapley(value)
    assert int(share.sum()) == int(value[-1])
    assert all(abs(int(x) - y) < 1 for x, y in zip(share, exact, strict=True))
    assert share.tolist() == [int(y) for y in exact] or any(y.denominator > 1 for y in exact)


@given(value=games(most=4), factor=st.integers(1, 50))
def test_shares_scale_with_the_game(value: IntArray, factor: int) -> None:
    unit = factorial(players_of(value))
    assert (shapley(value * unit * factor) == factor * shapley(value * unit)).all()


@given(left=games(most=1), data=st.data())
def test_shares_of_a_sum_of_games_are_the_sum_of_shares(left: IntArray, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 4))
    one, other = (
        ints(0, *data.draw(st.lists(st.integers(-20, 20), min_size=2**n - 1, max_size=2**n - 1)))
        * factorial(n)
        for _ in range(2)
    )
    assert (shapley(one + other) == shapley(one) + shapley(other)).all()


def test_a_player_who_adds_nothing_gets_nothing_and_equals_get_equal() -> None:
    value = game(4, lambda s: 12 * len([i for i in s if i != 3]) ** 2)
    assert shapley(value).tolist() == [36, 36, 36, 0]


def test_values_near_the_limit_do_not_wrap() -> None:
    """Sixteen players whose coalitions all are worth the limit: sums pass 64 bits many times over."""
    value = np.full(1 << MAX_PLAYERS, LARGEST_VALUE_NANO, dtype=np.int64)
    value[0] = 0
    assert shapley(value).tolist() == [LARGEST_VALUE_NANO // 16] * 16
    assert shapley(-value).tolist() == [-LARGEST_VALUE_NANO // 16] * 16
    assert core_check(value, shapley(value)).excess_nano == LARGEST_VALUE_NANO * 15 // 16


@given(
    numerator=st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=6),
    denominator=st.integers(1, 10**20),
)
def test_rounding_keeps_the_sum_and_moves_no_share_by_a_unit(numerator: list[int], denominator: int) -> None:
    numerator[0] -= sum(numerator) % denominator
    share = rounded_shares(numerator, denominator).tolist()
    assert sum(share) == sum(numerator) // denominator
    assert all(abs(Fraction(x, denominator) - y) < 1 for x, y in zip(numerator, share, strict=True))


def test_the_largest_remainder_gets_the_unit_and_ties_go_to_the_earlier() -> None:
    assert rounded_shares([1, 5, 6], 4).tolist() == [0, 1, 2]
    assert rounded_shares([2, 2], 4).tolist() == [1, 0]
    assert rounded_shares([-2, -2], 4).tolist() == [0, -1]


# ---- sampled


RANDOM_GAME = subset_sums(np.full(8, 10**9, dtype=np.int64)) + np.append(
    0, np.random.Generator(np.random.PCG64(5)).integers(0, 10**10, 255)
)


def worst_error(samples: int, seed: int) -> float:
    found = sampled_shapley(RANDOM_GAME.__getitem__, 8, samples, seed)
    assert int(found.sum()) == int(RANDOM_GAME[-1])
    return float(np.abs(found - shapley(RANDOM_GAME)).max())


def test_the_error_of_sampling_halves_with_four_times_the_samples() -> None:
    """Castro 2009: about 1 / sqrt(m). Mean of the worst error over 40 seeds, at 100, 400 and 1,600 orders."""
    error = [np.mean([worst_error(m, seed) for seed in range(40)]) for m in (100, 400, 1_600)]
    assert 1.6 < error[0] / error[1] < 2.5
    assert 1.6 < error[1] / error[2] < 2.5


def test_sampling_is_close_at_2000_orders() -> None:
    assert worst_error(2_000, 1) < 0.02 * float(RANDOM_GAME[-1])


@given(value=games(), samples=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_sampled_shares_always_sum_to_the_value_of_all(value: IntArray, samples: int, seed: int) -> None:
    found = sampled_shapley(value.__getitem__, players_of(value), samples, seed)
    assert int(found.sum()) == int(value[-1])
    assert (found == sampled_shapley(value.__getitem__, players_of(value), samples, seed)).all()


def test_sampling_needs_no_array_of_all_coalitions() -> None:
    """40 players; each adds its number, so any order gives the exact answer."""
    worth = np.arange(40)

    def value_of(coalition: IntArray) -> IntArray:
        return ((coalition[..., None] >> worth & 1) * worth).sum(axis=-1)

    assert sampled_shapley(value_of, 40, 3, 0).tolist() == worth.tolist()


def test_another_seed_draws_other_orders() -> None:
    assert (
        sampled_shapley(RANDOM_GAME.__getitem__, 8, 10, 0)
        != sampled_shapley(RANDOM_GAME.__getitem__, 8, 10, 1)
    ).any()


# ---- core


def test_the_core_of_the_glove_game_gives_all_to_the_scarce_glove() -> None:
    assert core_check(GLOVES, ints(6, 0, 0)).in_core
    found = core_check(GLOVES, ints(4, 1, 1))
    assert (found.in_core, found.coalition, found.excess_nano) == (False, 0b011, 1)


def test_shares_that_do_not_add_up_are_not_in_the_core() -> None:
    found = core_check(ints(0, 0, 0, 6), ints(2, 3))
    assert (found.in_core, found.unshared_nano) == (False, 1)


def test_a_single_player_takes_all() -> None:
    assert core_check(ints(0, 7), ints(7)).in_core
    assert not core_check(ints(0, 7), ints(6)).in_core
    assert shapley(ints(0, 7)).tolist() == [7]


def test_a_tolerance_lets_rounding_pass() -> None:
    assert not core_check(GLOVES, ints(5, 1, 0)).in_core
    assert core_check(GLOVES, ints(5, 1, 0), tolerance_nano=1).in_core


@given(value=games(), data=st.data())
def test_the_worst_coalition_is_that_of_a_loop(value: IntArray, data: st.DataObject) -> None:
    n = players_of(value)
    share = data.draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))
    found = core_check(value, ints(*share))
    excess = [int(value[s]) - sum(x for i, x in enumerate(share) if s >> i & 1) for s in range(2**n)]
    assert found.excess_nano == max(excess[1:-1], default=0)
    assert found.in_core == (sum(share) == int(value[-1]) and all(e <= 0 for e in excess[1:-1]))
    assert n == 1 or excess[found.coalition] == found.excess_nano


# ---- what is refused


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ints(0, 1, 2), "3 values"),
        (ints(0), "1 values"),
        (ints(), "0 values"),
        (ints(1, 1), "empty coalition"),
        (ints(0, LARGEST_VALUE_NANO + 1), "larger unit"),
        (ints(0, -LARGEST_VALUE_NANO - 1), "larger unit"),
        (np.zeros(1 << 17, dtype=np.int64), "17 players"),
    ],
)
def test_what_is_no_game_is_refused(value: IntArray, message: str) -> None:
    with pytest.raises(InvalidGame, match=message):
        shapley(value)


def test_wrong_numbers_of_players_samples_and_shares_are_refused() -> None:
    for players, samples in ((0, 1), (63, 1), (2, 0)):
        with pytest.raises(InvalidGame, match="samples"):
            sampled_shapley(GLOVES.__getitem__, players, samples, 0)
    with pytest.raises(InvalidGame, match="2 shares for 3 players"):
        core_check(GLOVES, ints(1, 2))


# ---- the game of a community


def flat(
    intervals: int, import_price: int = 30, feed_in: int = 10, local: int = 2, remote: int = 5
) -> OutsidePrices:
    return OutsidePrices(
        np.full(intervals, import_price, dtype=np.int64),
        np.full(intervals, feed_in, dtype=np.int64),
        local,
        remote,
    )


def test_a_hand_computed_street() -> None:
    """Each netted Wh saves 30 + 5 - 2 - 10 = 23. Home 0 makes 100; homes 1 and 2 need 60 and 70."""
    value = coalition_values(np.array([[0, 60, 70]]), np.array([[100, 0, 0]]), flat(1))
    assert value.tolist() == [0, 0, 0, 60 * 23, 0, 70 * 23, 0, 100 * 23]


def test_nothing_is_netted_where_it_would_cost() -> None:
    prices = OutsidePrices(ints(30, 5), ints(10, 10), 0, 0)
    value = coalition_values(np.array([[0, 60], [0, 60]]), np.array([[50, 0], [50, 0]]), prices)
    assert value.tolist() == [0, 0, 0, 50 * 20]


@given(data=st.data())
def test_a_coalition_saves_what_settlement_without_trades_saves_it(data: st.DataObject) -> None:
    """Settling a community whose whole meter is imbalance nets it as the game does: an oracle of its own code."""
    homes, intervals = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    cells = st.lists(
        st.lists(st.integers(0, 9), min_size=homes, max_size=homes), min_size=intervals, max_size=intervals
    )
    bought, sold = np.array(data.draw(cells)), np.array(data.draw(cells))
    price = st.lists(st.integers(-9, 40), min_size=intervals, max_size=intervals)
    prices = OutsidePrices(
        ints(*data.draw(price)),
        ints(*data.draw(price)),
        data.draw(st.integers(0, 9)),
        data.draw(st.integers(0, 9)),
    )
    book = OrderBook.from_orders([])
    value = coalition_values(bought, sold, prices)
    for s in range(2**homes):
        who = [i for i in range(homes) if s >> i & 1]
        saved = 0
        for t in range(intervals):
            postings = settle(book, no_trade(book), bought[t, who], sold[t, who], prices.at(t))
            alone = baseline_nano(bought[t, who], sold[t, who], prices.at(t))
            saved += int(postings.total_nano[: len(who)].sum() - alone.sum())
        assert int(value[s]) == saved
    for s in range(2**homes):
        for r in range(2**homes):
            assert s & r or value[s | r] >= value[s] + value[r]


def test_many_intervals_are_counted_in_pieces() -> None:
    """Thirteen homes and 300 intervals need three pieces; the sum over single intervals is the same."""
    net = np.random.Generator(np.random.PCG64(3)).integers(-2_000, 2_000, (300, 13))
    bought, sold = np.maximum(net, 0), np.maximum(-net, 0)
    whole = coalition_values(bought, sold, flat(300))
    parts = [slice(t, t + 75) for t in range(0, 300, 75)]
    assert (whole == sum(coalition_values(bought[p], sold[p], flat(75)) for p in parts)).all()
    assert whole[-1] == 23 * np.minimum(bought.sum(axis=1), sold.sum(axis=1)).sum()


@pytest.mark.parametrize(
    ("bought", "sold", "intervals"),
    [((2, 3), (3, 2), 2), ((2, 3), (2, 3), 3), ((1, 17), (1, 17), 1), ((1, 0), (1, 0), 1)],
)
def test_a_community_that_does_not_fit_is_refused(
    bought: tuple[int, int], sold: tuple[int, int], intervals: int
) -> None:
    with pytest.raises(InvalidGame):
        coalition_values(np.zeros(bought, dtype=np.int64), np.zeros(sold, dtype=np.int64), flat(intervals))


def test_savings_beyond_the_limit_are_refused() -> None:
    large = np.array([[0, 2**53]])
    with pytest.raises(AmountTooLarge):
        coalition_values(large, large[:, ::-1], flat(1))
