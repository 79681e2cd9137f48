"""A market that clears a horizon, on a network: which messages stand, what homes are answered, and what they submit.

In such a market a home has one message a round: at the gate its orders for the horizon, and when the interval is lived
the same orders again with what its meter shows. The message of the last round in which it said something stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.orders import Flexible, Storage, reach_of
from market.units import MICRO_PER_UNIT, IntArray
from p2p.batches.blob import IntervalContent
from p2p.errors import OutOfRange
from p2p.roles.collector.intake import Collected
from p2p.roles.exchange.wire import Moves as Answer
from p2p.roles.exchange.wire import read_moves
from p2p.wire import messages
from p2p.wire.codec import encode
from p2p.wire.messages import NothingMessage, OrderLine, OrderMessage, terms_of
from wattswap.runs.horizon import Horizon, Moves, agree_in_round, measured_in, messages_of
from wattswap.runs.horizon_lines import Lines, joined, lines_from, submitted_lines
from wattswap.runs.prepare import Homes, Setup
from wattswap.runs.solutions import Solutions

MAX_WHOLE: Final = 8
"""Orders of a home that a clearing takes as they are or not at all, which it has to search among, at most."""
LIMIT_TIMES: Final = 10
"""A limit is at most so many times the largest price of the retailer, or one unit of money where that is more. Beyond
its prices a limit decides nothing, and large ones drown all others in the tolerances of the solver."""


def problem_of_orders(setup: Setup, orders: Sequence[OrderLine]) -> str | None:
    """Say what of a home's orders a market of a horizon does not take, or None.

    Beyond what every chain checks: they end with the horizon, have limits of the size of the retailer's prices, are one
    battery at most and few that cannot be divided at will, which buy, and leave nothing that a clearing must reach.
    Larger ones can make a clearing impossible, or slow, for all.
    """
    most = _most_limit(setup)
    steps, stores, whole = setup.agents.horizon_minutes // setup.minutes, 0, 0
    for order in orders:
        terms = terms_of(order)
        if order.energy_wh == 0 and not isinstance(terms, Storage):
            return "an order of no energy"
        if order.node:
            return f"an order at node {order.node}, and the market has one place"
        if abs(order.limit_micro_per_kwh) > most:
            return f"a limit of {order.limit_micro_per_kwh} micro a kWh; at most {most} is taken with these tariffs"
        if isinstance(terms, Flexible | Storage) and terms.last >= steps:
            return f"an order for interval {terms.last} of a horizon of {steps}"
        if isinstance(terms, Flexible) and terms.is_whole:
            whole += 1
            if order.side < 0:
                return "a flexible order that sells and is not divisible at will"
        if isinstance(terms, Storage):
            stores += 1
            if terms.first or terms.final_wh:
                return "a storage that is not there from the first interval on, or that must end with some content"
    if whole > MAX_WHOLE:
        return f"{whole} flexible orders that are not divisible at will; a home has {MAX_WHOLE} at most"
    return f"{stores} storages; a home has one at most" if stores > 1 else None


def _most_limit(setup: Setup) -> int:
    outside = setup.prices.buy_cap_micro_per_kwh, setup.prices.feed_in_micro_per_kwh
    return LIMIT_TIMES * max(MICRO_PER_UNIT, *(int(np.abs(price).max(initial=0)) for price in outside))


Said = Mapping[str, Sequence[OrderLine]]
"""The orders of each home that has sent a message in a round; none where it says that it has none."""


class Ahead:
    """The market of an interval that clears a horizon, from messages.

    A message that the market does not take counts as none.

    Args:
        solutions: Of its clearings, where they are given or kept; None for neither.
    """

    def __init__(self, setup: Setup, start_s: int, solutions: Solutions | None = None) -> None:
        self._setup, self.start_s = setup, start_s
        self._market = Horizon(setup, setup.index_of(start_s), solutions)
        self._stands: dict[str, Sequence[OrderLine]] = {}
        self._lines: list[Lines] = []
        self._moves: list[Moves] = []

    def add(self, said: Said) -> None:
        """Take the messages of the next round; who sent none stands by that of the round before."""
        self._stands |= {
            name: orders for name, orders in said.items() if problem_of_orders(self._setup, orders) is None
        }
        index = {name: home for home, name in enumerate(self._setup.roster)}
        self._lines.append(
            lines_from(sorted((index[name], orders) for name, orders in self._stands.items() if orders))
        )

    def moves(self, number: int) -> Moves:
        """What the clearing of a round has all lines do; it is computed once.

        Raises:
            MarketError: The mechanism broke a rule of the market.
            WattswapError: There is no clearing.
        """
        while self._market.done <= number:
            self._moves.append(self._market.clear(self._lines[self._market.done]))
        return self._moves[number]

    def result(self) -> tuple[OrderBook, Clearing, int]:
        """The orders and the clearing of the interval itself, and the time that clearing took. [ns]

        What is settled is decided by the first round; the last one decides what batteries do.

        Raises:
            MarketError, WattswapError: As `moves`.
        """
        self.moves(self._setup.rounds - 1)
        return self._market.result()

    def answer(self, number: int, home: int) -> bytes:
        """What a home is answered after a round that has been cleared."""
        moves = self._moves[number]
        rows = (moves.lines.home == home) & moves.lines.binding
        energy_wh = tuple(moves.moved_wh[rows].tolist())
        return encode(Answer(messages.VERSION, self._setup.genesis.chain_id, self.start_s, number, energy_wh))


def ahead_of(setup: Setup, content: IntervalContent, solutions: Solutions) -> Ahead:
    """The market of an interval whose messages are known.

    Args:
        solutions: Of its clearings, given or kept.
    """
    ahead = Ahead(setup, content.interval_start, solutions)
    for number in range(setup.rounds):
        said: dict[str, Sequence[OrderLine]] = {
            message.household: () for message in content.nothings if message.round == number
        }
        said |= {message.household: message.orders for message in content.orders if message.round == number}
        ahead.add(said)
    return ahead


def said_in(collected: Collected[OrderMessage]) -> Said:
    """What a closed gate holds."""
    said: dict[str, Sequence[OrderLine]] = dict.fromkeys(collected.nothing, ())
    return said | {message.household: message.orders for message in collected.messages}


def check_orders(setup: Setup) -> Callable[[OrderMessage], None]:
    """A check at the door of a collector, so that a home learns at once what the market does not take."""

    def check(message: OrderMessage) -> None:
        problem = problem_of_orders(setup, message.orders) if setup.looks_ahead else None
        if problem is not None:
            raise OutOfRange(problem)

    return check


def read_answer(setup: Setup, data: bytes, start_s: int, number: int, lines: Lines) -> Moves:
    """What a home's own lines do, as a collector answers it.

    Args:
        lines: The lines that stand.

    Raises:
        RemoteError: The answer is malformed, or impossible for these lines.
    """
    rows = np.flatnonzero(lines.binding)
    ranges = [_range_wh(lines, row) for row in rows.tolist()]
    moved_wh = np.zeros(len(lines), dtype=np.int64)
    moved_wh[rows] = read_moves(data, setup.genesis.chain_id, start_s, number, ranges)
    return Moves(lines, moved_wh, 0, None, 0)


def _range_wh(lines: Lines, row: int) -> tuple[int, int]:
    """The least and the most that a line can do in the first interval. [Wh]"""
    terms, energy_wh = lines.terms.get(row), int(lines.energy_wh[row])
    if isinstance(terms, Storage):
        return -terms.discharge_wh, terms.charge_wh
    most_wh = reach_of(energy_wh, terms).most_wh
    return (0, most_wh) if lines.side[row] > 0 else (-most_wh, 0)


def as_lived(setup: Setup, community: Homes, ahead: Ahead) -> list[dict[int, OrderMessage | NothingMessage]]:
    """The messages to which the data and strategies of all homes lead, by round and home, after recorded answers.

    The homes then have agreed what they were answered.
    """
    i, said, submitted = setup.index_of(ahead.start_s), [], list[Lines]()
    for number in range(setup.rounds):
        submitted.append(submitted_lines(setup, community, i, measured=measured_in(setup, number)))
        said.append(messages_of(setup, i, submitted[-1], number))
        newest = _as_submitted(ahead.moves(number), submitted, len(setup.roster))
        agree_in_round(setup, community, ahead.moves(0), newest, number)
    return said


def _as_submitted(moves: Moves, submitted: Sequence[Lines], homes: int) -> Moves:
    """What lines do that stand, as their homes know it, who know what devices they are of.

    Args:
        submitted: What homes submit in each round so far; of one whose newest message is not there an older one stands.
    """
    parts, moved = list[Lines](), list[IntArray]()
    for home in range(homes):
        stands = moves.lines.of_home(home)
        own = next((lines for lines in reversed(submitted) if lines.of_home(home) == stands), None)
        if own is not None:
            parts.append(own.only(home))
            moved.append(moves.moved_wh[moves.lines.home == home])
    moved_wh = np.concatenate([np.zeros(0, dtype=np.int64), *moved])
    return Moves(joined(parts), moved_wh, moves.retailer_wh, moves.price, moves.clear_ns)
