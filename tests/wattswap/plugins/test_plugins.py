"""What other packages add: mechanisms by entry point and by decorator."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import wattswap as ws
from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.errors import BrokenPlugin, DuplicateName, UnknownName
from market.mechanism import MECHANISMS
from market.rules import MarketRules
from tests.kits.plugin_kit import install, own_registries, written
from tests.kits.run_kit import call, files_below, one_object, refused, start
from wattswap import plugins
from wattswap.inputs.collector import InvalidCase
from wattswap.results import Comparison, RunResult
from wattswap.runs.interrupt import Interrupt

PLUGIN = """
import wattswap as ws

@ws.mechanism("half_price", source="a test", budget_balance="strong")
def clear(book, rules):
    return ws.clear(book, "uniform_price", rules)
"""
OLD = """
from market.mechanism import MECHANISMS, Mechanism, Promises

MECHANISMS.register(Mechanism("half_price", None, Promises(source="a test")), contract=0)
"""
BOOK = [Order("b", 0, Side.BUY, 2_000, 300_000), Order("s", 1, Side.SELL, 1_000, 100_000)]


@pytest.fixture(autouse=True)
def forgotten_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with own_registries(monkeypatch):
        yield


def test_a_rule_in_ones_own_file_is_run_cleared_swept_and_proved(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "own_rule.py", PLUGIN.replace("half_price", "own_rule"))
    case = written(tmp_path, "case.json", json.dumps({"orders": []}))
    known = ["-m", "own_rule", "--module", module]
    assert one_object(call(capsys, "clear", case, *known, "--json"))["status"] == "no_trade"
    done = one_object(call(capsys, "run", street, *known, "--out", tmp_path / "runs", "--json", "-q"))
    assert call(capsys, "verify", done["run"], "--module", module, "-q").code == 0
    grid = ["--vary", "market.k=0,1", "--out", tmp_path / "swept"]
    swept = one_object(call(capsys, "sweep", street, *known, *grid, "--json", "-q"))
    for rows in swept["points"].values():
        assert rows["own_rule"]["welfare"] == rows["welfare_optimum"]["welfare"] > 0


def test_workers_and_a_later_process_know_a_rule_from_its_file_alone(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "own_file.py", PLUGIN.replace("half_price", "own_file"))
    known = ["--module", module]

    def ended(*arguments: object) -> tuple[int, str]:
        with start(*arguments, PYTHONPATH=os.pathsep.join(sys.path)) as process:
            _, errors = process.communicate(timeout=120)
        return process.returncode, errors

    options = ["-m", "own_file", "--jobs", 2, "--seeds", 2, "--set", "time.days=1"]
    options += ["--out", tmp_path / "compared", "-q"]
    assert ended("compare", street, *known, *options)[0] == 0
    (folder,) = (tmp_path / "compared").iterdir()
    rows = Comparison(folder).summary()
    assert rows.loc["own_file", "welfare"] == rows.loc["welfare_optimum", "welfare"] > 0
    about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert f"-m own_file --module {module}" in about["command"]
    sha256 = hashlib.sha256(module.read_bytes()).hexdigest()
    refused(call(capsys, "verify", folder), 3, f"Error: own_file.py: is needed, with SHA-256 {sha256}")
    assert ended("verify", folder, *known) == (
        0,
        "Verified: everything but the times was recomputed and holds.\n",
    )


def test_a_file_is_imported_once_in_a_process(tmp_path: Path) -> None:
    module = written(tmp_path, "once.py", PLUGIN.replace("half_price", "once"))
    plugins.import_file(module)
    first = MECHANISMS.get("once")
    plugins.import_file(module)
    assert MECHANISMS.get("once") is first
    by_name = written(tmp_path, "by_name.py", PLUGIN.replace("half_price", "by_name"))
    assert import_module("by_name").__file__ == str(by_name)
    plugins.import_file(by_name)


@pytest.mark.parametrize(
    ("name", "text", "phrase"),
    [
        ("no_file.py", None, "is not a Python file"),
        ("rule.txt", PLUGIN, "is not a Python file"),
        ("raises.py", PLUGIN + "\n1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
        ("leaves.py", "raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("broken.py", "def (", "cannot be imported: SyntaxError: invalid syntax"),
        ("silent.py", "x = 1", "registers nothing; register a plug-in in it"),
        (
            "old.py",
            OLD,
            "old.py: mechanism 'half_price' was written for version 0 of the contract, and this is version 1",
        ),
        (
            "taken.py",
            PLUGIN.replace("half_price", "mcafee"),
            "the mechanism 'mcafee', a name that is taken by market.mechanisms.mcafee; choose",
        ),
        ("statistics.py", PLUGIN, "has the name of another module, statistics; rename the file"),
        ("wattswap.py", PLUGIN, "has the name of another module, wattswap; rename the file"),
    ],
)
@pytest.mark.parametrize("command", ["run", "compare", "sweep", "clear", "resume", "verify"])
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    command: str,
    name: str,
    text: str | None,
    phrase: str,
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = tmp_path / name if text is None else written(tmp_path, name, text)
    more = {"sweep": ["--vary", "market.k=0,1"], "clear": ["-m", "half_price"]}.get(command, [])
    outcome = call(capsys, command, street, *more, "--module", module)
    refused(outcome, 3, str(module), phrase)
    assert outcome.err.count("\n") == 1
    with pytest.raises(UnknownName):
        MECHANISMS.get("half_price")


@pytest.mark.parametrize(
    "words",
    [
        "validate STREET",
        "live STREET",
        "node init STREET nodes",
        "node run nodes",
        "report RUN",
        "show RUN",
        "check mechanism uniform_price",
        "list mechanisms",
    ],
)
def test_every_other_command_imports_the_files_too(
    words: str, street: Path, finished: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"STREET": street, "RUN": finished.path, "nodes": tmp_path / "nodes"}
    command = [places.get(word, word) for word in words.split()]
    good = written(tmp_path, "good.py", PLUGIN)
    silent = written(tmp_path, "silent.py", "")
    outcome = call(capsys, *command, "--module", good, "--module", silent)
    refused(outcome, 3, f"{silent}: registers nothing")
    assert not (tmp_path / "nodes").exists()


def test_an_error_inside_a_file_of_plugins_is_its_own_and_no_bug_of_ours(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLUGIN.replace("return ws.clear", "return book.no_such_thing or ws.clear")
    module = written(tmp_path, "slip.py", text)
    words = ["-m", "half_price", "--module", module, "--out", tmp_path / "runs", "-q"]
    outcome = call(capsys, "run", street, *words)
    refused(outcome, 3, "fails in line 6 of slip", "AttributeError", "no_such_thing", "correct the plug-in")


def test_an_unexpected_error_inside_an_installed_package_is_its_own_and_no_bug_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of every check of plug-ins, as a function that replaces one of ours is."""
    text = PLUGIN + "\ndef fail(*_):\n    raise KeyError('\\x1b[31mred')\n"
    install(monkeypatch, tmp_path, "wattswap.mechanisms", text)
    assert "half_price" in MECHANISMS.all()
    monkeypatch.setattr("wattswap.cli.output.print_json", sys.modules["their_package"].fail)
    outcome = call(capsys, "list", "mechanisms", "--json")
    assert outcome.code == 3, outcome
    assert "line 9 of their_package: raises KeyError" in outcome.out
    assert "\x1b" not in outcome.out


