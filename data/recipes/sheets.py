"""Workbooks (xlsx, xlsm, xls, ods): columns of cells, typed or texts; formulas by the values stored with them."""

from __future__ import annotations

import gc
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import MissingPackage
from data.intake.raw import IntakeLog
from data.recipes.header import SEARCHED, Header, Line
from data.recipes.model import FileRule
from data.recipes.sheet_bounds import BINARY, MOST_CELLS, cells_of
from data.recipes.sheet_marks import Marks, has_signs, marks_of
from data.recipes.stamps import EXCEL_ROUNDED_S, MIDNIGHT
from data.recipes.text import Chunk, Wanted

UNZIPPED = (zipfile.BadZipFile, zlib.error, RuntimeError)
"""What unpacking ends with; the last where a part is encrypted or packed in another way."""
LARGEST_BYTES = 1 << 28
"""Most bytes of a workbook when unpacked: a sheet is read whole. [bytes]"""

KEPT_CELLS = 500_000
"""A sheet that was parsed for its first rows is kept for the others up to this size; a year of quarters has 70,000."""
_parsed: dict[tuple[Path, int, int, str], Any] = {}
"""The sheet that was parsed last for its first rows, if it is not large, by file, time of change, size and name."""

ROWS = 200_000
MICRO = 10**6
FOUR_DIGITS_US = (datetime(1000, 1, 1) - datetime(1970, 1, 1)) // timedelta(microseconds=1)
"""The first year that is written with four digits. [us since 1970]"""

EMPTY = ("", None)

_ZONE = attrgetter("tzinfo")

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
        for row, values in enumerate(_rows(path, book, name, SEARCHED)):
            cells = [text(cell, ".") for cell in values]
            while cells and not cells[-1]:
                cells.pop()
            if len(cells) > 1:
                lines.append(Line(row, "", tuple(cells), name))
    return tuple(lines)


def names(path: Path) -> list[str]:
    """Names of all sheets, in the order of the workbook."""
    return list(_open(path).sheet_names)


def preamble(path: Path, header: Header) -> list[str]:
    """The rows above the header, each as one text with ';' between the cells."""
    book = _open(path)
    rows = _rows(path, book, str(header.line.sheet), header.line.row)
    return [";".join(text(cell, ".") for cell in row) for row in rows]


def chunks(path: Path, header: Header, rule: FileRule, wanted: Wanted, log: IntakeLog) -> Iterator[Chunk]:
    """Rows below the header, in the order of the sheet; columns of times or numbers alone are typed, others texts.

    What the sheet hides is read as all else, and noted.
    """
    first = header.line.row + 1 + rule.units_row
    sheet = str(header.line.sheet)
    book, marks = _open(path), _marks(path, sheet)
    rows = _with_words(_rows(path, book, sheet), marks)[first:]
    _note_hidden(book, header, marks, range(first, first + len(rows)), wanted, log)
    if rule.end is not None:
        rows = rows[: next((at for at, cells in enumerate(rows) if _matches(rule.end, cells)), len(rows))]
    lines = list(range(first + 1, first + 1 + len(rows)))
    if rule.skip is not None:
        kept = [at for at, cells in enumerate(rows) if not _matches(rule.skip, cells)]
        rows, lines = [rows[at] for at in kept], [lines[at] for at in kept]
    for begin in range(0, len(rows), ROWS):
        with _uncollected():
            chunk = _chunk(rows[begin : begin + ROWS], lines[begin : begin + ROWS], rule, wanted)
        if len(chunk.line):
            yield chunk


def _marks(path: Path, sheet: str) -> Marks:
    try:
        status = path.stat()
        return marks_of(path, sheet, _looked_through(path, status.st_mtime_ns, status.st_size))
    except (*UNZIPPED, OSError) as problem:
        raise UnreadableSheets(f"the sheet {sheet!r} cannot be unpacked ({problem}); {CURE}") from problem


