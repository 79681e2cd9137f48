"""What groups of homes save of the charge for the peak, each behind one meter with its part of a common battery."""

from __future__ import annotations

import numpy as np

from market.settlement.charges import LocalDay, local_days, months_of, peak_nano
from market.units import BoolArray, FloatArray, IntArray
from optimizer.storage.store import Store
from wattswap.sizing.game import Game
from wattswap.sizing.homes import Homes

STEPS_OF_A_GROUP = 40
"""Work of one interval of one group, in slopes of a group that is run for the least cost."""
_AT_ONCE = 1 << 12
_NOTHING_WH = 1e-6


class PeakGame(Game):
    """What groups of homes are worth where the charge for the peak is asked of the meter that a group has in common.

    Against each of its homes alone, whose own highest import of each month is charged. In each month a group keeps to
    the least peak that its equal part of the battery allows, which begins the month empty.

    Args:
        homes: The community; its tariff has a charge for the peak.
        store: The battery of all homes.
    """

    def __init__(self, homes: Homes, store: Store) -> None:
        setup = homes.setup
        super().__init__(homes.import_wh.shape[1], _AT_ONCE)
        self._net_wh, self._store, self._minutes = homes.import_wh - homes.export_wh, store, setup.minutes
        added = setup.scenario.tariff.surcharges
        self._rate = added.with_vat(added.peak_micro_per_kw_month)
        self._days = local_days(setup.start_s, setup.minutes, setup.intervals, setup.zone)
        self._alone_nano = self._charge(_by_month(self._days, np.maximum(self._net_wh, 0)))

    def _worth(self, masks: IntArray) -> IntArray:
        member = self._member(masks)
        net_wh, part = self._net_wh @ member, member.sum(axis=0) / self.count
        peaks = [
            least_peaks_wh(
                net_wh[rows], part * self._store.capacity_wh, part * self._store.power_wh, self._store
            )
            for rows in _rows_of_months(self._days, len(net_wh))
        ]
        found: IntArray = self._alone_nano @ member - self._charge(np.stack(peaks))
        return found

    def _charge(self, peak_wh: IntArray) -> IntArray:
        term = range(len(self._net_wh))
        return peak_nano(self._days, term, self._minutes, peak_wh, self._rate)


def least_peaks_wh(net_wh: IntArray, capacity_wh: FloatArray, power_wh: FloatArray, store: Store) -> IntArray:
    """The least import of any interval that each group can keep to, by bisection to a whole Wh.

    Args:
        net_wh: What each group needs in each interval, shape (intervals, groups). [Wh]
        capacity_wh: Of the battery of each group, which begins empty. [Wh]
        power_wh: The same for its power. [Wh in an interval]
        store: Its efficiencies.
    """
    high: IntArray = np.maximum(net_wh.max(axis=0), 0)
    low = np.maximum(high - np.ceil(power_wh).astype(np.int64), 0)
    while (low < high).any():
        middle = (low + high) // 2
        kept = _keeps(net_wh, middle, capacity_wh, power_wh, store)
        high, low = np.where(kept, middle, high), np.where(kept, low, np.minimum(middle + 1, high))
    return high


def _keeps(
    net_wh: IntArray, most_wh: IntArray, capacity_wh: FloatArray, power_wh: FloatArray, store: Store
) -> BoolArray:
    """Which groups keep to a peak by charging all that it leaves room for: more in store never harms."""
    stored, kept = np.zeros(len(most_wh)), np.ones(len(most_wh), dtype=np.bool_)
    for room in most_wh - net_wh:
        charged = np.minimum(stored + np.minimum(room, power_wh) * store.gain, capacity_wh)
        kept &= -room <= np.minimum(power_wh, stored * store.yields) + _NOTHING_WH
        stored = np.where(room >= 0, charged, np.maximum(stored + room / store.yields, 0))
    return kept


def _rows_of_months(days: list[LocalDay], intervals: int) -> list[slice]:
    """The intervals of each month of a window."""
    found = {}
    for month in months_of(days):
        own = [day for day in days if day.month == month]
        found[month] = slice(max(own[0].first, 0), min(own[-1].end, intervals))
    return list(found.values())


def _by_month(days: list[LocalDay], import_wh: IntArray) -> IntArray:
    """The highest import of each home in each month. [Wh]"""
    return np.stack([import_wh[rows].max(axis=0) for rows in _rows_of_months(days, len(import_wh))])
