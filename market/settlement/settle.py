"""Settlement of one interval: trades against meter readings become postings."""

from __future__ import annotations

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import AmountTooLarge, InvalidBook, InvalidTariff
from market.settlement.accounts import (
    BOUGHT,
    COLUMNS,
    EXPORT,
    GRID_FEE,
    GRID_OPERATOR,
    IMBALANCE,
    IMPORT,
    LOCAL,
    LOSS,
    MARKET_OPERATOR,
    RETAIL,
    RETAIL_EXPORT,
    RETAIL_IMPORT,
    RETAILER,
    SOLD,
    SYSTEM_ACCOUNTS,
    TOO_LARGE,
    TRADE,
    Postings,
    check_balanced,
)
from market.settlement.imbalance import Deviations, ImbalanceRule, delivered_wh
from market.settlement.tariff import AnyPrices, HomePrices, IntervalPrices
from market.settlement.zones import GridTerms, Rent, pass_on, rent_shares, returned_wh, within
from market.units import INT64_SAFE, BoolArray, IntArray, largest_remainder

POOLED = ImbalanceRule()


def settle(
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    prices: AnyPrices,
    *,
    rule: ImbalanceRule = POOLED,
    weight_wh: IntArray | None = None,
    takes_part: BoolArray | None = None,
    rank: IntArray | None = None,
    external: int = 0,
    grid: GridTerms | None = None,
    deemed: BoolArray | None = None,
) -> Postings:
    """Settle one interval.

    Every meter, and every home's trades, are netted first: what a home took and gave at once stays with the retailer.
    What it then needs or offers beyond its trades is its imbalance. Where the rule nets imbalances and a kWh from a
    neighbour gains anything, needs and offers meet in proportion (largest remainder in whole Wh) on the terms of the
    rule; the rest is settled with the retailer. An external account delivers and takes exactly what it trades. Losses
    are posted with the grid operator. On a grid only homes of one zone net, see `market.settlement.zones`; an external
    account is then its connection, and the surplus of the trades the congestion rent.

    Args:
        book: The orders; participants from the number of members on are external accounts.
        clearing: What was accepted at what price.
        import_wh: Metered import per member, shape (members,). [Wh]
        export_wh: Metered export per member. [Wh]
        prices: Outside prices and grid fees of the interval; where they are of each home, nothing can be netted.
        rule: How imbalances are settled.
        weight_wh: Weights of the shares of a pool, fixed before the interval; equal when left out. [Wh]
        takes_part: Which members are part of the community in this interval; the others, who neither trade nor flow,
            get no share of a pool. All, when left out.
        rank: A permutation of the members by random draw, which settles ties; the earlier member when left out.
        external: Number of external accounts.
        grid: Zones and rent, where the market has a grid.
        deemed: Which members are settled without a reading, see `deemed_wh`: they trade, and settle all else with the
            retailer alone, so that what nobody has metered is netted with nobody and has no share of a pool or rent.
            None, when left out.

    Returns:
        Balanced postings.

    Raises:
        InvalidBook: An order of nobody who has an account.
        InvalidTariff: The rule nets at the prices of one retailer, and homes have several.
        UnbalancedPostings: Money or energy does not add up.
        AmountTooLarge: The amounts of the interval pass 2^62.
    """
    _check_size(clearing, import_wh, export_wh, prices)
    members = len(import_wh)
    traders = members + external
    lines = np.zeros((traders + len(SYSTEM_ACCOUNTS), len(COLUMNS)), dtype=np.int64)
    member = lines[:members]
    member[:, IMPORT] = import_wh
    member[:, EXPORT] = export_wh
    surplus_nano = _post_trades(lines[:traders], book, clearing)
    outside = lines[members:traders]
    outside[:, IMPORT], outside[:, EXPORT] = outside[:, BOUGHT], outside[:, SOLD]

    both = np.minimum(import_wh, export_wh)
    net_wh, traded_wh = import_wh - export_wh, member[:, BOUGHT] - member[:, SOLD]
    need, offer = np.maximum(net_wh - traded_wh, 0), np.maximum(traded_wh - net_wh, 0)
    metered = np.ones(members, dtype=np.int64) if deemed is None else 1 - deemed.astype(np.int64)
    back_in = back_out = np.zeros_like(need)
    if grid is not None:
        back_in, back_out = returned_wh(need * metered, offer * metered, outside, grid, rank)
        pass_on(outside, prices.main, int(back_out.sum()))
        need, offer = need - back_in, offer - back_out
    present = metered if takes_part is None else takes_part * metered
    if rule.netted and (one := _of_one_retailer(prices, rule)).local_gain_micro_per_kwh >= 0:
        for rows, price in _parts(book, clearing, rule, one, grid):
            ranks = rank if rank is None or grid is None else np.argsort(np.argsort(rank[rows]))
            needed, offered = (need * metered)[rows], (offer * metered)[rows]
            found = _netted(needed, offered, ranks)
            if found is None:
                continue
            deviations = Deviations(
                need_wh=needed,
                offer_wh=offered,
                in_wh=found[0],
                out_wh=found[1],
                delivered_wh=delivered_wh(net_wh[rows], traded_wh[rows]),
                weight_wh=None if weight_wh is None else weight_wh[rows],
                takes_part=present[rows],
                rank=ranks,
                price_micro_per_kwh=price,
            )
            member[rows, LOCAL] = deviations.in_wh - deviations.out_wh
            member[rows, IMBALANCE] = rule.amounts_nano(deviations, one)
    need, offer = need - np.maximum(member[:, LOCAL], 0), offer - np.maximum(-member[:, LOCAL], 0)
    member[:, RETAIL_IMPORT] = need + back_in + both
    member[:, RETAIL_EXPORT] = offer + back_out + both
    _post_outside(lines, members, traders, prices, back_in, back_out)
    lines[traders + GRID_OPERATOR, LOSS] = clearing.losses_wh
    _post_surplus(lines, members, traders, surplus_nano, None if grid is None else grid.rent, present, rank)
    lines[traders + MARKET_OPERATOR, IMBALANCE] = -member[:, IMBALANCE].sum()
    lines.flags.writeable = False
    back = back_in + back_out
    postings = Postings(lines, members, external, back if back.any() else None)
    check_balanced(postings)
    return postings


