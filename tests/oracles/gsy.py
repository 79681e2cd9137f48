"""Oracles of the GSY modes: highest-priced offers first, the covered bid level, and preferred partners."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.oracles.books import Outcome, Pairs, Row, bids_of, nothing, offers_of, rows_of


def _highest_first(rows: list[Row], sign: int) -> list[Row]:
    """Descending by limit, equal limits in reverse order of arrival."""
    ascending = sorted((row for row in rows if row.sign == sign), key=lambda row: (row.limit, row.time))
    return ascending[::-1]


def _meet(pairs: Pairs, bid: Row, offer: Row) -> None:
    if bid.who != offer.who and bid.limit >= offer.limit:
        pairs.trade(bid, offer, Fraction(bid.limit), Fraction(bid.limit))


def gsy_pay_as_bid(case: dict[str, Any]) -> Outcome:
    """Offers descending meet bids descending, at the bid."""
    rows = rows_of(case)
    pairs = Pairs(rows)
    for offer in _highest_first(rows, -1):
        for bid in _highest_first(rows, 1):
            _meet(pairs, bid, offer)
    return pairs.outcome()


def gsy_pay_as_clear(case: dict[str, Any]) -> Outcome:
    """The first ascending bid level whose cumulated demand is covered."""
    rows = rows_of(case)
    bids, offers = bids_of(rows), offers_of(rows)
    if not bids or not offers or bids[0].limit < offers[0].limit:
        return nothing(rows)
    for level in sorted({bid.limit for bid in bids}):
        demand = sum(bid.wh for bid in bids if bid.limit >= level)
        supply = sum(offer.wh for offer in offers if offer.limit <= level)
        if supply >= demand:
            volume = demand
            break
    else:
        level = bids[0].limit
        volume = sum(offer.wh for offer in offers if offer.limit <= level)
    pairs, price, left = Pairs(rows), Fraction(level), volume
    queue = sorted(offers, key=lambda row: (row.limit, row.time))
    for bid in _highest_first(rows, 1):
        for offer in queue:
            bid_left = bid.left
            bid.left = min(bid.left, left)
            before = pairs.accepted[bid.id]
            pairs.trade(bid, offer, price, price)
            took = int(pairs.accepted[bid.id] - before)
            bid.left, left = bid_left - took, left - took
    outcome = pairs.outcome()
    outcome.price = price if volume else None
    return outcome


def preferred_partners(case: dict[str, Any]) -> Outcome:
    """Partners, then kinds of energy, then everybody."""
    rows = rows_of(case)
    pairs, leave = Pairs(rows), case.get("params", {}).get("residual", "touched_leave") == "touched_leave"

    def close_stage() -> None:
        for row in rows:
            if leave and row.left < row.wh:
                row.left = 0

    for bid in _highest_first(rows, 1):
        for offer in _highest_first(rows, -1):
            if any(_asks_for(want, offer) for want in bid.wants) and _agrees(offer, bid):
                _meet(pairs, bid, offer)
    close_stage()
    for offer in _highest_first(rows, -1):
        if offer.kind:
            for bid in _highest_first(rows, 1):
                if any(offer.kind in want.get("energy_type", []) for want in bid.wants):
                    _meet(pairs, bid, offer)
    close_stage()
    for offer in _highest_first(rows, -1):
        for bid in _highest_first(rows, 1):
            _meet(pairs, bid, offer)
    return pairs.outcome()


def _asks_for(want: dict[str, list[str]], offer: Row) -> bool:
    """Whether an alternative with partners names the participant of this offer, and its kind if it names kinds."""
    kinds = want.get("energy_type")
    return offer.who in want.get("partners", []) and (not kinds or offer.kind in kinds)


def _agrees(offer: Row, bid: Row) -> bool:
    """An offer without wishes takes anybody; else one wish must name the buyer or no partner at all."""
    if not offer.wants:
        return True
    return any(not want.get("partners") or bid.who in want["partners"] for want in offer.wants)
