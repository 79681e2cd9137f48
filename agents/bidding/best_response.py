"""The limit that would have been best against the others' last orders: a study of where a market settles."""

from __future__ import annotations

from typing import Final

import numpy as np

from agents.bidding import STRATEGIES, Orders, Outcome, Quotes, Strategy, View
from agents.reinforcement import chosen, learned, orders, scores
from agents.rules import AgentRules
from agents.state import State
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.rules import MarketRules
from market.units import PPM, IntArray

STEPS: Final = 9
SHADE_PPM: Final = PPM * np.arange(STEPS) // (STEPS - 1)


def start(homes: IntArray, rules: AgentRules) -> State:
    """Nobody shades yet."""
    return scores(len(homes), STEPS, 0.0)


def look(state: State, view: View) -> State:
    """Choose the step that would have gained most last time, the least shaded of equals."""
    return chosen(state, view, lambda score: np.argmax(score, axis=1))


def bid(state: State, view: View) -> Orders:
    """Order what is left of the plan at the best limit of nine, from the home's worth to the far end of the prices."""
    return orders(state, view, SHADE_PPM)


def learn(state: State, outcome: Outcome) -> State:
    """Clear the last orders again with each of a home's nine limits, and keep what each would have gained.

    Whatever the market's mechanism, a home reckons with one price in the middle of the range that clears. Every home
    answers to the same orders of the others at once, so a market need not settle: it may go round in a circle. Each
    interval costs nine clearings a home, and a home must see all orders, which a network does not show it.
    """
    score = np.zeros((len(state["step"]), STEPS))
    plan_wh, worth = state["plan_wh"], state["worth"]
    for row in range(len(outcome.orders.home)):
        home = int(outcome.orders.home[row])
        if np.sign(plan_wh[home]) != outcome.orders.side[row]:
            continue
        others = _without(outcome.quotes, outcome.orders, row)
        way = int(state["span"][home]) * SHADE_PPM // PPM
        side, energy_wh = int(outcome.orders.side[row]), int(outcome.orders.energy_wh[row])
        limits = worth[home] - side * way
        score[home] = [_gain_nano(others, side, energy_wh, int(limit), int(worth[home])) for limit in limits]
    return learned(state, plan_wh != 0, score)


def _without(quotes: Quotes, own: Orders, row: int) -> Quotes:
    """All orders but one of a home, of which one with the same numbers is as good."""
    same = (quotes.side == own.side[row]) & (quotes.energy_wh == own.energy_wh[row])
    same &= quotes.limit_micro_per_kwh == own.limit_micro_per_kwh[row]
    rows = np.delete(np.arange(len(same)), np.flatnonzero(same)[:1])
    return Quotes(
        quotes.side[rows], quotes.energy_wh[rows], quotes.limit_micro_per_kwh[rows], quotes.accepted_wh[rows]
    )


def _gain_nano(others: Quotes, side: int, energy_wh: int, limit: int, worth: int) -> int:
    """What an order of a home would have gained among these orders."""
    n = len(others.side)
    book = OrderBook.from_columns(
        np.arange(n + 1),
        np.append(others.side, np.int8(side)),
        np.append(others.energy_wh, energy_wh),
        np.append(others.limit_micro_per_kwh, limit),
    )
    cleared = clear_exact(book, MarketRules())
    return int(side * cleared.accepted_wh[n] * (worth - cleared.price_micro_per_kwh[n]))


BEST_RESPONSE = STRATEGIES.register(
    Strategy(
        "best_response",
        bid,
        "a study: the limit that would have been best against the last orders of all others",
        start=start,
        learn=learn,
        look=look,
        by_worth=True,
    ),
    contract=2,
)
