"""What each home of a run would save by cooperative sharing rules, beside its saving in the market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market.cooperative.core import core_check
from market.cooperative.game import coalition_values
from market.cooperative.shapley import shapley
from market.errors import InvalidGame
from market.settlement.tariff import OutsidePrices
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, IntArray
from wattswap.errors import UsageError
from wattswap.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

MOST_FOR_NUCLEOLUS = 13


@dataclass(frozen=True, slots=True)
class Shares:
    """The savings of a community that nets perfectly, divided by rule.

    Args:
        table: One row a home: saving (in the run), shapley, nucleolus (empty for large communities). [currency]
        value: What all homes together could save by netting. [currency]
        core_nonempty: Whether any division exists that no group of homes would leave.
        in_core: Whether the run's saving, Shapley and the nucleolus are such divisions, by column.
    """

    table: pd.DataFrame
    value: float
    core_nonempty: bool
    in_core: dict[str, bool]


def shares_of(result: RunFolder) -> Shares:
    """Divide what the homes of a run could save together: the game in which every group nets among itself.

    Raises:
        UsageError: More homes than the 2^n groups allow, or homes with several retailers or a battery in common.
    """
    import pandas as pd

    from optimizer.cooperative import core_nonempty, nucleolus

    if result.scenario.get("homes", {}).get("tariffs"):
        what = "has homes with several retailers, and groups of homes are valued at the prices of one"
        raise UsageError.of(str(result.path), what, "run it with one tariff")
    if result.metrics.get("battery_gain") is not None:
        what = "has a battery in common, and groups of homes are valued without one"
        cure = 'run it with community.battery.shares = "shapley" or "nucleolus"'
        raise UsageError.of(str(result.path), what, cure)
    bills = result.bills()
    imported, exported = (_by_home(result, bills.index, name) for name in ("import_wh", "export_wh"))
    try:
        value_nano = coalition_values(imported, exported, _prices(result))
    except InvalidGame as invalid:
        raise UsageError.of(str(result.path), str(invalid), "this is for small communities") from None
    columns = {"shapley": shapley(value_nano)}
    if len(bills) <= MOST_FOR_NUCLEOLUS:
        columns["nucleolus"] = nucleolus(value_nano)
    checked = {"saving": np.round(bills["saving"].to_numpy() * NANO_PER_UNIT).astype(np.int64), **columns}
    table = pd.DataFrame({"saving": bills["saving"]})
    for name, nano in columns.items():
        table[name] = nano / NANO_PER_UNIT
    table.attrs["currency"] = result.currency
    tolerance_nano = len(bills)  # shares are rounded to whole nano
    in_core = {name: core_check(value_nano, nano, tolerance_nano).in_core for name, nano in checked.items()}
    return Shares(table, int(value_nano[-1]) / NANO_PER_UNIT, core_nonempty(value_nano), in_core)


def _by_home(result: RunFolder, homes: pd.Index, column: str) -> IntArray:
    readings = result.table("readings")
    wide = readings.pivot(index="interval_start", columns="household", values=column)
    values: IntArray = wide[list(homes)].to_numpy(dtype=np.int64)
    return values


def _prices(result: RunFolder) -> OutsidePrices:
    intervals, fees = result.table("intervals"), result.metrics
    return OutsidePrices(
        intervals["import_micro_per_kwh"].to_numpy(dtype=np.int64),
        intervals["feed_in_micro_per_kwh"].to_numpy(dtype=np.int64),
        round(fees["grid_fee_local_per_kwh"] * MICRO_PER_UNIT),
        round(fees["grid_fee_remote_per_kwh"] * MICRO_PER_UNIT),
    )
