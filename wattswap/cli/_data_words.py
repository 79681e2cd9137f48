"""What the commands on meter data say alike: times, tables of homes, and the problems of a refused import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from data.errors import DataError
    from wattswap.errors import InvalidData


SHOWN = ("import", "export", "pv")
"""Channels of tables that have to fit 80 letters; `--json` has all."""


def moment_of(seconds: int, zone: str | None) -> str:
    """An instant as people read it, in their zone or in UTC."""
    from data.clock import iso_utc
    from wattswap.scenario.basis import moment

    return moment(iso_utc(seconds), zone or "UTC")


def span(start_s: int, end_s: int, zone: str | None) -> str:
    """A time from the start of its first interval to the end of its last."""
    from data.clock import iso_utc

    return span_of(iso_utc(start_s), iso_utc(end_s), zone)


def span_of(first: str, last: str, zone: str | None) -> str:
    """The same from one instant to another, both ISO 8601 UTC."""
    from wattswap.scenario.basis import moment

    known = zone or "UTC: no zone is known, and --zone names one"
    return f"{moment(first, zone or 'UTC')} to {moment(last, zone or 'UTC')} ({known})"


def table_of(title: str, frame: pd.DataFrame, keep: Sequence[str] = (), *, wide: bool = True) -> None:
    """Print rows of homes; columns that hold nothing but zeros are left out.

    Args:
        title: Above the table.
        frame: One row a home.
        keep: Columns that stay longest where it is not wide.
        wide: Whether all columns are printed, however narrow the screen is.
    """
    from wattswap.cli.tables import Column, print_columns

    columns = []
    for name in frame.columns:
        cells = ["" if value != value or value is None else _cell(value) for value in frame[name].tolist()]
        if any(cell not in ("", "0") for cell in cells):
            columns.append(Column(str(name), cells))
    key = Column(str(frame.index.name), [str(one) for one in frame.index], right=False)
    print_columns(title, key, columns, keep=keep, wide=wide)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def as_problems(error: DataError) -> InvalidData:
    """A refused import with one problem for each error and question, as `--json` lists them."""
    from data.store.errors import Mismatch
    from data.store.incoming import Unanswered, Unreadable
    from wattswap.errors import InvalidData, Problem

    if isinstance(error, Unreadable):
        found = [
            problem
            for path, findings, text in error.problems
            for problem in (
                [Problem(str(path), text)]
                if text
                else [Problem(str(path), str(one), line=one.line) for one in findings]
            )
        ]
        return InvalidData(*found)
    if isinstance(error, Unanswered):
        return InvalidData(
            *(Problem(where, one.asks, f"say {one.answer}", key=one.option) for where, one in error.questions)
        )
    if isinstance(error, Mismatch):
        return InvalidData(*(Problem("", problem, error.cure) for problem in error.problems))
    return InvalidData.of("", str(error))
