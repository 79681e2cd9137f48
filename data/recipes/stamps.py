"""Times of table files: layouts of dates, ISO 8601, epochs, serial numbers of spreadsheets; each text is read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from data import clock
from data.intake.claims import Question
from data.intake.raw import Hints
from data.recipes import months
from data.recipes.model import StampRule
from market.units import Int8Array, IntArray

DAY_S = 86_400
EXCEL_EPOCH_S = -25_569 * DAY_S
"""1899-12-30, from which spreadsheets count days. [s since 1970]"""
EXCEL_ROUNDED_S = 0.05
"""A serial number is this near to a whole second; what a spreadsheet computes is not exact. [s]"""

REMEMBERED = 200_000
"""Texts of which the time is kept for the next chunk: the homes of a file mostly have the same times."""

TRIED = 20
"""Texts of a fixed width that are tried in the slow way before all are."""

FORMATS_OF_CELLS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
"""How sheets.py writes cells that hold times."""
MIDNIGHT = " 00:00:00"

ORDERS = {"d": "dmy", "m": "mdy", "Y": "ymd", "y": "ymd"}
_DIRECTIVE = re.compile(r"%(.)")
_MIDNIGHT = re.compile(r"(?<!\d)24:00(:00)?(?!\d)")
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}


class CellTimes(Sequence[str]):
    """Texts of times that a workbook holds as such, each written only when it is asked for.

    Args:
        seconds: Since 1970, on the local clock. [s]
    """

    def __init__(self, seconds: IntArray) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self.seconds)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return CellTimes(self.seconds[at])
        return next(iter(CellTimes(self.seconds[at : at + 1])))

    def __iter__(self) -> Iterator[str]:
        import pyarrow as pa

        yield from texts_of_times(pa.array(self.seconds).cast(pa.timestamp("s"))).to_pylist()


def texts_of_times(column: Any) -> Any:
    """An Arrow column of times as sheets.py writes cells that hold them: `FORMATS_OF_CELLS`, the second at midnight."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.strftime(column, FORMATS_OF_CELLS[0]), f"{MIDNIGHT}$", "")


