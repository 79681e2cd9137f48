"""Clear a case of a horizon: simple orders by period, blocks, flexible orders and storages in decimal numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from market.book import Order, OrderBook, Side
from market.clearing import Clearing
from market.errors import InvalidBook, InvalidRules
from market.mechanism import Mechanism, clear_checked
from market.orders import MAX_HORIZON, NONE, Block, Flexible, Storage, Terms
from market.parameters import rules_with
from market.rules import MarketRules
from market.units import PPM, WH_PER_KWH, IntArray, kwh, money, price
from optimizer.blocks.infeasible import Unreachable
from wattswap.errors import Problem, suggest
from wattswap.inputs.collector import CaseReader, InvalidCase, shown
from wattswap.inputs.parameters import read_parameters

Result = dict[str, Any]

_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_ORDER = {"id", "side", "quantity_kwh", "price_per_kwh"}
_BLOCK = {"id", "price", "profile"}
_MORE_BLOCK = {"participant", "min_acceptance", "parent", "exclusive_group"}
_FLEXIBLE = {*_ORDER, "first_period", "last_period", "power_kw"}
_MORE_FLEXIBLE = {"participant", "interruptible", "min_acceptance"}
_STORAGE = {"id", "energy_kwh", "power_kw", "charge_efficiency", "discharge_efficiency", "initial_kwh"}
_MORE_STORAGE = {"participant", "final_kwh", "wear_per_kwh", "value_per_kwh", "first_period", "last_period"}


@dataclass(slots=True)
class _Given:
    """One order as read.

    Args:
        where: Its place in the case.
        id: As given.
        participant: As given; None where it names none.
        side: +1 buys, -1 sells.
        energy_wh: Of the order. [Wh]
        limit: Of the order. [micro-currency/kWh]
        terms: None for a simple order of the first period.
        time: Arrival, 0 where it has none.
        parent: Id of the parent of a block, as text.
        group: Name of the exclusive group of a block.
    """

    where: str
    id: Any
    participant: Any
    side: int = 1
    energy_wh: int = 0
    limit: int = 0
    terms: Terms | None = None
    time: int = 0
    parent: str | None = None
    group: str | None = None


@dataclass(slots=True)
class _Case:
    """A case while it is read: its periods, minutes of each, and the orders by kind."""

    periods: int
    minutes: int
    simple: list[list[_Given]] = field(default_factory=list)
    blocks: list[_Given] = field(default_factory=list)
    flexible: list[_Given] = field(default_factory=list)
    storage: list[_Given] = field(default_factory=list)

    @property
    def all(self) -> list[_Given]:
        """All orders, in the order of the case."""
        return [
            *(one for period in self.simple for one in period),
            *self.blocks,
            *self.flexible,
            *self.storage,
        ]


def clear_horizon_case(case: Mapping[str, Any], mechanism: Mechanism) -> Result:
    """Clear the orders of a horizon.

    Args:
        case: {"periods", "blocks"?, "flexible"?, "storage"?, "minutes"?, "params"?}, as read from JSON. Not changed.
        mechanism: One whose inputs are those of a horizon.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    read = CaseReader()
    top = read.mapping(case, "case", {"periods"}, {"blocks", "flexible", "storage", "minutes", "params"})
    given = _read(read, top)
    values = read_parameters(read, top.get("params", {}), mechanism.parameters)
    _check_ids(read, given.all)
    _check_families(read, given.blocks)
    read.refuse()
    rules = rules_with(MarketRules(), values)
    book, rows = _book(given)
    try:
        clearing = clear_checked(mechanism, book, rules)
    except InvalidRules as unfit:
        raise InvalidCase(Problem("params", str(unfit))) from None
    except Unreachable as unreachable:
        names = {int(row): str(one.id) for one, row in zip(given.all, rows, strict=True)}
        reason = unreachable.said_of([names[row] for row in unreachable.rows])
        return {"mechanism": mechanism.name, "status": "infeasible", "reason": reason}
    return _result(given, book, rows, clearing, mechanism.name)


