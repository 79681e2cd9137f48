"""A case whose lines lose energy: read, refused in a sentence, and shown with what each price is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from market.book import OrderBook
from market.clearing import no_trade
from market.errors import NotTaken
from market.grid import Grid, Lines, Nodes
from market.mechanism import MECHANISMS, Mechanism, Promises, refuse_unused
from market.rules import MarketRules
from tests.kits.clear_cases import Case
from tests.kits.plugin_kit import own_registries
from tests.kits.refusal_kit import one, sentences
from wattswap.cases.contract import clear_case
from wattswap.cases.grid import grid_as_case, node_names, read_grid
from wattswap.inputs.collector import CaseReader

COMPONENTS = ("energy_per_kwh", "losses_per_kwh", "congestion_per_kwh")


def case(*lines: Case, kind: str = "dc") -> Case:
    """Cleo sells at the root, Ben buys at the end."""
    named: list[Case] = [
        {"id": f"l{i}", "from": i, "to": i + 1, "x": 1, **line} for i, line in enumerate(lines)
    ]
    return {
        "orders": [
            {
                "id": "sun",
                "participant": "cleo",
                "side": "sell",
                "quantity_kwh": 9,
                "price_per_kwh": 0.08,
                "node": 0,
            },
            {
                "id": "cook",
                "participant": "ben",
                "side": "buy",
                "quantity_kwh": 3.6,
                "price_per_kwh": 0.32,
                "node": len(lines),
            },
        ],
        "grid": {"kind": kind, "nodes": list(range(len(lines) + 1)), "lines": named},
    }


def test_components_of_every_order_add_up_to_its_price() -> None:
    """3.6 kWh behind a tenth and a fifth are 5 kWh of the root, and .08 there is .08 / .9 / .8 = .1111.. at the end.

    It is rounded up: else Ben would pay less than Cleo gets.
    """
    found = clear_case(case({"loss": 0.1}, {"loss": 0.2}), "nodal_price")
    sun, cook = found["orders"]
    assert (sun["accepted_kwh"], cook["accepted_kwh"], found["losses_kwh"]) == (5, 3.6, 1.4)
    assert [line["loss"] for line in found["lines"]] == [0.5, 0.9]
    assert [line["flow"] for line in found["lines"]] == [5, 4.5]
    assert cook["price_per_kwh"] == 0.111112
    assert [cook[key] for key in COMPONENTS] == [0.08, 0.031112, 0]
    assert cook["grid_fee_per_kwh"] == 0
    for order in found["orders"]:
        assert sum(order[key] for key in COMPONENTS) == pytest.approx(order["price_per_kwh"], abs=1e-12)
    assert found["certificate"]["holds"]


def test_an_order_that_trades_nothing_has_no_components() -> None:
    given = case({"loss": 0.1})
    given["orders"].append({**given["orders"][1], "id": "late", "price_per_kwh": 0.01})
    late = clear_case(given, "nodal_price")["orders"][2]
    assert [late[key] for key in (*COMPONENTS, "grid_fee_per_kwh", "price_per_kwh")] == [None] * 5


def test_without_a_loss_nothing_is_added_to_what_is_shown() -> None:
    plain = clear_case(case({}), "nodal_price")
    assert clear_case(case({"loss": 0}), "nodal_price") == plain
    assert not {"losses_kwh"} & set(plain)
    assert not {*COMPONENTS, "grid_fee_per_kwh"} & set(plain["orders"][0])
    assert "loss" not in plain["lines"][0]


@pytest.mark.parametrize("loss", [-0.1, 1, 1.5, 0.9999999])
def test_a_share_that_is_none_is_refused(loss: float) -> None:
    said = one(case({"loss": loss}), "nodal_price")
    assert said == (
        f"grid.lines[0].loss: is {loss}; give the share of the energy sent into the line that is lost, at least 0 and"
        " below 1"
    )


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("2%", "grid.lines[0].loss: must be a number, not '2%'"),
        (True, "grid.lines[0].loss: must be a number, not true"),
        (0.0123456, "grid.lines[0].loss: is 0.0123456; give at most six decimals"),
    ],
)
def test_what_is_no_share_is_refused(loss: Any, said: str) -> None:
    assert sentences(case({"loss": loss}), "nodal_price") == [said]


def test_loops_and_voltages_are_refused() -> None:
    ring = case({"loss": 0.1}, {})
    ring["grid"]["lines"].append({"id": "ring", "from": 2, "to": 0})
    assert "form a loop; only a radial grid may lose energy" in one(ring, "nodal_price")
    assert "choose the kind 'dc'" in one(case({"loss": 0.1}, kind="lindistflow"), "nodal_price")


def test_a_grid_with_losses_is_written_and_read_as_the_same() -> None:
    read = CaseReader()
    given = case({"loss": 0.1}, {"loss": 0.000001}, {})["grid"]
    grid = read_grid(read, given, node_names(read, given))
    assert grid is not None
    again = grid_as_case(grid)
    assert [line["loss"] for line in again["lines"]] == [0.1, 0.000001, 0]
    second = read_grid(read, again, node_names(read, again))
    assert second is not None
    assert second.lines.loss_ppm is not None
    assert second.lines.loss_ppm.tolist() == [100_000, 1, 0]
    assert not read.problems


def test_a_mechanism_that_clears_no_losses_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with own_registries(monkeypatch):
        promises = Promises(source="a test", needs_grid=True)
        plain = MECHANISMS.register(Mechanism("plain_grid", lambda book, rules: no_trade(book), promises))
        assert one(case({"loss": 0.1}), "plain_grid") == (
            "grid.lines: lose energy, and plain_grid clears no losses; remove 'loss', or choose a mechanism that takes"
            " losses"
        )
        lines = Lines(
            ("l",), np.array([0]), np.array([1]), np.zeros(1), np.ones(1), np.array([-1]), np.array([1])
        )
        grid = Grid("dc", Nodes(("a", "b"), np.zeros(2)), lines)
        with pytest.raises(NotTaken, match="plain_grid clears no losses of lines"):
            refuse_unused(plain, OrderBook.from_orders([]), MarketRules(grid=grid))
