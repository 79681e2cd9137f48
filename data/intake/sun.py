"""The sun as a clock: production that jumps when clocks change, or that lies away from noon or from the neighbours'.

The middle of a day's production, between its first and its last interval, hardly depends on clouds or on the direction
of a roof, and moves by a quarter of an hour in a season. In a file whose clock hides the change to summer time it jumps
by an hour on that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.findings import FindingLog
from data.intake.raw import FloatArray
from data.readings import MISSING, MeterData
from market.units import IntArray

DAY_S = 86_400

SHARE_OF_PEAK = 0.02
"""Production of a day begins and ends at this share of its largest interval."""

SUNNY_SHARE = 0.2
"""A day counts if it yields this share of the home's best day, for on dark ones hardly anything is above zero."""

NEAR_DAYS, LEAST_DAYS = 14, 5
"""Days on each side of a change that are compared, and how many of them have to be sunny."""

JUMP_SHARE = 0.8
"""The middle of production moves by this share of the change or more where the clock of a file hides it."""

NOON_H = (9.5, 15.5)
"""Wherever people live, the middle of production is between these hours of their clock. [h]"""

APART_S = 5_400
"""The middle of production of one home is not this far from that of the others in one place. [s]"""

LEAST_HOMES = 4
"""Homes with production that are enough to compare one with the others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """The sunny days of one home: number since 1970, and middle of its production after midnight UTC. [s]"""

    day: IntArray
    middle_s: FloatArray


def check_sun(data: MeterData, zone: ZoneInfo | None, log: FindingLog) -> None:
    """Report homes whose production shows that the clock of the file is another than it is taken for.

    Args:
        data: Readings; homes with a production meter are looked at.
        zone: Zone of the homes; None where it is not known.
        log: Where findings go.
    """
    pv = data.sub_meters.get("pv")
    if pv is None:
        return
    noon_s = _noon(pv, data)
    if noon_s is None:
        return
    homes = {
        h: d
        for h in np.flatnonzero(pv.any(axis=0)).tolist()
        if len((d := _sunny(pv[:, h], h, data, noon_s)).day)
    }
    if zone is not None:
        _check_jumps(homes, data, zone, log)
        _check_noon(homes, data, zone, log)
    _check_neighbours(homes, data, log)


def _noon(pv: IntArray, data: MeterData) -> int | None:
    """When all homes produce most, after midnight UTC: days are cut half a day from it. [s]"""
    per_day = DAY_S // (data.minutes * 60)
    days = len(pv) // per_day
    if days < LEAST_DAYS:
        return None
    by_time = pv[: days * per_day].sum(axis=1).reshape(days, per_day).sum(axis=0)
    angle = 2 * np.pi * np.arange(per_day) / per_day
    middle = np.arctan2((by_time * np.sin(angle)).sum(), (by_time * np.cos(angle)).sum()) % (2 * np.pi)
    return int((data.start_s + middle / (2 * np.pi) * DAY_S) % DAY_S)


def _sunny(pv: IntArray, home: int, data: MeterData, noon_s: int) -> _Days:
    step_s = data.minutes * 60
    per_day = DAY_S // step_s
    first = -((data.start_s - noon_s - DAY_S // 2) // step_s) % per_day
    days = (len(pv) - first) // per_day
    by_day = pv[first : first + days * per_day].reshape(days, per_day)
    read = (data.quality[first : first + days * per_day, home] != MISSING).reshape(days, per_day).all(axis=1)
    energy, peak = by_day.sum(axis=1), by_day.max(axis=1, initial=0)
    use = np.flatnonzero(read & (energy > 0) & (energy >= SUNNY_SHARE * energy.max(initial=0)))
    bright = by_day[use] > SHARE_OF_PEAK * peak[use, np.newaxis]
    begin, end = bright.argmax(axis=1), per_day - bright[:, ::-1].argmax(axis=1)
    start_s = data.start_s + (first + use * per_day) * step_s
    middle = start_s + (begin + end) * step_s / 2
    day = (start_s + DAY_S // 2) // DAY_S
    return _Days(day, middle - day * DAY_S)


def _check_jumps(homes: dict[int, _Days], data: MeterData, zone: ZoneInfo, log: FindingLog) -> None:
    for change_s, size_s in clock.changes(data.start_s, data.end_s, zone):
        day = change_s // DAY_S
        jumped, looked = [], 0
        for h, days in homes.items():
            before = days.middle_s[(days.day < day) & (days.day >= day - NEAR_DAYS)]
            after = days.middle_s[(days.day > day) & (days.day <= day + NEAR_DAYS)]
            if min(len(before), len(after)) < LEAST_DAYS:
                continue
            looked += 1
            moved = float(np.median(after) - np.median(before))
            # A clock that does not go forward with the zone shows production an hour late after the change.
            if abs(moved) >= JUMP_SHARE * abs(size_s):
                jumped.append((h, moved))
        # A file has one clock: where many homes are looked at, half of them show it.
        if not jumped or 2 * len(jumped) < looked:
            continue
        h, moved = jumped[0]
        way = "later" if moved > 0 else "earlier"
        several = f" and of {len(jumped) - 1} more homes" if len(jumped) > 1 else ""
        log.add(
            "warning",
            "clock_jump",
            f"the production{several} comes {abs(moved) / 60:.0f} minutes {way} from {clock.shown(change_s, zone)} on,"
            f" when clocks change: the clock of the file probably does not; name the zone that it keeps",
            household=data.households[h],
            count=len(jumped),
        )


def _check_noon(homes: dict[int, _Days], data: MeterData, zone: ZoneInfo, log: FindingLog) -> None:
    away = []
    for h, days in homes.items():
        if len(days.day) < LEAST_DAYS:
            continue
        instant = int(days.day[len(days.day) // 2]) * DAY_S
        hour = (float(np.median(days.middle_s)) + clock.offset_at(instant, zone)) / 3600 % 24
        if not NOON_H[0] <= hour <= NOON_H[1]:
            away.append((h, hour))
    if away:
        h, hour = away[0]
        several = f" and of {len(away) - 1} more homes" if len(away) > 1 else ""
        log.add(
            "warning",
            "clock_shift",
            f"the middle of the day's production{several} is at {int(hour):02}:{int(hour % 1 * 60):02} in {zone.key};"
            " the sun is highest about noon: check the zone, and whether stamps are starts or ends",
            household=data.households[h],
            count=len(away),
        )


def _check_neighbours(homes: dict[int, _Days], data: MeterData, log: FindingLog) -> None:
    known = {h: days for h, days in homes.items() if len(days.day) >= LEAST_DAYS}
    if len(known) < LEAST_HOMES:
        return
    middle = {h: float(np.median(days.middle_s)) for h, days in known.items()}
    usual = float(np.median(list(middle.values())))
    for h, at in middle.items():
        if abs(at - usual) >= APART_S:
            way = "later" if at > usual else "earlier"
            log.add(
                "warning",
                "clock_shift",
                f"the production comes {abs(at - usual) / 60:.0f} minutes {way} than that of the other homes; check the"
                " zone of this home, and whether its stamps are starts or ends",
                household=data.households[h],
            )
