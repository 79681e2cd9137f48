"""Bills, parts of the saving and figures of a run, by docs/explanation/settlement.md and docs/reference/metrics.md.

All of it from three tables alone: what the meters show, what was accepted of each order, and the tariff. Every step is
a column of one frame with a row for each interval and home, in integers; nothing is imported from the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

AT, HOME = "interval_start", "household"
BILLS = (
    "import_wh", "export_wh", "bought_wh", "sold_wh", "local_wh", "retail_import_wh", "retail_export_wh",
    "trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano",
    "baseline_nano", "imbalance_cost_nano", "netting_nano",
)  # fmt: skip
MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Terms:
    """What a scenario says about money and time.

    Args:
        import_price: Price of each interval by its start, without VAT. [micro-currency/kWh]
        fees: Local and remote grid fee, without levies and VAT. [micro-currency/kWh]
        levies: Local and remote levies, without VAT. [micro-currency/kWh]
        vat: Percent.
        standing: Without VAT. [micro-currency/day]
        peak: Without VAT. [micro-currency/(kW month)]
        rule: `market.imbalance`.
        shares: `market.imbalance_shares`.
        lead: Intervals whose readings are not known at gate closure.
        seed: Decides ties.
        members: From when and until when a home is a member, of those that are not always.
    """

    import_price: pd.Series[int]
    feed_in: int
    fees: tuple[int, int] = (0, 0)
    rule: str = "pooled"
    shares: str = "throughput"
    zone: str = "UTC"
    lead: int = 1
    minutes: int = 15
    seed: int = 1
    levies: tuple[int, int] = (0, 0)
    vat: str = "0"
    standing: int = 0
    peak: int = 0

    members: Mapping[str, tuple[pd.Timestamp | None, pd.Timestamp | None]] = field(default_factory=dict)

    def gross(self, net: int) -> int:
        """A price or rate with VAT, rounded as in Decimal arithmetic."""
        exact = Decimal(int(net)) * (100 + Decimal(self.vat)) / 100
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def settled(
    readings: pd.DataFrame, orders: pd.DataFrame, history: pd.DataFrame, terms: Terms
) -> pd.DataFrame:
    """One row for each interval and home, with all that the home is credited. [Wh, nano-currency]

    Args:
        readings: import_wh and export_wh by interval_start and household, the households in roster order.
        orders: household, side, accepted_wh, price_micro_per_kwh and charge_nano of each order.
        history: Metered import plus export by time (rows) and household, from before the run to its end. [Wh]
    """
    f = readings[[AT, HOME, "import_wh", "export_wh"]].copy()
    f[HOME] = f[HOME].astype(str)
    f = f.merge(_trades(orders), how="left", on=[AT, HOME]).fillna(
        {"bought_wh": 0, "sold_wh": 0, "trade_nano": 0}
    )
    f = f.astype(dict.fromkeys(("bought_wh", "sold_wh", "trade_nano"), "int64"))
    f["p_net"] = f[AT].map(terms.import_price).astype("int64")
    f["p_in"] = f["p_net"].map({price: terms.gross(price) for price in f["p_net"].unique()}).astype("int64")
    f["p_out"] = terms.feed_in
    local_fee, remote_fee = (
        terms.gross(fee + levy) for fee, levy in zip(terms.fees, terms.levies, strict=True)
    )
    f["cap"] = f["p_in"] + remote_fee - local_fee
    f["w"] = f["cap"] - f["p_out"]

    # Each meter and each home's trades are netted first.
    f["own"] = f[["import_wh", "export_wh"]].min(axis=1)
    f["net"], f["trade"] = f["import_wh"] - f["export_wh"], f["bought_wh"] - f["sold_wh"]
    f["need"], f["offer"] = (f["net"] - f["trade"]).clip(lower=0), (f["trade"] - f["net"]).clip(lower=0)
    f["kept"] = np.where(f["net"] * f["trade"] > 0, np.minimum(f["net"].abs(), f["trade"].abs()), 0)
    f["rank"] = _ranks(f, terms.seed)
    f["part"] = 1
    for name, (since, until) in terms.members.items():
        f.loc[(f[HOME] == name) & ~_within(f[AT], since, until), "part"] = 0
    assert not f.loc[f["part"] == 0, ["import_wh", "export_wh", "bought_wh", "sold_wh"]].any(axis=None)
    f["n"] = np.minimum(_sum(f, "need"), _sum(f, "offer"))
    if terms.rule == "retailer":
        f["n"] = 0
    f.loc[f["w"] < 0, "n"] = 0
    f["in"], f["out"] = _split(f, f["need"], f["n"]), _split(f, f["offer"], f["n"])
    f["local_wh"] = f["in"] - f["out"]
    f["imbalance_nano"] = _imbalance(f, orders, history, terms)
    f["retail_import_wh"] = f["own"] + f["need"] - f["in"]
    f["retail_export_wh"] = f["own"] + f["offer"] - f["out"]
    f["retail_nano"] = f["retail_export_wh"] * f["p_out"] - f["retail_import_wh"] * f["p_in"]
    f["grid_fee_nano"] = -(f["import_wh"] * local_fee + f["retail_import_wh"] * (remote_fee - local_fee))
    f["in_local"] = f["import_wh"] - f["retail_import_wh"]
    f["credit_nano"] = f["trade_nano"] + f["imbalance_nano"] + f["retail_nano"] + f["grid_fee_nano"]

    f["baseline_nano"] = f["export_wh"] * f["p_out"] - f["import_wh"] * (f["p_in"] + remote_fee)
    # The same deviations with the retailer would have cost this; the rest of the saving is the mechanism's.
    f["netting_nano"] = f["imbalance_nano"] - (f["out"] * f["p_out"] - f["in"] * f["cap"])
    f["imbalance_cost_nano"] = _confirmed(f, local_fee, remote_fee) - f["credit_nano"]
    m = np.minimum(f["net"].clip(lower=0).groupby(f[AT]).transform("sum"),
                   (-f["net"]).clip(lower=0).groupby(f[AT]).transform("sum"))  # fmt: skip
    f["bound_nano"] = m * f["w"].clip(lower=0)
    return f


def bills(lines: pd.DataFrame) -> pd.DataFrame:
    """The columns of bills.parquet, a row a home."""
    return lines.groupby(HOME, sort=False)[list(BILLS)].sum()


def charges(lines: pd.DataFrame, terms: Terms) -> pd.DataFrame:
    """Standing and peak charges, and net fees, levies and VAT of the bill, a row a home; all of them, also where 0."""
    zone, step = ZoneInfo(terms.zone), pd.Timedelta(minutes=terms.minutes)
    starts = pd.Series(pd.DatetimeIndex(lines[AT].unique()).sort_values())
    local = starts.dt.tz_convert(zone)
    days = pd.DataFrame({"at": starts, "midnight": local.dt.normalize(), "month": local.dt.strftime("%Y-%m")})
    days["next"] = (days["midnight"] + pd.DateOffset(days=1)).dt.normalize()
    days["place"] = (days["at"] - days["midnight"]) // step
    days["whole"] = (days["next"] - days["midnight"]) // step
    days["share"] = [Fraction(1, int(whole)) for whole in days["whole"]]
    out = pd.DataFrame(index=lines[HOME].drop_duplicates())
    part_of = {home: days["at"].isin(own[AT]) for home, own in lines[lines["part"] == 1].groupby(HOME)}

    def fixed(rate: int) -> list[int]:
        """Each interval by itself: what the running share of its day grows by."""
        grows = pd.Series(
            [
                floor(Fraction(rate * 1000 * (i + 1), n)) - floor(Fraction(rate * 1000 * i, n))
                for i, n in zip(days["place"].tolist(), days["whole"].tolist(), strict=True)
            ]
        )
        return [int(grows[part_of[home]].sum()) for home in out.index]

    def highest(rate: int) -> list[int]:
        """The highest import of each month as kW, times the days of the month that are covered."""
        month = lines[AT].map(dict(zip(days["at"], days["month"], strict=True)))
        top = lines.groupby([month, lines[HOME]], sort=False)["import_wh"].max()
        share = {home: days[part].groupby("month")["share"].sum() for home, part in part_of.items()}
        length = {name: pd.Period(name).days_in_month for name in days["month"].unique()}
        exact = {
            (name, home): rate
            * 1000
            * Fraction(int(wh) * 60, terms.minutes * 1000)
            * share[home].get(name, 0)
            / length[name]
            for (name, home), wh in top.items()
        }
        return [sum(round(value) for (_, one), value in exact.items() if one == home) for home in out.index]

    part = lines.assign(
        fee=lines["in_local"] * terms.fees[0] + lines["retail_import_wh"] * terms.fees[1],
        levy=lines["in_local"] * terms.levies[0] + lines["retail_import_wh"] * terms.levies[1],
        energy=lines["retail_export_wh"] * lines["p_out"] - lines["retail_import_wh"] * lines["p_net"],
    ).groupby(HOME, sort=False)[["fee", "levy", "energy", "retail_nano", "grid_fee_nano"]].sum()  # fmt: skip
    out["standing_nano"] = [-nano for nano in fixed(terms.gross(terms.standing))]
    out["peak_nano"] = [-nano for nano in highest(terms.gross(terms.peak))]
    out["grid_fee_net_nano"], out["levy_nano"] = -part["fee"], -part["levy"]
    net = part["energy"] - part["fee"] - part["levy"] - fixed(terms.standing) - highest(terms.peak)
    posted = part["retail_nano"] + part["grid_fee_nano"]
    out["vat_nano"] = posted + out["standing_nano"] + out["peak_nano"] - net
    return out


def figures(
    lines: pd.DataFrame,
    readings: pd.DataFrame,
    orders: pd.DataFrame,
    minutes: int,
    emission: float | None = None,
    fixed_nano: int = 0,
) -> dict[str, float | None]:
    """Figures of the page of metrics about money and energy, in its units; money is still in nano-currency.

    Args:
        fixed_nano: Standing and peak charges of all homes, as they are credited.
    """
    home, step = (
        lines.groupby(HOME, sort=False).sum(numeric_only=True),
        lines.groupby(AT).sum(numeric_only=True),
    )
    saving = home["credit_nano"] - home["baseline_nano"]
    accepted = orders[orders["accepted_wh"] > 0]
    paid = accepted["accepted_wh"] * accepted["price_micro_per_kwh"].astype("int64")
    paid += accepted["side"] * accepted["charge_nano"].clip(upper=0)
    traded = int(home["bought_wh"].sum())
    community = step["net"]
    drawn, given = community.clip(lower=0), (-community).clip(lower=0)
    kw = 60 / minutes / 1000
    load, pv = readings["load_wh"].sum(min_count=1), readings["pv_wh"].sum(min_count=1)
    without, saved = -int(home["baseline_nano"].sum()) - fixed_nano, int(saving.sum())
    gains = bool((saving >= 0).all() and (saving > 0).any())
    x, n = saving.sort_values().to_numpy(dtype=np.float64), len(saving)
    operator = -int(home["trade_nano"].sum() + home["imbalance_nano"].sum())
    outside = max(int(home["trade_nano"].sum()), 0)  # sellers get more than buyers pay
    return {
        "cost_without_market": without,
        "cost_with_market": -int(home["credit_nano"].sum()) - fixed_nano,
        "saving": saved,
        "saving_by_mechanism": saved - int(home["netting_nano"].sum()) - outside,
        "saving_from_outside": outside,
        "saving_by_imbalance_rule": int(home["netting_nano"].sum()),
        "saving_bound": int(lines.drop_duplicates(AT)["bound_nano"].sum()),
        "saving_with_operator_surplus": saved + operator,
        "imbalance_cost": int(home["imbalance_cost_nano"].sum()),
        "retailer_income": -int(home["retail_nano"].sum()),
        "grid_operator_income": -int(home["grid_fee_nano"].sum()),
        "market_operator_income": operator,
        "saving_percent": 100 * saved / abs(without) if abs(without) * 10 > abs(saved) else None,
        "homes_worse_off": int((saving < 0).sum()),
        "participation_share": float((saving >= 0).mean()),
        "gini_saving": float(np.abs(x[:, None] - x).sum() / (2 * n * n * x.mean())) if gains else None,
        "jain_saving": float(x.sum() ** 2 / (n * (x**2).sum())) if gains else None,
        "min_max_saving": float(x[0] / x[-1]) if gains else None,
        "metered_import_kwh": home["import_wh"].sum() / 1000,
        "metered_export_kwh": home["export_wh"].sum() / 1000,
        "settled_with_retailer_import_kwh": home["retail_import_wh"].sum() / 1000,
        "settled_with_retailer_export_kwh": home["retail_export_wh"].sum() / 1000,
        "traded_kwh": traded / 1000,
        "local_kwh": (traded + int(lines["in"].sum())) / 1000,
        "delivered_kwh": int(lines.groupby(AT)["net"].agg(_exchanged).sum()) / 1000,
        "peak_import_kw": drawn.max() * kw,
        "peak_export_kw": given.max() * kw,
        "peak_to_average": drawn.max() / drawn.mean() if drawn.any() else None,
        "ramping_kw": community.diff().abs().mean() * kw if len(step) > 1 else None,
        "co2_kg": None if emission is None else drawn.sum() / 1000 * emission / 1000,
        "self_sufficiency": 1 - drawn.sum() / load if load > 0 else None,
        "self_sufficiency_alone": 1 - home["import_wh"].sum() / load if load > 0 else None,
        "self_consumption": 1 - given.sum() / pv if pv > 0 else None,
        "buyer_price_per_kwh": paid[accepted["side"] > 0].sum() / traded / 1e6 if traded else None,
        "seller_price_per_kwh": paid[accepted["side"] < 0].sum() / traded / 1e6 if traded else None,
        "hhi_buyers": float(((100 * home["bought_wh"] / traded) ** 2).sum()) if traded else None,
        "hhi_sellers": float(((100 * home["sold_wh"] / traded) ** 2).sum()) if traded else None,
        "intervals_with_trade": int((step["bought_wh"] > 0).sum()),
        "intervals": len(step),
        "homes": len(home),
        "orders": len(orders),
    }  # fmt: skip


def _exchanged(net: pd.Series[int]) -> int:
    """What meters that each show one direction could give each other in an interval. [Wh]"""
    return int(min(net[net > 0].sum(), -net[net < 0].sum()))


MONEY = (
    "saving_from_outside",
    "cost_without_market", "cost_with_market", "saving", "saving_by_mechanism", "saving_by_imbalance_rule",
    "saving_bound", "saving_with_operator_surplus", "imbalance_cost", "retailer_income", "grid_operator_income",
    "market_operator_income",
)  # fmt: skip


def windows(starts: pd.Series, zone: str, base: int, peak: int, hours: tuple[int, int]) -> pd.Series:
    """Import price by interval start: `peak` from one local hour to another, `base` else. [micro-currency/kWh]"""
    unique = pd.DatetimeIndex(starts.unique())
    hour = unique.tz_convert(zone).hour
    return pd.Series(np.where((hour >= hours[0]) & (hour < hours[1]), peak, base), index=unique)


def _trades(orders: pd.DataFrame) -> pd.DataFrame:
    """Bought, sold and what the trades credit, by interval and home."""
    o = orders.assign(
        household=orders[HOME].astype(str), price=orders["price_micro_per_kwh"].fillna(0).astype("int64")
    )
    buys = o["side"] > 0
    o["bought_wh"], o["sold_wh"] = o["accepted_wh"].where(buys, 0), o["accepted_wh"].where(~buys, 0)
    o["trade_nano"] = -(o["side"] * o["accepted_wh"] * o["price"] + o["charge_nano"])
    return o.groupby([AT, HOME], observed=True, as_index=False)[["bought_wh", "sold_wh", "trade_nano"]].sum()


def _imbalance(f: pd.DataFrame, orders: pd.DataFrame, history: pd.DataFrame, terms: Terms) -> pd.Series:
    """What the rule credits each home for its netted deviations."""
    if terms.rule != "pooled":
        middle = (f["cap"] + f["p_out"]) // 2
        price = (
            f[AT].map(_prices(orders)).fillna(middle).astype("int64")
            if terms.rule == "clearing_price"
            else middle
        )
        return (f["out"] - f["in"]) * price
    at_retailers = f["out"] * f["p_out"] - f["in"] * f["cap"]
    weight = f["part"]
    if terms.shares in ("throughput", "leave_one_out"):
        weight = _throughput(f, history, terms)
    if terms.shares == "delivered":
        weight = f["kept"]
    weight = weight * f["part"]
    weight = weight.where(weight.groupby(f[AT]).transform("sum") > 0, f["part"])
    if terms.shares == "leave_one_out":
        others = np.minimum(_sum(f, "need") - f["need"], _sum(f, "offer") - f["offer"]).where(f["n"] > 0, 0)
        whole = weight.groupby(f[AT]).transform("sum")
        exact = zip(others * f["w"], weight, whole, strict=True)
        return at_retailers + [int(gain) * int(a) // int(all_) for gain, a, all_ in exact]
    return at_retailers + _split(f, weight, f["n"] * f["w"])


def _throughput(f: pd.DataFrame, history: pd.DataFrame, terms: Terms) -> pd.Series:
    """Flow of the 28 days known when the first gate of the local day of each interval closes.

    Of each home only what it has as a member counts; readings that it lacks as one, as if they were like the others.
    """
    history = history.astype("float64")
    member = history.notna() | True
    for name, (since, until) in terms.members.items():
        member[name] = _within(history.index, since, until)
    history = history.where(member)
    step = pd.Timedelta(minutes=terms.minutes)
    days = {}
    for at in pd.DatetimeIndex(f[AT].unique()):
        midnight = at.tz_convert(ZoneInfo(terms.zone)).normalize().tz_convert("UTC")
        if midnight not in days:
            end = midnight.ceil(step) - terms.lead * step
            before = history[(history.index < end) & (history.index >= end - pd.Timedelta(days=28))]
            whole = before.sum().astype("int64") * member.loc[before.index].sum()
            days[midnight] = whole // before.notna().sum().clip(lower=1)
    day = f[AT].dt.tz_convert(ZoneInfo(terms.zone)).dt.normalize().dt.tz_convert("UTC")
    weights = pd.DataFrame(days).T.stack()
    return pd.Series(weights.reindex(pd.MultiIndex.from_arrays([day, f[HOME]])).to_numpy(), f.index).astype(
        "int64"
    )


def _within(
    at: pd.Series | pd.DatetimeIndex, since: pd.Timestamp | None, until: pd.Timestamp | None
) -> np.ndarray:
    return np.array([(since is None or since <= t) and (until is None or t < until) for t in at], dtype=bool)


def _prices(orders: pd.DataFrame) -> pd.Series:
    """The price of each interval: the middle of what a kWh cost buyers and brought sellers, rounded half up."""
    o = orders[orders["accepted_wh"] > 0]
    paid = o["accepted_wh"] * o["price_micro_per_kwh"].astype("int64") + o["side"] * o["charge_nano"].clip(
        upper=0
    )
    both, energy = paid.groupby(o[AT]).sum(), o["accepted_wh"].groupby(o[AT]).sum()
    return (2 * both + energy) // (2 * energy)


def _confirmed(f: pd.DataFrame, local_fee: int, remote_fee: int) -> pd.Series:
    """The hypothetical bill: trades as far as the meter confirms them, all else with the retailer."""
    per_wh = f["trade_nano"] // f["trade"].abs().clip(lower=1)
    kept_nano = f["trade_nano"].where(f["kept"] == f["trade"].abs(), f["kept"] * per_wh)
    k_in, k_out = f["kept"].where(f["trade"] > 0, 0), f["kept"].where(f["trade"] < 0, 0)
    rest = (f["export_wh"] - k_out) * f["p_out"] - (f["import_wh"] - k_in) * (f["p_in"] + remote_fee)
    return kept_nano + rest - k_in * local_fee


def _sum(f: pd.DataFrame, name: str) -> pd.Series:
    return f.groupby(AT)[name].transform("sum")


def _split(f: pd.DataFrame, weight: pd.Series, total: pd.Series) -> pd.Series:
    """Parts of each interval's total in whole units by largest remainder; ties by the draw."""
    whole = weight.groupby(f[AT]).transform("sum").clip(lower=1)
    assert float(weight.max()) * float(total.max()) < 2**62
    part = weight * total // whole
    over = weight * total - part * whole
    left = total - part.groupby(f[AT]).transform("sum")
    turn = pd.DataFrame({AT: f[AT], "over": -over, "rank": f["rank"]}).sort_values([AT, "over", "rank"])
    place = turn.groupby(AT).cumcount().reindex(f.index)
    return part + ((place < left) & (weight.groupby(f[AT]).transform("sum") > 0)).astype("int64")


def _mixed(word: int) -> int:
    """The mixer of splitmix64."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def _ranks(f: pd.DataFrame, seed: int) -> pd.Series:
    """The public draw of decision 7: a word of splitmix64 for seed, interval and home, and the rank of the word."""
    homes = f.groupby(AT).cumcount()
    second = f[AT].astype("datetime64[s, UTC]").astype("int64")
    state = {s: _mixed((_mixed((_mixed((seed + GOLDEN) & MASK) + s + GOLDEN) & MASK) + 1 + GOLDEN) & MASK)
             for s in second.unique().tolist()}  # fmt: skip
    words = [
        _mixed((state[s] + h * GOLDEN) & MASK) for s, h in zip(second.tolist(), homes.tolist(), strict=True)
    ]
    return pd.Series(words, index=f.index, dtype="uint64").groupby(f[AT]).rank(method="first").astype("int64")
