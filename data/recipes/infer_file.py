"""The head of an unknown file as rows of cells, whatever its kind: text or workbook; computed once for a file."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

from data.errors import MissingPackage
from data.intake.file import HEAD_BYTES, MeterFile
from data.intake.raw import Hints
from data.recipes import sheets
from data.recipes.infer import Inferred, NoTable, infer
from data.recipes.infer_table import table_of
from data.recipes.infer_text import Conclusion, Grid, decoded, encoding_of, grid_of, is_binary

TAIL_BYTES = 4_096

FIRST_ROWS = 100
"""Rows by which a format with little confidence says whether a file is a table at all."""

_GRIDS: WeakKeyDictionary[MeterFile, dict[str | None, Grid | NoTable]] = WeakKeyDictionary()
_GLIMPSES: WeakKeyDictionary[MeterFile, Inferred | NoTable] = WeakKeyDictionary()
_FOUND: WeakKeyDictionary[MeterFile, list[tuple[Hints, Inferred | NoTable]]] = WeakKeyDictionary()


def head_of(file: MeterFile, hints: Hints) -> Grid | NoTable:
    """Rows of cells of a file's head; why it is no table, where it is none."""
    grids = _GRIDS.setdefault(file, {})
    if hints.encoding not in grids:
        grids[hints.encoding] = _head_of(file, hints.encoding)
    return grids[hints.encoding]


def glimpse(file: MeterFile) -> Inferred | NoTable:
    """What the first rows of a file say."""
    if file not in _GLIMPSES:
        grid = head_of(file, Hints())
        if isinstance(grid, NoTable):
            _GLIMPSES[file] = grid
        else:
            few = replace(grid, rows=grid.rows[:FIRST_ROWS], lines=grid.lines[:FIRST_ROWS])
            _GLIMPSES[file] = infer(few, Hints())
    return _GLIMPSES[file]


def inferred(file: MeterFile, hints: Hints) -> Inferred | NoTable:
    """What the head of a file says."""
    known = _FOUND.setdefault(file, [])
    for given, found in known:
        if given == hints:
            return found
    grid = head_of(file, hints)
    known.append((hints, grid if isinstance(grid, NoTable) else infer(grid, hints)))
    return known[-1][1]


def _head_of(file: MeterFile, stated: str | None) -> Grid | NoTable:
    if not file.path.is_file():
        return NoTable("no_table", "it is a folder")
    if sheets.is_workbook(file.path, file.head):
        return _of_workbook(file)
    if is_binary(file.head):
        return NoTable("no_table", "its bytes are no text")
    if file.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{", b"["):
        return NoTable("no_table", "it is XML or JSON and no table")
    encoding = encoding_of(file.head, stated)
    # An encoding that has to be asked for is read as the most frequent one, so that all questions come at once.
    shown = encoding or Conclusion("cp1252", 0.0, "it is not UTF-8")
    text = decoded(file.head, shown.value) or (file.head.decode("latin-1") if encoding is None else None)
    if text is None:
        return NoTable("no_table", f"its bytes are no text in {shown.value}")
    complete = len(file.head) < HEAD_BYTES
    grid = grid_of(text, complete, "" if complete else _tail(file, shown.value))
    if grid is None:
        return NoTable("no_table", "no separator cuts its lines into the same number of cells")
    return replace(grid, encoding=shown, name=file.path.stem)


def _of_workbook(file: MeterFile) -> Grid | NoTable:
    """The first sheet that holds a table; its other sheets may be a title page or costs."""
    try:
        lines = sheets.heads(file.path)
    except (sheets.UnreadableSheets, MissingPackage) as problem:
        return NoTable("unreadable", str(problem))
    grids = []
    for name in dict.fromkeys(line.sheet for line in lines):
        mine = [line for line in lines if line.sheet == name]
        rows = [tuple(cell.strip() for cell in line.names) for line in mine]
        grids.append(Grid(rows, [line.row + 1 for line in mine], sheet=name, name=file.path.stem))
    tables = [grid for grid in grids if table_of(grid) is not None]
    if len(tables) > 1:
        names = ", ".join(repr(grid.sheet) for grid in tables)
        return NoTable("sheets", f"the sheets {names} all hold tables; name one in [file] sheet of a recipe")
    return tables[0] if tables else NoTable("no_table", "no sheet holds rows of a date and a number")


def _tail(file: MeterFile, encoding: str) -> str:
    with file.path.open("rb") as opened:
        opened.seek(-TAIL_BYTES, 2)
        return opened.read().decode("utf-8" if encoding == "utf-8-sig" else encoding, errors="replace")