def test_two_plugins_of_one_name_are_refused_with_both_origins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (written(tmp_path, name, PLUGIN) for name in ("first.py", "second.py"))
    outcome = call(capsys, "list", "mechanisms", "--module", first, "--module", second)
    refused(outcome, 3, f"{second}: registers the mechanism 'half_price', a name that is taken by first.py")


def test_the_file_of_a_plugin_is_committed_to_where_the_result_can_depend_on_it(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "half.py", PLUGIN)
    sha256 = hashlib.sha256(module.read_bytes()).hexdigest()

    def run(*more: object) -> RunResult:
        outcome = call(capsys, "run", street, "--out", tmp_path / "runs", "--json", "-q", *more)
        return RunResult(one_object(outcome)["run"])

    with own_registries(monkeypatch):
        plain, beside, used = (
            run(*more) for more in ((), ("--module", module), ("-m", "half_price", "--module", module))
        )
    assert "modules" not in plain.manifest
    assert used.manifest["modules"] == {"half.py": sha256}
    genesis = [(run.path / "genesis.bin").read_bytes() for run in (plain, beside, used)]
    assert genesis[0] == genesis[1] != genesis[2]
    before = files_below(used.path)
    needed = f"half.py: is needed, with SHA-256 {sha256}"
    refused(call(capsys, "verify", used.path, "-q"), 3, needed, "give it by --module half.py")
    with own_registries(monkeypatch):
        written(tmp_path, "half.py", PLUGIN + "# changed\n")
        outcome = call(capsys, "verify", used.path, "-q", "--module", module)
        refused(outcome, 3, "half.py: has SHA-256", f"the file that was used here has {sha256}")
    assert files_below(used.path) == before


