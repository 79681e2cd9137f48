"""From the first bytes of an unknown text file to rows of cells: encoding, separator, lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from data.recipes.text import MARKS, said_separator

Value = TypeVar("Value", covariant=True)

SEPARATORS = {";": "semicolon", "\t": "tab", "|": "bar", ",": "comma"}
"""Signs between cells in the order in which they are tried: a comma may be a decimal sign too."""

LONGEST_LINE = 100_000
"""A head without an end of line within so many characters is no table."""


@dataclass(frozen=True, slots=True)
class Conclusion(Generic[Value]):
    """What was concluded from a file.

    Args:
        value: The conclusion.
        confidence: From 0 to 1.
        why: One clause.
    """

    value: Value
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Grid:
    """The head of a table as rows of cells.

    Args:
        rows: Cells, trimmed of white space and of the quotes of spreadsheets.
        lines: Line in the file of each row, from 1.
        tail: The last rows of a file that is longer than its head; empty where `rows` hold it all.
        encoding: How bytes become text; None for a workbook.
        separator: Sign between cells; None for a workbook.
        sheet: Sheet of a workbook.
        name: Name of the file, which may say that it is of gas.
    """

    rows: Sequence[tuple[str, ...]]
    lines: Sequence[int]
    tail: Sequence[tuple[str, ...]] = ()
    encoding: Conclusion[str] | None = None
    separator: Conclusion[str] | None = None
    sheet: str | None = None
    name: str = ""


def encoding_of(head: bytes, stated: str | None = None) -> Conclusion[str] | None:
    """Find the encoding: a byte order mark, then UTF-8, then what the user states; None where it must be asked."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return Conclusion(name, 1.0, "a byte order mark says so")
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return Conclusion(stated, 1.0, "you said so") if stated else None
    ascii_only = head.isascii()
    return Conclusion(
        "utf-8", 1.0 if not ascii_only else 0.97, "ASCII alone" if ascii_only else "it is valid UTF-8"
    )


def decoded(head: bytes, encoding: str) -> str | None:
    """Text of a head, cut within a character or not; None where it is no text in this encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(head)
    except (UnicodeDecodeError, LookupError):
        return None
    return None if "\x00" in text else text


def is_binary(head: bytes) -> bool:
    """Whether bytes are no text at all: zeros without a mark of UTF-16, or many control characters."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    sample = head[:4096]
    control = sum(byte < 9 or 13 < byte < 32 for byte in sample)
    return b"\x00" in sample or control * 50 > len(sample)


def grid_of(text: str, complete: bool, tail: str = "") -> Grid | None:
    """Cut a text into rows of cells.

    Args:
        text: The head of the file.
        complete: Whether it is the whole file; else its last line may be cut and is left out.
        tail: The end of a longer file, whose first line may be cut and is left out.

    Returns:
        The rows, without an encoding; None where no separator makes a table of them.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not complete:
        text = text[: text.rfind("\n") + 1]
    said = said_separator(text)
    separator = Conclusion(said, 1.0, "the first line says so") if said else separator_of(text)
    if separator is None:
        return None
    rows, lines = _cells(text, separator.value, skip_first=said is not None)
    last: Sequence[tuple[str, ...]] = ()
    if tail:
        tail = tail.replace("\r\n", "\n").replace("\r", "\n")
        last, _ = _cells(tail[tail.find("\n") + 1 :], separator.value, skip_first=False)
    return Grid(rows, lines, last, None, separator)


def separator_of(text: str) -> Conclusion[str] | None:
    """Find the sign between cells: the one that cuts most lines into the same number of cells."""
    if "\n" not in text[:LONGEST_LINE]:
        return None
    found: list[tuple[float, int, str]] = []
    for sign in SEPARATORS:
        if sign not in text:
            continue
        widths = [len(row) for row in _cells(text, sign, False)[0] if any(row)]
        width, share = _usual(widths)
        if width > 1 and share >= 0.5:
            found.append((share, width, sign))
    if not found:
        return None
    good = [one for one in found if one[0] >= 0.8]
    share, width, sign = good[0] if good else max(found)
    others = [SEPARATORS[one[2]] for one in found if one[2] != sign]
    why = f"a {SEPARATORS[sign]} cuts {share:.0%} of the lines into {width} cells"
    return Conclusion(sign, 0.99 if share > 0.9 and not others else 0.95, why)


def _usual(widths: Sequence[int]) -> tuple[int, float]:
    """The most frequent number of cells, and its share of the lines from the first that has it on."""
    counts = Counter(width for width in widths if width > 1)
    if not counts:
        return 0, 0.0
    width, count = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
    return width, count / (len(widths) - list(widths).index(width))


def _cells(text: str, separator: str, skip_first: bool) -> tuple[list[tuple[str, ...]], list[int]]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not (skip_first and reader.line_num == 1):
                rows.append(tuple(_trimmed(cell) for cell in row))
                lines.append(reader.line_num)
    except csv.Error:  # a cell beyond the limit, or a bare return within one: the rows before it are good
        pass
    return rows, lines


def _trimmed(cell: str) -> str:
    """A cell without white space around it, and without what spreadsheets write to keep a number a text: ="..."."""
    cell = cell.strip().strip("\ufeff").strip()
    if len(cell) > 2 and cell[0] == "=" and cell[1] == cell[-1] == '"':
        return cell[2:-1]
    return cell
