"""One cell of a comparison: a scenario under one mechanism and one seed, without chain and files.

The steps are those of a run; only the sinks differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.store import columns as columns_of_readings
from market.book import OrderBook
from market.clearing import Clearing
from market.metrics.table import Result
from market.units import IntArray
from wattswap.errors import UsageError
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.interval import clear_book, read_meters, sent_orders, step
from wattswap.runs.prepare import Setup
from wattswap.runs.totals import Totals, interval_columns, result_of


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The results of one cell.

    Args:
        start_s: Start of each interval, shape (T,). [s]
        intervals: Columns of the intervals by name, None where a value does not exist; see `interval_columns`.
        totals: Bills of the homes and accounts of the system.
        result: The same, as metrics read it.
    """

    start_s: IntArray
    intervals: dict[str, list[int | None]]
    totals: Totals
    result: Result


def run_cell(setup: Setup) -> Cell:
    """Simulate all intervals of a prepared scenario.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
        AmountTooLarge: The amounts of the cell pass 2^62 together.
    """
    community, totals = setup.community(), Totals(setup, "cell")
    intervals: dict[str, list[int | None]] = {}
    for first in range(0, setup.intervals, setup.steps_per_day):  # a day's books at a time are kept
        day = range(first, min(first + setup.steps_per_day, setup.intervals))
        records = [step(setup, community, i) for i in day]
        for record in records:
            totals.add(record)
        columns = interval_columns(records) | {"clear_ns": [record.clear_ns for record in records]}
        for name, column in columns.items():
            intervals.setdefault(name, []).extend(column)
        columns_of_readings.release(setup.meter)
    start_s = setup.start_s + np.arange(setup.intervals, dtype=np.int64) * setup.minutes * 60
    return Cell(start_s, intervals, totals, result_of(setup, intervals, totals))


def book_at(setup: Setup, i: int) -> OrderBook:
    """The order book of the i-th interval of a prepared scenario, which all mechanisms of a comparison share."""
    community = setup.community()
    if community.learns or setup.rounds > 1 or setup.looks_ahead:
        cure = "read the orders of a run instead"
        what = (
            "homes that learn, react or order in rounds or for a horizon have another book under each mechanism,"
            " and a battery in common orders by what it did before"
        )
        raise UsageError.of("book", what, cure)
    for _ in range(i):
        community.live()
    orders, meters = sent_orders(setup, community, i), read_meters(setup, community, i)
    return closed_book(setup, i, *columns_of(orders), net_wh=meters.import_wh - meters.export_wh)


def cleared_at(setup: Setup, i: int) -> tuple[OrderBook, Clearing]:
    """The order book of the i-th interval under the scenario's own mechanism, and its clearing, recomputed.

    Homes whose orders follow from what they traded live all intervals before it again.
    """
    community = setup.community()
    if community.learns or setup.rounds > 1 or setup.looks_ahead:
        for before in range(i):
            step(setup, community, before)
        record = step(setup, community, i)
        return record.book, record.clearing
    book = book_at(setup, i)
    return book, clear_book(setup, i, book)[0]
