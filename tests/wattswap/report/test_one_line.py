"""One-line diagrams: every line and node once, widths by loading, colours by price, and names that do not overlap."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.kits.grid_kit import grid_of, random_grid
from tests.kits.network_kit import OPENDSS, PANDAPOWER, saved, street, with_networks
from tests.kits.run_kit import call, refused
from wattswap.errors import InvalidData
from wattswap.report.one_line import Drawing, one_line

Capture = pytest.CaptureFixture[str]
SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[3]


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def titled(root: ElementTree.Element, kind: str) -> dict[str, ElementTree.Element]:
    """Elements of a kind that say something when pointed at, by the name they begin with."""
    found = {}
    for element in root.iter(f"{SVG}{kind}"):
        title = element.find(f"{SVG}title")
        if title is not None:
            found[str(title.text).split(",")[0]] = element
    return found


def test_lines_have_widths_by_loading_and_nodes_colours_by_price() -> None:
    grid = grid_of([(0, 1), (1, 2), (1, 3), (3, 4)], [4_000, 4_000, -1, 0], "lindistflow", r=[0.001] * 4)
    drawing = Drawing(
        "a <street> & more",
        np.array([4.0, -3.0, 1.0, 0.0]),
        np.array([1.0, 0.75, np.nan, 0.0]),
        np.array([1, 0.98, 0.97, 0.975, 0.975]),
        [0.1, 0.2, 0.3, None, 0.1],
        "EUR",
        {"anna": "n2", "ben": "n2"},
        [0],
    )
    root = parsed(one_line(grid, drawing))
    lines, nodes = titled(root, "path"), titled(root, "circle")
    assert {name: line.get("stroke-width") for name, line in lines.items()} == {
        "l0": "5.5",
        "l1": "3",
        "l2": "2",
        "l3": "2",
    }
    assert [lines[name].get("stroke-dasharray") for name in ("l1", "l2", "l3")] == [None, "7 3", "2 4"]
    fills = {name: node.get("fill") for name, node in nodes.items()}
    assert fills["n0"] == fills["n4"] != fills["n1"] != fills["n2"]
    assert fills["n3"] == "#ffffff"
    assert str(nodes["n2"].findtext(f"{SVG}title")) == "n2, 0.3000 EUR/kWh, 0.970 per unit, homes: 2"
    assert str(lines["l1"].findtext(f"{SVG}title")) == "l1, 3.0 kW, limit 4.0 kW, 75%"
    # Two circles of a transformer beside five nodes.
    assert len(list(root.iter(f"{SVG}circle"))) == 7
    assert root.findtext(f"{SVG}title") == "a <street> & more"


def test_a_grid_without_a_state_is_its_lines_alone() -> None:
    text = one_line(grid_of([(0, 1)], [1_000], "lindistflow"), Drawing("alone"))
    assert "by loading" not in text
    assert "by price" not in text
    assert "stroke-dasharray" not in text
    assert one_line(grid_of([(0, 1)], [1_000], "dc"), Drawing("alone")) == text


@pytest.mark.parametrize("seed", range(12))
def test_names_and_figures_do_not_overlap_and_stay_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = random_grid(rng, "voltage", most_nodes=40)
    n = len(grid.nodes)
    drawing = Drawing("random", np.ones(n - 1), np.ones(n - 1), np.ones(n), rng.random(n).tolist(), "EUR")
    root = parsed(one_line(grid, drawing))
    width, height = (float(one) for one in str(root.get("viewBox")).split()[2:])
    boxes = []
    for text in root.iter(f"{SVG}text"):
        size = float(text.get("font-size", 13))
        wide, x, y = 0.52 * size * len(str(text.text)), float(text.get("x", 0)), float(text.get("y", 0))
        left = x - wide / 2 if text.get("text-anchor") == "middle" else x
        boxes.append((left, left + wide, y - 0.8 * size, y))
        assert left >= 0
        assert left + wide <= width
        assert 0 < y <= height
    for i, (left, right, top, bottom) in enumerate(boxes):
        for other_left, other_right, other_top, other_bottom in boxes[:i]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart, (boxes[i], (other_left, other_right, other_top, other_bottom))


def test_a_mesh_has_no_one_line_diagram() -> None:
    with pytest.raises(InvalidData, match="this one has loops; open a line"):
        one_line(grid_of([(0, 1), (1, 2), (0, 2)]), Drawing("mesh"))


def test_the_picture_of_the_page_is_what_its_case_gives(tmp_path: Path, capsys: Capture) -> None:
    page = (ROOT / "docs" / "reference" / "grid-files.md").read_text(encoding="utf-8")
    ((case),) = re.findall(r"```json case.json\n(.*?)```", page, re.S)
    (tmp_path / "case.json").write_text(case, encoding="utf-8")
    out = tmp_path / "one-line.svg"
    done = call(capsys, "grid", "draw", tmp_path / "case.json", "--currency", "EUR", "--out", out)
    assert (done.code, done.out) == (0, f"{out}\n")
    assert out.read_text(encoding="utf-8") == (ROOT / "docs" / "img" / "one-line.svg").read_text(
        encoding="utf-8"
    )


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, capsys: Capture) -> None:
    network = saved(tmp_path, street())
    out = tmp_path / "grid.svg"
    assert call(capsys, "grid", "draw", network, "--out", out).code == 0
    refused(call(capsys, "grid", "draw", network, "--out", out), 3, "exists already")
    refused(
        call(capsys, "grid", "draw", network, "--out", tmp_path / "grid.png"),
        2,
        "is no SVG file; name it FILE.svg",
    )
    grid = tmp_path / "grid.json"
    assert call(capsys, "grid", "import", network, "--out", grid).code == 0
    refused(call(capsys, "grid", "draw", grid, "--ac", "--out", tmp_path / "a.svg"), 2, "has no loads")
    mesh = json.loads(grid.read_text(encoding="utf-8"))
    mesh = {
        "kind": "dc",
        "nodes": mesh["nodes"],
        "lines": [*mesh["lines"], {"id": "tie", "from": "lv", "to": "b"}],
    }
    grid.write_text(json.dumps(mesh), encoding="utf-8")
    refused(call(capsys, "grid", "draw", grid, "--out", tmp_path / "a.svg"), 3, "this one has loops")


@with_networks
@pytest.mark.parametrize("path", [PANDAPOWER / "create_cigre_network_lv.json", OPENDSS / "LVTestCase"])
def test_published_networks_are_drawn_whole(path: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "grid.svg"
    assert call(capsys, "grid", "draw", path, "--out", out).code == 0
    root = parsed(out.read_text(encoding="utf-8"))
    assert len(titled(root, "path")) == {"LVTestCase": 906}.get(path.name, 40)
    assert len(titled(root, "circle")) == {"LVTestCase": 55}.get(path.name, 41)
