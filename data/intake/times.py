"""Rows in the order of time: local stamps to instants, rows that repeat others left out; a finding for each that does
not fit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from data import clock
from data.intake.claims import Question
from data.intake.passes import ALONE, UNDECIDED, Passes, Window, passes_of
from data.intake.raw import UNITS, IntakeLog
from data.intake.rows import Rows
from data.intake.values import report
from data.readings import MEASURED, MISSING
from market.units import BoolArray, IntArray

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

LOOKED_AT = 20
"""The clock of a file is found from its first homes."""


@dataclass(frozen=True, slots=True, order=True)
class Unknown:
    """A stretch of which a file has rows, but does not show which.

    Args:
        home: The home.
        begin_s: Its begin. [s since 1970]
        end_s: Its end. [s since 1970]
        late: Whether rows are stamped from just after its begin up to its end, so that it is full of intervals whose
            ends they name; else they are stamped from its begin up to just before its end.
    """

    home: int
    begin_s: int
    end_s: int
    late: bool = False

    def of_intervals(self, ends: bool, length_s: int) -> Unknown:
        """The same of the intervals that the stamps name by their ends, if they do, or by their starts.

        Args:
            ends: Whether stamps name ends.
            length_s: Length of the intervals. [s]
        """
        before_s = length_s if ends and not self.late else 0
        return Unknown(self.home, self.begin_s - before_s, self.end_s - before_s)


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Rows that count, by home and time.

    Args:
        rows: All rows of their channels.
        row: Those that count.
        utc: Their instants: of the end of an interval where `rows.ends`, else of its start or of a counter's reading.
            [s since 1970]
        unknown: Stretches of which the file has rows, but does not show which.
    """

    rows: Rows
    row: IntArray
    utc: IntArray
    unknown: tuple[Unknown, ...] = ()

    @property
    def home(self) -> IntArray:
        """Home of each row that counts."""
        return self.rows.home[self.row]


def timed(rows: Rows, good: BoolArray, zone: ZoneInfo | None, log: IntakeLog) -> tuple[Timed | None, bool]:
    """Find when each row is, and keep one row for each home and time.

    Args:
        rows: Rows of the same channels.
        good: Those whose values are sound.
        zone: Zone of local stamps.
        log: Where findings go.

    Returns:
        The rows, or None where no row has a time; and whether stamps are local.
    """
    utc, has_time, is_local, unknown = _instants(rows, good, zone, log)
    kept = np.flatnonzero(good & has_time)
    if not len(kept):
        return None, is_local
    home = rows.home[kept]
    order = _order(home, utc[kept])
    _note_order(rows, kept, utc, log)
    kept = kept[order]
    again = (np.diff(utc[kept]) == 0) & (np.diff(rows.home[kept]) == 0)
    if again.any():
        kept = _without_repeats(rows, kept, utc, log)
    return Timed(rows, kept, utc[kept], unknown), is_local


def _unreadable(text: str) -> str:
    form = "is not like 2026-06-13T00:30:00Z or 2026-06-13 00:30; 24:00 is 00:00 of the next day"
    day = "is a day without a time; write 2026-06-13 00:00, and --profile spreads totals of days"
    return f"timestamp {text!r} {day if _DAY.fullmatch(text) else form}"


def _instants(
    rows: Rows, good: BoolArray, zone: ZoneInfo | None, log: IntakeLog
) -> tuple[IntArray, BoolArray, bool, tuple[Unknown, ...]]:
    """Return UTC of each row, the rows that have one, whether stamps are local, and what is unknown."""
    kind = rows.stamp.kind
    unreadable = kind == clock.UNREADABLE
    report(rows, log, "bad_timestamp", unreadable, lambda row: _unreadable(rows.stamp.text(row)))
    has_offset, is_local = bool((kind == clock.WITH_OFFSET).any()), bool((kind == clock.LOCAL).any())
    nothing = np.zeros(rows.count, dtype=np.bool_)
    if has_offset and is_local:
        odd = clock.LOCAL if 2 * (kind == clock.LOCAL).sum() <= rows.count else clock.WITH_OFFSET
        lacks = (
            "no UTC offset though other rows have one"
            if odd == clock.LOCAL
            else "a UTC offset though others have none"
        )
        cure = f"has {lacks}; write all in one way"
        report(rows, log, "mixed_zones", kind == odd, lambda row: f"timestamp {rows.stamp.text(row)} {cure}")
        return rows.stamp.seconds, nothing, True, ()
    if not is_local:
        return rows.stamp.seconds, kind == clock.WITH_OFFSET, False, ()
    if zone is None:
        line = int(rows.line[np.argmax(kind == clock.LOCAL)])
        asks = "timestamps have no UTC offset; name their time zone, e.g. Europe/Berlin"
        log.ask(Question("--zone", asks), "zone_needed", line)
        return rows.stamp.seconds, nothing, True, ()
    # Rows with other errors still take part: their stamps show the order of the file.
    at = np.flatnonzero(kind == clock.LOCAL)
    seconds, series = rows.stamp.seconds[at], rows.series[at]
    found = passes_of(seconds, series, [c.values[at] for c in rows.values.values()], zone, rows.ends)
    utc, there = rows.stamp.seconds.copy(), nothing.copy()
    utc[at] = found.utc
    there[at] = found.exists & (found.known != ALONE) & (found.known != UNDECIDED)
    _report_skipped(rows, at, found, zone, log)
    unknown = _report_passes(rows, at, found, zone, log)
    return utc, there, True, unknown


