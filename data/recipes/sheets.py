"""Workbooks (xlsx, xlsm, xlsb, xls, ods): cells as texts, formulas by the values stored with them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import MissingPackage
from data.intake.raw import IntakeLog
from data.recipes.header import SEARCHED, Header, Line
from data.recipes.model import FileRule
from data.recipes.stamps import EXCEL_ROUNDED_S
from data.recipes.text import Chunk, Wanted

LARGEST_BYTES = 1 << 28
"""Most bytes of a workbook when unpacked: a sheet is read whole. [bytes]"""

ROWS = 200_000
MIDNIGHT = " 00:00:00"
MICRO, FOUR_DIGITS = 10**6, 1_000

CURE = "save the sheet as CSV"

ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
MEMBERS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


class UnreadableSheets(Exception):
    """A workbook that cannot be opened; the text says why."""


def is_workbook(path: Path, head: bytes) -> bool:
    """Whether a file is a workbook, by its content."""
    if head.startswith(OLE):
        return True
    if not head.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in archive.namelist() for name in MEMBERS)
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return False


def heads(path: Path) -> tuple[Line, ...]:
    """The first rows of every sheet.

    Raises:
        UnreadableSheets: It cannot be opened, or is too large.
        MissingPackage: The package that reads workbooks is not installed.
    """
    status = path.stat()
    return _heads(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _heads(path: Path, _changed_ns: int, _size: int) -> tuple[Line, ...]:
    book = _open(path)
    lines = []
    for name in book.sheet_names:
        for row, values in enumerate(_rows(book, name, SEARCHED)):
            names = [text(cell, ".") for cell in values]
            while names and not names[-1]:
                names.pop()
            if len(names) > 1:
                lines.append(Line(row, "", tuple(names), name))
    return tuple(lines)


def preamble(path: Path, header: Header) -> list[str]:
    """The rows above the header, each as one text with ';' between the cells."""
    book = _open(path)
    rows = _rows(book, str(header.line.sheet), header.line.row)
    return [";".join(text(cell, ".") for cell in row) for row in rows]


def chunks(path: Path, header: Header, rule: FileRule, wanted: Wanted, _log: IntakeLog) -> Iterator[Chunk]:
    """Rows below the header, in the order of the sheet."""
    first = header.line.row + 1 + rule.units_row
    positions = (*wanted.texts, *wanted.numbers)
    lines: list[int] = []
    columns: dict[int, list[Any]] = {at: [] for at in positions}

    def full() -> Chunk:
        texts = {at: _texts(cells, rule.decimal) for at, cells in columns.items()}
        return Chunk(np.array(lines, dtype=np.int64), texts)

    for row, cells in enumerate(_rows(_open(path), str(header.line.sheet))):
        if row < first or cells.count("") + cells.count(None) == len(cells):
            continue
        if rule.end is not None and _matches(rule.end, cells):
            break
        if rule.skip is not None and _matches(rule.skip, cells):
            continue
        lines.append(row + 1)
        for at in positions:
            columns[at].append(cells[at] if at < len(cells) else "")
        if len(lines) == ROWS:
            yield full()
            lines, columns = [], {at: [] for at in positions}
    if lines:
        yield full()


def _texts(cells: list[Any], decimal: str) -> Any:
    """A column of cells as `text` writes each, as an Arrow column."""
    import pyarrow as pa

    kinds = set(map(type, cells))
    if datetime in kinds and kinds <= {datetime, date} and (times := _texts_of_times(cells)) is not None:
        return times
    return pa.array([text(cell, decimal) for cell in cells], pa.string())


def _texts_of_times(cells: list[date]) -> Any:
    """Times and days as `text` writes each; None where one has a zone, or is not near a whole second."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if any(cell.year < FOUR_DIGITS or getattr(cell, "tzinfo", None) is not None for cell in cells):
        return None
    us = np.array(cells, dtype="datetime64[us]").astype(np.int64)
    whole = (us + MICRO // 2) // MICRO
    if (np.abs(whole * MICRO - us) > EXCEL_ROUNDED_S * MICRO).any():
        return None
    written = pc.strftime(pa.array(whole).cast(pa.timestamp("s")), "%Y-%m-%d %H:%M:%S")
    return pc.replace_substring_regex(written, f"{MIDNIGHT}$", "")


def text(cell: Any, decimal: str) -> str:
    """A cell as the same cell of a text file would have it; times as `stamps.FORMATS_OF_CELLS`."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        return repr(cell) if decimal == "." else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime):
        return _rounded(cell).isoformat(sep=" ").removesuffix(MIDNIGHT)
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, time):
        return f"{_rounded(datetime.combine(date(2000, 1, 1), cell)):%H:%M:%S}"
    if isinstance(cell, timedelta):
        seconds = round(cell.total_seconds())
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(cell)


def _rounded(moment: datetime) -> datetime:
    """The whole second that a time is next to; the time itself where it is not near one."""
    if not moment.microsecond:
        return moment
    whole = (moment + timedelta(seconds=0.5)).replace(microsecond=0)
    return whole if abs((whole - moment).total_seconds()) <= EXCEL_ROUNDED_S else moment


def _matches(pattern: str, cells: Sequence[Any]) -> bool:
    return re.search(pattern, ";".join(text(cell, ".") for cell in cells)) is not None


def _rows(book: Any, sheet: str, count: int | None = None) -> list[list[Any]]:
    import python_calamine

    try:
        rows: list[list[Any]] = book.get_sheet_by_name(sheet).to_python(skip_empty_area=False, nrows=count)
    except (OSError, ValueError, OverflowError, python_calamine.CalamineError) as problem:
        raise UnreadableSheets(f"the sheet {sheet!r} cannot be read ({problem}); {CURE}") from problem
    except BaseException as problem:
        # Of the reader's own language; no class that could be named.
        if type(problem).__name__ != "PanicException":
            raise
        raise UnreadableSheets(f"the sheet {sheet!r} cannot be read; {CURE}") from problem
    return rows


def _open(path: Path) -> Any:
    try:
        import python_calamine
    except ImportError as problem:
        what = "a workbook needs the package python-calamine; install it: pip install 'wattswap[meters]'"
        raise MissingPackage(what) from problem
    size = path.stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_BYTES:
            sizes = f"{size / 1e6:.0f} MB, and at most {LARGEST_BYTES / 1e6:.0f} MB are read"
            raise UnreadableSheets(f"the workbook holds {sizes}; {CURE}")
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except (zipfile.BadZipFile, OSError, ValueError, python_calamine.CalamineError) as problem:
        raise UnreadableSheets(f"the workbook cannot be opened ({problem}); {CURE}") from problem
