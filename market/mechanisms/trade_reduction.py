"""Trade reduction: the marginal trade is always dropped, and its two limits are the prices of all others."""

from __future__ import annotations

from market.auctions.merit_order import UNIT, accept_units, at_two_prices, efficient_units, rank
from market.book import OrderBook, Side
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import SEED, TIES
from market.rules import MarketRules


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade the best k-1 of the k efficient units: buyers pay the bid b_k, sellers get the offer s_k.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `unit_wh` and `rationing`.
    """
    unit_wh = UNIT.of(rules)
    buys, sells = rank(book, Side.BUY, unit_wh), rank(book, Side.SELL, unit_wh)
    k = efficient_units(buys, sells)
    bid, offer = buys.limit_of(k), sells.limit_of(k)
    if k < 2 or bid is None or offer is None:
        return no_trade(book)
    sides = (buys, buys.best(k - 1, book.sequence, rules)), (sells, sells.best(k - 1, book.sequence, rules))
    accepted_wh = accept_units(book, unit_wh, sides)
    return at_two_prices(book, accepted_wh, bid, offer, {})


# The seed is taken so that a case may be cleared by this mechanism and by sbba unchanged; nothing is drawn here.
TRADE_REDUCTION = MECHANISMS.register(
    Mechanism(
        "trade_reduction",
        clear,
        Promises(
            source="McAfee, Journal of Economic Theory 56 (1992), 434-450, without its price p0",
            budget_balance="weak",
            truthful=True,
            truthful_for="unit_orders",
        ),
        (UNIT, SEED, TIES),
    )
)
