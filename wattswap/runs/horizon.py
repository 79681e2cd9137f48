"""A market that clears a horizon, interval after interval: all of it is cleared again at each, and the first binds.

Homes submit what they need and offer in an interval, what they expect to in those after it, their batteries, and what
cars and appliances need within windows. A retailer sells at the import price of each interval and buys at its feed-in
price. Its orders never leave the clearing: what it trades in the first interval is settled as what homes import from
and export to their retailer. What the later intervals clear to is provisional.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from agents.bidding import Limits
from agents.community import Community
from agents.devices.battery import BATTERY
from agents.flexibility import FlexibleOrder, Moved, Schedule, Submitted
from agents.rules import tariff_rows
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, check_feasible, no_trade
from market.errors import InfeasibleClearing
from market.mechanism import MECHANISMS
from market.orders import Flexible, Storage, Terms
from market.rules import MarketRules
from market.schedule import check_schedule
from market.units import PPM, BoolArray, IntArray, largest_remainder
from wattswap.runs.books import build_book
from wattswap.runs.clearing import cleared
from wattswap.runs.solutions import Solutions

if TYPE_CHECKING:
    from wattswap.runs.prepare import Homes, Setup

CHARGE_EARLY_PPM: Final = 500
"""By how much what the retailer pays counts more for every hour ahead: of hours that cost the same, batteries charge in
the first, because forecasts of the later ones may be wrong. [parts per million]"""


def cleared_horizon(setup: Setup, community: Homes, i: int) -> tuple[OrderBook, Clearing, int]:
    """Clear the horizon that begins with the i-th interval: the orders and the clearing of that interval, and the time.

    The homes receive what they have agreed in it and what their devices do. Where quantities are ordered, what is
    agreed is cleared at the gate, and what devices do is cleared again with what the meters show. The clearings took
    so long. [ns]

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market, or proved less than it must.
        Infeasible: There is no clearing.
    """
    assert isinstance(community, Community), "homes with several retailers are refused before the run"
    agreed = None if setup.metered else _first_of(setup, community, i, measured=False)
    if agreed is not None:
        community.agree(agreed.simple_wh[community.members])
    lived = _first_of(setup, community, i, measured=True)
    agreed = lived if agreed is None else agreed
    community.agree(agreed.simple_wh[community.members], lived.schedule(community.members))
    clear_ns = lived.clear_ns + (0 if agreed is lived else agreed.clear_ns)
    return *_bound(setup, i, agreed), clear_ns


def _first_of(setup: Setup, community: Community, i: int, *, measured: bool) -> _First:
    """Clear a horizon, with what the meters show in its first interval if measured, and read that interval out."""
    submitted, place = community.submit(measured=measured), drawn_order(setup)
    if submitted is None:
        nothing = np.zeros(0, dtype=np.int64)
        book = OrderBook.from_columns(nothing, nothing.astype(np.int8), nothing, nothing)
        submitted = Submitted(np.zeros((1, community.homes), dtype=np.int64), ())
    else:
        submitted = _of_members(submitted, setup.takes_part(i)[community.members])
        book = horizon_book(setup, community, i, submitted, place)
    whole, clear_ns = clear_whole(setup, i, book)
    return _first_interval(setup, community.members, book, whole, submitted, place, clear_ns)


def _of_members(submitted: Submitted, member: BoolArray) -> Submitted:
    """What homes submit that are members."""
    return Submitted(
        np.where(member, submitted.net_wh, 0),
        tuple(one for one in submitted.stores if member[one.home]),
        tuple(one for one in submitted.flexible if member[one.home]),
        {name: homes & member for name, homes in submitted.placed.items()},
    )


def horizon_book(
    setup: Setup, community: Community, i: int, submitted: Submitted, place: IntArray
) -> OrderBook:
    """The orders of homes, for the intervals from the i-th on, and of the retailer behind all homes.

    Of a home simple orders come first, then its battery, then its flexible orders.

    Args:
        place: The place of each participant in the roster; see `drawn_order`.
    """
    net_wh, stores, flexible = submitted.net_wh, submitted.stores, submitted.flexible
    rank = np.argsort(place)[community.members]
    ahead = np.arange(len(net_wh))
    at = tariff_rows(setup.prices, i + ahead, setup.steps_per_day)
    asked, paid = setup.prices.buy_cap_micro_per_kwh[at], setup.prices.feed_in_micro_per_kwh[at]
    early = paid + ahead * setup.minutes * np.abs(paid) * CHARGE_EARLY_PPM // (60 * PPM)
    simple = np.concatenate(
        (
            _of_homes(net_wh, rank, (asked, paid), community.limits(setup.tariffs.at(i))),
            _of_retailer(submitted, len(setup.roster), (asked, early)),
        )
    )
    later = {row: (t, wh) for row, (t, wh) in enumerate(simple[:, (1, 3)].tolist()) if t and wh}
    terms: dict[int, Terms] = {row: Flexible(t, t, 0, wh, 1) for row, (t, wh) in later.items()}
    special: list[Terms] = [*(one.terms for one in stores), *(one.terms for one in flexible)]
    terms |= dict(enumerate(special, len(simple)))
    whole = [(rank[one.home], 0, 1, one.terms.charge_wh, one.left_micro_per_kwh) for one in stores]
    whole += [(rank[one.home], 0, 1, one.energy_wh, one.limit_micro_per_kwh) for one in flexible]
    orders = np.concatenate((simple, np.array(whole, dtype=np.int64).reshape(-1, 5)))
    participant, _, side, energy_wh, limit = orders.T
    start_s = setup.start_of(i)
    return build_book(setup.seed, start_s, participant, side.astype(np.int8), energy_wh, limit, terms=terms)


def _of_homes(
    net_wh: IntArray, rank: IntArray, prices: tuple[IntArray, IntArray], limits: Limits
) -> IntArray:
    """Rows of participant, interval, side, energy and limit: what homes need and offer, at the prices of the retailer.

    In the first interval limits are those of their strategies.
    """
    step, home = np.nonzero(net_wh)
    energy = net_wh[step, home]
    first = np.where(energy > 0, limits[0][home], limits[1][home])
    limit = np.where(step == 0, first, np.where(energy > 0, prices[0][step], prices[1][step]))
    return np.stack((rank[home], step, np.sign(energy), np.abs(energy), limit), axis=1)


def _of_retailer(submitted: Submitted, retailer: int, prices: tuple[IntArray, IntArray]) -> IntArray:
    """The same of the retailer, who could serve everybody and a Wh more: no price is beyond those of the retailer.

    Much larger orders would drown the others in the tolerances of the solver.
    """
    net_wh, stores = submitted.net_wh, submitted.stores
    steps = len(net_wh)
    into, out = (sum(getattr(one.terms, name) for one in stores) for name in ("charge_wh", "discharge_wh"))
    placed = np.zeros(steps, dtype=np.int64)
    for one in submitted.flexible:
        placed[one.terms.first : one.terms.last + 1] += one.terms.power_wh
    sold = np.maximum(net_wh, 0).sum(axis=1) + placed + into + 1, prices[0]
    # Where it would pay more than it asks, it trades with itself at what it asks.
    bought = np.maximum(-net_wh, 0).sum(axis=1) + out + 1, np.minimum(*prices)
    every, who = np.arange(steps), np.full(steps, retailer)
    return np.concatenate(
        [
            np.stack((who, every, np.full(steps, side), *order), axis=1)
            for side, order in ((-1, sold), (1, bought))
        ]
    )


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
            raise InfeasibleClearing("the clearing of a horizon is not proven to be the best")
    return clearing, clear_ns


def _check_schedule(book: OrderBook, clearing: Clearing, rules: MarketRules) -> None:
    check_schedule(book, clearing)


class _First(NamedTuple):
    """The first interval of a horizon: a row an order of a home, home after home, simple orders first.

    Args:
        home: Place in the roster.
        kind: 0 for a simple order, else of which device it is, counted from 1.
        ordered_wh: The energy of the order, of a device what it does; bought is positive. [Wh]
        limit: Of the order; of a device the price. [micro-currency/kWh]
        planned_wh: What the clearing has it buy, from the retailer too. [Wh]
        submitted: By device, batteries first, and place in the roster, which homes have submitted theirs.
        retailer_wh: What all of them buy from the retailer. [Wh]
        price: Of the interval; None where nothing trades.
        clear_ns: Time that the clearing took. [ns]
    """

    home: IntArray
    kind: IntArray
    ordered_wh: IntArray
    limit: IntArray
    planned_wh: IntArray
    submitted: Mapping[str, BoolArray]
    retailer_wh: int
    price: PriceInterval | None
    clear_ns: int

    @property
    def simple_wh(self) -> IntArray:
        """What each home of the roster buys by simple orders. [Wh]"""
        return self._by_home(0)

    def schedule(self, members: IntArray) -> Schedule:
        """What the devices of some homes of the roster do."""
        moved = {
            name: Moved(self._by_home(kind)[members], has[members])
            for kind, (name, has) in enumerate(self.submitted.items(), 1)
        }
        battery = moved.pop(BATTERY.name)
        return Schedule(battery.energy_wh, battery.has, moved)

    def _by_home(self, kind: int) -> IntArray:
        found, rows = np.zeros(len(self.submitted[BATTERY.name]), dtype=np.int64), self.kind == kind
        np.add.at(found, self.home[rows], self.planned_wh[rows])
        return found


def _first_interval(
    setup: Setup,
    members: IntArray,
    book: OrderBook,
    whole: Clearing,
    submitted: Submitted,
    place: IntArray,
    clear_ns: int,
) -> _First:
    """Read the first interval out of the clearing of a horizon."""
    moved = np.zeros(len(book), dtype=np.int64) if whole.schedule_wh is None else whole.schedule_wh[:, 0]
    price, outside = whole.prices[0][0], book.participant == len(setup.roster)
    at = 0 if price is None else price.price
    names = (BATTERY.name, *submitted.placed)
    # Those of later intervals are no orders of this one.
    kind = np.where([isinstance(book.terms.get(row), Flexible) for row in range(len(book))], -1, 0)
    kind[[row for row, terms in book.terms.items() if isinstance(terms, Storage)]] = 1
    own = _rows_of(book, np.argsort(place)[members], submitted.flexible)
    kind[own] = [1 + names.index(one.device) for one in submitted.flexible]
    rows = np.flatnonzero((kind >= 0) & ~outside)
    home, kind = place[book.participant[rows]], kind[rows]
    order = np.lexsort((kind, home))
    rows, home, kind = rows[order], home[order], kind[order]
    has = {name: np.zeros(len(setup.roster), dtype=np.bool_) for name in names}
    has[BATTERY.name][home[kind == 1]] = True
    for name, homes in submitted.placed.items():
        has[name][members] = homes
    return _First(
        home,
        kind,
        np.where(kind > 0, moved[rows], book.side[rows] * book.energy_wh[rows]),
        np.where(kind > 0, at, book.limit_micro_per_kwh[rows]),
        moved[rows],
        has,
        -int(moved[outside].sum()),
        price,
        clear_ns,
    )


def _rows_of(book: OrderBook, rank: IntArray, flexible: Sequence[FlexibleOrder]) -> list[int]:
    """Rows of a book of flexible orders, which come last of their participants."""
    who = rank[[one.home for one in flexible]].tolist()
    left, end = Counter(who), np.searchsorted(book.participant, who, side="right").tolist()
    rows = []
    for one, behind in zip(who, end, strict=True):
        rows.append(behind - left[one])
        left[one] -= 1
    return rows


def _bound(setup: Setup, i: int, first: _First) -> tuple[OrderBook, Clearing]:
    """The book and the clearing of the interval itself: simple orders at its price, without the retailer.

    What the retailer trades is taken from all who trade on its other side, in proportion: it was at the price of the
    interval too. A device is an order of what it does, at that price.
    """
    kept = first.ordered_wh != 0
    home, kind, ordered, limit, planned = (
        column[kept] for column in (first.home, first.kind, first.ordered_wh, first.limit, first.planned_wh)
    )
    side, accepted = np.sign(ordered).astype(np.int8), np.abs(planned)
    served = side == np.sign(first.retailer_wh)
    rank = np.argsort(np.lexsort((kind, np.argsort(drawn_order(setup))[home])))
    accepted = accepted - largest_remainder(accepted * served, abs(first.retailer_wh), rank)
    book = build_book(setup.seed, setup.start_of(i), home, side, np.abs(ordered), limit)
    there = first.price is not None and bool(accepted.any())
    price = np.full(len(book), first.price.price if there and first.price is not None else 0)
    clearing = Clearing(
        accepted,
        price,
        (first.price if there else None,),
        0,
        int(np.dot(side * accepted, limit)),
    )
    check_feasible(book, clearing, limits=setup.mechanism.promises.individually_rational)
    return book, clearing
