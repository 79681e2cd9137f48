"""The result of clearing one interval, and the checks that hold for every mechanism."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from market.book import OrderBook
from market.certificate import DualPrice, OptimalityCertificate
from market.errors import InfeasibleClearing
from market.units import PPM, Int8Array, IntArray


@dataclass(frozen=True, slots=True)
class PriceInterval:
    """The interval of market clearing prices, and the price that was chosen. [micro-currency/kWh]"""

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


@dataclass(frozen=True, slots=True, eq=False)
class Clearing:
    """How much of each order is accepted and at what price.

    Args:
        accepted_wh: Per order, 0 <= accepted <= energy. [Wh]
        price_micro_per_kwh: Per order, what it pays or gets; without meaning where nothing is accepted. [micro/kWh]
        node_price: Locational marginal prices, an interval per node (one without a grid); None where nothing traded.
        operator_surplus_nano: Paid by buyers minus received by sellers; negative is a deficit. [nano]
        welfare_nano: Sum of accepted energy times limit, buys minus sells, at stated limits. [nano]
        trades: Pairs, or None where the mechanism makes no pairs.
        certificate: Present where an optimum is claimed.
        charge_nano: Per order, paid on top of accepted energy times price: above 0 a fee to the operator, below 0 a
            rebate on the price. None where there is none. Orders without accepted energy are not charged. [nano]
        details: What else the mechanism decided, for people; names end in their unit (see docs/your-own-mechanism.md).
        losses_wh: Energy sold and not bought, which the grid has lost. [Wh]
        later_prices: Of a horizon, the price interval per node of each interval after the first.
        schedule_wh: Of a horizon, energy of each order in each interval, shape (orders, intervals); bought is positive,
            sold negative. [Wh]
    """

    accepted_wh: IntArray
    price_micro_per_kwh: IntArray
    node_price: tuple[PriceInterval | None, ...]
    operator_surplus_nano: int
    welfare_nano: int
    trades: Trades | None = None
    certificate: OptimalityCertificate | None = None
    charge_nano: IntArray | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    losses_wh: int = 0
    later_prices: tuple[tuple[PriceInterval | None, ...], ...] = ()
    schedule_wh: IntArray | None = None

    @property
    def prices(self) -> tuple[tuple[PriceInterval | None, ...], ...]:
        """Price intervals by interval and node; one row where the clearing is of one interval."""
        return (self.node_price, *self.later_prices)

    def traded_wh(self, book: OrderBook) -> int:
        """Energy bought, which equals energy sold less what is lost. [Wh]"""
        # What is bought and what is lost is sold, so half of all that is accepted but for the losses.
        return (int(self.accepted_wh.sum()) - self.losses_wh) // 2

    @property
    def charges_nano(self) -> IntArray:
        """The charge of each order, 0 where there are none. [nano]"""
        return np.zeros_like(self.accepted_wh) if self.charge_nano is None else self.charge_nano

    def payment_nano(self, book: OrderBook) -> IntArray:
        """What each order pays (positive) or gets (negative), charges included. [nano]"""
        amount: IntArray = book.side * self.accepted_wh * self.price_micro_per_kwh
        return amount if self.charge_nano is None else amount + self.charge_nano

    def average_price_micro_per_kwh(self, book: OrderBook) -> int | None:
        """The one price; without one, the middle of what a kWh cost buyers and brought sellers; None without a trade.

        Fees are not part of the price, rebates are. Rounded half up. [micro/kWh]
        """
        if len(self.node_price) == 1 and self.node_price[0] is not None:
            return self.node_price[0].price
        accepted_wh = int(self.accepted_wh.sum())
        if not accepted_wh:
            return None
        return (2 * sum(self.turnover_nano(book)) + accepted_wh) // (2 * accepted_wh)

    def turnover_nano(self, book: OrderBook) -> tuple[int, int]:
        """What buyers pay and what sellers get for their energy, rebates included and fees not. [nano]"""
        amount_nano = self.accepted_wh * self.price_micro_per_kwh
        if self.charge_nano is not None:
            amount_nano = amount_nano + book.side * np.minimum(self.charge_nano, 0)
        return int(amount_nano[book.side > 0].sum()), int(amount_nano[book.side < 0].sum())


def no_trade(book: OrderBook) -> Clearing:
    """The clearing in which nothing is accepted and no price exists."""
    nothing = np.zeros(len(book), dtype=np.int64)
    nothing.flags.writeable = False
    return Clearing(nothing, nothing, (None,), 0, 0)


def of_trades(
    book: OrderBook, trades: Trades, node_price: tuple[PriceInterval | None, ...] = (None,)
) -> Clearing:
    """Make the clearing of a list of trades in which the buyer pays what the seller gets.

    The price of an order is the average over its trades, rounded to a whole micro in the operator's favour; the
    rounding is paid back as a rebate, so that every order pays or gets exactly the sum of its trades.

    Args:
        book: Orders of one interval. Not changed.
        trades: Rows of the book, energy and price of each trade, within the limits of both orders.
        node_price: The price interval, where there is one price.
    """
    accepted_wh, amount_nano = np.zeros((2, len(book)), dtype=np.int64)
    value_nano = trades.energy_wh * trades.price_micro_per_kwh
    for rows in (trades.buy, trades.sell):
        np.add.at(accepted_wh, rows, trades.energy_wh)
        np.add.at(amount_nano, rows, value_nano)
    price, rebate_nano = averaged(book.side, accepted_wh, amount_nano)
    charge_nano = rebate_nano if rebate_nano.any() else None
    if charge_nano is not None:
        charge_nano.flags.writeable = False
    welfare_nano = int(np.dot(book.side * accepted_wh, book.limit_micro_per_kwh))
    accepted_wh.flags.writeable = price.flags.writeable = False
    return Clearing(accepted_wh, price, node_price, 0, welfare_nano, trades, None, charge_nano)


def averaged(side: Int8Array, accepted_wh: IntArray, amount_nano: IntArray) -> tuple[IntArray, IntArray]:
    """The average price of each order, a whole micro in the operator's favour, and the charge that pays rounding back.

    Args:
        side: +1 buys, -1 sells.
        accepted_wh: Per order. [Wh]
        amount_nano: Paid or received for it, never beyond its limit. [nano-currency]
    """
    price, rest = np.divmod(amount_nano, np.maximum(accepted_wh, 1))
    up = ((rest > 0) & (side > 0)).astype(
        np.int64
    )  # buyers up, sellers down: never beyond a limit, which is whole
    return price + up, side * (rest - accepted_wh * up)


def wrong_type(book: OrderBook, clearing: Any) -> str:
    """The first wrong type or shape in a clearing of this book, in words; empty if there is none."""
    if not isinstance(clearing, Clearing):
        return f"returns a {type(clearing).__name__}; it must be a Clearing"
    for name in ("accepted_wh", "price_micro_per_kwh", "charge_nano"):
        column = getattr(clearing, name)
        if column is None and name == "charge_nano":
            continue
        if not isinstance(column, np.ndarray) or column.dtype != np.int64:
            kind = getattr(column, "dtype", type(column).__name__)
            return f"{name} is of type {kind}; it must be an array of int64"
        if column.shape != (len(book),):
            return f"{name} has the shape {column.shape} for a book of {len(book)} orders"
    trades: Any = clearing.trades
    if trades is not None:
        if not isinstance(trades, Trades):
            return f"trades is of type {type(trades).__name__}; it must be Trades"
        pairs = (trades.buy, trades.sell, trades.energy_wh, trades.price_micro_per_kwh)
        if not all(isinstance(column, np.ndarray) and column.dtype == np.int64 for column in pairs):
            return "trades hold columns that are no arrays of int64"
        if len({column.shape for column in pairs}) > 1:
            return "trades hold columns of different lengths"
    for name in ("operator_surplus_nano", "welfare_nano", "losses_wh"):
        number = getattr(clearing, name)
        if type(number) is not int:
            return f"{name} is of type {type(number).__name__}; it must be an int"
    if not isinstance(clearing.later_prices, tuple) or not all(map(_is_prices, clearing.prices)):
        return "node_price must be a tuple of price intervals of ints, or of None where nothing traded"
    if not clearing.node_price:
        return "a clearing without a node; give each node its price, or None where nothing has one"
    return ""


def _freeze(clearing: Clearing) -> None:
    """Make the columns read-only: what is checked here is settled later, and plug-ins see it in between."""
    columns = [clearing.accepted_wh, clearing.price_micro_per_kwh, clearing.charge_nano]
    if clearing.trades is not None:
        trades = clearing.trades
        columns += [trades.buy, trades.sell, trades.energy_wh, trades.price_micro_per_kwh]
    for column in columns:
        if column is not None:
            column.flags.writeable = False


def _is_prices(nodes: Any) -> bool:
    return type(nodes) is tuple and all(
        one is None or (type(one) is PriceInterval and type(one.lo) is type(one.hi) is type(one.price) is int)
        for one in nodes
    )


def check_feasible(book: OrderBook, clearing: Clearing, *, limits: bool = True) -> None:
    """Raise unless every accepted quantity and price respects its order and bought equals sold.

    Args:
        book: The orders.
        clearing: The result, one row per order.
        limits: Whether prices and charges must respect the limits; False for a mechanism that ignores them.

    Raises:
        InfeasibleClearing: Names the first broken rule and the rows that break it.
    """
    if wrong := wrong_type(book, clearing):
        raise InfeasibleClearing(wrong)
    _freeze(clearing)
    accepted, paid = clearing.accepted_wh, clearing.price_micro_per_kwh

    def refuse(rows: IntArray, what: str) -> None:
        if len(rows):
            raise InfeasibleClearing(f"{what} in rows {rows[:5].tolist()}")

    refuse(np.flatnonzero((accepted < 0) | (accepted > book.energy_wh)), "accepted outside 0..energy")
    if limits:
        worse = (book.side * (paid - book.limit_micro_per_kwh) > 0) & (accepted > 0)
        refuse(np.flatnonzero(worse), "a price worse than the limit")
        if clearing.charge_nano is not None:
            _refuse_losses(book, clearing)
    residual = int((book.side * accepted).sum()) + clearing.losses_wh
    if residual or clearing.losses_wh < 0:
        losses = f", losses of {clearing.losses_wh} Wh included" if clearing.losses_wh else ""
        raise InfeasibleClearing(f"bought minus sold is {residual} Wh{losses}; it must be 0")
    surplus = int(clearing.payment_nano(book).sum())
    if surplus != clearing.operator_surplus_nano:
        raise InfeasibleClearing(
            f"buyers pay {surplus} nano more than sellers get, but {clearing.operator_surplus_nano} is declared"
        )


def _refuse_losses(book: OrderBook, clearing: Clearing) -> None:
    """Raise where charges make a participant pay more than its accepted energy is worth at its limits."""
    value_nano = book.side * clearing.accepted_wh * book.limit_micro_per_kwh
    gain_nano = np.zeros(int(book.participant.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(gain_nano, book.participant, value_nano - clearing.payment_nano(book))
    losers = np.flatnonzero(gain_nano < 0)
    if len(losers):
        raise InfeasibleClearing(
            f"participants {losers[:5].tolist()} pay more than their limits, charges included"
        )


def certify(book: OrderBook, clearing: Clearing, dual_price_micro_per_kwh: int) -> DualPrice:
    """Compute the certificate of a clearing at a price, exactly, in integers.

    The welfare problem max sum(side limit x), 0 <= x <= energy, sum(side x) = 0 has the dual value
    sum(energy max(0, side (limit - price))); weak duality makes the gap >= 0 for a feasible x, and 0 proves x optimal.
    """
    gain = book.side * (book.limit_micro_per_kwh - dual_price_micro_per_kwh)
    dual_nano = int(np.dot(np.maximum(gain, 0), book.energy_wh))
    residual = int(np.dot(book.side, clearing.accepted_wh))
    return DualPrice(dual_price_micro_per_kwh, dual_nano - clearing.welfare_nano, residual)
