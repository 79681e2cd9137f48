"""A case with a grid: read with everything that is wrong said at once, and cleared by a plug-in in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market.clearing import Clearing, PriceInterval, no_trade
from market.grid import NO_LIMIT, Grid
from market.mechanism import MECHANISMS, Mechanism, Promises
from tests.extension_points import KINDS, example_text
from tests.kits.clear_cases import Case
from tests.kits.plugin_kit import command, own_registries, written
from tests.kits.refusal_kit import one, sentences
from wattswap.cases.contract import clear_case
from wattswap.cli import main
from wattswap.comparison.plan import Point, make_plan
from wattswap.errors import InvalidScenario
from wattswap.scenario.load import demo
from wattswap.selection import read_choices

SEEN: list[tuple[list[int], Grid | None]] = []


def clear(book: Any, rules: Any) -> Clearing:
    """Keep what the mechanism is given, and price every node."""
    SEEN.append((book.node.tolist(), rules.grid))
    nothing = no_trade(book)
    prices = (PriceInterval(10_000, 30_000, 20_000), None, None)
    return Clearing(nothing.accepted_wh, nothing.price_micro_per_kwh, prices, 0, 0)


@pytest.fixture(autouse=True)
def on_a_grid(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with own_registries(monkeypatch):
        MECHANISMS.register(Mechanism("on_a_grid", clear, Promises(source="a test", needs_grid=True)))
        yield
    SEEN.clear()


def order(number: int, side: str, node: Any) -> Case:
    return {
        "id": number,
        "participant": f"p{number}",
        "side": side,
        "quantity_kwh": 1,
        "price_per_kwh": 0.2,
        "node": node,
    }


def line(name: str, start: Any, end: Any, **more: Any) -> Case:
    return {"id": name, "from": start, "to": end, **more}


def case(**grid: Any) -> Case:
    return {
        "orders": [order(0, "buy", "z"), order(1, "sell", 7)],
        "grid": {
            "kind": "lindistflow",
            "nodes": ["z", 7, "a"],
            "lines": [line("l1", "z", 7, r=0.5, x=1, limit_kw=1.5), line("l2", "a", 7, x=2, limit_kw=None)],
            **grid,
        },
    }


def test_the_mechanism_gets_the_grid_and_orders_by_index_of_their_node() -> None:
    given = case(root="a", vmin=0.9, vmax=1.1, reactive_load={"7": 0.25})
    result = clear_case(given, "on_a_grid")
    ((nodes, grid),) = SEEN
    assert nodes == [0, 1]
    assert grid is not None
    assert (grid.kind, grid.root, grid.vmin, grid.vmax) == ("lindistflow", 2, 0.9, 1.1)
    assert grid.nodes.names == ("z", "7", "a")
    assert grid.nodes.reactive_load.tolist() == [0, 0.25, 0]
    assert grid.lines.names == ("l1", "l2")
    assert (grid.lines.start.tolist(), grid.lines.end.tolist()) == ([0, 2], [1, 1])
    assert (grid.lines.r.tolist(), grid.lines.x.tolist()) == ([0.5, 0], [1, 2])
    assert grid.lines.limit_wh.tolist() == [1_500, NO_LIMIT]
    assert result["nodes"][:2] == [
        {"node": "z", "price": 0.02, "price_interval": [0.01, 0.03]},
        {"node": "7", "price": None, "price_interval": None},
    ]
    assert result["price"] is None


def test_per_unit_values_are_converted_to_a_base_of_one_kwh_per_interval() -> None:
    lines = [line("l1", "z", 7, r=5, x=10), line("l2", 7, "a", susceptance=4)]
    clear_case(case(kind="dc", lines=lines, base_kva=100), "on_a_grid")
    ((_, grid),) = SEEN
    assert grid is not None
    assert grid.lines.r.tolist() == [0.05, 0]
    assert grid.lines.x.tolist() == pytest.approx([0.1, 1 / 400])


def test_a_line_of_a_dc_grid_has_susceptance_1_where_none_is_given() -> None:
    clear_case(case(kind="dc", lines=[line("l1", "z", 7), line("l2", 7, "a")]), "on_a_grid")
    ((_, grid),) = SEEN
    assert grid is not None
    assert grid.lines.x.tolist() == [1, 1]


def test_everything_that_is_wrong_with_a_grid_is_said_at_once() -> None:
    wrong = case(
        kind="lindisflow",
        lines=[
            line("l1", "z", "77", limit_kw=-1),
            line("l1", "a", "a", x="1"),
            {"id": "l3", "from": "z", "x": 1, "susceptance": 1, "colour": 1},
            line("l4", "z", "a", x=0),
        ],
        root="b",
        vmin=2,
        reactive_load={"y": 1},
        base_kva=0,
        buses=[],
    )
    del wrong["orders"][0]["node"]
    wrong["orders"][1]["price_per_kwh"] = "x"
    said = sentences(wrong, "on_a_grid")
    starts = [
        "grid: unknown key 'buses'",
        "grid.kind: is 'lindisflow'; did you mean 'lindistflow'?",
        "grid.base_kva: is 0; give a power above 0",
        "grid.lines[0].to: '77' is not a node of the grid",
        "grid.lines[0].limit_kw: is -1",
        "grid.lines[1].x: must be a number, not '1'",
        "grid.lines[2]: unknown key 'colour'",
        "grid.lines[2]: 'to' is missing",
        "grid.lines[2]: has both 'x' and 'susceptance'",
        "grid.root: 'b' is not a node of the grid",
        "grid.reactive_load: unknown key 'y'",
        "grid: line 'l1' is named twice",
        "orders[0]: 'node' is missing",
        "orders[1].price_per_kwh: must be a number",
    ]
    assert [start for start in starts if not any(one.startswith(start) for one in said)] == []
    assert len(said) == len(starts)
    assert SEEN == []


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"lines": [line("l1", "z", 7, x=1)]}, "no line connects 'a' with the root"),
        ({"vmin": 2}, "0 < vmin <= 1 <= vmax must hold"),
        ({"lines": [line("l1", "z", 7, x=0), line("l2", 7, "a", x=1)]}, "line 'l1' has no impedance"),
        ({"lines": [line("l1", "z", 7), line("l2", 7, "a", x=1)]}, "grid.lines[0]: 'x' is missing"),
        ({"lines": [line(n, *e, x=1) for n, e in (("l", "z7"), ("m", "7a"), ("n", "az"))]}, "form a loop"),
        ({"nodes": ["z", 7, "a", "a"]}, "grid.nodes: 'a' is listed twice"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(grid: Case, said: str) -> None:
    assert said in one(case(**grid), "on_a_grid")


def test_a_mechanism_that_needs_a_grid_is_not_cleared_without_one() -> None:
    given = case()
    del given["grid"]
    assert one(given, "on_a_grid") == "case: 'grid' is missing, and on_a_grid needs one"
    point = Point("base", {}, demo())
    with pytest.raises(InvalidScenario, match="on_a_grid needs a grid, and the scenario has none"):
        make_plan([point], read_choices(["on_a_grid"]), [1])


def test_a_mechanism_in_one_file_keeps_to_the_lines_of_a_grid(tmp_path: Path) -> None:
    (example,) = [one for one in KINDS["mechanisms"].examples if one.file == "merit_order.py"]
    written(tmp_path, example.file, example.text)
    (name,) = example.files
    given = json.loads(example_text(name))
    for limit_kw, traded_kwh in ((1, 1), (2.5, 2.5), (None, 10)):
        given["grid"]["lines"][0]["limit_kw"] = limit_kw
        written(tmp_path, name, json.dumps(given))
        done = command("clear", name, "-m", "merit_order", "--module", example.file, "--json", path=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["traded_kwh"] == traded_kwh
    for verb in ("validate", "run"):
        chosen = ("demo", "--set", "market.mechanism=merit_order", "--module", example.file)
        done = command(verb, *chosen, path=tmp_path)
        assert done.returncode == 3
        assert "merit_order needs a grid, and the scenario has none" in done.stderr


TWO = {
    "kind": "lindistflow",
    "nodes": ["a", "b"],
    "lines": [line("ab", "a", "b", r=0.001, x=0.002, limit_kw=0.25)],
}


def two(**grid: Any) -> Case:
    orders = [{**order(0, "sell", "a"), "price_per_kwh": 0.1}, order(1, "buy", "b")]
    return {"orders": orders, "grid": {**TWO, **grid}}


def test_prices_by_node_are_printed_with_flows_voltages_rent_and_proof() -> None:
    found = clear_case(two(), "nodal_price")
    assert (found["status"], found["traded_kwh"]) == ("cleared", 0.25)
    assert found["nodes"] == [
        {"node": "a", "price": 0.1, "price_interval": [0.1, 0.1], "v_squared": 1.0},
        {"node": "b", "price": 0.2, "price_interval": [0.2, 0.2], "v_squared": 0.9995},
    ]
    assert found["lines"] == [{"id": "ab", "flow": 0.25}]
    assert found["congestion_rent"] == found["operator_surplus"] == 0.025
    assert found["certificate"] == {
        "kind": "NodalPrices",
        "holds": True,
        "gap": 0.0,
        "allowed_gap": 0.0,
        "overload_kwh": 0.0,
    }
    assert not {"line_flow_wh", "line_flow_kwh", "congestion_rent_nano"} & set(found)


def test_what_no_grid_can_carry_is_infeasible_and_ends_with_4(tmp_path: Path) -> None:
    broken = two(reactive_load={"b": 100}, lines=[line("ab", "a", "b", x=0.002)])
    found = clear_case(broken, "nodal_price")
    assert (found["mechanism"], found["status"]) == ("nodal_price", "infeasible")
    assert "node 'b' has a squared voltage of 0.600000 (below vmin = 0.81)" in found["reason"]
    written(tmp_path, "one.json", json.dumps(broken))
    written(tmp_path, "two.jsonl", f"{json.dumps(two())}\n{json.dumps(broken)}\n")
    for name, lines in (("one.json", 1), ("two.jsonl", 2)):
        done = command("clear", name, "-m", "nodal_price", "--json", path=tmp_path)
        assert done.returncode == 4
        results = [json.loads(text) for text in done.stdout.splitlines()]
        assert len(results) == lines
        assert results[-1] == found
    assert "infeasible" in command("clear", "one.json", "-m", "nodal_price", path=tmp_path).stdout


def test_a_grid_written_as_a_case_is_read_back_as_the_same_grid() -> None:
    from market.checking.random_books import random_case
    from wattswap.check.verdicts import as_case

    mechanism = MECHANISMS.get("nodal_price")
    for number in range(30):
        book, rules = random_case(mechanism, 0, number)
        given = json.loads(json.dumps(as_case(mechanism, book, rules)))
        found = clear_case(given, "nodal_price")
        expected = mechanism.clear(book, rules)
        accepted = {o["id"]: round(1_000 * o["accepted_kwh"]) for o in found["orders"]}
        assert [accepted[str(i)] for i in book.ids] == expected.accepted_wh.tolist()
        prices = [None if n["price"] is None else round(1e6 * n["price"]) for n in found["nodes"]]
        assert prices == [None if one is None else one.price for one in expected.node_price]


def two_nodes(limit_kw: float, node: str = "town") -> Case:
    """A seller on a farm and a buyer in the town, and the line between them."""
    offer, bid = order(0, "sell", "farm") | {"price_per_kwh": 0.1}, order(1, "buy", node)
    lines = [line("cable", "farm", "town", limit_kw=limit_kw)]
    return {"orders": [offer, bid], "grid": {"kind": "dc", "nodes": ["farm", "town"], "lines": lines}}


def test_a_clearing_at_different_prices_by_node_states_no_one_price_and_no_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart, alike = (clear_case(two_nodes(limit), "nodal_price") for limit in (0.5, 5))
    assert [node["price"] for node in apart["nodes"]] == [0.1, 0.2]
    assert (apart["price"], apart["price_interval"], apart["trades"]) == (None, None, [])
    assert alike["price"] == 0.15
    assert len(alike["trades"]) == 1
    file = tmp_path / "case.json"
    file.write_text(json.dumps(two_nodes(0.5)), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["clear", str(file), "-m", "nodal_price"])
    assert "price             by node\n" in capsys.readouterr().out


def test_several_mistakes_of_a_case_are_printed_one_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps(two_nodes(-1, "city")), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["clear", str(file), "-m", "nodal_price"])
    assert capsys.readouterr().err.splitlines() == [
        "Error: case.json: 2 problems",
        "  orders[1].node: 'city' is not a node of the grid; known: farm, town",
        "  grid.lines[0].limit_kw: is -1; give at least 0; the sign never gives the direction",
    ]