def _read(read: CaseReader, top: Mapping[str, Any]) -> _Case:
    periods = read.items(top.get("periods", []), "periods")
    if not periods and "periods" in top and isinstance(top["periods"], list | tuple):
        read.note("periods", "is empty", "give a list of orders for each period; it may be empty")
    if len(periods) > MAX_HORIZON:
        read.note("periods", f"has {len(periods)} periods", f"give {MAX_HORIZON} at most")
    minutes = read.whole(top["minutes"], "minutes") if "minutes" in top else 60
    if minutes <= 0:
        read.note("minutes", f"is {minutes}", "give the minutes of a period, above 0")
        minutes = 60
    found = _Case(len(periods), minutes)
    for t, orders in enumerate(periods):
        at = f"periods[{t}]"
        listed = read.items(orders, at)
        found.simple.append([_simple(read, order, f"{at}[{i}]", t) for i, order in enumerate(listed)])
    kinds: tuple[tuple[str, list[_Given], Callable[..., _Given]], ...] = (
        ("blocks", found.blocks, _block),
        ("flexible", found.flexible, _flexible),
        ("storage", found.storage, _storage),
    )
    for key, orders, reader in kinds:
        for i, order in enumerate(read.items(top.get(key, []), key)):
            orders.append(reader(read, order, f"{key}[{i}]", found))
    return found


def _named(read: CaseReader, given: Mapping[str, Any], where: str) -> _Given:
    for key in ("id", "participant"):
        if key in given:
            read.name(given[key], f"{where}.{key}")
    return _Given(where, given.get("id", where), given.get("participant"))


def _priced(read: CaseReader, given: Mapping[str, Any], found: _Given) -> None:
    where = found.where
    if "side" in given:
        found.side = int(_SIDES[read.choice(given["side"], f"{where}.side", tuple(_SIDES))])
    if "quantity_kwh" in given:
        found.energy_wh = max(0, read.energy_wh(given["quantity_kwh"], f"{where}.quantity_kwh"))
    if "price_per_kwh" in given:
        found.limit = read.micro(given["price_per_kwh"], f"{where}.price_per_kwh")


def _simple(read: CaseReader, order: Any, where: str, period: int) -> _Given:
    given = read.mapping(order, where, _ORDER, {"participant", "time"})
    found = _named(read, given, where)
    _priced(read, given, found)
    if "time" in given:
        found.time = read.whole(given["time"], f"{where}.time")
    if period and found.energy_wh:
        found.terms = Flexible(period, period, 0, found.energy_wh, 1)
    return found


def _block(read: CaseReader, order: Any, where: str, case: _Case) -> _Given:
    given = read.mapping(order, where, _BLOCK, _MORE_BLOCK)
    found = _named(read, given, where)
    if "price" in given:
        found.limit = read.micro(given["price"], f"{where}.price")
    profile = [_signed_wh(read, x, f"{where}.profile[{t}]") for t, x in _profile(read, given, where, case)]
    if any(x > 0 for x in profile) and any(x < 0 for x in profile):
        cure = "give two blocks, and name one the parent of the other"
        read.note(f"{where}.profile", "sells in some periods and buys in others", cure)
    found.side = -1 if any(x > 0 for x in profile) else 1
    found.energy_wh = sum(map(abs, profile))
    least = _share(read, given, "min_acceptance", where, 1, above_zero=True)
    for key in ("parent", "exclusive_group"):
        if key in given:
            read.name(given[key], f"{where}.{key}")
    found.parent = str(given["parent"]) if "parent" in given else None
    found.group = str(given["exclusive_group"]) if "exclusive_group" in given else None
    found.terms = Block(0, least, NONE, NONE, NONE, tuple(map(abs, profile)) or (0,))
    return found


def _profile(read: CaseReader, given: Mapping[str, Any], where: str, case: _Case) -> list[tuple[int, Any]]:
    profile = read.items(given.get("profile", []), f"{where}.profile")
    if len(profile) > case.periods:
        has = f"has {len(profile)} energies for {case.periods} periods"
        read.note(f"{where}.profile", has, "give one for each period, or fewer")
    elif "profile" in given and not any(profile):
        read.note(
            f"{where}.profile", "holds no energy", "give kWh for each period: above 0 sells, below 0 buys"
        )
    return list(enumerate(profile))


def _signed_wh(read: CaseReader, value: Any, where: str) -> int:
    number = read.number(value, where)
    return 0 if number is None else read.energy_wh(abs(number), where) * (1 if number > 0 else -1)


