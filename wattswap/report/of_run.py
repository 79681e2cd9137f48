"""The story of a run, beside the baseline of the same homes without a market."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from market.units import MICRO_PER_UNIT, WH_PER_KWH
from wattswap.errors import InvalidData, UsageError
from wattswap.report.story import Curve, Observed, Outcome, Spread, Story, energy_flows
from wattswap.runs.ac import ac_or_why
from wattswap.runs.chain_reader import MAX_VERIFIED_BLOCKS, chain_facts, stamp, verified_chain
from wattswap.runs.folder import RunFolder
from wattswap.runs.grid_shown import grid_shown
from wattswap.runs.layout import CHAIN, GENESIS

if TYPE_CHECKING:
    import pandas as pd

    from market.mechanism import Promises

WITHOUT = "no market"


def story_of_run(result: RunFolder) -> Story:
    """Read a finished run.

    Raises:
        VerificationFailed: A table or the chain is damaged.
    """
    table = _intervals(result)
    about, figures = result.manifest, result.figures
    name = str(about["mechanism"])
    bills, prices = result.bills(), result.prices().astype(float)
    energy = {f"{way}_kwh": table[f"{way}_wh"] / WH_PER_KWH for way in ("import", "export")}
    intervals = prices.assign(**energy)
    without = intervals.assign(traded_kwh=0.0, price_per_kwh=np.nan)
    observed = Observed(
        deficit_intervals=int((table["operator_surplus_nano"] < 0).sum()),
        surplus_intervals=int((table["operator_surplus_nano"] > 0).sum()),
        worse_than_limit=int(table["worse_orders"].sum()),
        efficiency=figures["allocative_efficiency"],
        volume_share=figures["optimum_volume_share"],
    )
    scenario, zone = result.scenario, result.zone
    baseline = _without_market(figures)
    outcomes = (
        Outcome(
            WITHOUT,
            _spreads(baseline),
            without.tz_convert(zone),
            _bills_without(bills),
            promises=promises_of("retailer_only"),
        ),
        Outcome(name, _spreads(figures), intervals.tz_convert(zone), bills, observed, promises_of(name)),
    )
    return Story(
        kind="run",
        title=result.title,
        currency=result.currency,
        homes=int(about["homes"]),
        start=str(about["start"]),
        intervals=int(about["intervals"]),
        interval_minutes=int(about["interval_minutes"]),
        seeds=(int(about["seed"]),),
        outcomes=outcomes,
        reference=WITHOUT,
        bound=None,
        focus=name,
        curve=lambda start: curve_of_run(result, start),
        flows=energy_flows(_sums(result), in_common=result.metrics.get("battery_gain") is not None),
        seconds=float(about["wall_s"]),
        chain=_chain(result),
        provenance=provenance(about) | {"folder": result.path.name},
        repeat=f"wattswap verify {result.path.name}",
        scenario=scenario,
        notes=tuple(str(note) for note in about["data"].get("notes", ())),
        metered_pv=bool(about["data"].get("metered_pv", True)),
        grid=grid_shown(result),
        ac=ac_or_why(result) if "grid" in scenario else None,
        history=tuple(
            str(note) for key in ("bidding_notes", "control_notes") for note in about["data"].get(key, ())
        ),
    )


def curve_of_run(result: RunFolder, start: datetime | None) -> Curve:
    """The stored book of one interval.

    Raises:
        UsageError: The run has no such interval.
    """
    import pandas as pd

    intervals = result.table("intervals")
    starts = pd.DatetimeIndex(intervals["interval_start"])
    position = row_of(starts, start, intervals["traded_wh"], intervals["orders"])
    row, moment = intervals.iloc[position], starts[position].to_pydatetime()
    rows = result.table("orders", ("interval_start", "==", moment))
    price = row["price_micro_per_kwh"]
    return Curve(
        moment,
        orders_frame(rows),
        None if price != price else float(price) / MICRO_PER_UNIT,
        float(row["traded_wh"]) / WH_PER_KWH,
    )


def row_of(
    starts: pd.DatetimeIndex, start: datetime | None, traded: pd.Series[Any], orders: pd.Series[Any]
) -> int:
    """Row of an interval; by default of that with the most traded energy or, where nothing traded, the most orders.

    Raises:
        UsageError: There is no such interval.
    """
    import pandas as pd

    if start is None:
        return int((traded if float(traded.max()) > 0 else orders).astype(float).argmax())
    row = int(starts.get_indexer(pd.DatetimeIndex([start]))[0])
    if row < 0:
        first, last, asked = (stamp(int(t.timestamp())) for t in (starts[0], starts[-1], start))
        raise UsageError.of("--interval", f"there is no interval {asked}", f"there are {first} to {last}")
    return row


def orders_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """Orders with integer columns as people read them, bids first, best limit first."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "household": rows["household"].astype(str),
            "side": rows["side"].map({1: "buy", -1: "sell"}),
            "energy_kwh": rows["energy_wh"] / WH_PER_KWH,
            "limit_per_kwh": rows["limit_micro_per_kwh"] / MICRO_PER_UNIT,
            "accepted_kwh": rows["accepted_wh"] / WH_PER_KWH,
            "price_per_kwh": (rows["price_micro_per_kwh"] / MICRO_PER_UNIT).where(rows["accepted_wh"] > 0),
        }
    )
    frame["rank"] = -rows["side"].astype(int) * frame["limit_per_kwh"]
    frame = frame.sort_values(["side", "rank"], kind="stable")
    return frame.drop(columns="rank").reset_index(drop=True)


