"""Prices of zones between which fees are paid: all that support an optimum, one of them by rule, and their proof.

A kWh that goes from zone a to zone b costs the fee f[a, b]. What sellers of a get, s[a], and buyers of b pay, p[b],
support a clearing if every order wants what it got, p[b] - s[a] <= f[a, b] for every pair of zones (nothing is left to
carry at a profit), and equality holds where energy flows: Samuelson, American Economic Review 42 (1952), 283-303. Each
condition is on the difference of two unknowns, so the least prices of all zones are supporting prices together, and so
are the highest ones, and so is every mixture of both with one weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from market.book import OrderBook
from market.certificate import ZonePrices
from market.clearing import Clearing, PriceInterval, check_feasible
from market.errors import InfeasibleClearing
from market.units import PPM, BoolArray, IntArray
from market.zones import Zones


class SidePrices(NamedTuple):
    """Prices by zone: what sellers get and what buyers pay, fees included. [micro-currency/kWh]"""

    sell: IntArray
    buy: IntArray


class PriceRange(NamedTuple):
    """The least and the highest supporting prices of all zones."""

    lo: SidePrices
    hi: SidePrices

    def at(self, k_ppm: int) -> SidePrices:
        """lo + k (hi - lo) in every zone, rounded half up to a whole micro; differences of at most a fee stay so."""
        return SidePrices(
            *(lo + ((hi - lo) * k_ppm + PPM // 2) // PPM for lo, hi in zip(self.lo, self.hi, strict=True))
        )


def price_range(book: OrderBook, zones: Zones, accepted_wh: IntArray, used: BoolArray) -> PriceRange | None:
    """The supporting prices of an optimal clearing, from the lowest to the highest.

    Where nothing bounds a zone, the limits of the book and the highest fee do.

    Args:
        book: The orders, `node` an index into the zones.
        zones: The fees.
        accepted_wh: Of each order. [Wh]
        used: Which pairs of zones energy flows between, shape (zones, zones).

    Returns:
        None where no prices support it: then it is not optimal.
    """
    fee, limit = zones.fee_micro_per_kwh, book.limit_micro_per_kwh
    least, most = int(limit.min()) - int(fee.max()), int(limit.max()) + int(fee.max())
    some, rest = accepted_wh > 0, accepted_wh < book.energy_wh

    def outermost(side: int, rows: BoolArray, highest: bool) -> IntArray:
        bound = np.full(len(zones), least if highest else most)
        chosen = rows & (book.side == side)
        (np.maximum if highest else np.minimum).at(bound, book.node[chosen], limit[chosen])
        return bound

    lo = _settled(
        SidePrices(outermost(-1, some, highest=True), outermost(1, rest, highest=True)),
        lambda p: SidePrices(
            np.maximum(p.sell, (p.buy[None, :] - fee).max(axis=1)),
            np.maximum(p.buy, np.where(used, p.sell[:, None] + fee, least).max(axis=0)),
        ),
        len(zones),
    )
    hi = _settled(
        SidePrices(outermost(-1, rest, highest=False), outermost(1, some, highest=False)),
        lambda p: SidePrices(
            np.minimum(p.sell, np.where(used, p.buy[None, :] - fee, most).min(axis=1)),
            np.minimum(p.buy, (p.sell[:, None] + fee).min(axis=0)),
        ),
        len(zones),
    )
    if lo is None or hi is None or any((a > b).any() for a, b in zip(lo, hi, strict=True)):
        return None
    return PriceRange(lo, hi)


def _settled(prices: SidePrices, step: Callable[[SidePrices], SidePrices], zones: int) -> SidePrices | None:
    """Carry bounds from zone to zone until none moves; None where they never settle."""
    for _ in range(2 * zones + 1):
        moved = step(prices)
        if all(np.array_equal(a, b) for a, b in zip(moved, prices, strict=True)):
            return prices
        prices = moved
    return None


def proof(
    book: OrderBook, zones: Zones, accepted_wh: IntArray, prices: SidePrices, flow_wh: IntArray
) -> ZonePrices:
    """The certificate of a clearing: it recomputes everything from the book, the fees and these figures, exactly.

    For any prices that leave nothing to carry at a profit, the sum over orders of energy x max(0, side x (limit -
    price)) bounds welfare less fees of every clearing from above.

    Args:
        book: The orders.
        zones: The fees.
        accepted_wh: Of each order. [Wh]
        prices: By zone. [micro-currency/kWh]
        flow_wh: Energy between zones, shape (zones, zones). [Wh]
    """
    fee = zones.fee_micro_per_kwh
    own = np.where(book.side > 0, prices.buy[book.node], prices.sell[book.node])
    gain = np.maximum(book.side * (book.limit_micro_per_kwh - own), 0)
    signed = book.side * accepted_wh
    sold, bought = by_zone(book, accepted_wh, len(zones))
    worth = int(signed.dot(book.limit_micro_per_kwh)) - int((fee * flow_wh).sum())
    return ZonePrices(
        prices.sell,
        prices.buy,
        flow_wh,
        int(np.dot(gain, book.energy_wh)) - worth,
        np.concatenate((sold - flow_wh.sum(axis=1), flow_wh.sum(axis=0) - bought)),
        int((prices.buy[None, :] - prices.sell[:, None] - fee).max()),
    )


def by_zone(book: OrderBook, energy_wh: IntArray, zones: int) -> tuple[IntArray, IntArray]:
    """Energy of the offers and of the bids of each zone. [Wh]"""
    sold, bought = np.zeros((2, zones), dtype=np.int64)
    sells = book.side < 0
    np.add.at(sold, book.node[sells], energy_wh[sells])
    np.add.at(bought, book.node[~sells], energy_wh[~sells])
    return sold, bought


def check(book: OrderBook, zones: Zones, clearing: Clearing) -> ZonePrices:
    """Recompute the proof of a clearing from the book and the clearing, without a solver.

    Args:
        book: The orders.
        zones: The zones between which they were cleared.
        clearing: With prices and flows in its certificate.

    Returns:
        The proof; whether it `holds` says whether the clearing is optimal.

    Raises:
        InfeasibleClearing: The clearing breaks a rule of the market, an order has another price than its zone, or a
            zone another interval than that of all supporting prices.
    """
    check_feasible(book, clearing)
    stated = clearing.certificate
    count = len(zones)
    if not isinstance(stated, ZonePrices) or len(stated.sell_micro_per_kwh) != count:
        raise InfeasibleClearing("no certificate with prices for each zone")
    prices = SidePrices(stated.sell_micro_per_kwh, stated.buy_micro_per_kwh)
    own = np.where(book.side > 0, prices.buy[book.node], prices.sell[book.node])
    wrong = np.flatnonzero((clearing.price_micro_per_kwh != own) & (clearing.accepted_wh > 0))
    if len(wrong):
        raise InfeasibleClearing(f"another price than that of its zone in rows {wrong[:5].tolist()}")
    if len(clearing.node_price) != count:
        raise InfeasibleClearing(f"{len(clearing.node_price)} prices for {count} zones")
    for zone, own_price in enumerate(clearing.node_price):
        if (
            own_price is not None
            and not own_price.lo <= own_price.price == int(prices.sell[zone]) <= own_price.hi
        ):
            raise InfeasibleClearing(
                f"zone {zones.names[zone]!r} has {own_price}, which its certificate has not"
            )
    found = proof(book, zones, clearing.accepted_wh, prices, stated.flow_wh)
    if found.holds:
        _check_intervals(book, zones, clearing, prices, stated.flow_wh)
    return found


def _check_intervals(
    book: OrderBook, zones: Zones, clearing: Clearing, prices: SidePrices, flow_wh: IntArray
) -> None:
    """Recompute the price intervals of a proven clearing: every optimum has the same supporting prices.

    Raises:
        InfeasibleClearing: A zone has another interval, one without sales, or none with them.
    """
    found = price_range(book, zones, clearing.accepted_wh, flow_wh > 0) if len(book) else None
    sold, _ = by_zone(book, clearing.accepted_wh, len(zones))
    wanted = (None,) * len(zones) if found is None else intervals(found, prices, sold)
    for name, stated, proven in zip(zones.names, clearing.node_price, wanted, strict=True):
        if stated != proven:
            raise InfeasibleClearing(f"zone {name!r} has the interval {stated}, and {proven} is proven")


def intervals(found: PriceRange, prices: SidePrices, sold_wh: IntArray) -> tuple[PriceInterval | None, ...]:
    """The interval of what sellers get in each zone; None where nobody sells."""
    ends = zip(
        found.lo.sell.tolist(), found.hi.sell.tolist(), prices.sell.tolist(), sold_wh.tolist(), strict=True
    )
    return tuple(PriceInterval(lo, hi, price) if sold else None for lo, hi, price, sold in ends)
