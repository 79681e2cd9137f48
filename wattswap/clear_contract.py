"""Clear one case, given as a dict or a JSON file: the edge between decimal numbers and the integers inside.

Everything wrong with a case is collected and raised at once, and no key or parameter is ignored. Numbers are read
from the text of the JSON and rounded once, half to even: energy to Wh, prices to micro-currency per kWh.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_args

import numpy as np

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, Trades
from market.errors import InvalidBook
from market.mechanism import Mechanism
from market.rules import MarketRules, Rationing, Solver
from market.units import PPM, IntArray, kwh, micro_from_price, money, price
from wattswap.case_reader import CaseReader, InvalidCase, shown
from wattswap.errors import Problem, WattswapError, exit_code_of, is_expected
from wattswap.plugins import mechanism as mechanism_named

Result = dict[str, Any]


def clear_case(case: Mapping[str, Any], mechanism: str) -> Result:
    """Clear one case of the contract.

    Args:
        case: As read from JSON; a number may be an int, a float or a Decimal. Not changed.
        mechanism: A registered name.

    Returns:
        The result of the contract, ready for JSON.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
        UnknownMechanism: Names the nearest match.
    """
    found = mechanism_named(mechanism)
    return _SHARING.get(mechanism, _clear_book)(case, found)


def clear_file(path: Path, mechanism: str) -> Iterator[Result]:
    """Clear the case of a .json file, or one case per line of a .jsonl file.

    Yields:
        A result per case, in order; for a case that cannot be cleared {"error": {"code", "message"}} with the exit
        code of the command.

    Raises:
        InvalidCase: The file is neither, or cannot be read.
        UnknownMechanism: Names the nearest match.
    """
    mechanism_named(mechanism)
    if path.suffix not in (".json", ".jsonl"):
        raise InvalidCase.of(str(path), "is neither a .json nor a .jsonl file", "name it by what it holds")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as unreadable:
        raise InvalidCase.of(str(path), f"cannot be read: {unreadable.strerror}", "name a file") from None
    except UnicodeDecodeError as unreadable:
        raise InvalidCase.of(str(path), f"is not UTF-8 text: {unreadable}", "save it as UTF-8") from None
    if path.suffix == ".json":
        yield _clear_text(text, mechanism, path.name)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _clear_text(line, mechanism, f"{path.name}:{number}")


def _clear_text(text: str, mechanism: str, where: str) -> Result:
    try:
        return clear_case(_parse(text), mechanism)
    except Exception as error:
        if not is_expected(error):
            raise
        problems = error.problems if isinstance(error, WattswapError) else [error]
        sentences = "; ".join(str(problem) for problem in problems)
        return {"error": {"code": int(exit_code_of(error)), "message": f"{where}: {sentences}"}}


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_object)
    except json.JSONDecodeError as broken:
        place = f"line {broken.lineno}, column {broken.colno}"
        raise InvalidCase.of(place, f"this is no JSON: {broken.msg}") from None
    except InvalidOperation:
        raise InvalidCase.of("", "the JSON holds a number beyond all bounds") from None
    except RecursionError:
        raise InvalidCase.of("", "the JSON is nested too deeply to be a case") from None
    except ValueError as broken:  # a whole number of thousands of digits
        raise InvalidCase.of("", f"the JSON cannot be read: {broken}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise InvalidCase(*(Problem(key, "this key is given twice", "keep one") for key in twice))
    return found


# ---- order books

_ORDER_KEYS = {"id", "participant", "side", "quantity_kwh", "price_per_kwh"}
_MORE_ORDER_KEYS = {"time", "node", "attributes", "requirements"}
OUTSIDE_PRICES = {"retail_price": "retail_micro_per_kwh", "feed_in_tariff": "feed_in_micro_per_kwh"}
"""Params by which a rule of another package learns the outside prices, and the market rules they set."""
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


@dataclass(frozen=True, slots=True)
class _BookCase:
    """A book and the names that its case uses.

    Args:
        book: The orders, in canonical order.
        row: Row of the book of each order of the case.
        ids: Id of each row of the book, as given.
        participants: Name of each participant, as given, in the order of their first orders.
        roster: Index in `book.participant` of each name.
    """

    book: OrderBook
    row: IntArray
    ids: list[Any]
    participants: list[Any]
    roster: list[int]


def _clear_book(case: Mapping[str, Any], mechanism: Mechanism) -> Result:
    read = CaseReader()
    top = read.mapping(case, "case", {"orders"}, {"params"})
    rules = _rules(read, top.get("params", {}), mechanism.name)
    book = _book(read, read.items(top.get("orders", []), "orders"), rules.rationing)
    return _book_result(book, mechanism.clear(book.book, rules), mechanism.name)


def _rules(read: CaseReader, params: Any, mechanism: str) -> MarketRules:
    # A third party's rule may depend on the outside prices; uniform_price does not, and its contract is closed.
    outside = {} if mechanism == "uniform_price" else OUTSIDE_PRICES
    given = read.mapping(params, "params", set(), {"k", "rationing", "seed", "solver", *outside})
    found: dict[str, Any] = {}
    for key, field in outside.items():
        stated = read.number(given[key], f"params.{key}") if key in given else None
        if stated is not None:
            found[field] = micro_from_price(stated)
    if "k" in given:
        k = read.number(given["k"], "params.k")
        if k is not None and 0 <= k <= 1:
            found["k_ppm"] = round(k * PPM)
        elif k is not None:
            read.note("params.k", f"is {k}", "give a number from 0 (lowest price) to 1 (highest)")
    if "seed" in given:
        found["seed"] = read.whole(given["seed"], "params.seed")
        if found["seed"] < 0:
            read.note("params.seed", f"is {found['seed']}", "give at least 0")
            found["seed"] = 0  # the case is refused once all of it is read
    for key, choices in (("rationing", get_args(Rationing)), ("solver", get_args(Solver))):
        if key in given:
            found[key] = read.choice(given[key], f"params.{key}", choices)
    return MarketRules(**found)


def _book(read: CaseReader, orders: list[Any], rationing: Rationing) -> _BookCase:
    """Read the orders; raise if anything in the case was wrong."""
    rows = [_order(read, order, f"orders[{i}]") for i, order in enumerate(orders)]
    position: dict[str, int] = {}
    for i, row in enumerate(rows):
        if position.setdefault(row["id"], i) != i:
            read.note(f"orders[{i}].id", f"{row['id']!r} is the id of orders[{position[row['id']]}] already")
    if len({"time" in row for row in rows}) > 1:
        read.note("orders", "some orders have a 'time' and some have none", "give it to all or to none")
    read.refuse()
    names = {row["participant"]: order["participant"] for row, order in zip(rows, orders, strict=True)}
    index = {name: i for i, name in enumerate(sorted(names))}
    arrival = _arrival(rows, rationing)
    try:
        book = OrderBook.from_orders(
            Order(str(i), index[row["participant"]], row["side"], row["wh"], row["micro"], arrival[i])
            for i, row in enumerate(rows)
        )
    except InvalidBook as invalid:
        raise InvalidCase(*(Problem("orders", problem) for problem in invalid.problems)) from None
    case_of_row = np.array([int(i) for i in book.ids], dtype=np.int64)
    return _BookCase(
        book,
        np.argsort(case_of_row),
        [orders[i]["id"] for i in case_of_row.tolist()],
        list(names.values()),
        [index[name] for name in names],
    )


def _order(read: CaseReader, order: Any, where: str) -> dict[str, Any]:
    given = read.mapping(order, where, _ORDER_KEYS, _MORE_ORDER_KEYS)
    readers: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
        "id": ("id", read.name),
        "participant": ("participant", read.name),
        "side": ("side", lambda value, at: _SIDES[read.choice(value, at, tuple(_SIDES))]),
        "quantity_kwh": ("wh", read.energy_wh),
        "price_per_kwh": ("micro", read.micro),
        "time": ("time", read.whole),
        "node": ("node", read.name),
        "attributes": ("attributes", read.anything_named),
        "requirements": ("requirements", read.items),
    }
    found = {
        name: reader(given[key], f"{where}.{key}") for key, (name, reader) in readers.items() if key in given
    }
    return {"id": where, **found}


def _arrival(rows: list[dict[str, Any]], rationing: Rationing) -> list[int]:
    """Rank of each order in time: as stated, else as listed where time decides, else by id so that nothing does."""
    if rows and "time" in rows[0]:
        # Of orders with the same time the id decides, so that the order of listing never does.
        keys: list[Any] = [(row["time"], row["id"]) for row in rows]
    elif rationing == "time":
        return list(range(len(rows)))
    else:
        keys = [row["id"] for row in rows]
    rank = {key: i for i, key in enumerate(sorted(set(keys)))}
    return [rank[key] for key in keys]


def _book_result(case: _BookCase, clearing: Clearing, mechanism: str) -> Result:
    book, accepted, paid = case.book, clearing.accepted_wh, clearing.price_micro_per_kwh
    amount = book.side * accepted * paid
    surplus = book.side * accepted * (book.limit_micro_per_kwh - paid)
    interval = clearing.node_price[0]
    payment = np.zeros(len(case.roster), dtype=np.int64)
    np.add.at(payment, book.participant, amount)
    traded = clearing.traded_wh(book)
    proof = clearing.certificate
    return {
        "mechanism": mechanism,
        "status": "cleared" if traded else "no_trade",
        "traded_kwh": kwh(traded),
        "welfare": money(clearing.welfare_nano),
        "buyer_surplus": money(int(surplus[book.side > 0].sum())),
        "seller_surplus": money(int(surplus[book.side < 0].sum())),
        "operator_surplus": money(clearing.operator_surplus_nano),
        "price": None if interval is None else price(interval.price),
        "price_interval": None if interval is None else [price(interval.lo), price(interval.hi)],
        "orders": [
            {
                "id": case.ids[row],
                "accepted_kwh": kwh(int(accepted[row])),
                "price_per_kwh": price(int(paid[row])) if accepted[row] else None,
                "payment": money(int(amount[row])),
            }
            for row in case.row.tolist()
        ],
        "trades": _trades(case, clearing),
        "participants": [
            {"participant": name, "payment": money(int(payment[i])), "fee": 0.0}
            for name, i in zip(case.participants, case.roster, strict=True)
        ],
        "certificate": proof
        and {
            "dual_price_per_kwh": price(proof.dual_price_micro_per_kwh),
            "gap": money(proof.gap_nano),
            "residual_kwh": kwh(proof.residual_wh),
        },
    }


def _trades(case: _BookCase, clearing: Clearing) -> list[Result]:
    """The pairs of the mechanism; where it makes none, buys and sells are paired off in the order of the book."""
    pairs = clearing.trades or _paired(case.book, clearing)
    columns = (pairs.buy, pairs.sell, pairs.energy_wh, pairs.price_micro_per_kwh)
    return [
        {"buy": case.ids[b], "sell": case.ids[s], "quantity_kwh": kwh(e), "price_per_kwh": price(p)}
        for b, s, e, p in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _paired(book: OrderBook, clearing: Clearing) -> Trades:
    """Lay bought and sold energy end to end beside each other; every stretch between two ends is a trade."""
    buys, sells = (np.flatnonzero((book.side == side) & (clearing.accepted_wh > 0)) for side in (1, -1))
    bought, sold = np.cumsum(clearing.accepted_wh[buys]), np.cumsum(clearing.accepted_wh[sells])
    ends = np.union1d(bought, sold)
    buy = buys[np.searchsorted(bought, ends)]
    return Trades(
        buy, sells[np.searchsorted(sold, ends)], np.diff(ends, prepend=0), clearing.price_micro_per_kwh[buy]
    )


# ---- sharing of metered quantities


def _clear_retailer_only(case: Mapping[str, Any], mechanism: Mechanism) -> Result:
    """Bill each home alone: what it draws in an interval at the retail price, what it feeds in at the feed-in."""
    read = CaseReader()
    top = read.mapping(case, "case", {"load_kwh", "generation_kwh", "params"}, set())
    load = _series_by_participant(read, top.get("load_kwh", {}), "load_kwh")
    generation = _series_by_participant(read, top.get("generation_kwh", {}), "generation_kwh")
    lengths = {len(series) for series in (*load.values(), *generation.values())}
    if len(lengths) > 1:
        read.note("case", f"the series have {sorted(lengths)} intervals", "give all the same number")
    count = max(lengths, default=0)
    keys = ("retail_price", "feed_in_tariff")
    params = read.mapping(top.get("params", dict.fromkeys(keys, 0)), "params", set(keys), set())
    retail, feed_in = (_prices(read, params.get(key, 0), f"params.{key}", count) for key in keys)
    read.refuse()
    nothing = [0] * count
    members = list(dict.fromkeys((*load, *generation)))
    net = {
        m: [x - y for x, y in zip(load.get(m, nothing), generation.get(m, nothing), strict=True)]
        for m in members
    }
    cost = {
        m: sum(x * (retail[t] if x > 0 else feed_in[t]) for t, x in enumerate(series))
        for m, series in net.items()
    }
    together = [sum(series[t] for series in net.values()) for t in range(count)]
    return {
        "cost": {m: money(amount) for m, amount in cost.items()},
        "community_cost": money(sum(cost.values())),
        "import_kwh": kwh(sum(x for series in net.values() for x in series if x > 0)),
        "export_kwh": kwh(-sum(x for series in net.values() for x in series if x < 0)),
        "community_meter_peak_import_kwh": kwh(max(0, *together, 0)),
    }


def _series_by_participant(read: CaseReader, value: Any, where: str) -> dict[str, list[int]]:
    if not isinstance(value, Mapping):
        read.note(where, f"must be an object of one list per participant, not {shown(value)}")
        return {}
    return {
        read.name(name, where): [
            read.energy_wh(x, f"{where}.{name}[{t}]")
            for t, x in enumerate(read.items(series, f"{where}.{name}"))
        ]
        for name, series in value.items()
    }


def _prices(read: CaseReader, value: Any, where: str, count: int) -> list[int]:
    """Read one price for all intervals, or a list of one per interval."""
    if not isinstance(value, list | tuple):
        return [read.micro(value, where)] * count
    if len(value) != count:
        read.note(
            where, f"has {len(value)} prices for {count} intervals", "give one for each, or a single price"
        )
    return [read.micro(x, f"{where}[{t}]") for t, x in enumerate(value)]


_SHARING: dict[str, Callable[[Mapping[str, Any], Mechanism], Result]] = {
    "retailer_only": _clear_retailer_only
}
"""Mechanisms that share metered quantities; every other one clears a book."""
