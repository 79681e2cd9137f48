"""Pay as bid: the best bid meets the best offer while they cross, and every pair has a price of its own."""

from __future__ import annotations

from dataclasses import replace

from market.auctions.merit_order import assortative
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing, Trades, certify, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import TIES, K, Parameter
from market.rules import MarketRules
from market.units import PPM, IntArray

PRICE_RULE = Parameter(
    name="price_rule",
    field="price_rule",
    kind="choice",
    default="midpoint",
    summary="What a pair trades at: offer + k (bid - offer), the bid, the offer, or each its own limit.",
    choices=("midpoint", "bid", "offer", "both_as_bid"),
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Pair best with best at a price between the two limits; welfare at stated limits is maximal.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `k_ppm`, `rationing`, `seed` and the parameter `price_rule`.
    """
    assorted = assortative(book, rules)
    if assorted is None:
        return clear_exact(book, rules)  # nothing trades, and it proves why
    pairs = assorted.trades
    rule = PRICE_RULE.of(rules)
    bid, ask = book.limit_micro_per_kwh[pairs.buy], pairs.price_micro_per_kwh
    if rule == "both_as_bid":
        clearing = _each_its_own(book, pairs)
    else:
        price = {"bid": bid, "offer": ask}.get(rule)
        between = _between(ask, bid, rules.k_ppm) if price is None else price
        clearing = of_trades(book, Trades(pairs.buy, pairs.sell, pairs.energy_wh, between))
    return replace(clearing, certificate=certify(book, clearing, assorted.dual_price_micro_per_kwh))


PAY_AS_BID = MECHANISMS.register(
    Mechanism(
        "pay_as_bid",
        clear,
        Promises(
            source="discriminatory auction, assortative: best bid with best offer while they cross",
            budget_balance="weak",
            efficient=True,
        ),
        (PRICE_RULE, K, TIES),
    )
)


def _between(ask: IntArray, bid: IntArray, k_ppm: int) -> IntArray:
    """ask + k (bid - ask), rounded half up to a whole micro, without a product beyond 64 bits."""
    gap = bid - ask
    whole = gap // PPM  # a division by a constant is vectorised, np.divmod is not
    rest = gap - whole * PPM
    between: IntArray = ask + whole * k_ppm + (rest * k_ppm + PPM // 2) // PPM
    return between


def _each_its_own(book: OrderBook, pairs: Trades) -> Clearing:
    """Charge every order its own limit; what that leaves, all of the welfare, goes to the operator.

    A trade has two prices then, so the clearing holds no pairs.
    """
    at_offer = of_trades(book, pairs)
    welfare_nano = at_offer.welfare_nano
    return Clearing(at_offer.accepted_wh, book.limit_micro_per_kwh, (None,), welfare_nano, welfare_nano)
