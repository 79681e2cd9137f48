"""The multi-unit double auction (MUDA): two halves of the participants, each trading at the price of the other.

What differs between its two mechanisms is who is served on the long side of a half; see `Serve`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market.auctions.clarke_pivot import Members, is_first, members_of, spread
from market.auctions.merit_order import efficient_units, rank
from market.auctions.uniform import walrasian_interval
from market.book import OrderBook, Side
from market.clearing import Clearing, PriceInterval, no_trade
from market.errors import InvalidRules
from market.parameters import SEED, K, Parameter
from market.rules import MarketRules
from market.units import INT64_SAFE, BoolArray, Int8Array, IntArray

PARTITION = Parameter(
    name="partition",
    field="partition",
    kind="halves",
    default=None,
    summary="Who is in which half; drawn from the seed where it is not given.",
    case_only=True,
)
PRICE_RULE = Parameter(
    name="price_rule",
    field="price_rule",
    kind="choice",
    default="walras_k",
    choices=("walras_k", "marginal_midpoint"),
    summary="Price of a half: lo + k (hi - lo) of its price interval, or the middle of its last efficient pair.",
)
BOUNDARY = Parameter(
    name="boundary",
    field="boundary",
    kind="choice",
    default="strict",
    choices=("strict", "weak"),
    summary="Whether orders at the price itself stay out (strict) or take part (weak).",
)
EXOGENOUS = Parameter(
    name="exogenous_price",
    field="exogenous_price_micro_per_kwh",
    kind="price",
    default=None,
    summary="Clears the whole book as one half at this price.",
    case_only=True,
)
PARAMETERS = (PARTITION, PRICE_RULE, K, BOUNDARY, EXOGENOUS, SEED)


class LongSide(NamedTuple):
    """The side of a half with more energy than the other, as its serving rule sees it.

    Args:
        book: All orders.
        rows: Those of the side that take part, in book order.
        energy: What they want. [Wh]
        quota_wh: What the other side trades; less than the side has. [Wh]
        price: [micro-currency/kWh]
        members: The participants of the book.
        turn: A random word for each participant.
        rules: Of the market.
    """

    book: OrderBook
    rows: IntArray
    energy: IntArray
    quota_wh: int
    price: int
    members: Members
    turn: npt.NDArray[np.uint64]
    rules: MarketRules


Serve = Callable[[LongSide], tuple[IntArray, IntArray | None]]
"""Accepted energy of each row of a long side [Wh], and the fee of each participant of the book [nano] or None."""


def served(queue_wh: IntArray, quota_wh: int) -> IntArray:
    """Energy that each of a queue gets when they are served in turn until the quota is used up. [Wh]"""
    left: IntArray = np.minimum(np.maximum(quota_wh - np.cumsum(queue_wh) + queue_wh, 0), queue_wh)
    return left


class _Half(NamedTuple):
    """One half: its rows of the book, their columns, and the price at which it trades."""

    name: str
    rows: IntArray
    side: Int8Array
    energy: IntArray
    limit: IntArray
    price: int | None = None


def clear_halves(book: OrderBook, rules: MarketRules, serve: Serve) -> Clearing:
    """Clear both halves; fees go to the operator.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses the `PARAMETERS`.
        serve: Who is served on a long side.

    Raises:
        InvalidRules: The partition does not fit the book, or is given together with an exogenous price.
    """
    members = members_of(book.participant)
    halves, turn = _halves(book, rules, members)
    accepted_wh, price = np.zeros(len(book), dtype=np.int64), book.limit_micro_per_kwh.copy()
    charge_nano, details = None, []
    for half in halves:
        traded_wh, fee_nano = 0, None
        if half.price is not None:
            sides = _takers(rules, half, half.price)
            price[half.rows] = half.price
            energy = [book.energy_wh[rows] for rows in sides]
            traded_wh = min(int(wanted.sum()) for wanted in energy)
            for rows, wanted in zip(sides, energy, strict=True):
                if int(wanted.sum()) == traded_wh:
                    accepted_wh[rows] = wanted
                    continue
                side = LongSide(book, rows, wanted, traded_wh, half.price, members, turn, rules)
                accepted_wh[rows], fee_nano = serve(side)
                if fee_nano is not None:
                    # For the orders that keep others out, not for what the same participant does on the other side.
                    winners = np.zeros_like(accepted_wh)
                    winners[rows] = accepted_wh[rows]
                    charge = spread(fee_nano, winners, members)
                    charge_nano = charge if charge_nano is None else charge_nano + charge
        fees_nano = 0 if fee_nano is None else int(fee_nano.sum())
        details.append(_half_details(book, members, half, traded_wh, fees_nano))
    if not accepted_wh.any():
        return replace(no_trade(book), details={"halves": details})
    for column in (accepted_wh, price):
        column.flags.writeable = False
    welfare_nano = int(np.dot(book.side * accepted_wh, book.limit_micro_per_kwh))
    surplus_nano = 0 if charge_nano is None else int(charge_nano.sum())
    if charge_nano is not None:
        charge_nano.flags.writeable = False
    return Clearing(
        accepted_wh, price, (None,), surplus_nano, welfare_nano, None, None, charge_nano, {"halves": details}
    )


def _halves(
    book: OrderBook, rules: MarketRules, members: Members
) -> tuple[list[_Half], npt.NDArray[np.uint64]]:
    """The halves with the price at which each trades, and a random word for each participant.

    The words belong to the participants in the order of the book, those without energy left out, so that neither
    halves nor turns depend on a price. The first bit of a word is the half, the others are the turn.
    """
    live = (members.sum(book.energy_wh) > 0).nonzero()[0]
    words = np.random.PCG64(rules.seed).random_raw(len(live))
    if len(live) < len(members.starts):
        drawn, words = words, np.zeros(len(members.starts), dtype=np.uint64)
        words[live] = drawn
    is_left, turn = words < np.uint64(2**63), words << np.uint64(1)
    partition, exogenous = PARTITION.of(rules), EXOGENOUS.of(rules)
    if exogenous is not None:
        if partition is not None:
            raise InvalidRules("exogenous_price clears the whole book as one half; leave the partition out")
        if abs(exogenous) * max(1, int(book.energy_wh.sum())) >= INT64_SAFE:
            raise InvalidRules("exogenous_price times the energy of the book passes 2^62 nano-currency")
        whole = _Half("whole", np.arange(len(book)), book.side, book.energy_wh, book.limit_micro_per_kwh)
        return [whole._replace(price=exogenous)], turn
    if partition is not None:
        is_left = _given_left(book.participant[members.starts], live, partition)
    of_row = is_left if members.single else is_left[members.of_row]
    # Row numbers and look-ups are far faster than a mask on each column.
    left, right = (
        _Half(name, rows, book.side[rows], book.energy_wh[rows], book.limit_micro_per_kwh[rows])
        for name, rows in (("left", of_row.nonzero()[0]), ("right", (~of_row).nonzero()[0]))
    )
    return [left._replace(price=_price(right, rules)), right._replace(price=_price(left, rules))], turn


def _given_left(participant: IntArray, live: IntArray, partition: tuple[tuple[int, ...], ...]) -> BoolArray:
    left, right = (np.isin(participant, np.array(half, dtype=np.int64)) for half in partition)
    wrong = participant[live[(left == right)[live]]]
    if len(wrong):
        raise InvalidRules(
            f"participants {wrong[:5].tolist()} must be in exactly one of the halves of the partition"
        )
    return left


def _price(other: _Half, rules: MarketRules) -> int | None:
    """The price that a half makes for the other one; None where nothing trades in it. [micro-currency/kWh]"""
    # Whose the orders are and when they came does not matter for a price: the rows replace both.
    half = OrderBook(other.rows, other.side, other.energy, other.limit, other.rows, other.rows)
    if PRICE_RULE.of(rules) == "walras_k":
        interval = walrasian_interval(half)
        return None if interval is None else PriceInterval.at(*interval, rules.k_ppm).price
    buys, sells = rank(half, Side.BUY), rank(half, Side.SELL)
    last = efficient_units(buys, sells)
    bid, offer = buys.limit_of(last), sells.limit_of(last)
    return None if not last or bid is None or offer is None else (bid + offer + 1) // 2


def _takers(rules: MarketRules, half: _Half, price: int) -> tuple[IntArray, IntArray]:
    """Rows of the bids and of the offers of a half that take part at its price."""
    bid_from, offer_to = (price + 1, price - 1) if BOUNDARY.of(rules) == "strict" else (price, price)
    is_buy, live = half.side > 0, half.energy > 0
    bids, offers = is_buy & live & (half.limit >= bid_from), ~is_buy & live & (half.limit <= offer_to)
    return half.rows[bids.nonzero()[0]], half.rows[offers.nonzero()[0]]


def _half_details(
    book: OrderBook, members: Members, half: _Half, traded_wh: int, fee_nano: int
) -> dict[str, Any]:
    participant = book.participant[half.rows]
    if not members.single:
        participant = participant[is_first(participant).nonzero()[0]]
    return {
        "half": half.name,
        "members_participants": participant,
        "price_micro_per_kwh": half.price,
        "traded_wh": traded_wh,
        "fee_nano": fee_nano,
    }
