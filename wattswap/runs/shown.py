"""Money and energy as people read them: rounded so that the lines of a table add up to its total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import TYPE_CHECKING

from market.metrics.fairness import percent_of

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 2
PART_HEADS = {
    "standing": "of which standing",
    "peak": "of which peak",
    "grid_fee_net": "of which grid fee",
    "levy": "of which levies",
    "vat": "of which VAT",
}
"""Heads of the columns of bills that are parts of the bill with the market; each is there if the tariff has it."""


def adding_up(values: Sequence[float], decimals: int = DECIMALS) -> list[float]:
    """Round values such that they add up to their rounded sum: all down, then those that lost most up again.

    A value that needs no rounding stays as it is.
    """
    unit = 10**decimals
    scaled = [round(value * unit, 6) for value in values]
    down = [floor(value) for value in scaled]
    missing = round(round(fsum(scaled), 6)) - sum(down)
    up = set(sorted(range(len(down)), key=lambda i: down[i] - scaled[i])[:missing])
    return [(value + (i in up)) / unit for i, value in enumerate(down)]


@dataclass(frozen=True, slots=True)
class Saving:
    """What all homes together pay and save, in cents that add up. [currency]

    Args:
        without: All bills without a market.
        saved: By how much they are smaller with it.
        by_mechanism: Of that by the mechanism itself.
        by_imbalance_rule: Of that by the imbalance rule.
        from_outside: What the market operator adds; it is part of `saved`, and no merit of the mechanism.
        bound: The most that can be saved without moving a flow.
    """

    without: float
    saved: float
    by_mechanism: float
    by_imbalance_rule: float
    from_outside: float
    bound: float

    @property
    def paid(self) -> float:
        """All bills with the market."""
        return round(self.without - self.saved, DECIMALS)


def saving_of(figures: Mapping[str, float | None]) -> Saving | None:
    """The saving in its parts; None where the figures are of a wattswap that did not take it apart."""
    names = ("saving_by_mechanism", "saving_by_imbalance_rule", "saving_bound", "saving_from_outside")
    mechanism, rule, bound, added = (figures.get(name) for name in names)
    without = figures.get("cost_without_market")
    if mechanism is None or rule is None or bound is None or added is None or without is None:
        return None
    parts = adding_up([mechanism, rule, added])
    own, netted, outside = parts
    return Saving(
        without=round(without, DECIMALS),
        saved=round(sum(parts), DECIMALS),
        by_mechanism=own,
        by_imbalance_rule=netted,
        from_outside=outside,
        bound=round(bound, DECIMALS),
    )


def bills_with_total(bills: pd.DataFrame, total: str) -> pd.DataFrame:
    """Every home's bill, and a last row with the sums, in numbers that add up down and across."""
    import pandas as pd

    shown = bills.copy()
    for name in bills.columns.difference(["saving_percent", "cost_with_market"]):
        shown[name] = adding_up(bills[name].tolist())
    shown["cost_with_market"] = (shown["cost_without_market"] - shown["saving"]).round(DECIMALS)
    sums = shown.sum().round(DECIMALS)
    if "saving_percent" in shown:
        saved, without = (float(bills[name].sum()) for name in ("saving", "cost_without_market"))
        sums["saving_percent"] = percent_of(saved, without)
    last = pd.DataFrame([sums], index=[total]).astype(float)
    return pd.concat([shown, last])
