"""Checks of readings on their grid, the same for every format: gaps, impossible power, jumps, broken homes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from data import clock
from data.findings import FindingLog, runs
from data.intake import tall
from data.intake.assemble import absent
from data.intake.counters import look_like_counters, report_counters
from data.intake.place import Cells, Placed
from data.intake.raw import OTHER_LOAD, Channel, Hints
from data.intake.scale import check_scale, check_standby
from data.intake.sun import check_sun
from data.readings import MEASURED, MeterData
from market.errors import printable
from market.units import BoolArray, IntArray

JUMP_FACTOR = 20
"""A reading this many times the home's 99.9th percentile is a jump."""

FLOOR_SHARE = 0.01
FLOOR_HOURS = 24
"""A home at zero for this share of the time and this many hours has a meter that did not read."""

BEHIND_FUSE = 2
"""A meter behind the connection may show this many times what the fuse allows: a load that production feeds."""

SUN_W = 500
"""Production that leaves no doubt that the sun shines on a roof. [W]"""

DARK_DAYS = 3
"""Number of consecutive days without production that weather does not explain."""


def check(data: MeterData, placed: Placed, hints: Hints, log: FindingLog) -> None:
    """Report gaps, impossible power, counters taken for intervals, jumps and broken homes."""
    for cells in placed.cells:
        _check_gaps(data, placed, cells, log)
    channels = {channel.name: (channel, cells) for cells in placed.cells for channel in cells.rows.values}
    registers = {"import": data.import_wh, "export": data.export_wh}
    counters = np.zeros(len(data.households), dtype=np.bool_)
    for name, energy in (registers | dict(data.sub_meters)).items():
        channel, cells = channels.get(name, channels.get("net", (Channel(name), placed.cells[0])))
        # A source of gross meters alone lays down what its load is; beside an import it may be any register.
        there = name in channels and (name != "load" or "import" in channels)
        there |= name in registers and "net" in channels
        if there and not cells.counted and hints.kind is None:
            counter = look_like_counters(energy)
            counters |= counter
            if counter.any():
                report_counters(channel, [data.households[h] for h in np.flatnonzero(counter).tolist()], log)
                energy = np.where(
                    counter, 0, energy
                )  # what follows from this one cause is not reported again
        if name in registers:
            _check_power(log, str(channel), energy, cells.line_of, data, hints.fuse_w)
        elif there:
            _check_sub_meter(log, str(channel), energy, cells.line_of, data, hints.fuse_w)
    if channels.keys() & {
        "import",
        "net",
        "load",
        OTHER_LOAD,
    }:  # of a part of a home the consumption is not known
        _check_homes(log, data, counters)
    if channels.keys() >= {"import", "export"} or "net" in channels:
        check_scale(data, log, counters)
    check_sun(data, placed.zone, log)


def _check_gaps(data: MeterData, placed: Placed, cells: Cells, log: FindingLog) -> None:
    """Report stretches without a row, of homes that have rows with these channels."""
    homes, missing = len(placed.households), absent(cells, placed)
    if not missing.any():
        return
    gaps: list[tuple[int, int, int]] = []
    for h in np.flatnonzero(missing.any(axis=0) & cells.homes(homes)).tolist():
        start, end = runs(missing[:, h])
        found = zip(start.tolist(), end.tolist(), strict=True)
        gaps += [(h, *gap) for gap in found if not (cells.counted and _reported(*gap, placed.intervals))]

    def describe(number: int) -> tuple[int, str, str]:
        h, start, end = gaps[number]
        # The line after the gap; the last line before it where the home ends early.
        line = cells.line_of((end if end < placed.intervals else start - 1) * homes + h)
        since = clock.shown(placed.start_s + start * placed.minutes * 60, placed.zone)
        several = f"{end - start} intervals from {since} have no row; they count as missing"
        message = f"1 interval from {since} has no row; it counts as missing" if end - start == 1 else several
        if start == 0 or end == placed.intervals:
            message += f", and a home that {'leaves' if start else 'joins'} has its time in homes.members"
        return line, data.households[h], message

    log.add_rows("warning", "gap", np.arange(len(gaps)), describe)


def _reported(start: int, end: int, intervals: int) -> bool:
    """Whether a gap between a counter's readings is reported with its energy, or is the end of the last interval."""
    return (start > 0 and end < intervals) or (start == intervals - 1)


def _check_power(
    log: FindingLog,
    name: str,
    energy_wh: IntArray,
    line_of: Callable[[int], int],
    data: MeterData,
    fuse_w: int,
) -> None:
    """Report readings above the fuse (errors) and sudden peaks (warnings) of one register.

    Args:
        log: Where findings go.
        name: The register, as in the file.
        energy_wh: Its readings, shape (T, H). [Wh]
        line_of: Line in the file of a cell, counted t x H + h.
        data: For names and the interval.
        fuse_w: Largest possible power. [W]
    """
    limit_wh = fuse_w * data.minutes // 60

    def describe_power(cell: int) -> tuple[int, str, str]:
        t, h = divmod(cell, len(data.households))
        power_kw = int(energy_wh[t, h]) * 60 / data.minutes / 1000
        message = f"{name} means {power_kw:,.2f} kW, above the fuse limit of {fuse_w / 1000:g} kW"
        cure = "check the unit, or raise the limit for a larger connection (--fuse-kw)"
        return line_of(cell), data.households[h], f"{message}; {cure}"

    log.add_rows("error", "impossible_power", np.flatnonzero(energy_wh > limit_wh), describe_power)

    rank = max(0, int(np.ceil(0.999 * len(energy_wh))) - 1)
    may = np.flatnonzero(_may_jump(energy_wh, rank))
    if not len(may):
        return
    usual = np.zeros(energy_wh.shape[1], dtype=np.int64)
    usual[may] = np.partition(energy_wh[:, may], rank, axis=0)[rank]
    jump = (energy_wh > JUMP_FACTOR * usual) & (usual > 0) & (energy_wh <= limit_wh)

    def describe_jump(cell: int) -> tuple[int, str, str]:
        t, h = divmod(cell, len(data.households))
        message = f"{name} of {int(energy_wh[t, h])} Wh is over {JUMP_FACTOR} times this home's usual peak"
        return line_of(cell), data.households[h], f"{message} ({int(usual[h])} Wh); check the reading"

    log.add_rows("warning", "jump", np.flatnonzero(jump), describe_jump)


