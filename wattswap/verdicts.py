"""Checks of mechanisms at the edge: the verdict in words, counterexamples as cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.book import OrderBook, Side
from market.judge import Finding, Verdict
from market.mechanism import Mechanism
from market.parameters import Parameter
from market.random_books import participant_name
from market.rules import MarketRules
from market.units import MICRO_PER_UNIT, PPM, WH_PER_KWH, kwh, money, price


def as_case(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> dict[str, Any]:
    """A book with ids and its rules as a case that `wattswap clear` accepts and turns into the same book."""
    # Arrival need not be told where it is the order of the ids, which a tenth order of a participant disturbs.
    told = (book.sequence != np.arange(len(book))).any() or np.bincount(book.participant).max(initial=0) > 9
    case: dict[str, Any] = {"orders": [_order(book, row, bool(told)) for row in range(len(book))]}
    params = {
        parameter.name: _value(parameter, parameter.of(rules))
        for parameter in mechanism.parameters
        if parameter.of(rules) != parameter.default
    }
    return {**case, "params": params} if params else case


def _order(book: OrderBook, row: int, told: bool) -> dict[str, Any]:
    order = book.order(row)
    found: dict[str, Any] = {
        "id": order.id,
        "participant": participant_name(order.participant),
        "side": "buy" if order.side is Side.BUY else "sell",
        "quantity_kwh": kwh(order.energy_wh),
        "price_per_kwh": price(order.limit_micro_per_kwh),
    }
    if told:
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
    scale = {"share": PPM, "price": MICRO_PER_UNIT, "energy": WH_PER_KWH}.get(parameter.kind)
    return value if scale is None else value / scale


def as_result(mechanism: Mechanism, verdict: Verdict, books: int, seed: int) -> dict[str, Any]:
    """A verdict for JSON; a counterexample is a case."""
    return {
        "mechanism": verdict.mechanism,
        "holds": verdict.holds,
        "books": books,
        "seed": seed,
        "refused_books": len(verdict.refused),
        "refusal": verdict.refused[0] if verdict.refused else None,
        "largest_gain": None if verdict.largest_gain_nano is None else money(verdict.largest_gain_nano),
        "properties": [_property(mechanism, finding) for finding in verdict.findings],
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


def lines(result: dict[str, Any]) -> list[str]:
    """The verdict for people, from what `as_result` gives; counterexamples in JSON below their sentence."""
    from json import dumps

    name, broken = result["mechanism"], []
    table = []
    for one in result["properties"]:
        looked, failed = one["books"], one["broken"]
        if one["promised"]:
            mark = "BROKEN" if failed else "ok"
            what = f"broken on {failed} of {looked} books" if failed else f"holds on {looked} books"
        else:
            mark = "-"
            what = f"not promised; holds on {looked - failed} of {looked} books"
        table.append(f"{mark:<7} {one['name']:<23} {what:<42} {one['says']}")
        if one["promised"] and failed:
            broken.append(one)
    head = "every promise holds" if result["holds"] else f"{len(broken)} broken"
    found = [f"{name}: {head}. {result['books']} random books, seed {result['seed']}.", *table]
    if result["refused_books"]:
        found.append(f"{result['refused_books']} books were refused, as in: {result['refusal']}")
    if result["largest_gain"] is not None:
        found.append(
            f"Most that one participant gained by stating other limits: {result['largest_gain']:.6g}"
        )
    for one in broken:
        found += ["", f"{one['name']}: {one['fault'] or 'no book of the kit shows it again'}."]
        if one["case"] is not None:
            found += [
                "The smallest case found, for `wattswap clear`:",
                dumps(one["case"], ensure_ascii=False),
            ]
    return found
