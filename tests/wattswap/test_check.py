"""`wattswap check mechanism`: what it prints, its exit codes, and that its cases can be cleared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from market import mechanism as mechanisms
from wattswap.cli import main

HEAD = """
from dataclasses import replace
import numpy as np
from market.auction import clear_exact
from market.mechanism import Mechanism, Promises, register
"""
BREAKS_BUDGET = (
    HEAD
    + """
def clear(book, rules):
    clearing = replace(clear_exact(book, rules), certificate=None)
    charge = (clearing.accepted_wh > 0).astype(np.int64) * -1_000_000_000
    return replace(clearing, charge_nano=charge, operator_surplus_nano=int(charge.sum()))

register(Mechanism("gives_one", clear, Promises(source="a test")))
"""
)
HASHES = (
    HEAD
    + """
def clear(book, rules):
    return replace(clear_exact(book, replace(rules, k_ppm=hash("k") % 1_000_000)), certificate=None)

register(Mechanism("hashes", clear, Promises(source="a test")))
"""
)
KEEPS_ALL = (
    HEAD
    + """
def clear(book, rules):
    return clear_exact(book, rules)

register(Mechanism("keeps_all", clear, Promises(source="a test", uniform_price=True, efficient=True)))
register(Mechanism("on_a_grid", clear, Promises(source="a test", needs_grid=True)))
"""
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    from wattswap.plugins import load_all

    load_all()
    monkeypatch.setattr(mechanisms, "_REGISTRY", dict(mechanisms._REGISTRY))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out, out.err


def write(tmp_path: Path, name: str, text: str) -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def test_a_rule_that_keeps_its_promises_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "mechanism", "uniform_price", "--books", "20")
    assert code == 0
    assert out.startswith("uniform_price: every promise holds. 20 random books, seed 0.\n")
    assert "\nok      efficient               holds on 20 books" in out
    assert "\n-       truthful                not promised; holds on " in out
    assert "BROKEN" not in out


def test_a_broken_promise_ends_with_6_and_a_case_that_clear_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = write(tmp_path, "gives_one_a.py", BREAKS_BUDGET)
    code, out, _ = run(capsys, "check", "mechanism", "gives_one", "--books", "40", "--module", module)
    assert code == 6
    assert "BROKEN  budget_balance" in out
    assert "\nbudget_balance: the operator adds 2.\n" in out
    case = next(line for line in out.splitlines() if line.startswith("{"))
    assert len(json.loads(case)["orders"]) == 2
    code, out, _ = run(capsys, "clear", "-m", "gives_one", write(tmp_path, "case.json", case), "--json")
    assert code == 0
    assert json.loads(out)["operator_surplus"] == -2.0


def test_json_is_one_object_with_every_property(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = write(tmp_path, "gives_one_b.py", BREAKS_BUDGET)
    code, out, _ = run(
        capsys, "check", "mechanism", "gives_one", "--books", "40", "--module", module, "--json"
    )
    result: dict[str, Any] = json.loads(out)
    assert code == 6
    assert not result["holds"]
    broken = [one for one in result["properties"] if one["promised"] and one["broken"]]
    assert [one["name"] for one in broken] == ["budget_balance"]
    assert broken[0]["fault"] == "the operator adds 2"
    assert len(broken[0]["case"]["orders"]) == 2
    assert (result["books"], result["seed"], result["refused_books"]) == (40, 0, 0)


def test_a_rule_of_a_file_is_checked_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = write(tmp_path, "keeps_all_a.py", KEEPS_ALL)
    code, out, _ = run(capsys, "check", "mechanism", "keeps_all", "--books", "20", "--module", module)
    assert code == 0
    assert "ok      efficient" in out


def test_a_rule_that_depends_on_hashes_is_found_out_by_another_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = write(tmp_path, "hashes_a.py", HASHES)
    code, out, _ = run(capsys, "check", "mechanism", "hashes", "--books", "60", "--module", module, "--json")
    broken = [one for one in json.loads(out)["properties"] if one["promised"] and one["broken"]]
    assert code == 6
    assert [one["name"] for one in broken] == ["same_elsewhere"]
    assert "another process gives another clearing" in broken[0]["fault"]
    assert len(broken[0]["case"]["orders"]) >= 2


def test_what_another_process_cannot_import_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = "import pathlib\npathlib.Path(__file__).unlink()\n"
    module = write(tmp_path, "keeps_all_c.py", once + KEEPS_ALL)
    code, _, err = run(capsys, "check", "mechanism", "keeps_all", "--books", "5", "--module", module)
    assert code == 6
    assert "keeps_all: cannot be cleared in another process: " in err
    assert "is no Python file" in err


def test_another_seed_draws_other_books(capsys: pytest.CaptureFixture[str]) -> None:
    one, again, other = (
        run(capsys, "check", "mechanism", "retailer_only", "--books", "60", "--seed", seed, "--json")[1]
        for seed in ("0", "0", "1")
    )
    assert one == again
    assert json.loads(one)["properties"] != json.loads(other)["properties"]


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", "mechanism", "uniform_prize")
    assert code == 3
    assert "Did you mean 'uniform_price'?" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["on_a_grid", "--module", "MODULE"], 2, "uses a grid"),
        (["uniform_price", "--module", "nowhere.py"], 3, "is no Python file"),
        (["uniform_price", "--module", "BROKEN"], 3, "cannot be imported: NameError: name 'nothing'"),
        (["uniform_price", "--books", "0"], 2, "--books"),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_sentence(
    arguments: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "MODULE": write(tmp_path, "keeps_all_b.py", KEEPS_ALL),
        "BROKEN": write(tmp_path, "broken.py", "nothing"),
    }
    found, _, err = run(capsys, "check", "mechanism", *(files.get(word, word) for word in arguments))
    assert found == code
    assert says in err