def _may_jump(energy_wh: IntArray, rank: int) -> BoolArray:
    """Whether a column can have a reading `JUMP_FACTOR` times that of a rank, as its sum and its largest show.

    Readings up to the rank are no larger than that of the rank, and those above it no larger than the largest.
    """
    largest = tall.largest(energy_wh)
    rest = tall.total(energy_wh) - (len(energy_wh) - rank - 1) * largest.astype(np.int64)
    return np.asarray((largest > 0) & (JUMP_FACTOR * rest < largest * (rank + 1)), dtype=np.bool_)


def _check_sub_meter(
    log: FindingLog,
    name: str,
    energy_wh: IntArray,
    line_of: Callable[[int], int],
    data: MeterData,
    fuse_w: int,
) -> None:
    """Report readings of a meter behind the connection that no home reaches, even if it feeds itself."""
    limit_wh = BEHIND_FUSE * fuse_w * data.minutes // 60

    def describe(cell: int) -> tuple[int, str, str]:
        t, h = divmod(cell, len(data.households))
        power_kw = int(energy_wh[t, h]) * 60 / data.minutes / 1000
        message = f"{name} means {power_kw:,.2f} kW, far above the fuse limit of {fuse_w / 1000:g} kW"
        return line_of(cell), data.households[h], f"{message}; check the unit, or raise the limit (--fuse-kw)"

    log.add_rows("error", "impossible_power", np.flatnonzero(energy_wh > limit_wh), describe)


def _check_homes(log: FindingLog, data: MeterData, counters: BoolArray) -> None:
    """Report homes whose readings cannot be right as a whole, one warning per home and reason."""
    read = data.quality == MEASURED  # what is flagged already is not reported again
    load = data.load_wh
    pv = data.sub_meters.get("pv")
    hour = 60 / data.minutes
    at_zero = (load <= 0) & read
    exporting, zeros = tall.count(data.export_wh > 0) > 0, tall.count(at_zero)
    for h, name in enumerate(data.households):
        if printable(name, sys.maxsize) != name:
            log.add(
                "error",
                "control_character",
                "the name holds a control character, which terminals obey; rename the home",
                household=printable(name, sys.maxsize),
            )
        metered = pv is not None and bool(pv[:, h].any())
        if exporting[h] and not metered:
            continue  # without the production meter the consumption is not known
        idle = at_zero[:, h]
        sun = _sun(pv[:, h], data.minutes) & read[:, h] if pv is not None and metered else idle
        if metered and _only_in_sun(idle, sun, read[:, h]):
            log.add(
                "warning",
                "zero_in_sun",
                f"the consumption is zero in {idle[sun].mean():.0%} of the sunny intervals and hardly ever at"
                " night: the import is probably net of production already; ask for gross readings",
                household=name,
            )
        elif zeros[h] >= FLOOR_HOURS * hour and zeros[h] / len(load) >= FLOOR_SHARE:
            log.add(
                "warning",
                "floored_load",
                f"the consumption is zero in {int(zeros[h])} intervals; the meter probably was off",
                household=name,
            )
        elif not counters[h]:
            for finding in check_standby(load[:, h], read[:, h], data.minutes):
                log.add(*finding, household=name)
        if metered and "battery" not in data.sub_meters and "load" not in data.sub_meters:
            negative = int(((load[:, h] < -2) & read[:, h]).sum())
            if negative:
                log.add(
                    "warning",
                    "negative_load",
                    f"import - export + pv is negative in {negative} interval{'' if negative == 1 else 's'};"
                    " check the pv meter, or give a battery_kwh column where a battery discharges",
                    household=name,
                )
        if pv is not None and metered:
            _check_dark_days(log, pv[:, h], name, data)


def _sun(pv: IntArray, minutes: int) -> BoolArray:
    return pv * 60 > SUN_W * minutes


def _only_in_sun(idle: BoolArray, sun: BoolArray, read: BoolArray) -> bool:
    rest = read & ~sun
    if sun.sum() < 24 or rest.sum() < 24:
        return False
    return bool(idle[sun].mean() > 0.3 and idle[rest].mean() < 0.1)


def _check_dark_days(log: FindingLog, pv: IntArray, name: str, data: MeterData) -> None:
    # Any 24 hours hold one whole stretch of daylight, wherever the day is cut.
    per_day = 24 * 60 // data.minutes
    days = len(pv) // per_day
    dark = pv[: days * per_day].reshape(days, per_day).sum(axis=1) == 0
    start, end = runs(dark)
    length = end - start
    if not len(length) or int(length.max()) < DARK_DAYS:
        return
    longest = int(np.argmax(length))
    first = datetime.fromtimestamp(data.start_s + int(start[longest]) * 86_400, UTC)
    log.add(
        "warning",
        "pv_absent",
        f"no production on {int(dark.sum())} days, {int(length[longest])} of them in a row from"
        f" {first:%Y-%m-%d}; the production meter was probably off",
        household=name,
    )
