"""Who gains from a market and how evenly: savings, losers, and fairness indices.

A saving is the bill without the market minus the bill with it: positive where a home gains. Gini, Jain and the
min-max ratio are defined for values of at least 0 only. With a loser among the homes they are None: shifting all
values would give any index one likes, and cutting losses to 0 would hide them. `homes_worse_off` counts the losers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from market.settlement.accounts import MONEY_COLUMNS
from market.units import IntArray


def saving_nano(bills: Mapping[str, IntArray]) -> IntArray:
    """What each home pays less than without a market, from the columns of its bill. [nano-currency]

    What it is credited of a battery in common is part of it.
    """
    found = [bills[name] for name in MONEY_COLUMNS]
    found += [bills[name] for name in ("battery_nano",) if name in bills]
    return np.sum(found, axis=0, dtype=np.int64) - bills["baseline_nano"]


def percent_of(saving: float, without: float) -> float | None:
    """A saving in percent of the bill without a market; None where that bill is next to nothing beside it."""
    return 100 * saving / abs(without) if abs(without) * 10 > abs(saving) else None


def homes_worse_off(saving_nano: IntArray) -> IntArray:
    """Rows of the homes that lose, the largest loss first, equal losses in roster order."""
    rows = np.flatnonzero(saving_nano < 0)
    return rows[np.argsort(saving_nano[rows], kind="stable")]


def participation_share(saving_nano: IntArray) -> float | None:
    """Share of homes that are not worse off, C_mkt <= C_ref, and so would take part; None without homes.

    Source: willingness to participate, Zhou, Wu, Long, Applied Energy 222 (2018), 993-1022.
    """
    return int((saving_nano >= 0).sum()) / len(saving_nano) if len(saving_nano) else None


def gini(value: IntArray) -> float | None:
    """Gini index: sum |xi - xj| / (2 n^2 mean), from the sorted values as sum (2i - n - 1) x_i / (n sum x).

    Args:
        value: Per home, at least 0, in any unit.

    Returns:
        0 (all equal) to 1 - 1/n (one has all); None without homes, with a negative value, or where all are 0.

    Source: Gini (1912); the form over sorted values in Sen, On Economic Inequality (1973).
    """
    rising: list[int] = sorted(value.tolist())
    n, total = len(rising), sum(rising)
    if not total or rising[0] < 0:
        return None
    return sum((2 * i - n - 1) * x for i, x in enumerate(rising, 1)) / (n * total)


def jain(value: IntArray) -> float | None:
    """Jain's index, also called QoS: (sum x)^2 / (n sum x^2).

    Args:
        value: Per home, at least 0, in any unit.

    Returns:
        1/n (one has all) to 1 (all equal); None without homes, with a negative value, or where all are 0.

    Source: Jain, Chiu, Hawe, DEC Research Report TR-301 (1984).
    """
    values: list[int] = value.tolist()
    squares = sum(x * x for x in values)
    if not squares or min(values) < 0:
        return None
    return _total(value) ** 2 / (len(values) * squares)


def qoe(value: IntArray, low: int, high: int) -> float | None:
    """Quality-of-experience fairness: 1 - 2 std / (H - L), population std.

    Args:
        value: Per home, in the unit of the scale; may be negative.
        low: Lower end L of the scale. For savings take the smallest of all compared mechanisms.
        high: Upper end H of the scale.

    Returns:
        0 (half at each end) to 1 (all equal); None without homes, for an empty scale, or a value outside it.

    Source: Hossfeld, Skorin-Kapov, Heegaard, Varela, IEEE Communications Letters 21 (2017), 184-187.
    """
    values = value.tolist()
    if not values or high <= low or min(values) < low or max(values) > high:
        return None
    n = len(values)
    # n^2 times the variance is an integer, so equal values give exactly 1.
    spread = n * sum(x * x for x in values) - sum(values) ** 2
    return 1 - 2 * sqrt(spread) / (n * (high - low))


def min_max_ratio(value: IntArray) -> float | None:
    """Smallest over largest value, MiM: 0 where somebody gets nothing, 1 where all get the same.

    Args:
        value: Per home, at least 0, in any unit.

    Returns:
        None without homes, with a negative value, or where all are 0.

    Source: Moret, Pinson, IEEE Transactions on Power Systems 34 (2019), 3994-4004.
    """
    if not len(value) or int(value.min()) < 0 or int(value.max()) == 0:
        return None
    return int(value.min()) / int(value.max())


def _total(value: IntArray) -> int:
    return int(sum(value.tolist()))  # Python integers do not wrap
