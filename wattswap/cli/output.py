"""Output: rows in the form asked for on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from wattswap.cli.tables import ONE_LINE, WIDTH_IN_A_PIPE, print_table, screen_width, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

LONGEST_FACT = 200
"""Letters of the longest value that is printed whole."""
Form = Literal["text", "wide", "json", "csv"]
"""Output form of a view: text as wide as the screen, text with every column, one JSON object, or CSV."""


def form_of(json: bool = False, csv: bool = False, wide: bool = False) -> Form:
    """The form that some options ask for.

    Raises:
        UsageError: Two of them exclude each other.
    """
    from wattswap.errors import UsageError

    asked = [form for form, given in (("json", json), ("csv", csv), ("wide", wide)) if given]
    if len(asked) > 1:
        raise UsageError.of(f"--{asked[1]}", f"excludes --{asked[0]}", "keep one of the two")
    return "json" if json else "csv" if csv else "wide" if wide else "text"


def is_text(form: Form) -> bool:
    """Whether a form is for people."""
    return form in ("text", "wide")


def print_json(value: object) -> None:
    """Print one JSON object on stdout; a number that does not exist is null."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=_as_text))


def _as_text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def note(text: str) -> None:
    """Print a note or an error on stderr: on a terminal in lines that fit, elsewhere in its own lines."""
    lines = text.split("\n")
    if sys.stderr.isatty():
        width = _width_of_errors()
        lines = [wrapped(line, len(line) - len(line.lstrip()) + 2, width) for line in lines]
    print("\n".join(lines), file=sys.stderr)


def _width_of_errors() -> int:
    """Letters in a line of the terminal that shows standard error, also where standard output is elsewhere."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH_IN_A_PIPE
    except (OSError, ValueError):
        return WIDTH_IN_A_PIPE


@contextmanager
def naming_written(*places: Path) -> Iterator[None]:
    """Print inside what was written; where that cannot be printed, the error names the places all the same."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        error.add_note(f"written before that: {', '.join(map(str, places))}")
        raise


def print_facts(facts: Mapping[str, Any], indent: int = 0) -> None:
    """Print facts below each other, one a line; what is too long for the screen goes below its name, or is cut.

    Args:
        facts: Values by name: numbers, texts, lists, and facts by name themselves.
        indent: Blanks at the left.
    """
    room = max((len(name) for name, value in facts.items() if not _is_nested(value)), default=0)
    for name, value in facts.items():
        label = f"{'':{indent}}{name.replace('_', ' '):<{room}}"
        if _is_nested(value):
            print(label.rstrip())
            print_facts(value, indent + 2)
            continue
        text = _text_of(value)
        width = screen_width(ONE_LINE)
        if len(label) + 2 + max(map(len, text.split()), default=0) > width and len(label) > indent + 2:
            print(label.rstrip())
            label = " " * (indent + 2)
        print(wrapped(f"{label}  {text}".rstrip(), len(label) + 2, ONE_LINE))


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Mapping | list) for v in value.values())


def _text_of(value: Any) -> str:
    """A value in words; one that is longer than any screen is cut."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_text_of(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text_of, value)) or "none"
    text = "-" if value is None else str(value)
    return text if len(text) <= LONGEST_FACT else f"{text[:16]}... ({len(text)} letters, all with --json)"


def print_csv(frame: pd.DataFrame) -> None:
    """Print a frame as CSV on stdout, its index first; a value that does not exist is empty."""
    from wattswap.report.page import without_formulas

    print(without_formulas(frame).to_csv(index=False, lineterminator="\n"), end="")


def print_rows(
    frame: pd.DataFrame, form: Form, title: str = "", decimals: int = 2, keep: Sequence[str] = ()
) -> None:
    """Print a frame in a form; as JSON its rows, the index among their values."""
    if is_text(form):
        print_table(title, frame, decimals, keep=keep, wide=form == "wide")
    elif form == "csv":
        print_csv(frame)
    else:
        print_json({"rows": rows_of(frame)})


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON has them, the index among their values; None where a value does not exist."""
    rows = frame.reset_index().astype(object)
    found = rows.where(rows.notna(), None).to_dict(orient="records")
    return [{str(name): value for name, value in row.items()} for row in found]


class Progress:
    """Progress on stderr: one redrawn line on a terminal, one line per tenth in a pipe, nothing when quiet."""

    def __init__(self, label: str, quiet: bool) -> None:
        self._label, self._quiet = label, quiet
        self._begun, self._first = time.monotonic(), -1
        self._tty = sys.stderr.isatty()
        self._shown_at, self._tenth = 0.0, 0
        self._unended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unended:  # what is printed next begins on a line of its own
            print(file=sys.stderr)

    def __call__(self, done: int, total: int, price: float | None) -> None:
        """Report that `done` of `total` intervals are finished, the last one at `price`."""
        if self._quiet:
            return
        now = time.monotonic()
        if self._first < 0:
            self._first = done - 1
        tenth = done * 10 // total
        if not (done == total or (self._tty and now - self._shown_at > 0.2) or tenth > self._tenth):
            return
        if not self._tty and tenth == self._tenth:
            return
        self._shown_at, self._tenth = now, tenth
        rate = (done - self._first) / max(now - self._begun, 1e-9)
        left = (total - done) / rate if rate else 0.0
        last = "no trade" if price is None else f"{price:.4f}/kWh"
        text = f"{self._label}: {done}/{total} intervals, {rate:.0f}/s, {left:.0f} s left, last price {last}"
        if self._tty:
            self._unended = done < total
            end = "" if self._unended else "\n"
            print(f"\r\x1b[2K{text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr)

    def note(self, text: str) -> None:
        """Print a note on a line of its own; the next progress begins a new one."""
        if self._unended:
            print(file=sys.stderr)
            self._unended = False
        note(text)


@contextmanager
def searches_told(say: Callable[[str], None] | None = None, *, quiet: bool = False) -> Iterator[None]:
    """Report searches for an optimum that take more than two seconds inside: the best so far, bound and gap.

    Args:
        say: Prints a line; a note on stderr by default.
        quiet: Whether to report nothing.
    """
    from market.units import money
    from optimizer.progress import Progress as Search
    from optimizer.progress import listening

    def told(so_far: Search) -> None:
        welfare, bound = money(round(so_far.welfare_nano)), money(round(so_far.bound_nano))
        (say or note)(
            f"{so_far.elapsed_s:.0f} s: welfare {welfare:.6f}, at most {bound:.6f}, gap {so_far.gap:.1e}"
        )

    if quiet:
        yield
        return
    with listening(told):
        yield
