"""One home in plain Python: its forecast by local time of day, what that was off by, and its staircase of orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

Order = tuple[int, int, int]
"""Side, energy [Wh], limit [micro-currency/kWh]."""


@dataclass
class Home:
    """A home with its readings, None where one is missing. [Wh]"""

    readings: list[int | None]
    start_s: int
    minutes: int
    zone: str
    days: int
    lead: int

    def __post_init__(self) -> None:
        self.per_day = 24 * 60 // self.minutes
        zone = ZoneInfo(self.zone)
        count = len(self.readings) + self.per_day + self.lead + 1
        self.clock = [
            datetime.fromtimestamp(self.start_s + row * self.minutes * 60, zone).replace(tzinfo=None)
            for row in range(count)
        ]
        self.slot = [(time.hour * 60 + time.minute) // self.minutes for time in self.clock]
        self.off: dict[int, int | None] = {}

    def mean_wh(self, known: int, row: int) -> int | None:
        """The forecast of a row by the readings before `known`, rounded half up."""
        days = min(self.days, known // self.per_day)
        if days == 0:
            return None
        oldest = self.clock[known] - timedelta(days=days)
        same = [
            reading
            for r in range(max(0, known - (days + 2) * self.per_day), known)
            if (reading := self.readings[r]) is not None
            and self.slot[r] == self.slot[row]
            and self.clock[r] >= oldest
        ]
        return None if not same else (Fraction(sum(same), len(same)) + Fraction(1, 2)).__floor__()

    def plan_wh(self, row: int) -> int:
        """The energy to order; 0 unless everything from gate closure on has a forecast."""
        known = max(row - self.lead, 0)
        steps = [self.mean_wh(known, step) for step in range(known, row + 1)]
        return 0 if None in steps else steps[-1] or 0

    def off_wh(self, row: int) -> int | None:
        """What was metered in a row less what was forecast for it at its gate."""
        if row not in self.off:
            expected, metered = self.mean_wh(max(row - self.lead, 0), row), self.readings[row]
            self.off[row] = None if expected is None or metered is None else metered - expected
        return self.off[row]

    def residuals_wh(self, row: int) -> list[int] | None:
        """Those around the time of day of a row, of the last four weeks; None if that is less than two."""
        reach = max(30 // self.minutes, 1)
        near = [(self.slot[row] + step) % self.per_day for step in range(-reach, reach + 1)]
        found = []
        for slot in near:
            rows = [r for r in range(max(row - self.lead, 0)) if self.slot[r] == slot][-28:]
            found += [off for r in rows if (off := self.off_wh(r)) is not None]
        return found if len(found) >= 14 * len(near) else None

    def orders(self, row: int, cap: int, floor: int) -> list[Order]:
        """The staircase of a row."""
        plan = self.plan_wh(row)
        side, most = (1, plan) if plan > 0 else (-1, -plan)
        if most == 0:
            return []
        residuals = self.residuals_wh(row)
        if residuals is None or cap - floor < 8:
            return [(side, most, cap if side > 0 else floor)]
        orders, before = [], 0
        for step in range(1, 8):
            # The price levels from the end at which a home wants least; eighths above the floor.
            eighths = 8 - step if side > 0 else step
            net = plan + quantile_wh(residuals, Fraction(8 - eighths, 8))
            wanted = min(max(side * net, 0), most)
            if wanted > before:
                orders.append((side, wanted - before, floor + (cap - floor) * eighths // 8))
                before = wanted
        return orders


def quantile_wh(values: list[int], level: Fraction) -> int:
    """The least value that at least this share of the values do not exceed."""
    return next(x for x in sorted(values) if sum(v <= x for v in values) >= level * len(values))
