"""A market that clears a horizon, interval after interval: all of it is cleared again at each, and the first binds.

Homes submit what they need and offer in an interval, what they expect to in those after it, their batteries, and what
cars and appliances need within windows. A retailer sells at the import price of each interval and buys at its feed-in
price. Its orders never leave the clearing: what it trades in the first interval is settled as what homes import from
and export to their retailer. What the later intervals clear to is provisional.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import numpy as np

from agents.community import Community
from agents.flexibility import Moved, Schedule
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, check_feasible, no_trade
from market.errors import InfeasibleClearing
from market.mechanism import MECHANISMS
from market.orders import Flexible, Terms
from market.rules import MarketRules
from market.schedule import check_schedule
from market.units import PPM, IntArray, largest_remainder
from p2p.wire.messages import NothingMessage, OrderMessage
from wattswap.errors import Infeasible
from wattswap.runs.books import build_book
from wattswap.runs.clearing import cleared
from wattswap.runs.horizon_lines import Lines, most_wh, outside_prices, submitted_lines
from wattswap.runs.solutions import Solutions

if TYPE_CHECKING:
    from wattswap.runs.prepare import Homes, Setup

CHARGE_EARLY_PPM: Final = 500
"""By how much what the retailer pays counts more for every hour ahead: of hours that cost the same, batteries charge in
the first, because forecasts of the later ones may be wrong. [parts per million]"""


class NotProven(InfeasibleClearing):
    """A clearing of a horizon that may not be the best one."""


class Horizon:
    """The market of one interval that clears a horizon: at the gate, and again when the interval is lived.

    In process, at a collector and at whoever checks a batch the same lines give the same result.

    Args:
        i: Number of the interval.
        solutions: Where they are given or kept; None for neither.
    """

    def __init__(self, setup: Setup, i: int, solutions: Solutions | None = None) -> None:
        self._setup, self._i, self._solutions = setup, i, solutions
        self._place = drawn_order(setup)
        self._cleared = list[Moves]()

    @property
    def done(self) -> int:
        """How many times it has been cleared."""
        return len(self._cleared)

    def clear(self, lines: Lines) -> Moves:
        """Clear the horizon; the first time decides what is traded.

        Raises:
            InfeasibleClearing: The mechanism broke a rule of the market, or proved less than it must.
            Infeasible: There is no clearing.
        """
        self._cleared.append(self._searched(lines) if lines.whole.any() else self._made(lines))
        return self._cleared[-1]

    def _searched(self, lines: Lines) -> Moves:
        """Clear lines of which some are taken whole or not at all; without these where no clearing is proven with them.

        Otherwise a few orders of one home, among which a search takes long, would leave all homes without a market.
        """
        solutions = self._solutions
        if solutions is None or not solutions.says_left_out():
            count = 0 if solutions is None else solutions.count
            try:
                return self._made(lines)
            except (NotProven, Infeasible):
                if solutions is not None and solutions.are_given:
                    raise
            if solutions is not None:
                solutions.leave_out(count)
        kept, moved_wh = np.flatnonzero(~lines.whole), np.zeros(len(lines), dtype=np.int64)
        found = self._made(lines.of_rows(kept))
        moved_wh[kept] = found.moved_wh
        return replace(found, lines=lines, moved_wh=moved_wh)

    def _made(self, lines: Lines) -> Moves:
        book = horizon_book(self._setup, self._i, lines, self._place)
        whole, clear_ns = clear_whole(self._setup, self._i, book, self._solutions)
        return _first_interval(self._setup, lines, book, whole, self._place, clear_ns)

    def result(self) -> tuple[OrderBook, Clearing, int]:
        """The orders and the clearing of the interval itself, and the time that all clearings took. [ns]"""
        book, clearing = _bound(self._setup, self._i, self._cleared[0], self._place)
        return book, clearing, sum(one.clear_ns for one in self._cleared)


def cleared_horizon(
    setup: Setup, community: Homes, i: int, *, signed: bool = False
) -> tuple[OrderBook, Clearing, int]:
    """Clear the horizon that begins with the i-th interval: the orders and the clearing of that interval, and the time.

    The homes receive what they have agreed in it and what their devices do. Where quantities are ordered, what is
    agreed is cleared at the gate, and what devices do is cleared again with what the meters show. The clearings took
    so long. [ns]

    Args:
        signed: Whether every message is signed and checked, as a network does.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market, or proved less than it must.
        Infeasible: There is no clearing.
    """
    market, moves = Horizon(setup, i), list[Moves]()
    for number in range(setup.rounds):
        lines = submitted_lines(setup, community, i, measured=measured_in(setup, number))
        if signed:
            setup.sign_and_check_all(messages_of(setup, i, lines, number))
        moves.append(market.clear(lines))
        agree_in_round(setup, community, moves[0], moves[-1], number)
    return market.result()


def measured_in(setup: Setup, number: int) -> bool:
    """Whether lines of a round begin with what the meters show: those of the last one do."""
    return number == setup.rounds - 1


def agree_in_round(setup: Setup, community: Homes, first: Moves, newest: Moves, number: int) -> None:
    """Give homes what they have agreed in the first round, and after the last one what their devices do.

    Args:
        first: Of the first round.
        newest: Of this one.
        number: Of this round.
    """
    assert isinstance(community, Community), "homes with several retailers are refused before the run"
    members = community.members
    schedule = newest.schedule(members) if measured_in(setup, number) else None
    community.agree(first.simple_wh(members), schedule)


def messages_of(setup: Setup, i: int, lines: Lines, number: int) -> dict[int, OrderMessage | NothingMessage]:
    """The messages of the homes that have any of these lines, by place, for a round of the i-th interval."""
    start_s, homes = setup.start_of(i), np.unique(lines.home).tolist()
    return {home: setup.message_of(home, start_s, lines.of_home(home), number) for home in homes}


def horizon_book(setup: Setup, i: int, lines: Lines, place: IntArray) -> OrderBook:
    """The orders of homes, for the intervals from the i-th on, and of the retailer behind all homes.

    Args:
        place: The place of each participant in the roster; see `drawn_order`.
    """
    retail = _of_retailer(setup, i, lines)
    count, rank = len(lines), np.argsort(place)
    who = np.concatenate((rank[lines.home], np.full(len(retail), len(place))))
    side, energy_wh, limit = (
        np.concatenate(column)
        for column in zip((lines.side, lines.energy_wh, lines.limit), retail[:, 1:].T, strict=True)
    )
    later = {count + row: (t, wh) for row, (t, _, wh, _) in enumerate(retail.tolist()) if t}
    terms: dict[int, Terms] = {row: Flexible(t, t, 0, wh, 1) for row, (t, wh) in later.items()}
    terms |= lines.terms
    start_s = setup.start_of(i)
    return build_book(setup.seed, start_s, who, side.astype(np.int8), energy_wh, limit, terms=terms)


def _of_retailer(setup: Setup, i: int, lines: Lines) -> IntArray:
    """Rows of interval, side, energy and limit of the retailer, who could serve everybody and a Wh more.

    So no price is beyond those of the retailer. Much larger orders would drown the others in the tolerances of the
    solver. What it pays counts a little more for every hour ahead.
    """
    bought_wh, sold_wh = most_wh(lines)
    every = np.arange(len(bought_wh))
    asked, paid = outside_prices(setup, i, len(every))
    early = paid + every * setup.minutes * np.abs(paid) * CHARGE_EARLY_PPM // (60 * PPM)
    sells = every, np.full_like(every, -1), bought_wh + 1, asked
    # Where it would pay more than it asks, it trades with itself at what it asks.
    buys = every, np.full_like(every, 1), sold_wh + 1, np.minimum(asked, early)
    return np.concatenate([np.stack(order, axis=1) for order in (sells, buys)])


def drawn_order(setup: Setup) -> IntArray:
    """The places of the homes in the roster, in the order of a draw from the seed and their ids.

    Of clearings that are equally good the order of the homes in the data must not decide which comes out.
    """
    drawn = [sha256(f"{setup.seed} {name}".encode()).digest() for name in setup.roster]
    return np.array(sorted(range(len(drawn)), key=drawn.__getitem__), dtype=np.int64)


def clear_whole(
    setup: Setup, i: int, book: OrderBook, solutions: Solutions | None = None
) -> tuple[Clearing, int]:
    """Clear a horizon, check all of it and its proof, and say how long clearing took. [ns]

    Args:
        solutions: Where they are given or kept; None for neither. A book without orders has none.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market, or proved less than it must.
        Infeasible: There is no clearing.
    """
    if not len(book):
        return no_trade(book), 0
    clearing, clear_ns = cleared(setup, i, book, solutions)
    mechanism = setup.mechanism
    if solutions is not None and solutions.are_given:
        return clearing, clear_ns  # derived, checked and proven
    with MECHANISMS.held(mechanism):
        (mechanism.check or _check_schedule)(book, clearing, setup.rules_at(i))
        if clearing.certificate is not None and not clearing.certificate.holds:
            raise NotProven("the clearing of a horizon is not proven to be the best")
    return clearing, clear_ns


def _check_schedule(book: OrderBook, clearing: Clearing, rules: MarketRules) -> None:
    check_schedule(book, clearing)


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What a clearing of a horizon has lines do in its first interval.

    Args:
        lines: The orders of homes.
        moved_wh: What each line buys, from the retailer too, negative where it sells; of a battery what goes into it.
            [Wh]
        retailer_wh: What all of them buy from the retailer. [Wh]
        price: Of the interval; None where nothing trades.
        clear_ns: Time that the clearing took. [ns]
    """

    lines: Lines
    moved_wh: IntArray
    retailer_wh: int
    price: PriceInterval | None
    clear_ns: int

    def simple_wh(self, members: IntArray) -> IntArray:
        """What homes, given by their places in the roster, buy by simple orders. [Wh]"""
        return self.lines.sums(self.moved_wh, self.lines.simple, members)

    def schedule(self, members: IntArray) -> Schedule:
        """What the devices of homes do, which are given by their places in the roster, by lines of their own nodes."""
        lines, stores = self.lines, self.lines.stores
        has = lines.sums(np.ones_like(self.moved_wh), stores, members) > 0
        others = {
            name: Moved(
                lines.sums(self.moved_wh, lines.of_device(name), members),
                np.isin(members, list(homes)),
            )
            for name, homes in lines.placed.items()
        }
        return Schedule(lines.sums(self.moved_wh, stores, members), has, others)


