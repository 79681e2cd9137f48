"""Settlement of one interval: trades against meter readings become double-entry postings that sum to exactly zero.

Accounts are the members in roster order, then the retailer, the grid operator and the market operator. Every kind
of posting is a column, and every column sums to zero over the accounts:

- trade: buyers pay, sellers get, the market operator keeps the surplus (or adds the deficit);
- imbalance: what members sell each other because their meters differ from their trades;
- retail: what is left, bought at the import price or sold at the feed-in price;
- grid fee: paid by whoever imports, the local fee for energy from a neighbour, the remote fee for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import AmountTooLarge, UnbalancedPostings
from market.tariff import IntervalPrices
from market.units import INT64_SAFE, IntArray, largest_remainder

SYSTEM_ACCOUNTS = ("retailer", "grid_operator", "market_operator")
RETAILER, GRID_OPERATOR, MARKET_OPERATOR = 0, 1, 2  # offsets behind the members

ENERGY_COLUMNS = (
    "import_wh",
    "export_wh",
    "bought_wh",
    "sold_wh",
    "local_wh",
    "retail_import_wh",
    "retail_export_wh",
)
MONEY_COLUMNS = ("trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano")
COLUMNS = ENERGY_COLUMNS + MONEY_COLUMNS
COLUMN_INDEX = {name: i for i, name in enumerate(COLUMNS)}
(IMPORT, EXPORT, BOUGHT, SOLD, LOCAL, RETAIL_IMPORT, RETAIL_EXPORT, TRADE, IMBALANCE, RETAIL, GRID_FEE) = (
    range(len(COLUMNS))
)


TOO_LARGE = "the amounts of one interval"


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """The postings of one interval; positive money is credited to the account.

    Args:
        lines: One row per account (members, then SYSTEM_ACCOUNTS), one column per name in COLUMNS. `local_wh` is
            imbalance settled inside the community: positive bought from, negative sold to other members.
        members: Number of member rows.
    """

    lines: IntArray
    members: int

    def column(self, name: str) -> IntArray:
        """One column over all accounts."""
        return self.lines[:, COLUMN_INDEX[name]]

    @property
    def total_nano(self) -> IntArray:
        """Sum of all postings per account. [nano-currency]"""
        total: IntArray = self.lines[:, TRADE:].sum(axis=1)
        return total


def settle(
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    prices: IntervalPrices,
    *,
    local_market: bool = True,
) -> Postings:
    """Settle one interval.

    Imbalance is metered minus traded. Members that are short buy from members that are long first, at the middle
    of what both would get outside, each side in proportion to its imbalance (largest remainder in whole Wh); the
    rest is settled with the retailer. Without a gain from trading inside (grid fees above the spread) all of it is.
    A member that is short and long at once (both registers moved) nets the difference only.

    Args:
        book: The orders.
        clearing: What was accepted at what price.
        import_wh: Metered import per member, shape (members,). [Wh]
        export_wh: Metered export per member. [Wh]
        prices: Outside prices and grid fees of the interval.
        local_market: False for the no-market baseline: no member nets with another.

    Returns:
        Balanced postings.

    Raises:
        UnbalancedPostings: Money or energy does not add up.
        AmountTooLarge: The amounts of the interval pass 2^62.
    """
    _check_size(clearing, import_wh, export_wh, prices)
    members = len(import_wh)
    lines = np.zeros((members + len(SYSTEM_ACCOUNTS), len(COLUMNS)), dtype=np.int64)
    member = lines[:members]
    member[:, IMPORT] = import_wh
    member[:, EXPORT] = export_wh
    surplus_nano = _post_trades(member, book, clearing)

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

    lines[members + RETAILER, RETAIL] = -member[:, RETAIL].sum()
    lines[members + GRID_OPERATOR, GRID_FEE] = -member[:, GRID_FEE].sum()
    lines[members + MARKET_OPERATOR, TRADE] = surplus_nano
    lines.flags.writeable = False
    postings = Postings(lines, members)
    check_balanced(postings)
    return postings


def _post_trades(member: IntArray, book: OrderBook, clearing: Clearing) -> int:
    """Fill bought, sold and trade of the members and return the operator's surplus. [nano]"""
    if not len(book):
        return clearing.operator_surplus_nano
    accepted, who = clearing.accepted_wh, book.participant
    paid_nano = clearing.payment_nano(book)
    is_buy = book.side > 0
    if int(np.diff(who).min(initial=1)) > 0:  # one order a member: plain assignment
        member[who, BOUGHT] = np.where(is_buy, accepted, 0)
        member[who, SOLD] = np.where(is_buy, 0, accepted)
        member[who, TRADE] = -paid_nano
    else:
        np.add.at(member[:, BOUGHT], who[is_buy], accepted[is_buy])
        np.add.at(member[:, SOLD], who[~is_buy], accepted[~is_buy])
        np.add.at(member[:, TRADE], who, -paid_nano)
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


