"""What `--fail-if` asks of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from wattswap.comparison.result import ComparisonFolder
from wattswap.conditions import Condition
from wattswap.errors import Problem

METRICS = (
    "allocative_efficiency",
    "buyer_price_per_kwh",
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
    "market_operator_income",
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
    "seller_price_per_kwh",
    "seller_surplus",
    "smith_alpha_percent",
    "traded_kwh",
    "traded_share",
    "welfare",
)
"""Every figure of a cell; a test holds this list to `summary_of`."""


def failures(comparison: ComparisonFolder, conditions: Sequence[Condition]) -> list[Problem]:
    """One sentence for each figure for which a condition holds, at any point; a missing figure counts too."""
    problems = []
    bookends = (comparison.reference, comparison.bound)
    for condition in conditions:
        competing = [label for label in comparison.mechanisms if label not in bookends]
        for point in comparison.points:
            column = comparison.summary(point)[condition.metric]
            for label in [condition.label] if condition.label else competing:
                value, name = float(column[label]), f"{condition.metric} of {label}"
                name += "" if len(comparison.points) == 1 else f" at {point}"
                if value != value:
                    problems.append(Problem(f"--fail-if {condition.text}", f"{name} does not exist"))
                elif condition.holds(value):
                    problems.append(Problem(f"--fail-if {condition.text}", f"{name} is {value:.10g}"))
    return problems