def _share(
    read: CaseReader,
    given: Mapping[str, Any],
    key: str,
    where: str,
    default: int,
    *,
    above_zero: bool = False,
) -> int:
    """Read a share or an efficiency. [parts per million]"""
    number = read.number(given[key], f"{where}.{key}") if key in given else None
    if number is None:
        return default * PPM
    if number > 1 or number < 0 or (above_zero and round(number * PPM) < 1):
        range_ = "above 0 and at most 1" if above_zero else "from 0 to 1"
        read.note(f"{where}.{key}", f"is {number}", f"give a number {range_}")
        return PPM
    return round(number * PPM)


def _power_wh(read: CaseReader, given: Mapping[str, Any], key: str, where: str, case: _Case) -> int:
    """Energy of a period at a power, rounded down. [kW -> Wh]"""
    number = read.number(given[key], f"{where}.{key}") if key in given else None
    if number is None:
        return 1
    if number <= 0:
        read.note(f"{where}.{key}", f"is {number}", "give a power above 0")
        return 1
    energy = int(Fraction(Decimal(number)) * WH_PER_KWH * case.minutes / 60)
    if not energy:
        read.note(f"{where}.{key}", f"is less than a Wh in {case.minutes} minutes", "give a higher power")
    return max(1, energy)


def _window(read: CaseReader, given: Mapping[str, Any], where: str, case: _Case) -> tuple[int, int]:
    first, last = (
        read.whole(given[key], f"{where}.{key}") if key in given else default
        for key, default in (("first_period", 0), ("last_period", case.periods - 1))
    )
    if case.periods and not 0 <= first <= last < case.periods:
        problem = f"has a window from period {first} to {last}, and the horizon has the periods 0 to {case.periods - 1}"
        read.note(where, problem, "give a window inside of it")
        return 0, max(0, case.periods - 1)
    return max(first, 0), max(first, last, 0)


