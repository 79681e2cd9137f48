"""What is kept of every interval by a run and a cell alike: its named columns, and the bills of the homes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from market.auctions.uniform import optimum
from market.clearing import worse_than_limit
from market.errors import AmountTooLarge
from market.metrics.table import Result, system_facts
from market.metrics.welfare import ordered_wh, welfare_split
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
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.prepare import Setup

BEHIND_METER = ("load_wh", "pv_wh")
"""Columns without a value where the data do not tell what is behind the meters."""
BILL_COLUMNS = (*COLUMNS, "baseline_nano", "imbalance_cost_nano", *BEHIND_METER)

Columns = Mapping[str, Sequence[int | None]]
"""Values of each interval by name; None where a value does not exist."""


def interval_values(record: IntervalRecord) -> dict[str, int | None]:
    """The columns of one interval, as tables and metrics have them.

    `import_wh` and `export_wh` are sums over the meters of all homes, `local_wh` is all energy that changed hands
    inside, traded or netted, `competitive` the price of the efficient clearing of the same book, `bought_nano` what
    buyers pay and `sold_nano` what sellers get for traded energy, rebates included and fees not, `worse_orders` counts
    orders that pay more, or get less, than their accepted energy is worth at their limit, charges included,
    `members_nano` what all homes are credited, and `baseline_nano` what they would be without a market.
    """
    book, clearing = record.book, record.clearing
    price, best = clearing.node_price[0], optimum(book)
    demand_wh, supply_wh = ordered_wh(book)
    traded_wh = record.traded_wh
    split = welfare_split(book, clearing)
    bought_nano, sold_nano = clearing.turnover_nano(book)
    lines = record.settled.postings.lines[: len(record.roster)]
    total = lines.sum(axis=0).tolist()
    behind = {n: int(record.columns[n].sum()) if n in record.columns else None for n in BEHIND_METER}
    return {
        "orders": len(book),
        "demand_wh": demand_wh,
        "supply_wh": supply_wh,
        "traded_wh": traded_wh,
        "lo_micro_per_kwh": None if price is None else price.lo,
        "hi_micro_per_kwh": None if price is None else price.hi,
        "price_micro_per_kwh": clearing.average_price_micro_per_kwh(book),
        "competitive_micro_per_kwh": best.price_micro_per_kwh,
        "welfare_nano": clearing.welfare_nano,
        "optimum_nano": best.welfare_nano,
        "optimum_wh": best.traded_wh,
        "buyer_surplus_nano": split.buyers_nano,
        "seller_surplus_nano": split.sellers_nano,
        "operator_surplus_nano": split.operator_nano,
        "bought_nano": bought_nano,
        "sold_nano": sold_nano,
        "worse_orders": len(worse_than_limit(book, clearing)),
        "import_micro_per_kwh": record.prices.import_micro_per_kwh,
        "feed_in_micro_per_kwh": record.prices.feed_in_micro_per_kwh,
        "import_wh": total[IMPORT],
        "export_wh": total[EXPORT],
        "local_wh": traded_wh + int(np.maximum(lines[:, LOCAL], 0).sum()),
        "retail_import_wh": total[RETAIL_IMPORT],
        "retail_export_wh": total[RETAIL_EXPORT],
        **behind,
        "members_nano": sum(total[TRADE:]),
        "baseline_nano": int(record.settled.baseline_nano.sum()),
    }


class Totals:
    """The bills of the homes and the accounts of the system, summed over the intervals.

    Args:
        setup: The prepared scenario.
        what: What they are the totals of, for messages: "run" or "cell".
    """

    def __init__(self, setup: Setup, what: str) -> None:
        self._setup, self._what = setup, what
        self._lines = np.zeros((len(setup.roster), len(BILL_COLUMNS)), dtype=np.int64)
        self.system_nano = np.zeros(len(SYSTEM_ACCOUNTS), dtype=np.int64)
        self.turnover_nano = 0.0

    def add(self, record: IntervalRecord) -> None:
        """Add one interval, and stop before any sum could wrap: no bill can pass twice the sum of all amounts
        without signs.

        Raises:
            AmountTooLarge: That sum passes 2^62.
        """
        settled, homes = record.settled, len(self._lines)
        lines = settled.postings.lines
        for amounts in (lines[:, TRADE:], settled.baseline_nano):
            self.turnover_nano += float(np.abs(amounts).sum(dtype=np.float64))
        if self.turnover_nano >= INT64_SAFE:
            raise AmountTooLarge(f"the amounts of the {self._what} together")
        self._lines[:, : len(COLUMNS)] += lines[:homes]
        own = {"baseline_nano": settled.baseline_nano, "imbalance_cost_nano": settled.imbalance_cost_nano}
        for i, name in enumerate(BILL_COLUMNS[len(COLUMNS) :], len(COLUMNS)):
            self._lines[:, i] += own[name] if name in own else record.columns.get(name, 0)
        self.system_nano += settled.postings.total_nano[homes:]

    @property
    def bills(self) -> dict[str, IntArray]:
        """Every column of the bills by name, one value a home; what is not known is absent."""
        unknown = () if self._setup.has_load else BEHIND_METER
        return {name: self._lines[:, i] for i, name in enumerate(BILL_COLUMNS) if name not in unknown}

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "bills": self._lines.tolist(),
            "system_nano": self.system_nano.tolist(),
            "turnover_nano": self.turnover_nano,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._lines[:] = saved["bills"]
        self.system_nano[:] = saved["system_nano"]
        self.turnover_nano = saved["turnover_nano"]


def columns_of(rows: Iterable[Mapping[str, int | None]]) -> dict[str, list[int | None]]:
    """Rows of named values as columns."""
    columns: dict[str, list[int | None]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def result_of(setup: Setup, intervals: Columns, totals: Totals) -> Result:
    """What metrics are computed from."""
    values, known = {}, {}
    for name, column in intervals.items():
        if setup.has_load or name not in BEHIND_METER:
            known[name] = np.array([value is not None for value in column], dtype=np.bool_)
            values[name] = np.array([value or 0 for value in column], dtype=np.int64)
    prices, emission = setup.prices, setup.scenario.tariff.emission_g_per_kwh
    facts = {
        "minutes": setup.minutes,
        "grid_fee_local_micro_per_kwh": prices.grid_fee_local_micro_per_kwh,
        "grid_fee_remote_micro_per_kwh": prices.grid_fee_remote_micro_per_kwh,
        **system_facts(totals.system_nano),
        **({} if emission is None else {"emission_g_per_kwh": emission}),
    }
    return Result(values, totals.bills, facts, known)
