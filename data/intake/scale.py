"""The scale of production and consumption: production that the grid meter contradicts, and a load that no home has.

Between intervals in which a home exports, a kWh more of production is a kWh more of export: what the production meter
shows of it is its scale, whatever the home consumes. A battery hardly disturbs this, for it is full or at its limit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import gcd

import numpy as np

from data.findings import FindingLog, Severity, runs
from data.intake.raw import FloatArray
from data.readings import MEASURED, MeterData
from market.units import BoolArray, IntArray

BLOCK_DAYS = 14
"""Days that give one estimate of the scale, so that a change of it within a series shows."""

LEAST_DAYS, LEAST_INTERVALS = 5, 40
"""Days and intervals with export that a block needs."""

FIT = 0.8
"""Share of the changes of export that production has to explain (r squared)."""

TOLERANCE = 2.5
"""A scale is wrong by this factor or more; a second inverter that is not metered makes 2."""

FAINT_W = 30
"""No module that anybody connects stays below this at its best, over `BLOCK_DAYS`. [W]"""

STANDBY_W = 3_000
"""A home that hardly ever consumes less than this has another unit. [W]"""

STANDBY_QUANTILE = 0.05

FROZEN_H = 24
"""A consumption that is the same for this long is one that nobody measured. [h]"""

FINE_STEPS = 10
"""A value of fewer steps of its meter than this may well repeat."""

STEP_VALUES = 1_024
"""Values whose common divisor is found at once."""

NIGHT_H, NIGHTS = 3, 3
"""Hours at zero in a row, on this many days in a row, that no home with a refrigerator has."""

FINE_W = 50
"""A meter with larger steps shows zeros in a home that consumes. [W]"""


def check_scale(data: MeterData, log: FindingLog, counters: BoolArray | None = None) -> None:
    """Report homes whose production is a multiple or a fraction of what the grid meter shows, one warning per home.

    Args:
        data: Readings; homes with a production meter are checked.
        log: Where findings go.
        counters: Homes with a counter taken for energy, which are reported as such; shape (H,).
    """
    pv = data.sub_meters.get("pv")
    if pv is None:
        return
    looked = pv.any(axis=0) if counters is None else pv.any(axis=0) & ~counters
    for h in np.flatnonzero(looked).tolist():
        peak_w = int(pv[:, h].max()) * 60 / data.minutes
        if peak_w < FAINT_W and data.intervals * data.minutes >= BLOCK_DAYS * 1440:
            message = (
                f"the production never exceeds {peak_w:.3g} W; check the unit of its meter (kWh for Wh?)"
            )
            log.add("warning", "pv_scale", message, household=data.households[h])
            continue
        day, scale = scales(data, h)
        wrong = (scale >= TOLERANCE) | (scale <= 1 / TOLERANCE)
        if wrong.any():
            log.add("warning", "pv_scale", _told(day, scale, wrong), household=data.households[h])


def scales(data: MeterData, home: int) -> tuple[IntArray, FloatArray]:
    """What the grid meter sees of a unit of production, by block of days that shows it.

    Args:
        data: Readings with a production meter.
        home: Number of the home.

    Returns:
        First days of the blocks, since 1970, and scales (1 where both meters agree), each of shape (blocks,).
    """
    pv = data.sub_meters["pv"][:, home].astype(np.float64)
    surplus = data.export_wh[:, home].astype(np.float64) - data.import_wh[:, home]
    use = (data.export_wh[:, home] > 0) & (pv > 0) & (data.quality[:, home] == MEASURED)
    at_s = data.start_s + np.flatnonzero(use) * data.minutes * 60
    if not len(at_s):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    first = data.start_s // 86_400
    day = at_s // 86_400 - first
    count = np.bincount(day)
    x = pv[use] - (np.bincount(day, pv[use]) / np.maximum(count, 1))[day]
    y = surplus[use] - (np.bincount(day, surplus[use]) / np.maximum(count, 1))[day]
    block = day // BLOCK_DAYS
    blocks = int(block[-1]) + 1
    xx, xy, yy = (np.bincount(block, z, minlength=blocks) for z in (x * x, x * y, y * y))
    days = np.bincount(np.flatnonzero(count > 1) // BLOCK_DAYS, minlength=blocks)
    enough = (days >= LEAST_DAYS) & (np.bincount(block, minlength=blocks) >= LEAST_INTERVALS)
    known = np.flatnonzero(enough & (xy > 0) & (xy * xy >= FIT * xx * yy))
    return first + known * BLOCK_DAYS, xy[known] / xx[known]


def _told(day: IntArray, scale: FloatArray, wrong: BoolArray) -> str:
    typical = float(np.median(scale[wrong]))
    much = f"{1 / typical:.3g} times" if typical < 1 else f"1/{typical:.3g} of"
    since = datetime.fromtimestamp(int(day[wrong.argmax()]) * 86_400, UTC)
    when = (
        ""
        if wrong.all()
        else f" in {int(wrong.sum())} of {len(wrong)} fortnights, the first from {since:%Y-%m-%d},"
    )
    return (
        f"the production meter shows{when} {much} what the grid meter sees of it; check its unit, and whether its"
        " readings are power (kW) taken for energy (kWh)"
    )


def check_standby(load_wh: IntArray, read: BoolArray, minutes: int) -> list[tuple[Severity, str, str]]:
    """What no home's consumption looks like: frozen, zero night after night, or never small.

    Args:
        load_wh: Consumption of one home, shape (T,). [Wh]
        read: Intervals that were measured, shape (T,).
        minutes: Length of an interval.

    Returns:
        Severities and codes of findings, and their messages.
    """
    known = load_wh[read]
    per_day = 1440 // minutes
    if len(known) < NIGHTS * per_day:
        return []
    found = list[tuple[Severity, str, str]]()
    step_wh = _step(known)
    same = np.zeros(len(load_wh), dtype=np.bool_)
    same[1:] = (load_wh[1:] == load_wh[:-1]) & read[1:] & read[:-1]
    same &= load_wh >= max(1, FINE_STEPS * step_wh)
    start, end = runs(same)
    length = end - start + 1
    if len(length) and int(length.max()) * minutes >= FROZEN_H * 60:
        longest = int(length.argmax())
        found.append(
            (
                "warning",
                "frozen_load",
                f"the consumption is {int(load_wh[start[longest]])} Wh in {int(length[longest])} intervals in a row;"
                " the values are probably filled in: mark them as estimated",
            )
        )
    nights = _nights(load_wh, read, minutes)
    if nights >= NIGHTS and step_wh * 60 <= FINE_W * minutes:
        found.append(
            (
                "warning",
                "standby_zero",
                f"the consumption is zero for {NIGHT_H} hours or more on {nights} days in a row; the meter probably"
                " shows only what the grid delivers: add production and batteries, or ask for gross readings",
            )
        )
    low_w = (
        0.0 if _is_often_low(known, minutes) else float(np.quantile(known, STANDBY_QUANTILE)) * 60 / minutes
    )
    if low_w >= STANDBY_W:
        message = f"the consumption is above {low_w / 1000:.1f} kW nearly always; check the unit (kW taken for kWh?)"
        found.append(("warning", "high_standby", message))
    return found


def _step(values: IntArray) -> int:
    """The greatest common divisor, of which the first values of a fine meter show that it is 1."""
    step = 0
    for begin in range(0, len(values), STEP_VALUES):
        step = gcd(step, int(np.gcd.reduce(values[begin : begin + STEP_VALUES])))
        if step == 1:
            break
    return step


def _is_often_low(known: IntArray, minutes: int) -> bool:
    """Whether so many values are below `STANDBY_W` that the quantile is, which then need not be found."""
    rank = int(STANDBY_QUANTILE * (len(known) - 1)) + 1  # the quantile is not above the value of this rank
    return int(np.count_nonzero(known < STANDBY_W * minutes / 60)) > rank


def _nights(load_wh: IntArray, read: BoolArray, minutes: int) -> int:
    """The largest number of days in a row with a long stretch at zero."""
    start, end = runs((load_wh <= 0) & read)
    long = (end - start) * minutes >= NIGHT_H * 60
    per_day = 1440 // minutes
    idle = np.zeros(len(load_wh) // per_day + 1, dtype=np.bool_)
    idle[start[long] // per_day] = True
    first, last = runs(idle)
    return int((last - first).max(initial=0))
