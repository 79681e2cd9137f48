"""What all oracles of books share: orders of a case in whole units, and the amounts that follow from an outcome."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass
class Row:
    """One order of a case, in Wh and micro-currency per kWh; `left` is for oracles that use it up."""

    id: str
    who: str
    sign: int
    wh: int
    limit: int
    time: int
    kind: str = ""
    wants: list[dict[str, list[str]]] = field(default_factory=list)
    left: int = 0


@dataclass
class Outcome:
    """What an oracle says: accepted Wh and payment in nano by order id, and what else the contract names."""

    accepted: dict[str, Fraction]
    paid: dict[str, Fraction]
    fee: dict[str, Fraction] = field(default_factory=dict)
    interval: tuple[Fraction, Fraction] | None = None
    price: Fraction | None = None
    more: dict[str, Any] = field(default_factory=dict)


def rows_of(case: dict[str, Any]) -> list[Row]:
    """The orders with energy; numbers of a drawn case are whole units, so rounding is exact."""
    rows = [
        Row(
            order["id"],
            order["participant"],
            1 if order["side"] == "buy" else -1,
            round(Fraction(str(order["quantity_kwh"])) * 1_000),
            round(Fraction(str(order["price_per_kwh"])) * 1_000_000),
            order.get("time", place),
            order.get("attributes", {}).get("energy_type", ""),
            order.get("requirements", []),
        )
        for place, order in enumerate(case["orders"])
    ]
    for row in rows:
        row.left = row.wh
    return [row for row in rows if row.wh > 0]


def bids_of(rows: Iterable[Row]) -> list[Row]:
    """Bids, highest limit first, then by time."""
    return sorted((row for row in rows if row.sign > 0), key=lambda row: (-row.limit, row.time))


def offers_of(rows: Iterable[Row]) -> list[Row]:
    """Offers, lowest limit first, then by time."""
    return sorted((row for row in rows if row.sign < 0), key=lambda row: (row.limit, row.time))


def micro(value: Any) -> int:
    """A price of the edge in micro-currency."""
    return round(Fraction(str(value)) * 1_000_000)


def total(rows: Iterable[Row]) -> int:
    """Energy of rows. [Wh]"""
    return sum(row.wh for row in rows)


def at_price(accepted: dict[str, Fraction], rows: list[Row], price: Fraction) -> dict[str, Fraction]:
    """What each order pays at one price. [nano]"""
    sign = {row.id: row.sign for row in rows}
    return {name: sign[name] * wh * price for name, wh in accepted.items()}


def nothing(rows: list[Row], **more: Any) -> Outcome:
    """No trade."""
    zero = {row.id: Fraction(0) for row in rows}
    return Outcome(zero, dict(zero), more=more)


class Pairs:
    """Trades made one by one."""

    def __init__(self, rows: list[Row]) -> None:
        self.accepted = {row.id: Fraction(0) for row in rows}
        self.paid = {row.id: Fraction(0) for row in rows}
        self.trades: list[tuple[str, str, int, Fraction]] = []

    def trade(self, bid: Row, offer: Row, buys_at: Fraction, sells_at: Fraction) -> None:
        """Trade the smaller of what is left of both."""
        wh = min(bid.left, offer.left)
        if wh == 0:
            return
        bid.left -= wh
        offer.left -= wh
        self.accepted[bid.id] += wh
        self.accepted[offer.id] += wh
        self.paid[bid.id] += wh * buys_at
        self.paid[offer.id] -= wh * sells_at
        self.trades.append((bid.id, offer.id, wh, buys_at))

    def outcome(self) -> Outcome:
        """All trades together."""
        return Outcome(self.accepted, self.paid, more={"trades": self.trades})