def _report_skipped(rows: Rows, at: IntArray, found: Passes, zone: ZoneInfo, log: IntakeLog) -> None:
    """Report rows in the hour that spring skips: one by one, or once where the clock of the file shows that hour."""
    seconds, series = rows.stamp.seconds[at], rows.series[at]
    told = np.zeros(rows.count, dtype=np.bool_)
    for window in found.skipped:
        inside = window.holds(seconds) & ~found.exists
        if not _shows_hour(seconds, series, inside, window):
            continue
        told[at[inside]] = True
        row = int(at[np.argmax(inside)])
        log.add(
            "error",
            "impossible_time",
            f"{rows.stamp.text(row)} and the rest of that hour are in the file, though clocks in {zone.key} skip it:"
            f" the clock of the file probably keeps standard time all year; {_standard(zone, window)}. If it follows"
            " the clocks and only fills the hour in, remove these rows",
            line=int(rows.line[row]),
            household=rows.homes[rows.home[row]] or None,
            count=int(inside.sum()),
        )
    alone = np.zeros(rows.count, dtype=np.bool_)
    alone[at[~found.exists]] = True
    skipped = f"does not exist in {zone.key}: clocks go forward; check the zone"
    report(rows, log, "impossible_time", alone & ~told, lambda row: f"{rows.stamp.text(row)} {skipped}")


def _shows_hour(seconds: IntArray, series: IntArray, inside: BoolArray, window: Window) -> bool:
    """Whether some home has the same stamps in an hour as in the one before."""
    before = window.holds(seconds + window.length_s)
    for one in np.unique(series[inside])[:LOOKED_AT].tolist():
        mine = series == one
        there = np.unique(seconds[inside & mine]) - window.length_s
        if np.array_equal(there, np.unique(seconds[before & mine])):
            return True
    return False


def _standard(zone: ZoneInfo, window: Window) -> str:
    """What to say of a clock that keeps the standard time of a zone."""
    offset = min(window.before_s, window.after_s)
    if offset % 3600:
        return f"name a zone that is {offset / 3600:+g} hours from UTC all year"
    hours = offset // 3600
    return f"say --zone Etc/GMT{-hours:+d}" if hours else "say --zone UTC"


def _report_passes(
    rows: Rows, at: IntArray, found: Passes, zone: ZoneInfo, log: IntakeLog
) -> tuple[Unknown, ...]:
    """Report rows whose pass is not known; return the stretches that are unknown therefore."""
    if found.edges:
        _note(
            log,
            "the file begins or ends in the hour that the clock shows twice: its rows there are of that end",
        )
    undecided = np.zeros(rows.count, dtype=np.bool_)
    undecided[at[found.known == UNDECIDED]] = True
    cause = "comes twice on that day, and as the rows are in no order of time nothing shows which row is the first"
    cure = "sort the file by time, or export it with UTC offsets"
    report(rows, log, "wrong_order", undecided, lambda row: f"{rows.stamp.text(row)} {cause}; {cure}")
    seconds, home = rows.stamp.seconds[at], rows.home[at]
    unknown: set[Unknown] = set()
    for window in found.twice:
        shift = 1 if rows.ends else 0
        alone = (found.known == ALONE) & (window.holds(seconds) | window.holds(seconds - shift))
        if not alone.any():
            continue
        homes = np.unique(home[alone]).tolist()
        change = window.change_s
        late = {int(h) for h in home[alone & ~window.holds(seconds)]}
        length = window.length_s
        unknown |= {Unknown(h, change - length, change + length, h in late) for h in homes}
        row = int(at[np.argmax(alone)])
        several = f" of {len(homes)} homes" if len(homes) > 1 else ""
        log.add(
            "warning",
            "one_pass",
            f"{int(alone.sum())} rows{several} are in the hour from {rows.stamp.text(row)}, which clocks in {zone.key}"
            f" show twice, and come once; which pass they are the file does not show, so both count as missing and"
            f" their {_energy(rows, at[alone])} nowhere. {_why_once(seconds, found, zone, window)}",
            line=int(rows.line[row]),
            household=rows.homes[homes[0]] if len(homes) == 1 else None,
            count=int(alone.sum()),
        )
    return tuple(sorted(unknown))


