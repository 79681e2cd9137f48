"""Books for the tests of rules that make pairs: small, full of ties, with participants on both sides."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from market.book import Order, OrderBook, Requirement, Side
from market.clearing import Clearing
from market.mechanism import MECHANISMS
from market.rules import MarketRules

RULES = MarketRules(retail_micro_per_kwh=30, feed_in_micro_per_kwh=10)

KINDS = ("", "PV", "wind")


@st.composite
def orders(draw: st.DrawFn, both_sides: bool = True, wishes: bool = False, least: int = -2) -> list[Order]:
    """Up to 12 orders of up to 5 participants; equal limits, equal arrivals, no energy and negative limits occur."""
    found = []
    for i in range(draw(st.integers(0, 12))):
        participant = draw(st.integers(0, 4))
        side = draw(st.sampled_from(list(Side))) if both_sides else Side(1 if participant % 2 else -1)
        found.append(
            Order(
                f"o{i}",
                participant,
                side,
                draw(st.integers(0, 6)),
                draw(st.integers(least, 9)) * 5,
                draw(st.integers(0, 3)) * 100 + i,
                0,
                draw(st.sampled_from(KINDS)) if wishes else "",
                draw(requirements()) if wishes else (),
            )
        )
    return found


def requirements() -> st.SearchStrategy[tuple[Requirement, ...]]:
    """None to two alternatives."""
    one = st.builds(
        Requirement,
        st.lists(st.integers(0, 4), max_size=2, unique=True).map(tuple),
        st.lists(st.sampled_from(KINDS[1:]), max_size=2, unique=True).map(tuple),
    )
    return st.lists(one, max_size=2).map(tuple)


def cleared(name: str, book: OrderBook, rules: MarketRules = RULES, **params: str | int) -> Clearing:
    """Clear a book by the mechanism of this name."""
    given = replace(rules, params=params)
    return MECHANISMS.get(name).clear(book, given)


def row(side: str, participant: int, energy: int, limit: int, sequence: int = 0, **more: object) -> Order:
    """One order, named by what it is."""
    return Order(
        f"{side}{participant}-{limit}-{sequence}",
        participant,
        Side.BUY if side == "buy" else Side.SELL,
        energy,
        limit,
        sequence,
        **more,  # type: ignore[arg-type]
    )


def trades(clearing: Clearing) -> list[tuple[int, int, int, int]]:
    """Row of the bid, row of the offer, energy and price of each trade, in order."""
    pairs = clearing.trades
    if pairs is None:
        return []
    columns = (pairs.buy, pairs.sell, pairs.energy_wh, pairs.price_micro_per_kwh)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return int((value + Fraction(1, 2)).__floor__())
