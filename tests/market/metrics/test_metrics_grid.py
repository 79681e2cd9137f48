"""Metrics of the community meter: hand-computed, every undefined case, and netting per interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.metrics.energy import self_consumption_metered, self_sufficiency_metered
from market.metrics.grid import co2_kg, peak_kw, peak_to_average, ramping_kw
from market.units import IntArray


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


NOTHING = ints()
profile = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1, max_size=20)


def self_sufficiency(load: IntArray, generation: IntArray) -> float | None:
    return self_sufficiency_metered(load, np.maximum(load - generation, 0))


def self_consumption(load: IntArray, generation: IntArray) -> float | None:
    return self_consumption_metered(generation, np.maximum(generation - load, 0))


def covered(load: IntArray, generation: IntArray, whole: IntArray) -> float | None:
    """The definition by Luthander et al.: sum min(L, G) over the sum of either."""
    return int(np.minimum(load, generation).sum()) / int(whole.sum()) if whole.any() else None


def test_shares_are_netted_per_interval() -> None:
    """Night 0 of 100, noon min(50, 300) = 50: 50 / 150 and 50 / 300. Netted over the day it would be all of it."""
    load, generation = ints(100, 50), ints(0, 300)
    assert self_sufficiency(load, generation) == pytest.approx(1 / 3)
    assert self_consumption(load, generation) == pytest.approx(1 / 6)


def test_homes_without_each_other_are_netted_each_alone() -> None:
    """Home 0 makes 80 and uses 30, home 1 uses 50: alone 30 of 80, together all."""
    load, generation = np.array([[30, 50]]), np.array([[80, 0]])
    assert self_sufficiency(load, generation) == pytest.approx(30 / 80)
    assert self_sufficiency(load.sum(axis=1), generation.sum(axis=1)) == 1


def test_shares_are_undefined_without_load_or_generation() -> None:
    assert self_sufficiency(ints(0, 0), ints(5, 5)) is None
    assert self_consumption(ints(5, 5), ints(0, 0)) is None
    assert self_sufficiency(NOTHING, NOTHING) is None
    assert self_sufficiency_metered(ints(0), ints(5)) is None
    assert self_consumption_metered(ints(0), ints(5)) is None


def test_a_battery_counts_when_its_energy_is_used() -> None:
    """Noon: 300 made, 50 used, 100 stored, 150 exported. Evening: 100 used, 80 from the battery, 20 imported."""
    assert self_sufficiency_metered(ints(50, 100), ints(0, 20)) == pytest.approx(1 - 20 / 150)
    assert self_consumption_metered(ints(300, 0), ints(150, 0)) == 0.5


def test_charging_from_the_grid_can_cost_more_than_it_covers() -> None:
    assert self_sufficiency_metered(ints(0, 100), ints(120, 0)) == pytest.approx(-0.2)


@given(rows=profile)
def test_without_storage_the_meter_gives_the_share_of_load_and_generation(
    rows: list[tuple[int, int]],
) -> None:
    load, generation = (ints(*column) for column in zip(*rows, strict=True))
    sufficiency, consumption = self_sufficiency(load, generation), self_consumption(load, generation)
    for share, whole in ((sufficiency, load), (consumption, generation)):
        expected = covered(load, generation, whole)
        assert share == (expected if expected is None else pytest.approx(expected, abs=1e-12))
        assert share is None or 0 <= share <= 1


@given(rows=profile, data=st.data())
def test_homes_together_cover_at_least_what_they_cover_alone(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    load, generation = (ints(*column) for column in zip(*rows, strict=True))
    homes = data.draw(st.permutations(range(len(rows))))
    alone = self_sufficiency(load[None, :], generation[None, homes])
    together = self_sufficiency(load[None, :].sum(axis=1), generation[None, homes].sum(axis=1))
    if alone is None:
        assert together is None
    else:
        assert together is not None
        assert together >= alone - 1e-12


def test_a_peak_is_mean_power_over_an_interval() -> None:
    assert peak_kw(ints(250, 500, 0), 15) == 2.0
    assert peak_kw(ints(500), 60) == 0.5
    assert peak_kw(ints(0), 60) == 0
    assert peak_kw(NOTHING, 15) is None


def test_peak_to_average_ratio() -> None:
    assert peak_to_average(ints(10, 20, 30, 60)) == 2.0
    assert peak_to_average(ints(5, 5)) == 1.0
    assert peak_to_average(ints(0, 0)) is None
    assert peak_to_average(NOTHING) is None


def test_ramping_follows_the_signed_power() -> None:
    """+400, -200, -200 Wh a quarter hour: steps 600 and 0, mean 300 Wh, 1.2 kW."""
    assert ramping_kw(ints(400, 0, 0), ints(0, 200, 200), 15) == pytest.approx(1.2)
    assert ramping_kw(ints(7, 7), ints(0, 0), 15) == 0
    assert ramping_kw(ints(7), ints(0), 15) is None


@given(rows=profile, factor=st.integers(1, 100))
def test_power_scales_with_energy_and_ratios_do_not(rows: list[tuple[int, int]], factor: int) -> None:
    bought, sold = (ints(*column) for column in zip(*rows, strict=True))
    assert peak_kw(bought * factor, 15) == pytest.approx((peak_kw(bought, 15) or 0) * factor)
    ramp = ramping_kw(bought, sold, 15)
    assert ramping_kw(bought * factor, sold * factor, 15) == (ramp and pytest.approx(ramp * factor))
    ratio = peak_to_average(bought)
    assert peak_to_average(bought * factor) == (ratio and pytest.approx(ratio))
    assert ratio is None or ratio >= 1


def test_co2_is_import_times_factor() -> None:
    """2 kWh at 400 g and 1 kWh at 100 g: 0.9 kg."""
    assert co2_kg(ints(2_000, 1_000), np.array([400.0, 100.0])) == pytest.approx(0.9)
    assert co2_kg(ints(0), np.array([400.0])) == 0


def test_co2_is_undefined_where_the_factor_of_an_import_is_unknown() -> None:
    assert co2_kg(ints(2_000, 1_000), np.array([400.0, np.nan])) is None
    assert co2_kg(ints(2_000, 0), np.array([400.0, np.nan])) == pytest.approx(0.8)
