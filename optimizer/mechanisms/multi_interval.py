"""The clearing of a horizon: simple orders of each interval, blocks, flexible orders and storages, at one price each.

The most welfare that prices support: of the clearings in which no accepted order loses at the prices of its intervals,
the one with the most welfare, found by a search whose bound is proven.
"""

from __future__ import annotations

from dataclasses import replace

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InvalidRules
from market.horizon import read_horizon
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import K, Parameter
from market.rules import MarketRules
from market.units import MICRO_PER_UNIT
from market.witness import Witness
from optimizer.blocks import witness
from optimizer.blocks.clear import Limits, check_clearing, clear_horizon

PRICE_MIN = Parameter(
    name="price_min",
    field="price_min_micro_per_kwh",
    kind="price",
    default=None,
    summary="Lowest price of the market; the lowest limit of all orders where it is left out.",
)
PRICE_MAX = Parameter(
    name="price_max",
    field="price_max_micro_per_kwh",
    kind="price",
    default=None,
    summary="Highest price of the market; the highest limit of all orders where it is left out.",
)
TIME_LIMIT = Parameter(
    name="time_limit_s",
    field="time_limit_s",
    kind="whole",
    default=60,
    least=1,
    summary="Seconds after which the search ends with the best clearing so far, and its gap.",
)
NODE_LIMIT = Parameter(
    name="node_limit",
    field="node_limit",
    kind="whole",
    default=None,
    least=1,
    summary="Parts of the search after which it ends in the same way, but on every machine alike; left out, none.",
    in_run=400,
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear all intervals of a book's orders at once.

    Args:
        book: Orders of a horizon. Not changed.
        rules: Uses `k_ppm` and its own parameters; simple orders that tie are served in proportion.

    Raises:
        InvalidBook: Blocks name parents or groups that do not exist.
        InvalidRules: A limit lies outside of the lowest and highest price.
        Infeasible: Storages cannot reach their final contents.
        SolverFailed: The solver gave no answer.
    """
    return clear_horizon(book, *_rules_and_limits(book, rules))


def check(book: OrderBook, clearing: Clearing, rules: MarketRules) -> None:
    """Check a clearing and its bound with numpy alone; see `optimizer.blocks.clear.check_clearing`.

    Raises:
        InfeasibleClearing: A quantity, price, payment, or the bound does not hold.
    """
    check_clearing(book, clearing, price_range_of(book, rules))


def derive(book: OrderBook, rules: MarketRules, data: bytes) -> Clearing:
    """The clearing of a book to which a witness leads, without a solver; see `optimizer.blocks.witness.derive`.

    Raises:
        InvalidBook: As in `clear`.
        InvalidRules: As in `clear`.
        InfeasibleClearing: The witness proves no clearing.
    """
    return witness.derive(book, *_rules_and_limits(book, rules), data)


def _rules_and_limits(book: OrderBook, rules: MarketRules) -> tuple[MarketRules, Limits]:
    limits = Limits(price_range_of(book, rules), float(TIME_LIMIT.of(rules)), NODE_LIMIT.of(rules))
    return replace(rules, rationing="pro_rata"), limits


def price_range_of(book: OrderBook, rules: MarketRules) -> tuple[int, int]:
    """Lowest and highest price of the market. [micro-currency/kWh]

    Raises:
        InvalidRules: They are the wrong way round, or a limit lies outside.
    """
    least, most = read_horizon(book).price_range
    lowest, highest = PRICE_MIN.of(rules), PRICE_MAX.of(rules)
    lowest, highest = least if lowest is None else lowest, most if highest is None else highest
    said = f"{lowest / MICRO_PER_UNIT:g} and {highest / MICRO_PER_UNIT:g}"
    if lowest > highest:
        raise InvalidRules(f"price_min and price_max are {said}; swap them")
    if len(book) and not lowest <= least <= most <= highest:
        limits = f"{least / MICRO_PER_UNIT:g} to {most / MICRO_PER_UNIT:g}"
        raise InvalidRules(
            f"orders have limits from {limits}, and price_min and price_max are {said}; widen these"
        )
    return lowest, highest


MULTI_INTERVAL = MECHANISMS.register(
    Mechanism(
        "multi_interval",
        clear,
        Promises(
            source="Clearing of coupled day-ahead markets with block orders: no paradoxically accepted order, efficient"
            " without blocks; exact by a search (docs/decisions/0051)",
        ),
        (PRICE_MIN, PRICE_MAX, K, TIME_LIMIT, NODE_LIMIT),
        inputs="horizon",
        order_kinds=frozenset({"simple", "block", "flexible", "storage"}),
        scope="horizon",
        check=check,
        witness=Witness(witness.to_bytes, derive),
    )
)
