"""Adaptive-Aggressive: how eagerly a home trades follows from the last trades and from what others order."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home
from agents.rules import AgentRules
from agents.state import State
from market.units import IntArray

FloatArray = npt.NDArray[np.float64]

TRADES: Final = 30
"""Trades of which the equilibrium price is estimated."""
FADING: Final = 0.9
"""Weight of a trade in it against that of the next one."""
APPROACH: Final = 3.0
"""Before a trade is known, the share of the way that a home goes is one over this."""
SHORT, LONG = 0.5, 0.5
"""Rates of learning of the aggressiveness and of its shape."""
STEP_RELATIVE, STEP_ABSOLUTE = 0.02, 0.01
SHAPES: Final = (-8.0, 2.0)
"""Range of the shape of the aggressiveness."""
CURVE: Final = 2.0
SHOUTS: Final = 32
"""Shouts of a round that a home reacts to at most."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """Neither eager nor reluctant, and no trade is known."""
    zero = np.zeros(len(homes))
    return {
        "buy_r": zero,
        "sell_r": zero,
        "shape": zero - 4.0,
        "trades": np.zeros((len(homes), TRADES)),
        "known": np.zeros(len(homes), dtype=np.int64),
        "least": zero,
        "most": zero,
    }


def bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at the target price of the home's aggressiveness.

    The equilibrium price p is a mean of the last 30 trades, each counting .9 of the next. A home whose worth is better
    than p aims at p where it is neither eager nor reluctant (r = 0), at its worth where it is as eager as can be
    (r = 1), and at the far end of the prices where it is as reluctant as can be (r = -1); one whose worth is worse than
    p aims at its worth from r = 0 on. In between the target follows (exp(r s) - 1) / (exp(s) - 1) with the shape s.
    After a shout r goes half way to what would have given the shout's price, 2 % and .01 beyond: eager where the home
    would have lost the trade, reluctant where it would have traded at a better price. After a round s goes half way to
    a value between 2, where prices scatter least, and -8, where they scatter most of all rounds so far.

    The papers leave open, and here it is decided: prices below p are measured from the lowest price, not from 0; the
    scatter of prices is divided by the price range; only homes with energy left become eager by an order that did not
    trade; a round is taken as a whole, at most 32 shouts of it; before a trade is known a home goes a third of the way
    from the far end to its worth, and another third of the rest in every round; and once one is known it orders
    at its target and not a third of the way to it, because in a round no order stands that could be bettered.

    Source: Vytelingum, Cliff, Jennings, Artificial Intelligence 172 (2008), 1700-1729, section 4.
    """
    buy, sell = view.worth
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    bids, offers = (
        side
        * np.rint(_target(state, state[name], _ends(state, side, worth, end), view.round)).astype(np.int64)
        for name, side, worth, end in (("buy_r", 1, buy, low), ("sell_r", -1, sell, high))
    )
    return one_order_a_home(view.net_wh, np.minimum(bids, buy), np.maximum(offers, sell))


def look(state: State, view: View) -> State:
    """Learn from the round before."""
    tape = view.tape
    if tape is None:
        return state
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    last = np.flatnonzero(tape.round_of == view.round - 1)
    deals = tape.price_micro_per_kwh[last[tape.took[last]]]
    if len(last) > SHOUTS:
        last = last[np.linspace(0, len(last) - 1, SHOUTS).astype(np.int64)]
    quoted = np.where(tape.took, tape.price_micro_per_kwh, tape.limit_micro_per_kwh)[last]
    state = _with_trades(state, deals, high - low)
    plan_wh, active, eager = (
        view.net_wh + (0 if view.bought_wh is None else view.bought_wh),
        view.net_wh != 0,
        {},
    )
    for name, side, worth, end in (("buy_r", 1, view.worth[0], low), ("sell_r", -1, view.worth[1], high)):
        r, mine, ends = state[name], np.sign(plan_wh) == side, _ends(state, side, worth, end)
        for shout, shouted, deal in zip(quoted, tape.side[last], tape.took[last], strict=True):
            ahead = side * float(shout) - np.rint(_target(state, r, ends, view.round))
            more = active & (ahead >= 0) if deal or shouted == side else active & False
            less = (ahead <= 0) if deal else active & False
            at = _r_of(state, ends, side * float(shout))
            goal = np.where(more, at + STEP_RELATIVE * np.abs(at) + STEP_ABSOLUTE, 0.0)
            goal = np.where(less, at - STEP_RELATIVE * np.abs(at) - STEP_ABSOLUTE, goal)
            r = np.where(mine & (more | less), np.clip(r + SHORT * (goal - r), -1, 1), r)
        eager[name] = np.where(state["known"] > 0, r, state[name])
    return {**state, **eager}


