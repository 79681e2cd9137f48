"""MUDA with Vickrey fees: on the long side of a half the best limits win and pay for whom they keep out."""

from __future__ import annotations

import numpy as np

from market.auctions.clarke_pivot import curve_of, members_of, worth_without_own
from market.auctions.double_auction import PARAMETERS, LongSide, clear_halves
from market.auctions.merit_order import Ranking, best_first
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import TIES
from market.rules import MarketRules
from market.units import IntArray


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let each half trade at the other's price, its long side by the best limits, with fees to the operator.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing` and the parameters of `market.auctions.double_auction`; the seed decides the halves, and
            a random draw among equal limits.
    """
    return clear_halves(book, rules, serve)


def serve(side: LongSide) -> tuple[IntArray, IntArray]:
    """Serve the best limits; a winner of w Wh pays what the best w Wh kept out of others would have gained."""
    owner = side.members.of_row[side.rows]
    gain = np.abs(side.book.limit_micro_per_kwh[side.rows] - side.price)
    order = best_first(-gain, side.book.sequence[side.rows])
    queue = side.energy[order]
    ranking = Ranking(side.rows[order], gain[order], queue, np.cumsum(queue))
    got = ranking.best(side.quota_wh, side.book.sequence, side.rules)
    won = np.zeros_like(queue)
    won[: len(got)] = got
    accepted = np.empty_like(won)
    accepted[order] = won
    first = int((won < queue).argmax())  # who is kept out, whole or in part, stands here or behind
    out, own = order[first:], members_of(owner)
    curve = curve_of(own.of_row[out], queue[first:] - won[first:], gain[out])
    fee_nano = np.zeros(len(side.members.starts), dtype=np.int64)
    fee_nano[owner[own.starts]] = worth_without_own(curve, own.sum(accepted), single=own.single)
    return accepted, fee_nano


MUDA_VICKREY = MECHANISMS.register(
    Mechanism(
        "muda_vickrey",
        clear,
        Promises(
            source="Segal-Halevi, Hassidim, Aumann, MUDA: a truthful multi-unit double-auction mechanism,"
            " AAAI 2018, arXiv 1712.06848",
            budget_balance="weak",
            truthful=True,
            truthful_for="single_orders",
        ),
        (*PARAMETERS, TIES),
    )
)
