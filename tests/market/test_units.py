"""Units: exact conversions and shares that add up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.units import (
    is_exact,
    largest_remainder,
    micro_from_price,
    rounded_shares,
    side_by_side,
    wh_from_kwh,
)


def test_decimals_convert_without_a_float_in_between() -> None:
    assert micro_from_price(Decimal("0.1") + Decimal("0.2")) == 300_000
    assert wh_from_kwh(Decimal("0.263")) == 263


def test_a_finer_number_than_the_inside_unit_is_noticed() -> None:
    assert is_exact(Decimal("0.123456"), 1_000_000)
    assert not is_exact(Decimal("0.1234567"), 1_000_000)


weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


@given(weights, st.data())
def test_shares_add_up_stay_within_one_unit_of_the_exact_share_and_below_the_weight(
    weight: list[int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(weight)))
    share = largest_remainder(np.array(weight, dtype=np.int64), total)
    assert int(share.sum()) == total
    for given_wh, w in zip(share.tolist(), weight, strict=True):
        assert 0 <= given_wh <= w
        assert abs(given_wh - Fraction(w * total, sum(weight))) < 1


def test_products_beyond_64_bits_are_still_exact() -> None:
    weight = np.array([3 * 10**12, 10**12], dtype=np.int64)
    assert largest_remainder(weight, 2 * 10**12 + 1).tolist() == [15 * 10**11 + 1, 5 * 10**11]


def test_the_earlier_row_gets_the_odd_unit_of_a_tie() -> None:
    assert largest_remainder(np.array([5, 5], dtype=np.int64), 3).tolist() == [2, 1]


@given(weights, st.data())
def test_leftover_units_go_to_the_largest_remainders_and_earlier_rows_first(
    weight: list[int], data: st.DataObject
) -> None:
    """An independent formulation: sort by (remainder, row) and hand out one unit each."""
    total = data.draw(st.integers(0, sum(weight)))
    share = [w * total // sum(weight) for w in weight]
    remainder = [w * total % sum(weight) for w in weight]
    for row in sorted(range(len(weight)), key=lambda i: (-remainder[i], i))[: total - sum(share)]:
        share[row] += 1
    assert largest_remainder(np.array(weight, dtype=np.int64), total).tolist() == share


def test_the_lower_rank_gets_the_odd_unit_of_a_tie_and_the_earlier_row_that_of_equal_ranks() -> None:
    weight = np.array([5, 5, 5, 9], dtype=np.int64)
    for rank, share in (
        ([2, 0, 1, 3], [0, 1, 1, 1]),
        ([7, 7, 3, 0], [1, 0, 1, 1]),
        ([0, 1, 2, 9], [1, 1, 0, 1]),
    ):
        with_rank = largest_remainder(weight, 3, np.array(rank, dtype=np.int64))
        assert with_rank.tolist() == share  # 15/24, 15/24, 15/24 and 27/24: two units left for three
    assert rounded_shares([2, 2, 2, 6], 4, [2, 0, 1, 3]).tolist() == [0, 1, 1, 1]
    assert rounded_shares([-2, -2], 4, [1, 0]).tolist() == [-1, 0]


@given(weights, st.data())
def test_a_rank_decides_ties_alone(weight: list[int], data: st.DataObject) -> None:
    """Sort by (remainder, rank, row) and hand out one unit each; a rank by row is no rank at all."""
    total = data.draw(st.integers(0, sum(weight)))
    rank = data.draw(st.lists(st.integers(0, 3), min_size=len(weight), max_size=len(weight)))
    share = [w * total // sum(weight) for w in weight]
    remainder = [w * total % sum(weight) for w in weight]
    for row in sorted(range(len(weight)), key=lambda i: (-remainder[i], rank[i], i))[: total - sum(share)]:
        share[row] += 1
    column = np.array(weight, dtype=np.int64)
    assert largest_remainder(column, total, np.array(rank, dtype=np.int64)).tolist() == share
    assert rounded_shares([w * total for w in weight], sum(weight), rank).tolist() == share
    by_row = largest_remainder(column, total, np.arange(len(weight)))
    assert by_row.tolist() == largest_remainder(column, total).tolist()


@given(st.lists(st.integers(0, 4), max_size=8), st.lists(st.integers(0, 4), max_size=8))
def test_stretches_laid_side_by_side_join_the_wh_of_both_rows(left: list[int], right: list[int]) -> None:
    found = side_by_side(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64))
    single = [[i for i, wh in enumerate(row_) for _ in range(wh)] for row_ in (left, right)]
    pieces = [(i, j) for i, j, wh in zip(*(c.tolist() for c in found), strict=True) for _ in range(wh)]
    assert pieces == list(zip(*single, strict=False))
    assert (found[2] > 0).all()
