"""What people see of the grid of a run: `show RUN grid`, the report, and overload beside cost in a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from tests.kits.run_kit import call, one_object, refused, write_street
from tests.wattswap.runs.test_grid_runs import OVER, street
from wattswap.report.of_run import story_of_run
from wattswap.report.sections.nodes import nodes
from wattswap.runs.folder import RunFolder
from wattswap.runs.grid_shown import grid_shown


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a scenario whose cable carries 0.1 kW."""
    return street(tmp_path_factory.mktemp("views"), 0.1)


@pytest.fixture(scope="module")
def run(full: Path) -> RunFolder:
    return RunFolder(ws.run(ws.load(full, overrides=OVER), out=full / "runs").path)


def test_lines_come_by_load_and_nodes_with_the_range_of_their_prices(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = call(capsys, "show", run.path, "grid")
    assert found.code == 0, found.err
    assert max(map(len, found.out.splitlines())) <= 80
    rows = [line.split() for line in found.out.splitlines()]
    first, second = (next(row for row in rows if row[:1] == [name]) for name in ("cable", "transformer"))
    assert rows.index(first) < rows.index(second)
    far = run.table("readings").query("household == 'home-3'")
    flow = (far["import_wh"] - far["export_wh"]).abs() / 1_000
    assert first == [
        "cable",
        "0.1",
        f"{flow.max():.1f}",
        f"{flow.max() * 1_000:.1f}",
        f"{(flow > 0.1).sum():.2f}",
    ]
    prices = np.array(run.table("intervals")["node_price_micro_per_kwh"].tolist(), dtype=float) / 1e6
    node = next(row for row in rows if row[:1] == ["far"])
    wanted = (np.nanmin(prices[:, 2]), np.nanmean(prices[:, 2]), np.nanmax(prices[:, 2]))
    assert node[1:4] == [f"{value:.4f}" for value in wanted]
    assert f"A limit binds in {100 * run.metrics['binding_share']:.1f} % of the clearings." in found.out
    hours = f"more than its limit for {run.metrics['overload_hours']:.2f} h"
    assert hours in " ".join(found.out.split())
    section = nodes(story_of_run(run))
    assert section is not None
    assert hours in section.body


def test_the_summary_says_that_bills_count_the_grid_connection_too(
    run: RunFolder, full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agreed = run.bills()["bought_kwh"].sum()
    assert agreed > run.metrics["traded_kwh"] > 0
    said = "bills also count what was agreed with the grid connection"
    assert said in " ".join(call(capsys, "show", run.path).out.split())
    other = ws.run(ws.load(full, overrides=[*OVER, "market.mechanism=uniform_price"]), out=tmp_path)
    assert other.bills()["bought_kwh"].sum() == pytest.approx(other.metrics["traded_kwh"])
    assert said not in " ".join(call(capsys, "show", other.path).out.split())


def test_an_open_line_that_is_used_all_the_same_comes_first(tmp_path: Path) -> None:
    folder = street(tmp_path, 0)
    run = RunFolder(ws.run(ws.load(folder, overrides=OVER), out=folder / "runs").path)
    found = grid_shown(run)
    assert found is not None
    lines = found.lines
    assert lines.index[0] == "cable"
    assert np.isnan(lines["loading"].iloc[0])
    assert lines["overload_h"].iloc[0] == run.metrics["overload_hours"] > 0


def test_what_a_screen_leaves_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call(capsys, "run", "street_grid", "--set", "time.intervals=2", "--out", tmp_path, "--quiet")
    run = next(tmp_path.iterdir())
    said = (
        "Shown are the 10 most loaded lines and the 10 nodes with the lowest and highest mean price; --wide"
    )
    assert said in call(capsys, "show", run, "grid").out
    wide = call(capsys, "show", run, "grid", "--wide").out
    assert "Shown are" not in wide
    by_mean = grid_shown(RunFolder(run))
    assert by_mean is not None
    assert all(name in wide for name in (*by_mean.lines.index, *by_mean.nodes.index))


def test_programs_get_all_of_it(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    found = one_object(call(capsys, "show", run.path, "grid", "--json"))
    assert {row["line"] for row in found["lines"]} == {"cable", "transformer"}
    assert next(row for row in found["lines"] if row["line"] == "transformer")["limit_kw"] is None
    assert [row["node"] for row in found["nodes"]] == ["station", "near", "far"]
    assert found["overload_hours"] == run.metrics["overload_hours"]
    csv = call(capsys, "show", run.path, "grid", "--csv").out.splitlines()
    assert csv[0] == "line,limit_kw,highest_kw,loading,overload_h"
    assert len(csv) == 3


def test_the_report_draws_prices_of_nodes_over_the_day(run: RunFolder) -> None:
    story = story_of_run(run)
    section = nodes(story)
    assert section is not None
    assert story.grid is not None
    of_day = story.grid.of_day
    assert of_day is not None
    assert len(of_day) == 24
    assert story.grid.lines["limit_kw"].iloc[0] == 0.1
    assert "limit kW" in section.body
    assert '<td class="number" data-label="limit kW">0.1</td>' in section.body
    figure = section.figures["node-prices"]
    # The cable separates two groups: the station and what is near it, and the end.
    assert [trace.name for trace in figure.data] == ["station and near", "far"]
    assert list(figure.data[1].x)[:2] == ["00:00", "01:00"]
    hour = run.table("intervals").assign(far=lambda f: [row[2] for row in f["node_price_micro_per_kwh"]])
    mean = hour["far"].astype(float).groupby(hour["interval_start"].dt.strftime("%H:%M")).mean() / 1e6
    assert of_day["far"].tolist() == pytest.approx(mean.tolist(), nan_ok=True)


def test_a_run_without_a_grid_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = ws.run(ws.load(write_street(tmp_path)), out=tmp_path / "runs")
    refused(call(capsys, "show", bare.path, "grid"), 2, "the scenario of this run has no grid", "[grid]")
    assert grid_shown(RunFolder(bare.path)) is None
    assert nodes(story_of_run(RunFolder(bare.path))) is None


def test_another_mechanism_shows_its_lines_and_no_prices(
    full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ws.run(ws.load(full, overrides=[*OVER, "market.mechanism=uniform_price"]), out=tmp_path)
    found = call(capsys, "show", other.path, "grid").out
    assert "Voltages of nodes" in found
    assert "binds" not in found
    section = nodes(story_of_run(RunFolder(other.path)))
    assert section is not None
    assert not section.figures


def test_a_comparison_shows_overload_beside_cost(
    full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("-m", "uniform_price", "-m", "nodal_price", "--set", OVER[0], "--out", tmp_path, "--quiet")
    found = call(capsys, "compare", full, *chosen)
    assert found.code == 0, found.err
    grid = found.out.partition("The grid, by the meters")[2]
    rows = {line.split()[0]: line.split()[1:] for line in grid.splitlines() if line.split()[1:]}
    nodal = ws.run(ws.load(full, overrides=OVER), out=tmp_path).metrics
    assert rows["nodal_price"][1:3] == [f"{nodal['overload_hours']:.1f}", f"{nodal['overload_kw']:.1f}"]
    # Cents are rounded so that they add up.
    assert abs(float(rows["nodal_price"][0].rstrip("*")) - nodal["cost_with_market"]) <= 0.011
    # The homes of this street do not react, so that nobody takes or gives anything else.
    assert rows["uniform_price"][1] == rows["retailer_only"][1] == rows["nodal_price"][1]
    assert rows["nodal_price"][-1] == f"{nodal['congestion_rent']:.2f}"
