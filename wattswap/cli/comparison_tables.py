"""What `wattswap show` can show of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from market.errors import did_you_mean
from wattswap.cli.comparison_view import HOMES, MARKET, comparison_facts, print_comparison
from wattswap.cli.output import Form, print_bills, print_csv, print_json, print_table
from wattswap.comparison.result import ComparisonFolder
from wattswap.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def show_comparison(path: Path, what: str, which: str | None, form: Form) -> None:
    """Show one view of a comparison.

    Raises:
        UsageError: No such view or mechanism, or it needs to know which.
    """
    if what not in VIEWS:
        guess = did_you_mean(what, VIEWS).strip()
        known = guess or f"a comparison has {', '.join(VIEWS)}"
        raise UsageError.of("WHAT", f"nothing called {what!r} to show", known)
    result = ComparisonFolder(path)
    if which is not None:
        result.cell_keys(which)
    VIEWS[what](result, which, form)


def _summary(result: ComparisonFolder, which: str | None, form: Form) -> None:
    """Means over the seeds, mechanism by mechanism."""
    if which is not None:
        raise UsageError.of("WHICH", "the summary is one of all mechanisms", f"see: cells {which}")
    if form == "json":
        print_json(comparison_facts(result))
    elif form == "csv":
        print_csv(_by_point({point: result.summary(point) for point in result.points}))
    else:
        print_comparison(result)


def _bills(result: ComparisonFolder, which: str | None, form: Form) -> None:
    """Every home's bill under a mechanism, mean over the seeds."""
    if which is None:
        cure = f"known: {', '.join(result.mechanisms)}"
        raise UsageError.of("WHICH", "bills are those under one mechanism, and none is named", cure)
    bills = {point: result.bills(which, point=point) for point in result.points}
    if form == "text":
        for point, frame in bills.items():
            print(f"{which}{_mean(result)}{'' if len(bills) == 1 else f', {point}'}")
            print_bills(frame, result.currency)
    else:
        _emit(_by_point(bills), form)


def _cells(result: ComparisonFolder, which: str | None, form: Form) -> None:
    """Every cell with all its metrics; the text has those of the summary."""
    cells = result.cells()
    cells = cells if which is None else cells[cells["mechanism"] == which]
    frame = cells.set_index("mechanism")
    if len(result.points) == 1:
        frame = frame.drop(columns="point")
    if form != "text":
        _emit(frame, form)
        return
    heads = {name: head for name, head, *_ in (*HOMES, *MARKET)}
    kept = frame[[*result.varied, "seed", *heads]].rename(columns=heads)
    print_table(f"Cells, money in {result.currency}; --csv and --json have every metric", kept, 3)


def _mean(result: ComparisonFolder) -> str:
    return "" if len(result.seeds) == 1 else f", mean over {len(result.seeds)} seeds"


def _by_point(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The frames below each other, with a first column that tells the point where there are several."""
    import pandas as pd

    if len(frames) == 1:
        return next(iter(frames.values()))
    return pd.concat(frames, names=["point"])


def _emit(frame: pd.DataFrame, form: Form) -> None:
    if form == "csv":
        print_csv(frame)
        return
    rows = frame.reset_index().astype(object)
    print_json({"rows": rows.where(rows.notna(), None).to_dict(orient="records")})


VIEWS: dict[str, Callable[[ComparisonFolder, str | None, Form], None]] = {
    "summary": _summary,
    "bills": _bills,
    "cells": _cells,
}
