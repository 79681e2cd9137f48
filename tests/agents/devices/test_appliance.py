"""Appliances: one whole run in every window, where surplus is, at the latest when only that ends in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.devices.appliance import Appliance, Appliances
from tests.kits.device_kit import BERLIN, NIGHTS, appliances, column, moments_from, walk
from tests.kits.sample_kit import some

many = settings(max_examples=some(60, 20), suppress_health_check=[HealthCheck.too_slow], deadline=None)
DISHES = Appliance(1_001, 120, 20 * 60, 6 * 60)


def runs_of(moved: list[int]) -> list[tuple[int, int]]:
    """First interval and length of every stretch in which it takes energy."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.array(moved) > 0, [0]))))
    return [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]


@many
@given(appliances, st.sampled_from(NIGHTS), st.sampled_from((15, 60)), st.integers(0, 99))
def test_every_window_has_one_whole_run(spec: Appliance, start: str, minutes: int, seed: int) -> None:
    """Inside it, where its whole intervals have room: as many as an independent count of the local days says."""
    steps = 5 * 24 * 60 // minutes
    moments = moments_from(start, steps, minutes)
    asked = list(np.random.default_rng(seed).integers(-5_000, 2_000, (steps, 1)))
    moved, states = walk(Appliances([spec], minutes), asked, moments)
    taken = np.stack(moved)[:, 0]
    parts = -(-spec.duration_minutes // minutes)
    zone, first_s, end_s = ZoneInfo(BERLIN), moments[0].start_s, moments[-1].end_s
    midnight = datetime.fromisoformat(start).replace(hour=0, minute=0)
    whole = 0
    for day in range(5):
        at = midnight + timedelta(days=day)
        opens = (at + timedelta(minutes=spec.earliest_minute)).replace(tzinfo=zone).timestamp()
        closes = (at + timedelta(minutes=spec.earliest_minute + spec.window_minutes)).replace(tzinfo=zone)
        inside = [
            t
            for t, one in enumerate(moments)
            if opens <= one.start_s and one.end_s <= closes.timestamp() and at.weekday() in spec.days
        ]
        if opens < first_s or closes.timestamp() > end_s or len(inside) < parts:
            continue
        whole += 1
        assert taken[inside].sum() >= spec.run_wh, (day, inside)
    assert taken.sum() >= whole * spec.run_wh
    begun = np.diff(column(states, "begun_day")[:, 0]) != 0
    done = int(begun.sum()) * spec.run_wh - taken.sum()
    assert 0 <= done <= spec.run_wh
    for first in np.flatnonzero(begun):
        run = taken[first : first + parts]
        assert run.max() - run.min() <= 1
        assert len(run) < parts or run.sum() == spec.run_wh


@pytest.mark.parametrize("start", NIGHTS)
def test_it_starts_at_the_latest_to_end_in_time_on_any_night(start: str) -> None:
    """It ends at six on the local clock, also in the nights with an hour less and an hour more."""
    moments = moments_from(start, 30 if start != NIGHTS[2] else 54, 60)
    moved, _ = walk(Appliances([DISHES], 60), [np.zeros(1, dtype=np.int64)] * len(moments), moments)
    taken = [int(one[0]) for one in moved]
    ends = [
        datetime.fromtimestamp(moments[a + n - 1].end_s, ZoneInfo(BERLIN)).hour for a, n in runs_of(taken)
    ]
    assert set(ends) == {6}
    assert next(taken[a : a + n] for a, n in runs_of(taken)) == [501, 500]


def test_it_starts_with_half_of_what_it_needs_in_the_first_interval() -> None:
    """Which is what a plan gives it that takes most of a start there."""
    moments = moments_from("2016-06-06T19:00", 12, 60)
    for asked, start in ((250, 9), (251, 3)):
        commands = [np.array([asked if t == 3 else 0]) for t in range(12)]
        moved, _ = walk(Appliances([DISHES], 60), commands, moments)
        assert runs_of([int(one[0]) for one in moved]) == [(start, 2)]


def test_a_command_outside_of_the_window_starts_nothing() -> None:
    moments = moments_from("2016-06-06T07:00", 12, 60)
    moved, _ = walk(Appliances([DISHES], 60), [np.array([9_000])] * 12, moments)
    assert not np.stack(moved).any()


def test_a_run_in_time_leaves_nothing_unmet_and_one_that_the_clock_cuts_short_its_last_hour() -> None:
    """A window of two hours has one in the night of spring that skips the hour from two to three."""
    spec = Appliance(1_001, 120, 1 * 60, 3 * 60)
    for start, unmet in ((NIGHTS[0], 500), (NIGHTS[1], 0), (NIGHTS[2], 0)):
        moments = moments_from(start, 40, 60)
        moved, states = walk(Appliances([spec], 60), [np.zeros(1, dtype=np.int64)] * 40, moments)
        assert column(states, "unmet_wh").sum() == unmet, start
        assert np.stack(moved).sum() % spec.run_wh == 0


def test_a_run_that_cannot_start_because_the_last_one_goes_on_is_missed() -> None:
    """A run of a whole day is an hour late after the night of spring, and the next one has no time left."""
    spec = Appliance(24_000, 24 * 60, 20 * 60, 20 * 60)
    moments = moments_from(NIGHTS[0], 24 * 5, 60)
    moved, states = walk(Appliances([spec], 60), [np.zeros(1, dtype=np.int64)] * len(moments), moments)
    unmet = column(states, "unmet_wh")[1:, 0]
    hours = [datetime.fromtimestamp(one.start_s, ZoneInfo(BERLIN)) for one in moments]
    found = {f"{hours[t]:%d %H}": int(unmet[t]) for t in np.flatnonzero(unmet)}
    assert found == {"27 20": 1_000, "28 19": 24_000}
    assert [(f"{hours[a]:%d %H}", n) for a, n in runs_of([int(one[0]) for one in moved])] == [
        ("26 20", 24),
        ("28 20", 65),
    ]
