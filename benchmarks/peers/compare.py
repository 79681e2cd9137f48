"""Where the results of pymarket and ours are equal, and why they are not where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.ours import Row, book_of, clear_ours
from market.auctions.uniform import walrasian_interval
from market.clearing import Clearing
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH

Result = dict[str, Any]
HALVES = ("left", "right")
EQUAL = "equal: energies, prices and fees"
BOTH_HALVES = "a participant is in both halves: pymarket draws orders, not participants"
OUTSIDE = "a price of pymarket lies outside the price interval of its half"
OTHER_PRICE = "pymarket takes another price of the interval: the middle of the marginal pair"
UNEXPLAINED = "unexplained"


def compare(rows: list[Row], mechanism: str, theirs: Result) -> str:
    """Say in one sentence how a book's results relate.

    Args:
        rows: The book.
        mechanism: "huang", or "muda" with Vickrey fees.
        theirs: What pymarket gives for it.
    """
    if "error" in theirs:
        return f"pymarket fails: {theirs['error']}"
    book = book_of(rows)
    if mechanism == "huang":
        return EQUAL if _equal(rows, clear_ours(book, "huang"), theirs) else UNEXPLAINED
    halves = [[int(row) for row in theirs["extra"][half]] for half in HALVES]
    who = [{rows[row]["participant"] for row in half} for half in halves]
    if who[0] & who[1]:
        return BOTH_HALVES
    partition = tuple(tuple(sorted(half)) for half in who)
    if _equal(rows, clear_ours(book, "muda_vickrey", partition=partition), theirs):
        return EQUAL
    prices = [theirs["extra"][f"price_{half}"] for half in HALVES]
    if any(_outside([rows[i] for i in half], price) for half, price in zip(halves, prices, strict=True)):
        return OUTSIDE
    midpoint = clear_ours(book, "muda_vickrey", partition=partition, price_rule="marginal_midpoint")
    return OTHER_PRICE if _equal(rows, midpoint, theirs) else UNEXPLAINED


def pays_too_much_out(rows: list[Row], theirs: Result) -> bool:
    """Whether the profits that pymarket states add up to more than the gain from its own trades."""
    if "error" in theirs or not theirs["profits"]:
        return False
    sign = {"buy": 1, "sell": -1}
    gain = sum(
        sign[row["side"]] * row["price_per_kwh"] * quantity
        for row, quantity in zip(rows, theirs["accepted_kwh"], strict=True)
    )
    return bool(sum(theirs["profits"]["player_bid"]) + theirs["profits"]["market"] > gain + 1e-9)


def _equal(rows: list[Row], ours: Clearing, theirs: Result) -> bool:
    """Energies within a Wh, which ours are whole of, prices of what trades, and fees of participants."""
    book = book_of(rows)
    at = [int(i) for i in book.ids]
    accepted = np.array(theirs["accepted_kwh"])[at] * WH_PER_KWH
    if (np.abs(accepted - ours.accepted_wh) > 1 + 1e-6).any():
        return False
    for row, price in enumerate(np.array(theirs["price_per_kwh"], dtype=object)[at]):
        if ours.accepted_wh[row] > 1 and abs(price * MICRO_PER_UNIT - ours.price_micro_per_kwh[row]) > 1:
            return False
    fees = np.array(theirs["extra"].get("fees", []), dtype=float)
    if not len(fees):
        return True
    charged = np.zeros(len(fees))
    if ours.charge_nano is not None:
        np.add.at(charged, book.participant, ours.charge_nano / NANO_PER_UNIT)
    return bool((np.abs(charged - fees) < 1e-6).all())


def _outside(half: list[Row], price: Any) -> bool:
    interval = walrasian_interval(book_of([{**row, "participant": i} for i, row in enumerate(half)]))
    if interval is None or price == "inf":
        return False
    return not interval[0] - 1 <= price * MICRO_PER_UNIT <= interval[1] + 1