def test_a_run_with_a_plugin_is_resumed_with_the_same_file_only(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "half.py", PLUGIN)
    known = ["-m", "half_price", "--module", module, "--out", tmp_path / "runs", "-q"]
    with own_registries(monkeypatch), monkeypatch.context() as patch:
        patch.setattr(Interrupt, "__init__", lambda self: setattr(self, "asked", True))
        assert call(capsys, "run", street, *known).code == 130
    (partial,) = (tmp_path / "runs").iterdir()
    refused(call(capsys, "resume", partial, "-q"), 3, "half.py: is needed, with SHA-256")
    assert call(capsys, "resume", partial, "--module", module, "-q").code == 0


def test_a_changed_file_is_imported_again_and_what_it_no_longer_registers_is_gone(tmp_path: Path) -> None:
    module = written(tmp_path, "changing.py", PLUGIN)
    first = plugins.import_file(module)
    written(tmp_path, "changing.py", PLUGIN.replace("half_price", "full_price"))
    assert plugins.import_file(module) != first
    assert {"half_price", "full_price"} & set(MECHANISMS.all()) == {"full_price"}


def test_a_list_says_what_a_truthful_rule_does_not_promise(capsys: pytest.CaptureFixture[str]) -> None:
    line = next(
        line for line in call(capsys, "list", "mechanisms").out.splitlines() if "bill_sharing" in line
    )
    assert "not individually rational, truthful" in line
    assert "limits are ignored" in line


def test_a_mechanism_of_another_package_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "half_price" not in call(capsys, "list", "mechanisms").out
    monkeypatch.setenv("COLUMNS", "1000")  # so that its parameters are on one line
    install(monkeypatch, tmp_path, "wattswap.mechanisms", PLUGIN)
    outcome = call(capsys, "list", "mechanisms")
    entry = re.search(r"^half_price .*\n( +.*\n)*", outcome.out, re.MULTILINE)
    assert entry
    words = entry[0].split()
    assert " ".join(words[:7]) == "half_price budget strong, individually rational. a test"
    assert words[-2:] == ["from", "their_package"]


def test_a_mechanism_of_another_package_runs_and_verifies(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, tmp_path, "wattswap.mechanisms", PLUGIN)
    outcome = call(capsys, "run", street, "-m", "half_price", "--out", tmp_path / "runs", "-q")
    assert outcome.code == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunResult(folder).manifest["mechanism"] == "half_price"
    assert call(capsys, "verify", folder, "-q").code == 0


