"""Negotiated trades: each agent sees its own numbers and the last messages of its partners, and nothing else (ADMM).

Every agent keeps its own copy of the quantity of each of its trades. In a round it chooses its copies, given the
quantity last agreed with each partner and the price of their disagreement, and sends them; both ends of a trade then
take the mean as agreed, and move the price by the difference. `choose` and `agree` treat any number of agents at once:
one agent where that agent is, all of them in one process.

Quantities and prices are scaled by public units (`Terms`), so that one tolerance fits every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from market.units import FloatArray, IntArray

_STEPS_MAX = 60
_SETTLED = 1e-12
"""A step of a marginal cost below it is rounding. [unit of price]"""

_TOGETHER = 60.0
"""How much further apart one agent's trades together may be than agents in the root mean square; repair is exact."""

_NOTHING = 1e-12
"""A trade below it is none. [unit of energy]"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all agents agree on beforehand.

    Args:
        energy_wh: Unit of energy. [Wh]
        money: Unit of price. [currency/kWh]
        over_relaxation: 1 is none; at most 1.9.
        tolerance: Largest disagreement, in units.
        every: Rounds between two reports.
        rounds_max: Rounds after which to stop in any case.
    """

    energy_wh: float
    money: float
    over_relaxation: float = 1.6
    tolerance: float = 3e-5
    every: int = 10
    rounds_max: int = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """The numbers of k agents with s sides and t trades, in units; one agent is k = 1.

    A side is all that an agent may sell, or all that it may buy. Trades are sorted by side, sides by agent.

    Args:
        slope: Rise of each marginal cost, shape (k,).
        start: Marginal cost at 0, shape (k,).
        least: Smallest p, shape (k,).
        most: Largest p, shape (k,).
        agent: Agent of each side, shape (s,).
        sign: +1 of a side that sells, -1 of one that buys, shape (s,).
        first: First trade of each side, shape (s,).
        count: Trades of each side, shape (s,).
        cost: What the agent adds for each trade, shape (t,).
    """

    slope: FloatArray
    start: FloatArray
    least: FloatArray
    most: FloatArray
    agent: IntArray
    sign: FloatArray
    first: IntArray
    count: IntArray
    cost: FloatArray


class State(NamedTuple):
    """What agents remember between rounds.

    Args:
        agreed: Quantity of each trade, shape (t,); at both ends the same.
        price: Price of disagreement of each trade over `rho`, shape (t,); at the other end the negative.
        marginal: Marginal cost of each agent, shape (k,).
        rho: Price of a unit of disagreement.
    """

    agreed: FloatArray
    price: FloatArray
    marginal: FloatArray
    rho: float


class Report(NamedTuple):
    """How far agents are from agreement, each of shape (k,).

    Args:
        apart: Sum of squared differences between both copies.
        moved: Sum of squared moves of the agreed quantities, times rho squared.
        net: Difference between both copies of all trades of an agent together.
    """

    apart: FloatArray
    moved: FloatArray
    net: FloatArray


class Verdict(NamedTuple):
    """What follows from all reports, the same for all agents."""

    rho: float
    done: bool
    apart: float
    moved: float
    net: float


def begin(own: Own) -> State:
    """Nothing agreed, nothing paid, rho 1."""
    nothing = np.zeros(len(own.cost))
    return State(nothing, nothing, own.start.copy(), 1.0)


def choose(own: Own, state: State, terms: Terms) -> tuple[FloatArray, FloatArray]:
    """The trades that each agent wants now.

    It minimises its cost plus rho / 2 times the squared distance from what was agreed less the price: each trade is
    max(0, agreed - price - (sign x marginal + cost) / rho), and the marginal cost is that of their sum. That is one
    equation in one unknown, monotone and piecewise linear, solved by Newton steps from the last value.

    Returns:
        Copies to send, over-relaxed, shape (t,), and the new marginal cost of each agent, shape (k,).
    """
    rho = state.rho
    wanted = state.agreed - state.price - own.cost / rho
    marginal = state.marginal.copy()
    low, high = np.full(len(marginal), -np.inf), np.full(len(marginal), np.inf)
    open_ = np.ones(len(marginal), dtype=np.bool_)
    trades = wanted
    for _ in range(_STEPS_MAX):
        trades = _at(own, wanted, marginal, rho)
        p, active = _net(own, trades)
        new = _newton(own, marginal, p, active / rho)
        low = np.where(new > marginal, marginal, low)
        high = np.where(new < marginal, marginal, high)
        open_ &= np.abs(new - marginal) > _SETTLED * np.maximum(1.0, np.abs(marginal))
        if not open_.any():
            break
        marginal = np.where(open_, _inside(new, low, high), marginal)
    alpha = terms.over_relaxation
    return alpha * trades + (1.0 - alpha) * state.agreed, marginal


