"""Conditions on the figures of a comparison, as `--fail-if` takes them: "mcafee.saving < 10", "clear_ms > 5"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattswap.comparison.result import Comparison
from wattswap.errors import CheckFailed, Problem, UsageError, suggest

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(
    r"^\s*(?:(?P<mechanism>\S+)\.)?(?P<metric>\w+)\s*(?P<op>[<>]=?|[=!]=)\s*(?P<number>\S+)\s*$"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A figure that must not be so.

    Args:
        text: As the user wrote it.
        mechanism: Whose figure; None for that of every mechanism but the bookends.
        metric: Name of a column of `Comparison.summary()`.
        holds: The comparison with the number.
    """

    text: str
    mechanism: str | None
    metric: str
    op: str
    number: float

    def failing(self, comparison: Comparison) -> list[str]:
        """Sentences for each mechanism and point for which the condition holds; a missing figure fails too."""
        bookends = (comparison.reference, comparison.bound)
        labels = (
            [self.mechanism] if self.mechanism else [m for m in comparison.mechanisms if m not in bookends]
        )
        found = []
        for point in comparison.points:
            column = comparison.summary(point)[self.metric]
            for label in labels:
                value = column[label]
                where = label if len(comparison.points) == 1 else f"{label} at {point}"
                if value != value:
                    found.append(f"{where}: {self.metric} does not exist")
                elif _OPERATORS[self.op](float(value), self.number):
                    found.append(f"{where}: {self.metric} is {value:g}")
        return found


def read_conditions(texts: Sequence[str], labels: Sequence[str]) -> list[Condition]:
    """Read conditions before anything is run.

    Raises:
        UsageError: Lists every text that is no condition and every unknown mechanism.
    """
    found, problems = [], []
    for text in texts:
        match = _FORM.match(text)
        number = _number(match["number"]) if match else None
        if match is None or number is None:
            cure = 'write "METRIC < NUMBER" or "MECHANISM.METRIC < NUMBER"'
            problems.append(Problem(f"--fail-if {text}", "is no condition", cure))
        elif match["mechanism"] is not None and match["mechanism"] not in labels:
            cure = suggest(match["mechanism"], labels)
            problems.append(Problem(f"--fail-if {text}", f"compares no {match['mechanism']!r}", cure))
        elif match["metric"] not in METRICS:
            cure = suggest(match["metric"], METRICS)
            problems.append(Problem(f"--fail-if {text}", f"no metric {match['metric']!r}", cure))
        else:
            found.append(Condition(text, match["mechanism"], match["metric"], match["op"], number))
    if problems:
        raise UsageError(*problems)
    return found


def check(comparison: Comparison, conditions: Sequence[Condition]) -> None:
    """Raise where a condition holds.

    Raises:
        CheckFailed: One sentence for each figure.
    """
    problems = [
        Problem(f"--fail-if {condition.text}", sentence)
        for condition in conditions
        for sentence in condition.failing(comparison)
    ]
    if problems:
        raise CheckFailed(*problems)


METRICS = (
    "allocative_efficiency",
    "buyer_surplus",
    "clear_ms",
    "co2_kg",
    "cost_with_market",
    "cost_without_market",
    "gini_saving",
    "hhi_buyers",
    "hhi_sellers",
    "homes_worse_off",
    "imbalance_cost",
    "intervals_with_trade",
    "jain_saving",
    "local_kwh",
    "min_max_saving",
    "operator_income",
    "operator_surplus",
    "participation_share",
    "peak_export_kw",
    "peak_import_kw",
    "peak_to_average",
    "price_per_kwh",
    "price_volatility",
    "price_volatility_weighted",
    "qoe_saving",
    "ramping_kw",
    "retail_export_kwh",
    "retail_import_kwh",
    "saving",
    "saving_percent",
    "saving_with_operator_surplus",
    "self_consumption",
    "self_sufficiency",
    "self_sufficiency_alone",
    "seller_surplus",
    "smith_alpha_percent",
    "traded_kwh",
    "traded_share",
    "welfare",
)
"""Every figure of a cell; a test holds this list to `summary_of`."""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None