_Part = tuple[slice | IntArray, int | None]
"""Homes that net with each other, and the price at which they do where the rule needs one. [micro-currency/kWh]"""


def _parts(
    book: OrderBook, clearing: Clearing, rule: ImbalanceRule, prices: IntervalPrices, grid: GridTerms | None
) -> list[_Part]:
    """All homes, or those of each zone of a grid."""
    if grid is not None:
        return [(homes, within(price, prices)) for homes, price in grid.parts()]
    return [(slice(None), clearing.average_price_micro_per_kwh(book) if rule.needs_price else None)]


def _netted(need: IntArray, offer: IntArray, rank: IntArray | None) -> tuple[IntArray, IntArray] | None:
    """What of needs and offers meets, in proportion on each side; None where nothing does. [Wh]"""
    netted_wh = min(int(need.sum()), int(offer.sum()))
    if not netted_wh:
        return None
    return largest_remainder(need, netted_wh, rank), largest_remainder(offer, netted_wh, rank)


def _of_one_retailer(prices: AnyPrices, rule: ImbalanceRule) -> IntervalPrices:
    """The outside prices at which a rule nets imbalances.

    Raises:
        InvalidTariff: Homes have several.
    """
    if isinstance(prices, HomePrices):
        raise InvalidTariff(
            f"{rule.imbalance} imbalances are netted at the prices of one retailer for all homes"
        )
    return prices


