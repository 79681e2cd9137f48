"""The interval in which most was traded."""

from market.metrics.table import metric


@metric(unit="kWh", better="higher", decimals=3)
def largest_trade_kwh(result):
    """Energy of the interval in which most was traded."""
    return int(result.intervals["traded_wh"].max()) / 1_000
