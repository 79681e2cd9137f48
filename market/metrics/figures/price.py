"""What a kWh costs: traded, and with the retailer."""

from __future__ import annotations

from market.metrics import price as formulas
from market.metrics.table import Result, metric
from market.units import MICRO_PER_UNIT, IntArray

NO_TRADE = "nothing was traded"


def _traded(r: Result) -> tuple[IntArray, IntArray]:
    return r.intervals["price_micro_per_kwh"], r.intervals["traded_wh"]


def _per_kwh(r: Result, turnover: str) -> float | None:
    energy_wh = r.sum("traded_wh")
    return r.sum(turnover) / energy_wh / MICRO_PER_UNIT if energy_wh else None


@metric(unit="currency/kWh", undefined_because=NO_TRADE, heading="average price, {money}/kWh", decimals=4)
def price_per_kwh(r: Result) -> float | None:
    """Mean price of a traded kWh, weighted by energy: sum p q / sum q."""
    mean = formulas.volume_weighted_price(*_traded(r))
    return None if mean is None else mean / MICRO_PER_UNIT


@metric(unit="currency/kWh", better="lower", undefined_because=NO_TRADE)
def buyer_price_per_kwh(r: Result) -> float | None:
    """What buyers pay for traded energy / sum q, rebates included, fees not."""
    return _per_kwh(r, "bought_nano")


@metric(unit="currency/kWh", better="higher", undefined_because=NO_TRADE)
def seller_price_per_kwh(r: Result) -> float | None:
    """What sellers get for traded energy / sum q, rebates included, fees not."""
    return _per_kwh(r, "sold_nano")


@metric(unit="currency/kWh", undefined_because="no intervals")
def import_price_per_kwh(r: Result) -> float | None:
    """Import price of the retailer, mean over the intervals, VAT included, grid fees not."""
    price = r.intervals["import_micro_per_kwh"]
    return float(price.mean()) / MICRO_PER_UNIT if len(price) else None


@metric(unit="currency/kWh", undefined_because="no intervals")
def feed_in_price_per_kwh(r: Result) -> float | None:
    """Feed-in price of the retailer, mean over the intervals."""
    price = r.intervals["feed_in_micro_per_kwh"]
    return float(price.mean()) / MICRO_PER_UNIT if len(price) else None


@metric(unit="currency/kWh", needs=("grid_fee_local_micro_per_kwh",), undefined_because="not known")
def grid_fee_local_per_kwh(r: Result) -> float:
    """Grid fee of a kWh from a neighbour, levies and VAT included."""
    return r.facts["grid_fee_local_micro_per_kwh"] / MICRO_PER_UNIT


@metric(unit="currency/kWh", needs=("grid_fee_remote_micro_per_kwh",), undefined_because="not known")
def grid_fee_remote_per_kwh(r: Result) -> float:
    """Grid fee of a kWh from the retailer, levies and VAT included."""
    return r.facts["grid_fee_remote_micro_per_kwh"] / MICRO_PER_UNIT


@metric(
    unit="ratio",
    better="lower",
    undefined_because="nothing was traded, or the mean is not above 0",
    source="coefficient of variation",
)
def price_volatility(r: Result) -> float | None:
    """Std / mean of the price over the intervals that traded."""
    return formulas.price_volatility(*_traded(r))


@metric(
    unit="ratio",
    better="lower",
    undefined_because="nothing was traded, or the mean is not above 0",
    source="coefficient of variation",
)
def price_volatility_weighted(r: Result) -> float | None:
    """Std / mean of the price, each interval by its energy."""
    return formulas.price_volatility_weighted(*_traded(r))


@metric(
    unit="%",
    better="lower",
    undefined_because="nothing was traded, or p* is not above 0",
    source="Smith 1962",
)
def smith_alpha_percent(r: Result) -> float | None:
    """Distance of prices from the competitive price p*: 100 sqrt(mean (p - p*)^2) / p*, weighted by energy."""
    name = "competitive_micro_per_kwh"
    (price, traded), competitive = _traded(r), r.intervals[name]
    priced = (traded > 0) & r.known[name]
    return formulas.smith_alpha_percent(price[priced], competitive[priced], traded[priced])
