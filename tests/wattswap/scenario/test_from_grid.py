"""A scenario written beside the meter file of a grid: TOML of the template's tables, with the batteries of the grid."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import wattswap as ws
from data import samples
from wattswap.scenario.from_grid import toml_text, write_grid
from wattswap.scenario.load import TEMPLATES


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.toml")), ids=lambda path: path.stem)
def test_tables_are_read_back_as_they_were_written(template: Path) -> None:
    tables = tomllib.loads(template.read_text(encoding="utf-8"))
    assert tomllib.loads(toml_text(tables)) == tables


def test_names_that_need_quotes_get_them() -> None:
    tables = {"a b": {"c.d": 1, "e": {"f": [True, 0.1, 'x"y'], "g": {}}}}
    assert tomllib.loads(toml_text(tables)) == tables


def test_the_scenario_of_a_grid_has_its_homes_and_batteries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = samples.load("street")
    monkeypatch.setattr("data.grids.simbench.load_simbench_grid", lambda _code: meter)
    path, _ = write_grid(tmp_path / "grid", "1-LV-test--0-sw")
    scenario = ws.load(path)
    assert (scenario.name, scenario.homes.batteries) == ("1-LV-test-0-sw", "none")
    stored = {name: b for name, b in zip(meter.households, meter.batteries, strict=True) if b is not None}
    assert set(scenario.homes.battery) == set(stored)
    for name, spec in stored.items():
        given = scenario.homes.battery[name]
        assert (given.capacity_wh, given.charge_w, given.discharge_w) == (
            spec.capacity_wh, spec.charge_w, spec.discharge_w,
        )  # fmt: skip
        assert given.charge_efficiency_ppm == spec.charge_efficiency_ppm
