"""Market intervals against the calendar of the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.interval import ALLOWED_MINUTES, Interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
minutes_allowed = st.sampled_from([5, 15, 30, 60])
numbers = st.integers(0, 500_000)
"""Of intervals since 1970; of the longest ones until 2027."""


def calendar(number: int, minutes: int) -> datetime:
    """The start of the interval of this number, by adding up durations."""
    return EPOCH + number * timedelta(minutes=minutes)


def test_four_lengths_are_allowed() -> None:
    assert set(ALLOWED_MINUTES) == {5, 15, 30, 60}
    assert Interval(0).minutes == 15


@given(numbers, minutes_allowed)
def test_an_interval_is_half_open_and_named_by_its_start(number: int, minutes: int) -> None:
    start, end = calendar(number, minutes), calendar(number + 1, minutes)
    one = Interval(int(start.timestamp()), minutes)
    assert one.start == start
    assert one.start.utcoffset() == timedelta(0)
    assert one.end_s == int(end.timestamp())
    assert one.end_s == Interval(one.end_s, minutes).start_s
    assert str(one) == f"{start:%Y-%m-%d}T{start:%H:%M}Z/{minutes}min"


@given(st.lists(numbers, min_size=2, max_size=9), minutes_allowed)
def test_intervals_are_sorted_by_time_and_found_by_value(several: list[int], minutes: int) -> None:
    made = [Interval(number * minutes * 60, minutes) for number in several]
    assert [one.start for one in sorted(made)] == [calendar(number, minutes) for number in sorted(several)]
    assert len(set(made)) == len(set(several))


@given(numbers, minutes_allowed, st.integers(1, 3_599))
def test_a_start_between_two_boundaries_is_refused(number: int, minutes: int, off_s: int) -> None:
    start_s = number * minutes * 60 + off_s % (minutes * 60)
    if (start_s - number * minutes * 60) % 900 == 0:  # +05:30 and +05:45 are whole quarters of an hour
        assert Interval(start_s, minutes).start_s == start_s
        return
    with pytest.raises(ValueError, match=rf"is not on a {minutes}-minute boundary$") as refused:
        Interval(start_s, minutes)
    assert str(EPOCH + timedelta(seconds=start_s)) in str(refused.value)


@given(st.integers(-60, 1_440).filter(lambda minutes: minutes not in (5, 15, 30, 60)))
def test_another_length_is_refused_with_the_lengths_that_are_allowed(minutes: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^an interval of {minutes} minutes; choose one of \(5, 15, 30, 60\)$"
    ):
        Interval(0, minutes)
