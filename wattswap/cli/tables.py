"""Tables on a terminal: as many columns as fit, no number cut, and a line that names the columns left out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from wattswap.runs.shown import rounded

if TYPE_CHECKING:
    import pandas as pd

WIDTH_IN_A_PIPE = 140
ONE_LINE = 100_000
"""Width of a pipe in which every entry has one line, to be searched by line."""
_GAP = "  "


@dataclass(frozen=True, eq=False)
class Column:
    """A column of text.

    Args:
        head: Above it, on as many lines as its cells leave it no room.
        cells: One a row.
        right: Whether it is aligned to the right, as numbers are.
    """

    head: str
    cells: Sequence[str]
    right: bool = True

    @cached_property
    def width(self) -> int:
        """Letters that its widest cell or word of its head takes."""
        return max(map(len, [*self.cells, *self.head.split()]), default=0)

    def lines_of_head(self) -> list[str]:
        """Its head, in lines no longer than its width."""
        return wrap(self.head, max(self.width, 1), break_long_words=False, break_on_hyphens=False)

    def placed(self, text: str) -> str:
        """A text of it with the blanks that align it."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def screen_width(in_a_pipe: int = WIDTH_IN_A_PIPE) -> int:
    """Letters in a line: of the terminal, of COLUMNS where it is set, or as many as a line in a pipe may have."""
    return shutil.get_terminal_size((in_a_pipe, 24)).columns


def wrapped(text: str, indent: int = 0, in_a_pipe: int = WIDTH_IN_A_PIPE) -> str:
    """A text in lines no longer than the screen; all but the first are indented."""
    width = max(screen_width(in_a_pipe), indent + 20)
    held = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)  # a number stays beside its sign
    lines = wrap(held, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}%", " %")


def print_table(
    title: str,
    frame: pd.DataFrame,
    decimals: int = 2,
    *,
    keep: Sequence[str] = (),
    wide: bool = False,
    total: bool = False,
) -> None:
    """Print a frame with numbers aligned to the right; an empty cell is a value that does not exist.

    See `print_columns` for `keep`, `wide` and `total`.
    """
    heads = [str(name).replace("_", " ") for name in frame.columns]
    columns = [
        Column(head, [cell(value, decimals) for value in frame.iloc[:, i].tolist()], dtype.kind in "ifu")
        for i, (head, dtype) in enumerate(zip(heads, frame.dtypes, strict=True))
    ]
    key = Column(str(frame.index.name or ""), [str(key) for key in frame.index], right=False)
    print_columns(title, key, columns, keep=keep, wide=wide, total=total)


def print_figures(
    title: str, frame: pd.DataFrame, columns: Mapping[str, tuple[str, int, float]], *, wide: bool
) -> None:
    """Print some figures of a frame, beside its index; a column that it does not have is left out.

    Args:
        title: Above the table.
        frame: The figures.
        columns: Head, decimals and factor of each of its columns that is printed, from left to right.
        wide: See `print_columns`.
    """
    key = Column(str(frame.index.name), [str(one) for one in frame.index], right=False)
    found = [
        Column(head, [cell(float(value) * factor, decimals) for value in frame[name]])
        for name, (head, decimals, factor) in columns.items()
        if name in frame
    ]
    print_columns(title, key, found, wide=wide)


def print_columns(
    title: str,
    key: Column,
    columns: Sequence[Column],
    *,
    keep: Sequence[str] = (),
    wide: bool = False,
    total: bool = False,
) -> None:
    """Print columns of text; those that do not fit are left out, and named below.

    Args:
        title: Above the table.
        key: The first column, which always stays.
        columns: The others, from left to right.
        keep: Heads of the columns that stay longest, the most important first; the others go before them, from the
            right to the left.
        wide: Whether all columns are printed, however wide the screen is.
        total: Whether the last row is the sum of the others. The line above it says so, not its name: a home may have
            any name.
    """
    kept = list(columns) if wide else fitting(key, columns, keep)
    if title:
        print(wrapped(title))
    print()
    shown = [key, *kept]
    heads = [column.lines_of_head() for column in shown]
    for i in range(max(map(len, heads)), 0, -1):
        _print_row(shown, [lines[-i] if i <= len(lines) else "" for lines in heads])
    line = " " + "─" * (sum(column.width for column in shown) + len(_GAP) * len(kept))
    print(line)
    for i, row in enumerate(zip(*(column.cells for column in shown), strict=True), 1):
        if total and i == len(key.cells):
            print(line)
        _print_row(shown, row)
    left_out = [column.head for column in columns if column not in kept]
    if left_out:
        print(wrapped(f" Left out at this width: {', '.join(left_out)} (--wide shows all).", 1))
    print()


def fitting(key: Column, columns: Sequence[Column], keep: Sequence[str]) -> list[Column]:
    """The columns that fit beside the key, at least one."""
    order = {head: i for i, head in enumerate(keep)}
    ranked = sorted(columns, key=lambda column: order.get(column.head, len(order)))
    room = screen_width() - 1 - key.width
    while len(ranked) > 1 and sum(column.width + len(_GAP) for column in ranked) > room:
        ranked.pop()
    return [column for column in columns if column in ranked]


def _print_row(columns: Sequence[Column], texts: Sequence[str]) -> None:
    print(" " + _GAP.join(c.placed(text) for c, text in zip(columns, texts, strict=True)).rstrip())


def cell(value: Any, decimals: int) -> str:
    """One table cell as text."""
    if value is None or value != value:
        return ""
    return fixed(value, decimals) if isinstance(value, float) else str(value)


def fixed(value: float, decimals: int = 2) -> str:
    """A number with fixed decimals; what rounds to zero has no sign."""
    return f"{rounded(value, decimals):.{decimals}f}"
