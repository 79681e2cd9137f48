"""The bundled neighbourhoods, and the builder that makes them from SimBench."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data import formats, samples
from data.errors import InvalidMeterFile, MissingPackage, UnknownGrid, UnknownSample
from data.formats import check
from data.formats.simbench_extract import load_neighbourhood, save_neighbourhood
from data.grids.neighbourhood import Element, Neighbourhood
from data.grids.simbench import load_simbench_grid
from data.readings import BatterySpec, Source

needs_simbench = pytest.mark.skipif(
    importlib.util.find_spec("simbench") is None, reason="the optional package simbench is not installed"
)

COUNTS = {  # homes, PV plants, batteries, heat pumps, charging points; from the SimBench tables
    "street": (13, 8 + 5, 5, 8, 7),
    "village": (41, 6 + 4, 4, 10, 7),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_sample_has_the_elements_of_its_grid(name: str) -> None:
    neighbourhood, origin = load_neighbourhood(samples.path_of(name))
    kinds = Counter(element.kind for element in neighbourhood.elements)
    batteries = sum(spec is not None for spec in neighbourhood.batteries)
    assert (kinds["load"], kinds["pv"], batteries, kinds["heat_pump"], kinds["ev"]) == COUNTS[name]
    assert origin["answers"]["code"] == samples.SAMPLES[name]


@pytest.mark.parametrize("name", COUNTS)
def test_a_sample_is_one_leap_year_of_quarter_hours(name: str) -> None:
    data = samples.load(name)
    assert (data.minutes, data.intervals) == (15, 366 * 96)
    assert data.start_s == int(datetime(2015, 12, 31, 23, tzinfo=UTC).timestamp())
    assert (data.quality == 0).all()


@pytest.mark.parametrize(
    ("name", "load_mwh", "pv_mwh"), [("street", 233.9, 434.0), ("village", 413.4, 268.6)]
)
def test_a_sample_has_plausible_energy(name: str, load_mwh: float, pv_mwh: float) -> None:
    data = samples.load(name)
    assert data.load_wh.sum() / 1e6 == pytest.approx(load_mwh, abs=0.1)
    assert data.sub_meters["pv"].sum() / 1e6 == pytest.approx(pv_mwh, abs=0.1)
    assert np.array_equal(data.import_wh - data.export_wh, data.load_wh - data.sub_meters["pv"])
    assert (data.load_wh >= data.sub_meters["heat_pump"] + data.sub_meters["ev"]).all()


def test_homes_with_a_battery_have_a_plant_of_the_same_power() -> None:
    neighbourhood, _ = load_neighbourhood(samples.path_of("street"))
    plants = {
        element.household: element.power_w for element in neighbourhood.elements if element.kind == "pv"
    }
    owned = {home: spec.charge_w for home, spec in enumerate(neighbourhood.batteries) if spec}
    assert all(plants[home] == power for home, power in owned.items())


@pytest.mark.parametrize("change", [datetime(2016, 3, 27, tzinfo=UTC), datetime(2016, 10, 30, tzinfo=UTC)])
def test_the_sun_does_not_change_the_clock(change: datetime) -> None:
    """The centroid of production in UTC must not jump where the German clock does."""
    data = samples.load("village")
    pv = data.sub_meters["pv"].sum(axis=1)
    hour = ((data.start_s // 900 + np.arange(len(pv))) % 96) / 4
    middle = int(change.timestamp() - data.start_s) // 900
    weeks = [slice(middle - 14 * 96, middle), slice(middle + 96, middle + 15 * 96)]
    before, after = (float((pv[s] * hour[s]).sum() / pv[s].sum()) for s in weeks)
    assert abs(before - after) < 0.4


def test_the_bundle_is_small_and_carries_its_licence() -> None:
    assert sum(path.stat().st_size for path in samples.FOLDER.iterdir()) < 5_000_000
    assert "opendatacommons.org/licenses/odbl" in (samples.FOLDER / "LICENSE-ODbL.txt").read_text()
    assert "SimBench" in (samples.FOLDER / "ATTRIBUTION.md").read_text()


def test_a_sample_is_recognised_by_its_content() -> None:
    report = check(samples.path_of("street"))
    assert report.ok
    assert (report.format, report.minutes, len(report.households)) == ("simbench_extract", 15, 13)
    assert any("as if the batteries stood still" in note for note in report.notes)
    assert not any("not operated" in note for note in report.notes)  # a run of it operates them


def test_an_unknown_sample_names_the_nearest() -> None:
    with pytest.raises(UnknownSample, match="Did you mean 'street'"):
        samples.load("sreet")


def small() -> Neighbourhood:
    return Neighbourhood(
        households=("home-1", "home-2"),
        labels=("one", "two"),
        start_s=0,
        minutes=15,
        elements=(
            Element(0, "load", "flat", 1000),
            Element(1, "load", "flat", 333),
            Element(1, "pv", "noon", 2000),
            Element(1, "heat_pump", "flat", 100),
        ),
        batteries=(None, BatterySpec(2000, 1000, 1000, 950_000, 950_000)),
        profiles={"flat": np.full(4, 500_000), "noon": np.array([0, 1_000_000, 333_333, 0])},
    )


def test_power_times_profile_is_energy_by_hand() -> None:
    data = small().meter_data(Source("test", ""))
    assert data.load_wh[:, 0].tolist() == [125] * 4
    base = 333 * 0.5 / 4  # 41.625 Wh a quarter hour: 42, 41, 42, 42 with the remainder carried
    assert (data.load_wh[:, 1] - data.sub_meters["heat_pump"][:, 1]).tolist() == [42, 41, 42, 42]
    assert sum([42, 41, 42, 42]) == math.floor(4 * base + 0.5)
    assert data.sub_meters["pv"][:, 1].tolist() == [0, 500, 167, 0]
    assert data.import_wh[:, 1].tolist() == [55, 0, 0, 54]


def test_an_extract_is_read_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.parquet", "two.parquet"):
        save_neighbourhood(small(), tmp_path / name, code="x", zone="UTC", notes=("n",))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    again, origin = load_neighbourhood(tmp_path / "one.parquet")
    assert again.sha256() == small().sha256()
    assert origin == {"answers": {"code": "x", "zone": "UTC"}, "notes": ["n"]}


def test_a_damaged_extract_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "broken.parquet"
    table = pa.table({"flat": [1, 2]}).replace_schema_metadata({"wattswap.neighbourhood": '{"version": 1}'})
    parquet.write_table(table, path)
    with pytest.raises(InvalidMeterFile, match="damaged"):
        formats.load(path)


def test_without_the_package_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simbench", None)
    with pytest.raises(MissingPackage, match=r"pip install 'wattswap\[grids\]'"):
        load_simbench_grid("1-LV-rural1--2-sw")


@needs_simbench
def test_the_builder_gives_the_bundled_street() -> None:
    data, bundled = load_simbench_grid("1-LV-rural1--2-sw"), samples.load("street")
    assert data.households == bundled.households
    assert np.array_equal(data.import_wh, bundled.import_wh)
    assert data.batteries == bundled.batteries


@needs_simbench
def test_an_unknown_grid_names_the_nearest() -> None:
    with pytest.raises(UnknownGrid, match="Did you mean"):
        load_simbench_grid("1-LV-rural9--2-sw")
