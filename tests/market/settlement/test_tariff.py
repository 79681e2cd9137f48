"""Outside prices: flat, by time of the week across clock changes, and series."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InvalidTariff
from market.settlement.tariff import (
    MINUTES_PER_WEEK,
    OutsidePrices,
    Window,
    flat,
    parse_clock,
    parse_days,
    series,
    time_of_use,
    week_table,
)
from tests.kits.sample_kit import some

CHEAP, DEAR, NIGHT = 200_000, 400_000, 100_000
EVENING = Window(parse_days("mon-fri"), parse_clock("17:00"), parse_clock("21:00"), DEAR)
OVERNIGHT = Window(parse_days("all"), parse_clock("22:00"), parse_clock("06:00"), NIGHT)


def second(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


def wall_clock_price(instant_s: int, zone: str, windows: list[Window], default: int | None) -> int | None:
    """Oracle: ask the calendar about one instant, window by window."""
    local = datetime.fromtimestamp(instant_s, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    for window in windows:
        length = (window.to_minute - window.from_minute) % 1440 or 1440
        for day in window.days:
            start = day * 1440 + window.from_minute
            if (local.weekday() * 1440 + minute - start) % MINUTES_PER_WEEK < length:
                return window.import_micro_per_kwh
    return default


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("all", (0, 1, 2, 3, 4, 5, 6)),
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat,sun", (5, 6)),
        ("fri-mon", (0, 4, 5, 6)),
        ("mon, wed-thu", (0, 2, 3)),
        ("Sun", (6,)),
    ],
)
def test_days_read_as_weekdays(text: str, days: tuple[int, ...]) -> None:
    assert parse_days(text) == days


@pytest.mark.parametrize(
    ("text", "said"),
    [("mon-fry", "'fri'"), ("", "no weekday"), ("mon-wed-fri", "not a range"), ("1-5", "no weekday")],
)
def test_a_wrong_weekday_is_named(text: str, said: str) -> None:
    with pytest.raises(InvalidTariff, match=said):
        parse_days(text)


@pytest.mark.parametrize("text", ["7:00", "24:01", "12:60", "25:00", "noon", "12:00:00", "１２:00"])
def test_a_wrong_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidTariff, match="not a time of day"):
        parse_clock(text)


def test_midnight_may_be_written_as_24_00() -> None:
    assert parse_clock("24:00") == 1440


def test_overlapping_windows_are_refused_by_the_minute() -> None:
    late = Window(parse_days("fri"), parse_clock("20:59"), parse_clock("22:00"), DEAR)
    with pytest.raises(InvalidTariff, match=r"two windows cover fri 20:59"):
        week_table([EVENING, late], CHEAP)


def test_a_window_past_midnight_overlaps_the_next_day() -> None:
    sunday_night = Window(parse_days("sun"), parse_clock("22:00"), parse_clock("06:00"), NIGHT)
    monday = Window(parse_days("mon"), parse_clock("05:00"), parse_clock("07:00"), DEAR)
    with pytest.raises(InvalidTariff, match=r"two windows cover mon 05:00"):
        week_table([sunday_night, monday], CHEAP)


def test_windows_without_default_must_cover_the_week() -> None:
    with pytest.raises(InvalidTariff, match=r"no window covers mon 06:00"):
        week_table([OVERNIGHT], None)


def test_windows_that_cover_the_week_need_no_default() -> None:
    day = Window(parse_days("all"), parse_clock("06:00"), parse_clock("22:00"), DEAR)
    table = week_table([OVERNIGHT, day], None)
    assert (int((table == NIGHT).sum()), int((table == DEAR).sum())) == (7 * 8 * 60, 7 * 16 * 60)


def test_a_window_from_a_time_to_the_same_time_is_refused() -> None:
    with pytest.raises(InvalidTariff, match="empty window"):
        Window((0,), 600, 600, DEAR)


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 27, 23), (10, 30, 25)])
def test_the_evening_stays_in_the_evening_when_the_clock_changes(month: int, day: int, hours: int) -> None:
    """Sunday of the change and the Monday after it, Europe/Berlin 2016, counted from local midnight."""
    midnight_s = int(datetime(2016, month, day, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    prices = time_of_use([EVENING], CHEAP, midnight_s, 60, hours + 24, "Europe/Berlin")
    dear = np.flatnonzero(prices == DEAR).tolist()
    assert dear == [hours + hour for hour in (17, 18, 19, 20)]


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
]


@settings(max_examples=some(60, 20), deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.integers(0, 20_000),
    intervals=st.integers(0, 400),
    minutes=st.sampled_from([5, 15]),
)
def test_time_of_use_agrees_with_the_calendar(zone: str, day: int, intervals: int, minutes: int) -> None:
    windows = [EVENING, OVERNIGHT]
    start_s = day * 86_400
    prices = time_of_use(windows, CHEAP, start_s, minutes, intervals, zone)
    instants = [start_s + i * minutes * 60 for i in range(intervals)]
    assert prices.tolist() == [wall_clock_price(at, zone, windows, CHEAP) for at in instants]


@pytest.mark.parametrize("zone", ZONES)
def test_a_whole_year_agrees_with_the_calendar(zone: str) -> None:
    start_s, windows = second(2016, 1, 1), [EVENING, OVERNIGHT]
    prices = time_of_use(windows, CHEAP, start_s, 15, 366 * 96, zone)
    every_third = range(0, 366 * 96, 3)
    assert prices[::3].tolist() == [
        wall_clock_price(start_s + i * 900, zone, windows, CHEAP) for i in every_third
    ]


def test_a_price_that_changes_inside_an_interval_is_refused() -> None:
    odd = Window(parse_days("all"), parse_clock("17:10"), parse_clock("21:00"), DEAR)
    with pytest.raises(InvalidTariff, match=r"changes at mon 17:10, in the middle of a 15-minute interval"):
        time_of_use([odd], CHEAP, second(2016, 6, 6), 15, 96, "UTC")


def test_whole_hours_do_not_fit_a_zone_at_three_quarters() -> None:
    with pytest.raises(InvalidTariff, match=r"60-minute interval in Asia/Kathmandu"):
        time_of_use([EVENING], CHEAP, second(2016, 6, 6), 60, 24, "Asia/Kathmandu")


def test_a_year_of_quarter_hours_takes_under_a_tenth_of_a_second() -> None:
    time_of_use([EVENING], CHEAP, 0, 15, 1, "Europe/Berlin")
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        time_of_use([EVENING, OVERNIGHT], CHEAP, second(2016, 1, 1), 15, 35_040, "Europe/Berlin")
        best = min(best, time.perf_counter() - begun)
    assert best < 0.1


HOURLY = np.array([10, -20, 30], dtype=np.int64)


def test_a_coarser_series_is_repeated_and_may_be_negative() -> None:
    start_s = second(2016, 6, 6)
    laid = series(start_s, 60, HOURLY, start_s + 1800, 30, 4)
    assert laid.tolist() == [10, -20, -20, 30]


def test_a_series_of_the_same_step_is_taken_as_it_is() -> None:
    assert series(0, 60, HOURLY, 0, 60, 3).tolist() == HOURLY.tolist()


def test_a_finer_series_is_refused() -> None:
    with pytest.raises(InvalidTariff, match="average the prices first"):
        series(0, 15, HOURLY, 0, 60, 1)


def test_a_series_between_the_interval_boundaries_is_refused() -> None:
    with pytest.raises(InvalidTariff, match="do not line up"):
        series(300, 60, HOURLY, 900, 15, 1)


@pytest.mark.parametrize(
    ("start_hour", "intervals", "missing"),
    [(-1, 2, "2016-06-05T23:00Z"), (1, 3, "2016-06-06T03:00Z"), (5, 1, "2016-06-06T05:00Z")],
)
def test_the_first_instant_without_price_is_named(start_hour: int, intervals: int, missing: str) -> None:
    start_s = second(2016, 6, 6)
    with pytest.raises(InvalidTariff, match=f"no price for {missing}"):
        series(start_s, 60, HOURLY, start_s + start_hour * 3600, 60, intervals)


@settings(max_examples=some(50, 16), deadline=None)
@given(
    minutes=st.sampled_from([15, 30, 60, 120]),
    run_minutes=st.sampled_from([5, 15]),
    first=st.integers(0, 40),
    intervals=st.integers(1, 60),
)
def test_every_interval_gets_the_price_that_holds_at_its_start(
    minutes: int, run_minutes: int, first: int, intervals: int
) -> None:
    values = np.arange(120, dtype=np.int64)
    run_start_s = first * run_minutes * 60
    laid = series(0, minutes, values, run_start_s, run_minutes, intervals)
    zero = datetime(1970, 1, 1)
    for i, value in enumerate(laid.tolist()):
        at = zero + timedelta(seconds=run_start_s + i * run_minutes * 60)
        held_from = zero + timedelta(minutes=value * minutes)
        assert held_from <= at < held_from + timedelta(minutes=minutes)


def test_prices_of_an_interval_are_plain_integers_with_the_buyers_cap() -> None:
    prices = OutsidePrices(flat(320_000, 2), flat(80_000, 2), 10_000, 50_000).at(1)
    assert prices.buy_cap_micro_per_kwh == 360_000
    assert {type(value) for value in (prices.import_micro_per_kwh, prices.feed_in_micro_per_kwh)} == {int}


def test_the_cap_of_a_run_is_the_cap_of_each_interval() -> None:
    prices = OutsidePrices(series(0, 60, HOURLY, 0, 60, 3), flat(0, 3), 7, 2)
    caps = prices.buy_cap_micro_per_kwh.tolist()
    assert caps == [prices.at(t).buy_cap_micro_per_kwh for t in range(3)] == [5, -25, 25]


@pytest.mark.parametrize("t", [-1, 2])
def test_an_interval_outside_the_run_has_no_price(t: int) -> None:
    with pytest.raises(IndexError, match=f"interval {t} of 2"):
        OutsidePrices(flat(1, 2), flat(0, 2)).at(t)


def test_the_prices_of_a_run_cannot_be_changed_from_outside() -> None:
    mine = np.array([1, 2], dtype=np.int64)
    prices = OutsidePrices(mine, flat(0, 2))
    mine[0] = 9
    assert prices.at(0).import_micro_per_kwh == 1
    with pytest.raises(ValueError, match="read-only"):
        prices.import_micro_per_kwh[0] = 9


@pytest.mark.parametrize(
    ("bought", "sold", "fee", "said"),
    [(2, 3, 0, "shape"), (2, 2, -1, "negative grid fee")],
)
def test_columns_of_unequal_length_and_negative_fees_are_refused(
    bought: int, sold: int, fee: int, said: str
) -> None:
    with pytest.raises(InvalidTariff, match=said):
        OutsidePrices(flat(1, bought), flat(0, sold), fee)