def test_a_broken_plugin_is_named_and_stops_only_who_chooses_it(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, tmp_path, "wattswap.mechanisms", "raise ImportError('their fault')")
    outcome = call(capsys, "run", street, "--out", tmp_path / "runs", "-q")
    assert outcome.code == 0
    assert "warning: mechanism 'theirs' cannot be loaded from their_package" in outcome.err
    assert "their fault" in outcome.err
    chosen = call(capsys, "run", street, "-m", "theirs", "--out", tmp_path / "more", "-q")
    assert chosen.code == 2
    assert "no mechanism 'theirs'" in chosen.err
    assert "their fault" in chosen.err
    assert not (tmp_path / "more").exists()
    with pytest.raises(BrokenPlugin, match="their fault"):
        MECHANISMS.get("theirs")


def test_the_doctor_names_a_broken_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, tmp_path, "wattswap.mechanisms", "raise ImportError('their fault')")
    outcome = call(capsys, "doctor")
    assert outcome.code == 6
    assert "FAIL  plugins" in outcome.out
    assert "their fault" in outcome.out


def test_a_rule_of_another_package_learns_the_outside_prices_from_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PLUGIN.replace(
        "    return ws",
        "    assert (rules.retail_micro_per_kwh, rules.feed_in_micro_per_kwh) == (300_000, 80_000)\n    return ws",
    )
    install(monkeypatch, tmp_path, "wattswap.mechanisms", text)
    case = {"orders": [], "params": {"retail_price": 0.3, "feed_in_tariff": 0.08}}
    assert ws.clear(case, "half_price")["status"] == "no_trade"
    with pytest.raises(InvalidCase, match="unknown key 'retail_price'"):
        ws.clear(case, "uniform_price")


def test_a_decorated_function_is_a_mechanism_and_stays_a_function() -> None:
    @ws.mechanism("mine", source="my thesis", efficient=True)
    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        cleared = ws.clear(book, "uniform_price", rules)
        assert isinstance(cleared, Clearing)
        return cleared

    mine = ws.clear(BOOK, "mine")
    reference = ws.clear(BOOK, "uniform_price")
    assert isinstance(mine, Clearing)
    assert isinstance(reference, Clearing)
    assert mine.accepted_wh.tolist() == reference.accepted_wh.tolist() == [1_000, 1_000]
    assert clear(OrderBook.from_orders(BOOK), MarketRules()).node_price == mine.node_price
    assert MECHANISMS.get("mine").promises.efficient


def test_a_name_is_taken_only_once() -> None:
    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        raise AssertionError("never called")

    with pytest.raises(DuplicateName, match="uniform_price"):
        ws.mechanism("uniform_price", source="a copy")(clear)


def test_a_promise_that_does_not_exist_is_refused() -> None:
    promises: dict[str, Any] = {"source": "x", "budget_ballance": True}
    with pytest.raises(TypeError, match="budget_ballance"):
        ws.mechanism("mine", **promises)(lambda book, rules: ws.clear(book, "uniform_price", rules))


def test_a_run_with_a_mechanism_that_is_gone_is_not_resumed_or_verified(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with own_registries(monkeypatch):
        ws.mechanism("passing", source="a test")(MECHANISMS.get("uniform_price").clear)
        call(capsys, "run", street, "-m", "passing", "--out", tmp_path, "-q")
    (folder,) = tmp_path.iterdir()
    before = files_below(folder)
    outcome = call(capsys, "verify", folder, "-q")
    assert (outcome.code, "passing" in outcome.err) == (3, True)
    assert files_below(folder) == before


@pytest.mark.parametrize("name", ["agents.py", "pandas.py", "json.py"])
def test_a_file_named_like_a_package_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(PLUGIN, encoding="utf-8")
    outcome = call(capsys, "check", "mechanism", "half_price", "--module", tmp_path / name)
    assert outcome.code == 3
    assert f"has the name of another module, {name[:-3]}; rename the file" in outcome.err
