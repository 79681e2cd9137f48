"""Concentration: how few participants trade how much."""

from __future__ import annotations

from market.metrics.welfare import exact_dot
from market.units import IntArray


def hhi(energy_wh: IntArray) -> float | None:
    """Herfindahl-Hirschman index of one side of the market: sum (100 s)^2 over the shares s of its participants.

    Args:
        energy_wh: Energy bought, or sold, per participant, over the whole run. [Wh]

    Returns:
        10,000 / n (n equal participants) to 10,000 (one alone); None where nothing traded.

    Source: Herfindahl (1950), Hirschman (1964), shares in percent.
    """
    total_wh = int(energy_wh.sum())
    return 10_000 * exact_dot(energy_wh, energy_wh) / total_wh**2 if total_wh else None
