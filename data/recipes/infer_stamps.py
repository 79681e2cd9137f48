"""Times as unknown files write them: the layout of each column, the orders of day and month that its rows allow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Literal

from data.intake.raw import DateOrder
from data.recipes.months import MONTHS, numbers_by_name
from data.recipes.stamps import DAY_S, EXCEL_EPOCH_S

What = Literal["stamp", "date", "time", "epoch_s", "epoch_ms", "excel", "range"]

EPOCHS: tuple[tuple[Literal["epoch_s", "epoch_ms"], float], ...] = (("epoch_s", 1.0), ("epoch_ms", 1000.0))
MOST_LAYOUTS = 4
"""A column of times in more layouts is one of texts."""

_SLASHED = re.compile(
    r"(?P<a>\d{1,4})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<c>\d{4}|\d{1,2})(?P<dot>\.?)(?:(?P<gap>T|,? )(?P<rest>\S.*))?"
)
_NAMED = re.compile(
    r"(?P<a>\d{1,2})(?P<s>[-/. ]|\. )(?P<b>[^\W\d_]{3,12})(?P<dot>\.?)(?P=s)(?P<c>\d{4}|\d{2})"
    r"(?:(?P<gap>T|,? )(?P<rest>\d.*))?"
)
_AMERICAN = re.compile(
    r"(?P<b>[^\W\d_]{3,12})(?P<dot>\.?) (?P<a>\d{1,2}), ?(?P<c>\d{4})(?:(?P<gap>,? )(?P<rest>\d.*))?"
)
_COMPACT = re.compile(
    r"(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)(?:(?P<gap>[T ]?)(?P<h>\d\d)(?P<n>\d\d)(?P<sec>\d\d)?)?(?P<z>Z)?"
)
_TIME = re.compile(
    r"(?P<h>\d{1,2})(?P<s>[:.h])(?P<n>\d{2})(?:(?P=s)(?P<sec>\d{2})(?P<frac>[.,]\d+)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?P<zgap> ?)(?P<z>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)
_RANGE = re.compile(
    r"(?P<a>.+?)\s*(?: - | – | to | bis | tot | a | til |–|/|(?<=\d)-(?=\d{1,2}:))\s*(?P<b>.+)"
)


@lru_cache(maxsize=4096)
def _days(year: int, month: int, day: int) -> int | None:
    """Days since 1970; None for a date that does not exist."""
    try:
        return date(year, month, day).toordinal() - 719_163
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """A cell read as a time.

    Args:
        what: A whole stamp, a date, a time of the day, or a range from one to another.
        layout: As `datetime.strptime` takes it, the date as {date}.
        parts: First, second and third number of the date, as written.
        dates: Layout of the date by each order that the numbers allow.
        second: Of the day; 86,400 for 24:00. [s]
        offset_s: From UTC; None where the cell has none. [s]
        language: Of the name of a month.
    """

    what: Literal["stamp", "date", "time"]
    layout: str
    parts: tuple[int, int, int] = (0, 0, 0)
    dates: Mapping[DateOrder, str] = field(default_factory=dict)
    second: int = 0
    offset_s: int | None = None
    language: str | None = None

    def at(self, order: DateOrder) -> int | None:
        """Seconds since 1970, UTC where there is an offset and else on the clock of the file. [s]"""
        a, b, c = self.parts
        year, month, day = {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[order]
        days = _days(year + 2000 if year < 100 else year, month, day)
        if days is None:
            return None
        return days * DAY_S + self.second - (self.offset_s or 0)


@lru_cache(maxsize=65_536)
def reading_of(cell: str) -> Reading | None:
    """Read a cell as a date, a time or both; None where it is neither."""
    if not 4 <= len(cell) <= 40 or not any(c.isdigit() for c in cell):
        return None
    if found := _SLASHED.fullmatch(cell):
        return _slashed(found)
    if found := _COMPACT.fullmatch(cell):
        return _compact(found)
    if found := _NAMED.fullmatch(cell) or _AMERICAN.fullmatch(cell):
        return _named(found)
    if found := _TIME.fullmatch(cell):
        return _time(found) if found["z"] is None else None
    return None


def _slashed(found: re.Match[str]) -> Reading | None:
    a, b, c = found["a"], found["b"], found["c"]
    sign = found["s"]
    if len(a) == 4:
        orders: dict[DateOrder, str] = {"ymd": f"%Y{sign}%m{sign}%d"}
    elif len(a) == 3:
        return None
    elif len(c) == 4:
        orders = {"dmy": f"%d{sign}%m{sign}%Y", "mdy": f"%m{sign}%d{sign}%Y"}
    else:
        orders = {"dmy": f"%d{sign}%m{sign}%y", "mdy": f"%m{sign}%d{sign}%y", "ymd": f"%y{sign}%m{sign}%d"}
    return _with_time(found, (int(a), int(b), int(c)), orders, found["dot"])


def _with_time(
    found: re.Match[str],
    parts: tuple[int, int, int],
    orders: dict[DateOrder, str],
    dot: str,
    language: str | None = None,
) -> Reading | None:
    rest = found["rest"]
    time = _TIME.fullmatch(rest) if rest else None
    of_time = _time(time) if time else None
    if rest and of_time is None:
        return None
    layout = "{date}" + dot + (f"{found['gap']}{of_time.layout}" if of_time else "")
    bare = Reading("stamp" if of_time else "date", layout, parts, orders, of_time.second if of_time else 0)
    possible = {order: text for order, text in orders.items() if bare.at(order) is not None}
    if not possible:
        return None
    offset = of_time.offset_s if of_time else None
    return Reading(bare.what, layout, parts, possible, bare.second, offset, language)


def _compact(found: re.Match[str]) -> Reading | None:
    parts = int(found["y"]), int(found["m"]), int(found["d"])
    time = found["h"] is not None
    second = int(found["h"] or 0) * 3600 + int(found["n"] or 0) * 60 + int(found["sec"] or 0)
    if second > DAY_S or int(found["n"] or 0) > 59 or (found["z"] and not time):
        return None
    clock = f"{found['gap']}%H%M{'%S' if found['sec'] else ''}{'%z' if found['z'] else ''}" if time else ""
    reading = Reading(
        "stamp" if time else "date",
        "{date}" + clock,
        parts,
        {"ymd": "%Y%m%d"},
        second,
        0 if found["z"] else None,
    )
    return reading if reading.at("ymd") is not None else None


def _named(found: re.Match[str]) -> Reading | None:
    word = found["b"].casefold()
    found_in = [
        (language, int(numbers[word]))
        for language in MONTHS
        if word in (numbers := numbers_by_name(language))
    ]
    if not found_in:
        return None
    language, number = found_in[0]
    name = "%b" if len(word) <= 4 else "%B"
    year = "%Y" if len(found["c"]) == 4 else "%y"
    groups = found.groupdict()
    if "s" in groups:
        text = f"%d{groups['s']}{name}{groups['dot']}{groups['s']}{year}"
    else:
        text = f"{name}{groups['dot']} %d, {year}"
    parts = int(found["a"]), number, int(found["c"])
    return _with_time(found, parts, {"dmy": text}, "", language if language != "en" else None)


def _time(found: re.Match[str]) -> Reading | None:
    hour, minute, second = int(found["h"]), int(found["n"]), int(found["sec"] or 0)
    half, sign = found["half"], found["s"]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second)):
        return None
    if sign == "h" and (half or found["sec"] or found["z"]):
        return None
    layout = f"%{'I' if half else 'H'}{sign}%M"
    layout += f"{sign}%S" if found["sec"] else ""
    layout += f"{found['frac'][0]}%f" if found["frac"] else ""
    layout += (" %p" if " " in found[0] else "%p") if half else ""
    zone = found["z"]
    layout += f"{found['zgap']}%z" if zone else ""
    return Reading("time", layout, second=hour * 3600 + minute * 60 + second, offset_s=_offset(zone))


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone in ("Z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def ends_of(cell: str) -> tuple[Reading, Reading] | None:
    """Both ends of a cell such as "00:00-00:15" or "2026-01-01 00:00 to 2026-01-01 01:00"; None for any other."""
    if reading_of(cell) is not None or not (found := _RANGE.fullmatch(cell)):
        return None
    first, last = reading_of(found["a"]), reading_of(found["b"])
    return (first, last) if first and last else None


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column of times.

    Args:
        index: Number of the column, from 0.
        what: What its cells are.
        orders: Orders of day, month and year that all of its rows allow.
        readings: Of each row; None where a cell is empty.
        seconds: Since 1970 of each row, for numbers that count them. [s]
    """

    index: int
    what: What
    orders: tuple[DateOrder, ...] = ()
    readings: Sequence[Reading | None] = ()
    seconds: Sequence[int | None] = ()

    @property
    def has_offset(self) -> bool:
        """Whether its cells are instants."""
        return self.what in ("epoch_s", "epoch_ms") or all(
            r is None or r.offset_s is not None for r in self.readings
        )

    @property
    def language(self) -> str | None:
        """Language of its names of months, where they are not English."""
        return next((r.language for r in self.readings if r and r.language), None)

    def at(self, order: DateOrder) -> list[int | None]:
        """Seconds since 1970 of each row. [s]"""
        if self.seconds:
            return list(self.seconds)
        return [None if reading is None else reading.at(order) for reading in self.readings]

    def formats(self, order: DateOrder) -> tuple[str, ...]:
        """Layouts for `datetime.strptime` in one order, or the word that the recipe has for it."""
        if self.what in ("epoch_s", "epoch_ms", "excel"):
            return (self.what,)
        found: dict[str, None] = {}
        for reading in self.readings:
            if reading is not None:
                dates = reading.dates.get(order, "")
                found[reading.layout.replace("{date}", dates)] = None
        return tuple(found)


