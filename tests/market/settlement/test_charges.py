"""Levies, VAT, standing and peak charges: rounding, local days and months, and what a bill is made of."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.settlement.charges import (
    Surcharges,
    fixed_nano,
    half_even,
    local_days,
    months_of,
    peak_nano,
    standing_nano,
)
from market.settlement.tariff import OutsidePrices, flat
from market.units import IntArray
from tests.kits.sample_kit import some

ZONES = ("Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "America/Santiago", "Africa/Cairo", "UTC")


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def test_a_price_with_vat_is_rounded_half_to_even_of_either_sign() -> None:
    half = Surcharges(vat_ppm=500_000)
    assert [half.with_vat(net) for net in (1, 3, 5, -1, -3, -5, 0)] == [2, 4, 8, -2, -4, -8, 0]


@given(st.integers(-(10**12), 10**12), st.integers(0, 1_000_000))
def test_vat_is_that_of_decimal_arithmetic(net: int, ppm: int) -> None:
    exact = Decimal(net) * (1_000_000 + ppm) / 1_000_000
    expected = int(exact.to_integral_value(ROUND_HALF_EVEN))
    assert Surcharges(vat_ppm=ppm).with_vat(net) == expected
    assert half_even(ints(net) * (1_000_000 + ppm), 1_000_000).tolist() == [expected]


def test_levies_come_before_vat_and_feed_in_has_none() -> None:
    added = Surcharges(10_000, 30_000, vat_ppm=190_000)
    gross = added.gross(OutsidePrices(ints(250_000, -10_000), ints(80_000, 80_000), 20_000, 50_000)).at(0)
    assert (gross.import_micro_per_kwh, gross.feed_in_micro_per_kwh) == (297_500, 80_000)
    assert (gross.grid_fee_local_micro_per_kwh, gross.grid_fee_remote_micro_per_kwh) == (35_700, 95_200)
    assert (gross.buy_cap_micro_per_kwh, gross.local_gain_micro_per_kwh) == (357_000, 277_000)


def test_without_surcharges_the_prices_are_the_same() -> None:
    net = OutsidePrices(flat(320_000, 2), flat(80_000, 2), 1, 2)
    gross = Surcharges().gross(net)
    assert (gross.at(0), gross.at(1)) == (net.at(0), net.at(1))
    assert not Surcharges().levied
    assert fixed_nano({"baseline_nano": ints(5, 6)}).tolist() == [0, 0]


def calendar(start_s: int, minutes: int, intervals: int, zone: str) -> list[tuple[int, int, int]]:
    """Oracle: the local date of every interval, by asking the clock, and how many intervals start on it."""
    clock = ZoneInfo(zone)

    def date(i: int) -> tuple[int, int, int]:
        local = datetime.fromtimestamp(start_s + i * minutes * 60, UTC).astimezone(clock)
        return local.year, local.month, local.day

    return [date(i) for i in range(intervals)]


@settings(max_examples=some(60, 20), deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(0, 4 * 366 * 24),
    st.sampled_from((15, 30, 60)),
    st.integers(1, 40),
    st.integers(0, 96),
)
def test_days_are_those_of_the_local_clock(zone: str, hour: int, minutes: int, days: int, more: int) -> None:
    start_s = int(datetime(2014, 1, 1, tzinfo=UTC).timestamp()) + hour * 3600
    intervals = days * 24 * 60 // minutes + more
    found, dates = local_days(start_s, minutes, intervals, zone), calendar(start_s, minutes, intervals, zone)
    assert [len(day.covered(range(intervals))) for day in found] == [
        dates.count(d) for d in dict.fromkeys(dates)
    ]
    assert [day.month for day in found] == [d[:2] for d in dict.fromkeys(dates)]
    for day in found:
        whole = calendar(start_s + day.first * minutes * 60, minutes, day.end - day.first, zone)
        around = calendar(start_s + (day.first - 1) * minutes * 60, minutes, day.end - day.first + 2, zone)
        assert len(set(whole)) == 1
        assert around[0] != whole[0] != around[-1]


@pytest.mark.parametrize(("date", "hours"), [("2016-03-27", 23), ("2016-10-30", 25), ("2016-06-01", 24)])
def test_a_day_costs_its_charge_however_long_it_is_and_wherever_it_is_cut(date: str, hours: int) -> None:
    start_s = int(datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    charge = 333_333  # no whole share of it
    whole = local_days(start_s, 60, hours, "Europe/Berlin")
    assert [day.end - day.first for day in whole] == [hours]
    assert standing_nano(whole, range(hours), charge) == 333_333_000
    for cut in range(hours + 1):
        rest = local_days(start_s + cut * 3600, 60, hours - cut, "Europe/Berlin")
        first = standing_nano(whole, range(cut), charge)
        assert first == 333_333_000 * cut // hours
        assert first + standing_nano(rest, range(hours - cut), charge) == 333_333_000


def test_the_peak_of_each_month_is_charged_by_the_share_of_its_days() -> None:
    start_s = int(datetime(2016, 10, 30, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    days = local_days(start_s, 60, 60, "Europe/Berlin")
    assert months_of(days) == [(2016, 10), (2016, 11)]
    peaks = np.array([[2_500, 0], [1_500, 1]], dtype=np.int64)
    # 12 of 25 hours and a day of the 31 of October, a day of the 30 of November.
    october, november = Fraction(37, 25 * 31), Fraction(1, 30)
    expected = round(3_808_000 * 2_500 * october) + round(3_808_000 * 1_500 * november)
    assert peak_nano(days, range(60), 60, peaks, 3_808_000).tolist() == [
        expected,
        round(3_808_000 * november),
    ]
    assert peak_nano(days, range(60), 15, peaks, 3_808_000)[0] == (
        round(4 * 3_808_000 * 2_500 * october) + round(4 * 3_808_000 * 1_500 * november)
    )


def test_whole_months_are_charged_in_full_and_a_large_peak_does_not_wrap() -> None:
    start = datetime(2016, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    end = datetime(2016, 4, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    intervals = int((end.timestamp() - start.timestamp()) / 900)
    days = local_days(int(start.timestamp()), 15, intervals, "Europe/Berlin")
    assert len(days) == sum(monthrange(2016, month)[1] for month in (1, 2, 3))
    assert start + timedelta(days=len(days)) == end
    peaks = np.full((3, 1), 25_000_000, dtype=np.int64)  # 100 MW
    assert peak_nano(days, range(intervals), 15, peaks, 10**10).tolist() == [3 * 10**18]
