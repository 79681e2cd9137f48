"""A book of the contract: orders in decimal numbers become a book, and its clearing becomes a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.book import Order, OrderBook, Requirement, Side
from market.certificate import DualPrice, NodalPrices, OptimalityCertificate
from market.clearing import Clearing, Trades
from market.errors import InvalidBook, InvalidRules
from market.grid import Grid
from market.mechanism import MECHANISMS, Mechanism, clear_checked
from market.parameters import case_defaults, rules_with
from market.rules import MarketRules, Value
from market.units import MICRO_PER_UNIT, IntArray, kwh, money, price
from market.zones import Zones
from optimizer.errors import Infeasible
from wattswap.cases.grid import (
    GRID_DETAILS,
    grid_results,
    node_index,
    node_names,
    price_components,
    read_grid,
    read_homes,
)
from wattswap.cases.zones import read_zones, zone_names
from wattswap.errors import Problem
from wattswap.inputs.collector import CaseReader, InvalidCase
from wattswap.inputs.parameters import read_parameters

Result = dict[str, Any]

_ORDER_KEYS = {"id", "participant", "side", "quantity_kwh", "price_per_kwh"}
_MORE_ORDER_KEYS = {"time", "node", "attributes", "requirements"}
_SOME = {"grid": "one", "zones": "them"}
_LEAVE_OUT = {
    "grid": "leave it out, or choose a mechanism that uses one",
    "zones": "leave them out, or choose a mechanism that uses them",
}
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


@dataclass(frozen=True, slots=True)
class BookCase:
    """A book and the names that its case uses.

    Args:
        book: The orders, in canonical order.
        row: Row of the book of each order of the case.
        ids: Id of each row of the book, as given.
        participants: Name of each participant, as given, in the order of their first orders.
        roster: Index in `book.participant` of each of them.
    """

    book: OrderBook
    row: IntArray
    ids: list[Any]
    participants: list[Any]
    roster: list[int]

    def name_of(self, participant: int) -> Any:
        """The name of a participant of the book, as given."""
        return self.participants[self.roster.index(participant)]


def clear_book_case(case: Mapping[str, Any], mechanism: Mechanism) -> Result:
    """Clear the orders of a case.

    Raises:
        InvalidCase: Lists everything that is wrong with orders and parameters.
    """
    read = CaseReader()
    top = read.mapping(case, "case", {"orders"}, {"params", "grid", "zones"})
    orders = read.items(top.get("orders", []), "orders")
    nodes = _node_names(read, top)
    what = "a node of the grid" if "grid" in top else "a zone of the market"
    rows = [_order(read, order, f"orders[{i}]", nodes, what) for i, order in enumerate(orders)]
    grid, zones = _places(read, top, mechanism, nodes)
    if nodes is not None and mechanism.promises.needs_places:
        homes = read_homes(read, top["grid"], nodes) if "grid" in top else {}
        for i, row in enumerate(rows):
            if "node" not in row and row["participant"] in homes:
                row["node"] = homes[row["participant"]]
            if "node" not in row and isinstance(orders[i], Mapping):
                read.note(f"orders[{i}]", f"'node' is missing, and {mechanism.name} needs it")
    index = {name: i for i, name in enumerate(sorted({row["participant"] for row in rows}))}
    named = {
        str(order["participant"]) for order in orders if isinstance(order, Mapping) and "participant" in order
    }
    roster = {name: i for name, i in index.items() if name in named}
    own = [parameter for parameter in mechanism.parameters if not parameter.run_only]
    values = read_parameters(read, top.get("params", {}), own, roster=roster)
    market = rules_with(MarketRules(grid=grid, zones=zones), case_defaults(mechanism.parameters))
    placed = grid is not None or zones is not None
    if read.problems and (placed or not mechanism.promises.needs_places):
        _try_rules(read, mechanism, market, values)
    by_arrival = values.get("rationing") == "time" or _by_arrival(mechanism)
    found = _book(read, orders, rows, index, nodes if placed else None, by_arrival)
    rules = rules_with(market, values)
    try:
        clearing = clear_checked(mechanism, found.book, rules)
    except Infeasible as impossible:
        return {"mechanism": mechanism.name, "status": "infeasible", "reason": str(impossible)}
    return _result(found, clearing, mechanism.name, grid)


def _node_names(read: CaseReader, case: Mapping[str, Any]) -> dict[str, int] | None:
    """Index of each node of the grid, or of each zone, by its name; None where the case has neither."""
    if "grid" in case:
        return node_names(read, case["grid"])
    return zone_names(read, case["zones"]) if "zones" in case else None


def _places(
    read: CaseReader, case: Mapping[str, Any], mechanism: Mechanism, nodes: dict[str, int] | None
) -> tuple[Grid | None, Zones | None]:
    """Read the grid or the zones for a mechanism that uses them; any other gets none."""
    needed = {"grid": mechanism.promises.needs_grid, "zones": mechanism.promises.needs_zones}
    for key, needs in needed.items():
        if needs and key not in case:
            read.note("case", f"{key!r} is missing, and {mechanism.name} needs {_SOME[key]}")
        elif key in case and not needs:
            read.note(key, f"is not used by {mechanism.name}", _LEAVE_OUT[key])
    if nodes is not None and needed["grid"] and "grid" in case:
        grid = read_grid(read, case["grid"], nodes)
        if grid is not None and grid.lines.lose and not mechanism.promises.takes_losses:
            cure = "remove 'loss', or choose a mechanism that takes losses"
            read.note("grid.lines", f"lose energy, and {mechanism.name} clears no losses", cure)
        return grid, None
    if nodes is not None and needed["zones"] and "grid" not in case:
        return None, read_zones(read, case["zones"], nodes)
    return None, None


def _try_rules(
    read: CaseReader, mechanism: Mechanism, market: MarketRules, values: Mapping[str, Value]
) -> None:
    """Note conflicts between parameters, together with the other errors of the case."""
    try:
        with MECHANISMS.held(mechanism):
            mechanism.clear(OrderBook.from_orders([]), rules_with(market, values))
    except InvalidRules as unfit:
        read.note("params", str(unfit))


def _by_arrival(mechanism: Mechanism) -> bool:
    return mechanism.promises.arrival_matters or mechanism.promises.listed_by_arrival


def _book(
    read: CaseReader,
    orders: list[Any],
    rows: list[dict[str, Any]],
    index: dict[str, int],
    places: Mapping[str, int] | None,
    as_listed: bool,
) -> BookCase:
    """Make the book; raise if anything in the case was wrong."""
    position: dict[str, int] = {}
    for i, row in enumerate(rows):
        if position.setdefault(row["id"], i) != i:
            read.note(f"orders[{i}].id", f"{row['id']!r} is the id of orders[{position[row['id']]}] already")
    read.refuse()
    names = {row["participant"]: order["participant"] for row, order in zip(rows, orders, strict=True)}
    arrival = _arrival(rows, as_listed)
    # Without a grid or zones the nodes are those that the orders name.
    named = sorted({row.get("node", "") for row in rows}) if places is None else range(len(places))
    nodes = {name: i for i, name in enumerate(named)}
    try:
        book = OrderBook.from_orders(
            Order(
                str(i),
                index[row["participant"]],
                row["side"],
                row["wh"],
                row["micro"],
                arrival[i],
                nodes[row.get("node", "")],
                row.get("energy_type", ""),
                _requirements(row, index),
            )
            for i, row in enumerate(rows)
        )
    except InvalidBook as invalid:
        raise InvalidCase(*(Problem("orders", problem) for problem in invalid.problems)) from None
    case_of_row = np.array([int(i) for i in book.ids], dtype=np.int64)
    return BookCase(
        book,
        np.argsort(case_of_row),
        [orders[i]["id"] for i in case_of_row.tolist()],
        list(names.values()),
        [index[name] for name in names],
    )


def _order(
    read: CaseReader, order: Any, where: str, nodes: dict[str, int] | None, what: str
) -> dict[str, Any]:
    given = read.mapping(order, where, _ORDER_KEYS, _MORE_ORDER_KEYS)
    readers: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
        "id": ("id", read.name),
        "participant": ("participant", read.name),
        "side": ("side", lambda value, at: _SIDES[read.choice(value, at, tuple(_SIDES))]),
        "quantity_kwh": ("wh", read.energy_wh),
        "price_per_kwh": ("micro", read.micro),
        "time": ("time", read.whole),
        "node": ("node", lambda value, at: _node(read, value, at, nodes, what)),
        "attributes": ("energy_type", lambda value, at: _energy_type(read, value, at)),
        "requirements": ("requirements", lambda value, at: _asked(read, value, at)),
    }
    found = {
        name: reader(given[key], f"{where}.{key}") for key, (name, reader) in readers.items() if key in given
    }
    return {"id": where, "participant": where, **found}


def _node(read: CaseReader, value: Any, where: str, nodes: dict[str, int] | None, what: str) -> str | int:
    """Index of the node in the grid, or of the zone; without both its name."""
    return read.name(value, where) if nodes is None else node_index(read, value, where, nodes, what)


def _energy_type(read: CaseReader, value: Any, where: str) -> str:
    kind = read.anything_named(value, where).get("energy_type")
    return "" if kind is None else read.name(kind, f"{where}.energy_type")


def _asked(read: CaseReader, value: Any, where: str) -> list[tuple[list[str], list[str]]]:
    """Read the alternatives that an order asks for: names of partners and kinds of energy."""
    found = []
    for i, item in enumerate(read.items(value, where)):
        at = f"{where}[{i}]"
        given = read.mapping(item, at, set(), {"partners", "energy_type"})
        partners, kinds = (
            [
                read.name(x, f"{at}.{key}[{j}]")
                for j, x in enumerate(read.items(given.get(key, []), f"{at}.{key}"))
            ]
            for key in ("partners", "energy_type")
        )
        found.append((partners, kinds))
    return found


def _requirements(row: dict[str, Any], index: dict[str, int]) -> tuple[Requirement, ...]:
    # A partner without an order in this book can never be met: no participant has the number -1.
    return tuple(
        Requirement(tuple(index.get(name, -1) for name in partners), tuple(kinds))
        for partners, kinds in row.get("requirements", ())
    )


def _arrival(rows: list[dict[str, Any]], as_listed: bool) -> list[int]:
    """Rank of each order in time: as stated, else as listed where time decides, else by id so that nothing does."""
    if any("time" in row for row in rows):
        # An order without a time counts as 0. Of orders with the same time the id decides, never the order of listing.
        keys: list[Any] = [(row.get("time", 0), row["id"]) for row in rows]
    elif as_listed:
        return list(range(len(rows)))
    else:
        keys = [row["id"] for row in rows]
    rank = {key: i for i, key in enumerate(sorted(set(keys)))}
    return [rank[key] for key in keys]


def _result(case: BookCase, clearing: Clearing, mechanism: str, grid: Grid | None) -> Result:
    book, accepted = case.book, clearing.accepted_wh
    payment = clearing.payment_nano(book)
    fee = np.maximum(clearing.charges_nano, 0)
    surplus = book.side * accepted * book.limit_micro_per_kwh - payment
    interval = clearing.node_price[0] if len(clearing.node_price) == 1 else None
    # Between nodes with prices of their own nobody trades with anybody: the grid buys at one and sells at another.
    prices = clearing.price_micro_per_kwh[accepted > 0]
    by_node = len(clearing.node_price) > 1 and len(np.unique(prices)) > 1
    average = None if by_node else clearing.average_price_micro_per_kwh(book)
    traded = clearing.traded_wh(book)
    proof = clearing.certificate
    of_grid = frozenset() if grid is None else GRID_DETAILS
    own = {name: value for name, value in clearing.details.items() if name not in of_grid}
    made_of = price_components(grid, book, clearing, fee)
    return {
        "mechanism": mechanism,
        "status": "cleared" if traded else "no_trade",
        "traded_kwh": kwh(traded),
        "welfare": money(clearing.welfare_nano),
        "buyer_surplus": money(int(surplus[book.side > 0].sum())),
        "seller_surplus": money(int(surplus[book.side < 0].sum())),
        "operator_surplus": money(clearing.operator_surplus_nano),
        "price": None if average is None else price(average),
        "price_interval": None if interval is None else [price(interval.lo), price(interval.hi)],
        "orders": [
            _order_result(case, row, int(accepted[row]), int(payment[row] - fee[row])) | made_of[row]
            for row in case.row.tolist()
        ],
        "trades": [] if by_node and clearing.trades is None else _trades(case, clearing),
        "participants": _participants(case, payment - fee, fee),
        "certificate": proof and _certificate(proof),
        **({} if grid is None else grid_results(grid, clearing)),
        **at_the_edge(own, lambda row: case.ids[row], case.name_of),
    }


def _certificate(proof: OptimalityCertificate) -> Result:
    if isinstance(proof, NodalPrices):
        return {
            "kind": "NodalPrices",
            "holds": proof.holds,
            "gap": money(proof.gap_nano),
            "allowed_gap": money(proof.allowed_gap_nano),
            "overload_kwh": kwh(proof.overload_wh),
        }
    if not isinstance(proof, DualPrice):
        return {"kind": type(proof).__name__, "holds": proof.holds}
    return {
        "dual_price_per_kwh": price(proof.dual_price_micro_per_kwh),
        "gap": money(proof.gap_nano),
        "residual_kwh": kwh(proof.residual_wh),
    }


def _order_result(case: BookCase, row: int, accepted_wh: int, payment_nano: int) -> Result:
    # Exact where the price is whole; an average over trades keeps its fraction.
    per_kwh = abs(payment_nano) / accepted_wh / MICRO_PER_UNIT if accepted_wh else None
    negative = per_kwh is not None and payment_nano * int(case.book.side[row]) < 0
    return {
        "id": case.ids[row],
        "accepted_kwh": kwh(accepted_wh),
        "price_per_kwh": -per_kwh if negative and per_kwh is not None else per_kwh,
        "payment": money(payment_nano),
    }


def _participants(case: BookCase, payment: IntArray, fee: IntArray) -> list[Result]:
    sums = np.zeros((len(case.roster), 2), dtype=np.int64)
    np.add.at(sums, case.book.participant, np.stack((payment, fee), axis=1))
    return [
        {"participant": name, "payment": money(int(sums[i, 0])), "fee": money(int(sums[i, 1]))}
        for name, i in zip(case.participants, case.roster, strict=True)
    ]


def _trades(case: BookCase, clearing: Clearing) -> list[Result]:
    """The pairs of the mechanism; where it makes none, buys and sells are paired off in the order of the book."""
    pairs = clearing.trades or _paired(case.book, clearing)
    columns = (pairs.buy, pairs.sell, pairs.energy_wh, pairs.price_micro_per_kwh)
    return [
        {"buy": case.ids[b], "sell": case.ids[s], "quantity_kwh": kwh(e), "price_per_kwh": price(p)}
        for b, s, e, p in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _paired(book: OrderBook, clearing: Clearing) -> Trades:
    """Pair bought and sold energy in book order; each overlap of a bid and an offer is a trade.

    Orders are sorted by price, so that trades at one price meet if a mechanism has several, as MUDA. The price of a
    trade is what the buyer pays for a kWh, rebates included, fees not, rounded to a whole micro.
    """
    accepted = np.maximum(clearing.accepted_wh, 1)
    rebate = np.minimum(clearing.charges_nano, 0)
    paid = clearing.price_micro_per_kwh + (2 * rebate + accepted) // (2 * accepted)
    by_price = clearing.price_micro_per_kwh.argsort(kind="stable")
    trades = clearing.accepted_wh[by_price] > 0
    buys, sells = (by_price[trades & (book.side[by_price] == side)] for side in (1, -1))
    bought, sold = np.cumsum(clearing.accepted_wh[buys]), np.cumsum(clearing.accepted_wh[sells])
    ends = np.union1d(bought, sold)
    buy = buys[np.searchsorted(bought, ends)]
    return Trades(buy, sells[np.searchsorted(sold, ends)], np.diff(ends, prepend=0), paid[buy])


_UNITS: dict[str, Callable[[int], float]] = {"_micro_per_kwh": price, "_nano": money, "_wh": kwh}


def at_the_edge(
    details: Mapping[str, Any], order_id: Callable[[int], Any], name_of: Callable[[int], Any]
) -> dict[str, Any]:
    """Convert a mechanism's details to the units of the result.

    Args:
        details: A name that ends in _micro_per_kwh, _nano or _wh is a quantity inside, in _rows a list of rows of the
            book, in _participants a list of participants; objects and lists of objects may hold more of them.
        order_id: Id of the order in a row of the book.
        name_of: Name of a participant.

    Returns:
        The same under names without these endings; energy keeps its unit as _kwh.
    """
    found: dict[str, Any] = {}
    for name, value in details.items():
        if isinstance(value, Mapping):
            found[name] = at_the_edge(value, order_id, name_of)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            found[name] = [at_the_edge(item, order_id, name_of) for item in value]
        elif name.endswith("_rows"):
            found[name.removesuffix("_rows")] = [order_id(int(row)) for row in value]
        elif name.endswith("_participants"):
            found[name.removesuffix("_participants")] = [name_of(int(i)) for i in value]
        else:
            unit = next((ending for ending in _UNITS if name.endswith(ending)), None)
            stem = name if unit is None else name.removesuffix(unit) + ("_kwh" if unit == "_wh" else "")
            found[stem] = value if unit is None or value is None else _UNITS[unit](int(value))
    return found
