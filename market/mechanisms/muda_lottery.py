"""MUDA with a random draw: on the long side of a half the participants are served in random order."""

from __future__ import annotations

import numpy as np

from market.auctions.double_auction import PARAMETERS, LongSide, clear_halves, served
from market.auctions.merit_order import row_order
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.rules import MarketRules
from market.units import IntArray


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let each half trade at the other's price, its long side in the order of a lottery of participants.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the parameters of `market.auctions.double_auction`.
    """
    return clear_halves(book, rules, serve)


def serve(side: LongSide) -> tuple[IntArray, None]:
    """Serve the participants in the order of their words, each its best limits first, as far as the quota goes."""
    if side.members.single:
        order = np.argsort(side.turn[side.rows])
    else:
        place = np.empty(len(side.turn), dtype=np.int64)
        place[np.argsort(side.turn)] = np.arange(len(place))
        limit = side.book.side[side.rows] * side.book.limit_micro_per_kwh[side.rows]
        order = row_order(place[side.members.of_row[side.rows]], -limit, side.book.sequence[side.rows])
    queue = side.energy[order]
    accepted = np.empty_like(queue)
    accepted[order] = served(queue, side.quota_wh)
    return accepted, None


MUDA_LOTTERY = MECHANISMS.register(
    Mechanism(
        "muda_lottery",
        clear,
        Promises(
            source="Segal-Halevi, Hassidim, Aumann, MUDA: a truthful multi-unit double-auction mechanism,"
            " AAAI 2018, arXiv 1712.06848",
            truthful=True,
            truthful_for="single_orders",
        ),
        PARAMETERS,
    )
)