def time_column(index: int, cells: Sequence[str], named: bool) -> TimeColumn | None:
    """Read a column as times; None where most of its cells are none.

    Args:
        index: Number of the column.
        cells: Its cells in the rows of data.
        named: Whether its header is a word for time: numbers are stamps only then, or where they count seconds.
    """
    filled = [cell for cell in cells if cell]
    if not filled:
        return None
    readings = [reading_of(cell) if cell else None for cell in cells]
    known = [reading for reading in readings if reading is not None]
    if len(known) >= 0.98 * len(filled) and not _are_numbers(filled, named):
        return _of_readings(index, readings, known)
    return _of_numbers(index, cells, filled, named)


def _are_numbers(filled: Sequence[str], named: bool) -> bool:
    """Whether cells that could be times, such as 20.15 or 20240101, are more likely numbers."""
    if all(re.fullmatch(r"\d{1,2}\.\d\d", cell) for cell in filled):
        return not named
    return False


def _of_readings(
    index: int, readings: Sequence[Reading | None], known: Sequence[Reading]
) -> TimeColumn | None:
    kinds = {reading.what for reading in known}
    if len(kinds) > 1 and kinds != {"stamp", "date"}:
        return None
    what: What = "stamp" if "stamp" in kinds else known[0].what
    orders: list[DateOrder] = (
        [o for o in ("dmy", "mdy", "ymd") if all(o in r.dates for r in known)] if what != "time" else []
    )
    if what != "time" and not orders:
        return None
    layouts = {reading.layout for reading in known}
    return TimeColumn(index, what, tuple(orders), readings) if len(layouts) <= MOST_LAYOUTS else None


