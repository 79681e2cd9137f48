"""Weights of the shares of a pool: metered throughput of the last 28 days, fixed for each local day."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from data.readings import MISSING, MeterData
from market.units import IntArray
from wattswap.runs.membership import Membership

DAYS = 28


class Throughput:
    """Metered throughput, import plus export, of each home before a local day, as its readings say.

    Only readings that are known when the first gate of the day closes count, so no order and no reading of the day
    moves a weight, and of each home only those of its membership. Without one a home has the weight 0, and where no
    home has one all weights are 0: then the shares are equal.

    Args:
        meter: Readings of the run and of the days before it.
        zone: Time zone of the local days.
        lead: Intervals before the traded one whose readings are not yet known at gate closure.
        membership: When each home is a member; always, when left out.
    """

    def __init__(self, meter: MeterData, zone: str, lead: int, membership: Membership | None = None) -> None:
        self._meter, self._zone, self._lead, self._membership = meter, ZoneInfo(zone), lead, membership
        self._day: tuple[int, int] = (0, 0)
        # By the first row of a day: a genesis commits to all of them before the first interval is settled by one.
        self._known: dict[int, IntArray] = {}

    def of(self, row: int) -> IntArray:
        """Weights of the interval of a row. [Wh]"""
        first, end = self._day
        if not first <= row < end:
            self._day = first, end = self._rows_of_day(row)
            if first not in self._known:
                self._known[first] = self._before(first)
        return self._known[first]

    def _rows_of_day(self, row: int) -> tuple[int, int]:
        """The rows of the local day of a row, those before the readings included."""
        step_s = self._meter.minutes * 60
        local = datetime.fromtimestamp(self._meter.start_s + row * step_s, UTC).astimezone(self._zone)
        date = local.date()
        midnight = datetime(date.year, date.month, date.day, tzinfo=self._zone)
        first = -(-(int(midnight.timestamp()) - self._meter.start_s) // step_s)
        end = row + 1
        while self._is_of(date, end):
            end += 1
        return first, end

    def _is_of(self, date: object, row: int) -> bool:
        second = self._meter.start_s + row * self._meter.minutes * 60
        return datetime.fromtimestamp(second, UTC).astimezone(self._zone).date() == date

    def _before(self, first: int) -> IntArray:
        """Throughput of the last 28 days known before a row, scaled up for readings that a member lacks. [Wh]

        What a home did before it joined counts as nothing and is not made up for: else a home that joins just before
        its largest hour would be weighed as if every hour were like it.
        """
        meter, end = self._meter, max(first - self._lead, 0)
        rows = slice(max(end - DAYS * 24 * 60 // meter.minutes, 0), end)
        step_s, known = meter.minutes * 60, meter.quality[rows] != MISSING
        member = np.ones_like(known)
        if self._membership is not None:
            member = self._membership.in_rows(meter.start_s + rows.start * step_s, step_s, len(known))
        known &= member
        imported, exported = (
            wh[rows].sum(axis=0, where=known, dtype=np.int64) for wh in (meter.import_wh, meter.export_wh)
        )
        weight_wh: IntArray = (imported + exported) * member.sum(axis=0) // np.maximum(known.sum(axis=0), 1)
        return weight_wh
