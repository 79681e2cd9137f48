"""How an interval on a grid is settled: netting inside of zones between full lines, the connection, the rent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from market.settlement.accounts import BOUGHT, GRID_FEE, RETAIL, SOLD
from market.settlement.tariff import IntervalPrices
from market.units import BoolArray, IntArray, largest_remainder


class Rent(StrEnum):
    """Who gets the congestion rent.

    GRID_OPERATOR: the grid operator keeps it, for what relieves the grid. MEMBERS: in equal parts to the homes that
    take part in the interval, whatever they traded, so that no order changes a share but for the rent itself.
    """

    GRID_OPERATOR = "grid_operator"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True, eq=False)
class GridTerms:
    """What the settlement of an interval has to know of the grid.

    Args:
        zone_of_home: Zone of each member, shape (members,).
        price_micro_per_kwh: Price of each zone; None where nothing traded in it. [micro-currency/kWh]
        up: Which members can give more, or take less, on the way to the root, shape (members,).
        down: Which can take more, or give less.
        rent: Who gets the congestion rent.
    """

    zone_of_home: IntArray
    price_micro_per_kwh: tuple[int | None, ...]
    up: BoolArray
    down: BoolArray
    rent: Rent = Rent.GRID_OPERATOR

    def parts(self) -> list[tuple[IntArray, int | None]]:
        """The homes of each zone that has any, and its price."""
        zones = np.unique(self.zone_of_home).tolist()
        return [(np.flatnonzero(self.zone_of_home == z), self.price_micro_per_kwh[z]) for z in zones]


def within(price_micro_per_kwh: int | None, prices: IntervalPrices) -> int | None:
    """The price at which deviations are netted in a zone: its own, between feed-in price and buy cap. [micro/kWh]

    Beyond these a home would be worse off than with the retailer for what it did not foresee.
    """
    if price_micro_per_kwh is None:
        return None
    return min(max(price_micro_per_kwh, prices.feed_in_micro_per_kwh), prices.buy_cap_micro_per_kwh)


def returned_wh(
    need_wh: IntArray, offer_wh: IntArray, outside: IntArray, grid: GridTerms, rank: IntArray | None
) -> tuple[IntArray, IntArray]:
    """What members return to the connection: of what it bought, do not give; of what it sold, do not take.

    At its price, so that a wrong forecast of energy from outside costs no more than with a retailer, who asks for no
    forecast. At most what it traded, in proportion, and only of members to whom no full line bars the way.

    Args:
        need_wh: What each member needs beyond its trades. [Wh]
        offer_wh: What each has left. [Wh]
        outside: Rows of the external accounts, `bought_wh` and `sold_wh` filled in.
        grid: Of the interval.
        rank: Settles ties.

    Returns:
        Parts of need and offer, shape (members,); only one of the two is not 0. [Wh]
    """
    sold, bought = int(outside[:, SOLD].sum()), int(outside[:, BOUGHT].sum())
    nothing = np.zeros_like(need_wh)
    can = np.where(grid.up, offer_wh, 0) if sold else np.where(grid.down, need_wh, 0)
    back = largest_remainder(can, min(int(can.sum()), sold or bought), rank)
    return (nothing, back) if sold else (back, nothing)


def pass_on(outside: IntArray, prices: IntervalPrices, returned_wh: int) -> None:
    """Post what a connection to the outside passes on: what it sells it has from the retailer, and the reverse.

    At the import price it pays the retailer, and the grid operator what the remote fee is above the local one, which
    whoever imports pays by the meter. Its orders stand at the sum of both, and at the feed-in price; so its postings
    sum to 0 wherever its price is that of its order. Of what is returned of its sales it gets the difference of the
    fees back, and gives it to the retailer, who pays the homes.

    Args:
        outside: Rows of the accounts, `bought_wh` and `sold_wh` filled in. Changed.
        prices: Outside prices of the interval.
        returned_wh: Returned of what they sold; of the first account. [Wh]
    """
    bought, sold = outside[:, BOUGHT], outside[:, SOLD]
    outside[:, RETAIL] = bought * prices.feed_in_micro_per_kwh - sold * prices.import_micro_per_kwh
    extra = prices.grid_fee_remote_micro_per_kwh - prices.grid_fee_local_micro_per_kwh
    outside[:, GRID_FEE] = -sold * extra
    outside[:1, RETAIL] -= returned_wh * extra
    outside[:1, GRID_FEE] += returned_wh * extra


def rent_shares(rent_nano: int, takes_part: IntArray, rank: IntArray | None) -> IntArray:
    """What each member gets of a rent that is theirs, in whole nano; nothing where nobody takes part. [nano]"""
    if not takes_part.any():
        return np.zeros_like(takes_part)
    return largest_remainder(takes_part, rent_nano, rank)
