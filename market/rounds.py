"""A market that is open for several rounds: in each the new orders meet what is left of the earlier ones.

When a round opens, the orders of those who order again are withdrawn; those of all others stand. The number of an
order's round is in its `sequence`: below 2^32 for the first round, below 2 x 2^32 for the second. So the book of all
rounds says by itself in which round an order came, and its clearing follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, Trades, averaged
from market.mechanism import Mechanism, clear_checked
from market.random import interval_seed
from market.rules import MarketRules
from market.units import BoolArray, Int8Array, IntArray

MAX_ROUNDS: Final = 64
ROUND: Final = 2**32
"""Sequences of one round."""


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """The public record of an interval's earlier rounds, without names: one row per order, in order of arrival.

    Args:
        round_of: The round in which it came, from 0.
        side: +1 buys, -1 sells.
        energy_wh: What was ordered. [Wh]
        limit_micro_per_kwh: Limit price. [micro-currency/kWh]
        accepted_wh: What was accepted of it in all rounds so far. [Wh]
        price_micro_per_kwh: At which price; 0 where nothing was accepted. [micro-currency/kWh]
        took: Whether it found its counterpart when it arrived; False for an order that rested and was hit later.
    """

    round_of: IntArray
    side: Int8Array
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray
    accepted_wh: IntArray
    price_micro_per_kwh: IntArray
    took: BoolArray


def rounds_of(book: OrderBook) -> IntArray:
    """The round of each order, from 0."""
    return book.sequence // ROUND


def withdrawal(participant: IntArray, round_of: IntArray) -> IntArray:
    """The round in which each order is withdrawn, because its participant orders again; MAX_ROUNDS where it stands.

    Args:
        participant: Of each order, ascending.
        round_of: Of each order, ascending within a participant.
    """
    new = np.ones(len(participant), dtype=np.bool_)
    new[1:] = (participant[1:] != participant[:-1]) | (round_of[1:] != round_of[:-1])
    first = np.flatnonzero(new)
    same = participant[first[1:]] == participant[first[:-1]]
    later = np.full(len(first), MAX_ROUNDS, dtype=np.int64)
    later[:-1][same] = round_of[first[1:]][same]
    of_each: IntArray = later[np.cumsum(new) - 1]
    return of_each


def offered_wh(book: OrderBook, clearing: Clearing) -> IntArray:
    """Energy of each order without what was withdrawn of it, so that no energy counts in two rounds. [Wh]"""
    if not len(book) or int(book.sequence.max()) < ROUND:
        return book.energy_wh
    withdrawn = withdrawal(book.participant, rounds_of(book)) < MAX_ROUNDS
    return np.where(withdrawn, clearing.accepted_wh, book.energy_wh)


class Session:
    """The rounds of one interval, as they are cleared one after the other.

    Args:
        mechanism: Clears each round.
        rules: Of the interval; the lottery of every round is another.

    Attributes:
        rules: Of the interval.
        rounds: Number of rounds so far.
    """

    def __init__(self, mechanism: Mechanism, rules: MarketRules) -> None:
        self.rounds = 0
        self._mechanism, self.rules = mechanism, rules
        self._book = no_orders()
        # Of each order in order of arrival: what is left of it in the book, what was accepted, and at what price.
        self._left_wh, self._accepted_wh, self._amount_nano, self._charge_nano = np.zeros((4, 0), np.int64)
        self._took = np.zeros(0, dtype=np.bool_)
        self._cleared: list[tuple[IntArray, Clearing]] = []

    def clear(self, new: OrderBook) -> None:
        """Clear the next round.

        Args:
            new: Its orders, which have sequences of that round.

        Raises:
            InfeasibleClearing: The mechanism broke a rule of the market.
        """
        before = len(self._left_wh)
        arrived = np.argsort(new.sequence, kind="stable")
        self._book = _joined(self._book, new, arrived)
        for name in ("_accepted_wh", "_amount_nano", "_charge_nano", "_took"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros(len(new), dtype=column.dtype))))
        again = np.isin(self._book.participant[:before], new.participant)
        left_wh = np.where(again, 0, self._left_wh)
        self._left_wh = np.concatenate((left_wh, self._book.energy_wh[before:]))
        number = np.flatnonzero(self._left_wh)
        part, number = _rows(self._book, number, self._left_wh)
        rules = replace(self.rules, seed=self._seed())
        self._take(part, number, clear_checked(self._mechanism, part, rules))
        self.rounds += 1

    def _seed(self) -> int:
        return self.rules.seed if not self.rounds else interval_seed(self.rules.seed, self.rounds)

    def _take(self, part: OrderBook, number: IntArray, clearing: Clearing) -> None:
        accepted_wh = clearing.accepted_wh
        self._left_wh[number] -= accepted_wh
        self._accepted_wh[number] += accepted_wh
        self._amount_nano[number] += accepted_wh * clearing.price_micro_per_kwh
        self._charge_nano[number] += clearing.charges_nano
        if clearing.trades is None:
            self._took[number[accepted_wh > 0]] = True
        else:
            buy, sell = number[clearing.trades.buy], number[clearing.trades.sell]
            self._took[np.maximum(buy, sell)] = True
        self._cleared.append((number, clearing))

    @property
    def book(self) -> OrderBook:
        """The orders of all rounds."""
        return _rows(self._book, np.arange(len(self._book)), self._book.energy_wh)[0]

    def tape(self) -> Tape:
        """The public record of the rounds so far."""
        book, accepted_wh = self._book, self._accepted_wh.copy()
        price = self._amount_nano // np.maximum(accepted_wh, 1)
        return Tape(
            rounds_of(book),
            book.side,
            book.energy_wh,
            book.limit_micro_per_kwh,
            accepted_wh,
            price,
            self._took.copy(),
        )

    def bought_wh(self, participants: int) -> IntArray:
        """What each participant has bought less what it has sold. [Wh]"""
        found = np.zeros(participants, dtype=np.int64)
        np.add.at(found, self._book.participant, self._book.side * self._accepted_wh)
        return found

    def clearing(self) -> Clearing:
        """The clearing of `book`: all rounds together.

        An order that was served in several rounds has its average price; what rounding changes is paid back. There is
        one price only where all rounds that traded had the same; a certificate is of one round and is left out.
        """
        row = np.lexsort((self._book.sequence, self._book.participant))
        place = np.empty(len(row), dtype=np.int64)
        place[row] = np.arange(len(row))
        accepted_wh, side = self._accepted_wh[row], self._book.side[row]
        price, rebate_nano = averaged(side, accepted_wh, self._amount_nano[row])
        charge_nano = self._charge_nano[row] + rebate_nano
        found = [clearing for _, clearing in self._cleared]
        prices = {clearing.node_price[0] for clearing in found} - {None}
        paired = [(place[number], c.trades) for number, c in self._cleared if c.trades is not None]
        traded = sum(bool(clearing.accepted_wh.any()) for clearing in found)
        for column in (accepted_wh, price, charge_nano):
            column.flags.writeable = False
        return Clearing(
            accepted_wh,
            price,
            (prices.pop() if len(prices) == 1 else None,),
            sum(clearing.operator_surplus_nano for clearing in found),
            sum(clearing.welfare_nano for clearing in found),
            _all_trades(paired) if paired and len(paired) >= traded else None,
            charge_nano=charge_nano if charge_nano.any() else None,
            losses_wh=sum(clearing.losses_wh for clearing in found),
        )


def clear_rounds(mechanism: Mechanism, book: OrderBook, rules: MarketRules, rounds: int) -> Clearing:
    """Clear the book of all rounds of an interval, as `Session` has cleared them one after the other.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
    """
    session = Session(mechanism, rules)
    for number in range(rounds):
        session.clear(of_round(book, number))
    return session.clearing()


def of_round(book: OrderBook, number: int) -> OrderBook:
    """The orders of a book that came in a round, from 0."""
    return _rows(book, np.flatnonzero(rounds_of(book) == number), book.energy_wh)[0]


def no_orders() -> OrderBook:
    """A book without orders."""
    nothing = np.zeros(0, dtype=np.int64)
    return OrderBook.from_columns(nothing, nothing.astype(np.int8), nothing, nothing)


def _joined(book: OrderBook, new: OrderBook, rows: IntArray) -> OrderBook:
    """The orders of a book and those rows of another behind them, as columns in this order."""

    def both(name: str) -> Any:
        return np.concatenate((getattr(book, name), getattr(new, name)[rows]))

    return OrderBook(
        both("participant"),
        both("side"),
        both("energy_wh"),
        both("limit_micro_per_kwh"),
        both("node"),
        both("sequence"),
    )


def _rows(book: OrderBook, rows: IntArray, energy_wh: IntArray) -> tuple[OrderBook, IntArray]:
    """The canonical book of some orders with other energy, and the rows that its orders had before."""
    rows = rows[np.lexsort((book.sequence[rows], book.participant[rows]))]
    found = OrderBook.from_columns(
        book.participant[rows],
        book.side[rows],
        energy_wh[rows],
        book.limit_micro_per_kwh[rows],
        book.node[rows],
        book.sequence[rows],
    )
    return found, rows


def _all_trades(paired: list[tuple[IntArray, Trades]]) -> Trades:
    columns = [
        (place[trades.buy], place[trades.sell], trades.energy_wh, trades.price_micro_per_kwh)
        for place, trades in paired
    ]
    return Trades(*(np.concatenate(column) for column in zip(*columns, strict=True)))
