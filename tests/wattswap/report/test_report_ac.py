"""The section on AC in a report: the facts of the check, and the one-line diagram of one interval."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import wattswap as ws
from tests.kits.run_kit import call, write_street
from tests.wattswap.runs.test_grid_runs import OVER, grid_file, street
from wattswap.report.of_run import story_of_run
from wattswap.report.sections.ac import ac, drawn_interval
from wattswap.report.story import Story
from wattswap.runs.ac import AcOfRun
from wattswap.runs.ac_facts import facts_of, table_of
from wattswap.runs.folder import RunFolder


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = street(tmp_path_factory.mktemp("report"), 0.1)
    return story_of_run(RunFolder(ws.run(ws.load(folder, overrides=OVER), out=folder / "runs").path))


def body_of(story: Story) -> str:
    section = ac(story)
    assert section is not None
    return section.body


def test_the_table_has_the_facts_of_both_flows(story: Story) -> None:
    assert isinstance(story.ac, AcOfRun)
    body, table = body_of(story), table_of(facts_of(story.ac))
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', body)
    found = {
        head.replace("&#x27;", "'"): re.findall(r'<td class="number">(.*?)</td>', cells)
        for head, cells in rows
    }
    assert found == {str(head): row.tolist() for head, row in table.iterrows()}
    error = facts_of(story.ac)["cleared"]["largest_voltage_error_binding"]
    assert f"the market&#x27;s voltage is at most {100 * error:.2f} % off" in body


def test_the_diagram_is_of_the_interval_with_prices_furthest_apart(story: Story) -> None:
    check = story.ac
    assert isinstance(check, AcOfRun)
    assert check.price is not None
    at = drawn_interval(check)
    spread = check.price.max(axis=1) - check.price.min(axis=1)
    assert spread[at] == np.nanmax(spread) > 0
    svg = re.search(r"<svg.*</svg>", body_of(story), re.S)
    assert svg is not None
    words = [
        one.text or "" for one in ElementTree.fromstring(svg.group(0)).iter() if one.tag.endswith("title")
    ]
    cable = next(text for text in words if text.startswith("cable"))
    assert cable.endswith(f", limit 0.1 kW, {check.metered.ac_loading[at, 1, 0]:.0%}")
    far = next(text for text in words if text.startswith("far"))
    assert f"{check.price[at, 2]:.4f} EUR/kWh, {check.metered.ac_voltage[at, 2, 0]:.3f} per unit" in far
    assert "lines, by loading:" in svg.group(0)
    assert "nodes, by price:" in svg.group(0)
    assert f"The grid at {check.starts[at].tz_convert(story.zone):%Y-%m-%d %H:%M}" in body_of(story)


def test_without_prices_the_interval_with_the_fullest_line_is_drawn(story: Story) -> None:
    assert isinstance(story.ac, AcOfRun)
    bare = replace(story, ac=replace(story.ac, price=None))
    assert isinstance(bare.ac, AcOfRun)
    assert drawn_interval(bare.ac) == int(np.nanargmax(story.ac.metered.ac_loading[:, 1, 0]))
    assert "nodes, by price:" not in body_of(bare)


def test_a_report_without_a_check_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = street(tmp_path, 0.1)
    run = ws.run(ws.load(folder, overrides=OVER), out=folder / "runs")
    grid_file(folder, 0.2)
    changed = story_of_run(RunFolder(run.path))
    assert "There is no AC check: " in body_of(changed)
    assert "is not the grid any more that the run was made with" in body_of(changed)
    assert call(capsys, "report", run.path, "--out", tmp_path / "it.html").code == 0
    assert "There is no AC check" in (tmp_path / "it.html").read_text(encoding="utf-8")


def test_a_run_without_a_grid_has_no_such_section(tmp_path: Path) -> None:
    run = ws.run(ws.load(write_street(tmp_path)), out=tmp_path / "runs")
    assert ac(story_of_run(RunFolder(run.path))) is None
