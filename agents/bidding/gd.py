"""Gjerstad-Dickhaut: the limit that is best for a home by how often such limits were taken lately."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from agents.bidding import STRATEGIES, Orders, Strategy, View, one_order_a_home
from agents.rules import AgentRules
from agents.state import State
from market.rounds import Tape
from market.units import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]

TRADES: Final = 5
"""The memory reaches back to this many trades."""
MEMORY: Final = 64
"""Orders of earlier intervals that are remembered at most."""
PRICES: Final = 64
"""Limits that are weighed, evenly between the outside prices, beside a home's own."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """Nothing is remembered."""
    shape = (len(homes), MEMORY)
    return {
        "limit": np.zeros(shape, dtype=np.int64),
        "side": np.zeros(shape, dtype=np.int8),  # 0: nothing is remembered here
        "taken": np.zeros(shape, dtype=np.bool_),
    }


def bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at the limit with the largest product of gain and belief that it trades.

    The belief in a bid b is (TBL + AL) / (TBL + AL + RBG): bids at or below b that were taken, offers at or below it,
    bids at or above it that were not taken. The belief in an offer is the same from the other side. A bid at the
    highest price is believed to trade, one at the lowest not. Between remembered limits the belief is a cubic curve
    without slope at them.

    What is remembered are the orders since the fifth last trade, of this interval and the ones before. An order counts
    as not taken while it rests and as taken once it is hit, also in a later round: without that, and with a shorter
    memory, the market sticks at three quarters of the gain. Who remembers nothing
    has the curve between the two ends alone.

    Source: Gjerstad, Dickhaut, Games and Economic Behavior 22 (1998), 1-29, sections 3 and 4.
    """
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    buy, sell = (column.copy() for column in view.worth)
    if high > low:
        for homes, limit, side, taken in _memories(state, view.tape):
            for own, best in ((buy, 1), (sell, -1)):
                own[homes] = _best(own[homes], best, limit, side, taken, low, high)
    return one_order_a_home(view.net_wh, buy, sell)


def look(state: State, view: View) -> State:
    """After the last round remember the interval; before it the public record itself says what was ordered."""
    if view.round < view.rounds or view.tape is None:
        return state
    kept = {name: np.zeros_like(column) for name, column in state.items()}
    for homes, *columns in _memories(state, view.tape):
        for name, column in zip(("limit", "side", "taken"), columns, strict=True):
            newest = column[-MEMORY:]
            kept[name][homes, : len(newest)] = newest
    return kept


def _memories(state: State, tape: Tape | None) -> list[tuple[IntArray, IntArray, IntArray, BoolArray]]:
    """Homes that remember the same, and the limits, sides and fates of the orders since the fifth last trade."""
    rows = np.concatenate([state[name].astype(np.int64) for name in ("limit", "side", "taken")], axis=1)
    found = []
    same = np.zeros(len(rows), dtype=np.int64)
    if (rows != rows[:1]).any():  # homes that have seen the same market remember the same
        same = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    for group in range(int(same.max(initial=-1)) + 1):
        homes = np.flatnonzero(same == group)
        there = state["side"][homes[0]] != 0
        limit, side, taken = (state[name][homes[0]][there] for name in ("limit", "side", "taken"))
        deal = taken & False
        if tape is not None:
            limit = np.concatenate((limit, tape.limit_micro_per_kwh))
            side = np.concatenate((side, tape.side))
            deal = np.concatenate((deal, tape.took))
            taken = np.concatenate((taken, tape.accepted_wh > 0))
        deals = np.flatnonzero(deal) if deal.any() else np.flatnonzero(taken)
        first = int(deals[-TRADES]) if len(deals) >= TRADES else 0
        found.append((homes, limit[first:], side[first:].astype(np.int64), taken[first:]))
    return found


def _best(
    worth: IntArray, best: int, limit: IntArray, side: IntArray, taken: BoolArray, low: int, high: int
) -> IntArray:
    """The best limits of homes that buy (`best` is +1) or sell (-1) at these values."""
    # Seen from a buyer: a seller's prices are turned round.
    quoted, lowest, highest = best * limit, *sorted((best * low, best * high))
    mine = side == best
    knots = np.unique(quoted)
    accepted, others, refused = (
        np.sort(quoted[mine & taken]),
        np.sort(quoted[~mine]),
        np.sort(quoted[mine & ~taken]),
    )
    yes = np.searchsorted(accepted, knots, "right") + np.searchsorted(others, knots, "right")
    no = len(refused) - np.searchsorted(refused, knots, "left")
    belief = yes / np.maximum(yes + no, 1)
    inside = (knots > lowest) & (knots < highest)
    knots = np.concatenate(([lowest], knots[inside], [highest])).astype(np.float64)
    belief = np.concatenate(([0.0], belief[inside], [1.0]))
    grid = np.unique(np.concatenate((np.linspace(lowest, highest, PRICES), knots)).astype(np.int64))
    believed = _between(grid.astype(np.float64), knots.astype(np.float64), belief.astype(np.float64))
    gain = np.maximum(best * worth[:, None] - grid, 0) * believed
    chosen = best * grid[np.argmax(gain, axis=1)]
    return np.where(gain.max(axis=1) > 0, chosen, worth)


def _between(prices: FloatArray, knots: FloatArray, belief: FloatArray) -> FloatArray:
    """A cubic curve through the beliefs at the knots, level at each of them."""
    left = np.clip(np.searchsorted(knots, prices, "right") - 1, 0, len(knots) - 2)
    part = np.clip((prices - knots[left]) / (knots[left + 1] - knots[left]), 0, 1)
    curve: FloatArray = belief[left] + (belief[left + 1] - belief[left]) * part**2 * (3 - 2 * part)
    return curve


GD = STRATEGIES.register(
    Strategy(
        "gd",
        bid,
        "the limit with the largest product of gain and belief that it trades, from the last five trades on",
        start=start,
        look=look,
        needs_rounds=True,
        by_worth=True,
    ),
    contract=2,
)