def _why_once(seconds: IntArray, found: Passes, zone: ZoneInfo, window: Window) -> str:
    """Say which clock leaves a pass out, as far as the hour that spring skips shows it."""
    if clock.goes_forward(int(seconds.min()), int(seconds.max()), zone) and not found.skipped:
        return "In spring the file follows the clocks, so it leaves out one of the two"
    return f"If the clock of the file keeps standard time all year, {_standard(zone, window)}"


def _energy(rows: Rows, which: IntArray) -> str:
    """The sum of some rows, for people."""
    kwh = sum(
        float(np.nansum(column.values[which])) * UNITS[channel.unit][0] / 1e9
        for channel, column in rows.values.items()
        if channel.kind == "interval" and not UNITS[channel.unit][1]
    )
    return f"{kwh:.3f} kWh" if kwh else "readings"


def _order(home: IntArray, utc: IntArray) -> IntArray:
    """Positions by home and time; rows of one time keep the order of the file."""
    if (np.diff(utc) >= 0).all():  # in order as a whole: small integers sort much faster
        small = home.astype(np.min_scalar_type(int(home.max(initial=0))))
        return np.asarray(np.argsort(small, kind="stable"), dtype=np.int64)
    other = np.diff(home)
    if ((other > 0) | ((other == 0) & (np.diff(utc) >= 0))).all():
        return np.arange(len(home), dtype=np.int64)
    return np.asarray(np.lexsort((utc, home)), dtype=np.int64)


def _note_order(rows: Rows, kept: IntArray, utc: IntArray, log: IntakeLog) -> None:
    """Say in the notes that rows were sorted."""
    if (np.diff(utc[kept]) >= 0).all():
        return
    series = rows.series[kept]
    by_home = kept[np.argsort(series, kind="stable")]
    step = np.diff(utc[by_home])[np.diff(rows.series[by_home]) == 0]
    back = int((step < 0).sum())
    if back and back == int((step != 0).sum()):
        _note(log, "the file has its newest rows first: they were sorted by time")
    elif back:
        _note(log, "the rows of the file are not in the order of time: they were sorted")


def _note(log: IntakeLog, note: str) -> None:
    if note not in log.notes:
        log.notes.append(note)


def _without_repeats(rows: Rows, kept: IntArray, utc: IntArray, log: IntakeLog) -> IntArray:
    """Report rows for a home and time that have one already, which are sorted by both; return those that count.

    Of several the later issue counts, then a measured one before an estimated one, then the first of the file.
    """
    issued = np.zeros(len(kept), dtype=np.int64) if rows.revision is None else -rows.revision[kept]
    flag = _flags(rows, kept)
    order = np.lexsort((kept, flag, issued, utc[kept], rows.home[kept]))
    kept, issued, flag = kept[order], issued[order], flag[order]
    again = np.zeros(len(kept), dtype=np.bool_)
    again[1:] = (np.diff(utc[kept]) == 0) & (np.diff(rows.home[kept]) == 0)
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(kept))))
    later, earlier = kept[again], kept[first[again]]
    same = np.ones(len(later), dtype=np.bool_)
    for column in rows.values.values():
        a, b = column.values[later], column.values[earlier]
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    older = issued[again] > issued[first][again]
    weaker = ~older & ~same & (flag[again] > flag[first][again])
    other_line = dict(zip(later.tolist(), rows.line[earlier].tolist(), strict=True))
    both = rows.describe(
        lambda row: f"the row gives other values than line {other_line[row]} for the same time"
    )

    def add(severity: Literal["error", "warning"], code: str, which: BoolArray, text: str) -> None:
        def describe(row: int) -> tuple[int, str | None, str]:
            line, home, message = both(row)
            return line, home, text.format(same=message, line=other_line[row])

        log.add_rows(severity, code, np.sort(later[which]), describe)

    add("warning", "revised", older, "the row was issued again in line {line}; the later issue counts")
    _report_duplicates(rows, np.sort(later[same & ~older]), other_line, log)
    add("warning", "replaced", weaker, "{same}, which was measured and counts")
    add("error", "conflict", ~same & ~older & ~weaker, "{same}; keep one")
    return kept[~again]


def _flags(rows: Rows, kept: IntArray) -> IntArray:
    """Quality of rows; a row without any value is MISSING."""
    empty = np.logical_and.reduce([column.empty[kept] for column in rows.values.values()])
    flags = np.full(len(kept), MEASURED) if rows.quality is None else rows.quality[kept].astype(np.int64)
    return np.where(empty, MISSING, flags)


def _report_duplicates(rows: Rows, which: IntArray, other_line: dict[int, int], log: IntakeLog) -> None:
    """Report rows that repeat another exactly, with one finding."""
    if not len(which):
        return
    line, home, message = rows.describe(lambda row: f"the row repeats line {other_line[row]}")(int(which[0]))
    if len(which) > 1:
        message = f"{len(which)} rows repeat others, this one line {other_line[int(which[0])]}; each"
        home = home if len(np.unique(rows.home[which])) == 1 else None
    else:
        message += "; it"
    log.add("warning", "duplicate", f"{message} is counted once", line=line, household=home, count=len(which))
