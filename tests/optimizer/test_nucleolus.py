"""The nucleolus: published games, the Talmud rule, and no other shares that are better in its own order."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.cooperative.core import core_check
from market.cooperative.game import players_of, subset_sums
from market.errors import InvalidGame
from market.units import IntArray
from optimizer.cooperative import core_nonempty, nucleolus, prenucleolus
from optimizer.errors import Infeasible
from tests.kits.sample_kit import some

UNIT = 2**4 * 3**3 * 5**2 * 7 * 11
"""A multiple of every denominator that the shares of a game of at most five players have, so they are whole."""


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def game(players: int, worth: Callable[[list[int]], float]) -> IntArray:
    """The array of a game given by a function of the list of members, in units of UNIT."""
    members = [[i for i in range(players) if s >> i & 1] for s in range(1 << players)]
    return ints(*(round(UNIT * worth(one)) for one in members))


def complaints(value: IntArray, share: IntArray) -> list[int]:
    """Excesses of all proper coalitions, the largest first: smaller in this order is better."""
    return sorted((value - subset_sums(share))[1:-1].tolist(), reverse=True)


def talmud(estate: Fraction, claims: list[int]) -> list[Fraction]:
    """Aumann and Maschler 1985: equal awards up to half of each claim, beyond half the claims equal losses."""

    def equal_awards(amount: Fraction, most: list[Fraction]) -> list[Fraction]:
        award = [Fraction(0)] * len(most)
        while amount > 0:
            open_ = [i for i, m in enumerate(most) if award[i] < m]
            step = min([amount / len(open_), *(most[i] - award[i] for i in open_)])
            for i in open_:
                award[i] += step
            amount -= step * len(open_)
        return award

    half = [Fraction(c, 2) for c in claims]
    if estate <= sum(half):
        return equal_awards(estate, half)
    losses = equal_awards(sum(claims) - estate, half)
    return [c - x for c, x in zip(claims, losses, strict=True)]


def bankruptcy(estate: Fraction, claims: list[int]) -> IntArray:
    """What a coalition gets once all others are paid in full (O'Neill 1982)."""
    n = len(claims)
    return game(n, lambda s: max(Fraction(0), estate - sum(c for i, c in enumerate(claims) if i not in s)))


# ---- published games


def test_the_glove_game_gives_all_to_the_scarce_glove() -> None:
    assert nucleolus(game(3, lambda s: 0 in s and len(s) > 1)).tolist() == [UNIT, 0, 0]


def test_a_majority_shares_equally_though_the_core_is_empty() -> None:
    value = game(3, lambda s: len(s) >= 2)
    assert nucleolus(value).tolist() == [UNIT // 3] * 3
    assert not core_nonempty(value)


@pytest.mark.parametrize(
    ("estate", "expected"),
    [(100, [100 / 3] * 3), (200, [50, 75, 75]), (300, [50, 100, 150])],
)
def test_the_three_widows_of_the_talmud(estate: int, expected: list[float]) -> None:
    """Kethubot 93a: claims 100, 200, 300."""
    found = nucleolus(bankruptcy(Fraction(estate), [100, 200, 300]))
    assert found.tolist() == pytest.approx([x * UNIT for x in expected], abs=1)


@settings(max_examples=some(60, 20))
@given(claims=st.lists(st.integers(1, 60), min_size=2, max_size=5), percent=st.integers(0, 100))
def test_the_nucleolus_of_a_bankruptcy_is_the_talmud_rule(claims: list[int], percent: int) -> None:
    estate = Fraction(sum(claims) * percent, 100)
    found = nucleolus(bankruptcy(estate, claims))
    expected = [float(x * UNIT) for x in talmud(estate, claims)]
    # The values of the game are rounded to whole nano, and so are the shares.
    assert found.tolist() == pytest.approx(expected, abs=3)


def test_a_weighted_majority() -> None:
    """Peleg 1968: in a constant-sum weighted majority game the nucleolus is the minimal weights over their sum.

    [5; 3, 2, 2, 1, 1] is constant-sum (9 votes), homogeneous, and these are its minimal weights.
    """
    weights = [3, 2, 2, 1, 1]
    value = game(5, lambda s: 9 * (sum(weights[i] for i in s) >= 5))
    assert nucleolus(value).tolist() == [w * UNIT for w in weights]


@pytest.mark.parametrize(
    "weights", [[1, 1, 1], [2, 1, 1, 1], [3, 1, 1, 1, 1], [2, 2, 1, 1, 1], [3, 2, 2, 1, 1]]
)
def test_minimal_weights_of_small_constant_sum_games(weights: list[int]) -> None:
    total = sum(weights)
    value = game(len(weights), lambda s: total * (2 * sum(weights[i] for i in s) > total))
    assert nucleolus(value).tolist() == [w * UNIT for w in weights]


@given(costs=st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_the_airport_game_follows_its_closed_form(costs: list[int]) -> None:
    """Littlechild 1974: round by round, the smallest unserved pay min over k of what is left of c_k over k + 1."""
    cost = sorted(costs)
    n = len(cost)
    share: list[Fraction] = []
    paid = Fraction(0)
    while len(share) < n:
        done = len(share)
        # The players done .. k pay equally, and one more share is left for those behind them; the last takes the rest.
        options = [(Fraction(cost[k] - paid) / (k - done + 2), k) for k in range(done, n - 1)] + [
            (Fraction(cost[-1] - paid) / (n - done), n - 1)
        ]
        rate = min(option[0] for option in options)
        last = max(k for r, k in options if r == rate)
        share += [rate] * (last - done + 1)
        paid += rate * (last - done + 1)
    value = game(n, lambda s: -max((cost[i] for i in s), default=0))
    # Costs are negative values, and alone each pays its own runway: an imputation pays no more.
    assert nucleolus(value).tolist() == pytest.approx([-float(x) * UNIT for x in share], abs=1)


def test_a_coalition_that_is_tight_by_chance_is_not_fixed() -> None:
    """Runways of 1, 2, 2: the first round leaves a line of optima, and at its ends one more coalition is tight."""
    value = game(3, lambda s: -max(([1, 2, 2][i] for i in s), default=0))
    assert nucleolus(value).tolist() == [-UNIT // 2, -UNIT * 3 // 4, -UNIT * 3 // 4]


# ---- its own definition


def assert_no_better(value: IntArray, share: IntArray, rng: np.random.Generator) -> None:
    """No imputation near or far from the shares has smaller complaints; the shares of the game must be whole."""
    n = players_of(value)
    alone = value[1 << np.arange(n)]
    assert int(share.sum()) == int(value[-1])
    assert (share >= alone).all()
    own = complaints(value, share)
    for _ in range(300):
        size = int(10 ** rng.uniform(0, 6))
        step = rng.integers(-size, size + 1, n) * (rng.random(n) < rng.choice([0.4, 1.0]))
        step[int(rng.integers(n))] -= step.sum()
        if (share + step >= alone).all():
            assert complaints(value, share + step) >= own


@st.composite
def games(draw: st.DrawFn, most: int = 4) -> IntArray:
    """Games with imputations, full of ties; super-additive or not, with an empty core or not."""
    n = draw(st.integers(2, most))
    value = ints(0, *draw(st.lists(st.integers(-6, 12), min_size=2**n - 1, max_size=2**n - 1))) * UNIT
    value[-1] = max(int(value[-1]), int(value[1 << np.arange(n)].sum()))
    return value


@settings(max_examples=some(150, 50))
@given(value=games(), seed=st.integers(0, 2**32))
def test_no_other_imputation_complains_less(value: IntArray, seed: int) -> None:
    assert_no_better(value, nucleolus(value), np.random.Generator(np.random.PCG64(seed)))


@settings(max_examples=some(60, 20))
@given(value=games(most=3))
def test_no_point_of_a_grid_complains_less(value: IntArray) -> None:
    """Every imputation in steps of half a unit, all over the simplex."""
    n, step = players_of(value), UNIT // 2
    alone, own = value[1 << np.arange(n)], complaints(value, nucleolus(value))
    room = int(value[-1] - alone.sum()) // step
    for extra in product(range(room + 1), repeat=n - 1):
        if sum(extra) <= room:
            other = alone + step * ints(*extra, room - sum(extra))
            assert complaints(value, other) >= own


@settings(max_examples=some(60, 20))
@given(value=games(most=5), data=st.data())
def test_shares_follow_the_players_the_unit_and_a_shift(value: IntArray, data: st.DataObject) -> None:
    """Anonymous, and covariant: a v + b(S) has the shares a x + b."""
    n = players_of(value)
    share = nucleolus(value)
    turn = data.draw(st.permutations(range(n)))
    moved = np.array([sum((s >> i & 1) << turn[i] for i in range(n)) for s in range(2**n)])
    renamed = np.empty_like(value)
    renamed[moved] = value
    assert np.abs(nucleolus(renamed)[list(turn)] - share).max() <= 1
    shift = ints(*data.draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n))) * UNIT
    assert np.abs(nucleolus(3 * value + subset_sums(shift)) - (3 * share + shift)).max() <= 3


@settings(max_examples=some(100, 33))
@given(value=games(most=5))
def test_the_nucleolus_lies_in_the_core_exactly_where_there_is_one(value: IntArray) -> None:
    """Schmeidler 1969. The two programs, the least core and the balanced weights, must agree."""
    inside = core_check(value, nucleolus(value), tolerance_nano=players_of(value)).in_core
    assert core_nonempty(value) == inside


def test_large_values_are_shared_to_the_nano() -> None:
    """1e16 nano have more digits than the solver sees; the shares come from fractions."""
    large = 10**16 + 1
    value = ints(0, 0, 0, large, 0, large, 0, large + 2)
    assert nucleolus(value).tolist() == [large, 1, 1]


def test_a_core_is_told_from_an_empty_one_by_a_single_nano() -> None:
    """Pairs worth 2e15 each need 3e15 in all."""
    pair = 2 * 10**15
    for whole, expected in ((pair * 3 // 2, True), (pair * 3 // 2 - 1, False)):
        assert core_nonempty(ints(0, 0, 0, pair, 0, pair, pair, whole)) == expected


def test_one_and_two_players() -> None:
    assert nucleolus(ints(0, 7)).tolist() == [7]
    assert core_nonempty(ints(0, -7))
    assert nucleolus(ints(0, 2, 4, 12)).tolist() == [5, 7]
    assert nucleolus(ints(0, 2, 4, 6)).tolist() == [2, 4]
    assert not core_nonempty(ints(0, 2, 4, 5))


def test_shares_that_are_not_whole_are_rounded_by_largest_remainder() -> None:
    majority = ints(0, 0, 0, 10, 0, 10, 10, 10)
    assert nucleolus(majority).tolist() == [4, 3, 3]
    assert nucleolus(majority - subset_sums(ints(5, 5, 5))).tolist() == [-1, -2, -2]


def test_all_zero() -> None:
    assert nucleolus(np.zeros(16, dtype=np.int64)).tolist() == [0, 0, 0, 0]
    assert core_nonempty(np.zeros(16, dtype=np.int64))


def test_players_who_are_worth_more_alone_have_no_nucleolus() -> None:
    with pytest.raises(Infeasible, match="imputation"):
        nucleolus(ints(0, 3, 3, 5))


# ---- without imputations


def complaints_by_programs(value: IntArray) -> list[float]:
    """Shares by brute force, in units of UNIT: the largest excess e by a program, then who has it at every optimum.

    Whether a coalition has the excess e at every optimum is a program of its own: the most that its shares can be.
    """
    n, worth = players_of(value), value / UNIT
    proper, level = range(1, 2**n - 1), {}

    def best(objective: list[float], e: float | None) -> list[float]:
        """Maximise objective (x, e) over x(N) = v(N), known excesses and x(S) + e >= v(S); the values of x and e."""
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        inf = highspy.kHighsInf
        for cost in objective:
            solver.addCol(-cost, -inf, inf, 0, [], [])
        if e is not None:
            solver.changeColBounds(n, e, e)
        for s in range(1, 2**n):
            members = [i for i in range(n) if s >> i & 1]
            if s == 2**n - 1:
                solver.addRow(worth[s], worth[s], n, members, [1.0] * n)
            elif s in level:
                paid = worth[s] - level[s]
                solver.addRow(paid, paid, len(members), members, [1.0] * len(members))
            else:
                solver.addRow(worth[s], inf, len(members) + 1, [*members, n], [1.0] * (len(members) + 1))
        solver.run()
        return list(solver.getSolution().col_value)

    while len(level) < len(proper):
        e = best([0.0] * n + [-1.0], None)[n]
        for s in [s for s in proper if s not in level]:
            row = [float(s >> i & 1) for i in range(n)]
            most = sum(x * y for x, y in zip(row, best([*row, 0.0], e), strict=False))
            if most < worth[s] - e + 1e-6:
                level[s] = e
    return best([0.0] * (n + 1), 0.0)[:n]


@settings(max_examples=some(60, 20))
@given(players=st.integers(2, 4), data=st.data())
def test_the_prenucleolus_is_that_of_programs_one_after_the_other(players: int, data: st.DataObject) -> None:
    count = 2**players - 1
    value = ints(0, *data.draw(st.lists(st.integers(-12, 12), min_size=count, max_size=count))) * UNIT
    share = prenucleolus(value)
    assert int(share.sum()) == int(value[-1])
    assert (share / UNIT).tolist() == pytest.approx(complaints_by_programs(value), abs=1e-5)


@settings(max_examples=some(100, 33))
@given(value=games(most=5))
def test_with_a_core_the_prenucleolus_is_the_nucleolus(value: IntArray) -> None:
    if core_nonempty(value):
        assert np.abs(prenucleolus(value) - nucleolus(value)).max() <= 1


def test_the_prenucleolus_may_give_a_player_less_than_it_is_worth_alone() -> None:
    """v(12) = 10, v(N) = 4, else 0. {1,2} complains 6 + x3 and {3} -x3: x3 = -3, and 7 are left for 1 and 2."""
    value = game(3, lambda s: 4 if len(s) == 3 else 10 if s == [0, 1] else 0)
    assert prenucleolus(value).tolist() == [UNIT * 7 // 2, UNIT * 7 // 2, -3 * UNIT]
    assert nucleolus(value).tolist() == [2 * UNIT, 2 * UNIT, 0]


def test_a_game_without_imputation_has_a_prenucleolus() -> None:
    """6, 3 and 0 alone, 3 together: each gives up 2, and the complaints of the pairs, at most 1, do not matter."""
    value = game(3, lambda s: 3 if len(s) == 3 else [6, 3, 0][s[0]] if len(s) == 1 else 0)
    with pytest.raises(Infeasible, match="prenucleolus"):
        nucleolus(value)
    assert prenucleolus(value).tolist() == [4 * UNIT, UNIT, -2 * UNIT]
    assert prenucleolus(ints(0, 3, 3, 5)).tolist() == [3, 2]  # 2.5 each, in whole nano
    assert prenucleolus(ints(0, -7)).tolist() == [-7]


def test_what_is_no_game_is_refused() -> None:
    for solve in (nucleolus, prenucleolus, core_nonempty):
        with pytest.raises(InvalidGame):
            solve(ints(0, 1, 2))


def test_twelve_players_are_quick_and_in_the_core_of_a_convex_game() -> None:
    value = game(12, lambda s: len(s) ** 2 / 12 + sum(s) / 12)
    found = nucleolus(value)
    assert core_check(value, found, tolerance_nano=12).in_core
    # The core of a symmetric convex game plus a sum over players: equal shares of the former.
    assert found.tolist() == pytest.approx([UNIT * (1 + i / 12) for i in range(12)], abs=2)
