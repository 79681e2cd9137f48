"""Bad cases in files and on the command line of `wattswap clear`: exit codes, one object, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from market.errors import UnknownName
from tests.kits.clear_cases import (
    BOOK,
    GAME,
    Case,
    rules,
)
from tests.kits.refusal_kit import KINDS, label
from wattswap.cases.contract import clear_case, clear_file
from wattswap.cases.cooperative import METHODS
from wattswap.cli import main
from wattswap.inputs.no_run import OF_AGENTS


def cleared(path: Path, text: str, name: str) -> list[Case]:
    path.write_text(text, encoding="utf-8")
    return list(clear_file(path, name))


@pytest.mark.parametrize(("name", "case"), KINDS, ids=label)
def test_keys_given_twice_are_refused_together_with_all_else(tmp_path: Path, name: str, case: Case) -> None:
    key, text = next(iter(case)), json.dumps({**case, "bogus": 1})
    twice = f'{{"{key}": {json.dumps(case[key])}, "params": {{"zz": 1, "zz": 2}}, {text[1:]}'
    (result,) = cleared(tmp_path / "case.json", twice, name)
    assert result["error"]["code"] == 3
    for part in (f"{key}: this key is given twice", "zz: this key is given twice", "unknown key 'bogus'"):
        assert part in result["error"]["message"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out, out.err


@pytest.mark.parametrize(("name", "case"), KINDS, ids=label)
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_a_bad_case_ends_with_3_prints_its_error_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, case: Case, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps({**case, "bogus": 1}), encoding="utf-8")
    code, out, err = run(capsys, "clear", "-m", name, str(path), *flags)
    assert code == 3
    if flags:
        error = json.loads(out)["error"]
        assert error["code"] == 3
        assert "unknown key 'bogus'" in error["message"]
        assert err == ""
    else:
        assert err.startswith("Error: case.json: case: unknown key 'bogus'")
        assert out == ""
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == [path]


def test_the_exit_code_of_many_cases_is_that_of_the_first_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infeasible = {**GAME, "value": {**GAME["value"], "a,b": 1}}
    bad = {**GAME, "value": {}}
    for lines, first in (((GAME, infeasible, bad), 4), ((GAME, bad, infeasible), 3), ((GAME, GAME), 0)):
        path = tmp_path / "cases.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        code, out, err = run(capsys, "clear", "-m", "nucleolus", str(path), "--json")
        results = [json.loads(line) for line in out.splitlines()]
        assert code == first
        assert [result.get("error", {}).get("code", 0) for result in results] == [
            {id(GAME): 0, id(infeasible): 4, id(bad): 3}[id(line)] for line in lines
        ]
        assert all(set(result["error"]) == {"code", "message"} for result in results if "error" in result)
        assert err == ""


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("uniform_prise", "uniform_price"),
        ("mcaffee", "mcafee"),
        ("shaply", "shapley"),
        ("VCG", "vcg"),
        ("", ""),
    ],
)
def test_an_unknown_mechanism_gets_the_nearest_name_and_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str
) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(BOOK), encoding="utf-8")
    code, out, err = run(capsys, "clear", "-m", wrong, str(path))
    assert code == 2
    assert not right or f"Did you mean '{right}'?" in err
    assert all(name in err for name in (*rules(), *METHODS, *OF_AGENTS))
    assert "Traceback" not in out + err
    with pytest.raises(UnknownName):
        clear_case(BOOK, wrong)


@pytest.mark.parametrize(
    "arguments",
    [(), ("-m",), ("-m", "vcg"), ("-m", "vcg", "a.json", "b.json"), ("-m", "vcg", "a.json", "--jsn")],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, "clear", *arguments)
    assert code == 2
    assert "Traceback" not in out + err
