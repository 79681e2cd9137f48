"""The result of clearing one interval, and the checks that hold for every mechanism."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.book import OrderBook
from market.errors import InfeasibleClearing
from market.units import PPM, IntArray


@dataclass(frozen=True, slots=True)
class PriceInterval:
    """All prices that clear the market, and the one that was chosen. [micro-currency/kWh]"""

    lo: int
    hi: int
    price: int

    @classmethod
    def at(cls, lo: int, hi: int, k_ppm: int) -> PriceInterval:
        """Choose lo + k (hi - lo), rounded half up to a whole micro."""
        return cls(lo, hi, lo + ((hi - lo) * k_ppm + PPM // 2) // PPM)


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Pairs of orders, where the mechanism makes pairs: rows of the book, energy and price of each trade."""

    buy: IntArray
    sell: IntArray
    energy_wh: IntArray
    price_micro_per_kwh: IntArray


@dataclass(frozen=True, slots=True)
class Certificate:
    """A proof of optimality that needs no solver: a price at which nobody wants to trade differently.

    Args:
        dual_price_micro_per_kwh: Any price of the price interval.
        gap_nano: Dual value at that price minus welfare; 0 proves the optimum (strong duality of the welfare LP).
        residual_wh: Bought minus sold, 0 when the clearing balances.
    """

    dual_price_micro_per_kwh: int
    gap_nano: int
    residual_wh: int


@dataclass(frozen=True, slots=True, eq=False)
class Clearing:
    """How much of each order is accepted and at what price.

    Args:
        accepted_wh: Per order, 0 <= accepted <= energy. [Wh]
        price_micro_per_kwh: Per order, what it pays or gets; without meaning where nothing is accepted. [micro/kWh]
        node_price: Price interval per node of the grid (one without a grid); None where nothing traded.
        operator_surplus_nano: Paid by buyers minus received by sellers; negative is a deficit. [nano]
        welfare_nano: Sum of accepted energy times limit, buys minus sells, at stated limits. [nano]
        trades: Pairs, or None where the mechanism makes no pairs.
        certificate: Present where an optimum is claimed.
    """

    accepted_wh: IntArray
    price_micro_per_kwh: IntArray
    node_price: tuple[PriceInterval | None, ...]
    operator_surplus_nano: int
    welfare_nano: int
    trades: Trades | None = None
    certificate: Certificate | None = None

    def traded_wh(self, book: OrderBook) -> int:
        """Energy bought, which equals energy sold. [Wh]"""
        # What is bought is sold, so half of all that is accepted.
        return int(self.accepted_wh.sum()) // 2


def no_trade(book: OrderBook) -> Clearing:
    """The clearing in which nothing is accepted and no price exists."""
    nothing = np.zeros(len(book), dtype=np.int64)
    nothing.flags.writeable = False
    return Clearing(nothing, nothing, (None,), 0, 0)


def check_feasible(book: OrderBook, clearing: Clearing) -> None:
    """Raise unless every accepted quantity and price respects its order and bought equals sold.

    Raises:
        InfeasibleClearing: Names the first broken rule and the rows that break it.
    """
    accepted, paid = clearing.accepted_wh, clearing.price_micro_per_kwh

    def refuse(rows: IntArray, what: str) -> None:
        if len(rows):
            raise InfeasibleClearing(f"{what} in rows {rows[:5].tolist()}")

    if accepted.shape != (len(book),) or paid.shape != (len(book),):
        raise InfeasibleClearing(f"a clearing of {len(accepted)} rows for a book of {len(book)} orders")
    refuse(np.flatnonzero((accepted < 0) | (accepted > book.energy_wh)), "accepted outside 0..energy")
    worse = (book.side * (paid - book.limit_micro_per_kwh) > 0) & (accepted > 0)
    refuse(np.flatnonzero(worse), "a price worse than the limit")
    residual = int((book.side * accepted).sum())
    if residual:
        raise InfeasibleClearing(f"bought minus sold is {residual} Wh; it must be 0")
    surplus = int((book.side * accepted * paid).sum())
    if surplus != clearing.operator_surplus_nano:
        raise InfeasibleClearing(
            f"buyers pay {surplus} nano more than sellers get, but {clearing.operator_surplus_nano} is declared"
        )


def certify(book: OrderBook, clearing: Clearing, dual_price_micro_per_kwh: int) -> Certificate:
    """Compute the certificate of a clearing at a price, exactly, in integers.

    The welfare problem max sum(side limit x), 0 <= x <= energy, sum(side x) = 0 has the dual value
    sum(energy max(0, side (limit - price))); weak duality makes the gap >= 0 for a feasible x, and 0 proves x optimal.
    """
    gain = book.side * (book.limit_micro_per_kwh - dual_price_micro_per_kwh)
    dual_nano = int(np.dot(np.maximum(gain, 0), book.energy_wh))
    residual = int(np.dot(book.side, clearing.accepted_wh))
    return Certificate(dual_price_micro_per_kwh, dual_nano - clearing.welfare_nano, residual)
