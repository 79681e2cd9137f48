"""All agents of a market negotiating in one process: the rounds of `negotiation` on arrays of all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.bilateral.forest import Settled
from optimizer.bilateral.market import Market, refuse_isolated
from optimizer.bilateral.negotiation import (
    Own,
    Report,
    State,
    Terms,
    Verdict,
    agree,
    begin,
    choose,
    report,
    turn,
    weigh,
)

_EVEN_WH = 1e-9
"""A trade below it is none. [Wh]"""

_ROOM = 0.2
"""What a marginal cost must move before a trade that is not computed might change, to begin with. [unit of price]"""

_SOON, _LONG = 10, 30
"""Rounds before which a choice of trades was too narrow, and after which it is made narrower."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The numbers of all agents that have partners, and where each trade's other end is.

    Args:
        own: k agents, 2 m trades.
        row: Row of each agent in the market, shape (k,).
        pair: Pair of each trade, shape (2 m,).
        mirror: Place of the same trade at its other end, shape (2 m,).
    """

    own: Own
    row: IntArray
    pair: IntArray
    mirror: IntArray


class Negotiated(NamedTuple):
    """Where a negotiation ended.

    Args:
        trades: The middle of both copies of each trade; prices are marginal costs, shape (n,).
        price: Price of each trade: what its seller asks for one more, shape of `trades.pair`. [currency/kWh]
        rounds: How many there were.
        verdict: The last one; residuals are in the units of `terms`.
        terms: What was agreed beforehand.
    """

    trades: Settled
    price: FloatArray
    rounds: int
    verdict: Verdict
    terms: Terms


def terms_of(market: Market, **others: float) -> Terms:
    """Units that fit a market: medians of the largest |p| of agents and of how far their marginal costs are apart.

    Medians, because one retailer who could sell a town's energy must not make the trades of homes count as nothing.
    """
    agents = market.agents
    most = np.maximum(np.abs(agents.least), np.abs(agents.most))
    ends = np.concatenate((agents.marginal(agents.least), agents.marginal(agents.most)))
    apart = np.abs(ends - np.median(ends))
    return Terms(_middle(most), _middle(apart), **others)  # type: ignore[arg-type]


def _middle(values: FloatArray) -> float:
    """The median of those that are not 0; 1 where all are."""
    return float(np.median(values[values > 0])) if (values > 0).any() else 1.0


def table_of(market: Market, terms: Terms) -> Table:
    """Sort the trades by agent and side, and scale everything to units."""
    m = len(market.seller)
    end = np.concatenate((market.seller, market.buyer))
    buys = np.repeat((0, 1), m)
    order = np.lexsort((np.tile(np.arange(m), 2), buys, end))
    place = np.empty(2 * m, dtype=np.int64)
    place[order] = np.arange(2 * m)
    key = 2 * end[order] + buys[order]
    first = np.flatnonzero(np.concatenate(([True], np.diff(key) > 0)))
    row, agent = np.unique(key[first] // 2, return_inverse=True)
    agents = market.agents.rows(row)
    own = Own(
        slope=agents.slope * terms.energy_wh / terms.money,
        start=agents.start / terms.money,
        least=agents.least / terms.energy_wh,
        most=agents.most / terms.energy_wh,
        agent=agent,
        sign=np.where(key[first] % 2, -1.0, 1.0),
        first=first,
        count=np.diff(np.append(first, 2 * m)),
        cost=np.concatenate((market.seller_cost, market.buyer_cost))[order] / terms.money,
    )
    return Table(own, row, order % m, place[(order + m) % (2 * m)])


def alone(own: Own, agent: int) -> tuple[Own, slice]:
    """The numbers of one agent, and where its trades are among those of all."""
    sides = own.agent == agent
    first, count = own.first[sides], own.count[sides]
    trades = slice(int(first[0]), int(first[-1] + count[-1]))
    one = slice(agent, agent + 1)
    mine = replace(
        own,
        slope=own.slope[one],
        start=own.start[one],
        least=own.least[one],
        most=own.most[one],
        agent=np.zeros(len(first), dtype=np.int64),
        sign=own.sign[sides],
        first=first - first[0],
        count=count,
        cost=own.cost[trades],
    )
    return mine, trades


def negotiate(market: Market, terms: Terms, rho: float = 1.0) -> Negotiated:
    """Rounds until all agents agree, or there were too many.

    Args:
        market: n agents, m pairs.
        terms: Units, tolerance and number of rounds.
        rho: To begin with.

    Raises:
        Infeasible: An agent must trade and has nobody to trade with.
    """
    refuse_isolated(market)
    if not len(market.seller):
        nothing = np.zeros(0, dtype=np.int64)
        idle = Settled(np.zeros(len(market.agents)), nothing, np.zeros(0), market.agents.start)
        return Negotiated(idle, np.zeros(0), 0, Verdict(rho, True, 0.0, 0.0, 0.0), terms)
    table = table_of(market, terms)
    crowd = _Crowd(table, begin(table.own)._replace(rho=rho), terms)
    verdict = Verdict(rho, False, np.inf, np.inf, np.inf)
    rounds = 0
    while not verdict.done and rounds < terms.rounds_max:
        before, received = crowd.round()
        rounds += 1
        if rounds % terms.every == 0:
            verdict = weigh(crowd.report(before, received), crowd.rho, terms)
            crowd.turn(verdict.rho)
    crowd.collect()
    return ended(market, table, crowd.state, crowd.copies, rounds, verdict, terms)


class _Crowd:
    """All agents, of whose trades only those that may change are computed.

    A trade that both ends want to be 0, and that was agreed to be 0, stays as it is until the marginal cost of an end
    has moved by as much as the trade lacks. Where that might be, the round is repeated with the trades chosen again. So
    the numbers are those of all trades, in a fraction of the time: at 500 agents about one trade in a hundred is not 0.
    """

    def __init__(self, table: Table, state: State, terms: Terms) -> None:
        self.table, self.terms = table, terms
        self.state, self.copies = state, state.agreed
        self._room, self._lasted = _ROOM, 0
        self._own, self._mirror, self._kept = table.own, table.mirror, table.pair
        self._part, self._sent, self._from = state, state.agreed, state.marginal
        self._watch()

    def round(self) -> tuple[State, FloatArray]:
        """One round of all agents; returns the state before it and what was received, for a report."""
        if self._lasted >= _LONG:
            self.collect()
            self._room *= 0.5
            self._watch()
        while True:
            sent, marginal = choose(self._own, self._part, self.terms)
            if float(np.abs(marginal - self._from).max()) <= self._room:
                break
            self.collect()
            self._room *= 2.0 if self._lasted < _SOON else 1.0
            self._watch()
        before, received = self._part, sent[self._mirror]
        self._part = agree(before, sent, received, marginal)
        self._sent = sent
        self._lasted += 1
        return before, received

    def report(self, before: State, received: FloatArray) -> Report:
        """What all agents report after a round."""
        return report(self._own, before, self._part, self._sent, received, self.terms)

    @property
    def rho(self) -> float:
        """The present rho."""
        return self._part.rho

    def turn(self, rho: float) -> None:
        """Go on with another rho."""
        if rho == self._part.rho:
            self._part = turn(self._part, rho)
        else:
            self.collect()
            self.state = turn(self.state, rho)
            self._watch()

    def collect(self) -> None:
        """Write what was computed into the state of all."""
        agreed, price, copies = (one.copy() for one in (self.state.agreed, self.state.price, self.copies))
        agreed[self._kept], price[self._kept] = self._part.agreed, self._part.price
        copies[self._kept] = self._sent
        self.state, self.copies = State(agreed, price, self._part.marginal, self._part.rho), copies

    def _watch(self) -> None:
        """Choose the trades to compute: not 0, or 0 by less than the room."""
        own, state = self.table.own, self.state
        price = np.repeat(own.sign * state.marginal[own.agent], own.count)
        lacking = (price + own.cost) / state.rho - state.agreed + state.price
        near = (lacking * state.rho <= self._room) | (state.agreed != 0.0)
        near[0] = True  # at least one, as nobody may want to trade
        near |= near[self.table.mirror]
        self._kept = np.flatnonzero(near)
        place = np.cumsum(near) - 1
        count = np.add.reduceat(near.astype(np.int64), own.first)
        used = count > 0
        count = count[used]
        self._own = replace(
            own,
            agent=own.agent[used],
            sign=own.sign[used],
            first=np.concatenate(([0], np.cumsum(count)[:-1])),
            count=count,
            cost=own.cost[self._kept],
        )
        self._mirror = place[self.table.mirror[self._kept]]
        self._part = State(state.agreed[self._kept], state.price[self._kept], state.marginal, state.rho)
        self._sent, self._from, self._lasted = self.copies[self._kept], state.marginal, 0


def ended(
    market: Market,
    table: Table,
    state: State,
    sent: FloatArray,
    rounds: int,
    verdict: Verdict,
    terms: Terms,
) -> Negotiated:
    """The outcome of a negotiation: the middle of both copies of each trade, at the price that both ends have."""
    m = len(market.seller)
    sells = table.own.sign.repeat(table.own.count) > 0
    other = sent[table.mirror]
    both = np.where(np.minimum(sent, other) > 0, 0.5 * (sent + other), 0.0)
    middle = np.zeros(m)
    middle[table.pair[sells]] = both[sells] * terms.energy_wh
    asked = np.zeros(m)
    asked[table.pair[sells]] = -state.rho * state.price[sells] * terms.money
    pair = np.flatnonzero(middle > _EVEN_WH)
    marginal = market.agents.start.copy()
    marginal[table.row] = state.marginal * terms.money
    trades = Settled(market.net(middle[pair], pair), pair, middle[pair], marginal)
    return Negotiated(trades, asked[pair], rounds, verdict, terms)
