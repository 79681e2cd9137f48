"""Local clocks: both passes of the autumn hour, the hour that spring skips, days of 92 and 100 rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data.clock import (
    LOCAL,
    UNREADABLE,
    WITH_OFFSET,
    instants_of_positions,
    local_of_utc,
    local_seconds,
    parse_stamps,
    utc_by_row_order,
    zone_named,
)
from data.errors import UnknownZone

BERLIN = ZoneInfo("Europe/Berlin")


def local_day(year: int, month: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    """All quarter hours of a Berlin day: UTC, and what the clock shows."""
    start = int(datetime(year, month, day, tzinfo=BERLIN).timestamp())
    after = datetime(year, month, day) + timedelta(days=1)
    end = int(after.replace(tzinfo=BERLIN).timestamp())
    utc = np.arange(start, end, 900, dtype=np.int64)
    return utc, local_of_utc(utc, BERLIN)


@pytest.mark.parametrize(("month", "day", "rows"), [(3, 31, 92), (10, 27, 100), (6, 1, 96)])
def test_a_day_of_local_stamps_becomes_the_utc_day(month: int, day: int, rows: int) -> None:
    utc, local = local_day(2024, month, day)
    assert len(utc) == rows
    found, _, exists = utc_by_row_order(local, np.zeros(rows, dtype=np.int64), BERLIN)
    assert exists.all()
    assert np.array_equal(found, utc)


def test_the_repeated_hour_may_be_written_pairwise() -> None:
    utc, local = local_day(2024, 10, 27)
    order = np.lexsort((utc, local))
    found, repeated, _ = utc_by_row_order(local[order], np.zeros(100, dtype=np.int64), BERLIN)
    assert np.array_equal(np.sort(found), utc)
    assert repeated.sum() == 8


def test_passes_are_counted_for_each_meter() -> None:
    stamp = local_seconds(datetime(2024, 10, 27, 2, 30))
    local = np.full(4, stamp)
    found, _, _ = utc_by_row_order(local, np.array([0, 1, 0, 1]), BERLIN)
    assert (found - found[0]).tolist() == [0, 0, 3600, 3600]


def test_a_stamp_in_the_spring_gap_does_not_exist() -> None:
    local = np.array([local_seconds(datetime(2024, 3, 31, hour, 30)) for hour in (1, 2, 3)])
    _, _, exists = utc_by_row_order(local, np.zeros(3, dtype=np.int64), BERLIN)
    assert exists.tolist() == [True, False, True]


def test_stamps_with_offset_are_read_as_utc() -> None:
    seconds, kind = parse_stamps(
        ["2024-01-01T00:00:00Z", "2024-01-01 01:00+01:00", "2024-01-01T01:00:00.000+0100"]
    )
    assert kind.tolist() == [WITH_OFFSET] * 3
    assert set(seconds.tolist()) == {int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())}


@pytest.mark.parametrize(
    "text",
    ["2024-01-01", "01.01.2024 00:00", "2024-01-01 24:00", "", "2024-01-01T00:00:00.5Z", "1704067200000000"],
)
def test_other_stamps_are_unreadable(text: str) -> None:
    assert parse_stamps([text])[1].tolist() == [UNREADABLE]


def test_stamps_without_offset_are_local() -> None:
    assert parse_stamps(["2024-01-01 00:15"])[1].tolist() == [LOCAL]


@pytest.mark.parametrize("name", ["Europe/Berlinn", "europe/berlin", "EUROPE/Berlin "])
def test_an_unknown_zone_names_the_nearest(name: str) -> None:
    with pytest.raises(UnknownZone, match=r"no time zone '.*Did you mean 'Europe/Berlin'"):
        zone_named(name)


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "SystemV/EST5"])
def test_a_setting_of_a_machine_is_no_zone(name: str) -> None:
    with pytest.raises(UnknownZone, match=r"is a setting of a machine and no place.*Write one as"):
        zone_named(name)


@pytest.mark.parametrize("folder", ["posix", "right"])
def test_a_copy_of_a_zone_names_the_zone(folder: str) -> None:
    with pytest.raises(UnknownZone, match="Did you mean 'America/New_York'"):
        zone_named(f"{folder}/America/New_York")


@pytest.mark.parametrize("name", ["UTC", "Etc/GMT-1", "CET", "Asia/Kolkata"])
def test_fixed_clocks_and_places_are_zones(name: str) -> None:
    assert zone_named(name).key == name


ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kolkata",
    "Africa/Cairo",
]


@pytest.mark.parametrize("zone", [*ZONES, "America/Havana"])
@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_positions_are_counted_through_days_of_any_length(zone: str, minutes: int) -> None:
    info = ZoneInfo(zone)
    for day in range(366):
        date = datetime(2024, 1, 1) + timedelta(days=day)
        # By hand: every whole step after the first instant that has this date, while the date lasts.
        first = int((date - timedelta(hours=3)).replace(tzinfo=UTC).timestamp()) - 14 * 3600
        of_day = [
            s
            for s in range(first, first + 60 * 3600, 900)
            if datetime.fromtimestamp(s, info).date() == date.date()
        ]
        starts = list(range(of_day[0], of_day[-1] + 900 - minutes * 60 + 1, minutes * 60))
        count = len(starts)
        position = np.arange(0, count + 2)
        found, there = instants_of_positions(
            np.full(len(position), local_seconds(date)), position, minutes, info
        )
        assert there.tolist() == [False, *[True] * count, False]
        assert found[1:-1].tolist() == starts


def test_positions_may_have_a_length_each() -> None:
    day = np.full(3, local_seconds(datetime(2024, 10, 27)))
    found, there = instants_of_positions(day, np.array([100, 50, 26]), np.array([15, 30, 60]), BERLIN)
    end = int(datetime(2024, 10, 28, tzinfo=BERLIN).timestamp())
    assert (end - found[:2]).tolist() == [900, 1800]
    assert there.tolist() == [True, True, False]