def check_balanced(postings: Postings) -> None:
    """Raise unless every money column sums to zero and the members' energy adds up.

    Raises:
        UnbalancedPostings: Names the column and the amount that is left over.
        AmountTooLarge: The postings pass 2^62 without their signs, so their sums could wrap.
    """
    lines = postings.lines
    if float(np.abs(lines[:, TRADE:]).sum(dtype=np.float64)) >= INT64_SAFE:
        raise AmountTooLarge(TOO_LARGE)
    total = lines.sum(axis=0)
    for i in (TRADE, IMBALANCE, RETAIL, GRID_FEE):
        if total[i]:
            raise UnbalancedPostings(f"{COLUMNS[i]} sums to {total[i]} nano over all accounts; it must be 0")
    if total[BOUGHT] != total[SOLD]:
        raise UnbalancedPostings(f"{total[BOUGHT]} Wh bought but {total[SOLD]} Wh sold")
    if total[LOCAL]:
        raise UnbalancedPostings(f"imbalance inside the community sums to {total[LOCAL]} Wh; it must be 0")
    if total[IMPORT] - total[EXPORT] != total[RETAIL_IMPORT] - total[RETAIL_EXPORT]:
        raise UnbalancedPostings(
            f"the meters net {total[IMPORT] - total[EXPORT]} Wh but the retailer is billed for"
            f" {total[RETAIL_IMPORT] - total[RETAIL_EXPORT]} Wh"
        )


def baseline_nano(import_wh: IntArray, export_wh: IntArray, prices: IntervalPrices) -> IntArray:
    """What each member would be credited without a market: all energy with the retailer. [nano-currency]"""
    import_price = prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
    return export_wh * prices.feed_in_micro_per_kwh - import_wh * import_price


def imbalance_cost_nano(postings: Postings, prices: IntervalPrices) -> IntArray:
    """What each member's wrong forecast cost it: its bill less the bill of the trades its meter confirmed.

    A trade is confirmed up to the metered energy of the same direction. The confirmed part is kept at its price and
    everything else is settled with the retailer; that hypothetical bill is never above `baseline_nano`.

    Returns:
        At least 0 where forecasting hurt; negative where netting inside the community helped. [nano-currency]
    """
    member = postings.lines[: postings.members]
    bought, sold, trade = member[:, BOUGHT], member[:, SOLD], member[:, TRADE]
    kept_in, kept_out = np.minimum(bought, member[:, IMPORT]), np.minimum(sold, member[:, EXPORT])
    # One side per member and interval; of a trade that was kept in part, the price of a kWh is rounded down.
    traded, kept = bought + sold, kept_in + kept_out
    confirmed = np.where(kept == traded, trade, kept * np.floor_divide(trade, np.maximum(traded, 1)))
    rest = baseline_nano(member[:, IMPORT] - kept_in, member[:, EXPORT] - kept_out, prices)
    local_fee = kept_in * prices.grid_fee_local_micro_per_kwh
    hypothetical = confirmed + rest - local_fee
    cost: IntArray = hypothetical - member[:, TRADE:].sum(axis=1)
    return cost
