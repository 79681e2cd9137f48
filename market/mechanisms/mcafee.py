"""McAfee's double auction: one price from the first pair that does not trade, else one trade less at two prices."""

from __future__ import annotations

from dataclasses import replace

from market.auctions.merit_order import UNIT, accept_units, at_two_prices, efficient_units, rank
from market.book import OrderBook, Side
from market.clearing import Clearing, no_trade
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import TIES, Parameter
from market.rules import MarketRules

B_MISSING = Parameter(
    name="b_missing",
    field="b_missing_micro_per_kwh",
    kind="price",
    default=None,
    summary="Replaces the bid k+1 where there is none; without it such a book loses a trade.",
)
S_MISSING = Parameter(
    name="s_missing",
    field="s_missing_micro_per_kwh",
    kind="price",
    default=None,
    summary="Replaces the offer k+1 where there is none; without it such a book loses a trade.",
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trade all k efficient units at p0 = (b_{k+1} + s_{k+1}) / 2 if units k accept it, else k-1 at b_k and s_k.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing`, `unit_wh`, `b_missing_micro_per_kwh` and `s_missing_micro_per_kwh`.
    """
    unit_wh = UNIT.of(rules)
    buys, sells = rank(book, Side.BUY, unit_wh), rank(book, Side.SELL, unit_wh)
    k = efficient_units(buys, sells)
    bid, offer = buys.limit_of(k), sells.limit_of(k)
    if not k or bid is None or offer is None:
        return replace(no_trade(book), details=_details(0, False))
    next_bid, next_offer = buys.limit_of(k + 1), sells.limit_of(k + 1)
    twice = _twice_p0(next_bid, next_offer, B_MISSING.of(rules), S_MISSING.of(rules))
    reduced = twice is None or not 2 * offer <= twice <= 2 * bid
    if twice is not None and not reduced:
        bid = offer = (twice + 1) // 2  # half a micro goes up, which no limit forbids: limits are whole
    pairs = k - reduced
    sides = (buys, buys.best(pairs, book.sequence, rules)), (sells, sells.best(pairs, book.sequence, rules))
    accepted_wh = accept_units(book, unit_wh, sides)
    return at_two_prices(book, accepted_wh, bid, offer, _details(pairs, reduced, bid, offer))


def _twice_p0(
    next_bid: int | None, next_offer: int | None, b_missing: int | None, s_missing: int | None
) -> int | None:
    """The first bid plus the first offer that do not trade; None if one is missing without a substitute.

    A substitute never crosses the other side's true next limit: it would raise p0 above the offer k+1 (or lower it
    below the bid k+1), and that trader would gain by undercutting.
    """
    bid = b_missing if next_bid is None else next_bid
    offer = s_missing if next_offer is None else next_offer
    if bid is None or offer is None:
        return None
    if next_bid is None and next_offer is not None:
        bid = min(bid, offer)
    if next_offer is None and next_bid is not None:
        offer = max(offer, bid)
    return bid + offer


def _details(
    pairs: int, reduced: bool, buyer_price: int | None = None, seller_price: int | None = None
) -> dict[str, int | bool | None]:
    return {
        "traded_pairs": pairs,
        "reduced": reduced,
        "buyer_price_micro_per_kwh": buyer_price if pairs else None,
        "seller_price_micro_per_kwh": seller_price if pairs else None,
    }


MCAFEE = MECHANISMS.register(
    Mechanism(
        "mcafee",
        clear,
        Promises(
            source="McAfee, A dominant strategy double auction, Journal of Economic Theory 56 (1992), 434-450",
            budget_balance="weak",
            truthful=True,
            truthful_for="unit_orders",
        ),
        (B_MISSING, S_MISSING, UNIT, TIES),
    )
)