def provenance(about: Mapping[str, Any]) -> dict[str, str]:
    """The provenance of a result, from its manifest or comparison.json."""
    data, source = about.get("data") or {}, about.get("source") or {}
    rows = {
        "scenario": about.get("name"),
        "scenario SHA-256": about.get("scenario_sha256"),
        "data format": data.get("format"),
        "data SHA-256": data.get("sha256"),
        "homes left out": ", ".join(map(str, data.get("dropped_homes") or ())) or "none",
        "estimated readings": f"{100 * float(data.get('estimated_share') or 0):.2f} %",
        "program SHA-256": about.get("code_sha256"),
        "program commit": source.get("commit"),
        "changed since that commit": None if "dirty" not in source else "yes" if source["dirty"] else "no",
        "platform": about.get("platform"),
    }
    rows |= {f"version of {name}": version for name, version in (about.get("versions") or {}).items()}
    return {name: str(value) for name, value in rows.items() if value is not None}


def _intervals(result: RunFolder) -> pd.DataFrame:
    """The intervals table by start.

    Raises:
        InvalidData: The run was made before its table had the columns of all metrics.
    """
    table = result.table("intervals").set_index("interval_start")
    if "optimum_nano" not in table.columns:
        cure = "run its scenario again, or report with the wattswap whose version and commit are in manifest.json"
        raise InvalidData.of(
            str(result.path), "is of an older wattswap, whose tables a report cannot use", cure
        )
    return table


def _sums(result: RunFolder) -> dict[str, float | None]:
    """Energy of all homes over the whole run, with what a battery in common trades outside. [kWh]"""
    table, m = result.table("bills"), result.metrics
    names = ("import", "export", "retail_import", "retail_export", "load", "pv")
    sums = {
        f"{name}_kwh": None
        if table[f"{name}_wh"].isna().any()
        else float(table[f"{name}_wh"].sum()) / WH_PER_KWH
        for name in names
    }
    if m.get("battery_gain") is not None:  # bills have the energy of homes alone
        for way in ("import", "export"):
            sums[f"retail_{way}_kwh"] = float(m[f"settled_with_retailer_{way}_kwh"])
    return sums


def _without_market(m: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of the same homes without a market: nothing is traded, and nobody saves."""
    tariff = ("cost_without_market", "import_price_per_kwh", "feed_in_price_per_kwh")
    meters = ("self_sufficiency", "self_sufficiency_alone", "peak_import_kw", "peak_export_kw")
    none = (
        "saving_by_mechanism",
        "saving_by_imbalance_rule",
        "saving",
        "traded_kwh",
        "welfare",
        "homes_worse_off",
        "operator_surplus",
    )
    shares = ("allocative_efficiency", "traded_share")
    return {
        **{name: m[name] for name in (*tariff, *meters)},
        "cost_with_market": m["cost_without_market"],
        **dict.fromkeys(none, 0.0),
        **{name: None if m[name] is None else 0.0 for name in shares},
        **dict.fromkeys(("price_per_kwh", "gini_saving", "jain_saving")),
    }


def _bills_without(bills: pd.DataFrame) -> pd.DataFrame:
    return bills.assign(
        cost_with_market=bills["cost_without_market"], saving=0.0, bought_kwh=0.0, sold_kwh=0.0
    )


def _spreads(figures: Mapping[str, float | None]) -> dict[str, Spread]:
    return {name: Spread.of([value]) for name, value in figures.items()}


def promises_of(name: str) -> Promises | None:
    """What a registered mechanism promises; None for an unknown one."""
    from market.errors import UnknownName
    from market.mechanism import MECHANISMS

    try:
        return MECHANISMS.get(name).promises
    except UnknownName:
        return None


def _chain(result: RunFolder) -> dict[str, Any]:
    result.unchanged(CHAIN)
    result.unchanged(GENESIS)
    facts = chain_facts(result.path)
    verified = facts["blocks"] <= MAX_VERIFIED_BLOCKS
    signatures = verified_chain(result.path)["signatures"] if verified else None
    return {**facts, "signatures": signatures, "folder": result.path.name}
