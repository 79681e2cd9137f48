"""A limit order book: price-time priority, partial fills, every trade at the price of the resting order.

The book is two heaps of whole numbers, one per side. A key holds the rank of the limit, better first, and below it
the number of the event, earlier first, so that the smallest key is always the order to be served next.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import IntEnum
from heapq import heappop, heappush
from typing import Literal, NamedTuple

import numpy as np

from market.units import IntArray

SelfTrade = Literal["allow", "skip"]


class Kind(IntEnum):
    """What an event is."""

    LIMIT = 0
    """Trades what it can at its limit or better; the rest stays in the book."""
    IOC = 1
    """Immediate or cancel: as a limit order, but the rest is dropped."""
    FOK = 2
    """Fill or kill: trades whole at once, or not at all."""
    MARKET = 3
    """Trades at any price; the rest is dropped."""
    CANCEL = 4
    """Takes what is left of an order out of the book."""


class Event(NamedTuple):
    """One event of a continuous market.

    Args:
        kind: What it is.
        id: Of the order; of a cancel, of the order to take out. One that is not in the book has no effect.
        participant: Whose order; ignored for a cancel.
        side: +1 buy, -1 sell; ignored for a cancel.
        energy_wh: At least 0; an order of 0 does nothing. [Wh]
        limit_micro_per_kwh: Ignored for a cancel or a market order. [micro-currency/kWh]
    """

    kind: Kind
    id: Hashable
    participant: Hashable = 0
    side: int = 1
    energy_wh: int = 0
    limit_micro_per_kwh: int = 0


class Matched(NamedTuple):
    """What a stream of orders has done; orders are called by their number in the stream.

    Args:
        resting: The order in the book, per trade in order of execution.
        aggressor: The order that came in.
        energy_wh: [Wh]
        bids: Bids left, best first.
        asks: Offers left, best first.
        left_wh: What is left of each order in the book; 0 of one that is not in it. [Wh]
    """

    resting: IntArray
    aggressor: IntArray
    energy_wh: IntArray
    bids: list[int]
    asks: list[int]
    left_wh: list[int]


class Execution(NamedTuple):
    """One trade of an event stream. [Wh, micro-currency/kWh]"""

    resting: Hashable
    aggressor: Hashable
    energy_wh: int
    price_micro_per_kwh: int


class Resting(NamedTuple):
    """What is left of an order in the book. [micro-currency/kWh, Wh]"""

    id: Hashable
    limit_micro_per_kwh: int
    energy_wh: int


class Streamed(NamedTuple):
    """The result of an event stream.

    Args:
        trades: In order of execution.
        bids: Bids left, best first.
        offers: Offers left, best first.
        id_in_use: Orders whose id was that of an order still in the book: the numbers of both in the stream.
    """

    trades: list[Execution]
    bids: list[Resting]
    offers: list[Resting]
    id_in_use: list[tuple[int, int]]


def clear_events(events: Sequence[Event], self_trade: SelfTrade = "allow") -> Streamed:
    """Run a stream of events through an empty book.

    Args:
        events: In order of arrival. An id may be used again once its order is out of the book; it then means the
            latest order that has it.
        self_trade: Whether a participant's orders may trade with each other; "skip" skips them.
    """
    before = _earlier_with_id(events)
    names = {who: i for i, who in enumerate(dict.fromkeys(event.participant for event in events))}
    matched = match(
        np.array([event.side for event in events], dtype=np.int64),
        np.array([event.limit_micro_per_kwh for event in events], dtype=np.int64),
        [event.energy_wh for event in events],
        [names[event.participant] for event in events],
        self_trade == "skip",
        [event.kind for event in events],
        before,
    )

    def resting(rows: list[int]) -> list[Resting]:
        return [Resting(events[i].id, events[i].limit_micro_per_kwh, matched.left_wh[i]) for i in rows]

    columns = zip(
        matched.resting.tolist(), matched.aggressor.tolist(), matched.energy_wh.tolist(), strict=True
    )
    trades = [
        Execution(events[j].id, events[i].id, wh, events[j].limit_micro_per_kwh) for j, i, wh in columns
    ]
    return Streamed(
        trades, resting(matched.bids), resting(matched.asks), _ids_in_use(events, before, matched)
    )


def _earlier_with_id(events: Sequence[Event]) -> list[int]:
    """For each event the latest earlier order with its id, -1 where there is none."""
    latest: dict[Hashable, int] = {}
    found = []
    for i, event in enumerate(events):
        found.append(latest.get(event.id, -1))
        if event.kind is not Kind.CANCEL:
            latest[event.id] = i
    return found


def _ids_in_use(events: Sequence[Event], before: list[int], matched: Matched) -> list[tuple[int, int]]:
    """Orders that came while an order with their id was in the book, with that order."""
    left_wh = [event.energy_wh if event.kind is Kind.LIMIT else 0 for event in events]
    # The event with which an order has left the book or never came into it; none for those that stay.
    gone = {i: i for i, wh in enumerate(left_wh) if not wh}
    for resting, aggressor, wh in zip(*(column.tolist() for column in matched[:3]), strict=True):
        for order in (resting, aggressor):
            left_wh[order] -= wh
            if not left_wh[order]:
                gone[order] = aggressor
    for i, event in enumerate(events):
        if event.kind is Kind.CANCEL:
            gone.setdefault(before[i], i)
    return [
        (i, j)
        for i, (event, j) in enumerate(zip(events, before, strict=True))
        if event.kind is not Kind.CANCEL and j >= 0 and gone.get(j, i) >= i
    ]


def match(
    side: IntArray,
    limit: IntArray,
    left_wh: list[int],
    participant: list[int],
    skip_own: bool,
    kinds: list[Kind] | None = None,
    cancels: list[int] | None = None,
) -> Matched:
    """Run orders through an empty book, one after the other.

    Args:
        side: +1 buy, -1 sell, in order of arrival.
        limit: Limit prices. [micro-currency/kWh]
        left_wh: Energy of each order; becomes what is left of it in the book. [Wh]
        participant: Whose order.
        skip_own: Whether an order skips resting orders of its own participant; they keep their places.
        kinds: What each event is; all are limit orders when left out.
        cancels: Number of the order that a cancel takes out.
    """
    n = len(left_wh)
    width = n.bit_length()
    number = (1 << width) - 1
    # Ranks instead of limits: whatever the prices are, a key stays a small integer.
    rank = np.unique(limit, return_inverse=True)[1].astype(np.int64).reshape(-1)
    keys = (((-side * rank) << width) | np.arange(n)).tolist()
    bounds = ((side * rank + 1) << width).tolist()  # keys of the other side below it are good enough
    beyond = (n + 1) << width
    bids: list[int] = []
    asks: list[int] = []
    # Own orders that were skipped wait here, so that the next order of their owner need not skip them again.
    aside: dict[bool, list[int]] = {True: [], False: []}
    owner = {True: -1, False: -1}
    resting: list[int] = []
    aggressor: list[int] = []
    traded: list[int] = []
    rests, arrives, trades = resting.append, aggressor.append, traded.append
    plain, kind = Kind.LIMIT, Kind.LIMIT
    for i, (buys, key, bound) in enumerate(zip((side > 0).tolist(), keys, bounds, strict=True)):
        other = asks if buys else bids
        if kinds is not None:
            kind = kinds[i]
            if kind is Kind.CANCEL:
                left_wh[i] = 0
                if cancels is not None and 0 <= cancels[i] < i:
                    left_wh[cancels[i]] = 0  # its key leaves the heap when it comes up
                continue
            if kind is Kind.MARKET:
                bound = beyond
        need = left_wh[i]
        left_wh[i] = 0
        who = participant[i] if skip_own else -1
        passed = aside[buys]
        if passed and owner[buys] != who and passed[0] < bound:
            _put_back(passed, other)
        if kind is Kind.FOK:
            there = (k & number for k in other if k < bound)
            if sum(left_wh[j] for j in there if participant[j] != who) < need:
                continue
        while need and other and other[0] < bound:
            j = other[0] & number
            have = left_wh[j]
            if have and participant[j] == who:
                if owner[buys] != who:
                    _put_back(passed, other)  # none of them is good enough for this order
                    owner[buys] = who
                heappush(passed, heappop(other))
            elif have > need:
                left_wh[j] = have - need
                rests(j)
                arrives(i)
                trades(need)
                need = 0
            else:
                heappop(other)
                if have:
                    left_wh[j] = 0
                    rests(j)
                    arrives(i)
                    trades(have)
                    need -= have
        if need and kind is plain:
            left_wh[i] = need
            heappush(bids if buys else asks, key)
    return Matched(
        np.array(resting, dtype=np.int64),
        np.array(aggressor, dtype=np.int64),
        np.array(traded, dtype=np.int64),
        [j for j in (k & number for k in sorted(bids + aside[False])) if left_wh[j]],
        [j for j in (k & number for k in sorted(asks + aside[True])) if left_wh[j]],
        left_wh,
    )


def _put_back(passed: list[int], heap: list[int]) -> None:
    for key in passed:
        heappush(heap, key)
    passed.clear()
