"""One cell of a comparison: a scenario under one mechanism and one seed, without chain and files.

The steps are those of a run (bids, book, clearing, settlement); what is left out is the record of it. A test holds the
bills of a cell to those of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing, check_feasible, worse_than_limit
from market.errors import AmountTooLarge
from market.metrics.welfare import ordered_wh, welfare_split
from market.rules import MarketRules
from market.settlement.accounts import (
    COLUMNS,
    EXPORT,
    IMPORT,
    LOCAL,
    RETAIL_EXPORT,
    RETAIL_IMPORT,
    SYSTEM_ACCOUNTS,
    TRADE,
)
from market.units import INT64_SAFE, IntArray
from wattswap.errors import UsageError
from wattswap.runs.interval import build_book, settle_interval
from wattswap.runs.prepare import Setup

INTERVAL_COLUMNS = (
    "orders",
    "demand_wh",
    "supply_wh",
    "traded_wh",
    "lo_micro_per_kwh",
    "hi_micro_per_kwh",
    "price_micro_per_kwh",
    "competitive_micro_per_kwh",
    "welfare_nano",
    "optimum_nano",
    "buyer_surplus_nano",
    "seller_surplus_nano",
    "operator_surplus_nano",
    "bought_nano",
    "sold_nano",
    "worse_orders",
    "import_micro_per_kwh",
    "feed_in_micro_per_kwh",
    "import_wh",
    "export_wh",
    "local_wh",
    "retail_import_wh",
    "retail_export_wh",
    "load_wh",
    "pv_wh",
    "members_nano",
    "baseline_nano",
    "clear_ns",
)
"""Columns of an interval. `import_wh` and `export_wh` are sums over the meters of all homes, `local_wh` is all energy
that changed hands inside, traded or netted, `competitive` the price of the efficient clearing of the same book,
`bought_nano` what buyers pay and `sold_nano` what sellers get for traded energy, rebates included and fees not,
`worse_orders` counts orders that pay more, or get less, than their accepted energy is worth at their limit, charges
included,
`members_nano` what all homes are credited, and `baseline_nano` what they would be without a market."""
BILL_COLUMNS = (*COLUMNS, "baseline_nano", "imbalance_cost_nano", "load_wh", "pv_wh")
BEHIND_METER = ("load_wh", "pv_wh")
"""Columns without a value where the data do not tell what is behind the meters."""

_EFFICIENT = MarketRules(solver="exact")


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What came out of one cell.

    Args:
        start_s: Start of each interval, shape (T,). [s]
        intervals: One row an interval, one column per name in INTERVAL_COLUMNS.
        has_value: Which entries of `intervals` hold a value: a price may be missing, and the load behind the meters.
        bills: One row a home, one column per name in BILL_COLUMNS, summed over the intervals.
        system_nano: Sum of all postings of retailer, grid operator and market operator.
        has_load: Whether the data tell what is behind the meters; else `load_wh` and `pv_wh` are without meaning.
    """

    start_s: IntArray
    intervals: IntArray
    has_value: npt.NDArray[np.bool_]
    bills: IntArray
    system_nano: IntArray
    has_load: bool


def run_cell(setup: Setup) -> Cell:
    """Live all intervals of a prepared scenario.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
        AmountTooLarge: The amounts of the cell pass 2^62 together.
    """
    count, homes = setup.intervals, len(setup.roster)
    intervals = np.zeros((count, len(INTERVAL_COLUMNS)), dtype=np.int64)
    has_value = np.ones((count, len(INTERVAL_COLUMNS)), dtype=np.bool_)
    bills = np.zeros((homes, len(BILL_COLUMNS)), dtype=np.int64)
    system_nano = np.zeros(len(SYSTEM_ACCOUNTS), dtype=np.int64)
    community = setup.community()
    limits, turnover_nano = setup.mechanism.promises.individually_rational, 0.0
    for i in range(count):
        start_s, prices, rules = setup.start_of(i), setup.prices.at(i), setup.rules_at(i)
        orders = community.bids(prices)
        book = build_book(
            setup.seed, start_s, orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh
        )
        begun = perf_counter_ns()
        clearing = setup.mechanism.clear(book, rules)
        clear_ns = perf_counter_ns() - begun
        check_feasible(book, clearing, limits=limits)
        meters = community.live()
        community.learn(book, clearing)
        settled = settle_interval(
            setup.mechanism,
            book,
            clearing,
            meters.import_wh,
            meters.export_wh,
            prices,
            shared=setup.shares_imbalance,
        )
        load_wh, pv_wh = setup.load_and_pv(i)
        lines, without = settled.postings.lines[:homes], settled.baseline_nano
        bills[:, : len(COLUMNS)] += lines
        bills[:, len(COLUMNS)] += without
        bills[:, len(COLUMNS) + 1] += settled.imbalance_cost_nano
        bills[:, len(COLUMNS) + 2] += load_wh
        bills[:, len(COLUMNS) + 3] += pv_wh
        system_nano += settled.postings.total_nano[homes:]
        turnover_nano += float(np.abs(lines[:, TRADE:]).sum(dtype=np.float64) + np.abs(without).sum())
        if turnover_nano >= INT64_SAFE:
            raise AmountTooLarge("the amounts of the cell together")
        market, has = _market_columns(book, clearing)
        total = lines.sum(axis=0)
        intervals[i] = (
            *market,
            prices.import_micro_per_kwh,
            prices.feed_in_micro_per_kwh,
            total[IMPORT],
            total[EXPORT],
            market[3] + np.maximum(lines[:, LOCAL], 0).sum(),
            total[RETAIL_IMPORT],
            total[RETAIL_EXPORT],
            load_wh.sum(),
            pv_wh.sum(),
            lines[:, TRADE:].sum(),
            without.sum(),
            clear_ns,
        )
        has_value[i, 4:8] = has
    start_s_of = setup.start_s + np.arange(count, dtype=np.int64) * setup.minutes * 60
    has_value[:, [INTERVAL_COLUMNS.index(name) for name in BEHIND_METER]] = setup.has_load
    return Cell(start_s_of, intervals, has_value, bills, system_nano, setup.has_load)


def book_at(setup: Setup, i: int) -> OrderBook:
    """The order book of the i-th interval of a prepared scenario, which all mechanisms of a comparison share."""
    community = setup.community()
    if community.learns:
        cure = "read the orders of a run instead"
        raise UsageError.of("book", "homes that learn have another book under each mechanism", cure)
    for _ in range(i):
        community.live()
    orders = community.bids(setup.prices.at(i))
    return build_book(
        setup.seed, setup.start_of(i), orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh
    )


def _market_columns(book: OrderBook, clearing: Clearing) -> tuple[list[int], list[bool]]:
    """The columns from orders to worse_orders, and which of the four prices exist."""
    demand_wh, supply_wh = ordered_wh(book)
    best = clear_exact(book, _EFFICIENT)
    one, average = clearing.node_price[0], clearing.average_price_micro_per_kwh(book)
    competitive = best.node_price[0]
    split = welfare_split(book, clearing)
    bought_nano, sold_nano = clearing.turnover_nano(book)
    columns = [
        len(book),
        demand_wh,
        supply_wh,
        clearing.traded_wh(book),
        0 if one is None else one.lo,
        0 if one is None else one.hi,
        average or 0,
        0 if competitive is None else competitive.price,
        clearing.welfare_nano,
        best.welfare_nano,
        split.buyers_nano,
        split.sellers_nano,
        split.operator_nano,
        bought_nano,
        sold_nano,
        len(worse_than_limit(book, clearing)),
    ]
    return columns, [one is not None, one is not None, average is not None, competitive is not None]