def _flexible(read: CaseReader, order: Any, where: str, case: _Case) -> _Given:
    given = read.mapping(order, where, _FLEXIBLE, _MORE_FLEXIBLE)
    found = _named(read, given, where)
    _priced(read, given, found)
    first, last = _window(read, given, where, case)
    power = _power_wh(read, given, "power_kw", where, case)
    interruptible = given.get("interruptible", True)
    if not isinstance(interruptible, bool):
        read.note(f"{where}.interruptible", f"must be true or false, not {shown(interruptible)}")
    least = _share(read, given, "min_acceptance", where, 0 if interruptible is True else 1)
    if interruptible is False and least < PPM:
        cure = "leave it out: what runs in one piece is accepted whole or not at all"
        read.note(f"{where}.min_acceptance", "has no meaning without interruption", cure)
    fits = power * (last - first + 1)
    if "power_kw" in given and found.energy_wh > fits:
        problem = f"needs {kwh(found.energy_wh)} kWh and takes {kwh(fits)} kWh in its window at most"
        read.note(where, problem, "give a longer window or more power")
    least_wh = -(-found.energy_wh * least // PPM)
    found.terms = Flexible(first, last, least_wh, power, int(interruptible is True))
    return found


def _storage(read: CaseReader, order: Any, where: str, case: _Case) -> _Given:
    given = read.mapping(order, where, _STORAGE, _MORE_STORAGE)
    found = _named(read, given, where)
    first, last = _window(read, given, where, case)
    power = _power_wh(read, given, "power_kw", where, case)

    def energy(key: str, default: int) -> int:
        return max(0, read.energy_wh(given[key], f"{where}.{key}")) if key in given else default

    capacity, initial = energy("energy_kwh", 0), energy("initial_kwh", 0)
    final = energy("final_kwh", initial)
    for key, content in (("initial_kwh", initial), ("final_kwh", final)):
        if key in given and "energy_kwh" in given and content > capacity:
            read.note(f"{where}.{key}", f"is {kwh(content)} and the storage holds {kwh(capacity)} kWh")
    into, out = (
        _share(read, given, key, where, 1, above_zero=True)
        for key in ("charge_efficiency", "discharge_efficiency")
    )
    wear, left = (
        read.micro(given[key], f"{where}.{key}") if key in given else 0
        for key in ("wear_per_kwh", "value_per_kwh")
    )
    if wear < 0:
        read.note(f"{where}.wear_per_kwh", f"is {given['wear_per_kwh']}", "give a cost of at least 0")
    found.energy_wh, found.limit = power, left
    found.terms = Storage(first, last, capacity, initial, final, power, power, into, out, max(wear, 0))
    return found


def read_storage(
    read: CaseReader, order: Any, where: str, periods: int, minutes: int
) -> tuple[Any, int, Storage]:
    """Read a storage as a horizon has them: its id, the value of a kWh left in it, and its terms."""
    found = _storage(read, order, where, _Case(periods, minutes))
    assert isinstance(found.terms, Storage)
    return found.id, found.limit, found.terms


def _check_ids(read: CaseReader, orders: list[_Given]) -> None:
    place: dict[str, str] = {}
    for one in orders:
        if place.setdefault(str(one.id), one.where) != one.where:
            read.note(f"{one.where}.id", f"{shown(one.id)} is the id of {place[str(one.id)]} already")


def _check_families(read: CaseReader, blocks: list[_Given]) -> None:
    """Note parents that do not exist, cycles, groups of one, and families of several participants."""
    named = {str(one.id): one for one in blocks}
    for one in blocks:
        if one.parent is None:
            continue
        parent = named.get(one.parent)
        if parent is None:
            cure = suggest(one.parent, named)
            read.note(f"{one.where}.parent", f"{shown(one.parent)} is not the id of a block", cure)
        elif parent.participant != one.participant:
            read.note(f"{one.where}.parent", f"{shown(one.parent)} is a block of another participant")
        cycle, at = [str(one.id)], parent
        while at is not None and str(at.id) not in cycle:
            cycle.append(str(at.id))
            at = named.get(at.parent) if at.parent is not None else None
        if at is one:
            read.note(
                f"{one.where}.parent",
                f"the parents form a cycle: {' -> '.join([*cycle, cycle[0]])}",
                "take one out",
            )
    groups: dict[str, list[_Given]] = {}
    for one in blocks:
        if one.group is not None:
            groups.setdefault(one.group, []).append(one)
    for name, members in groups.items():
        where = f"{members[0].where}.exclusive_group"
        if len(members) == 1:
            read.note(
                where,
                f"{shown(name)} is the group of this block only",
                "add another block to it, or leave it out",
            )
        elif len({str(one.participant) for one in members}) > 1:
            read.note(where, f"{shown(name)} has blocks of several participants", "give each its own group")


def _book(case: _Case) -> tuple[OrderBook, IntArray]:
    """The book, and the row of each order of the case.

    Raises:
        InvalidCase: Energies and prices are too large together.
    """
    orders = case.all
    names = sorted({str(one.participant) for one in orders if one.participant is not None})
    index = {name: i for i, name in enumerate(names)}
    label = {str(one.id): i for i, one in enumerate(case.blocks)}
    groups = {name: i for i, name in enumerate(dict.fromkeys(one.group for one in case.blocks if one.group))}
    for one in case.blocks:
        assert isinstance(one.terms, Block)
        parent = NONE if one.parent is None else label[one.parent]
        group = NONE if one.group is None else groups[one.group]
        one.terms = Block(0, one.terms.least_ppm, label[str(one.id)], parent, group, one.terms.profile_wh)
    rank = {key: i for i, key in enumerate(sorted({(one.time, str(one.id)) for one in orders}))}
    try:
        book = OrderBook.from_orders(
            Order(
                str(i),
                len(names) if one.participant is None else index[str(one.participant)],
                Side(one.side),
                one.energy_wh,
                one.limit,
                rank[one.time, str(one.id)],
                terms=one.terms,
            )
            for i, one in enumerate(orders)
        )
    except InvalidBook as invalid:
        raise InvalidCase(*(Problem("case", problem) for problem in invalid.problems)) from None
    return book, np.argsort(np.array([int(i) for i in book.ids], dtype=np.int64))


def _result(case: _Case, book: OrderBook, rows: IntArray, clearing: Clearing, mechanism: str) -> Result:
    schedule = clearing.schedule_wh
    if schedule is None:  # nothing was ordered
        schedule = np.zeros((len(book), 1), dtype=np.int64)
    energy = np.zeros((len(book), case.periods), dtype=np.int64)
    energy[:, : schedule.shape[1]] = schedule
    payment = clearing.payment_nano(book)
    place = {one.where: int(row) for one, row in zip(case.all, rows, strict=True)}
    row_id = {int(row): one.id for one, row in zip(case.all, rows, strict=True)}
    rejected = clearing.details.get("paradoxically_rejected_rows", [])
    accepted = [one.id for one in case.blocks if clearing.accepted_wh[place[one.where]]]
    proof: Any = clearing.certificate
    return {
        "mechanism": mechanism,
        "status": "cleared" if clearing.accepted_wh.any() else "no_trade",
        "traded_kwh": kwh(int(np.maximum(energy, 0).sum())),
        "welfare": money(clearing.welfare_nano),
        "welfare_bound": money(clearing.welfare_nano if proof is None else proof.bound_nano),
        "gap": clearing.details.get("gap", 0.0),
        "accepted_blocks": accepted,
        "paradoxically_rejected": [row_id[row] for row in rejected],
        "periods": [_period(case, t, energy, payment, clearing, place) for t in range(case.periods)],
        "blocks": [_order(one, place, energy, payment) for one in case.blocks],
        "flexible": [_order(one, place, energy, payment) for one in case.flexible],
        "storage": [
            _store(one, energy[place[one.where]], int(payment[place[one.where]])) for one in case.storage
        ],
        "participants": _participants(case, place, payment),
        "certificate": proof
        and {
            "kind": "MilpGap",
            "bound": money(proof.bound_nano),
            "gap": money(proof.gap_nano),
            "allowed_gap": money(proof.allowed_gap_nano),
            "complete": proof.complete,
            "holds": proof.holds,
        },
    }


def _period(
    case: _Case, t: int, energy: IntArray, payment: IntArray, clearing: Clearing, place: Mapping[str, int]
) -> Result:
    nodes = clearing.prices[t] if t < len(clearing.prices) else (None,)
    found = nodes[0]
    orders = []
    for one in case.simple[t]:
        row = place[one.where]
        moved = abs(int(energy[row, t]))
        orders.append(
            {
                "id": one.id,
                "accepted_kwh": kwh(moved),
                "price_per_kwh": price(found.price) if moved and found is not None else None,
                "payment": money(int(payment[row])),
            }
        )
    return {
        "price": None if found is None else price(found.price),
        "price_interval": None if found is None else [price(found.lo), price(found.hi)],
        "traded_kwh": kwh(int(np.maximum(energy[:, t], 0).sum())),
        "orders": orders,
    }


def _order(one: _Given, place: Mapping[str, int], energy: IntArray, payment: IntArray) -> Result:
    row = place[one.where]
    moved = np.abs(energy[row])
    share = int(moved.sum()) / one.energy_wh if one.energy_wh else 0.0
    return {
        "id": one.id,
        "accepted_share": round(share, 6),
        "accepted_kwh": kwh(int(moved.sum())),
        "schedule_kwh": [kwh(int(x)) for x in moved],
        "payment": money(int(payment[row])),
    }


def _store(one: _Given, energy: IntArray, payment_nano: int) -> Result:
    assert isinstance(one.terms, Storage)
    into, out = np.maximum(energy, 0), np.maximum(-energy, 0)
    change = np.cumsum(into * (one.terms.charge_ppm / PPM) - out * (PPM / one.terms.discharge_ppm))
    return {
        "id": one.id,
        "charge_kwh": [kwh(int(x)) for x in into],
        "discharge_kwh": [kwh(int(x)) for x in out],
        "content_kwh": [round((one.terms.initial_wh + float(x)) / WH_PER_KWH, 6) for x in change],
        "payment": money(payment_nano),
    }


def _participants(case: _Case, place: Mapping[str, int], payment: IntArray) -> list[Result]:
    sums: dict[Any, int] = {}
    for one in case.all:
        if one.participant is not None:
            sums[one.participant] = sums.get(one.participant, 0) + int(payment[place[one.where]])
    return [{"participant": name, "payment": money(amount), "fee": 0.0} for name, amount in sums.items()]
