"""Counters that begin at 0 again, such as those of a day: between which readings they may have done so unseen.

Such a counter that shows more after a gap than before may have begun again within: its rise is then not what went
through. Where it begins again at a regular distance, it did not in what lies within this distance of a time when it
did; where it does not, as after each failure of the power, nothing is known of a gap.
"""

from __future__ import annotations

import numpy as np

from market.units import BoolArray, IntArray

DRIFT_S = 3_600
"""Distances that differ by no more are regular: clocks change, and the sun wakes inverters. [s]"""


def may_begin_again(home: IntArray, start_s: IntArray, end_s: IntArray, again: BoolArray) -> BoolArray:
    """Between which readings that follow each other a counter may have begun again; false of homes that never do.

    Args:
        home: Home of each pair of readings, by home and time.
        start_s: First reading of each. [s since 1970]
        end_s: Second reading. [s since 1970]
        again: Where it is seen to have begun at 0 again.
    """
    may = np.zeros(len(home), dtype=np.bool_)
    for one in np.unique(home[again]).tolist():
        first, last = np.searchsorted(home, (one, one + 1)).tolist()
        own = slice(first, last)
        may[own] = _of_home(start_s[own], end_s[own], np.flatnonzero(again[own]))
    return may


def _of_home(start_s: IntArray, end_s: IntArray, seen: IntArray) -> BoolArray:
    apart_s = _regular_s(end_s[seen])
    number = np.arange(len(start_s))
    at = np.searchsorted(seen, number)  # of the first that begins again here or later
    before, after = seen[np.maximum(at - 1, 0)], seen[np.minimum(at, len(seen) - 1)]
    since = (at > 0) & (end_s <= start_s[before] + apart_s)
    until = (at < len(seen)) & (start_s >= end_s[after] - apart_s)
    may = ~(since | until)
    may[seen] = True  # what went through before is not known
    return may


def _regular_s(times_s: IntArray) -> int:
    """The smallest distance of times that lie at multiples of it, nearly; 0 where they do not. [s]"""
    apart = np.diff(times_s)
    smallest = int(apart.min()) if len(apart) else 0
    if smallest <= 0:
        return 0
    times = np.rint(apart / smallest)
    return smallest if (np.abs(apart - times * smallest) <= DRIFT_S * times).all() else 0
