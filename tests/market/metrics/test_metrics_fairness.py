"""Savings and fairness indices: hand-computed, against naive second formulations, and every undefined case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.metrics.fairness import (
    gini,
    homes_worse_off,
    jain,
    min_max_ratio,
    participation_share,
    percent_of,
    qoe,
    saving_nano,
)
from market.metrics.table import METRICS, Result
from market.settlement.accounts import MONEY_COLUMNS
from market.units import NANO_PER_UNIT, IntArray


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


NOTHING = ints()
amounts = st.lists(st.integers(0, 10**15), min_size=1, max_size=12)


# ---- savings


def result(without: IntArray, with_market: IntArray, operator_nano: int = 0) -> Result:
    """Bills in nano-currency, positive is paid; all of the bill with the market in one money column."""
    none = np.zeros_like(without)
    bills = dict.fromkeys(MONEY_COLUMNS, none) | {"retail_nano": -with_market, "baseline_nano": -without}
    return Result({}, bills, {"market_operator_nano": operator_nano})


def figure(name: str, of: Result) -> float | None:
    return METRICS.get(name).of(of)


SAVINGS = (
    "saving",
    "saving_percent",
    "saving_with_operator_surplus",
    "cost_without_market",
    "cost_with_market",
)


def in_nano(found: Result) -> list[float | None]:
    return [
        value if value is None or name == "saving_percent" else round(value * NANO_PER_UNIT)
        for name in SAVINGS
        for value in [figure(name, found)]
    ]


def test_savings_are_signed_and_shown_with_and_without_the_operators_surplus() -> None:
    """Bills 100 + 60 become 70 + 50: 40 of 160 saved; with the 8 that the operator kept, 48."""
    assert in_nano(result(ints(100, 60), ints(70, 50), 8)) == [40, 25.0, 48, 160, 120]


def test_a_loss_is_negative() -> None:
    assert in_nano(result(ints(100), ints(110), 5)) == [-10, -10.0, -5, 100, 110]


@pytest.mark.parametrize("without", [(0,), (50, -50), (99,), (-99,), ()])
def test_a_percentage_needs_a_bill_beside_which_the_saving_is_small(without: tuple[int, ...]) -> None:
    found = result(ints(*without), ints(*(w - 1_000 for w in without)), 1)
    assert figure("saving_percent", found) is None
    assert in_nano(found)[0] == 1_000 * len(without)


def test_a_community_that_earns_has_a_percentage_of_what_it_earns() -> None:
    assert figure("saving_percent", result(ints(-50), ints(-60))) == 20.0


def test_bills_that_pass_64_bits_together_are_summed() -> None:
    large = ints(2**62, 2**62, 2**62)
    assert figure("saving", result(large, ints(0, 0, 0))) == 3 * 2**62 / NANO_PER_UNIT


@given(
    bills=st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12)), max_size=9),
    surplus=st.integers(-(10**9), 10**9),
    factor=st.integers(1, 1_000),
)
def test_scaling_money_scales_savings_and_leaves_percentages(
    bills: list[tuple[int, int]], surplus: int, factor: int
) -> None:
    without, with_market = ints(*(a for a, _ in bills)), ints(*(b for _, b in bills))
    one = result(without, with_market, surplus)
    many = result(without * factor, with_market * factor, surplus * factor)
    assert many.saving_nano.tolist() == (one.saving_nano * factor).tolist()
    for name in SAVINGS:
        scale = 1 if name == "saving_percent" else factor
        value = figure(name, one)
        expected = None if value is None else pytest.approx(value * scale, rel=1e-12)
        assert figure(name, many) == expected
        assert figure(name, result(without[::-1], with_market[::-1], surplus)) == value


def test_a_saving_is_the_sum_of_all_money_less_the_bill_without_a_market() -> None:
    bills = {name: ints(i, 10 * i) for i, name in enumerate(MONEY_COLUMNS, 1)} | {
        "baseline_nano": ints(4, -7)
    }
    assert saving_nano(bills).tolist() == [10 - 4, 100 + 7]
    assert percent_of(5, 20) == 25.0


def test_losers_are_listed_the_largest_loss_first() -> None:
    assert homes_worse_off(ints(5, -2, 0, -7, -2)).tolist() == [3, 1, 4]
    assert homes_worse_off(ints(0, 1)).tolist() == []


def test_who_is_not_worse_off_takes_part() -> None:
    """0 counts: C_mkt <= C_ref."""
    assert participation_share(ints(5, -2, 0, -7)) == 0.5
    assert participation_share(NOTHING) is None


# ---- indices


def test_hand_computed_indices() -> None:
    """Of 1, 2, 3, 6: all differences sum to 2 (1 + 2 + 5 + 1 + 4 + 3) = 32, n^2 mean is 48; 144 / (4 x 50)."""
    value = ints(1, 2, 3, 6)
    assert gini(value) == pytest.approx(32 / (2 * 48))
    assert jain(value) == pytest.approx(144 / 200)
    assert min_max_ratio(value) == pytest.approx(1 / 6)
    # Population variance (4 + 1 + 0 + 9) / 4 = 3.5 on a scale of 10.
    assert qoe(value, 0, 10) == pytest.approx(1 - 2 * 3.5**0.5 / 10)


def test_ends_of_the_scales() -> None:
    equal, one_has_all = ints(4, 4, 4, 4), ints(0, 0, 0, 9)
    assert (gini(equal), jain(equal), min_max_ratio(equal), qoe(equal, 0, 5)) == (0, 1, 1, 1)
    assert (gini(one_has_all), jain(one_has_all), min_max_ratio(one_has_all)) == (0.75, 0.25, 0)
    assert qoe(ints(0, 0, 5, 5), 0, 5) == 0


@pytest.mark.parametrize("index", [gini, jain, min_max_ratio])
@pytest.mark.parametrize("value", [(), (0, 0), (5, -1), (-1, -1), (3, -3)])
def test_an_index_is_undefined_without_homes_at_0_or_with_a_loser(
    index: object, value: tuple[int, ...]
) -> None:
    assert callable(index)
    assert index(ints(*value)) is None


@pytest.mark.parametrize(
    ("value", "low", "high"), [((), 0, 1), ((1,), 1, 1), ((1,), 2, 0), ((3,), 0, 2), ((-1,), 0, 2)]
)
def test_qoe_is_undefined_without_homes_without_a_scale_or_outside_it(
    value: tuple[int, ...], low: int, high: int
) -> None:
    assert qoe(ints(*value), low, high) is None


def test_qoe_takes_losses() -> None:
    assert qoe(ints(-10, 10), -10, 10) == 0


@given(value=amounts)
def test_the_indices_equal_their_textbook_double_loops(value: list[int]) -> None:
    n, mean = len(value), sum(value) / len(value)
    if not mean:
        assert gini(ints(*value)) is None
        assert jain(ints(*value)) is None
        return
    differences = sum(abs(x - y) for x in value for y in value)
    assert gini(ints(*value)) == pytest.approx(differences / (2 * n**2 * mean), abs=1e-12)
    # 1 / (1 + squared coefficient of variation) is Jain's own second form.
    shape = np.array(value) / mean
    assert jain(ints(*value)) == pytest.approx(1 / (1 + float(np.var(shape))))


@given(value=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=12))
def test_qoe_equals_the_formula_with_numpys_std(value: list[int]) -> None:
    low, high = -(10**12), 10**12
    found = qoe(ints(*value), low, high)
    assert found == pytest.approx(1 - 2 * float(np.std(np.array(value, dtype=float))) / (high - low))
    assert -1e-12 <= found <= 1


@given(value=amounts, factor=st.integers(1, 1_000), seed=st.integers(0, 99))
def test_indices_have_no_unit_and_know_no_order(value: list[int], factor: int, seed: int) -> None:
    mixed = np.random.default_rng(seed).permutation(ints(*value)) * factor
    for index in (gini, jain, min_max_ratio):
        found = index(ints(*value))
        assert index(mixed) == (found if found is None else pytest.approx(found))
    top = max(value) + 1
    assert qoe(mixed, 0, top * factor) == pytest.approx(qoe(ints(*value), 0, top))


@given(value=amounts, copies=st.integers(2, 4))
def test_a_community_twice_as_large_with_the_same_homes_is_as_fair(value: list[int], copies: int) -> None:
    for index in (gini, jain):
        found = index(ints(*value))
        assert index(ints(*(value * copies))) == (found if found is None else pytest.approx(found))
