"""How readings are stored moves no byte of a run: as int64, as int32, or mapped from files and computed where read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import energy_rows
from agents.energy_rows import EnergyRows
from data import samples
from data.readings import MISSING, MeterData
from data.store import columns
from market.metrics.table import figures
from wattswap.comparison.cells import run_cell
from wattswap.runs import checked, engine
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import demo

START = "time.start=2016-06-20T00:00:00Z"
SCENARIOS = {
    "baseline": ["homes.forecast=same_hour_mean"],
    "production apart": ["homes.forecast=same_hour_median", "homes.forecast_pv=scaled_median"],
    "learnt together": ["homes.forecast=shared_ridge"],
    "known exactly": ["homes.forecast=perfect_foresight", "homes.control=plan", "homes.battery_kwh=10"],
    "several forecasters": ["homes.forecasters={persistence=0.4,ridge=0.6}"],
    "quantiles": ["homes.strategy=staircase"],
    "other homes": ["homes.sample_homes=9", "homes.pv_share=0.6", "homes.pv_scale=1.7"],
    "hours": ["time.interval_minutes=60"],
    "pooled": ["market.imbalance=pooled"],
}


def as_int32(meter: MeterData) -> MeterData:
    return replace(
        meter,
        import_wh=meter.import_wh.astype(np.int32),
        export_wh=meter.export_wh.astype(np.int32),
        sub_meters={name: wh.astype(np.int32) for name, wh in meter.sub_meters.items()},
    )


def gappy(meter: MeterData) -> MeterData:
    """The street with readings missing in the weeks before the window, and none in it."""
    quality = meter.quality.copy()
    before = (1466380800 - meter.start_s) // 900
    quality[before - 2_000 : before : 7, 2] = MISSING
    quality[before - 300 : before - 100, 5] = MISSING
    zero = quality == MISSING
    return replace(
        meter,
        quality=quality,
        import_wh=np.where(zero, 0, meter.import_wh),
        export_wh=np.where(zero, 0, meter.export_wh),
        sub_meters={name: np.where(zero, 0, wh) for name, wh in meter.sub_meters.items()},
    )


SAMPLE = {("hours", True), ("several forecasters", False)}
"""In `make test`; the others are in `make slow`."""


@pytest.mark.parametrize(
    ("what", "with_gaps"),
    [
        pytest.param(what, gaps, marks=() if (what, gaps) in SAMPLE else pytest.mark.slow)
        for what in SCENARIOS
        for gaps in (False, True)
    ],
)
def test_the_roots_are_the_same_however_readings_are_stored(
    what: str, with_gaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = gappy(samples.load("street")) if with_gaps else samples.load("street")
    mapped = columns.write(tmp_path / "columns", "street", meter)
    assert mapped is not None
    assert mapped.import_wh.dtype == np.int32
    scenario = demo([START, "time.intervals=30", *SCENARIOS[what]])
    found: list[tuple[Any, ...]] = []
    for stored, many in ((meter, 2**62), (as_int32(meter), 2**62), (mapped, 0)):
        monkeypatch.setattr(checked, "load_meter", lambda _scenario, stored=stored: stored)
        monkeypatch.setattr(energy_rows, "MANY", many)
        run = engine.run(scenario, out=tmp_path / f"runs-{len(found)}")
        cell = run_cell(prepare(scenario))
        files = {name: sha for name, sha in run.manifest["files"].items() if name != "clear_ns"}
        found.append((run.manifest["replay_sha256"], run.metrics, files, figures(cell.result)))
    for other in found[1:]:
        assert other[0] == found[0][0]
        assert other[1] == found[0][1]
        assert other[2].keys() == found[0][2].keys()
        assert without_times(other[3]) == without_times(found[0][3])
        same = {name for name, sha in found[0][2].items() if other[2][name] == sha}
        assert {"bills.parquet", "orders.parquet", "readings.parquet", "postings.parquet"} <= same


def without_times(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if "_ms" not in name and "_ns" not in name}


ROWS, HOMES = 40, 5
KEYS: list[Any] = [
    3,
    -1,
    slice(None),
    slice(4, 9),
    slice(-6, None),
    slice(None, None, 3),
    np.array([1, 5, 5]),
    np.array([[1, 2], [7, 0]]),
    (slice(2, 9), 1),
    (slice(2, 9), slice(1, 3)),
    (slice(None), np.array([4, 0])),
    (7, 2),
    (np.array([1, 2]), np.array([0, 3])),
    np.arange(ROWS) % 3 == 0,
    (..., 2),
    [1, 2],
]


@pytest.mark.parametrize(
    "chosen", [None, np.array([4, 1, 2, 3, 0])], ids=["all homes", "homes in another order"]
)
@pytest.mark.parametrize("gaps", [False, True])
def test_rows_that_are_computed_behave_as_an_array(gaps: bool, chosen: Any) -> None:
    draw = np.random.default_rng(5)
    first, second, third = draw.integers(0, 2**31 - 1, (3, ROWS, HOMES)).astype(np.int32)
    valid = draw.random((ROWS, HOMES)) < 0.7 if gaps else None
    whole = first.astype(np.int64) - second + third
    whole = whole if valid is None else whole * valid
    whole = whole if chosen is None else whole[:, chosen]
    rows = EnergyRows(((1, first), (-1, second)), valid, chosen).plus(third)
    for key in KEYS:
        np.testing.assert_array_equal(rows[key], whole[key], strict=True)
    np.testing.assert_array_equal(np.asarray(rows.until(7)), whole[:7], strict=True)
    np.testing.assert_array_equal(np.asarray(rows.of_homes(np.array([2, 0]))), whole[:, [2, 0]], strict=True)
    assert (rows.shape, len(rows), rows.ndim, rows.dtype) == (whole.shape, ROWS, 2, whole.dtype)
    same: list[Callable[[Any], Any]] = [
        lambda a: a.sum(axis=0),
        lambda a: np.abs(a).max(),
        lambda a: 2 * a - a // 3,
        lambda a: np.median(a, axis=0),
        lambda a: a.T,
        lambda a: np.concatenate([a, a]),
        lambda a: a > 5,
    ]
    for made in same:
        np.testing.assert_array_equal(made(rows), made(whole))
    with pytest.raises(ValueError, match="read-only"):
        rows[3][0] = 1
