"""The order book of one interval: one int64 array per column, one row per order, in canonical order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from market.errors import InvalidBook
from market.orders import OrderKind, Terms, kind_of, problem_of
from market.units import INT64_SAFE, Int8Array, IntArray


class Side(IntEnum):
    """Direction of an order; a bid buys, an offer sells."""

    BUY = 1
    SELL = -1


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an order asks of its counterpart; an empty tuple asks nothing.

    Args:
        partners: Participants it would trade with.
        energy_types: Kinds of energy it would take.
    """

    partners: tuple[int, ...] = ()
    energy_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One order as a person, a file or a message says it.

    Args:
        id: Unique in the book.
        participant: Index into the roster of participants.
        side: Buy or sell.
        energy_wh: At least 0; an order of 0 is ignored. [Wh]
        limit_micro_per_kwh: Worst acceptable price; may be negative. [micro-currency/kWh]
        sequence: Arrival, decided once at gate closure.
        node: Index into the grid's nodes; 0 without a grid.
        energy_type: Kind of the energy offered, such as "PV"; empty where unknown.
        requirements: Alternatives, any of which is to be met; only some mechanisms use them.
        terms: What an order of another kind than a simple one says beyond the above.
    """

    id: str
    participant: int
    side: Side
    energy_wh: int
    limit_micro_per_kwh: int
    sequence: int = 0
    node: int = 0
    energy_type: str = ""
    requirements: tuple[Requirement, ...] = ()
    terms: Terms | None = None


Column = TypeVar("Column", IntArray, Int8Array)
_NO_TERMS: Mapping[int, Terms] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class OrderBook:
    """All orders of one interval, sorted by (participant, sequence); every array is read-only for good.

    Build it with `from_orders` or `from_columns`, which sort and check; the bare constructor trusts its input.
    `energy_type` and `requirements` are empty where no order has any; `terms` holds those of rows that are not simple.
    """

    participant: IntArray
    side: Int8Array
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray
    node: IntArray
    sequence: IntArray
    ids: Sequence[str] = ()
    energy_type: Sequence[str] = ()
    requirements: Sequence[tuple[Requirement, ...]] = ()
    terms: Mapping[int, Terms] = field(default_factory=lambda: _NO_TERMS)

    def __len__(self) -> int:
        return len(self.energy_wh)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of the orders, as `Mechanism.order_kinds` names them."""
        found = {kind_of(terms).word for terms in self.terms.values()}
        return frozenset(
            found if self.terms and len(self.terms) == len(self) else {*found, OrderKind.SIMPLE.word}
        )

    @classmethod
    def from_columns(
        cls,
        participant: IntArray,
        side: Int8Array,
        energy_wh: IntArray,
        limit_micro_per_kwh: IntArray,
        node: IntArray | None = None,
        sequence: IntArray | None = None,
        ids: Sequence[str] = (),
        energy_type: Sequence[str] = (),
        requirements: Sequence[tuple[Requirement, ...]] = (),
        terms: Mapping[int, Terms] = _NO_TERMS,
    ) -> OrderBook:
        """Sort, check and freeze the columns of a book.

        Args:
            participant: Index into the roster, shape (n,).
            side: +1 buy, -1 sell.
            energy_wh: At least 0. [Wh]
            limit_micro_per_kwh: Limit prices. [micro-currency/kWh]
            node: Node of each order; all 0 when left out.
            sequence: Arrival; the row number when left out.
            ids: Names of the orders, or empty.
            energy_type: Kinds of energy, or empty.
            requirements: Requirements of the orders, or empty.
            terms: Terms of the rows that hold other orders than simple ones.

        Raises:
            InvalidBook: Lists every broken rule.
        """
        n = len(energy_wh)
        columns: list[IntArray] = [
            np.asarray(participant, dtype=np.int64),
            np.asarray(energy_wh, dtype=np.int64),
            np.asarray(limit_micro_per_kwh, dtype=np.int64),
            np.zeros(n, dtype=np.int64) if node is None else np.asarray(node, dtype=np.int64),
            np.arange(n, dtype=np.int64) if sequence is None else np.asarray(sequence, dtype=np.int64),
        ]
        side8 = np.asarray(side, dtype=np.int8)
        _refuse_bad_columns(columns, side8, ids)
        who, arrival = columns[0], columns[4]
        rising = who[1:] > who[:-1]
        if not (rising.all() or (rising | ((who[1:] == who[:-1]) & (arrival[1:] >= arrival[:-1]))).all()):
            row = np.lexsort((arrival, who))
            columns = [column[row] for column in columns]
            side8 = side8[row]
            ids = [ids[i] for i in row] if ids else ids
            energy_type = [energy_type[i] for i in row] if energy_type else energy_type
            requirements = [requirements[i] for i in row] if requirements else requirements
            terms = (
                {new: terms[old] for new, old in enumerate(row.tolist()) if old in terms} if terms else terms
            )
        side8 = _freeze(side8)
        who, energy, limit, node, arrival = map(_freeze, columns)
        if terms:
            _refuse_bad_terms(terms, side8, energy, limit)
            terms = MappingProxyType(dict(terms))
        return cls(who, side8, energy, limit, node, arrival, ids, energy_type, requirements, terms)

    @classmethod
    def from_orders(cls, orders: Iterable[Order]) -> OrderBook:
        """Build the book of these orders.

        Raises:
            InvalidBook: Lists every broken rule.
        """
        rows = list(orders)

        def column(name: str) -> IntArray:
            try:
                return np.array([getattr(o, name) for o in rows], dtype=np.int64)
            except OverflowError:
                raise InvalidBook([f"a {name} does not fit into 64 bits"]) from None

        return cls.from_columns(
            column("participant"),
            column("side").astype(np.int8),
            column("energy_wh"),
            column("limit_micro_per_kwh"),
            column("node"),
            column("sequence"),
            [o.id for o in rows],
            [o.energy_type for o in rows] if any(o.energy_type for o in rows) else (),
            [o.requirements for o in rows] if any(o.requirements for o in rows) else (),
            {i: o.terms for i, o in enumerate(rows) if o.terms is not None},
        )

    def order(self, row: int) -> Order:
        """Return one row as an `Order`, to show or to send."""
        return Order(
            id=self.ids[row] if len(self.ids) else str(row),
            participant=int(self.participant[row]),
            side=Side(int(self.side[row])),
            energy_wh=int(self.energy_wh[row]),
            limit_micro_per_kwh=int(self.limit_micro_per_kwh[row]),
            sequence=int(self.sequence[row]),
            node=int(self.node[row]),
            energy_type=self.energy_type[row] if len(self.energy_type) else "",
            requirements=self.requirements[row] if len(self.requirements) else (),
            terms=self.terms.get(row),
        )


