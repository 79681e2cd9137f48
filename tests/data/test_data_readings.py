"""MeterData: its checks, its cuts, and that no Wh is lost in resampling or rounding."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data.errors import (
    InvalidBattery,
    InvalidMeterData,
    InvalidResampling,
    InvalidWindow,
    UnknownHousehold,
)
from data.readings import ESTIMATED, MEASURED, MISSING, BatterySpec, MeterData, Source, carry_round

HOUR = 3600


def sample(intervals: int = 8, homes: int = 2, minutes: int = 15) -> MeterData:
    shape = (intervals, homes)
    return MeterData(
        households=tuple("abcdefgh"[:homes]),
        start_s=1_700_000_100 // HOUR * HOUR,
        minutes=minutes,
        import_wh=np.arange(intervals * homes, dtype=np.int64).reshape(shape).copy(),
        export_wh=np.ones(shape, dtype=np.int64),
        quality=np.zeros(shape, dtype=np.uint8),
        sub_meters={"pv": np.full(shape, 3, dtype=np.int64)},
        batteries=(None,) * homes,
        source=Source("test", "0" * 64),
    )


def test_arrays_are_read_only() -> None:
    data = sample()
    for array in (data.import_wh, data.export_wh, data.quality, data.sub_meters["pv"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_all_problems_are_told_at_once() -> None:
    data = sample()
    with pytest.raises(InvalidMeterData) as caught:
        replace(data, import_wh=-np.ones((8, 2), dtype=np.int64), households=("a", "a"), batteries=(None,))
    assert len(caught.value.problems) == 3


def test_a_start_off_the_grid_is_refused() -> None:
    with pytest.raises(InvalidMeterData, match="boundary"):
        replace(sample(), start_s=sample().start_s + 60)


def test_load_is_import_minus_export_plus_production() -> None:
    data = sample()
    assert np.array_equal(data.load_wh, data.import_wh - 1 + 3)


def test_a_window_shares_the_rows_it_names() -> None:
    data = sample()
    cut = data.window(data.start_s + 900, data.start_s + 2700)
    assert cut.intervals == 2
    assert np.array_equal(cut.import_wh, data.import_wh[1:3])
    assert np.shares_memory(cut.import_wh, data.import_wh)


@pytest.mark.parametrize(("start", "end"), [(-900, 900), (0, 9 * 900), (900, 900), (60, 900)])
def test_a_window_beyond_the_data_or_through_an_interval_is_refused(start: int, end: int) -> None:
    data = sample()
    with pytest.raises(InvalidWindow):
        data.window(data.start_s + start, data.start_s + end)


def test_select_takes_homes_in_the_order_asked() -> None:
    picked = sample().select(["b", "a"])
    assert picked.households == ("b", "a")
    assert picked.import_wh[0].tolist() == [1, 0]


def test_select_names_the_nearest_home() -> None:
    data = replace(sample(), households=("house-1", "house-2"))
    with pytest.raises(UnknownHousehold, match="Did you mean 'house-2'"):
        data.select(["hause-2"])


def test_resampling_keeps_the_energy_and_the_worst_quality() -> None:
    data = sample()
    quality = np.array(data.quality)
    quality[1, 0], quality[2, 0], quality[5, 1] = ESTIMATED, MISSING, ESTIMATED
    hourly = replace(data, quality=quality).resample(60)
    assert hourly.intervals == 2
    assert hourly.import_wh.sum() == data.import_wh.sum()
    assert hourly.quality.tolist() == [[MISSING, MEASURED], [MEASURED, ESTIMATED]]


def test_resampling_to_shorter_intervals_is_refused() -> None:
    with pytest.raises(InvalidResampling, match="multiple"):
        sample(minutes=60).resample(15)


def test_resampling_of_a_half_hour_is_refused() -> None:
    with pytest.raises(InvalidResampling, match="window"):
        sample(intervals=6).resample(60)


def test_data_survive_pickling() -> None:
    data = sample()
    again = pickle.loads(pickle.dumps(data))
    assert np.array_equal(again.import_wh, data.import_wh)


@pytest.mark.parametrize(
    "change", [{"capacity_wh": 0}, {"charge_w": -1}, {"charge_efficiency_ppm": 1_000_001}]
)
def test_an_impossible_battery_is_refused(change: dict[str, int]) -> None:
    spec = {
        "capacity_wh": 6400,
        "charge_w": 5000,
        "discharge_w": 5000,
        "charge_efficiency_ppm": 950_000,
        "discharge_efficiency_ppm": 950_000,
    }
    with pytest.raises(InvalidBattery):
        BatterySpec(**{**spec, **change})


@given(hnp.arrays(np.int64, (40, 2), elements=st.integers(0, 10**9)), st.integers(0, 40), st.integers(0, 40))
def test_any_stretch_of_rounded_energy_is_right_within_one(amount: np.ndarray, a: int, b: int) -> None:
    unit = 1_000_000
    whole = carry_round(amount.copy(), unit)
    first, last = sorted((a, b))
    assert (whole >= 0).all()
    exact = amount[first:last].sum(axis=0)
    assert (np.abs(whole[first:last].sum(axis=0) * unit - exact) <= unit).all()


@given(hnp.arrays(np.int64, (20, 3), elements=st.integers(0, 10**6)))
def test_whole_units_come_out_of_rounding_unchanged(amount: np.ndarray) -> None:
    assert np.array_equal(carry_round(amount * 1_000, 1_000), amount)
