"""Who is served where not everybody at one limit can be: in proportion, the earliest first, or by a random draw."""

from __future__ import annotations

import numpy as np

from market.rules import MarketRules
from market.units import IntArray, largest_remainder


def ration(energy_wh: IntArray, take_wh: int, sequence: IntArray, rules: MarketRules) -> IntArray:
    """Split what there is over orders of one side that all would have it.

    Args:
        energy_wh: What each wants, in the order of the book. [Wh]
        take_wh: From 0 to the sum of the energies. [Wh]
        sequence: Order of arrival of each; also decides who gets an odd Wh of equal shares.
        rules: Uses `rationing` and `seed`.

    Returns:
        What each gets, at most what it wants. [Wh]
    """
    if rules.rationing == "pro_rata":
        return largest_remainder(energy_wh, take_wh, sequence)
    if rules.rationing == "time":
        turn = np.argsort(sequence, kind="stable")
    else:
        # Raw words of the bit generator: unlike the methods of Generator, numpy keeps them equal for ever.
        turn = np.argsort(np.random.PCG64(rules.seed).random_raw(len(energy_wh)), kind="stable")
    queue = energy_wh[turn]
    before = np.cumsum(queue) - queue
    share = np.empty_like(energy_wh)
    share[turn] = np.clip(take_wh - before, 0, queue)
    return share


def served(
    energy_wh: IntArray, limit: IntArray, take_wh: int, rows: IntArray, sequence: IntArray, rules: MarketRules
) -> IntArray:
    """Serve a queue until nothing is left; those who wait at the limit at which it ends are rationed.

    Args:
        energy_wh: What each wants, above 0; equal limits stand together and by arrival. Or units of it. [Wh]
        limit: Limit of each, or what else makes them equal.
        take_wh: From 0 to the sum of the energies. [Wh]
        rows: Row of the book of each.
        sequence: Order of arrival, by row of the book.
        rules: Uses `rationing` and `seed`.

    Returns:
        What each gets, of the first down to the last that may get anything. [Wh]
    """
    if not take_wh:
        return energy_wh[:0]
    ends = np.cumsum(energy_wh)
    last = int(ends.searchsorted(take_wh))
    got = energy_wh[: last + 1].copy()
    got[-1] -= int(ends[last]) - take_wh
    if rules.rationing == "time":
        return got
    equal = np.flatnonzero(limit == limit[last])
    first, end = int(equal[0]), int(equal[-1]) + 1
    before = int(ends[first - 1]) if first else 0
    if end == first + 1 or ends[end - 1] == take_wh:
        return got
    by_row = first + np.argsort(rows[first:end])
    shared = energy_wh[:end].copy()
    shared[by_row] = ration(energy_wh[by_row], take_wh - before, sequence[rows[by_row]], rules)
    return shared