def _of_numbers(index: int, cells: Sequence[str], filled: Sequence[str], named: bool) -> TimeColumn | None:
    if not all(re.fullmatch(r"\d{5,13}(\.\d+)?", cell) for cell in filled):
        return None
    numbers = [float(cell) if cell else None for cell in cells]
    there = [number for number in numbers if number is not None]
    low, high = min(there), max(there)
    for what, scale in EPOCHS:
        counts = low >= 946_684_800 * scale and high <= 4_102_444_800 * scale
        if counts and (named or (low != high and all(number % (60 * scale) == 0 for number in there))):
            seconds = [None if n is None else round(n / scale) for n in numbers]
            return TimeColumn(index, what, ("ymd",), seconds=seconds)
    if named and low >= 36_526 and high <= 62_091:
        seconds = [None if n is None else round(n * DAY_S) + EXCEL_EPOCH_S for n in numbers]
        return TimeColumn(index, "excel", ("ymd",), seconds=seconds)
    return None


def is_iso(formats: Sequence[str], samples: Sequence[str]) -> bool:
    """Whether ISO 8601 reads all samples, so that no layout has to be written."""
    if not formats or any(not text.startswith("%Y-%m-%d") or len(text) < 14 for text in formats):
        return False
    for sample in samples:
        try:
            datetime.fromisoformat(sample)
        except ValueError:
            return False
    return True
