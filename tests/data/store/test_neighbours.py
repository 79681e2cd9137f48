"""Homes of a store against each other: clocks by the clouds over all, scales by the stated size of generators."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data import samples
from data.intake.raw import Hints
from data.readings import MISSING, MeterData
from data.store.checks import check_store
from data.store.manifest import Home
from data.store.neighbours import check_neighbours, production_of, shifts
from data.store.pv_sizes import check_sizes
from data.store.series import series_of
from data.store.write import making, rows_of_all
from market.units import IntArray

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 4
"""Quarters of an hour."""


@cache
def homes(count: int = 5, start: str = "2016-01-01", end: str = "2016-07-01") -> MeterData:
    data = samples.load("street")
    first, last = (int(datetime.fromisoformat(day + "T00:00+00:00").timestamp()) for day in (start, end))
    return data.select(data.households[:count]).window(first, last)


def late(energy: IntArray, home: int, quarters: int, rows: slice = slice(None)) -> IntArray:
    changed = energy.copy()
    changed[rows, home] = np.roll(energy[:, home], quarters)[rows]
    return changed


def by_export(data: MeterData) -> MeterData:
    return replace(
        data, sub_meters={name: column for name, column in data.sub_meters.items() if name != "pv"}
    )


@pytest.mark.parametrize("hours", [1, -1, 2, -5.5, 9])
@pytest.mark.parametrize("metered", [True, False])
def test_a_home_that_is_hours_apart_is_named_with_the_way(hours: float, metered: bool) -> None:
    data = homes() if metered else by_export(homes())
    energy = late(production_of(data), 3, round(hours * HOUR))
    (found,) = shifts(energy, data)
    assert (found.home, found.late_s) == (3, round(hours * 3600))
    assert 3 <= found.stretches <= found.seen


@pytest.mark.parametrize("name", ["street", "village"])
def test_no_bundled_home_is_taken_for_shifted(name: str) -> None:
    data = samples.load(name)
    for one in (data, by_export(data)):
        assert check_neighbours(one, BERLIN) == ((), ())


def test_a_roof_that_looks_elsewhere_is_no_clock() -> None:
    """Its production is largest hours earlier, and clouds come at the same time."""
    data = homes()
    pv = production_of(data).astype(np.float64)
    hour = (np.arange(data.intervals) // HOUR) % 24
    pv[:, 2] *= np.interp(hour, [4, 7, 12, 14, 18], [1.0, 1.0, 0.5, 0.15, 0.1])
    centre = (hour[:, np.newaxis] * pv).sum(axis=0) / pv.sum(axis=0)
    assert centre[2] < centre[0] - 1.5
    assert shifts(np.rint(pv).astype(np.int64), data) == []


def test_a_clock_that_does_not_follow_summer_time_is_found_in_its_season() -> None:
    data = homes(5, "2016-01-01", "2016-12-30")
    summer = np.array([datetime.fromtimestamp(s, BERLIN).dst() for s in (data.start_s, data.end_s)])
    assert not any(summer)
    first, last = (
        int(datetime.fromisoformat(day).timestamp() - data.start_s) // 900
        for day in ("2016-03-27T01:00+00:00", "2016-10-30T01:00+00:00")
    )
    (found,) = shifts(late(production_of(data), 1, HOUR, slice(first, last)), data)
    assert (found.home, found.late_s) == (1, 3600)
    assert found.stretches < found.seen
    assert abs(found.start_s - (data.start_s + first * 900)) <= 14 * 86_400
    assert abs(found.end_s - (data.start_s + last * 900)) <= 14 * 86_400


@pytest.mark.parametrize(
    ("count", "end", "why"),
    [(3, "2016-07-01", "three homes show two clocks and not which is right"), (5, "2016-02-10", "too short")],
)
def test_too_little_evidence_is_no_finding(count: int, end: str, why: str) -> None:
    data = homes(count, "2016-01-01", end)
    assert shifts(late(production_of(data), 1, HOUR), data) == [], why


@pytest.mark.parametrize("count", [4, 6])
def test_half_of_the_homes_shifted_is_one_finding_that_blames_none(count: int) -> None:
    data = homes(count)
    energy = production_of(data)
    for home in range(count // 2):
        energy = late(energy, home, HOUR)
    (found,), _ = check_neighbours(replace(data, sub_meters={"pv": energy}), BERLIN)
    assert found.household is None
    assert data.households[0] in found.message
    assert data.households[count - 1] not in found.message
    assert "no majority" in found.message


def test_a_third_of_the_homes_shifted_are_named_each() -> None:
    data = homes(6)
    energy = late(late(production_of(data), 0, HOUR), 4, HOUR)
    found, _ = check_neighbours(replace(data, sub_meters={"pv": energy}), BERLIN)
    assert {one.household for one in found} == {data.households[0], data.households[4]}


def test_homes_without_production_are_not_compared() -> None:
    data = homes(5)
    nothing = replace(by_export(data), export_wh=np.zeros_like(data.export_wh))
    found, (note,) = check_neighbours(nothing, BERLIN)
    assert found == ()
    assert note.startswith("clocks of homes are not compared")


def test_readings_that_are_missing_are_no_clouds() -> None:
    data = homes(5)
    random = np.random.default_rng(3)
    gone = random.random(data.quality.shape) < 0.05
    gone[: data.intervals // 4, 4] = True
    holey = replace(data, quality=np.where(gone, MISSING, data.quality).astype(np.uint8))
    energy = np.where(gone, 0, production_of(data))
    assert shifts(energy, holey) == []
    (found,) = shifts(np.where(gone, 0, late(production_of(data), 2, -HOUR)), holey)
    assert (found.home, found.late_s) == (2, -3600)


def sizes_of(data: MeterData) -> dict[str, int | None]:
    largest = data.sub_meters["pv"].max(axis=0).tolist()
    return {home: wh * 4 for home, wh in zip(data.households, largest, strict=True)}


@pytest.mark.parametrize("factor", [1000, 12, 4, 0.25, 0.1, 0.001])
def test_production_of_another_scale_than_that_of_neighbours_is_found(factor: float) -> None:
    data = homes()
    sizes = sizes_of(data)
    assert check_sizes(data, sizes) == ((), ())
    pv = data.sub_meters["pv"].astype(np.int64)
    pv[:, 2] = (pv[:, 2] * factor).astype(np.int64)
    (found,), notes = check_sizes(replace(data, sub_meters={**data.sub_meters, "pv": pv}), sizes)
    assert (found.code, found.household, notes) == ("pv_scale", data.households[2], ())


def test_without_sizes_scales_are_said_to_be_not_compared() -> None:
    data = homes()
    sizes = sizes_of(data)
    few = {home: sizes[home] for home in data.households[:2]}
    for stated, count in (({}, "0 are here"), (few, "2 are here")):
        found, (note,) = check_sizes(data, stated)  # type: ignore[arg-type]
        assert found == ()
        assert count in note
    assert check_sizes(by_export(data), {}) == ((), ())
    large = few | {data.households[0]: (few[data.households[0]] or 0) // 2}
    (found,), _ = check_sizes(data, large)
    assert found.household == data.households[0]
    assert "stated size" in found.message


def test_the_check_of_a_store_compares_its_homes(tmp_path: Path) -> None:
    data = homes()
    pv = late(data.sub_meters["pv"], 3, HOUR)
    shifted = replace(
        data,
        import_wh=late(data.import_wh, 3, HOUR),
        export_wh=late(data.export_wh, 3, HOUR),
        sub_meters={"pv": np.where(np.arange(5) == 1, pv * 4, pv)},
    )
    sizes = sizes_of(data)
    with making(tmp_path / "s", "Europe/Berlin") as writer:
        stated = [Home(name, 15, pv_w=sizes[name]) for name in data.households]
        writer.append(rows_of_all(series_of(shifted)), stated, "made")
    report, _ = check_store(tmp_path / "s", Hints())
    named = {(one.code, one.household) for one in report.findings if one.code in ("clock_shift", "pv_scale")}
    assert named == {("clock_shift", data.households[3]), ("pv_scale", data.households[1])}
    (message,) = [one.message for one in report.findings if one.code == "clock_shift"]
    assert message.startswith("the production comes 60 minutes later than that of the other homes")
