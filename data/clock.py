"""Clocks of meter files: reading stamps, and turning local stamps into UTC without losing an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from data.errors import UnknownZone
from market.units import BoolArray, Int8Array, IntArray

UNREADABLE, WITH_OFFSET, LOCAL = 0, 1, 2

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY_S = 86_400
_STRETCH_S = 21_600
"""Of a local clock, which is looked up at both ends. [s]"""
_MANY = 1_000
"""Stamps from which on it is worth trying to read them all at once."""
_WRITTEN = r"[12]\d{3}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_FORMS = {WITH_OFFSET: r"(Z|[+-](0\d|1[0-4]):[0-5]\d)", LOCAL: ""}
_SHORTEST = len("2026-06-13T00:30")  # a bare date is refused: it does not name an interval


_OF_THE_MACHINE = ("localtime", "posixrules", "Factory")
"""Entries of the zone database that say what a machine is set to, and no place."""
_VARIANTS = ("posix/", "right/", "SystemV/")
"""Folders that only some machines have: copies of all zones, those in right/ with leap seconds."""


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of this name, which every machine knows alike.

    Raises:
        UnknownZone: Names the nearest match.
    """
    known = name not in _OF_THE_MACHINE and not name.startswith(_VARIANTS)
    try:
        if known:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise UnknownZone(name, available_timezones().difference(_OF_THE_MACHINE), of_the_machine=not known)


def parse_stamps(texts: Sequence[str], layout: str | None = None) -> tuple[IntArray, Int8Array]:
    """Read ISO 8601 stamps such as 2026-06-13T00:30Z, 2026-06-13 00:30:00+02:00 or 2026-06-13 00:30.

    Args:
        texts: The stamps.
        layout: As `datetime.strptime` takes it, where they are not ISO 8601.

    Returns:
        Seconds since 1970, in UTC where the text has an offset and on the local clock where it has none; and
        for each text UNREADABLE, WITH_OFFSET or LOCAL. Fractions of a second are unreadable.
    """
    if layout is None and len(texts) >= _MANY and (known := _in_bulk(texts)) is not None:
        return known
    seconds = np.zeros(len(texts), dtype=np.int64)
    kind = np.zeros(len(texts), dtype=np.int8)
    for i, text in enumerate(texts):
        if layout is None and len(text) < _SHORTEST:
            continue
        try:
            stamp = datetime.strptime(text, layout) if layout else datetime.fromisoformat(text)
        except ValueError:
            continue
        if stamp.microsecond:
            continue
        if stamp.tzinfo is None:
            seconds[i], kind[i] = (stamp - _EPOCH) // _SECOND, LOCAL
        else:
            seconds[i], kind[i] = (stamp - _EPOCH_UTC) // _SECOND, WITH_OFFSET
    return seconds, kind


def _in_bulk(texts: Sequence[str]) -> tuple[IntArray, Int8Array] | None:
    """Read many stamps that all have one form; None where one has another, or is no time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        column = pa.array(texts, pa.string())
        kind = next(
            (
                kind
                for kind, offset in _FORMS.items()
                if pc.all(pc.match_substring_regex(column, f"^{_WRITTEN}{offset}$")).as_py()
            ),
            UNREADABLE,
        )
        if kind == UNREADABLE:
            return None
        type_ = pa.timestamp("s", "UTC" if kind == WITH_OFFSET else None)
        found: IntArray = pc.cast(column, type_).cast(pa.int64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeEncodeError):
        return None
    return found, np.full(len(found), kind, dtype=np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class LocalClock:
    """What a zone makes of local stamps.

    Args:
        first_utc_s: UTC of each stamp; of its first pass where the clock shows it twice. [s since 1970]
        second_utc_s: UTC of the second pass; equal to the first for ordinary stamps. [s since 1970]
        exists: False for stamps that the clock jumps over in spring.
    """

    first_utc_s: IntArray
    second_utc_s: IntArray
    exists: BoolArray

    @property
    def repeated(self) -> BoolArray:
        """Stamps that the clock shows twice in autumn."""
        return self.second_utc_s > self.first_utc_s


def local_clock(local_s: IntArray, zone: ZoneInfo) -> LocalClock:
    """Look up local stamps in a zone.

    Args:
        local_s: Seconds since 1970 on the local clock; best unique, this loops in Python. [s]
        zone: Their zone.
    """
    stretch = np.unique(local_s // _STRETCH_S)
    if 4 * len(stretch) > len(local_s):
        return _one_by_one(local_s, zone)
    # No clock changes twice within a few hours: where both ends of a stretch are as far from UTC, all of it is.
    ends = np.union1d(stretch, stretch + 1) * _STRETCH_S
    at_ends = _one_by_one(ends, zone)
    first_s, second_s = ends - at_ends.first_utc_s, ends - at_ends.second_utc_s
    begin = np.searchsorted(ends, local_s // _STRETCH_S * _STRETCH_S)
    offset = first_s[begin]
    calm = (second_s[begin] == offset) & (first_s[begin + 1] == offset) & (second_s[begin + 1] == offset)
    first, second = local_s - offset, local_s - offset
    rest = np.flatnonzero(~calm)
    found = _one_by_one(local_s[rest], zone)
    first[rest], second[rest] = found.first_utc_s, found.second_utc_s
    return LocalClock(first, second, second >= first)


def _one_by_one(local_s: IntArray, zone: ZoneInfo) -> LocalClock:
    """Look up each stamp; see `local_clock`."""
    first = np.empty(len(local_s), dtype=np.int64)
    second = np.empty(len(local_s), dtype=np.int64)
    for i, seconds in enumerate(local_s.tolist()):
        stamp = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=zone)
        first[i] = seconds - _offset_s(stamp)
        second[i] = seconds - _offset_s(stamp.replace(fold=1))
    # PEP 495: in the spring gap fold=1 lies before fold=0, in the autumn overlap after it.
    return LocalClock(first, second, second >= first)


def _offset_s(stamp: datetime) -> int:
    offset = stamp.utcoffset()
    assert offset is not None, "the stamp has a zone"
    return offset // _SECOND


def offset_at(utc_s: int, zone: ZoneInfo) -> int:
    """How far the local clock is ahead of UTC at an instant. [s]"""
    return _offset_s(datetime.fromtimestamp(utc_s, zone))


def changes(first_s: int, last_s: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Instants at which the clock changes between two, to the day, and by how much. [s since 1970, s]"""
    days = [(s, offset_at(s, zone)) for s in range(first_s, last_s, _DAY_S)]
    return [(later[0], later[1] - now[1]) for now, later in pairwise(days) if later[1] != now[1]]


