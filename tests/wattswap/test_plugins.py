"""What other packages add: mechanisms by entry point and by decorator."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from run_kit import call, files_below, own_registry

import wattswap as ws
from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.errors import DuplicateMechanism
from market.rules import MarketRules
from wattswap import plugins
from wattswap.case_reader import InvalidCase
from wattswap.results import RunResult

PLUGIN = """
import wattswap as ws

@ws.mechanism("half_price", source="a test", budget_balance="strong")
def clear(book, rules):
    return ws.clear(book, "uniform_price", rules)
"""
BOOK = [Order("b", 0, Side.BUY, 2_000, 300_000), Order("s", 1, Side.SELL, 1_000, 100_000)]


@pytest.fixture(autouse=True)
def forgotten_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with own_registry(monkeypatch):
        yield
    plugins.load_all.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, group: str, text: str) -> None:
    """Pretend that a package with one entry point is installed."""
    (folder / "their_package.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "their_package", raising=False)
    point = EntryPoint("theirs", "their_package", group)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    plugins.load_all.cache_clear()


def test_a_mechanism_of_another_package_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "half_price" not in call(capsys, "list", "mechanisms").out
    install(monkeypatch, tmp_path, "wattswap.mechanisms", PLUGIN)
    outcome = call(capsys, "list", "mechanisms")
    assert re.search(
        r"^half_price +budget strong, individually rational\. a test$", outcome.out, re.MULTILINE
    )


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
    assert "warning: wattswap.mechanisms, theirs: cannot be loaded from their_package" in outcome.err
    assert "their fault" in outcome.err
    chosen = call(capsys, "run", street, "-m", "theirs", "--out", tmp_path / "more", "-q")
    assert chosen.code == 3
    assert "no clearing mechanism 'theirs'" in chosen.err
    assert "their fault" in chosen.err
    assert not (tmp_path / "more").exists()
    with pytest.raises(plugins.BrokenPlugin, match="their fault"):
        plugins.mechanism("theirs")


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
    assert plugins.mechanism("mine").promises.efficient


def test_a_name_is_taken_only_once() -> None:
    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        raise AssertionError("never called")

    with pytest.raises(DuplicateMechanism, match="uniform_price"):
        ws.mechanism("uniform_price", source="a copy")(clear)


def test_a_promise_that_does_not_exist_is_refused() -> None:
    promises: dict[str, Any] = {"source": "x", "budget_ballance": True}
    with pytest.raises(TypeError, match="budget_ballance"):
        ws.mechanism("mine", **promises)(lambda book, rules: ws.clear(book, "uniform_price", rules))


def test_a_run_with_a_mechanism_that_is_gone_is_not_resumed_or_verified(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with own_registry(monkeypatch):
        ws.mechanism("passing", source="a test")(plugins.mechanism("uniform_price").clear)
        call(capsys, "run", street, "-m", "passing", "--out", tmp_path, "-q")
    (folder,) = tmp_path.iterdir()
    before = files_below(folder)
    outcome = call(capsys, "verify", folder, "-q")
    assert (outcome.code, "passing" in outcome.err) == (3, True)
    assert files_below(folder) == before
