"""Orders that say more than side, energy and limit: what kinds there are, their terms, and what terms are valid.

A book keeps terms beside its rows; simple orders have none. On the wire terms are whole numbers behind the number of
their kind. Intervals are counted from the first one of the market's horizon. Which mechanism takes which kind, it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

from market.units import INT64_SAFE, PPM

MAX_ORDERS = 64
"""Orders of one participant in one interval, at most."""
MAX_LINES = 128
"""Orders of one participant for a horizon, at most: one for each quarter of an hour of a day, and some beside."""
MAX_HORIZON = 672
"""Intervals of a horizon, at most: a week of 15 minutes."""

NONE = -1


class OrderKind(IntEnum):
    """The number of a kind on the wire."""

    SIMPLE = 0
    BLOCK = 1
    FLEXIBLE = 2
    STORAGE = 3
    QUOTE = 4

    @property
    def word(self) -> str:
        """Its name in sentences and in `Mechanism.order_kinds`."""
        return self.name.lower()


HORIZON_KINDS = (OrderKind.SIMPLE, OrderKind.FLEXIBLE, OrderKind.STORAGE)
"""Kinds of orders with which homes order the intervals of a horizon."""


@dataclass(frozen=True, slots=True)
class Block:
    """Energy in several intervals at one limit, accepted together or not at all.

    Args:
        first: First interval.
        least_ppm: Share that is accepted at least where any is. [parts per million]
        label: The participant's own number of the block, by which others refer to it, or NONE.
        parent: Label of the participant's block without which this one cannot be accepted, or NONE.
        group: Number of the participant's group of which one block at most is accepted, or NONE.
        profile_wh: Energy in each interval from `first` on, in the order's direction. [Wh]
    """

    first: int
    least_ppm: int
    label: int
    parent: int
    group: int
    profile_wh: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flexible:
    """Energy that may flow at any time of a window.

    Args:
        first: First interval of the window.
        last: Last interval of the window.
        least_wh: Energy that is accepted at least where any is. [Wh]
        power_wh: Most energy in an interval. [Wh]
        interruptible: 1 where it may stop and go on; 0 where it runs in one piece.
    """

    first: int
    last: int
    least_wh: int
    power_wh: int
    interruptible: int

    @property
    def is_whole(self) -> bool:
        """Whether it cannot be divided at will, so that a clearing has to search."""
        return bool(self.least_wh) or not self.interruptible


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage that buys and sells for the market's welfare; the order's limit is the value of a kWh left in it.

    Args:
        first: First interval in which it is there.
        last: Last one.
        capacity_wh: What it holds. [Wh]
        initial_wh: In it before `first`. [Wh]
        final_wh: In it after `last`, at least. [Wh]
        charge_wh: Most energy into it in an interval. [Wh]
        discharge_wh: Most energy out of it in an interval. [Wh]
        charge_ppm: Stored per energy in. [parts per million]
        discharge_ppm: Energy out per stored. [parts per million]
        wear_micro_per_kwh: Cost of a kWh out of it. [micro-currency/kWh]
    """

    first: int
    last: int
    capacity_wh: int
    initial_wh: int
    final_wh: int
    charge_wh: int
    discharge_wh: int
    charge_ppm: int
    discharge_ppm: int
    wear_micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class Quote:
    """The selling half of a two-sided quote; the order itself is the buying half.

    Args:
        sell_wh: Energy it would sell. [Wh]
        sell_limit_micro_per_kwh: Lowest price for it, not below the buying limit. [micro-currency/kWh]
    """

    sell_wh: int
    sell_limit_micro_per_kwh: int


Terms = Block | Flexible | Storage | Quote
_PLAIN: dict[OrderKind, type[Flexible | Storage | Quote]] = {
    OrderKind.FLEXIBLE: Flexible,
    OrderKind.STORAGE: Storage,
    OrderKind.QUOTE: Quote,
}
"""Kinds whose terms are numbers alone."""
_KINDS: dict[type[Terms], OrderKind] = {Block: OrderKind.BLOCK} | {
    terms: kind for kind, terms in _PLAIN.items()
}

_TERMS_OF: dict[type[Terms], Callable[[Terms], tuple[Any, ...]]] = {
    kind: attrgetter(*(one.name for one in fields(kind))) for kind in _KINDS
}
"""The terms of each kind in the order of its fields; `astuple` copies deeply, which takes ten times as long."""


def kind_of(terms: Terms | None) -> OrderKind:
    """The kind of an order with these terms; without terms it is simple."""
    return OrderKind.SIMPLE if terms is None else _KINDS[type(terms)]


def numbers_of(terms: Terms | None) -> tuple[int, ...]:
    """The terms as whole numbers, the profile of a block last."""
    if terms is None:
        return ()
    *head, last = _TERMS_OF[type(terms)](terms)
    return (*head, *last) if isinstance(last, tuple) else (*head, last)


def terms_from(kind: int, numbers: Sequence[int]) -> Terms | None:
    """Read terms back; the opposite of `kind_of` and `numbers_of`.

    Raises:
        ValueError: No such kind, or another count of numbers than it has.
    """
    known = OrderKind(kind)
    if known is OrderKind.SIMPLE:
        if numbers:
            raise ValueError("a simple order with terms")
        return None
    if known is OrderKind.BLOCK:
        if len(numbers) < len(fields(Block)):
            raise ValueError(f"a block order with {len(numbers)} terms")
        first, least_ppm, label, parent, group, *profile = numbers
        return Block(first, least_ppm, label, parent, group, tuple(profile))
    terms = _PLAIN[known]
    if len(numbers) != len(fields(terms)):
        raise ValueError(f"a {known.word} order has {len(fields(terms))} terms, not {len(numbers)}")
    return terms(*numbers)


