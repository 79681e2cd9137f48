"""MUDA with a lottery: on the long side of a half the participants are served in random order."""

from __future__ import annotations

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import Mechanism, Promises, register
from market.muda import PARAMETERS, LongSide, clear_halves
from market.ranking import best_first
from market.rules import MarketRules
from market.units import IntArray


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let each half trade at the other's price, its long side in the order of a lottery of participants.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the parameters of `market.muda`.
    """
    return clear_halves(book, rules, serve)[0]


def serve(side: LongSide) -> tuple[IntArray, None]:
    """Serve participants whole in the order of their words, the last one as far as the quota goes, best limits first."""
    energy = side.book.energy_wh[side.rows]
    owner = side.members.of_row[side.rows]
    groups = np.flatnonzero(np.diff(owner, prepend=-1))
    order = np.argsort(side.turn[owner[groups]])
    ends = np.cumsum(np.add.reduceat(energy, groups)[order])
    served = int(ends.searchsorted(side.quota_wh, "right"))  # so many participants get all they want
    whole = np.zeros(len(groups), dtype=np.bool_)
    whole[order[:served]] = True
    sizes = np.diff(groups, append=len(owner))
    accepted: IntArray = energy * np.repeat(whole, sizes)
    rest_wh = side.quota_wh - (int(ends[served - 1]) if served else 0)
    last = order[served]
    own = slice(groups[last], groups[last] + sizes[last])
    rows = side.rows[own]
    limit = -side.book.side[rows] * side.book.limit_micro_per_kwh[rows]
    best = best_first(limit, side.book.sequence[rows])
    queue = energy[own][best]
    accepted[groups[last] + best] = np.clip(rest_wh - np.cumsum(queue) + queue, 0, queue)
    return accepted, None


MUDA_LOTTERY = register(
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
