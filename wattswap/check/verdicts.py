"""Verdicts of `wattswap check mechanism`: text and JSON, counterexamples as cases."""

from __future__ import annotations

from json import dumps
from typing import Any

import numpy as np

from market.book import OrderBook, Side
from market.checking.check import Beyond, Finding, Verdict
from market.checking.random_books import participant_name
from market.mechanism import Mechanism
from market.parameters import Parameter
from market.rules import MarketRules
from market.units import kwh, money, price
from wattswap.cases.grid import grid_as_case
from wattswap.cases.zones import zones_as_case
from wattswap.selection import Choice


def as_case(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> dict[str, Any]:
    """A book with ids and its rules as a case that `wattswap clear` accepts and turns into the same book."""
    # Arrival is left out if it is the order of the ids, which a participant's tenth order disturbs.
    arrives = (book.sequence != np.arange(len(book))).any() or np.bincount(book.participant).max(
        initial=0
    ) > 9
    case: dict[str, Any] = {"orders": [_order(book, row, bool(arrives)) for row in range(len(book))]}
    if rules.grid is not None:
        for order, node in zip(case["orders"], book.node.tolist(), strict=True):
            order["node"] = rules.grid.nodes.names[node]
        case["grid"] = grid_as_case(rules.grid)
    if rules.zones is not None:
        for order, node in zip(case["orders"], book.node.tolist(), strict=True):
            order["node"] = rules.zones.names[node]
        case["zones"] = zones_as_case(rules.zones)
    params = {
        parameter.name: _value(parameter, parameter.of(rules))
        for parameter in mechanism.parameters
        if parameter.of(rules) != parameter.default
    }
    return {**case, "params": params} if params else case


def _order(book: OrderBook, row: int, arrives: bool) -> dict[str, Any]:
    order = book.order(row)
    found: dict[str, Any] = {
        "id": order.id,
        "participant": participant_name(order.participant),
        "side": "buy" if order.side is Side.BUY else "sell",
        "quantity_kwh": kwh(order.energy_wh),
        "price_per_kwh": price(order.limit_micro_per_kwh),
    }
    if arrives:
        found["time"] = order.sequence
    if order.energy_type:
        found["attributes"] = {"energy_type": order.energy_type}
    if order.requirements:
        found["requirements"] = [
            {"partners": [_partner(p) for p in need.partners], "energy_type": list(need.energy_types)}
            for need in order.requirements
        ]
    return found


def _partner(index: int) -> str:
    return participant_name(index) if index >= 0 else "nobody"


def _value(parameter: Parameter, value: Any) -> Any:
    if value is None:
        return None
    if parameter.kind == "halves":
        names = [[participant_name(who) for who in half] for half in value]
        return dict(zip(("left", "right"), names, strict=True))
    return value if parameter.scale is None else value / parameter.scale


def as_result(choice: Choice, verdict: Verdict, books: int, seed: int) -> dict[str, Any]:
    """A verdict for JSON; a counterexample is a case."""
    mechanism, gain = choice.mechanism, verdict.largest_gain_nano
    properties = [_property(mechanism, finding) for finding in verdict.findings]
    for one in properties:
        one["not_checked"] = None if one["books"] else _why_not(one["name"], verdict, books)
    return {
        "mechanism": choice.label,
        "holds": verdict.holds,
        "books": books,
        "seed": seed,
        "refused_books": len(verdict.refused),
        "refusal": verdict.refused[0] if verdict.refused else None,
        "small_books": verdict.small_books,
        "largest_gain": None if gain is None else money(gain),
        "beyond_promise": None if verdict.beyond is None else _beyond(choice, verdict.beyond),
        "properties": properties,
    }


def _property(mechanism: Mechanism, finding: Finding) -> dict[str, Any]:
    found = finding.counterexample
    return {
        "name": finding.name,
        "says": finding.says,
        "promised": finding.promised,
        "books": finding.books,
        "broken": finding.broken,
        "fault": None if found is None else found.fault,
        "case": None if found is None else as_case(mechanism, found.book, found.rules),
    }


def _why_not(name: str, verdict: Verdict, books: int) -> str:
    if len(verdict.refused) == books:
        return "every book was refused"
    if not verdict.sound:
        later = name in ("truthful", "same_elsewhere")
        return "the mechanism is not sound" if later else "every book failed in `sound`"
    return "no participant to test" if verdict.small_books else "too few books"


def _beyond(choice: Choice, beyond: Beyond) -> dict[str, Any]:
    """Gains outside the promise: by whom, with which parameters of a run, and a counterexample."""
    mechanism, example = choice.mechanism, beyond.example
    units = mechanism.promises.truthful_for == "unit_orders"
    return {
        "participants": "several orders, orders of many units" if units else "several orders",
        "params": {
            p.name: _value(p, p.in_run)
            for p in mechanism.parameters
            if p.in_run is not None and p.name not in choice.params
        },
        "books": beyond.books,
        "gained": beyond.gained,
        "largest_gain": money(beyond.largest_gain_nano),
        "fault": None if example is None else example.fault,
        "case": None if example is None else as_case(mechanism, example.book, example.rules),
    }


def lines(result: dict[str, Any], width: int) -> list[str]:
    """The verdict as text, from the result of `as_result`; counterexamples in JSON below their sentence.

    Rows that are longer than the width are two lines. Sentences are not broken.
    """
    promised = [one for one in result["properties"] if one["promised"]]
    broken = [one for one in promised if one["broken"]]
    unchecked = sum(one["not_checked"] is not None for one in promised)
    head = [f"{len(broken)} broken"] if broken else []
    head += [f"{unchecked} not checked"] if unchecked else []
    found = [
        f"{result['mechanism']}: {', '.join(head) or 'every promise holds'}."
        f" {result['books']} random books, seed {result['seed']}.",
        *(line for one in result["properties"] for line in _line(one, width)),
    ]
    if result["refused_books"]:
        found.append(f"{result['refused_books']} books were refused, as in: {result['refusal']}")
    found += _gains(result)
    for one in broken:
        found += ["", f"{one['name']}: {one['fault'] or 'no generated book reproduces it'}."]
        if one["case"] is not None:
            found += [
                "The smallest case found, for `wattswap clear`:",
                dumps(one["case"], ensure_ascii=False),
            ]
    return found


def _line(one: dict[str, Any], width: int) -> list[str]:
    """A row of the table; what the property says is on a line of its own where the screen is too narrow."""
    looked, failed = one["books"], one["broken"]
    mark = "-"
    if one["promised"]:
        mark = "BROKEN" if failed else "ok" if looked else "?"
    if one["not_checked"]:
        what = f"not checked: {one['not_checked']}"
    elif one["promised"]:
        what = f"broken on {failed} of {looked} books" if failed else f"holds on {looked} books"
    else:
        what = f"not promised; holds on {looked - failed} of {looked} books"
    says, row = one["says"], f"{mark:<7} {one['name']:<23} {what:<42}"
    if len(row) + 1 + len(says) <= width:
        return [f"{row} {says}"]
    return [row.rstrip(), f"{'':<8}{says}"]


def _gains(result: dict[str, Any]) -> list[str]:
    """Gains from misreports: of those for whom truthfulness is promised, or of all, and of the others."""
    truthful = next(one for one in result["properties"] if one["name"] == "truthful")
    found = []
    if result["largest_gain"] is not None:
        found.append(
            f"Most that one participant gained by stating other limits: {result['largest_gain']:.6g};"
            f" tried on {truthful['books']} of {result['small_books']} small books"
        )
    beyond = result["beyond_promise"]
    if beyond is not None:
        params = "".join(f"; {name} {value:g}, as in a run" for name, value in beyond["params"].items())
        gained = f"gained on {beyond['gained']} of {beyond['books']} small books"
        if not beyond["books"]:
            gained = "tried on no book"
        if beyond["gained"]:
            gained += f", up to {beyond['largest_gain']:.6g}; there {beyond['fault']}"
        found.append(f"Beyond the promise ({beyond['participants']}{params}): {gained}")
    return found
