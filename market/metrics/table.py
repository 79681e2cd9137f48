"""The one table of metrics: what is counted of a run or a cell, in which unit, which way is better, and from what.

A run's metrics.json, a comparison, a report, conditions and docs/metrics.md are made from it. A metric is a function
of a `Result`; its name is the metric's name and the first line of its docstring its summary. A file in
market/metrics/figures is found by itself:

    @metric(unit="kWh", better="higher", needs=("traded_wh",))
    def traded_kwh(r: Result) -> float:
        \"\"\"Energy bought, which equals the energy sold.\"\"\"
        return r.kwh("traded_wh")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from market.metrics.fairness import saving_nano
from market.registry import Registry
from market.settlement.accounts import SYSTEM_ACCOUNTS
from market.units import NANO_PER_UNIT, WH_PER_KWH, BoolArray, IntArray

Better = Literal["higher", "lower", "neither"]
Figure = float | int | None
Row = dict[str, Figure]
"""Figures of one run or cell by name of the metric."""


@dataclass(frozen=True, eq=False)
class Result:
    """What came out of a run or of a cell of a comparison, as named integer columns.

    A column that the data do not hold is absent; a metric that needs it is then undefined.

    Args:
        intervals: One value an interval, each of shape (T,): see docs/metrics.md for their names.
        bills: One value a home, summed over the intervals, each of shape (H,).
        facts: Single numbers: `minutes` of an interval, `KIND_nano` of each system account, and what else there is.
        known: For columns with gaps, which entries hold a value; unknown entries are 0.
    """

    intervals: Mapping[str, IntArray]
    bills: Mapping[str, IntArray]
    facts: Mapping[str, int]
    known: Mapping[str, BoolArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A metric sees what the others see, and what is stored.
        for column in (*self.intervals.values(), *self.bills.values(), *self.known.values()):
            column.flags.writeable = False

    @cached_property
    def saving_nano(self) -> IntArray:
        """What each home pays less than without a market. [nano-currency]"""
        return saving_nano(self.bills)

    def has(self, name: str) -> bool:
        """Whether there is a column or fact of this name."""
        return name in self.intervals or name in self.bills or name in self.facts

    def sum(self, name: str) -> int:
        """Exact sum of a column over the intervals."""
        return sum(self.intervals[name].tolist())

    def total(self, *names: str) -> int:
        """Exact sum of columns over the homes."""
        return sum(sum(self.bills[name].tolist()) for name in names)

    def kwh(self, name: str) -> float:
        """Sum of a column over the intervals. [kWh]"""
        return self.sum(name) / WH_PER_KWH

    def money(self, name: str) -> float:
        """Sum of a column over the intervals. [currency]"""
        return self.sum(name) / NANO_PER_UNIT


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: What results, conditions and pages call it.
        function: Gives the figure; None where it is undefined.
        summary: What it counts, in one line.
        unit: Of the figure; "currency" is that of the scenario.
        better: Which way is better for the homes, or neither.
        needs: Columns and facts without which it is undefined.
        undefined_because: When it is null, in words; empty where it always exists.
        source: Paper or standard.
        heading: Head of its column in a report's comparison, where {money} is the currency; empty to leave it out.
        decimals: Digits behind the point in tables.
        percent: Whether tables show the share in percent.
        repeatable: Whether the same scenario gives the same figure again; a measured time does not.
    """

    name: str
    function: Callable[[Result], Figure]
    summary: str
    unit: str
    better: Better = "neither"
    needs: tuple[str, ...] = ()
    undefined_because: str = ""
    source: str = ""
    heading: str = ""
    decimals: int = 2
    percent: bool = False
    repeatable: bool = True

    @property
    def factor(self) -> float:
        """What a figure is multiplied by for tables."""
        return 100.0 if self.percent else 1.0

    def of(self, result: Result) -> Figure:
        """The figure of a result; None where it is undefined or a column that it needs is absent."""
        if not all(map(result.has, self.needs)):
            return None
        with METRICS.held(self):
            return _as_figure(self.function(result))


METRICS: Registry[Metric] = Registry(
    "metric", folders=("market.metrics.figures",), group="wattswap.metrics", item=Metric
)


def _as_figure(value: Any) -> Figure:
    """The figure that a function returns, a number of numpy as one of Python."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise TypeError(f"{value!r} is not a finite number, and None represents an undefined figure")


def metric(
    *,
    unit: str,
    better: Better = "neither",
    needs: tuple[str, ...] = (),
    undefined_because: str = "",
    source: str = "",
    heading: str = "",
    decimals: int = 2,
    percent: bool = False,
    repeatable: bool = True,
) -> Callable[[Callable[[Result], Figure]], Callable[[Result], Figure]]:
    """Register a function as a metric of its name; the arguments are those of `Metric`."""

    def register(function: Callable[[Result], Figure]) -> Callable[[Result], Figure]:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        METRICS.register(
            Metric(
                function.__name__, function, summary, unit, better, needs, undefined_because, source,
                heading, decimals, percent, repeatable,
            ),
            origin=function.__module__,
        )  # fmt: skip
        return function

    return register


def figures(result: Result, *, measured: bool = True) -> Row:
    """Every metric of a result; without those that the same scenario does not repeat, where they are not wanted."""
    return {name: m.of(result) for name, m in METRICS.all().items() if measured or m.repeatable}


def system_facts(nano: IntArray) -> dict[str, int]:
    """The sums of the postings of retailer, grid operator and market operator, as facts of a `Result`."""
    return {f"{name}_nano": total for name, total in zip(SYSTEM_ACCOUNTS, nano.tolist(), strict=True)}