def _freeze(column: Column) -> Column:
    """A copy in memory that numpy never makes writable again, so that no mechanism changes the orders it is given."""
    return column if type(column.base) is bytes else np.ndarray(column.shape, column.dtype, column.tobytes())


def _refuse_bad_columns(columns: list[IntArray], side: Int8Array, ids: Sequence[str]) -> None:
    participant, energy, limit, node, sequence = columns
    n = len(energy)
    problems: list[str] = []
    if side.shape != (n,) or any(column.shape != (n,) for column in columns):
        raise InvalidBook(["the columns of a book must be one-dimensional and of equal length"])
    if n == 0:
        return
    if energy.min() < 0:
        rows = np.flatnonzero(energy < 0)[:5].tolist()
        problems.append(f"negative energy in rows {rows}; the direction is `side`, never a sign")
    if (np.abs(side) != 1).any():
        problems.append("a side that is neither +1 (buy) nor -1 (sell)")
    # One sign bit of any of them shows in the or of all.
    if (participant | node | sequence).min() < 0:
        problems.append("a negative participant, node or sequence")
    # Python integers below: this check itself must not overflow. A float sum is exact enough to bound.
    worst_price = max(abs(int(limit.min())), abs(int(limit.max())), 1)
    if float(energy.sum(dtype=np.float64)) * worst_price >= INT64_SAFE:
        problems.append(
            "energy times price passes 2^62 nano-currency (about 4.6e9 currency units in one interval);"
            " use a larger currency unit or split the book"
        )
    if len(ids) and (len(ids) != n or len(set(ids)) != n):
        problems.append("order ids must be unique, one per order")
    if problems:
        raise InvalidBook(problems)


def _refuse_bad_terms(terms: Mapping[int, Terms], side: Int8Array, energy: IntArray, limit: IntArray) -> None:
    problems = [f"terms of row {row} of {len(energy)}" for row in terms if not 0 <= row < len(energy)]
    if not problems:
        found = ((i, problem_of(t, int(side[i]), int(energy[i]), int(limit[i]))) for i, t in terms.items())
        problems = [f"{problem} in row {i}" for i, problem in found if problem]
    if problems:
        raise InvalidBook(problems)
