"""The orders of a horizon as columns: simple orders by interval, orders that come in lumps, flows, and storages.

A simple order of an interval after the first is a flexible order with a window of that interval and no least energy.
Orders that are accepted together or not at all are lumps: blocks, flexible orders that run in one piece (a lump for
each start, of which one at most is accepted), and interruptible flexible orders (a lump that its flows share out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from market.book import OrderBook
from market.orders import NONE, Block, Flexible, Storage
from market.units import PPM, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SimpleOrders:
    """Orders of one interval each, sorted by interval and then by limit.

    Args:
        row: Row of the book.
        interval: Counted from the first of the horizon.
        side: +1 buys, -1 sells.
        energy_wh: Of the order. [Wh]
        limit_micro_per_kwh: Of the order. [micro-currency/kWh]
    """

    row: IntArray
    interval: IntArray
    side: IntArray
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Lumps:
    """What is accepted with a share of at least its least one, or not at all.

    Args:
        row: Row of the book; several where a flexible order may start at several times.
        profile_wh: Energy in each interval at a share of one, shape (lumps, intervals); bought is positive. [Wh]
        value_nano: Value at the limit at a share of one; negative where energy is sold. [nano-currency]
        least_ppm: Least share; 0 for what may be divided at will. [parts per million]
        parent: The lump whose share is at least this one's, or NONE.
        group: Number of a group of which one lump at most is accepted, or NONE.
    """

    row: IntArray
    profile_wh: IntArray
    value_nano: IntArray
    least_ppm: IntArray
    parent: IntArray
    group: IntArray

    @property
    def least(self) -> FloatArray:
        """Least shares as fractions of one."""
        return self.least_ppm / PPM

    @property
    def whole_or_nothing(self) -> BoolArray:
        """Which are decided yes or no: all but those that may be divided at will and exclude no other."""
        found: BoolArray = (self.least_ppm > 0) | (self.group != NONE)
        return found


@dataclass(frozen=True, slots=True)
class Flow:
    """The energy of an interruptible flexible order, in the intervals of its window.

    Args:
        row: Row of the book.
        lump: Its lump, whose share is the part of the energy that flows.
        side: +1 buys, -1 sells.
        energy_wh: Of the order. [Wh]
        terms: Window, power and least energy.
    """

    row: int
    lump: int
    side: int
    energy_wh: int
    terms: Flexible


@dataclass(frozen=True, slots=True)
class Store:
    """A storage.

    Args:
        row: Row of the book.
        left_micro_per_kwh: Value of a kWh left in it. [micro-currency/kWh]
        terms: Its limits, efficiencies and contents.
    """

    row: int
    left_micro_per_kwh: int
    terms: Storage


@dataclass(frozen=True, slots=True, eq=False)
class Horizon:
    """The orders of a book by what they are.

    Args:
        intervals: Number of intervals: up to the last one that an order names, at least 1.
        simple: Simple orders.
        lumps: Lumps; those of flows are last.
        flows: Interruptible flexible orders.
        stores: Storages.
        price_range: Lowest and highest limit of all orders, of storages the prices at which they would buy or sell what
            is left in them; 0 and 0 where there is none. [micro-currency/kWh]
    """

    intervals: int
    simple: SimpleOrders
    lumps: Lumps
    flows: tuple[Flow, ...]
    stores: tuple[Store, ...]
    price_range: tuple[int, int]


def read_horizon(book: OrderBook) -> Horizon:
    """Sort the orders of a book by kind.

    Args:
        book: Orders without energy are left out. Not changed.
    """
    flexible = {row: t for row, t in book.terms.items() if isinstance(t, Flexible) and book.energy_wh[row]}
    blocks = {row: t for row, t in book.terms.items() if isinstance(t, Block) and book.energy_wh[row]}
    stores = {row: t for row, t in book.terms.items() if isinstance(t, Storage)}
    ends = [t.last for t in flexible.values()] + [t.last for t in stores.values()]
    ends += [t.first + len(t.profile_wh) - 1 for t in blocks.values()]
    intervals = 1 + max(ends, default=0)
    later = {row: t.first for row, t in flexible.items() if t.first == t.last and not t.least_wh}
    is_simple = book.energy_wh > 0
    is_simple[list(book.terms)] = False
    is_simple[list(later)] = True
    interval = np.zeros(len(book), dtype=np.int64)
    interval[list(later)] = list(later.values())
    rows = np.flatnonzero(is_simple)
    rows = rows[np.lexsort((book.limit_micro_per_kwh[rows], interval[rows]))]
    several = {row: t for row, t in flexible.items() if row not in later}
    kept = tuple(Store(row, int(book.limit_micro_per_kwh[row]), t) for row, t in stores.items())
    limits = book.limit_micro_per_kwh[[*rows.tolist(), *blocks, *several]].tolist()
    limits += [price for store in kept for price in _prices_of(store)]
    lumps, flows = _lumps(book, blocks, several, intervals)
    return Horizon(
        intervals,
        SimpleOrders(
            rows,
            interval[rows],
            book.side[rows].astype(np.int64),
            book.energy_wh[rows],
            book.limit_micro_per_kwh[rows],
        ),
        lumps,
        flows,
        kept,
        (min(limits), max(limits)) if limits else (0, 0),
    )


def _prices_of(store: Store) -> tuple[int, int]:
    """The price up to which a storage would buy what stays in it, and that from which it would sell what is in it."""
    left, terms = store.left_micro_per_kwh, store.terms
    return left * terms.charge_ppm // PPM, -(-left * PPM // terms.discharge_ppm) + terms.wear_micro_per_kwh


def starts_of(energy_wh: int, terms: Flexible) -> list[tuple[int, list[int]]]:
    """Starts of a flexible order that runs in one piece: first interval and energies, at its power to the end. [Wh]"""
    whole, rest = divmod(energy_wh, terms.power_wh)
    energies = [terms.power_wh] * whole + [rest] * (rest > 0)
    return [(start, energies) for start in range(terms.first, terms.last - len(energies) + 2)]


class _Lump:
    """One lump while they are gathered."""

    __slots__ = ("energies", "first", "group", "least_ppm", "parent", "row")

    def __init__(
        self,
        row: int,
        first: int,
        energies: Sequence[int],
        least_ppm: int,
        parent: int = NONE,
        group: int = NONE,
    ) -> None:
        self.row, self.first, self.energies = row, first, energies
        self.least_ppm, self.parent, self.group = least_ppm, parent, group


def _lumps(
    book: OrderBook, blocks: dict[int, Block], flexible: dict[int, Flexible], intervals: int
) -> tuple[Lumps, tuple[Flow, ...]]:
    label = {
        (int(book.participant[row]), t.label): i
        for i, (row, t) in enumerate(blocks.items())
        if t.label != NONE
    }
    groups: dict[tuple[int, int], int] = {}
    found = []
    for row, t in blocks.items():
        who = int(book.participant[row])
        parent = NONE if t.parent == NONE else label.get((who, t.parent), NONE)
        group = NONE if t.group == NONE else groups.setdefault((who, t.group), len(groups))
        found.append(_Lump(row, t.first, t.profile_wh, t.least_ppm, parent, group))
    pieces = {row: t for row, t in flexible.items() if not t.interruptible}
    for number, (row, piece) in enumerate(pieces.items(), len(groups)):
        for first, energies in starts_of(int(book.energy_wh[row]), piece):
            found.append(_Lump(row, first, energies, PPM, NONE, number))
    flows = []
    for row, window in flexible.items():
        if window.interruptible:
            energy_wh = int(book.energy_wh[row])
            flows.append(Flow(row, len(found), int(book.side[row]), energy_wh, window))
            found.append(_Lump(row, 0, (), -(-window.least_wh * PPM // energy_wh)))
    return _columns(book, found, intervals), tuple(flows)


def _columns(book: OrderBook, found: list[_Lump], intervals: int) -> Lumps:
    row = np.array([one.row for one in found], dtype=np.int64)
    profile = np.zeros((len(found), intervals), dtype=np.int64)
    for i, one in enumerate(found):
        profile[i, one.first : one.first + len(one.energies)] = one.energies
    side = book.side[row].astype(np.int64)
    return Lumps(
        row,
        profile * side[:, None],
        side * book.energy_wh[row] * book.limit_micro_per_kwh[row],
        np.array([one.least_ppm for one in found], dtype=np.int64),
        np.array([one.parent for one in found], dtype=np.int64),
        np.array([one.group for one in found], dtype=np.int64),
    )


def problems_of(book: OrderBook) -> list[str]:
    """What is wrong with the orders of a horizon together: parents that do not exist, cycles, groups of one."""
    blocks = {row: t for row, t in book.terms.items() if isinstance(t, Block)}
    named = {(int(book.participant[row]), t.label): row for row, t in blocks.items() if t.label != NONE}
    found = []
    above = {}
    for row, t in blocks.items():
        if t.parent == NONE:
            continue
        parent = named.get((int(book.participant[row]), t.parent), NONE)
        above[row] = parent
        if parent == NONE:
            found.append(f"the block of row {row} names a parent that its participant has not")
        elif book.side[parent] != book.side[row] and not book.energy_wh[parent]:
            found.append(f"the parent of the block of row {row} has no energy")
    for row in above:
        seen, at = {row}, above[row]
        while at in above and at not in seen:
            seen.add(at)
            at = above[at]
        if at == row:
            found.append(f"the block of row {row} is its own ancestor")
    groups = sorted((int(book.participant[row]), t.group) for row, t in blocks.items() if t.group != NONE)
    for key, members in groupby(groups):
        if len(list(members)) == 1:
            found.append(f"a group of participant {key[0]} has one block only")
    return found
