"""`wattswap grid check`: facts on a screen of 80 letters, every problem at once, and what is odd as a warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kits.network_kit import OPENDSS, saved, street, with_networks
from tests.kits.run_kit import call, one_object, refused

Capture = pytest.CaptureFixture[str]


def line(name: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "from": start, "to": end, "r": 0.01, "x": 0.005, "limit_kw": 50, **more}


def grid(**more: Any) -> dict[str, Any]:
    return {
        "kind": "lindistflow",
        "base_kva": 100,
        "nodes": ["a", "b", "c"],
        "lines": [line("ab", "a", "b"), line("bc", "b", "c")],
        "root": "a",
        **more,
    }


def written(folder: Path, value: Any) -> Path:
    path = folder / "grid.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_the_facts_of_a_network_file_and_of_its_import_are_the_same(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    network, out = saved(tmp_path, street()), tmp_path / "grid.json"
    assert call(capsys, "grid", "import", network, "--out", out).code == 0
    shown = [call(capsys, "grid", "check", path) for path in (network, out)]
    assert [one.code for one in shown] == [0, 0]
    assert shown[0].out == shown[1].out
    lines = shown[0].out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "farthest node  3 lines from the root, 200 m of 200 m" in lines
    assert "weakest line   c1, 69.3 kW" in lines
    assert "transformers   t, 400.0 kW" in lines
    assert "limits         3 of 3 lines have one" in lines


def test_json_has_the_same_facts_and_a_case_is_a_grid_too(tmp_path: Path, capsys: Capture) -> None:
    given = grid(
        homes={"anna": "b"}, lines=[line("ab", "a", "b", length_m=20), line("cb", "c", "b", limit_kw=None)]
    )
    found = one_object(
        call(capsys, "grid", "check", written(tmp_path, {"orders": [], "grid": given}), "--json")
    )
    assert found["weakest_line"] == {"id": "ab", "limit_kw": 50}
    assert (found["depth_lines"], found["depth_m"], found["homes"]) == (2, 20, 1)
    assert (found["voltage_bounds"], found["warnings"], found["is_tree"]) == ([0.9, 1.1], [], True)


def test_a_mesh_has_no_depth(tmp_path: Path, capsys: Capture) -> None:
    given = grid(kind="dc", lines=[*grid()["lines"], line("ca", "c", "a")])
    shown = call(capsys, "grid", "check", written(tmp_path, given))
    assert shown.code == 0
    assert "unknown in a mesh" in shown.out
    assert "grid           dc, meshed, root a" in shown.out


def test_everything_that_is_wrong_is_listed_at_once(tmp_path: Path, capsys: Capture) -> None:
    wrong = grid(
        lines=[
            line("ab", "a", "b", r=-0.1, length_m=-1),
            line("ab", "b", "d", x=-2),
            line("bc", "b", "b", limit_kw=-1, transformer="yes"),
        ],
        root="e",
        base_kva=-5,
        homes={"anna": "f", "ben": "b"},
        vmin=207,
        vmax=253,
    )
    outcome = call(capsys, "grid", "check", written(tmp_path, wrong))
    refused(
        outcome,
        3,
        "grid.lines[0].r: is -0.1; give at least 0",
        "grid.lines[0].length_m: is -1; give at least 0",
        "grid.lines[1].to: 'd' is not a node of the grid",
        "grid.lines[1].x: is -2; give at least 0",
        "grid.lines[2].limit_kw: is -1",
        "grid.lines[2].transformer: must be true or false, not 'yes'",
        "grid.root: 'e' is not a node of the grid",
        "grid.base_kva: is -5; give a power above 0",
        "grid.homes.anna: 'f' is not a node of the grid",
        "grid: line 'ab' is named twice",
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"lines": [line("ab", "a", "b")]}, "no line connects 'c' with the root"),
        (
            {"lines": [*grid()["lines"], line("ca", "c", "a")]},
            "form a loop, which 'ca' closes; take a line out",
        ),
        ({"vmin": 207, "vmax": 253}, "vmin and vmax look like volts; they are squared and per unit"),
        ({"lines": [line("ab", "a", "b", x=0), line("bc", "b", "c")]}, "line 'ab' has no impedance"),
        (
            {"lines": [line("ab", "a", "b", r=0.1, limit_kw=1_100), line("bc", "b", "c")]},
            "'ab' cannot carry the limit: at 1100 kW, r 0.1 on the base of 100 kVA takes 110% of the voltage",
        ),
        ({"lines": [], "nodes": []}, "holds no grid"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path: Path, more: Any, said: str, capsys: Capture) -> None:
    refused(call(capsys, "grid", "check", written(tmp_path, grid(**more))), 3, said)


def test_ohms_without_a_base_are_recognised(tmp_path: Path, capsys: Capture) -> None:
    given = grid(lines=[line("ab", "a", "b", r=0.2, x=0.1), line("bc", "b", "c")])
    del given["base_kva"]
    outcome = call(capsys, "grid", "check", written(tmp_path, given))
    refused(
        outcome,
        3,
        "at 50 kW, r 0.2 on a base of 1 kVA takes 1000% of the voltage of 'ab'",
        "base_kva is missing",
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"root": None}, "no 'root' is given: the outside is connected at the first node, 'a'"),
        (
            {"lines": [line("ab", "a", "b"), line("bc", "b", "c", limit_kw=0)]},
            "'bc' may carry 0 kW, which is an open",
        ),
        (
            {"lines": [line("ab", "a", "b", r=20, limit_kw=None), line("bc", "b", "c")]},
            "1 kW takes 20% of the voltage in 'ab' (1 such lines): r and x may be ohm",
        ),
        ({"base_kva": 1e12}, "the largest impedance is 5.0e-15 on 1 kVA: base_kva may be too large"),
        (
            {"reactive_load": {"c": 2_000}},
            "without any trade the reactive loads bring 'b', 'c' out of bounds (0.600 squared at 'c')",
        ),
        ({"kind": "dc", "lines": [line(n, *n, limit_kw=None) for n in ("ab", "bc")]}, "no line has a limit"),
    ],
)
def test_what_is_odd_is_a_warning(
    tmp_path: Path, more: Any, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    given = {key: value for key, value in grid(**more).items() if value is not None}
    shown = call(capsys, "grid", "check", written(tmp_path, given))
    assert shown.code == 0, shown.err
    assert f"warning: {said}" in shown.out


def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path, {"orders": []})
    refused(call(capsys, "grid", "check", path), 3, "is in no format of networks")
    path.write_text('{"nodes": ', encoding="utf-8")
    refused(call(capsys, "grid", "check", path), 3, "grid.json: line 1, column 11: this is not JSON")
    path.write_text("[" * 100_000, encoding="utf-8")
    refused(call(capsys, "grid", "check", path), 3, "grid.json: the JSON is nested too deeply to be a grid")
    path.write_bytes(bytes(range(256)))
    refused(call(capsys, "grid", "check", path), 3, "grid.json: is not UTF-8 text", "save it as UTF-8")
    refused(call(capsys, "grid", "check", tmp_path / "none.json"), 3, "no file or folder")
    refused(
        call(capsys, "grid", "check", written(tmp_path, {"nodes": 3, "lines": "x"})),
        3,
        "grid.nodes: must be a list",
    )


@with_networks
def test_the_european_feeder_is_checked_in_one_go(capsys: Capture) -> None:
    found = one_object(call(capsys, "grid", "check", OPENDSS / "LVTestCase", "--json"))
    assert (found["nodes"], found["lines"], found["homes"]) == (907, 906, 55)
    assert found["transformers"] == [{"id": "TR1", "limit_kw": 800.0}]
    assert found["warnings"] == []


def test_a_unit_that_is_wrong_by_far_gives_a_sentence_that_can_be_read(
    tmp_path: Path, capsys: Capture
) -> None:
    path = written(tmp_path, grid(base_kva=1e-300))
    found = call(capsys, "grid", "check", path)
    refused(found, 3, "takes more than 1000000% of the voltage")
    assert len(found.err) < 300


def test_limits_of_transformers_alone_are_named_as_such(tmp_path: Path, capsys: Capture) -> None:
    lines = [
        line("t1", "a", "b", transformer=True),
        line("t2", "b", "c", transformer=True),
        line("cd", "c", "d", limit_kw=None),
    ]
    given = grid(nodes=["a", "b", "c", "d"], lines=lines)
    found = call(capsys, "grid", "check", written(tmp_path, given)).out.splitlines()
    assert "limits         2 of 3 lines have one" in found
    assert "weakest line   no limit but those of transformers" in found
    assert "transformers   t1, 50.0 kW; t2, 50.0 kW" in found


def test_a_key_that_is_given_twice_is_refused_and_not_read_once(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(grid())[:-1] + ', "lines": []}', encoding="utf-8")
    refused(call(capsys, "grid", "check", path), 3, "grid.json: lines: this key is given twice; keep one")