def _first_interval(
    setup: Setup, lines: Lines, book: OrderBook, whole: Clearing, place: IntArray, clear_ns: int
) -> Moves:
    """Read the first interval out of the clearing of a horizon."""
    moved = np.zeros(len(book), dtype=np.int64) if whole.schedule_wh is None else whole.schedule_wh[:, 0]
    outside = book.participant == len(setup.roster)
    # A book sorts by participant, and keeps the order of a participant's orders.
    of_line = np.zeros(len(lines), dtype=np.int64)
    of_line[np.argsort(np.argsort(place)[lines.home], kind="stable")] = moved[~outside]
    return Moves(lines, of_line, -int(moved[outside].sum()), whole.prices[0][0], clear_ns)


def _bound(setup: Setup, i: int, moves: Moves, place: IntArray) -> tuple[OrderBook, Clearing]:
    """The book and the clearing of the interval itself: simple orders at its price, without the retailer.

    What the retailer trades is taken from all who trade on its other side, in proportion: it was at the price of the
    interval too. A device is an order of what it does, at that price.
    """
    lines, simple = moves.lines, moves.lines.simple
    at = 0 if moves.price is None else moves.price.price
    ordered = np.where(simple, lines.side * lines.energy_wh, moves.moved_wh)
    rows = np.argsort(lines.home, kind="stable")
    rows = rows[lines.binding[rows] & (ordered[rows] != 0)]
    home, ordered, planned = lines.home[rows], ordered[rows], moves.moved_wh[rows]
    limit = np.where(simple, lines.limit, at)[rows]
    side, accepted = np.sign(ordered).astype(np.int8), np.abs(planned)
    served = side == np.sign(moves.retailer_wh)
    rank = np.argsort(np.argsort(np.argsort(place)[home], kind="stable"), kind="stable")
    accepted = accepted - largest_remainder(accepted * served, abs(moves.retailer_wh), rank)
    book = build_book(setup.seed, setup.start_of(i), home, side, np.abs(ordered), limit)
    there = moves.price is not None and bool(accepted.any())
    price = np.full(len(book), moves.price.price if there and moves.price is not None else 0)
    clearing = Clearing(
        accepted,
        price,
        (moves.price if there else None,),
        0,
        int(np.dot(side * accepted, limit)),
    )
    check_feasible(book, clearing, limits=setup.mechanism.promises.individually_rational)
    return book, clearing
