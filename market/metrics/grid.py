"""Effects on the grid: its peaks, its ramps and the CO2 of its import.

Energy is that of the community's meter: what the homes draw and feed in together, netted in every interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from market.units import WH_PER_KWH, IntArray

FloatArray = npt.NDArray[np.float64]
MINUTES_PER_HOUR = 60


def peak_kw(energy_wh: IntArray, interval_minutes: int) -> float | None:
    """Largest mean power of an interval, of the import or of the export of the community; None without intervals.

    Args:
        energy_wh: Per interval, netted, at least 0. [Wh]
        interval_minutes: Length of an interval. [min]
    """
    return _kw(float(energy_wh.max()), interval_minutes) if len(energy_wh) else None


def peak_to_average(import_wh: IntArray) -> float | None:
    """Largest over mean import, PAR; at least 1, and None where nothing is imported."""
    total_wh = int(import_wh.sum())
    return int(import_wh.max()) * len(import_wh) / total_wh if total_wh else None


def ramping_kw(import_wh: IntArray, export_wh: IntArray, interval_minutes: int) -> float | None:
    """Mean change of the community's power from one interval to the next: sum |P_t - P_(t-1)| / (T - 1).

    CityLearn states the sum; the mean can be compared between horizons.

    Args:
        import_wh: Per interval, netted. [Wh]
        export_wh: Per interval, netted. [Wh]
        interval_minutes: Length of an interval. [min]

    Returns:
        At least 0; None with fewer than two intervals.
    """
    if len(import_wh) < 2:
        return None
    steps_wh = np.abs(np.diff(import_wh - export_wh))
    return _kw(int(steps_wh.sum()) / len(steps_wh), interval_minutes)


def co2_kg(import_wh: IntArray, factor_g_per_kwh: FloatArray) -> float | None:
    """Emissions of the imported energy, location-based: sum import_t EF_t. Exports earn no credit.

    Args:
        import_wh: Import of the community per interval, netted. [Wh]
        factor_g_per_kwh: Emission factor of the grid per interval; NaN where it is not known. [g/kWh]

    Returns:
        None where the factor of an interval with import is not known. [kg]

    Source: GHG Protocol Scope 2 Guidance (2015), location-based method.
    """
    drawn = import_wh > 0
    factor = factor_g_per_kwh[drawn]
    if not np.isfinite(factor).all():
        return None
    return float(import_wh[drawn] / WH_PER_KWH @ factor) / 1_000


def _kw(energy_wh: float, interval_minutes: int) -> float:
    return energy_wh * MINUTES_PER_HOUR / interval_minutes / WH_PER_KWH
