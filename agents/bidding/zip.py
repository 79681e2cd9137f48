"""Zero intelligence plus: a margin that follows what the others shout, by the rule of Widrow and Hoff."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from agents.bidding import STRATEGIES, Orders, OwnResults, Strategy, View, one_order_a_home
from agents.rules import AgentRules
from agents.state import State
from market.random import WordArray, fractions, random_words, splitmix64
from market.units import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]

SHOUTS: Final = 32
"""Shouts of a round that a home reacts to at most, evenly over the round; so a round costs the same however large."""
RELATIVE, ABSOLUTE = 0.05, 0.02
"""Largest relative and absolute step of a target beyond a shout; the absolute one is a share of the price range."""


def start(homes: IntArray, rules: AgentRules) -> State:
    """Margins of 5 to 35 % of the price range, learning rates of .1 to .5, momentum of 0 to .1, all drawn by home."""
    words, zero = random_words(rules.seed, -1, homes), np.zeros(len(homes))
    return {
        "buy_margin": 0.05 + 0.3 * fractions(words, 0),
        "sell_margin": 0.05 + 0.3 * fractions(words, 1),
        "buy_drift": zero,
        "sell_drift": zero,
        "rate": 0.1 + 0.4 * fractions(words, 2),
        "momentum": 0.1 * fractions(words, 3),
        # Of the interval, for markets of one round: what was planned, its worth, and the range of prices.
        "plan_wh": np.zeros(len(homes), dtype=np.int64),
        "worth": zero,
        "span": zero,
        "word": words.view(np.int64),
    }


def bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at its worth less the margin.

    Every shout of others is an order of the last round. One that traded shows all that the price is possible: who
    would have paid more, or asked less, raises its margin towards it, and who still has energy to trade and stands on
    the other side of the shout lowers its margin to it. One that did not trade shows those of its own side who still
    have energy that they must do better. The target is up to 5 % and 2 % of the price range beyond the shout, and the
    price goes there by a share of the way, with a momentum.

    Two things differ from the source, where traders act one after the other: a round is taken as a whole before the
    next, and margins are shares of the price range and not of the value, which may be 0 here. In a market of one round
    a home knows the price of the interval and what it traded itself, and takes that as the one shout.

    Source: Cliff, Minimal-intelligence agents for bargaining behaviors in market-based environments, HP Laboratories
    report HPL-97-91 (1997), equations 8 to 17.
    """
    buy, sell = view.worth
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    span = max(high - low, 0)
    bids = np.rint(buy - state["buy_margin"] * span).astype(np.int64)
    offers = np.rint(sell + state["sell_margin"] * span).astype(np.int64)
    return one_order_a_home(
        view.net_wh, np.maximum(bids, np.minimum(low, buy)), np.minimum(offers, np.maximum(high, sell))
    )


def look(state: State, view: View) -> State:
    """Remember the plan of a market of one round; after a round of several observe its shouts."""
    plan_wh = view.net_wh if view.bought_wh is None else view.net_wh + view.bought_wh
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    worth = np.where(plan_wh > 0, *view.worth).astype(np.float64)
    span = np.full(len(worth), float(max(high - low, 0)))
    if view.tape is None:
        kept_wh = plan_wh if view.rounds == 1 else np.zeros_like(plan_wh)
        return {**state, "plan_wh": kept_wh, "worth": worth, "span": span, "word": view.words.view(np.int64)}
    if view.rounds == 1:
        return state
    tape = view.tape
    last = np.flatnonzero(tape.round_of == view.round - 1)
    if len(last) > SHOUTS:
        last = last[np.linspace(0, len(last) - 1, SHOUTS).astype(np.int64)]
    quoted = np.where(tape.took, tape.price_micro_per_kwh, tape.limit_micro_per_kwh)[last]
    mover = _Mover({**state, "worth": worth, "span": span}, np.sign(plan_wh), view.net_wh != 0, view.words)
    for side, price, deal in zip(tape.side[last], quoted, tape.took[last], strict=True):
        mover.observe(np.full(len(worth), float(price)), int(side), bool(deal))
    return mover.state()


def learn_own(state: State, results: OwnResults) -> State:
    """In a market of one round: take its price, or a home's own price, for the one shout."""
    plan_wh = state["plan_wh"]
    if not plan_wh.any():
        return state
    side = np.sign(plan_wh)
    got_wh = np.where(side > 0, results.bought_wh, results.sold_wh)
    mover = _Mover(state, side, got_wh < np.abs(plan_wh), state["word"].view(np.uint64))
    own = np.where(got_wh > 0, side * results.payment_nano / np.maximum(got_wh, 1), mover.price)
    price = own if results.price is None else np.full(len(own), float(results.price.price))
    mover.observe(price, 0, True)
    return {**mover.state(), "plan_wh": np.zeros_like(plan_wh)}


class _Mover:
    """The prices of homes on the side on which each trades in an interval, moved shout by shout."""

    def __init__(self, state: State, side: IntArray, active: BoolArray, words: WordArray) -> None:
        self._state, self._side, self._active, self._words = state, side, active, words
        self._worth, self._span, buys = state["worth"], state["span"], side > 0
        self._drift: FloatArray = np.where(buys, state["buy_drift"], state["sell_drift"])
        self.price: FloatArray = self._worth - side * self._span * np.where(
            buys, state["buy_margin"], state["sell_margin"]
        )

    def observe(self, shout: FloatArray, shouted: int, deal: bool) -> None:
        """React to a shout.

        Args:
            shout: Its price. [micro-currency/kWh]
            shouted: Its side; 0 where both sides take it for a deal of the other.
            deal: Whether it traded.
        """
        side, words = self._side, self._words
        ahead = side * (
            shout - np.rint(self.price)
        )  # above 0: the shout is worse for the home than its own price
        lower = self._active & (ahead >= 0) & ((side != shouted) if deal else (side == shouted))
        moves = lower | (ahead <= 0) if deal else lower
        self._words = words = splitmix64(words)
        beyond = RELATIVE * fractions(words, 0) * np.abs(shout) + ABSOLUTE * fractions(words, 1) * self._span
        target = shout + side * np.where(lower, beyond, -beyond)
        momentum, rate = self._state["momentum"], self._state["rate"]
        drift = momentum * self._drift + (1 - momentum) * rate * (target - self.price)
        self._drift = np.where(moves, drift, self._drift)
        better = side * (self._worth - self.price - self._drift)
        moved = self._worth - side * np.clip(better, 0, self._span)
        self.price = np.where(moves, moved, self.price)

    def state(self) -> State:
        """The state with the margins and drifts of these prices."""
        state, buys, sells = self._state, self._side > 0, self._side < 0
        margin = self._side * (self._worth - self.price) / np.maximum(self._span, 1)
        return {
            **state,
            "buy_margin": np.where(buys, margin, state["buy_margin"]),
            "sell_margin": np.where(sells, margin, state["sell_margin"]),
            "buy_drift": np.where(buys, self._drift, state["buy_drift"]),
            "sell_drift": np.where(sells, self._drift, state["sell_drift"]),
        }


ZIP = STRATEGIES.register(
    Strategy(
        "zip",
        bid,
        "zero intelligence plus: a margin that follows what is ordered and traded",
        start=start,
        learn_own=learn_own,
        look=look,
        by_worth=True,
    ),
    contract=2,
)
