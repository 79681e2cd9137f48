"""Money and energy as people read them: rounded so that the lines of a table add up to its total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 2
PART_HEADS = {
    "battery": "of which battery",
    "standing": "of which standing charge",
    "peak": "of which peak charge",
    "grid_fee_net": "of which grid fee net",
    "levy": "of which levies net",
    "vat": "of which VAT",
}
"""Heads of the columns of bills that are parts of the bill with the market; each is there if the tariff has it."""
MONEY = (
    *("cost_without_market", "cost_with_market", "saving", "saving_by_mechanism", "saving_by_imbalance_rule"),
    *("saving_from_outside", "saving_bound", "operator_surplus", "market_operator_income"),
    *("welfare", "buyer_surplus", "seller_surplus"),
)
"""Metrics of money that tables show beside each other."""
NOISE = 1e-6
"""By how much sums of floats may differ from the amount that they are. [currency]"""


def rounded(value: float, decimals: int = DECIMALS) -> float:
    """A number as it is shown: halves to even, whatever the noise of floats behind them, and no sign before a zero."""
    unit: int = 10**decimals
    return round(_scaled(value, unit)) / unit


def days_text(days: float) -> str:
    """A length of time: "1 day", "2.5 days"."""
    return f"{days:g} day{'s' * (days != 1)}"


def adding_up(values: Sequence[float], decimals: int = DECIMALS, total: float | None = None) -> list[float]:
    """Round values such that they add up to their rounded sum: all down, then those that lost most up again.

    A value that needs no rounding stays as it is.

    Args:
        values: Any numbers.
        decimals: Digits behind the point.
        total: What they add up to where another table shows it already, rounded, at most a few units beside their sum.
            What rounding cannot reach goes to the largest of them.
    """
    unit = 10**decimals
    scaled = [_scaled(value, unit) for value in values]
    down = [floor(value) for value in scaled]
    wanted = round(_scaled(fsum(scaled) if total is None else total * unit, 1))
    missing, uneven = (
        wanted - sum(down),
        sum(value != whole for value, whole in zip(scaled, down, strict=True)),
    )
    beyond = missing - min(max(missing, 0), uneven)
    up = set(sorted(range(len(down)), key=lambda i: down[i] - scaled[i])[: missing - beyond])
    shown = [value + (i in up) for i, value in enumerate(down)]
    if beyond and shown:
        shown[max(range(len(scaled)), key=lambda i: abs(scaled[i]))] += beyond
    return [value / unit for value in shown]


def _scaled(value: float, unit: int) -> float:
    """A value in units, without the noise of floats."""
    return round(value * unit, 6)


def money_in_cents(figures: Mapping[str, float | None]) -> dict[str, float]:
    """The money that all homes together pay, save and gain, by metric, in cents that add up.

    The parts of the saving add up to it, the bills with the market are those without less the saving, and what buyers,
    sellers and operator gain adds up to the welfare. Figures that do not exist are left out.
    """
    exact = {name: value for name in MONEY if (value := figures.get(name)) is not None and value == value}
    found = {name: rounded(value) for name, value in exact.items()}
    own, outside = ("saving_by_mechanism", "saving_by_imbalance_rule"), "saving_from_outside"
    if _is_sum(exact, "saving", (*own, outside)):
        found |= zip(own, adding_up([exact[name] for name in own]), strict=True)
        found[outside] = rounded(found["saving"] - sum(found[name] for name in own))
        for name in ("operator_surplus", "market_operator_income"):
            if exact[outside] and abs(exact.get(name, 0.0) + exact[outside]) < NOISE:  # the same money
                found[name] = rounded(-found[outside])
    if _is_sum(exact, "cost_without_market", ("cost_with_market", "saving")):
        found["cost_with_market"] = rounded(found["cost_without_market"] - found["saving"])
    gains, kept = ("buyer_surplus", "seller_surplus"), "operator_surplus"
    if _is_sum(exact, "welfare", (*gains, kept)):
        rest = found["welfare"] - found[kept]
        found |= zip(gains, adding_up([exact[name] for name in gains], total=rest), strict=True)
    return found


def _is_sum(exact: Mapping[str, float], total: str, parts: Sequence[str]) -> bool:
    """Whether a figure and its parts exist, and it is their sum; in comparisons of older versions it may not be."""
    if not {total, *parts} <= exact.keys():
        return False
    return abs(exact[total] - fsum(exact[name] for name in parts)) < NOISE


def summary_in_cents(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary of a comparison, a row per mechanism, with its money in cents that add up across."""
    shown = summary.copy()
    for label in summary.index:
        money = money_in_cents({str(name): value for name, value in summary.loc[label].items()})
        shown.loc[label, list(money)] = list(money.values())
    return shown


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
        return rounded(self.without - self.saved)


def saving_of(figures: Mapping[str, float | None]) -> Saving | None:
    """The saving in its parts; None where the figures are of a wattswap that did not take it apart."""
    parts = ("saving_by_mechanism", "saving_by_imbalance_rule", "saving_from_outside")
    exact = [value for name in parts if (value := figures.get(name)) is not None]
    if len(exact) < len(parts):
        return None
    shown = money_in_cents({**figures, "saving": fsum(exact)})
    if not {"saving_bound", "cost_without_market"} <= shown.keys():
        return None
    own, netted, outside = (shown[name] for name in parts)
    return Saving(
        without=shown["cost_without_market"],
        saved=shown["saving"],
        by_mechanism=own,
        by_imbalance_rule=netted,
        from_outside=outside,
        bound=shown["saving_bound"],
    )


def not_billed(figures: Mapping[str, float | None], money: str) -> list[tuple[str, str]]:
    """What homes went without and what batteries wore, as labels and texts; of a home without a market beside it."""
    found = []
    for label, name, unit, decimals, what in (
        ("Needed and not there", "unmet_{}kwh", "kWh", 1, "of cars, appliances and hot water"),
        ("Outside the comfort band", "outside_comfort_{}k_h", "K h", 1, "of all rooms"),
        ("Wear of batteries", "wear_cost_{}", money, DECIMALS, "by what they gave"),
    ):
        here, alone = (figures.get(name.format(part).rstrip("_")) for part in ("", "alone_"))
        if here is not None and alone is not None:
            without = "" if here == alone else f"; without a market {rounded(alone, decimals):.{decimals}f}"
            found.append((label, f"{rounded(here, decimals):.{decimals}f} {unit} {what}{without}"))
    return found


def bills_in_cents(bills: pd.DataFrame) -> pd.DataFrame:
    """Every home's bill, in numbers that add up across, and down to the rounded sums of all homes."""
    shown = bills.copy()
    for name in bills.columns.difference(["saving_percent", "cost_with_market"]):
        shown[name] = adding_up(bills[name].tolist())
    shown["cost_with_market"] = [
        rounded(without - saved)
        for without, saved in zip(shown["cost_without_market"], shown["saving"], strict=True)
    ]
    return shown


def bills_with_total(bills: pd.DataFrame, total: str) -> pd.DataFrame:
    """Every home's bill, and a last row with the sums, in numbers that add up down and across."""
    import pandas as pd

    from market.metrics.fairness import percent_of  # inside, as pandas is: slow at the start of a command

    shown = bills_in_cents(bills)
    sums = shown.sum().map(rounded)
    if "saving_percent" in shown:
        saved, without = (float(bills[name].sum()) for name in ("saving", "cost_without_market"))
        sums["saving_percent"] = percent_of(saved, without)
    last = pd.DataFrame([sums], index=[total]).astype(float)
    return pd.concat([shown, last])
