"""Oracles of the multi-unit auctions that drop or split: Huang, MUDA."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.oracles.books import Outcome, Row, at_price, bids_of, micro, nothing, offers_of, rows_of, total
from tests.oracles.call_market import best_volume, interval, served


def _marginal(ranked: list[Row], volume: int) -> int:
    """Limit of the Wh number `volume` of a ranked side."""
    seen = 0
    for row in ranked:
        seen += row.wh
        if seen >= volume:
            return row.limit
    raise AssertionError("a side holds less than trades")


def _give_up(side: list[Row], surplus: int) -> dict[str, Fraction]:
    """Equal absolute amounts, floored at 0, what a small order cannot give spread over the others."""
    left, short = {row.id: Fraction(row.wh) for row in side}, Fraction(surplus)
    while short > 0:
        alive = [name for name, wh in left.items() if wh > 0]
        part = min(short / len(alive), min(left[name] for name in alive))
        for name in alive:
            left[name] -= part
        short -= part * len(alive)
    return left


def huang(case: dict[str, Any]) -> Outcome:
    """Drop the marginal limits, pay them, and ration the long side by equal amounts."""
    rows = rows_of(case)
    volume = best_volume(rows)
    if volume == 0:
        return nothing(rows, buyer_price=None, seller_price=None)
    buys = Fraction(_marginal(bids_of(rows), volume))
    sells = Fraction(_marginal(offers_of(rows), volume))
    bids = [row for row in rows if row.sign > 0 and row.limit > buys]
    offers = [row for row in rows if row.sign < 0 and row.limit < sells]
    traded = min(total(bids), total(offers))
    if traded == 0:
        return nothing(rows, buyer_price=None, seller_price=None)
    outcome = nothing(rows, buyer_price=buys, seller_price=sells)
    for side, price in ((bids, buys), (offers, sells)):
        got = _give_up(side, total(side) - traded)
        outcome.accepted |= got
        outcome.paid |= at_price(got, rows, price)
    return outcome


def half_price(rows: list[Row], params: dict[str, Any]) -> Fraction | None:
    """The price that a half makes."""
    bounds = interval(rows)
    if bounds is None:
        return None
    if params.get("price_rule", "walras_k") == "walras_k":
        return bounds[0] + Fraction(str(params.get("k", 0.5))) * (bounds[1] - bounds[0])
    volume = best_volume(rows)
    return Fraction(_marginal(bids_of(rows), volume) + _marginal(offers_of(rows), volume), 2)


def muda_halves(case: dict[str, Any]) -> list[tuple[list[Row], Fraction | None]]:
    """The rows of every half with the price it trades at; left first."""
    rows, params = rows_of(case), case["params"]
    if params.get("exogenous_price") is not None:
        return [(rows, Fraction(micro(params["exogenous_price"])))]
    halves = [[row for row in rows if row.who in params["partition"][half]] for half in ("left", "right")]
    return [(halves[0], half_price(halves[1], params)), (halves[1], half_price(halves[0], params))]


def taking_part(rows: list[Row], price: Fraction, boundary: str) -> tuple[list[Row], list[Row]]:
    """Bids and offers of a half that the price admits."""
    weak = boundary == "weak"
    admitted = [row for row in rows if row.sign * (row.limit - price) > 0 or (weak and row.limit == price)]
    return bids_of(admitted), offers_of(admitted)


def muda_vickrey(case: dict[str, Any]) -> Outcome:
    """The long side by limit; each winner pays what it keeps out of the others of its side."""
    outcome = nothing(rows_of(case))
    outcome.fee = {order["participant"]: Fraction(0) for order in case["orders"]}
    for rows, price in muda_halves(case):
        if price is None:
            continue
        sides = taking_part(rows, price, case["params"].get("boundary", "strict"))
        volume = min(map(total, sides))
        for side in sides:
            got = served(side, volume)
            outcome.accepted |= got
            outcome.paid |= at_price(got, rows, price)
            for who in {row.who for row in side}:
                others = [row for row in side if row.who != who]
                without = served(others, volume)
                outcome.fee[who] += sum(
                    (row.sign * (row.limit - price) * (without[row.id] - got[row.id]) for row in others),
                    Fraction(0),
                )
    return outcome
