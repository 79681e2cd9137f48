"""Forecasters: shapes, means by hand, and models that are fitted now and then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agents.forecast import FORECASTERS, PERFECT_FORESIGHT, Forecast, Forecaster, Horizon
from agents.rules import AgentRules, Known, local_minutes
from market.errors import DuplicateName, UnknownName
from tests.kits.community_kit import DAY, PRICES, homes_of, horizon, known_of, registers

FORECASTS = sorted(set(FORECASTERS.all()) - {PERFECT_FORESIGHT.name})


@pytest.mark.parametrize("name", FORECASTS)
def test_a_forecast_has_the_asked_shape_and_knows_when_it_knows_nothing(name: str) -> None:
    forecaster = FORECASTERS.get(name)
    history = registers(1, 3, 4)[0]
    result = forecaster.predict(forecaster.fit(known_of(history)), horizon(history, 3))
    assert result.net_wh.shape == (len(result.levels_ppm), 3, 4)
    assert result.median_wh.shape == (3, 4)
    assert list(result.levels_ppm) == sorted(result.levels_ppm)
    assert forecaster.fit(known_of(history[:0])) is None


def test_the_same_hour_mean_is_the_mean_by_hand() -> None:
    history = np.arange(3 * DAY, dtype=np.int64)[:, None]
    forecaster = FORECASTERS.get("same_hour_mean")
    result = forecaster.predict(forecaster.fit(known_of(history, days=2)), horizon(history, 2, days=2))
    assert result.median_wh[:, 0].tolist() == [DAY + DAY // 2, DAY + DAY // 2 + 1]


def hourly(first: datetime, last: datetime, zone: str, days: int = 7) -> tuple[Known, list[datetime]]:
    """What is known of one home that uses 1,000 Wh in each hour that begins at 18 on the local clock, else none."""
    rows = int((last - first).total_seconds()) // 3600
    clock = [(first + timedelta(hours=row)).astimezone(ZoneInfo(zone)) for row in range(rows + 48)]
    net = np.array([[1_000 * (time.hour == 18)] for time in clock[:rows]])
    known = replace(
        known_of(net, days, 60),
        start_s=int(first.timestamp()),
        zone=zone,
        local_minute=local_minutes(int(first.timestamp()), 60, rows + 48, zone),
    )
    return known, clock


def same_hour(known: Known, steps: int) -> Forecast:
    forecaster = FORECASTERS.get("same_hour_mean")
    return forecaster.predict(forecaster.fit(known), Horizon(known, steps))


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 8, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 4, 1, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 8, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 28, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 9, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 6, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 6, 9, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 6, 9, tzinfo=UTC)),
    ],
)
def test_habits_follow_the_local_clock_when_it_changes(zone: str, last: datetime) -> None:
    known, clock = hourly(last - timedelta(days=9), last, zone)
    result = same_hour(known, 30)
    assert result.valid is None
    expected = [1_000 * (time.hour == 18) for time in clock[len(known.net_wh) :][:30]]
    assert result.median_wh[:, 0].tolist() == expected


def test_the_hour_that_the_clock_skips_has_no_reading_and_the_one_it_shows_twice_has_two() -> None:
    # Rows count 0, 1, 2, ..; at noon of the day after the change, for the next day's hour from 2 to 3.
    known, clock = hourly(
        datetime(2026, 3, 26, tzinfo=UTC), datetime(2026, 3, 29, 12, tzinfo=UTC), "Europe/Berlin"
    )
    known = replace(known, net_wh=np.arange(len(known.net_wh))[:, None])
    two = [row for row, time in enumerate(clock) if time.hour == 2 and row < len(known.net_wh)]
    assert [clock[row].day for row in two] == [26, 27, 28]
    step = next(row for row, time in enumerate(clock) if (time.day, time.hour) == (30, 2)) - len(known.net_wh)
    # Three whole days of the local clock end at 14:00 on the 29th, so the 26th at 2:00 is too old.
    assert same_hour(known, step + 1).median_wh[step, 0] == (two[1] + two[2] + 1) // 2

    known, clock = hourly(
        datetime(2026, 10, 23, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC), "Europe/Berlin"
    )
    known = replace(known, net_wh=np.arange(len(known.net_wh))[:, None])
    two = [row for row, time in enumerate(clock) if time.hour == 2 and row < len(known.net_wh)]
    assert [clock[row].day for row in two] == [23, 24, 25, 25]
    step = next(row for row, time in enumerate(clock) if (time.day, time.hour) == (26, 2)) - len(known.net_wh)
    mean = same_hour(known, step + 1).median_wh[step, 0]
    assert mean == (2 * sum(two[1:]) + 3) // 6
    # Two days back at 13:00 is 49 hours back: row 11 counts, as does row 35.
    assert same_hour(known, 1).median_wh[0, 0] == (11 + 35) // 2


def test_a_missing_reading_does_not_count_and_a_home_without_any_has_no_forecast() -> None:
    history = np.tile(np.array([[100, 200, 300]]), (3 * DAY, 1))
    valid = np.ones(history.shape, dtype=np.bool_)
    valid[DAY, 1] = False  # one day of two at the first step
    valid[[DAY + 1, 2 * DAY + 1], 2] = False  # both days at the second step
    history[~valid] = 0
    result = same_hour(replace(known_of(history, days=2), valid=valid), 3)
    assert result.valid is not None
    assert result.valid.tolist() == [[True, True, True], [True, True, False], [True, True, True]]
    assert result.median_wh[result.valid].tolist() == [100, 200, 300, 100, 200, 100, 200, 300]


def test_a_forecaster_that_does_not_look_for_gaps_forecasts_nothing_for_a_home_that_has_one() -> None:
    """The days to look at, and the hours for which a model is used, must be whole; the other homes bid."""
    last = Forecaster(
        "last", lambda known: known.net_wh[-1:], lambda model, h: Forecast.point(model.repeat(h.steps, 0)), "a test",
        fit_every_hours=1,
    )  # fmt: skip
    FORECASTERS.register(last)
    try:
        rules = AgentRules(strategy="truthful", forecaster="last", forecast_days=1)
        imported, exported = registers(3, 4, 3)
        for back, expected in ((DAY + 5, [True] * 3), (DAY + 4, [True, False, True])):
            valid = np.ones(imported.shape, dtype=np.bool_)
            valid[2 * DAY - rules.lead - back, 1] = False
            orders = homes_of(imported, exported, rules=rules, valid=valid).bids(PRICES)
            assert (orders.energy_wh > 0).tolist() == expected
    finally:
        FORECASTERS.forget("last")


def test_crossing_quantiles_are_put_in_order_and_levels_between_lie_on_a_line() -> None:
    wh = np.array([[[10]], [[0]], [[40]]])
    forecast = Forecast((100_000, 500_000, 900_000), wh)
    # At the levels .1, .5, .9 of the forecast, halfway between two, and beyond the ends.
    assert forecast.spread_wh((50_000, 100_000, 300_000, 700_000, 950_000), 0)[:, 0].tolist() == [
        5,
        10,
        10,
        20,
        40,
    ]
    assert Forecast.point(wh[0]).spread_wh((1, 999_999), 0).tolist() == [[0], [0]]


@pytest.mark.parametrize("typo", ["same_hour_men", "perfect_forsight"])
def test_a_misspelt_forecaster_names_the_nearest(typo: str) -> None:
    right = {"same_hour_men": "same_hour_mean", "perfect_forsight": "perfect_foresight"}[typo]
    with pytest.raises(UnknownName, match=f"Did you mean '{right}'"):
        FORECASTERS.get(typo)


def test_no_forecaster_takes_the_name_of_the_true_future() -> None:
    with pytest.raises(DuplicateName, match="perfect_foresight"):
        FORECASTERS.register(PERFECT_FORESIGHT)
