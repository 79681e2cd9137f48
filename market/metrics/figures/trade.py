"""What was ordered and traded, and the welfare of it."""

from __future__ import annotations

import numpy as np

from market.metrics import concentration
from market.metrics import welfare as formulas
from market.metrics.table import Result, metric

NO_BOUND = "no trade was possible, so there is no optimum"


@metric(unit="homes")
def homes(r: Result) -> int:
    """Number of homes."""
    return len(r.bills["baseline_nano"])


@metric(unit="intervals")
def intervals(r: Result) -> int:
    """Number of intervals."""
    return len(r.intervals["traded_wh"])


@metric(unit="intervals", better="higher")
def intervals_with_trade(r: Result) -> int:
    """Intervals in which anything was traded."""
    return int((r.intervals["traded_wh"] > 0).sum())


@metric(unit="orders")
def orders(r: Result) -> int:
    """Number of orders."""
    return r.sum("orders")


@metric(unit="kWh", better="higher", heading="traded, kWh", decimals=1)
def traded_kwh(r: Result) -> float:
    """Energy bought, which equals the energy sold."""
    return r.kwh("traded_wh")


@metric(
    unit="share",
    better="higher",
    undefined_because="no interval had bids and offers",
    heading="traded of possible, %",
    decimals=1,
    percent=True,
)
def traded_share(r: Result) -> float | None:
    """Liquidity: sum traded / sum min(demand, supply)."""
    return formulas.traded_share(*(r.intervals[n] for n in ("traded_wh", "demand_wh", "supply_wh")))


@metric(unit="currency", better="higher", source="SW", heading="welfare, {money}")
def welfare(r: Result) -> float:
    """Sum v q - sum c q at stated limits: buyers + sellers + operator."""
    return r.money("welfare_nano")


@metric(unit="currency", better="higher")
def buyer_surplus(r: Result) -> float:
    """Sum (v - p) q over bids."""
    return r.money("buyer_surplus_nano")


@metric(unit="currency", better="higher")
def seller_surplus(r: Result) -> float:
    """Sum (p - c) q over offers."""
    return r.money("seller_surplus_nano")


@metric(unit="currency", heading="kept by the operator, {money}")
def operator_surplus(r: Result) -> float:
    """Paid by buyers - received by sellers; below 0 it is a deficit."""
    return r.money("operator_surplus_nano")


@metric(
    unit="share",
    better="higher",
    undefined_because=NO_BOUND,
    heading="efficiency at stated limits, %",
    decimals=1,
    percent=True,
)
def allocative_efficiency(r: Result) -> float | None:
    """Welfare / welfare of the optimum of the same books, both at stated limits."""
    return formulas.allocative_efficiency(r.sum("welfare_nano"), r.sum("optimum_nano"))


@metric(unit="share", undefined_because=NO_BOUND, percent=True)
def optimum_volume_share(r: Result) -> float | None:
    """Energy traded / energy that the optimum of the same books trades."""
    optimum_wh = r.sum("optimum_wh")
    return r.sum("traded_wh") / optimum_wh if optimum_wh else None


@metric(
    unit="0 to 10,000", better="lower", undefined_because="nothing was traded", source="Herfindahl, Hirschman"
)
def hhi_sellers(r: Result) -> float | None:
    """Concentration of sellers: sum (100 s)^2 over the shares s of sold energy."""
    return concentration.hhi(r.bills["sold_wh"])


@metric(
    unit="0 to 10,000", better="lower", undefined_because="nothing was traded", source="Herfindahl, Hirschman"
)
def hhi_buyers(r: Result) -> float | None:
    """Concentration of buyers: sum (100 s)^2 over the shares s of bought energy."""
    return concentration.hhi(r.bills["bought_wh"])


@metric(
    unit="ms",
    better="lower",
    needs=("clear_ns",),
    undefined_because="nothing was cleared, or it was not measured",
    heading="clearing, ms",
    repeatable=False,
)
def clear_ms(r: Result) -> float | None:
    """Time that clearing takes, the median over the intervals."""
    return float(np.median(r.intervals["clear_ns"])) / 1e6 if len(r.intervals["clear_ns"]) else None
