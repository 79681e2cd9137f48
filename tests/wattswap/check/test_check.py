"""`wattswap check mechanism`: what it prints, its exit codes, and that its cases can be cleared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kits.plugin_kit import own_registries
from tests.kits.run_kit import remember
from wattswap.cases.contract import clear_case
from wattswap.cli import main

HEAD = """
from dataclasses import replace
import numpy as np
from market.auctions.uniform import clear_exact
from market.mechanism import MECHANISMS, Mechanism, Promises
"""
BREAKS_BUDGET = (
    HEAD
    + """
def clear(book, rules):
    clearing = replace(clear_exact(book, rules), certificate=None)
    charge = (clearing.accepted_wh > 0).astype(np.int64) * -1_000_000_000
    return replace(clearing, charge_nano=charge, operator_surplus_nano=int(charge.sum()))

MECHANISMS.register(Mechanism("gives_one", clear, Promises(source="a test")))
"""
)
HASHES = (
    HEAD
    + """
def clear(book, rules):
    return replace(clear_exact(book, replace(rules, k_ppm=hash("k") % 1_000_000)), certificate=None)

MECHANISMS.register(Mechanism("hashes", clear, Promises(source="a test")))
"""
)
KEEPS_ALL = (
    HEAD
    + """
def clear(book, rules):
    return clear_exact(book, rules)

MECHANISMS.register(Mechanism("keeps_all", clear, Promises(source="a test", uniform_price=True, efficient=True)))
MECHANISMS.register(Mechanism("on_a_grid", clear, Promises(source="a test", needs_grid=True)))
"""
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with own_registries(monkeypatch):
        yield


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


def test_a_rule_that_does_not_look_at_its_grid_passes_a_limit_and_the_case_is_one_for_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = write(tmp_path, "on_a_grid.py", KEEPS_ALL)
    code, out, _ = run(capsys, "check", "mechanism", "on_a_grid", "--books", "40", "--module", module)
    assert code == 6
    assert "BROKEN  within_grid             broken on " in out
    assert "\nwithin_grid: the limit of line 'l" in out
    case = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert {"kind", "nodes", "lines", "root"} <= set(case["grid"])
    found = clear_case(case, "nodal_price")
    assert found["status"] in ("cleared", "no_trade")


def test_prices_by_node_are_held_to_limits_and_to_their_proof(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "mechanism", "nodal_price", "--books", "40")
    assert code == 0
    for name in ("within_grid", "certificate", "efficient", "budget_balance", "same_elsewhere"):
        assert f"\nok      {name:<23} holds on 40 books" in out


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
    assert "is not a Python file" in err


def test_another_seed_draws_other_books(capsys: pytest.CaptureFixture[str]) -> None:
    one, again, other = (
        run(capsys, "check", "mechanism", "retailer_only", "--books", "60", "--seed", seed, "--json")[1]
        for seed in ("0", "0", "1")
    )
    assert one == again
    assert json.loads(one)["properties"] != json.loads(other)["properties"]


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", "mechanism", "uniform_prize")
    assert code == 2
    assert "Did you mean 'uniform_price'?" in err


NEVER_CLEARS = (
    HEAD
    + """
from market.errors import InvalidRules

def crashes(book, rules):
    raise RuntimeError("never works")

def refuses(book, rules):
    raise InvalidRules("nothing suits me")

for rule in (crashes, refuses):
    MECHANISMS.register(Mechanism(rule.__name__, rule, Promises(source="a test", truthful=True, efficient=True)))
"""
)


@pytest.mark.parametrize(
    ("rule", "why", "late"),
    [
        ("crashes", "every book failed in `sound`", "the mechanism is not sound"),
        ("refuses", "every book was refused", "every book was refused"),
    ],
)
def test_what_was_looked_at_on_no_book_is_not_ok(
    rule: str, why: str, late: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = write(tmp_path, f"never_clears_{rule}.py", NEVER_CLEARS)
    code, out, _ = run(capsys, "check", "mechanism", rule, "--books", "20", "--module", module)
    assert code == 6
    assert "\nBROKEN  sound                   broken on 20 of 20 books" in out
    assert "\nok " not in out
    assert "holds on 0" not in out
    assert f"\n?       efficient               not checked: {why} " in out
    assert f"\n-       anonymous               not checked: {why} " in out
    assert f"\n?       truthful                not checked: {late} " in out
    assert f"\n?       same_elsewhere          not checked: {late} " in out
    assert re.match(rf"{rule}: 1 broken, \d+ not checked\. 20 random books", out)


@pytest.fixture
def cleared_elsewhere_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process is started once for a check that is printed in several forms."""
    asked = "wattswap.check.other_process.same_elsewhere"
    remember(monkeypatch, asked, {}, lambda choice, *how: (choice.label, *map(str, how)))


