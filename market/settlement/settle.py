"""Settlement of one interval: trades against meter readings become postings."""

from __future__ import annotations

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import AmountTooLarge, InvalidBook
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
from market.settlement.tariff import IntervalPrices
from market.units import INT64_SAFE, IntArray, largest_remainder


def settle(
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    prices: IntervalPrices,
    *,
    local_market: bool = True,
    external: int = 0,
) -> Postings:
    """Settle one interval.

    Imbalance is metered minus traded. Members that are short buy from members that are long first, at the middle
    of what both would get outside, each side in proportion to its imbalance (largest remainder in whole Wh); the
    rest is settled with the retailer. Without a gain from trading inside (grid fees above the spread) all of it is.
    A member that is short and long at once (both registers moved) nets the difference only. An external account
    delivers and takes exactly what it trades. Losses are posted with the grid operator.

    Args:
        book: The orders; participants from the number of members on are external accounts.
        clearing: What was accepted at what price.
        import_wh: Metered import per member, shape (members,). [Wh]
        export_wh: Metered export per member. [Wh]
        prices: Outside prices and grid fees of the interval.
        local_market: False for the no-market baseline: no member nets with another.
        external: Number of external accounts.

    Returns:
        Balanced postings.

    Raises:
        InvalidBook: An order of nobody who has an account.
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

    bought, sold = member[:, BOUGHT], member[:, SOLD]
    difference_in, difference_out = import_wh - bought, export_wh - sold
    short = np.maximum(difference_in, 0) + np.maximum(-difference_out, 0)
    long = np.maximum(difference_out, 0) + np.maximum(-difference_in, 0)
    if local_market and prices.buy_cap_micro_per_kwh >= prices.feed_in_micro_per_kwh:
        # A home whose meter ran both ways must not trade with itself: what it needed and gave at once stays with
        # the retailer, as without a market, and it enters the community's netting on one side only.
        own = np.minimum(short, long)
        needed, offered = short - own, long - own
        netted_wh = min(int(needed.sum()), int(offered.sum()))
        if netted_wh:
            price = (prices.buy_cap_micro_per_kwh + prices.feed_in_micro_per_kwh) // 2
            local_in, local_out = largest_remainder(needed, netted_wh), largest_remainder(offered, netted_wh)
            member[:, LOCAL] = local_in - local_out
            member[:, IMBALANCE] = (local_out - local_in) * price
            short, long = short - local_in, long - local_out
    member[:, RETAIL_IMPORT] = short
    member[:, RETAIL_EXPORT] = long
    member[:, RETAIL] = long * prices.feed_in_micro_per_kwh - short * prices.import_micro_per_kwh
    # The meter's import pays the local fee; who needed the retailer pays the difference to the remote fee. So the
    # grid operator gets exactly local fee x local flow + remote fee x remote flow.
    remote_extra = prices.grid_fee_remote_micro_per_kwh - prices.grid_fee_local_micro_per_kwh
    member[:, GRID_FEE] = -(import_wh * prices.grid_fee_local_micro_per_kwh + short * remote_extra)

    lines[traders + RETAILER, RETAIL] = -member[:, RETAIL].sum()
    lines[traders + GRID_OPERATOR, GRID_FEE] = -member[:, GRID_FEE].sum()
    lines[traders + GRID_OPERATOR, LOSS] = clearing.losses_wh
    lines[traders + MARKET_OPERATOR, TRADE] = surplus_nano
    lines.flags.writeable = False
    postings = Postings(lines, members, external)
    check_balanced(postings)
    return postings


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


def _check_size(clearing: Clearing, import_wh: IntArray, export_wh: IntArray, prices: IntervalPrices) -> None:
    """Refuse energy and outside prices whose product would wrap; a wrapped amount may look small and balanced."""
    # Imbalance is at most all that is metered and traded together; no outside price or fee exceeds their sum.
    energy_wh = sum(
        float(column.sum(dtype=np.float64)) for column in (import_wh, export_wh, clearing.accepted_wh)
    )
    worst_price = (
        abs(prices.import_micro_per_kwh)
        + abs(prices.feed_in_micro_per_kwh)
        + prices.grid_fee_local_micro_per_kwh
        + prices.grid_fee_remote_micro_per_kwh
    )
    if energy_wh * worst_price >= INT64_SAFE:
        raise AmountTooLarge(TOO_LARGE)
