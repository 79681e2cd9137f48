"""Deviations of one home from its own orders: what `check market` tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agents.bidding import Orders
from market.settlement.tariff import IntervalPrices

PHANTOM_WH = (100, 500)
"""Energy of orders for energy that nobody needs. [Wh]"""
SHADES_PERCENT = (10, 25, 50)
WASH_WH = 500


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way to order something else.

    Args:
        name: For tables.
        of: The home's orders instead of its own, which are given with the outside prices.
        decides: Whether a gain fails the check.
        metered: Whether it exists where quantities come from the meters.
    """

    name: str
    of: Callable[[int, Orders, IntervalPrices], Orders]
    decides: bool
    metered: bool = False


def _nothing(home: int, own: Orders, prices: IntervalPrices) -> Orders:
    return own.of_rows(slice(0, 0))


def _times(numerator: int, denominator: int) -> Callable[[int, Orders, IntervalPrices], Orders]:
    def deviate(home: int, own: Orders, prices: IntervalPrices) -> Orders:
        return replace(own, energy_wh=own.energy_wh * numerator // denominator)

    return deviate


def _shaded(percent: int) -> Callable[[int, Orders, IntervalPrices], Orders]:
    """Limits moved by a part of the way towards the other end of the outside prices."""

    def deviate(home: int, own: Orders, prices: IntervalPrices) -> Orders:
        limit, end = (
            own.limit_micro_per_kwh,
            np.where(own.side > 0, prices.feed_in_micro_per_kwh, prices.buy_cap_micro_per_kwh),
        )
        return replace(own, limit_micro_per_kwh=limit + (end - limit) * percent // 100)

    return deviate


def phantom(side: int, energy_wh: int) -> Callable[[int, Orders, IntervalPrices], Orders]:
    """One more order in every interval, at the limit that is accepted first, for energy that nobody needs."""

    def deviate(home: int, own: Orders, prices: IntervalPrices) -> Orders:
        limit = prices.buy_cap_micro_per_kwh if side > 0 else prices.feed_in_micro_per_kwh
        more = Orders(
            home=np.array([home], dtype=np.int64),
            side=np.array([side], dtype=np.int8),
            energy_wh=np.array([energy_wh], dtype=np.int64),
            limit_micro_per_kwh=np.array([limit], dtype=np.int64),
        )
        return joined(own, more)

    return deviate


NEVER = Deviation("never order", _nothing, True, metered=True)
DEVIATIONS = (
    NEVER,
    Deviation("double", _times(2, 1), True),
    *(
        Deviation(f"{word} {energy_wh} Wh of nothing", phantom(side, energy_wh), True)
        for side, word in ((1, "buy"), (-1, "sell"))
        for energy_wh in PHANTOM_WH
    ),
    Deviation("half", _times(1, 2), False),
    *(
        Deviation(f"limits shaded {percent} %", _shaded(percent), False, metered=True)
        for percent in SHADES_PERCENT
    ),
)


def of_home(orders: Orders, home: int) -> Orders:
    """The orders of one home, of orders sorted by home."""
    first, end = np.searchsorted(orders.home, [home, home + 1])
    return orders.of_rows(slice(int(first), int(end)))


def joined(*parts: Orders) -> Orders:
    """All orders, sorted by home."""
    home = np.concatenate([part.home for part in parts])
    order = np.argsort(home, kind="stable")
    return Orders(
        home=home[order],
        side=np.concatenate([part.side for part in parts])[order],
        energy_wh=np.concatenate([part.energy_wh for part in parts])[order],
        limit_micro_per_kwh=np.concatenate([part.limit_micro_per_kwh for part in parts])[order],
    )


def same(a: Orders, b: Orders) -> bool:
    """Whether two lists of orders are equal."""
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("home", "side", "energy_wh", "limit_micro_per_kwh")
    )
