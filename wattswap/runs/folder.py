"""A finished run: its folder, its tables as frames, its bills and its summary."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH
from wattswap.errors import RunNotFound, UsageError, VerificationFailed, suggest
from wattswap.runs.layout import COMPARISON, MANIFEST, METRICS, SCENARIO, TABLE_NAMES, table_file
from wattswap.scenario.load import Scenario, from_resolved

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


CURE = "restore the folder from a copy, or run the scenario again"


class RunFolder:
    """A run folder, read when asked.

    Frames carry kWh and currency units; the Parquet files beside them keep the integers.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if (self.path / COMPARISON).is_file():
            cure = "read it as a Comparison, or with `wattswap show` and `wattswap report`"
            raise RunNotFound.of(str(self.path), "a comparison is here, and no run", cure)
        if not (self.path / MANIFEST).is_file():
            raise RunNotFound.of(
                str(self.path),
                "no run is here (there is no manifest.json)",
                "give the folder that `wattswap run` printed",
            )

    def __repr__(self) -> str:
        m = self.metrics
        return (
            f"<run {self.path.name}: {self.manifest['mechanism']}, {m['homes']} homes, {m['intervals']} intervals,"
            f" {m['traded_kwh']:.1f} kWh traded, {m['saving']:.2f} {self.currency} saved>"
        )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was run, with which versions, and the hashes of what came out."""
        return read_object(self.path / MANIFEST)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The community's figures, in kWh and currency; a figure that does not exist is None."""
        return read_object(self.path / METRICS)

    @property
    def currency(self) -> str:
        """Currency code of the scenario."""
        return str(self.manifest["currency"])

    def table(self, name: str, where: tuple[str, str, object] | None = None) -> pd.DataFrame:
        """One stored table with its integer columns: orders, readings, postings, intervals or bills.

        Args:
            name: Which table.
            where: Only rows for which this holds, such as ("account", "==", "home-01").

        Raises:
            UsageError: No such table.
        """
        if name not in TABLE_NAMES:
            raise UsageError.of("table", f"no table {name!r}", suggest(name, TABLE_NAMES))
        frame: pd.DataFrame = read_table(self.path, name, where).to_pandas()
        return frame

    def summary(self) -> pd.DataFrame:
        """The community's figures as one row; the currency is in `.attrs`."""
        import pandas as pd

        frame = pd.DataFrame([self.metrics], index=[self.manifest["mechanism"]])
        frame.attrs["currency"] = self.currency
        return frame

    def bills(self) -> pd.DataFrame:
        """What each home pays with and without the market. [currency, kWh]"""
        return bills_frame(self.table("bills"), self.currency)

    def prices(self) -> pd.DataFrame:
        """Price and traded energy of each interval; the price is missing where nothing traded."""
        frame = self.table("intervals").set_index("interval_start")
        names = ("price", "lo", "hi", "import", "feed_in")
        out = frame[[f"{n}_micro_per_kwh" for n in names]].astype("Float64") / MICRO_PER_UNIT
        out.columns = [f"{n}_per_kwh" for n in names]
        out["traded_kwh"] = frame["traded_wh"] / WH_PER_KWH
        out.attrs["currency"] = self.currency
        return out


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VerificationFailed.of(str(path), f"is damaged: {error}", CURE) from None
    if not isinstance(loaded, dict):
        raise VerificationFailed.of(str(path), "is damaged: it holds no JSON object", CURE)
    return loaded


def stored_scenario(folder: Path) -> Scenario:
    """The scenario that a run folder was made from.

    Raises:
        VerificationFailed: The file is damaged.
        InvalidScenario: It cannot run any more: the data are gone, or this wattswap is another one.
    """
    origin = read_object(folder / SCENARIO)
    return from_resolved(origin.get("resolved", {}), origin.get("base", ""))


