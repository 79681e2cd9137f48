"""Imbalance rules: how deviations between trades and meters are netted among homes, and who gets what it saves.

Netting a deviation inside the community is worth w a kWh, the local gain: the buy cap less the feed-in price. Homes
that do not react to prices have the same meters under every rule, so a rule only divides w N, where N is the energy
netted. A share that depends on an order can be raised by orders for energy that nobody needs; a share fixed before the
interval cannot, up to the home's own share of what such an order adds to N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from market.settlement.tariff import IntervalPrices
from market.units import IntArray, largest_remainder


class Imbalance(StrEnum):
    """With whom, and at which price, deviations are settled.

    RETAILER: every home settles its own with the retailer. POOLED: netted among homes, each home at the retailer's
    prices, and the gain shared. MIDDLE: netted at the middle of the buy cap and the feed-in price. CLEARING_PRICE:
    netted at the price of the interval, or at the middle where the interval has none.
    """

    POOLED = "pooled"
    RETAILER = "retailer"
    MIDDLE = "middle"
    CLEARING_PRICE = "clearing_price"


class Shares(StrEnum):
    """By which weights the gain of pooled deviations is shared.

    THROUGHPUT: metered throughput of the last 28 days. EQUAL: one share a home. LEAVE_ONE_OUT: by throughput, of the
    gain that there would be without the home's own deviation. DELIVERED: by the delivered trade of the interval, which
    orders for energy that nobody needs can raise.
    """

    THROUGHPUT = "throughput"
    EQUAL = "equal"
    LEAVE_ONE_OUT = "leave_one_out"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """The deviations of one interval, and what of them is netted among homes; one value a home.

    Args:
        need_wh: Energy that a home needs beyond its trades. [Wh]
        offer_wh: Energy that a home has left beside its trades; no home has both. [Wh]
        in_wh: What of its need comes from other homes. [Wh]
        out_wh: What of its offer goes to other homes. [Wh]
        delivered_wh: Trade that the meter confirms. [Wh]
        weight_wh: Weights of the shares, fixed before the interval; None or all 0 where no home has a history. [Wh]
        takes_part: 1 for each home that is part of the community in the interval, else 0; the others have no share.
        rank: A permutation of the homes by random draw, which settles ties; None leaves them to the earlier home.
        price_micro_per_kwh: The price of the interval; None where nothing traded at one. [micro-currency/kWh]
    """

    need_wh: IntArray
    offer_wh: IntArray
    in_wh: IntArray
    out_wh: IntArray
    delivered_wh: IntArray
    weight_wh: IntArray | None
    takes_part: IntArray
    rank: IntArray | None
    price_micro_per_kwh: int | None

    @property
    def netted_wh(self) -> int:
        """Energy netted among homes, N. [Wh]"""
        return int(self.in_wh.sum())

    def weights(self, weight: IntArray | None) -> IntArray:
        """Weights of the homes that take part; equal ones where none are given or all of theirs are 0."""
        given = self.takes_part if weight is None else weight * self.takes_part
        return given if given.any() else self.takes_part


@dataclass(frozen=True, slots=True)
class ImbalanceRule:
    """An imbalance rule: how deviations are settled and, where they are pooled, how the gain is shared."""

    imbalance: Imbalance = Imbalance.POOLED
    shares: Shares = Shares.THROUGHPUT

    @property
    def netted(self) -> bool:
        """Whether homes net their deviations among each other."""
        return self.imbalance is not Imbalance.RETAILER

    @property
    def needs_price(self) -> bool:
        """Whether the rule settles at the price of the interval."""
        return self.imbalance is Imbalance.CLEARING_PRICE

    @property
    def needs_weights(self) -> bool:
        """Whether the rule shares by metered throughput."""
        return self.imbalance is Imbalance.POOLED and self.shares in (Shares.THROUGHPUT, Shares.LEAVE_ONE_OUT)

    def amounts_nano(self, of: Deviations, prices: IntervalPrices) -> IntArray:
        """What each home is credited for its netted deviations; sums to 0 but for the rest of leave one out.

        Returns:
            Shape (homes,). [nano-currency]
        """
        cap, feed_in = prices.buy_cap_micro_per_kwh, prices.feed_in_micro_per_kwh
        if self.imbalance is Imbalance.POOLED:
            return (
                of.out_wh * feed_in
                - of.in_wh * cap
                + _SHARES[self.shares](of, prices.local_gain_micro_per_kwh)
            )
        price = (cap + feed_in) // 2
        if self.needs_price and of.price_micro_per_kwh is not None:
            price = of.price_micro_per_kwh
        amounts: IntArray = (of.out_wh - of.in_wh) * price
        return amounts


def delivered_wh(net_wh: IntArray, traded_wh: IntArray) -> IntArray:
    """What of each net trade the meter confirms, without its sign: the smaller of both on the same side. [Wh]

    Args:
        net_wh: Metered import minus export. [Wh]
        traded_wh: Bought minus sold. [Wh]
    """
    same_side = np.sign(net_wh) == np.sign(traded_wh)
    return np.where(same_side, np.minimum(np.abs(net_wh), np.abs(traded_wh)), 0)


def _by_weight(of: Deviations, gain_micro_per_kwh: int, weight: IntArray | None) -> IntArray:
    return largest_remainder(of.weights(weight), of.netted_wh * gain_micro_per_kwh, of.rank)


def _throughput(of: Deviations, gain_micro_per_kwh: int) -> IntArray:
    return _by_weight(of, gain_micro_per_kwh, of.weight_wh)


def _equal(of: Deviations, gain_micro_per_kwh: int) -> IntArray:
    return _by_weight(of, gain_micro_per_kwh, None)


def _delivered(of: Deviations, gain_micro_per_kwh: int) -> IntArray:
    return _by_weight(of, gain_micro_per_kwh, of.delivered_wh)


def _leave_one_out(of: Deviations, gain_micro_per_kwh: int) -> IntArray:
    """floor(w N_-i a_i), where N_-i is what the others could net without home i."""
    weight = of.weights(of.weight_wh)
    without = np.minimum(of.need_wh.sum() - of.need_wh, of.offer_wh.sum() - of.offer_wh)
    whole = int(weight.sum())
    shares = [
        n * gain_micro_per_kwh * a // whole for n, a in zip(without.tolist(), weight.tolist(), strict=True)
    ]
    return np.array(shares, dtype=np.int64)


_SHARES: dict[Shares, Callable[[Deviations, int], IntArray]] = {
    Shares.THROUGHPUT: _throughput,
    Shares.EQUAL: _equal,
    Shares.LEAVE_ONE_OUT: _leave_one_out,
    Shares.DELIVERED: _delivered,
}
