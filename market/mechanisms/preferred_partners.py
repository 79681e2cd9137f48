"""Preferred partners: first orders that name each other, then orders for a kind of energy, then all others.

The degrees of freedom of Grid Singularity's exchange. What orders require is a preference, not a condition: an order
that does not find what it asks for still takes part in the last stage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from market.auctions.highest_bid_first import highest_limit_first, match_highest_first, match_pairs, trades_of
from market.book import OrderBook, Requirement
from market.clearing import Clearing, no_trade, of_trades
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import Parameter
from market.rules import MarketRules

RESIDUAL = Parameter(
    name="residual",
    field="residual",
    kind="choice",
    default="touched_leave",
    summary="Whether an order that traded in a stage leaves with what it got, or its remainder continues.",
    choices=("touched_leave", "carry_over"),
)

Pair = tuple[int, int, int]
"""Row of the bid, row of the offer, energy. [Wh]"""


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Match in three stages, each the highest-priced orders first and at the limit of the bid.

    Args:
        book: Orders of one interval with their requirements and kinds of energy. Not changed.
        rules: Uses the parameter `residual`.
    """
    if not len(book.requirements):
        trades = match_highest_first(book)
        return of_trades(book, trades) if len(trades.energy_wh) else no_trade(book)
    leave = RESIDUAL.of(rules) == "touched_leave"
    bids, asks = highest_limit_first(book, 1).tolist(), highest_limit_first(book, -1).tolist()
    left_wh: list[int] = book.energy_wh.tolist()
    pairs: list[Pair] = []

    def keep(found: list[Pair]) -> None:
        pairs.extend(found)
        if leave:
            for bid, ask, _ in found:
                left_wh[bid] = left_wh[ask] = 0

    keep(_partners(book, bids, asks, left_wh))
    keep(_energy_types(book, bids, asks, left_wh))
    pairs += match_pairs(book, bids, asks, left_wh)
    return of_trades(book, trades_of(book, pairs)) if pairs else no_trade(book)


PREFERRED_PARTNERS = MECHANISMS.register(
    Mechanism(
        "preferred_partners",
        clear,
        Promises(
            source="degrees of freedom of gsy-e: trading partners, kinds of energy, then pay-as-bid",
            listed_by_arrival=True,
        ),
        (RESIDUAL,),
    )
)


def _energy_type(book: OrderBook, ask: int) -> str:
    return book.energy_type[ask] if len(book.energy_type) else ""


def _partners(book: OrderBook, bids: list[int], asks: list[int], left_wh: list[int]) -> list[Pair]:
    """Each bid that names partners takes their offers, both highest-priced first."""
    who, limit = book.participant.tolist(), book.limit_micro_per_kwh.tolist()
    place = {ask: i for i, ask in enumerate(asks)}
    offers_of = defaultdict(list)
    for ask in asks:
        offers_of[who[ask]].append(ask)
    pairs: list[Pair] = []
    for bid in bids:
        named = [wish for wish in book.requirements[bid] if wish.partners]
        sellers = {partner for wish in named for partner in wish.partners} - {who[bid]}
        offers = sorted((ask for seller in sellers for ask in offers_of[seller]), key=place.__getitem__)
        for ask in offers:
            energy_wh = min(left_wh[bid], left_wh[ask])
            if (
                energy_wh
                and limit[bid] >= limit[ask]
                and any(_names(wish, who[ask], _energy_type(book, ask)) for wish in named)
                and _accepts(book.requirements[ask], who[bid])
            ):
                left_wh[bid] -= energy_wh
                left_wh[ask] -= energy_wh
                pairs.append((bid, ask, energy_wh))
    return pairs


def _names(wish: Requirement, seller: int, energy_type: str) -> bool:
    """Whether an offer is what one alternative of a bid asks for."""
    return seller in wish.partners and (not wish.energy_types or energy_type in wish.energy_types)


def _accepts(wishes: tuple[Requirement, ...], buyer: int) -> bool:
    """Whether an offer that may name partners of its own would have this one."""
    return not wishes or any(not wish.partners or buyer in wish.partners for wish in wishes)


def _energy_types(book: OrderBook, bids: list[int], asks: list[int], left_wh: list[int]) -> list[Pair]:
    """Bids that ask for kinds of energy meet the offers of those kinds, highest-priced first."""

    def types(bid: int) -> Iterator[str]:
        return (kind for wish in book.requirements[bid] for kind in wish.energy_types)

    wanted = {bid: frozenset(types(bid)) for bid in bids}
    choosy = [bid for bid in bids if wanted[bid]]
    fit = [ask for ask in asks if _energy_type(book, ask)]
    return match_pairs(book, choosy, fit, left_wh, lambda bid, ask: _energy_type(book, ask) in wanted[bid])
