"""Counters that begin at 0 again: what they do not show over a gap in which they may have done so is no energy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.intake.raw import Channel
from data.intake.resets import may_begin_again
from data.readings import MEASURED, MISSING
from tests.kits.intake_kit import codes, intake, table
from tests.kits.meter_kit import START
from tests.kits.sample_kit import some

HOUR, DAY = 3600, 24
COUNTER = Channel("import", "kWh", "counter")


def of_day(hour: int) -> float:
    """A counter of the day after hours of 0.5 kWh; it shows 0 at midnight."""
    return hour % DAY * 0.5


@pytest.mark.parametrize(
    ("first", "last", "known"),
    [
        (DAY + 8, DAY + 12, 2000),
        (DAY + 8, 2 * DAY - 1, 7500),
        (DAY + 20, 2 * DAY, None),  # to 0: what went through before is not known
        (DAY + 20, 2 * DAY + 6, None),
        (DAY + 20, 3 * DAY + 22, None),  # shows more than before
        (DAY, 2 * DAY, None),  # 0 before and after
        (DAY, 3 * DAY, None),
        (4, 10, 3000),  # before it begins again for the first time
        (6 * DAY + 2, 6 * DAY + 4, 1000),
    ],
)
def test_a_gap_of_a_counter_of_the_day(first: int, last: int, known: int | None) -> None:
    hours = [hour for hour in range(7 * DAY) if not first < hour < last]
    reading = intake(table({COUNTER: [of_day(hour) for hour in hours]}, at=[START + h * HOUR for h in hours]))
    data = reading.data
    assert data is not None
    assert (data.quality[first:last] == MISSING).all()
    assert (np.delete(data.quality[:, 0], np.arange(first, last)) == MEASURED).all()
    assert [one.wh for one in reading.known] == ([] if known is None else [known])
    assert codes(reading).count("counter_gap") + codes(reading).count("counter_fell") == 1


def test_a_gap_of_a_counter_that_begins_again_at_any_time_is_not_known() -> None:
    begins, hours, shown, kwh = {30, 41, 90}, [], [], 0.0
    for hour in range(120):
        kwh = 0.0 if hour in begins else kwh + 0.5
        if not 60 < hour < 64:
            hours.append(hour)
            shown.append(kwh)
    reading = intake(table({COUNTER: shown}, at=[START + h * HOUR for h in hours]))
    assert reading.known == ()
    assert reading.data is not None
    assert (reading.data.quality[60:64] == MISSING).all()


@given(st.integers(0, 2**32))
@settings(max_examples=some(60, 20), deadline=None)
def test_energy_that_is_known_of_a_counter_of_the_day_is_true(seed: int) -> None:
    """Whatever readings are lost, what is measured and known is never more or less than what went through there."""
    random = np.random.default_rng(seed)
    wh = random.integers(1, 900, 8 * DAY)
    wh[DAY - 1 :: DAY] = 0  # what goes through just before midnight is not seen by any reading
    shown = [int(wh[hour - hour % DAY : hour].sum()) for hour in range(8 * DAY)]
    lost = random.random(8 * DAY) < random.choice([0.05, 0.4])
    lost[[0, 1, -1]] = False
    hours = np.flatnonzero(~lost).tolist()
    channel = Channel("import", "Wh", "counter")
    reading = intake(
        table({channel: [shown[h] for h in hours]}, at=[START + h * HOUR for h in hours]), minutes=60
    )
    data = reading.data
    assert data is not None
    read = data.quality[:, 0] != MISSING
    offset = (data.start_s - START) // HOUR
    begun = sum("begins at 0 again" in one.message for one in reading.findings)
    if not begun:  # it is not seen that this counter begins again
        return
    assert data.import_wh[read, 0].tolist() == wh[offset : offset + data.intervals][read].tolist()
    for one in reading.known:
        first, last = ((t - START) // HOUR for t in (one.start_s, one.end_s))
        assert one.wh == wh[first:last].sum()


def test_a_home_whose_counter_never_begins_again_is_left_alone() -> None:
    home, start = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    again = np.array([False, False, True, True, True])
    assert may_begin_again(home, start, start + 1, again).tolist() == [False, False, True, True, True]