class StampReader:
    """Reads the texts of times of one file.

    Args:
        rule: What the recipe says.
        hints: The order of day and month, where the user says it.
        cells: Whether times may also be written as sheets.py writes them.
    """

    def __init__(self, rule: StampRule, hints: Hints, cells: bool = False) -> None:
        formats = rule.format
        ordered = [f for f in formats if hints.dates is None or order_of(f) in (None, hints.dates)]
        self._formats = ordered or list(formats)
        self._cells = [f for f in FORMATS_OF_CELLS if f not in formats] if cells else []
        self._months = months.numbers_by_name(rule.language or "en")
        self.question: Question | None = None
        self._known: dict[str, tuple[int, int]] = {}

    def read(self, texts: Sequence[str]) -> tuple[IntArray, Int8Array]:
        """Seconds since 1970 and kind of each text, as `clock.parse_stamps` gives them.

        Where the layouts of several orders of day and month read all texts, `question` asks for one.
        """
        if isinstance(texts, CellTimes):
            return texts.seconds, np.full(len(texts), clock.LOCAL, dtype=np.int8)
        known = self._known
        fresh = [text for text in texts if text not in known]
        if len(fresh) == len(texts) and len(known) + len(fresh) > REMEMBERED:
            return self._read(texts)
        seconds, kind = self._read(fresh)
        if len(known) + len(fresh) > REMEMBERED:
            known = dict(known)
        known.update(zip(fresh, zip(seconds.tolist(), kind.tolist(), strict=True), strict=True))
        both = np.array([known[text] for text in texts], dtype=np.int64).reshape(-1, 2)
        return both[:, 0].copy(), both[:, 1].astype(np.int8)

    def _read(self, texts: Sequence[str]) -> tuple[IntArray, Int8Array]:
        seconds, kind = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int8)
        self._settle_order(texts)
        for layout in (*self._formats, *self._cells):
            left = np.flatnonzero(kind == clock.UNREADABLE)
            if not len(left):
                break
            seconds[left], kind[left] = self._in(layout, [texts[i] for i in left.tolist()])
        left = np.flatnonzero(kind == clock.UNREADABLE)
        late = [i for i in left.tolist() if _MIDNIGHT.search(texts[i])]
        if late:
            begun = [_MIDNIGHT.sub(lambda m: "00:00" + ((m[1] and ":00") or ""), texts[i]) for i in late]
            for layout in (*self._formats, *self._cells):
                s, k = self._in(layout, begun)
                fresh = (kind[late] == clock.UNREADABLE) & (k != clock.UNREADABLE)
                seconds[late] = np.where(fresh, s + DAY_S, seconds[late])
                kind[late] = np.where(fresh, k, kind[late])
        return seconds, kind

    def _settle_order(self, texts: Sequence[str]) -> None:
        """Keep the layouts of one order of day and month, if the texts show which it is."""
        orders = {order for f in self._formats if (order := order_of(f))}
        if len(orders) < 2 or not texts:
            return
        fit = {}
        for order in sorted(orders):
            fit[order] = sum(self._fits(texts, f) for f in self._formats if order_of(f) == order)
        full = [order for order, count in fit.items() if count >= len(texts)]
        if len(full) > 1:
            example = texts[0]
            asks = f"in dates such as {example!r} day, month and year can be in several orders"
            self.question = Question("--dates", asks, tuple(full))
        best = full[0] if full else max(fit, key=lambda order: fit[order])
        self._formats = [f for f in self._formats if order_of(f) in (None, best)]

    def _fits(self, texts: Sequence[str], layout: str) -> int:
        return int((self._in(layout, texts)[1] != clock.UNREADABLE).sum())

    def _in(self, layout: str, texts: Sequence[str]) -> tuple[IntArray, Int8Array]:
        if layout == "iso":
            return clock.parse_stamps(texts)
        if layout in _NUMBERS:
            return _numbers(texts, *_NUMBERS[layout])
        if "%b" in layout or "%B" in layout:
            layout = layout.replace("%b", "%m").replace("%B", "%m")
            texts = [self._month_as_number(text) for text in texts]
        fast = _fixed_width(texts, layout)
        if fast is None:
            return clock.parse_stamps(texts, layout)
        left = np.flatnonzero(fast[1] == clock.UNREADABLE)
        some = left[:: max(len(left) // TRIED, 1)].tolist()
        if not (clock.parse_stamps([texts[i] for i in some], layout)[1] != clock.UNREADABLE).any():
            return fast  # texts of another layout: none of them can be read by this one
        fast[0][left], fast[1][left] = clock.parse_stamps([texts[i] for i in left.tolist()], layout)
        return fast

    def _month_as_number(self, text: str) -> str:
        return re.sub(r"[^\W\d_]+\.?", lambda m: self._months.get(m[0].rstrip(".").casefold(), m[0]), text)


def order_of(layout: str) -> str | None:
    """Order of day, month and year in a layout: "dmy", "mdy" or "ymd"; None where it has no such order."""
    first = next((d for d in _DIRECTIVE.findall(layout) if d in "dmYybB"), None)
    return ORDERS.get("m" if first in ("b", "B") else first) if first else None


_NUMBERS: dict[str, tuple[float, int, int]] = {
    "epoch_s": (1.0, 0, clock.WITH_OFFSET),
    "epoch_ms": (0.001, 0, clock.WITH_OFFSET),
    "excel": (DAY_S, EXCEL_EPOCH_S, clock.LOCAL),
}
"""Seconds of one unit, the second from which it counts, and the kind of stamp."""


LATEST_S = 2.0**40
"""No number of seconds from here on is a stamp. [s]"""


def _numbers(texts: Sequence[str], unit_s: float, begin_s: int, kind_of: int) -> tuple[IntArray, Int8Array]:
    seconds, kind = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int8)
    for i, text in enumerate(texts):
        if not re.fullmatch(r"\d+([.,]\d*)?([eE]\+?\d+)?", text):
            continue
        exact = float(text.replace(",", ".")) * unit_s
        if exact >= LATEST_S:  # infinity too, which is no whole number
            continue
        whole = round(exact)
        if abs(exact - whole) <= EXCEL_ROUNDED_S:
            seconds[i], kind[i] = whole + begin_s, kind_of
    return seconds, kind


def _fixed_width(texts: Sequence[str], layout: str) -> tuple[IntArray, Int8Array] | None:
    """Read texts whose parts all have two or four digits, together; None for other layouts."""
    parts = re.split(r"%(.)", layout)
    directives = parts[1::2]
    if (
        not texts
        or len(set(directives)) < len(directives)
        or not {"Y", "m", "d"} <= {*directives} <= _WIDTHS.keys()
    ):
        return None
    width = sum(map(len, parts[::2])) + sum(_WIDTHS[d] for d in directives)
    table = np.array(texts, dtype=f"U{width + 1}").view(np.uint32).reshape(len(texts), width + 1)
    good = table[:, width] == 0
    field: dict[str, IntArray] = {"H": _zeros(texts), "M": _zeros(texts), "S": _zeros(texts)}
    at = 0
    for i, part in enumerate(parts):
        if i % 2 == 0:
            for char in part:
                good &= table[:, at] == ord(char)
                at += 1
            continue
        value = _zeros(texts)
        for _ in range(_WIDTHS[part]):
            digit = table[:, at].astype(np.int64) - ord("0")
            good &= (digit >= 0) & (digit <= 9)
            value = value * 10 + digit
            at += 1
        field[part] = value
    year, month, day = field["Y"], field["m"], field["d"]
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (field["H"] < 24) & (field["M"] < 60) & (field["S"] < 60)
    safe = np.where(good, (year - 1970) * 12 + month - 1, 0)
    first = safe.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days = (safe + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    good &= day <= days
    seconds = (first + day - 1) * DAY_S + field["H"] * 3600 + field["M"] * 60 + field["S"]
    return np.where(good, seconds, 0), np.where(good, clock.LOCAL, clock.UNREADABLE).astype(np.int8)


def _zeros(texts: Sequence[str]) -> IntArray:
    return np.zeros(len(texts), dtype=np.int64)


def time_of_day_s(text: str) -> int | None:
    """Seconds from midnight of a time such as "0:30", "00:30:00" or "24:00"; None for any other text. [s]"""
    found = re.fullmatch(r"(\d{1,2})[:.h](\d\d)(?:[:.](\d\d))?", text.strip())
    if not found:
        return None
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3] or 0)
    if minutes > 59 or seconds > 59 or hours * 3600 + minutes * 60 + seconds > DAY_S:
        return None
    return hours * 3600 + minutes * 60 + seconds


def offset_s(text: str) -> int:
    """Seconds of an offset such as "+10:00". [s]"""
    hours, minutes = text[1:].split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * (-1 if text[0] == "-" else 1)
