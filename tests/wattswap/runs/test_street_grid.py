"""The bundled street with its grid: known by name, its grid as SimBench has it, and limits that bind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from data.samples import grid_path
from data.samples import load as load_sample
from data.samples.extract_grid import grid_of, means_of, text_of
from market.auctions.nodal_proof import check as proven
from tests.kits.run_kit import call
from wattswap.comparison.cells import run_cell
from wattswap.comparison.plan import Point, make_plan
from wattswap.runs.ac import ac_of_run
from wattswap.runs.ac_facts import facts_of
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.folder import RunFolder
from wattswap.runs.interval import position_wh, read_meters, sent_orders
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import BUNDLED, TEMPLATES, load
from wattswap.selection import read_choices

SIMBENCH = Path(__file__).parents[4] / "shared" / "data" / "networks" / "simbench_1-LV-rural1--0-sw"
STREET = TEMPLATES / BUNDLED["street_grid"]


def test_it_is_known_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(capsys, "run", "street_grid", "--set", "time.intervals=2", "--json", "--quiet")
    assert done.code == 0, done.err
    assert json.loads(done.out)["binding_share"] is not None
    point = Point("base", {}, load(STREET))
    plan = make_plan([point], read_choices(["uniform_price", "nodal_price"]), [1])
    assert plan.command(["nodal_price"], [1]).startswith("wattswap compare street_grid -m nodal_price")


def test_limits_bind_in_more_than_a_tenth_of_the_intervals_and_no_clearing_passes_one() -> None:
    setup = prepare(load(STREET, overrides=["time.days=1"]))
    cell = run_cell(setup)
    binding = np.array(cell.intervals["binding_limits"])
    assert (binding > 0).mean() >= 0.1
    assert np.array(cell.intervals["overloaded_lines"]).any()
    cars = [spec for spec in setup.devices["ev"] if spec is not None]
    assert len(cars) == 7
    pumps = [i for i, spec in enumerate(setup.devices["heat_pump"]) if spec is not None]
    assert len(pumps) == 5
    assert setup.grid is not None
    assert set(json.loads(grid_path("street").read_text())["homes"]) == set(load_sample("street").households)


@pytest.mark.parametrize(
    ("first", "days", "binding"),
    [
        ("2016-05-18", 1, 10),
        pytest.param("2016-01-15", 345, 2_000, marks=pytest.mark.slow, id="all that there are"),
    ],
)
def test_no_interval_publishes_a_clearing_that_numpy_alone_does_not_prove(
    first: str, days: int, binding: int
) -> None:
    """Feasible and optimal by the check that validators make: a year of quarter hours under `make slow`.

    A limit binds in at least so many intervals: else the check would have little to prove.
    """
    setup = prepare(load(STREET, overrides=[f"time.start={first}T00:00:00", f"time.days={days}"]))
    assert setup.nodal is not None
    community, network, full = setup.community(), setup.nodal.network, 0
    for i in range(setup.intervals):
        book = closed_book(setup, i, *columns_of(sent_orders(setup, community, i)))
        clearing = setup.mechanism.clear(book, setup.rules_at(i))
        assert not len(book) or proven(book, setup.nodal.grid, clearing).holds, setup.interval(i)
        room = network.room(network.state(network.load(book, clearing.accepted_wh)))
        full += bool((room[: 2 * len(network.limit_wh)] < 1).any())
        community.agree(position_wh(setup, book, clearing)[community.members])
        read_meters(setup, community, i)
    assert full >= binding


def test_heat_pumps_heat_with_the_sun_of_their_roof_and_keep_the_band(tmp_path: Path) -> None:
    readings = ws.run(ws.load(STREET, overrides=["time.days=1"]), out=tmp_path).table("readings")
    heated = readings.groupby("household", observed=True)["heat_pump_wh"].sum()
    assert (heated > 0).sum() == 5
    own = readings[readings["household"].isin(heated.index[heated > 0])]
    assert (own[["too_cold_millidegree_h", "too_warm_millidegree_h"]] == 0).all(axis=None)
    assert own["room_millidegree"].between(20_000, 22_000).all()
    in_the_sun = own.loc[own["pv_wh"] > 0, "heat_pump_wh"].sum()
    assert in_the_sun > own["heat_pump_wh"].sum() / 2


def test_voltages_are_off_by_at_most_half_a_percent_where_limits_bind(tmp_path: Path) -> None:
    run = ws.run(ws.load(STREET, overrides=["time.days=1"]), out=tmp_path)
    facts = facts_of(ac_of_run(RunFolder(run.path)))
    for kind in ("metered", "cleared"):
        assert facts[kind]["intervals_binding"] >= 9
        assert facts[kind]["largest_voltage_error_binding"] <= 0.005


def test_the_bundled_grid_is_that_of_simbench() -> None:
    if not SIMBENCH.is_dir():
        pytest.skip(f"{SIMBENCH} is not there")
    tables = json.loads((SIMBENCH / "net.json").read_text(encoding="utf-8"))["_object"]
    found = grid_of(tables, means_of(SIMBENCH / "LoadProfile_used.csv.gz"))
    assert text_of(found) == grid_path("street").read_text(encoding="utf-8")
    transformer = found["lines"][0]
    assert transformer["limit_kw"] == 160
    # Short circuit voltage 4 %, of which 1.46875 % are losses, on 160 kVA.
    assert np.hypot(transformer["r"], transformer["x"]) * 160 / 100 == pytest.approx(0.04)
    assert transformer["r"] * 160 / 100 == pytest.approx(0.0146875)
    cable = next(line for line in found["lines"] if line["id"] == "line 9")
    # NAYY 4x150, 137.215 m, 0.4 kV: 1.6 ohm are 1 per unit of 100 kVA.
    assert cable["r"] == pytest.approx(0.2067 * 0.137215 / 1.6)
    assert cable["limit_kw"] == pytest.approx(np.sqrt(3) * 0.4 * 270, abs=1e-3)