def _with_words(rows: list[list[Any]], marks: Marks) -> list[list[Any]]:
    """The rows of a sheet with what the reader leaves out: a cell that has an error or no value is not an empty one."""
    width = len(rows[0]) if rows else 0
    for (row, at), word in marks.texts.items():
        rows += [[""] * width for _ in range(len(rows), row + 1)]
        if at < width:
            rows[row][at] = word
    return rows


def _note_hidden(
    book: Any, header: Header, marks: Marks, below: range, wanted: Wanted, log: IntakeLog
) -> None:
    """Note what a person who considers the sheet does not see; its name may be a meter's number, and is left out."""
    visible = {str(one.name): str(one.visible).endswith("Visible") for one in book.sheets_metadata}
    if not visible.get(str(header.line.sheet), True):
        log.notes.append("the sheet that is read is hidden in the workbook")
    if hidden := [row for row in marks.rows if row in below]:
        rows = f"{len(hidden)} hidden rows of the sheet, the first of them row {hidden[0] + 1},"
        log.notes.append(f"{rows} are read as the others")
    read = sorted({*wanted.texts, *wanted.numbers})
    if columns := [header.name(at) for at in read if any(a <= at <= b for a, b in marks.columns)]:
        listed = ", ".join(map(repr, columns))
        log.notes.append(f"hidden columns of the sheet are read as the others: {listed}")


def _chunk(rows: list[list[Any]], lines: list[int], rule: FileRule, wanted: Wanted) -> Chunk:
    """Some rows of a sheet without those that are blank."""
    positions = (*wanted.texts, *wanted.numbers)
    across = list(zip(*rows, strict=True))
    some = across[positions[0]] if positions[0] < len(across) else ("",)
    if not {str, type(None)}.isdisjoint(map(type, some)) and any(empty in some for empty in EMPTY):
        kept = [at for at, row in enumerate(rows) if not _is_blank(row)]
        rows, lines = [rows[at] for at in kept], [lines[at] for at in kept]
        across = list(zip(*rows, strict=True))
    nothing = ("",) * len(rows)
    typed = not rule.thousands and not any(map(_is_number, wanted.empty))
    columns = {}
    for at in positions:
        cells = across[at] if at < len(across) else nothing
        column = _numbers(cells) if typed and at in wanted.numbers else None
        column = _times(cells) if at in wanted.texts else column
        columns[at] = _texts(cells, rule.decimal) if column is None else column
    return Chunk(np.array(lines, dtype=np.int64), columns)


def _numbers(cells: Sequence[Any]) -> Any:
    """Numbers as an Arrow column of doubles, empty cells null; None where a cell is anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = set(map(type, cells))
    if kinds & {str, type(None)}:
        cells = [None if cell in EMPTY else cell for cell in cells]
        kinds = {*map(type, cells)} - {type(None)}
    if not kinds <= {float, int}:
        return None
    try:
        column = pa.array(cells, pa.float64())
    except pa.ArrowInvalid:  # a whole number that no double holds exactly
        return None
    if not pc.all(pc.is_finite(column), min_count=0).as_py():
        return None
    return pc.add(column, 0.0)  # a spreadsheet's -0 is 0


def _times(cells: Sequence[Any]) -> Any:
    """Times and days as an Arrow column of whole seconds; None where a cell is anything else, or has a zone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not set(map(type, cells)) <= {datetime, date} or not cells:
        return None
    moments = [datetime.combine(cell, time()) if type(cell) is date else cell for cell in cells]
    if set(map(_ZONE, moments)) != {None}:
        return None
    us = pa.array(moments, pa.timestamp("us")).cast(pa.int64()).to_numpy()
    whole = (us + MICRO // 2) // MICRO
    if us.min() < FOUR_DIGITS_US or (np.abs(whole * MICRO - us) > EXCEL_ROUNDED_S * MICRO).any():
        return None
    return pc.cast(pa.array(whole), pa.timestamp("s"))


def _texts(cells: Sequence[Any], decimal: str) -> Any:
    """A column of cells as `text` writes each, as an Arrow column."""
    import pyarrow as pa

    if set(map(type, cells)) != {str}:
        cells = [text(cell, decimal) for cell in cells]
    return pa.array(cells, pa.string())


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word.replace(",", ".")))
    except ValueError:
        return False


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