def _at(own: Own, wanted: FloatArray, marginal: FloatArray, rho: float) -> FloatArray:
    """The trades at marginal costs."""
    price = np.repeat(own.sign * marginal[own.agent] / rho, own.count)
    np.subtract(wanted, price, out=price)
    return np.maximum(price, 0.0, out=price)


def _net(own: Own, trades: FloatArray) -> tuple[FloatArray, FloatArray]:
    """p of each agent, and how many of its trades are not 0."""
    side = own.sign * np.add.reduceat(trades, own.first)
    active = np.add.reduceat((trades > 0).astype(np.float64), own.first)
    return _by_agent(own, side), _by_agent(own, active)


def _by_agent(own: Own, side: FloatArray) -> FloatArray:
    """Sums over the sides of each agent."""
    return np.bincount(own.agent, side, len(own.slope)).astype(np.float64)


def _newton(own: Own, marginal: FloatArray, p: FloatArray, fall: FloatArray) -> FloatArray:
    """Where the marginal cost would meet the trades if these fell by `fall` per unit: inside the limits or at one."""
    free = (own.start + own.slope * (p + fall * marginal)) / (1.0 + own.slope * fall)
    p_free = p - fall * (free - marginal)
    step = 1.0 / np.maximum(fall, 1e-9)
    step = np.where(fall > 0, step, 1.0)
    to_most, to_least = marginal + (p - own.most) * step, marginal + (p - own.least) * step
    return np.where(p_free > own.most, to_most, np.where(p_free < own.least, to_least, free))


def _inside(new: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """The new value, or the middle of what is known where it leaves that."""
    outside = (new <= low) | (new >= high)
    with np.errstate(invalid="ignore"):
        middle = 0.5 * (low + high)
    return np.where(outside & np.isfinite(middle), middle, new)


def agree(state: State, sent: FloatArray, received: FloatArray, marginal: FloatArray) -> State:
    """Meet the partners half way, and let the price of each trade follow the difference.

    Args:
        state: As in `choose`.
        sent: Copies of this end, shape (t,).
        received: Copies of the other ends, shape (t,).
        marginal: From `choose`.
    """
    agreed = 0.5 * (sent + received)
    return State(agreed, state.price + (sent - agreed), marginal, state.rho)


def report(
    own: Own, before: State, after: State, sent: FloatArray, received: FloatArray, terms: Terms
) -> Report:
    """How far each agent is from its partners, and how far it has moved in this round."""
    apart = (sent - received) / terms.over_relaxation
    moved = after.agreed - before.agreed
    return Report(
        _by_agent(own, np.add.reduceat(apart * apart, own.first)),
        _by_agent(own, np.add.reduceat(moved * moved, own.first)) * float(before.rho) ** 2,
        _by_agent(own, own.sign * np.add.reduceat(apart, own.first)),
    )


def weigh(reports: Report, rho: float, terms: Terms) -> Verdict:
    """Whether all agree, and the next rho: doubled or halved where one residual is 4 times the other.

    Args:
        reports: Of all agents, in one fixed order.
        rho: The present one.
        terms: As in `choose`.
    """
    apart, moved = float(np.sqrt(reports.apart.sum())), float(np.sqrt(reports.moved.sum()))
    net = float(np.abs(reports.net).max(initial=0.0))
    enough = terms.tolerance * np.sqrt(len(reports.net))
    done = net <= _TOGETHER * terms.tolerance and apart <= enough and moved <= enough
    new = rho * 2.0 if apart > 4.0 * moved else rho / 2.0 if moved > 4.0 * apart else rho
    return Verdict(rho if done else new, bool(done), apart, moved, net)


def turn(state: State, rho: float) -> State:
    """Go on after a report: the same prices at the new rho, and no trade where next to nothing is agreed.

    Over-relaxation alone would let what nobody wants fade for ever.
    """
    agreed = np.where(np.abs(state.agreed) < _NOTHING, 0.0, state.agreed)
    return State(agreed, state.price * (state.rho / rho), state.marginal, rho)
