"""MUDA with Vickrey fees: on the long side of a half the best limits win and pay for whom they keep out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.externality import curve_of, members_of, spread, worth_without_own
from market.mechanism import Mechanism, Promises, register
from market.muda import PARAMETERS, LongSide, clear_halves
from market.ranking import best_first
from market.rules import MarketRules
from market.units import IntArray


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let each half trade at the other's price, its long side by the best limits, with fees to the operator.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the parameters of `market.muda`; the seed decides the halves only.
    """
    clearing, fee_nano = clear_halves(book, rules, serve)
    if fee_nano is None or not fee_nano.any():
        return clearing
    charge_nano = spread(fee_nano, clearing.accepted_wh, members_of(book))
    charge_nano.flags.writeable = False
    return replace(clearing, charge_nano=charge_nano, operator_surplus_nano=int(fee_nano.sum()))


def serve(side: LongSide) -> tuple[IntArray, IntArray]:
    """Serve the best limits; a winner of w Wh pays what the best w Wh kept out of others would have gained."""
    limit = side.book.limit_micro_per_kwh[side.rows]
    gain = np.abs(limit - side.price)
    order = best_first(-gain, side.book.sequence[side.rows])
    energy, owner = side.book.energy_wh[side.rows][order], side.members.of_row[side.rows][order]
    won = np.clip(side.quota_wh - np.cumsum(energy) + energy, 0, energy)
    accepted = np.empty_like(won)
    accepted[order] = won
    won_wh = np.zeros(len(side.members.starts), dtype=np.int64)
    np.add.at(won_wh, owner, won)
    first = int(np.flatnonzero(won < energy)[0])  # all from here on are kept out, the first perhaps in part
    out = curve_of(owner[first:], (energy - won)[first:], gain[order[first:]])
    return accepted, worth_without_own(out, won_wh, single=side.members.single)


MUDA_VICKREY = register(
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
        PARAMETERS,
    )
)
