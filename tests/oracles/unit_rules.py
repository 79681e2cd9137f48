"""Oracles of the auctions of unit orders: McAfee, trade reduction, SBBA."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracles.books import Outcome, Row, bids_of, micro, nothing, offers_of, rows_of


def _units(case: dict[str, Any]) -> tuple[list[Row], list[Row], int, int]:
    """Unit bids and unit offers by rank, the number of efficient trades, and the Wh of a unit."""
    unit = round(Fraction(str(case.get("params", {}).get("unit_kwh", 1))) * 1_000)
    single = [replace(row, wh=unit) for row in rows_of(case) for _ in range(row.wh // unit)]
    bids, offers = bids_of(single), offers_of(single)
    k = 0
    while k < min(len(bids), len(offers)) and bids[k].limit >= offers[k].limit:
        k += 1
    return bids, offers, k, unit


def _traded(
    case: dict[str, Any], bids: list[Row], offers: list[Row], buys: Fraction, sells: Fraction
) -> Outcome:
    outcome = nothing(rows_of(case))
    for row in bids + offers:
        price = buys if row.sign > 0 else sells
        outcome.accepted[row.id] += row.wh
        outcome.paid[row.id] += row.sign * row.wh * price
    if bids and buys == sells:
        outcome.price = buys
    return outcome


def mcafee(case: dict[str, Any]) -> Outcome:
    """All k pairs at p0, or k - 1 pairs at b_k and s_k."""
    params = case.get("params", {})
    bids, offers, k, _ = _units(case)
    missing = [params.get("b_missing"), params.get("s_missing")]
    following = [
        Fraction(ranked[k].limit) if k < len(ranked) else None if given is None else Fraction(micro(given))
        for ranked, given in zip((bids, offers), missing, strict=True)
    ]
    if k == 0:
        outcome = nothing(rows_of(case))
        outcome.more = {"traded_pairs": 0, "reduced": False, "buyer_price": None, "seller_price": None}
        return outcome
    p0 = None if None in following else sum(_uncrossed(following, k < len(bids)), Fraction(0)) / 2
    if p0 is not None and offers[k - 1].limit <= p0 <= bids[k - 1].limit:
        outcome = _traded(case, bids[:k], offers[:k], p0, p0)
        outcome.more = {"traded_pairs": k, "reduced": False, "buyer_price": p0, "seller_price": p0}
        return outcome
    return _reduced(case, bids, offers, k)


def _uncrossed(following: list[Fraction | None], bid_is_real: bool) -> list[Fraction]:
    """A stand-in that crosses the real limit of the other side counts as that limit; the page of the rule says so."""
    bid, offer = (Fraction(limit or 0) for limit in following)
    if bid > offer:
        return [bid, bid] if bid_is_real else [offer, offer]
    return [bid, offer]


def _reduced(case: dict[str, Any], bids: list[Row], offers: list[Row], k: int) -> Outcome:
    buys, sells = Fraction(bids[k - 1].limit), Fraction(offers[k - 1].limit)
    outcome = _traded(case, bids[: k - 1], offers[: k - 1], buys, sells)
    outcome.more = {
        "traded_pairs": k - 1,
        "reduced": True,
        "buyer_price": buys if k > 1 else None,
        "seller_price": sells if k > 1 else None,
    }
    return outcome


def trade_reduction(case: dict[str, Any]) -> Outcome:
    """Always k - 1 pairs at b_k and s_k."""
    bids, offers, k, _ = _units(case)
    if k == 0:
        return nothing(rows_of(case))
    outcome = _reduced(case, bids, offers, k)
    outcome.more = {}
    return outcome


def sbba(case: dict[str, Any]) -> dict[str, Any]:
    """Everything but the seller drawn out: price, ids per unit, number of trades, mean welfare in nano."""
    bids, offers, k, unit = _units(case)
    if k == 0:
        return {"price": None, "buyers": [], "pool": [], "trades": 0, "expected_welfare": Fraction(0)}
    price = Fraction(bids[k - 1].limit)
    trades = k - 1
    if k < len(offers) and offers[k].limit <= price:
        price, trades = Fraction(offers[k].limit), k
    value = sum((row.limit for row in bids[:trades]), Fraction(0))
    cost = sum((row.limit for row in offers[:k]), Fraction(0)) * trades / k
    return {
        "price": price if trades else None,
        "buyers": [row.id for row in bids[:trades]],
        "pool": [row.id for row in offers[:k]],
        "trades": trades,
        "unit": unit,
        "expected_welfare": unit * (value - cost),
    }