def goes_forward(first_s: int, last_s: int, zone: ZoneInfo) -> bool:
    """Whether clocks go forward between two instants. [s since 1970]"""
    days = [offset_at(s, zone) for s in [*range(first_s, last_s, _DAY_S), last_s]]
    return any(later > earlier for earlier, later in pairwise(days))


def utc_by_row_order(
    local_s: IntArray, group: IntArray, zone: ZoneInfo
) -> tuple[IntArray, BoolArray, BoolArray]:
    """Turn the local stamps of rows into UTC; of a repeated hour, rows that come second are the second pass.

    Both ways in which files write the autumn hour work: one pass after the other (02:00, 02:15, .., 02:00,
    02:15) and pairwise (02:00, 02:00, 02:15, 02:15, ..).

    Args:
        local_s: Seconds since 1970 on the local clock, in file order. [s]
        group: The meter of each row; passes are counted per meter.
        zone: The zone of the clock.

    Returns:
        UTC of each row [s since 1970]; which rows lie in a repeated hour; which rows exist at all.
    """
    unique, row = np.unique(local_s, return_inverse=True)
    clock = local_clock(unique, zone)
    utc = clock.first_utc_s[row]
    repeated = clock.repeated[row]
    rows = np.flatnonzero(repeated)
    if len(rows):
        order = rows[np.lexsort((rows, local_s[rows], group[rows]))]
        same = (np.diff(local_s[order]) == 0) & (np.diff(group[order]) == 0)
        # A third occurrence counts as one more second pass, so that the duplicate check sees it.
        second = order[1:][same]
        utc[second] = clock.second_utc_s[row[second]]
    return utc, repeated, clock.exists[row]


def instants_of_positions(
    day_local: IntArray, position: IntArray, minutes: int | IntArray, zone: ZoneInfo
) -> tuple[IntArray, BoolArray]:
    """Turn numbers of intervals, counted from 1 through each local day, into the instants at which they start.

    A day has as many as its hours hold: of half an hour 46 on the day with 23 hours, 48, and 50 on the one with 25.

    Args:
        day_local: Local midnight that begins the day of each row, on the local clock. [s since 1970]
        position: Number of the interval in its day.
        minutes: Interval length, of each row or of all. [min]
        zone: Zone of the days.

    Returns:
        UTC of each start [s since 1970]; and which numbers their day has at all: a row without is an error of the
        file, and one day too short or too long shows a clock that hides the change of the hour.
    """
    step_s = np.asarray(minutes, dtype=np.int64) * 60
    days, row = np.unique(day_local, return_inverse=True)
    # In a gap at midnight the first UTC is that of the change, with which the day begins.
    begin = local_clock(days, zone).first_utc_s
    length = local_clock(days + _DAY_S, zone).first_utc_s - begin
    after = (position - 1) * step_s
    return begin[row] + after, (position >= 1) & (after + step_s <= length[row])


def local_of_utc(utc_s: IntArray, zone: ZoneInfo) -> IntArray:
    """Return what the local clock shows at these instants. [s since 1970 on the local clock]"""
    offset = [_offset_s(datetime.fromtimestamp(s, zone)) for s in utc_s.tolist()]
    return utc_s + np.array(offset, dtype=np.int64)


def local_seconds(stamp: datetime) -> int:
    """Seconds since 1970 on the clock that a naive stamp was read from. [s]"""
    return (stamp - _EPOCH) // _SECOND


def shown(seconds: int, zone: ZoneInfo | None) -> str:
    """Write an instant as people read it in their zone, which is named; in UTC where it is not known."""
    if zone is None:
        return iso_utc(seconds)
    try:
        moment = datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError):  # before the year 1 there
        return iso_utc(seconds)
    return f"{moment:%Y-%m-%d %H:%M} ({zone.key})"


def iso_utc(seconds: int) -> str:
    """Write an instant in UTC, to the minute; seconds where no year from 1 to 9999 has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s since 1970"