def _post_outside(
    lines: IntArray, members: int, traders: int, prices: AnyPrices, back_in: IntArray, back_out: IntArray
) -> None:
    """Post what the retailer and the grid operator get and pay.

    Args:
        back_in: Retail import at the feed-in price and without the remote fee: returned of what was sold outside. [Wh]
        back_out: Retail export at the buy cap: returned of what was bought outside. [Wh]
    """
    member = lines[:members]
    imported, exported = member[:, RETAIL_IMPORT], member[:, RETAIL_EXPORT]
    member[:, RETAIL] = exported * prices.feed_in_micro_per_kwh - imported * prices.import_micro_per_kwh
    # The meter's import pays the local fee; who needed the retailer pays the difference to the remote fee. So the
    # grid operator gets exactly local fee x local flow + remote fee x remote flow.
    remote_extra = prices.grid_fee_remote_micro_per_kwh - prices.grid_fee_local_micro_per_kwh
    member[:, GRID_FEE] = -(
        member[:, IMPORT] * prices.grid_fee_local_micro_per_kwh + (imported - back_in) * remote_extra
    )
    if back_in.any() or back_out.any():
        one = prices.main
        member[:, RETAIL] += back_in * (one.import_micro_per_kwh - one.feed_in_micro_per_kwh)
        member[:, RETAIL] += back_out * one.local_gain_micro_per_kwh
    lines[traders + RETAILER, RETAIL] = -lines[:traders, RETAIL].sum()
    lines[traders + GRID_OPERATOR, GRID_FEE] = -lines[:traders, GRID_FEE].sum()


def _post_surplus(
    lines: IntArray,
    members: int,
    traders: int,
    surplus_nano: int,
    rent: Rent | None,
    takes_part: IntArray,
    rank: IntArray | None,
) -> None:
    """Post what the trades leave: with the market operator, or as the rent of a grid."""
    if rent is Rent.MEMBERS:
        shares = rent_shares(surplus_nano, takes_part, rank)
        lines[:members, TRADE] += shares
        surplus_nano -= int(shares.sum())
    keeps = MARKET_OPERATOR if rent is None else GRID_OPERATOR
    lines[traders + keeps, TRADE] = surplus_nano


def _post_trades(trader: IntArray, book: OrderBook, clearing: Clearing) -> int:
    """Fill bought, sold and trade of members and external accounts, and return the operator's surplus. [nano]"""
    if not len(book):
        return clearing.operator_surplus_nano
    accepted, who = clearing.accepted_wh, book.participant
    if who[-1] >= len(trader):  # the book is sorted by participant
        raise InvalidBook([f"an order of participant {who[-1]}; there are {len(trader)} accounts that trade"])
    paid_nano = clearing.payment_nano(book)
    is_buy = book.side > 0
    if int(np.diff(who).min(initial=1)) > 0:  # one order each: plain assignment
        trader[who, BOUGHT] = np.where(is_buy, accepted, 0)
        trader[who, SOLD] = np.where(is_buy, 0, accepted)
        trader[who, TRADE] = -paid_nano
    else:
        np.add.at(trader[:, BOUGHT], who[is_buy], accepted[is_buy])
        np.add.at(trader[:, SOLD], who[~is_buy], accepted[~is_buy])
        np.add.at(trader[:, TRADE], who, -paid_nano)
    return clearing.operator_surplus_nano


def _check_size(clearing: Clearing, import_wh: IntArray, export_wh: IntArray, prices: AnyPrices) -> None:
    """Refuse energy and outside prices whose product would wrap; a wrapped amount may look small and balanced."""
    # Imbalance is at most all that is metered and traded together; no outside price or fee exceeds their sum.
    energy_wh = sum(
        float(column.sum(dtype=np.float64)) for column in (import_wh, export_wh, clearing.accepted_wh)
    )
    worst_price = (
        int(np.abs(prices.import_micro_per_kwh).max())
        + int(np.abs(prices.feed_in_micro_per_kwh).max())
        + prices.grid_fee_local_micro_per_kwh
        + prices.grid_fee_remote_micro_per_kwh
    )
    if energy_wh * worst_price >= INT64_SAFE:
        raise AmountTooLarge(TOO_LARGE)
