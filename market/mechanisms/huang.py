"""The multi-unit double auction of Huang, Scheller-Wolf and Sycara: the marginal price levels set prices and go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.auctions.merit_order import at_two_prices, efficient_units, rank
from market.book import OrderBook, Side
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import Parameter
from market.rules import MarketRules
from market.units import IntArray, first_by_rank

TIES = Parameter(
    name="ties",
    field="ties",
    kind="choice",
    default="merge",
    choices=("merge",),
    summary="Orders of one side at one price count as one when the marginal ones are sought.",
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Drop the marginal bids and offers; the others pay b_l and get s_m, the long side is curtailed by equal amounts.

    Who trades depends on a limit only through its being beyond the marginal level, and how much not at all: shares
    of orders at one price are cut order by order, or copying a neighbour's limit would pay.

    Args:
        book: Orders of one interval, each a trader of its own. Not changed.
        rules: Not used: equal prices are always merged.
    """
    buys, sells = rank(book, Side.BUY), rank(book, Side.SELL)
    volume = efficient_units(buys, sells)
    bid, offer = buys.limit_of(volume), sells.limit_of(volume)
    if not volume or bid is None or offer is None:
        return replace(no_trade(book), details=_details(None, None))
    accepted_wh = np.zeros(len(book), dtype=np.int64)
    is_buy, limit = book.side > 0, book.limit_micro_per_kwh
    inside = [np.flatnonzero(is_buy & (limit > bid)), np.flatnonzero(~is_buy & (limit < offer))]
    energy = [int(book.energy_wh[rows].sum()) for rows in inside]
    for rows, side_wh in zip(inside, energy, strict=True):
        accepted_wh[rows] = curtail_equally(book.energy_wh[rows], side_wh - min(energy), book.sequence[rows])
    details = _details(bid, offer) if min(energy) else _details(None, None)
    return at_two_prices(book, accepted_wh, bid, offer, details)


def _details(buyer_price: int | None, seller_price: int | None) -> dict[str, int | None]:
    return {"buyer_price_micro_per_kwh": buyer_price, "seller_price_micro_per_kwh": seller_price}


def curtail_equally(energy_wh: IntArray, total_wh: int, arrival: IntArray) -> IntArray:
    """Curtail all rows by the same amount, at most all they have, by `total_wh` together; return what is left.

    The amount is the water level r with sum(min(energy, r)) = total. Where r is not a whole Wh, those that arrived
    first are curtailed by one Wh more.

    Args:
        energy_wh: Per row, at least 0. [Wh]
        total_wh: From 0 to the sum of the energies. [Wh]
        arrival: Order of arrival of each row.
    """
    if not total_wh:
        return energy_wh
    rising = np.sort(energy_wh)
    count = len(rising)
    # Total curtailment at a water level of the i-th smallest energy (water-filling).
    at_level = np.cumsum(rising) + rising * np.arange(count - 1, -1, -1)
    full = int(at_level.searchsorted(total_wh, "right"))  # rows curtailed to 0
    if full == count:
        return np.zeros_like(energy_wh)
    level, odd = divmod(total_wh - int(rising[:full].sum()), count - full)
    left: IntArray = np.maximum(energy_wh - level, 0)
    if odd:
        rows = np.flatnonzero(left)
        left[rows[first_by_rank(arrival[rows], odd)]] -= 1
    return left


HUANG = MECHANISMS.register(
    Mechanism(
        "huang",
        clear,
        Promises(
            source="Huang, Scheller-Wolf, Sycara, Design of a multi-unit double auction e-market,"
            " Computational Intelligence 18 (2002), 596-617",
            budget_balance="weak",
            truthful=True,
            truthful_for="single_orders",
        ),
        (TIES,),
    )
)
