"""Comparing rules of one's own: in other processes, changed, registered again, failing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import wattswap as ws
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing, no_trade
from market.errors import DuplicateName, PluginFailed
from market.mechanism import MECHANISMS, Mechanism
from market.rules import MarketRules
from tests.kits.plugin_kit import own_registries
from wattswap.comparison.plan import BASE
from wattswap.errors import Interrupted
from wattswap.results import Comparison


def test_a_cell_that_is_worked_out_again_is_missing_until_it_is_there(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):
        fail = [False]

        @ws.mechanism("mine", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            if fail[0]:
                raise KeyboardInterrupt
            return no_trade(book)

        ws.compare(street_by_lot, "mine", seeds=[7, 8], out=tmp_path)
        fail[0] = True
        with pytest.raises(Interrupted):
            ws.compare(street_by_lot, "mine", seeds=[7], out=tmp_path)
        left = Comparison(next(tmp_path.iterdir()))
        assert left.about["missing"] == [{"point": BASE, "mechanism": "mine", "seed": 7}]
        assert [key.seed for key in left.cell_keys("retailer_only")] == [7, 8]
        assert "1 cells missing" in repr(left)
        assert "mine" not in left.mechanisms


def test_workers_take_the_newest_version_of_a_rule(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):

        def compared_as(rule: str) -> float:
            of_ours = MECHANISMS.get(rule).clear
            MECHANISMS.forget("mine")
            MECHANISMS.register(
                Mechanism("mine", lambda book, rules: of_ours(book, rules), MECHANISMS.get(rule).promises)
            )
            found = ws.compare(street_by_lot, "mine", seeds=[7, 8], jobs=2, out=tmp_path / rule)
            return float(found.summary().loc["mine", "traded_kwh"])

        assert compared_as("welfare_optimum") > 0
        assert compared_as("retailer_only") == 0
        assert not MECHANISMS.is_ours(
            Mechanism("alias", MECHANISMS.get("vcg").clear, MECHANISMS.get("vcg").promises)
        )
        assert all(
            MECHANISMS.is_ours(mechanism) for name, mechanism in MECHANISMS.all().items() if name != "mine"
        )


def test_a_mechanism_of_ones_own_is_compared_also_in_other_processes(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):

        @ws.mechanism("never", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            return no_trade(book)

        alone = ws.load(street_by_lot, overrides=["market.imbalance=retailer"])
        comparison = ws.compare(alone, ["never"], seeds=[7, 8], jobs=2, out=tmp_path)
        assert comparison.summary().loc["never", "traded_kwh"] == 0
        assert comparison.summary().loc["never", "saving"] == 0


def test_a_changed_rule_of_ones_own_is_worked_out_again(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a rule depends on (globals, other files, a cell of a notebook) cannot be told."""
    with own_registries(monkeypatch):
        trades = [False]

        @ws.mechanism("mine", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            return clear_exact(book, rules) if trades[0] else no_trade(book)

        first = (
            ws.compare(street_by_lot, ["mine"], seeds=[7], out=tmp_path).summary().loc["mine", "traded_kwh"]
        )
        trades[0] = True
        second = (
            ws.compare(street_by_lot, ["mine"], seeds=[7], out=tmp_path).summary().loc["mine", "traded_kwh"]
        )
    assert (first, second > 0) == (0, True)


def test_a_rule_of_a_notebook_may_be_registered_again_and_one_of_ours_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        return no_trade(book)

    with own_registries(monkeypatch):
        clear.__module__ = "__main__"
        ws.mechanism("again", source="first")(clear)
        ws.mechanism("again", source="second")(clear)
        assert MECHANISMS.get("again").promises.source == "second"
        with pytest.raises(DuplicateName, match="mcafee"):
            ws.mechanism("mcafee")(clear)


def test_a_rule_that_fails_names_its_cell(
    street_by_lot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):

        @ws.mechanism("broken", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            raise ZeroDivisionError("by hand")

        with pytest.raises(PluginFailed, match="ZeroDivisionError: by hand") as caught:
            ws.compare(street_by_lot, "broken", seeds=1, out=tmp_path)
        assert caught.value.__notes__ == ["in the cell base broken 7"]
        left = Comparison(next(tmp_path.iterdir()))
        assert [key.mechanism for key in left.cell_keys()] == ["retailer_only"]


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