def _with_trades(state: State, deals: IntArray, span: int) -> State:
    """Remember trades, and bend the shape by how much they scatter around the equilibrium price."""
    if not len(deals) or span <= 0:
        return state
    newest = np.repeat(deals[None, -TRADES:].astype(np.float64), len(state["known"]), axis=0)
    trades = np.concatenate((state["trades"], newest), axis=1)[:, -TRADES:]
    known = np.minimum(state["known"] + newest.shape[1], TRADES)
    state = {**state, "trades": trades, "known": known}
    there = np.arange(TRADES) >= TRADES - known[:, None]
    off = np.where(there, trades - _equilibrium(state)[:, None], 0.0)
    alpha = np.sqrt((off**2).sum(axis=1) / known) / span
    first = state["most"] == 0
    least = np.where(first, alpha, np.minimum(state["least"], alpha))
    most = np.where(first, alpha, np.maximum(state["most"], alpha))
    scatter = (alpha - least) / np.where(most > least, most - least, 1.0)
    goal = (SHAPES[1] - SHAPES[0]) * (1 - scatter * np.exp(CURVE * (scatter - 1))) + SHAPES[0]
    return {**state, "least": least, "most": most, "shape": state["shape"] + LONG * (goal - state["shape"])}


def _equilibrium(state: State) -> FloatArray:
    """The mean of the remembered trades, the latest counting most."""
    age = np.arange(TRADES)[::-1]
    weight = np.where(age < state["known"][:, None], FADING**age, 0.0)
    mean: FloatArray = (weight * state["trades"]).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12)
    return mean


Ends = tuple[FloatArray, FloatArray, FloatArray]
"""Seen from a buyer: the far end of the prices, the price that r = 0 aims at, and the one that r = 1 aims at."""


def _ends(state: State, side: int, worth: IntArray, end: int) -> Ends:
    """The ends of homes on one side; a seller's prices are negative."""
    own = side * worth.astype(np.float64)
    far = np.minimum(float(side * end), own)
    return far, np.clip(side * _equilibrium(state), far, own), own


def _target(state: State, r: FloatArray, ends: Ends, rounds: int) -> FloatArray:
    """What homes would order at with this aggressiveness."""
    (far, middle, own), shape = ends, _bent(state)
    part = np.expm1(np.abs(r) * shape) / np.expm1(shape)
    aim = np.where(r > 0, middle + (own - middle) * part, middle - (middle - far) * part)
    unknown = far + (own - far) * (1 - (1 - 1 / APPROACH) ** (rounds + 1))
    found: FloatArray = np.where(state["known"] > 0, aim, unknown)
    return found


def _r_of(state: State, ends: Ends, price: float) -> FloatArray:
    """The aggressiveness whose target is this price."""
    (far, middle, own), shape = ends, _bent(state)
    there = np.clip(price, far, own)
    above = there > middle
    room = np.where(above, own - middle, middle - far)
    part = np.clip(np.abs(there - middle) / np.where(room > 0, room, 1.0), 0, 1)
    size = np.log1p(part * np.expm1(shape)) / shape
    found: FloatArray = np.where(above, size, -size)
    return found


def _bent(state: State) -> FloatArray:
    """The shape, which is never quite 0."""
    shape: FloatArray = np.where(np.abs(state["shape"]) < 1e-6, 1e-6, state["shape"])
    return shape


AA = STRATEGIES.register(
    Strategy(
        "aa",
        bid,
        "adaptive-aggressive: as eager as the last trades and the orders of others suggest",
        start=start,
        look=look,
        needs_rounds=True,
        by_worth=True,
    ),
    contract=2,
)
