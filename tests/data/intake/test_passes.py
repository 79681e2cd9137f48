"""Both passes of the autumn hour, against instants that are known, in every order in which files write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.clock import local_of_utc
from data.intake.passes import ALONE, FIRST, SECOND, UNDECIDED, passes_of
from data.intake.times import Unknown
from market.units import IntArray
from tests.kits.sample_kit import some

CHANGES = {
    "Europe/Berlin": (datetime(2023, 10, 29, 1), datetime(2023, 3, 26, 1)),
    "America/New_York": (datetime(2023, 11, 5, 6), datetime(2023, 3, 12, 7)),
    "Australia/Lord_Howe": (datetime(2023, 4, 1, 15), datetime(2023, 9, 30, 15, 30)),  # half an hour
    "America/Santiago": (datetime(2023, 4, 2, 3), datetime(2023, 9, 3, 4)),  # at midnight
    "Australia/Sydney": (datetime(2023, 4, 1, 16), datetime(2023, 9, 30, 16)),
}
ZONES = list(CHANGES)


def instants(zone: str, autumn: bool, minutes: int, before: int, after: int) -> IntArray:
    """Intervals around a change of the clock."""
    change = int(CHANGES[zone][0 if autumn else 1].replace(tzinfo=UTC).timestamp())
    return change + 60 * minutes * np.arange(-before, after, dtype=np.int64)


def written(utc: IntArray, zone: str, how: str) -> IntArray:
    """Order in which a file has the rows of these instants."""
    local = local_of_utc(utc, ZoneInfo(zone))
    order = np.arange(len(utc)) if how.startswith("after") else np.lexsort((utc, local))
    return order[::-1] if how.endswith("newest first") else order


ORDERS = ["after each other", "in pairs", "after each other, newest first", "in pairs, newest first"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("how", ORDERS)
@pytest.mark.parametrize("minutes", [5, 15, 30])
@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("equal", [False, True])
def test_every_row_of_the_hour_is_of_its_pass(
    zone: str, how: str, minutes: int, copies: int, equal: bool
) -> None:
    utc = instants(zone, True, minutes, 200 // minutes, 200 // minutes)
    order = np.tile(written(utc, zone, how), copies)
    values = np.zeros(len(utc)) if equal else np.arange(len(utc)) / 10
    local = local_of_utc(utc, ZoneInfo(zone))
    found = passes_of(local[order], np.zeros(len(order), dtype=np.int64), [values[order]], ZoneInfo(zone))
    assert np.isin(found.known, (FIRST, SECOND)).all()
    if equal:  # rows of one value cannot be distinguished, but both passes are there as often
        assert np.array_equal(np.sort(found.utc), np.sort(utc[order]))
    else:
        assert np.array_equal(found.utc, utc[order])


@pytest.mark.parametrize("how", ORDERS)
def test_each_row_may_be_written_twice_in_a_row(how: str) -> None:
    utc = instants("Europe/Berlin", True, 15, 20, 20)
    order = np.repeat(written(utc, "Europe/Berlin", how), 2)
    local = local_of_utc(utc, ZoneInfo("Europe/Berlin"))
    values = np.arange(len(utc)) / 10
    found = passes_of(local[order], np.zeros(80, dtype=np.int64), [values[order]], ZoneInfo("Europe/Berlin"))
    assert np.array_equal(found.utc, utc[order])


@given(st.data())
@settings(max_examples=some(150, 50), deadline=None)
def test_no_row_is_ever_put_into_the_wrong_pass(data: st.DataObject) -> None:
    """A file may begin and end anywhere, and hold several homes."""
    zone = data.draw(st.sampled_from(ZONES))
    minutes = data.draw(st.sampled_from((5, 10, 15, 30, 60)))
    utc = instants(zone, True, minutes, *(data.draw(st.integers(1, 600 // minutes)) for _ in range(2)))
    local = local_of_utc(utc, ZoneInfo(zone))
    order = written(utc, zone, data.draw(st.sampled_from(ORDERS)))
    homes = data.draw(st.integers(1, 3))
    rows = np.concatenate([order * homes + h for h in range(homes)])
    if data.draw(st.booleans()):  # rows of homes are mixed, each in its order
        rows = np.concatenate([order[:, np.newaxis] * homes + np.arange(homes)]).ravel()
    values = np.arange(len(utc) * homes) / 10
    found = passes_of(local[rows // homes], rows % homes, [values[rows]], ZoneInfo(zone))
    decided = np.isin(found.known, (FIRST, SECOND))
    assert np.array_equal(found.utc[decided], utc[rows // homes][decided])


@given(zone=st.sampled_from(ZONES), seed=st.integers(0, 10**6))
@settings(max_examples=some(100, 33), deadline=None)
def test_rows_in_no_order_are_never_guessed(zone: str, seed: int) -> None:
    utc = instants(zone, True, 15, 30, 30)
    order = np.random.default_rng(seed).permutation(60)
    local = local_of_utc(utc, ZoneInfo(zone))
    found = passes_of(local[order], np.zeros(60, dtype=np.int64), [np.arange(60.0)[order]], ZoneInfo(zone))
    repeated = np.array([(local == stamp).sum() for stamp in local[order].tolist()]) > 1
    assert (found.known[repeated] == UNDECIDED).all()
    assert np.array_equal(found.utc[~repeated], utc[order][~repeated])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("lost", [0, 1])
def test_one_pass_alone_is_not_known(zone: str, lost: int) -> None:
    length = 1800 if "Lord" in zone else 3600
    utc = instants(zone, True, 15, 20, 20)
    change = utc[20]
    gone = (
        (utc >= change - length) & (utc < change) if lost == 0 else (utc >= change) & (utc < change + length)
    )
    kept = utc[~gone]
    local = local_of_utc(kept, ZoneInfo(zone))
    found = passes_of(local, np.zeros(len(kept), dtype=np.int64), [np.arange(len(kept)) / 10], ZoneInfo(zone))
    assert (found.known == ALONE).sum() == length // 900
    assert np.array_equal(found.utc[found.known == FIRST], kept[found.known == FIRST])


@pytest.mark.parametrize("zone", ZONES)
def test_ends_of_intervals_may_end_the_first_pass_at_either_time(zone: str) -> None:
    utc = instants(zone, True, 15, 20, 20)
    ends = local_of_utc(utc + 900, ZoneInfo(zone))
    as_clock = passes_of(ends, np.zeros(40, dtype=np.int64), [np.arange(40.0)], ZoneInfo(zone), ends=True)
    assert np.array_equal(as_clock.utc, utc + 900)
    counted_on = local_of_utc(utc, ZoneInfo(zone)) + 900
    as_text = passes_of(
        counted_on, np.zeros(40, dtype=np.int64), [np.arange(40.0)], ZoneInfo(zone), ends=True
    )
    assert np.array_equal(as_text.utc, utc + 900)


@pytest.mark.parametrize("zone", ZONES)
def test_the_hour_that_spring_skips_does_not_exist(zone: str) -> None:
    utc = instants(zone, False, 15, 20, 20)
    local = local_of_utc(utc, ZoneInfo(zone))
    found = passes_of(local, np.zeros(40, dtype=np.int64), [np.arange(40.0)], ZoneInfo(zone))
    assert found.exists.all()
    assert np.array_equal(found.utc, utc)
    steady = local[0] + 900 * np.arange(44)
    found = passes_of(steady, np.zeros(44, dtype=np.int64), [np.arange(44.0)], ZoneInfo(zone))
    assert (~found.exists).sum() == (2 if "Lord" in zone else 4)
    (window,) = found.skipped
    assert window.change_s == utc[20]


@pytest.mark.parametrize("repeated", range(5))
def test_a_repeated_row_of_a_single_pass_is_no_second_pass(repeated: int) -> None:
    """Ends of the hour from 02:00 to 03:00, each once but one; the file is read as without that row."""
    utc = instants("Europe/Berlin", True, 15, 20, 20)
    change = utc[20]
    kept = utc[(utc < change - 900) | (utc >= change + 2700)]
    ends = np.unique(local_of_utc(kept + 900, ZoneInfo("Europe/Berlin")))
    hour = np.flatnonzero(ends % 86_400 == 7200)[0] + np.arange(5)
    assert (np.diff(ends[hour]) == 900).all()
    values = np.arange(len(ends)) / 10
    alone = passes_of(ends, np.zeros(len(ends), dtype=np.int64), [values], ZoneInfo("Europe/Berlin"), True)
    twice = np.sort(np.append(np.arange(len(ends)), hour[repeated]))
    found = passes_of(
        ends[twice], np.zeros(len(twice), dtype=np.int64), [values[twice]], ZoneInfo("Europe/Berlin"), True
    )
    assert np.array_equal(found.known, alone.known[twice])
    assert np.array_equal(found.utc, alone.utc[twice])


def test_the_stretch_without_a_pass_is_that_of_the_intervals() -> None:
    """Intervals of 15 min before the stamps of an hour that name ends; none before those that name all of its ends."""
    by_clock, by_text = Unknown(0, 7200, 14400), Unknown(0, 7200, 14400, late=True)
    assert by_clock.of_intervals(True, 900) == Unknown(0, 6300, 13500)
    assert by_clock.of_intervals(False, 900) == Unknown(0, 7200, 14400)
    assert by_text.of_intervals(True, 900) == Unknown(0, 7200, 14400)
