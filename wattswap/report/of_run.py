"""The story of a run, beside what the same homes would have paid and drawn without a market."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from market.metrics.fairness import gini, jain
from market.metrics.welfare import allocative_efficiency
from market.settlement.accounts import MONEY_COLUMNS, SYSTEM_ACCOUNTS
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, WH_PER_KWH
from wattswap.errors import UsageError
from wattswap.report.story import Curve, Observed, Outcome, Spread, Story, energy_flows
from wattswap.runs.chain_reader import chain_facts, stamp, verified_chain
from wattswap.runs.folder import RunFolder, read_object
from wattswap.runs.layout import SCENARIO

if TYPE_CHECKING:
    import pandas as pd

    from market.mechanism import Promises

WITHOUT = "no market"
VERIFIED_ON_THE_SPOT = 2_000
"""Blocks up to which the chain is verified before a report speaks of it."""


def story_of_run(result: RunFolder, label: str | None = None) -> Story:
    """Read a finished run.

    Args:
        result: The run.
        label: What to call its mechanism; by default its name.

    Raises:
        VerificationFailed: A table or the chain is damaged.
    """
    about, totals = result.manifest, _community(result)
    name = label or str(about["mechanism"])
    bills, prices = result.bills(), result.prices().astype(float)
    hours = int(about["interval_minutes"]) / 60
    intervals = prices.join(totals[["retail_import_kwh", "retail_export_kwh", "local_kwh"]])
    without = prices.assign(
        traded_kwh=0.0,
        local_kwh=0.0,
        price_per_kwh=np.nan,
        retail_import_kwh=totals["metered_import_kwh"],
        retail_export_kwh=totals["metered_export_kwh"],
    )
    observed, surplus = _observed(result)
    metrics = {**_figures(result), **surplus, **_peaks(intervals, hours)}
    baseline = {**_without_market(result.metrics), **_peaks(without, hours)}
    baseline["allocative_efficiency"] = None if observed.efficiency is None else 0.0
    baseline["traded_share"] = None if surplus["traded_share"] is None else 0.0
    outcomes = (
        Outcome(
            WITHOUT, _spreads(baseline), without, _bills_without(bills), promises=promises_of("retailer_only")
        ),
        Outcome(name, _spreads(metrics), intervals, bills, observed, promises_of(str(about["mechanism"]))),
    )
    return Story(
        kind="run",
        title=str(about["name"]),
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
        flows=energy_flows(_sums(result)),
        seconds=float(about["wall_s"]),
        chain=_chain(result),
        provenance=provenance(about) | {"folder": result.path.name},
        repeat=f"wattswap verify {result.path.name}",
        scenario=read_object(result.path / SCENARIO).get("resolved", {}),
        notes=tuple(str(note) for note in about["data"].get("notes", ())),
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
    """What a result was made of, from its manifest or comparison.json."""
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


def _community(result: RunFolder) -> pd.DataFrame:
    """Energy of all homes together by interval: with the retailer, by the meters, and among neighbours. [kWh]"""
    import pandas as pd

    table = result.table("postings")
    homes = table[~table["account"].isin(SYSTEM_ACCOUNTS)]
    names = ["import_wh", "export_wh", "retail_import_wh", "retail_export_wh"]
    sums = homes.groupby("interval_start", observed=True)[names].sum() / WH_PER_KWH
    return pd.DataFrame(
        {
            "metered_import_kwh": sums["import_wh"],
            "metered_export_kwh": sums["export_wh"],
            "retail_import_kwh": sums["retail_import_wh"],
            "retail_export_kwh": sums["retail_export_wh"],
            "local_kwh": sums["import_wh"] - sums["retail_import_wh"],
        }
    )


def _sums(result: RunFolder) -> dict[str, float | None]:
    """Energy of all homes over the whole run. [kWh]"""
    table = result.table("bills")
    names = ("import", "export", "retail_import", "retail_export", "load", "pv")
    return {
        f"{name}_kwh": None
        if table[f"{name}_wh"].isna().any()
        else float(table[f"{name}_wh"].sum()) / WH_PER_KWH
        for name in names
    }


def _figures(result: RunFolder) -> dict[str, float | None]:
    bills = result.table("bills")
    money = bills[list(MONEY_COLUMNS)].sum(axis=1) - bills["baseline_nano"]
    saving_nano = money.to_numpy(dtype=np.int64)
    fair = {"gini_saving": gini(saving_nano), "jain_saving": jain(saving_nano)}
    numbers = {k: v for k, v in result.metrics.items() if v is None or isinstance(v, int | float)}
    return fair | numbers


def _peaks(intervals: pd.DataFrame, hours: float) -> dict[str, float | None]:
    return {
        "peak_import_kw": float(intervals["retail_import_kwh"].max()) / hours,
        "peak_export_kw": float(intervals["retail_export_kwh"].max()) / hours,
    }


def _without_market(m: Mapping[str, Any]) -> dict[str, float | None]:
    cost = m["cost_without_market"]
    return {
        "cost_without_market": cost,
        "cost_with_market": cost,
        "saving": 0.0,
        "traded_kwh": 0.0,
        "welfare": 0.0,
        "homes_worse_off": 0,
        "operator_surplus": 0.0,
        "price_per_kwh": None,
        "gini_saving": None,
        "jain_saving": None,
        "self_sufficiency": m["self_sufficiency_alone"],
        "import_price_per_kwh": m["import_price_per_kwh"],
        "feed_in_price_per_kwh": m["feed_in_price_per_kwh"],
    }


def _bills_without(bills: pd.DataFrame) -> pd.DataFrame:
    return bills.assign(
        cost_with_market=bills["cost_without_market"], saving=0.0, bought_kwh=0.0, sold_kwh=0.0
    )


def _spreads(figures: Mapping[str, float | None]) -> dict[str, Spread]:
    return {name: Spread.of([value]) for name, value in figures.items()}


def promises_of(name: str) -> Promises | None:
    """What a registered mechanism promises; None for an unknown one."""
    from market.errors import UnknownMechanism
    from wattswap.plugins import mechanism

    try:
        return mechanism(name).promises
    except UnknownMechanism:
        return None


def _observed(result: RunFolder) -> tuple[Observed, dict[str, float | None]]:
    """Hold every stored order and interval against the promises, and clear every book again for the optimum."""
    intervals, orders = result.table("intervals"), result.table("orders")
    surplus = intervals["operator_surplus_nano"]
    gain = _gains(result, orders)
    welfare_nano, traded_wh = _optimum(orders)
    efficiency = allocative_efficiency(sum(intervals["welfare_nano"].tolist()), welfare_nano)
    observed = Observed(
        deficit_intervals=int((surplus < 0).sum()),
        surplus_intervals=int((surplus > 0).sum()),
        worse_than_limit=int((gain["gain_nano"] < 0).sum()),
        efficiency=efficiency,
        volume_share=int(intervals["traded_wh"].sum()) / traded_wh if traded_wh else None,
    )
    by_side = gain.groupby("side")["gain_nano"].sum() / NANO_PER_UNIT
    split = {
        "buyer_surplus": float(by_side.get(1, 0.0)),
        "seller_surplus": float(by_side.get(-1, 0.0)),
        "operator_surplus": int(surplus.sum()) / NANO_PER_UNIT,
        "allocative_efficiency": efficiency,
        **_two_prices(orders),
        "traded_share": _traded_share(orders),
    }
    return observed, split


def _two_prices(orders: pd.DataFrame) -> dict[str, float | None]:
    """What a traded kWh costs buyers and brings sellers, rebates included and fees not."""
    prices: dict[str, float | None] = {}
    for name, side in (("buyer", 1), ("seller", -1)):
        own = orders[orders["side"] == side]
        rebate_nano = side * own["charge_nano"].clip(upper=0)
        turnover_nano = int((own["accepted_wh"] * own["price_micro_per_kwh"] + rebate_nano).sum())
        energy_wh = int(own["accepted_wh"].sum())
        price = turnover_nano / energy_wh / MICRO_PER_UNIT if energy_wh else None
        prices[f"{name}_price_per_kwh"] = price
    return prices


def _traded_share(orders: pd.DataFrame) -> float | None:
    """Traded energy over what could be traded if price were no matter."""
    sums = orders.groupby(["interval_start", "side"], observed=True)["energy_wh"].sum().unstack(fill_value=0)
    possible_wh = int(sums.min(axis=1).sum()) if len(sums.columns) == 2 else 0
    return int(orders["accepted_wh"].sum()) / 2 / possible_wh if possible_wh else None


def _gains(result: RunFolder, orders: pd.DataFrame) -> pd.DataFrame:
    """What each home that traded gained in an interval: its energy at its limit, less what it paid with all fees."""
    traded = orders[orders["accepted_wh"] > 0].rename(columns={"household": "account"})
    value_nano = traded["side"].astype("int64") * traded["accepted_wh"] * traded["limit_micro_per_kwh"]
    keys = ["interval_start", "account"]
    gain = traded.assign(gain_nano=value_nano, account=traded["account"].astype(str))
    gain = gain.groupby(keys).agg(gain_nano=("gain_nano", "sum"), side=("side", "first"))
    posted = result.table("postings")
    posted = posted[(posted["bought_wh"] > 0) | (posted["sold_wh"] > 0)]
    paid = posted.assign(account=posted["account"].astype(str)).set_index(keys)["trade_nano"]
    return gain.assign(gain_nano=gain["gain_nano"] + paid.reindex(gain.index).fillna(0))


def _optimum(orders: pd.DataFrame) -> tuple[int, int]:
    """Largest welfare and its volume, all intervals together; without the limits of a grid. [nano, Wh]"""
    from market.auctions.uniform import clear_exact
    from market.book import OrderBook
    from market.rules import MarketRules

    rules, welfare_nano, traded_wh = MarketRules(), 0, 0
    columns = [orders[n].to_numpy() for n in ("side", "energy_wh", "limit_micro_per_kwh")]
    starts = np.flatnonzero(orders["interval_start"].ne(orders["interval_start"].shift()).to_numpy())
    for first, last in zip(starts, [*starts[1:], len(orders)], strict=True):
        side, energy, limit = (column[first:last] for column in columns)
        book = OrderBook.from_columns(np.arange(last - first), side, energy, limit)
        clearing = clear_exact(book, rules)
        welfare_nano += clearing.welfare_nano
        traded_wh += clearing.traded_wh(book)
    return welfare_nano, traded_wh


def _chain(result: RunFolder) -> dict[str, Any]:
    facts = chain_facts(result.path)
    verified = facts["blocks"] <= VERIFIED_ON_THE_SPOT
    signatures = verified_chain(result.path)["signatures"] if verified else None
    return {**facts, "signatures": signatures, "folder": result.path.name}