def _is_blank(cells: Sequence[Any]) -> bool:
    return all(cell in EMPTY for cell in cells)


def _matches(pattern: str, cells: Sequence[Any]) -> bool:
    """Whether a row that is not blank fits a pattern."""
    return (
        not _is_blank(cells) and re.search(pattern, ";".join(text(cell, ".") for cell in cells)) is not None
    )


def _rows(path: Path, book: Any, sheet: str, count: int | None = None) -> list[list[Any]]:
    import python_calamine

    status = path.stat()
    key = (path, status.st_mtime_ns, status.st_size, sheet)
    try:
        there = _parsed[key] if key in _parsed else book.get_sheet_by_name(sheet)
        with _uncollected():
            rows: list[list[Any]] = there.to_python(skip_empty_area=False, nrows=count)
    except (OSError, ValueError, OverflowError, python_calamine.CalamineError) as problem:
        raise UnreadableSheets(f"the sheet {sheet!r} cannot be read ({problem}); {CURE}") from problem
    except BaseException as problem:
        # Of the reader's own language; no class that could be named.
        if type(problem).__name__ != "PanicException":
            raise
        raise UnreadableSheets(f"the sheet {sheet!r} cannot be read; {CURE}") from problem
    _parsed.clear()
    if count is not None and there.total_height * there.total_width <= KEPT_CELLS:
        _parsed[key] = there
    return rows


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without collections of garbage, which would go through all cells again and again and find none."""
    there = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if there:
            gc.enable()


@lru_cache(maxsize=4)
def _looked_through(path: Path, _changed_ns: int, size: int) -> frozenset[str]:
    """Refuse a workbook for which the reader would make too much room; a file is unpacked once.

    Returns:
        Parts of it that hide nothing; see `sheet_marks.has_signs`.
    """
    if not zipfile.is_zipfile(path):
        _refuse_size(size)
        return frozenset()
    cells, plain = 0, set[str]()
    with zipfile.ZipFile(path) as archive:
        _refuse_size(sum(member.file_size for member in archive.infolist()))
        if BINARY in archive.namelist():
            raise UnreadableSheets(f"a binary workbook (xlsb) is not read; {CURE}")
        for part in archive.infolist():
            xml = archive.read(part)
            cells = max(cells, cells_of(part.filename, xml))
            plain |= set() if has_signs(xml) else {part.filename}
    if cells > MOST_CELLS:
        far = f"{cells:,} cells from its first to its last, and at most {MOST_CELLS:,} are read"
        raise UnreadableSheets(f"a sheet of the workbook spans {far}; {CURE}")
    return frozenset(plain)


def _refuse_size(size: int) -> None:
    if size > LARGEST_BYTES:
        sizes = f"{size / 1e6:.0f} MB, and at most {LARGEST_BYTES / 1e6:.0f} MB are read"
        raise UnreadableSheets(f"the workbook holds {sizes}; {CURE}")


def _open(path: Path) -> Any:
    try:
        import python_calamine
    except ImportError as problem:
        what = "a workbook needs the package python-calamine; install it: pip install 'wattswap[meters]'"
        raise MissingPackage(what) from problem
    try:
        status = path.stat()
        _looked_through(path, status.st_mtime_ns, status.st_size)
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except (*UNZIPPED, OSError, ValueError, python_calamine.CalamineError) as problem:
        raise UnreadableSheets(f"the workbook cannot be opened ({problem}); {CURE}") from problem
