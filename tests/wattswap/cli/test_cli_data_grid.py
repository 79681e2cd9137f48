"""Nodes of homes and sizes of their roofs, from a store into a scenario that runs on a grid."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.store.imports import Options, import_files
from tests.kits.run_kit import call

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


GRID: dict[str, Any] = {
    "kind": "lindistflow",
    "root": "station",
    "nodes": ["station", "corner", "end"],
    "base_kva": 100,
    "lines": [
        {"id": "transformer", "from": "station", "to": "corner", "r": 0.009, "x": 0.023, "limit_kw": 160},
        {"id": "cable", "from": "corner", "to": "end", "r": 0.017, "x": 0.007, "limit_kw": 60},
    ],
}


@pytest.fixture
def sunny() -> Path:
    """Four days of two homes, of which one produces."""
    lines = ["timestamp,household,import_wh,export_wh,pv_wh"]
    for row in range(4 * 96):
        when = np.datetime64("2026-06-01T00:00:00") + np.timedelta64(900 * row, "s")
        sun = max(0, 400 - 20 * abs(row % 96 - 48))
        lines += [f"{when}Z,anna,{max(0, 150 - sun)},{max(0, sun - 150)},{sun}", f"{when}Z,ben,150,0,"]
    Path("sunny.csv").write_text("\n".join(lines) + "\n")
    assert import_files([Path("sunny.csv")], Path("sunny"), Options()).made
    return Path("sunny")


@pytest.mark.parametrize("mechanism", ["uniform_price", "nodal_price"])
def test_nodes_of_homes_and_a_grid_are_tables_of_a_scenario_that_runs(
    sunny: Path, mechanism: str, capsys: Capture
) -> None:
    Path("grid.json").write_text(json.dumps(GRID | {"homes": {"ben": "end"}}))
    words = ["data", "assemble", sunny, "--out", "v", "--node", "anna=corner", "--pv", "anna=1.6"]
    done = call(capsys, *words, "--scenario", "--grid", "grid.json")
    assert done.code == 0, done.err
    scenario = tomllib.loads(Path("v/scenario.toml").read_text())
    assert scenario["grid"] == {"file": "../grid.json", "homes": {"anna": "corner"}}
    assert '# "anna": 1.6 kW' in Path("v/scenario.toml").read_text()
    assert "homes.pv" not in Path("v/scenario.toml").read_text(), "its production is in the readings"
    assert call(capsys, "validate", "v").code == 0
    done = call(
        capsys, "run", "v", "--quiet", "--set", f"market.mechanism={mechanism}", "--out", "r", "--json"
    )
    assert done.code == 0, done.err
    (run,) = Path("r").iterdir()
    done = call(capsys, "show", run, "grid")
    assert done.code == 0
    assert "transformer" in done.out
    done = call(capsys, "new", "again", "--from-data", "v/meter.store", "--grid", "grid.json")
    assert done.code == 0, done.err
    again = tomllib.loads(Path("again/scenario.toml").read_text())
    assert again["grid"] == scenario["grid"]


def test_a_grid_that_does_not_fit_the_homes_is_refused_before_anything_is_written(
    sunny: Path, capsys: Capture
) -> None:
    lossy = GRID | {"kind": "dc", "lines": [line | {"loss": 0.1} for line in GRID["lines"]]}
    Path("grid.json").write_text(json.dumps(lossy | {"homes": {"cleo": "end"}}))
    words = ["data", "assemble", sunny, "--out", "v", "--node", "anna=cornr", "--scenario", "--grid"]
    done = call(capsys, *words, "grid.json")
    assert done.code == 3
    for said in (
        "has no node 'cornr', where home anna is; did you mean 'corner'?",
        "home ben is at no node; `data assemble STORE --node ben=NODE` names one",
        "places cleo, of which the store has no readings",
        "has lines that lose energy",
    ):
        assert said in done.err
    assert not Path("v").exists()
    assert call(capsys, *words, "none.json").code == 2
    Path("case.json").write_text(json.dumps({"grid": GRID, "orders": []}))
    assert call(capsys, *words, "case.json").code == 2
    assert call(capsys, "data", "assemble", sunny, "--out", "v", "--grid", "grid.json").code == 2
    assert not Path("v").exists()
