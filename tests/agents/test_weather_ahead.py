"""The weather that devices are planned with: nothing that is not yet measured."""

from __future__ import annotations

import pytest

from agents.clock import seen_row


@pytest.mark.parametrize(
    ("row", "known", "minutes", "seen"),
    [
        (10, 100, 60, 10),
        (99, 100, 60, 99),
        (100, 100, 60, 99),
        (101, 100, 60, 77),
        (123, 100, 60, 99),
        (124, 100, 60, 76),
        (103, 100, 15, 99),
        (104, 100, 15, 8),
        (5, 3, 60, 2),
        (0, 0, 60, 0),
    ],
)
def test_an_interval_to_come_has_the_weather_of_the_last_hour_or_of_a_day_before(
    row: int, known: int, minutes: int, seen: int
) -> None:
    """With less than a day of it, the last that there is; with none, that of the first row, which is then unused."""
    assert seen_row(row, known, minutes) == seen


def test_it_is_never_one_that_is_not_known() -> None:
    for known in range(1, 60):
        assert all(0 <= seen_row(row, known, 60) < known for row in range(140))
