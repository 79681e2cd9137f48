"""The continuous double auction: orders come in one by one and trade at the price of the order that rests."""

from __future__ import annotations

from market.auctions.limit_order_book import match
from market.auctions.merit_order import row_order
from market.book import OrderBook
from market.clearing import Clearing, Trades, no_trade, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import Parameter
from market.rules import MarketRules
from market.units import IntArray

SELF_TRADE = Parameter(
    name="self_trade",
    field="self_trade",
    kind="choice",
    default="allow",
    summary="Whether orders of one participant may trade with each other, or pass each other over.",
    choices=("allow", "skip"),
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Let the orders arrive as limit orders by `sequence`, equal ones in the order of the book.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the parameter `self_trade`.
    """
    if not len(book):
        return no_trade(book)
    turn = row_order(book.sequence)
    side: IntArray = book.side[turn].astype("int64")
    limit = book.limit_micro_per_kwh[turn]
    matched = match(
        side,
        limit,
        book.energy_wh[turn].tolist(),
        book.participant[turn].tolist(),
        SELF_TRADE.of(rules) == "skip",
    )
    if not len(matched.energy_wh):
        return no_trade(book)
    price = limit[matched.resting]
    arrived_buys = side[matched.aggressor] > 0
    resting, aggressor = turn[matched.resting], turn[matched.aggressor]
    buy, sell = aggressor.copy(), resting.copy()
    buy[~arrived_buys], sell[~arrived_buys] = resting[~arrived_buys], aggressor[~arrived_buys]
    return of_trades(book, Trades(buy, sell, matched.energy_wh, price))


CONTINUOUS = MECHANISMS.register(
    Mechanism(
        "continuous",
        clear,
        Promises(
            source="continuous double auction: price-time priority, trades at the resting order's price",
            arrival_matters=True,
        ),
        (SELF_TRADE,),
        inputs="events",
    )
)
