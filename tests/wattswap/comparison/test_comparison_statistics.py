"""Paired differences and their intervals: printed tables, coverage, pairs without a value."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattswap.comparison.statistics import mean_interval, paired_difference, student_t


@pytest.mark.parametrize(
    ("freedom", "t95", "t99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (29, 2.045, 2.756),
        (120, 1.980, 2.617),
    ],
)
def test_quantiles_of_student_are_those_of_the_printed_table(freedom: int, t95: float, t99: float) -> None:
    """Fisher and Yates, Statistical Tables, table III."""
    assert round(student_t(freedom, 0.95), 3) == t95
    assert round(student_t(freedom, 0.99), 3) == t99


def test_intervals_cover_the_true_mean_as_often_as_they_say() -> None:
    draw = np.random.default_rng(5)
    samples = draw.normal(3.0, 2.0, (4_000, 5))
    hit = [(d.low or 0) <= 3.0 <= (d.high or 0) for d in (mean_interval(row.tolist()) for row in samples)]
    # The standard error of the share is 0.0034; four of them.
    assert abs(np.mean(hit) - 0.95) < 0.014


@given(st.lists(st.tuples(st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9)), max_size=8))
def test_a_pair_without_a_value_does_not_count(pairs: list[tuple[int | None, int | None]]) -> None:
    difference = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
    whole = [a - b for a, b in pairs if a is not None and b is not None]
    assert difference.n == len(whole)
    assert difference.mean == (statistics.fmean(whole) if whole else None)
    assert (difference.low is None) == (len(whole) < 2)