def read_table(folder: Path, name: str, where: tuple[str, str, object] | None = None) -> pa.Table:
    """Read a table of a run folder, or the rows of it for which `where` holds.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / table_file(name)
    try:
        return pq.read_table(path, filters=None if where is None else [where])
    except (OSError, pa.ArrowException) as error:
        raise VerificationFailed.of(str(path), f"is damaged: {error}", CURE) from None


def bills_frame(table: pd.DataFrame, currency: str) -> pd.DataFrame:
    """Turn the integer bills into one row a home in kWh and currency; cost > 0 is paid by the home."""
    import pandas as pd

    frame = table.set_index("household")
    total_nano = frame[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum(axis=1)
    energy = frame[["import_wh", "export_wh", "bought_wh", "sold_wh"]] / WH_PER_KWH
    out = energy.rename(columns=lambda name: name.replace("_wh", "_kwh"))
    without = -frame["baseline_nano"] / NANO_PER_UNIT
    out["cost_without_market"] = without
    out["cost_with_market"] = -total_nano / NANO_PER_UNIT
    out["saving"] = (total_nano - frame["baseline_nano"]) / NANO_PER_UNIT
    out["saving_percent"] = [percent_of(s, w) for s, w in zip(out["saving"], without, strict=True)]
    out["saving_percent"] = out["saving_percent"].astype(float)
    out["imbalance_cost"] = frame["imbalance_cost_nano"] / NANO_PER_UNIT
    out = pd.DataFrame(out)
    out.attrs["currency"] = currency
    return out


def percent_of(saving: float, without: float) -> float | None:
    """The saving in percent of the bill without a market; None where that bill is next to nothing beside it."""
    return 100 * saving / abs(without) if abs(without) * 10 > abs(saving) else None


def community_metrics(
    bills: pd.DataFrame, intervals: pd.DataFrame, system_nano: dict[str, int]
) -> dict[str, Any]:
    """Sum a run up.

    Args:
        bills: The integer bills, one row a home.
        intervals: The integer intervals table.
        system_nano: Sum of all postings of the retailer, the grid operator and the market operator.

    Returns:
        Figures in kWh and currency. `price_per_kwh` is weighted by energy. `self_sufficiency` is the share of
        consumption that did not come from the retailer, netted per interval; `self_sufficiency_alone` is what the
        homes reach without each other. Both are None where the data do not tell the load behind the meter.
    """
    sums = bills.drop(columns="household").sum()
    traded_wh = int(intervals["traded_wh"].sum())
    priced = intervals.dropna(subset=["price_micro_per_kwh"])
    # Python integers: welfare counts stated limits, which may be any amount.
    value = int((priced["price_micro_per_kwh"].astype(object) * priced["traded_wh"].astype(object)).sum())
    welfare_nano = int(intervals["welfare_nano"].astype(object).sum())
    without, with_market = (
        -int(sums["baseline_nano"]),
        -int(sums[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum()),
    )
    load_wh = None if bills["load_wh"].isna().any() else int(sums["load_wh"])
    net_import_wh = int(sums["retail_import_wh"])

    def share_not_from(outside_wh: int) -> float | None:
        return None if not load_wh else 1 - outside_wh / load_wh

    saving_nano = without - with_market
    return {
        "homes": len(bills),
        "intervals": len(intervals),
        "intervals_with_trade": int((intervals["traded_wh"] > 0).sum()),
        "orders": int(intervals["orders"].sum()),
        "traded_kwh": traded_wh / WH_PER_KWH,
        "price_per_kwh": value / traded_wh / MICRO_PER_UNIT if traded_wh else None,
        "import_price_per_kwh": float(intervals["import_micro_per_kwh"].mean()) / MICRO_PER_UNIT,
        "feed_in_price_per_kwh": float(intervals["feed_in_micro_per_kwh"].mean()) / MICRO_PER_UNIT,
        "welfare": welfare_nano / NANO_PER_UNIT,
        "load_kwh": None if load_wh is None else load_wh / WH_PER_KWH,
        "metered_import_kwh": int(sums["import_wh"]) / WH_PER_KWH,
        "metered_export_kwh": int(sums["export_wh"]) / WH_PER_KWH,
        "retail_import_kwh": net_import_wh / WH_PER_KWH,
        "retail_export_kwh": int(sums["retail_export_wh"]) / WH_PER_KWH,
        "self_sufficiency": share_not_from(net_import_wh),
        "self_sufficiency_alone": share_not_from(int(sums["import_wh"])),
        "cost_without_market": without / NANO_PER_UNIT,
        "cost_with_market": with_market / NANO_PER_UNIT,
        "saving": saving_nano / NANO_PER_UNIT,
        "saving_percent": percent_of(saving_nano, without),
        "imbalance_cost": int(sums["imbalance_cost_nano"]) / NANO_PER_UNIT,
        "homes_worse_off": int((_saving(bills) < 0).sum()),
        **{f"{account}_income": nano / NANO_PER_UNIT for account, nano in system_nano.items()},
    }


def _saving(bills: pd.DataFrame) -> pd.Series[int]:
    total = bills[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum(axis=1)
    saving: pd.Series[int] = total - bills["baseline_nano"]
    return saving