@pytest.mark.usefixtures("cleared_elsewhere_once")
def test_a_few_books_say_how_many_were_tried_for_truthfulness(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "check", "mechanism", "uniform_price", "--books", "9")
    assert "\n-       truthful                not checked: too few books " in out
    _, out, _ = run(capsys, "check", "mechanism", "uniform_price", "--books", "100", "--json")
    result = json.loads(out)
    truthful = next(one for one in result["properties"] if one["name"] == "truthful")
    assert (result["small_books"], result["beyond_promise"]) == (10, None)
    assert 0 < truthful["books"] <= 10
    _, out, _ = run(capsys, "check", "mechanism", "uniform_price", "--books", "100")
    assert re.search(
        rf"^Most that one participant gained by stating other limits: \S+;"
        rf" tried on {truthful['books']} of 10 small books$",
        out,
        re.MULTILINE,
    )


@pytest.mark.usefixtures("cleared_elsewhere_once")
def test_what_others_gain_beyond_the_promise_is_said_and_its_book_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "check", "mechanism", "mcafee", "--books", "200", "--json")
    result = json.loads(out)
    beyond = result["beyond_promise"]
    assert (code, result["largest_gain"], result["small_books"]) == (0, 0, 100)
    assert beyond["params"] == {"unit_kwh": 0.001}
    assert 0 < beyond["gained"] <= beyond["books"] <= 20
    # The case alone: state the other limit, and the participant has more by exactly the gain.
    who, gain, stated, order = re.fullmatch(
        r"participant (\w) gains (\S+) by stating (\S+) instead of \S+ for (\w+)", beyond["fault"]
    ).groups()  # type: ignore[union-attr]
    case = beyond["case"]
    assert case["params"]["unit_kwh"] == 0.001
    worth = {o["id"]: o["price_per_kwh"] * (1 if o["side"] == "buy" else -1) for o in case["orders"]}
    owner = {o["id"]: o["participant"] for o in case["orders"]}

    def utility(limit: float | None) -> float:
        orders = [
            o if o["id"] != order or limit is None else o | {"price_per_kwh": limit} for o in case["orders"]
        ]
        cleared = clear_case(case | {"orders": orders}, "mcafee")
        value = sum(o["accepted_kwh"] * worth[o["id"]] for o in cleared["orders"] if owner[o["id"]] == who)
        return value - sum(p["payment"] for p in cleared["participants"] if p["participant"] == who)

    assert utility(float(stated)) - utility(None) == pytest.approx(float(gain), abs=2e-5)
    assert float(gain) == pytest.approx(beyond["largest_gain"], rel=1e-5)
    assert (
        "\nBeyond the promise (several orders, orders of many units; unit_kwh 0.001, as in a run): gained on"
        in (run(capsys, "check", "mechanism", "mcafee", "--books", "200")[1])
    )


def test_given_parameters_hold_in_every_book_and_in_the_other_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        HEAD
        + """
from market.parameters import K, RATIONING, Parameter

PRICE = Parameter(name="price", field="price_micro_per_kwh", kind="price", default=None, summary="")

def clear(book, rules):
    assert (rules.k_ppm, rules.rationing, PRICE.of(rules)) == (300_000, "time", 120_000), rules
    return replace(clear_exact(book, rules), certificate=None)

MECHANISMS.register(Mechanism("told", clear, Promises(source="a test"), (K, RATIONING, PRICE)))
"""
    )
    module = write(tmp_path, "told.py", text)
    told = "told:k=0.3,rationing=time,price=0.12"
    code, out, _ = run(capsys, "check", "mechanism", told, "--books", "40", "--module", module)
    assert code == 0, out
    assert out.startswith(f"{told}: every promise holds. 40 random books")
    assert run(capsys, "check", "mechanism", "told:k=0.3", "--books", "40", "--module", module)[0] == 6


def test_a_counterexample_keeps_the_given_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = BREAKS_BUDGET.replace("gives_one", "gives_two").replace(
        'source="a test")', 'source="a test"), (K,)'
    )
    module = write(tmp_path, "gives_two.py", "from market.parameters import K\n" + text)
    _, out, _ = run(
        capsys, "check", "mechanism", "gives_two:k=0.3", "--books", "40", "--module", module, "--json"
    )
    broken = [one for one in json.loads(out)["properties"] if one["promised"] and one["broken"]]
    assert [one["case"]["params"] for one in broken] == [{"k": 0.3}]


def test_the_unit_of_the_promise_is_the_one_given(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "mechanism", "mcafee:unit_kwh=0.5", "--books", "100", "--json")
    result = json.loads(out)
    assert (code, result["largest_gain"], result["beyond_promise"]["params"]) == (0, 0, {})
    assert next(one for one in result["properties"] if one["name"] == "truthful")["books"] > 20


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["pay_as_bid:rationing=pro_rata"], 2, "rationing is a parameter of runs"),
        (["uniform_price", "--module", "nowhere.py"], 3, "is not a Python file"),
        (["uniform_price", "--module", "BROKEN"], 3, "cannot be imported: NameError: name 'nothing'"),
        (["uniform_price", "--books", "0"], 2, "--books"),
        (["mcafee:unit=0.5"], 2, "unknown key 'unit'"),
        (["uniform_price:k=2"], 2, "k: is 2"),
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
