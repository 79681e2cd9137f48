"""With the default strategy prices are set between the retailer's two; with one limit a home they lie at an end."""

from __future__ import annotations

from pathlib import Path

import wattswap as ws


def share_at_an_end(strategy: str, out: Path) -> float:
    """Share of the intervals with trade, of a day of the street, whose price is one of the retailer's."""
    result = ws.run(ws.demo(["time.intervals=96", f"homes.strategy={strategy}"]), out=out)
    prices = result.prices()
    traded = prices[prices["traded_kwh"] > 0]
    assert len(traded) > 10
    ends = (traded["price_per_kwh"] == traded["import_per_kwh"]) | (
        traded["price_per_kwh"] == traded["feed_in_per_kwh"]
    )
    return float(ends.mean())


def test_prices_lie_between_the_retailers_prices(tmp_path: Path) -> None:
    assert share_at_an_end("staircase", tmp_path) == 0
    assert share_at_an_end("truthful", tmp_path) > 0.9
