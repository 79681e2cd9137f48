"""The AC check of a run: its states by another solver, where they count, and what `show RUN grid ac` says."""

from __future__ import annotations

import csv
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from optimizer.three_phase import three_phase_power_flow
from tests.kits.run_kit import call, one_object, refused
from tests.oracles.sweep import sweep
from tests.wattswap.runs.test_grid_runs import NODES, OVER, grid_file, street
from wattswap.cases.grid_file import load_grid
from wattswap.runs.ac import AcOfRun, ac_of_run, phases_of
from wattswap.runs.ac_facts import facts_of, intervals_of, lines_of, nodes_of
from wattswap.runs.folder import RunFolder

HAS_PANDAPOWER = find_spec("pandapower") is not None
with_pandapower = pytest.mark.skipif(
    not HAS_PANDAPOWER, reason="the optional package pandapower is not installed"
)
without_pandapower = pytest.mark.skipif(HAS_PANDAPOWER, reason="the optional package pandapower is installed")
Capture = pytest.CaptureFixture[str]
PHASES = {"home-1": "a", "home-2": "bc"}


def run_of(folder: Path, *more: str) -> RunFolder:
    return RunFolder(ws.run(ws.load(folder, overrides=[*OVER, *more]), out=folder / "runs").path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run where the cable to home 3 carries 0.1 kW, and reactive load is at both nodes."""
    folder = street(tmp_path_factory.mktemp("ac"), 0.1)
    grid_file(folder, 0.1, reactive_load={"near": 0.3, "far": 0.1})
    return run_of(folder)


@pytest.fixture(scope="module")
def check(run: RunFolder) -> AcOfRun:
    return ac_of_run(run)


def grid_below(folder: Path) -> dict[str, Any]:
    given = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
    return {"root": "station", **given}


def home_kw(run: RunFolder) -> np.ndarray:
    """Metered net consumption by interval and home."""
    table = run.table("readings")
    table["kw"] = (table["import_wh"] - table["export_wh"]) / 1_000
    found = table.pivot_table(index="interval_start", columns="household", values="kw", observed=True)
    return np.array(found[list(NODES)])


def test_metered_states_are_those_of_another_solver(run: RunFolder, check: AcOfRun) -> None:
    given = grid_below(run.path.parents[1])
    kw, found = home_kw(run), check.metered
    assert found.ac_voltage.shape == (48, 3, 1)
    for i, (first, second, third) in enumerate(kw):
        loads = {"near": first + second, "far": third}
        voltage, losses = sweep(given, loads, {"near": 0.3, "far": 0.1})
        assert found.ac_voltage[i, :, 0] == pytest.approx(
            [voltage[name] for name in given["nodes"]], abs=1e-9
        )
        assert found.losses_kwh[i] == pytest.approx(losses, abs=1e-9)
    current = np.hypot(kw[:, 2], 0.1) / found.ac_voltage[:, 2, 0]
    assert found.ac_loading[:, 1, 0] == pytest.approx(current / 0.1)
    assert np.isnan(found.ac_loading[:, 0]).all()


def test_the_equations_of_the_market_say_what_the_run_stored(run: RunFolder, check: AcOfRun) -> None:
    table = run.table("intervals")
    voltage = check.metered.voltage
    assert voltage is not None
    assert voltage**2 * 1e6 == pytest.approx(np.array(table["v_squared_ppm"].tolist()), abs=0.51)
    assert check.metered.flow_wh == pytest.approx(np.array(table["line_flow_wh"].tolist()))
    assert (check.metered.overloaded(by_ac=False).sum(axis=1) == table["overloaded_lines"]).all()
    assert check.cleared.binds.tolist() == (table["binding_limits"] > 0).tolist()
    assert check.cleared.binds.any()


def test_a_quarter_hour_has_the_state_of_its_power(tmp_path: Path) -> None:
    quarter = run_of(street(tmp_path, 0.1, minutes=15))
    found = ac_of_run(quarter).metered
    given = grid_below(tmp_path)
    first, second, third = 4 * home_kw(quarter)[40]
    voltage, losses = sweep(given, {"near": first + second, "far": third}, {})
    assert found.ac_voltage[40, :, 0] == pytest.approx([voltage[name] for name in given["nodes"]], abs=1e-9)
    assert found.losses_kwh[40] == pytest.approx(losses / 4, abs=1e-9)


def test_facts_are_those_of_the_intervals(check: AcOfRun) -> None:
    facts = facts_of(check)
    assert (facts["equations"], facts["by_phase"], facts["note"]) == ("LinDistFlow", False, "")
    rows = intervals_of(check)
    for flows in check.flows:
        found, of = facts[flows.of], rows[rows["flows"] == flows.of]
        assert found["intervals"] == len(of) == 48
        assert found["intervals_binding"] == of["binds"].sum() > 0
        assert found["largest_voltage_error"] == pytest.approx(of["voltage_error"].max(), abs=1e-6)
        where = of.loc[of["binds"], "voltage_error"].max()
        assert found["largest_voltage_error_binding"] == pytest.approx(where, abs=1e-6)
        assert found["losses_kwh"] == pytest.approx(of["losses_kwh"].sum(), abs=1e-6)
        over = found["intervals_overloaded"]
        assert over == {name: (of[f"overloaded_lines_{name}"] > 0).sum() for name in ("market", "ac")}
        assert found["worst_line"]["line"] == "cable"
        assert found["worst_line"]["loading_ac"] == pytest.approx(of["loading_ac"].max(), abs=1e-6)
        assert found["worst_line"]["interval"] == of["loading_ac"].idxmax().strftime("%Y-%m-%dT%H:%MZ")
    assert facts["cleared"]["intervals_overloaded"]["market"] == 0
    # Reactive power uses the cable too, of which its limit in the market knows nothing.
    assert facts["cleared"]["intervals_overloaded"]["ac"] > 0
    lines, nodes = lines_of(check, check.metered), nodes_of(check, check.metered)
    assert list(lines.index) == ["cable", "transformer"]
    assert np.isnan(lines.loc["transformer", "loading_ac"])
    assert lines.loc["cable", "overloaded_ac"] == facts["metered"]["intervals_overloaded"]["ac"]
    assert nodes["largest_error"].max() == pytest.approx(facts["metered"]["largest_voltage_error"], abs=1e-6)
    low, voltage = facts["metered"]["worst_node"], check.metered.ac_voltage
    assert min(voltage.min() - 0.9, 1.1 - voltage.max()) == pytest.approx(
        min(low["voltage_ac"] - 0.9, 1.1 - low["voltage_ac"]), abs=1e-6
    )


def test_a_voltage_out_of_its_band_is_counted_by_each(tmp_path: Path) -> None:
    folder = street(tmp_path)
    grid_file(folder, None)
    wide = ac_of_run(run_of(folder, "market.mechanism=uniform_price"))
    edge = float(np.median(wide.metered.ac_voltage.min(axis=(1, 2))))
    grid_file(folder, None, vmin=edge**2)
    found = ac_of_run(run_of(folder, "market.mechanism=uniform_price", "seed=2"))
    low = found.metered.ac_voltage.min(axis=(1, 2))
    counted = facts_of(found)["metered"]["intervals_out_of_band"]
    assert counted["ac"] == (low < edge - 1e-6).sum() > 0
    stored = run_of(folder, "market.mechanism=uniform_price", "seed=3").table("intervals")[
        "nodes_out_of_band"
    ]
    assert counted["market"] == (stored > 0).sum() > 0


def test_an_open_line_that_is_used_is_over_its_limit_by_both(tmp_path: Path) -> None:
    found = ac_of_run(run_of(street(tmp_path, 0)))
    over = facts_of(found)["metered"]["intervals_overloaded"]
    assert over["ac"] == over["market"] == (found.metered.flow_wh[:, 1] != 0).sum() > 0
    assert facts_of(found)["metered"]["worst_line"] is None


def test_homes_are_on_the_phases_that_the_grid_states(tmp_path: Path, capsys: Capture) -> None:
    folder = street(tmp_path, 0.1)
    lines = grid_below(folder)["lines"]
    lines[0] |= {"transformer": True}
    lines[1] |= {"r0": 0.008, "x0": 0.004}
    grid_file(folder, 0.1, lines=lines, phases=PHASES, reactive_load={"near": 0.3})
    run = run_of(folder)
    check = ac_of_run(run)
    assert check.by_phase
    kw, grid = home_kw(run), check.loaded.grid
    zero = check.loaded.zero_sequence()
    for i in range(0, 48, 5):
        at_near = kw[i, 0] * np.array([1, 0, 0]) + kw[i, 1] * np.array([0, 0.5, 0.5])
        load_kw = np.array([np.zeros(3), at_near, np.full(3, kw[i, 2] / 3)])
        # Of the two homes at the node one is on a, one half on b and c each.
        load_kvar = np.array([np.zeros(3), 0.3 * np.array([0.5, 0.25, 0.25]), np.zeros(3)])
        wanted = three_phase_power_flow(grid, *zero, load_kw, load_kvar, transformers=[0])
        assert check.metered.ac_voltage[i] == pytest.approx(wanted.voltage, abs=1e-9)
        assert check.metered.ac_loading[i] == pytest.approx(wanted.loading, abs=1e-9, nan_ok=True)
        assert check.metered.losses_kwh[i] == pytest.approx(wanted.losses_kw, abs=1e-9)
    shown = call(capsys, "show", run.path, "grid", "ac")
    assert "by phase" in shown.out
    assert one_object(call(capsys, "show", run.path, "grid", "ac", "--json"))["metered"]["worst_line"][
        "phase"
    ]


def test_phases_are_found_like_nodes_by_the_id_of_the_home_or_of_the_one_it_was_drawn_from(
    tmp_path: Path,
) -> None:
    folder = street(tmp_path)
    phases = {"Jose\u0301": "a", "flat#7": "b", "home-1": "c"}
    grid_file(folder, 0.1, homes=dict.fromkeys(phases, "near"), phases=phases)
    loaded = load_grid(folder / "grid.json")
    shares = phases_of(loaded, ["Jos\u00e9", "flat#7", "home-1#2", "home-3"])
    assert np.abs(shares - [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3] * 3]).max() < 1e-12


def test_phases_without_a_zero_sequence_are_balanced_and_said(tmp_path: Path, capsys: Capture) -> None:
    folder = street(tmp_path, 0.1)
    grid_file(folder, 0.1, phases=PHASES)
    run = run_of(folder)
    assert not ac_of_run(run).by_phase
    shown = " ".join(call(capsys, "show", run.path, "grid", "ac").out.split())
    assert "balanced over three phases" in shown
    assert "The grid states phases, and transformer, cable (2 lines) have no zero sequence." in shown


def test_loads_without_a_state_are_counted_and_no_violation(tmp_path: Path) -> None:
    folder = street(tmp_path)
    lines = grid_below(folder)["lines"]
    lines[1] |= {"r": 1.0, "x": 0.1, "limit_kw": None}
    grid_file(folder, None, lines=lines, vmin=0.01, vmax=4.0)
    check = ac_of_run(run_of(folder, "market.mechanism=uniform_price"))
    lost = facts_of(check)["metered"]["intervals_without_ac_state"]
    assert 0 < lost == np.isnan(check.metered.losses_kwh).sum() < 48
    assert np.isfinite(facts_of(check)["metered"]["losses_kwh"])
    json.dumps(facts_of(check), allow_nan=False)


def test_a_home_that_was_drawn_again_is_where_it_is(tmp_path: Path) -> None:
    drawn = ("homes.sample_homes=5", "homes.sample_with_replacement=true")
    scenario = street(tmp_path, 0.1) / "scenario.toml"
    head, _, rest = scenario.read_text(encoding="utf-8").partition("[homes.battery.home-1]")
    scenario.write_text(head + "[tariff]" + rest.partition("[tariff]")[2], encoding="utf-8")
    run = run_of(tmp_path, *drawn)
    assert any("#" in str(home) for home in run.table("bills")["household"])
    check = ac_of_run(run)
    stored = np.array(run.table("intervals")["line_flow_wh"].tolist())
    assert check.metered.flow_wh == pytest.approx(stored)


def test_a_screen_shows_both_equations_beside_each_other(
    run: RunFolder, check: AcOfRun, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = call(capsys, "show", run.path, "grid", "ac")
    assert shown.code == 0, shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    facts = facts_of(check)
    rows = [line.split("  ") for line in shown.out.splitlines()]
    row = next(row for row in rows if row[0].strip() == "losses of the lines kWh")
    assert [float(value) for value in row[1:] if value.strip()] == [
        pytest.approx(facts[kind]["losses_kwh"], abs=0.005) for kind in ("metered", "cleared")
    ]
    text = " ".join(shown.out.split())
    share = 100 * facts["metered"]["worst_line"]["loading_ac"]
    assert f"carries most: {share:.1f} % of its limit by AC" in text
    assert f"Times are those of {run.zone}." in text
    assert "voltages per unit" in text
    plain = " ".join(call(capsys, "show", run.path, "grid").out.split())
    over = facts["metered"]["intervals_overloaded"]
    assert (
        f"over its limit in {over['ac']} intervals (by the market's equations in {over['market']})" in plain
    )


def test_programs_get_facts_lines_nodes_and_intervals(
    run: RunFolder, check: AcOfRun, capsys: Capture
) -> None:
    found: dict[str, Any] = one_object(call(capsys, "show", run.path, "grid", "ac", "--json"))
    facts = json.loads(json.dumps(facts_of(check)))
    assert {name: found[name] for name in facts} == facts
    assert {row["line"] for row in found["lines"]} == {"cable", "transformer"}
    assert {row["node"] for row in found["nodes"]} == {"station", "near", "far"}
    assert len(found["rows"]) == 96
    assert one_object(call(capsys, "show", run.path, "grid", "--json"))["ac"] == facts
    rows = list(csv.DictReader(io.StringIO(call(capsys, "show", run.path, "grid", "ac", "--csv").out)))
    assert [row["flows"] for row in rows] == ["metered"] * 48 + ["cleared"] * 48
    assert rows[0]["interval_start"] == check.starts[0].strftime("%Y-%m-%dT%H:%MZ")


def test_a_word_that_a_view_does_not_take_is_refused(run: RunFolder, capsys: Capture) -> None:
    refused(call(capsys, "show", run.path, "grid", "dc"), 2, "the grid has no view 'dc'", "grid ac")
    for view in ("summary", "bills", "prices", "network", "shares"):
        said = f"{view} takes nothing more, and 'ac' was given"
        refused(call(capsys, "show", run.path, view, "ac"), 2, said, "leave it out")
    assert call(capsys, "show", run.path, "grid", "ac", "more").code == 2


def test_another_grid_than_that_of_the_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    folder = street(tmp_path, 0.1)
    run = run_of(folder)
    grid_file(folder, 0.2)
    refused(call(capsys, "show", run.path, "grid", "ac"), 3, "grid.json", "is not the grid any more")
    plain = call(capsys, "show", run.path, "grid")
    assert plain.code == 0
    assert "No AC check: " in plain.out
    assert "refused" in one_object(call(capsys, "show", run.path, "grid", "--json"))["ac"]
    (folder / "grid.json").unlink()
    refused(call(capsys, "show", run.path, "grid", "ac"), 3, "the grid of this run is not there")


def meshed(folder: Path) -> RunFolder:
    """A run whose homes are in a ring; the limit of a line is nowhere near."""
    ring = (("a", "station", "near"), ("b", "near", "far"), ("c", "far", "station"))
    lines = [{"id": i, "from": a, "to": b, "r": 0.001, "x": 0.002, "limit_kw": 50} for i, a, b in ring]
    street(folder)
    grid_file(folder, None, kind="dc", lines=lines)
    return run_of(folder)


@without_pandapower
def test_a_mesh_without_the_optional_package_says_so(tmp_path: Path, capsys: Capture) -> None:
    run = meshed(tmp_path)
    refused(call(capsys, "show", run.path, "grid", "ac"), 4, "needs the optional package pandapower")
    assert "No AC check: an AC power flow needs" in call(capsys, "show", run.path, "grid").out


@with_pandapower
def test_a_mesh_is_solved_by_pandapower(tmp_path: Path, capsys: Capture) -> None:
    run = meshed(tmp_path)
    found = one_object(call(capsys, "show", run.path, "grid", "ac", "--json"))
    assert found["equations"] == "DC"
    assert found["metered"]["largest_voltage_error"] is None
    line = found["metered"]["worst_line"]
    assert line["loading_ac"] == pytest.approx(line["loading_market"], abs=1e-3)
    assert call(capsys, "show", run.path, "grid", "ac").code == 0


@with_pandapower
def test_sweeps_and_pandapower_agree_on_a_run(run: RunFolder, check: AcOfRun) -> None:
    from optimizer.power_flow import AcNetwork

    network = AcNetwork(check.loaded.grid)
    reactive = check.loaded.grid.nodes.reactive_load
    for i in range(0, 48, 7):
        state = network.solve(check.metered.load_wh[i] / 1_000, reactive)
        assert check.metered.ac_voltage[i, :, 0] == pytest.approx(state.voltage, abs=1e-8)
        assert check.metered.ac_loading[i, :, 0] == pytest.approx(state.loading, abs=1e-6, nan_ok=True)
        assert check.metered.losses_kwh[i] == pytest.approx(state.losses_kw, abs=1e-8)