class Reach(NamedTuple):
    """What an order can move, and when.

    Args:
        first: First interval in which it can move something.
        last: Last one.
        most_wh: The most in one of them. [Wh]
        whole_wh: The most in all of them. [Wh]
    """

    first: int
    last: int
    most_wh: int
    whole_wh: int


def reach_of(energy_wh: int, terms: Terms | None) -> Reach:
    """The reach of a valid order; of a quote counts the larger half, of a storage the stronger way.

    Args:
        energy_wh: Of the order. [Wh]
    """
    if isinstance(terms, Block):
        return Reach(
            terms.first, terms.first + len(terms.profile_wh) - 1, max(map(abs, terms.profile_wh)), energy_wh
        )
    if isinstance(terms, Flexible):
        return Reach(terms.first, terms.last, min(energy_wh, terms.power_wh), energy_wh)
    if isinstance(terms, Storage):
        most_wh = max(energy_wh, terms.discharge_wh)
        return Reach(terms.first, terms.last, most_wh, most_wh * (terms.last - terms.first + 1))
    most_wh = max(energy_wh, terms.sell_wh) if isinstance(terms, Quote) else energy_wh
    return Reach(0, 0, most_wh, most_wh)


def busiest_wh(orders: Iterable[Reach]) -> int:
    """What orders can move together in the interval in which that is most. [Wh]"""
    change = Counter[int]()
    for order in orders:
        change[order.first] += order.most_wh
        change[order.last + 1] -= order.most_wh
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def problem_of(terms: Terms, side: int, energy_wh: int, limit_micro_per_kwh: int) -> str | None:
    """Say what makes an order with these terms invalid, or None.

    Args:
        side: +1 buy, -1 sell, of the order; storages and quotes are buys.
        energy_wh: Of the order: the whole of a block or flexible order, charge or buying half otherwise. [Wh]
        limit_micro_per_kwh: Of the order. [micro-currency/kWh]
    """
    what = kind_of(terms).word
    if max(map(abs, numbers_of(terms))) >= INT64_SAFE:
        return f"a {what} order with a term beyond 2^62"
    if isinstance(terms, Storage | Quote) and side != 1:
        return f"a {what} order must be a buy"
    if isinstance(terms, Block):
        problem = _block(terms, energy_wh)
    elif isinstance(terms, Flexible):
        problem = _flexible(terms, energy_wh)
    elif isinstance(terms, Storage):
        problem = _storage(terms, energy_wh)
    else:
        problem = _quote(terms, limit_micro_per_kwh)
    return None if problem is None else f"a {what} order {problem}"


def _block(terms: Block, energy_wh: int) -> str | None:
    if terms.first < 0 or terms.first + len(terms.profile_wh) > MAX_HORIZON:
        return f"outside 0..{MAX_HORIZON} intervals"
    if min(terms.profile_wh) < 0:
        return "with mixed signs; its direction is the side"
    if sum(terms.profile_wh) != energy_wh:
        return f"of {energy_wh} Wh with a profile of {sum(terms.profile_wh)} Wh"
    if not 0 < terms.least_ppm <= PPM:
        return f"with a least share of {terms.least_ppm} ppm"
    if min(terms.label, terms.parent, terms.group) < NONE:
        return "with a negative label, parent or group"
    return "that is its own parent" if terms.parent != NONE and terms.parent == terms.label else None


def _window(first: int, last: int) -> str | None:
    return (
        None
        if 0 <= first <= last < MAX_HORIZON
        else f"with a window {first}..{last} outside 0..{MAX_HORIZON - 1}"
    )


def _flexible(terms: Flexible, energy_wh: int) -> str | None:
    if terms.power_wh <= 0 or not 0 <= terms.least_wh <= energy_wh:
        return f"of {energy_wh} Wh with at least {terms.least_wh} Wh at {terms.power_wh} Wh an interval"
    if energy_wh > terms.power_wh * (terms.last - terms.first + 1) or terms.interruptible not in (0, 1):
        return _window(terms.first, terms.last) or "whose energy does not fit into its window"
    return _window(terms.first, terms.last)


def _storage(terms: Storage, energy_wh: int) -> str | None:
    if not (0 < terms.charge_ppm <= PPM and 0 < terms.discharge_ppm <= PPM):
        return "with an efficiency of 0 or above one"
    if min(terms.charge_wh, terms.discharge_wh) < 0 or terms.charge_wh != energy_wh:
        return f"of {energy_wh} Wh that charges {terms.charge_wh} Wh an interval"
    if not (0 <= terms.initial_wh <= terms.capacity_wh and 0 <= terms.final_wh <= terms.capacity_wh):
        return f"of {terms.capacity_wh} Wh with {terms.initial_wh} Wh first and {terms.final_wh} Wh last"
    return (
        "with a negative cost of wear" if terms.wear_micro_per_kwh < 0 else _window(terms.first, terms.last)
    )


def _quote(terms: Quote, limit: int) -> str | None:
    if terms.sell_wh < 0:
        return "that sells a negative energy"
    return "that would sell below what it buys for" if terms.sell_limit_micro_per_kwh < limit else None
