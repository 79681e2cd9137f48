"""What is wrong with the grid of a scenario: one sentence each, all of them at once and with the other mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from market.errors import MarketError
from optimizer.errors import OptimizerError
from tests.kits.run_kit import call, refused, write_street
from tests.wattswap.runs.test_grid_runs import GRID, grid_file
from wattswap.errors import InvalidScenario
from wattswap.runs.checked import with_later_faults
from wattswap.runs.prepare import prepare, under
from wattswap.scenario.load import changed, from_resolved, load
from wattswap.selection import read_choices


def folder_of(tmp_path: Path, more: str = "", **grid: Any) -> Path:
    write_street(tmp_path, more=GRID + more)
    grid_file(tmp_path, 1, **grid)
    return tmp_path


def said(folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(InvalidScenario) as caught:
        prepare(load(folder, overrides=overrides))
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_homes_are_mapped_to_nodes_or_named_all_at_once(tmp_path: Path) -> None:
    homes = '[grid.homes]\n"home-2" = "neer"\n"hom-1" = "near"\n'
    folder = folder_of(tmp_path, homes, homes={"home-2": "near", "home-9": "fra"})
    with pytest.raises(InvalidScenario) as caught:
        load(folder, overrides=["homes.strategies.truthful=1.5", "market.rounds=2"])
    found = [str(problem) for problem in with_later_faults(caught.value).problems]
    text = "\n".join(found)
    for sentence in (
        "grid.json: homes.home-9: the data have no home 'home-9'; did you mean",
        "grid.json: homes.home-9: 'fra' is not a node of the grid; did you mean 'far'?",
        "grid.homes.home-2: 'neer' is not a node of the grid; did you mean 'near'?",
        "grid.homes.hom-1: the data have no home 'hom-1'; did you mean 'home-1'?",
        "grid: homes 'home-1', 'home-3' mapped to no node; write grid.homes.home-1",
    ):
        assert sentence in text
    assert "nodal_price clears an interval once, and market.rounds is 2" in text
    assert "homes.strategies.truthful" in text


def test_the_table_of_the_scenario_is_over_the_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, '[grid.homes]\nhome-3 = "near"\n')
    grid = prepare(load(folder)).grid
    assert grid is not None
    assert grid.node_of_home.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "grid.json: line 1, column 2: this is not JSON"),
        ("[1]", "grid.json: grid: must be an object"),
        ('{"nodes": ["a"], "nodes": ["b"]}', "grid.json: nodes: this key is given twice; keep one"),
        ('{"nodes": ["near"], "lines": [], "knid": "dc"}', "grid.json: grid: unknown key 'knid'"),
    ],
)
def test_a_file_that_is_no_grid_says_where(tmp_path: Path, text: str, sentence: str) -> None:
    folder = folder_of(tmp_path)
    (folder / "grid.json").write_text(text, encoding="utf-8")
    assert any(sentence in one for one in said(folder)), said(folder)


def test_what_is_wrong_with_lines_and_homes_is_said_at_once(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "from": "station", "to": "nowhere", "x": 1},
        {"id": "b", "from": "near", "to": "far"},
    ]
    text = "\n".join(said(folder_of(tmp_path, lines=lines, homes={"home-1": "naer"})))
    assert "grid.json: grid.lines[0].to: 'nowhere' is not a node of the grid" in text
    assert "grid.json: grid.lines[1]: 'x' is missing" in text
    assert "grid.json: homes.home-1: 'naer' is not a node of the grid; did you mean 'near'?" in text
    assert "homes 'home-2', 'home-3' mapped to no node" in text


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "market.rounds=2",
            "nodal_price clears an interval once, and market.rounds is 2; remove market.rounds",
        ),
        ("tariff.feed_in_per_kwh=0.34", "which is not below it in 48 of 48 intervals; lower it"),
        ("grid.file=no.json", "no file or folder 'no.json'"),
        ("grid.rent=nobody", "grid.rent"),
        ("grid.fil=street", "grid.fil"),
    ],
)
def test_what_a_nodal_market_cannot_use_is_refused(tmp_path: Path, override: str, sentence: str) -> None:
    assert any(sentence in one for one in said(folder_of(tmp_path), override))


def test_a_nodal_market_needs_a_grid_and_a_single_retailer(tmp_path: Path) -> None:
    folder = write_street(tmp_path, more='mechanism = "nodal_price"\n')
    found = said(folder)
    assert len(found) == 1
    assert (
        "market.mechanism: nodal_price needs a grid, and the scenario has none; add a table [grid]"
        in found[0]
    )
    other = ["tariff.other.night={import_per_kwh=0.2, feed_in_per_kwh=0.1}", "homes.tariffs.night=0.5"]
    folder = folder_of(tmp_path / "other")
    assert any("sells and buys outside at the prices of one retailer" in one for one in said(folder, *other))


def test_a_table_without_a_grid_says_what_to_give(tmp_path: Path) -> None:
    found = said(write_street(tmp_path, more="\n[grid]\n"))
    assert any('grid: names no grid; give file = "grid.json" or sample = "street"' in one for one in found)
    both = said(folder_of(tmp_path / "both", 'sample = "street"\n'))
    assert any("grid.file: excludes sample, which is given too" in one for one in both), both


def test_another_mechanism_of_a_comparison_is_held_to_it_too(tmp_path: Path) -> None:
    folder = write_street(tmp_path)
    grid_file(folder, 1)
    with (folder / "scenario.toml").open("a") as file:
        file.write('\n[grid]\nfile = "grid.json"\n')
    setup = prepare(load(folder, overrides=["tariff.feed_in_per_kwh=0.34"]))
    nodal = next(c for c in read_choices(["nodal_price"]) if c.label == "nodal_price")
    with pytest.raises(InvalidScenario, match="feed-in price"):
        under(setup, nodal.of(setup.scenario, 1))


def test_a_grid_that_reactive_loads_break_is_infeasible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, reactive_load={"far": 100})
    with pytest.raises((MarketError, OptimizerError), match="without any trade node 'far'"):
        prepare(load(folder))
    refused(call(capsys, "run", folder), 4, "lower the reactive load")
    # Another mechanism runs, and reports it.
    setup = prepare(changed(load(folder), ["market.mechanism=uniform_price"]))
    assert setup.grid is not None


def test_a_grid_that_changes_after_the_run_is_found(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    scenario = load(folder)
    resolved, digest = scenario.resolved(), scenario.digest()
    assert resolved["grid"]["file_sha256"]
    assert from_resolved(resolved, folder).digest() == digest
    grid_file(folder, 2)
    assert load(folder).digest() != digest
    with pytest.raises(Exception, match=r"grid\.json: has changed since the run"):
        from_resolved(resolved, folder)


def test_a_scenario_without_a_grid_has_the_digest_it_had(tmp_path: Path) -> None:
    assert "grid" not in load(write_street(tmp_path)).resolved()
    given = json.loads(json.dumps(load(folder_of(tmp_path / "grid")).resolved()["grid"]))
    assert set(given) == {"file", "rent", "file_sha256"}


def test_a_run_has_no_losses(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "from": "station", "to": "near", "x": 1, "loss": 0.02},
        {"id": "b", "from": "near", "to": "far", "x": 1},
    ]
    assert said(folder_of(tmp_path, lines=lines, kind="dc")) == [
        "grid.json: lines: lose energy, and a run has no losses; remove 'loss', or clear cases with losses by"
        " `wattswap clear`"
    ]
