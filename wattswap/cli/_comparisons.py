"""Text output of a comparison: progress, the final table, and its views for `wattswap show`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from market.metrics.table import METRICS, Metric, Row
from wattswap.cli._points import print_points
from wattswap.cli._summary import basis_lines, print_bills, print_lines, show_bound
from wattswap.cli.output import (
    Form,
    is_text,
    note,
    print_csv,
    print_json,
    print_rows,
)
from wattswap.cli.tables import Column, cell, fixed, print_columns, print_table, wrapped
from wattswap.comparison.effects import in_cents
from wattswap.comparison.points import Figures
from wattswap.comparison.result import ComparisonFolder
from wattswap.errors import UsageError, suggest
from wattswap.runs.shown import summary_in_cents
from wattswap.scenario.basis import moment

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from wattswap.comparison.plan import CellKey, Plan

Figure = tuple[str, str, int]
"""Metric, head and decimals."""
HOMES: tuple[Figure, ...] = (
    ("saving_by_mechanism", "saved by mechanism", 2),
    ("saving_by_imbalance_rule", "by imbalance rule", 2),
    ("saving_from_outside", "from outside", 2),
    ("saving", "sum", 2),
    ("homes_worse_off", "worse off", 1),
    ("market_operator_income", "operator keeps", 2),
    ("gini_saving", "Gini", 3),
    ("self_sufficiency", "self-suff.", 3),
)
"""Figures of the homes; on a narrow screen the last ones are left out first, and so are those of the market."""
GRID: tuple[Figure, ...] = (
    ("cost_with_market", "all bills", 2),
    ("overload_hours", "overload h", 1),
    ("overload_kw", "at most kW", 1),
    ("voltage_hours", "out of band h", 1),
    ("binding_share", "binds, share", 3),
    ("congestion_rent", "rent", 2),
)
"""Figures of the grid beside the cost, where the scenario has one."""
MARKET: tuple[Figure, ...] = (
    ("traded_kwh", "agreed ahead kWh", 1),
    ("price_per_kwh", "price /kWh", 4),
    ("allocative_efficiency", "efficiency", 3),
    ("traded_share", "of possible", 3),
    ("clear_ms", "ms", 3),
)


EFFECTS = (
    ("by_mechanism", "by mechanism"),
    ("price_effect", "price effect"),
    ("rationing_effect", "rationing effect"),
    ("from_outside", "from outside"),
    ("imbalance_rule", "by imbalance rule"),
    ("saving", "sum"),
)
"""Why a mechanism saves more than another: the first is the sum of the next two."""
NO_MERIT = ("saving_by_imbalance_rule", "saving")
"""Figures that no mechanism is best in: they do not show what it did."""
PAIRED = ("saving_by_mechanism", "saving")
"""Figures shown with the 95 % interval of their difference to no market."""


class CellProgress:
    """Progress of a comparison on stderr: a table that redraws on a terminal, a line each tenth in a pipe."""

    def __init__(self, plan: Plan, quiet: bool) -> None:
        self._quiet, self._begun, self._tenth = quiet, time.monotonic(), 0
        self._total = len(plan.seeds) * len(plan.points)
        self._rows: dict[str, list[Any]] = {choice.label: [0, None, 0] for choice in plan.choices}
        self._live: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                self._table(), console=Console(stderr=True), refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, key: CellKey, row: Row, done: int, total: int, before: bool) -> None:
        """Report a finished cell."""
        if self._quiet:
            return
        entry = self._rows[key.mechanism]
        entry[0] += 1
        entry[1] = row.get("saving")
        entry[2] += before
        if self._live is not None:
            self._live.update(self._table())
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            left = (time.monotonic() - self._begun) / done * (total - done)
            note(f"{done}/{total} cells, {left:.0f} s left, last: {key.mechanism}, seed {key.seed}")

    def _table(self) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("mechanism")
        for head in ("cells", "there before", "last saving"):
            table.add_column(head, justify="right")
        for label, (done, saving, before) in self._rows.items():
            table.add_row(label, f"{done}/{self._total}", str(before or ""), cell(saving, 2))
        return table


def print_comparison(result: ComparisonFolder, form: Form, against: str | None = None) -> None:
    """Print the tables of every point and the folder; and, on request, the saving against one mechanism."""
    most = _most(result)  # a damaged file ends this before anything is printed
    effects = (
        {} if against is None else {point: _effects_of(result, point, against) for point in result.points}
    )
    print_head(result)
    for point in result.points:
        where = "" if len(result.points) == 1 else f", {point}"
        print()
        _print_columns(result, point, f"The homes{where}, money in {result.currency}", HOMES, form)
        _print_columns(result, point, f"The market{where}, money in {result.currency}", MARKET, form)
        if "overload_hours" in (summary := result.summary(point)) and summary["overload_hours"].notna().any():
            _print_columns(result, point, f"The grid{where}, by the meters", GRID, form)
        if against is not None:
            _print_effects(result, effects[point], point, against, where, form)
    print(
        wrapped(
            f"{most}The best of a column has a *; not compared: baseline, upper bound, and savings"
            " that an operator pays for."
        )
    )
    if len(result.seeds) > 1:
        print(wrapped("+- is the 95 % interval of the paired difference to no market over the seeds."))
    print(f"Folder  {result.path}")
    print(f"Report  wattswap report {result.path}")


def print_head(result: ComparisonFolder) -> None:
    """Print what was compared and what its figures rest on."""
    about = result.about
    seeds = f"{'seed' if len(result.seeds) == 1 else 'seeds'} {', '.join(map(str, result.seeds))}"
    start = f"{moment(about['start'], result.zone)} ({result.zone})"
    print(
        wrapped(
            f"{result.title}: {about['homes']} homes, {about['intervals']} intervals of"
            f" {about['interval_minutes']} min from {start}, {seeds}"
        )
    )
    print_lines(basis_lines(result.rests_on))


def _effects_of(result: ComparisonFolder, point: str, against: str) -> pd.DataFrame:
    """What each other mechanism saves more than one of them, in cents."""
    return in_cents(result.effects(against, point=point).drop(index=against), result.figures(point))


def _print_effects(
    result: ComparisonFolder, frame: pd.DataFrame, point: str, against: str, where: str, form: Form
) -> None:
    """Print what each mechanism saves more than one of them, and why; those that save most by themselves come first."""
    bounds = frame.index.isin([result.reference, result.bound])
    frame = frame.iloc[np.lexsort((-frame["by_mechanism"], bounds))]
    half_width = {} if len(result.seeds) < 2 else _half_width(result, point, "saving_by_mechanism", against)
    columns = []
    for name, head in EFFECTS:
        values = frame[name]
        if name == "from_outside" and not values.any():
            continue
        halves = half_width if name == "by_mechanism" else {}
        cells = []
        for label, value in values.items():
            half = 0.0 if frame.at[label, "from_outside"] else halves.get(str(label), 0.0)
            cells.append(cell(float(value), 2) + (f" +-{fixed(half)}" if half else ""))
        columns.append(Column(head, cells))
    key = Column("mechanism", [str(label) for label in frame.index], right=False)
    title = f"Saved more than by {against}{where}, in {result.currency}"
    print_columns(title, key, columns, wide=form == "wide")


def _most(result: ComparisonFolder) -> str:
    """What can be saved at most, where it is the same at every point, and what operators add to it."""
    bounds = {v for point in result.points for v in _column(result, point, "saving_bound").values()}
    text = f"At most {fixed(bounds.pop())} {result.currency} can be saved. " if len(bounds) == 1 else ""
    for point in result.points:
        where = "" if len(result.points) == 1 else f" at {point}"
        outside = _column(result, point, "saving_from_outside")
        paid = [f"{label} {fixed(added)}" for label, added in outside.items() if added]
        if paid:
            text += f"Operators add money from outside{where}: {', '.join(paid)} {result.currency}. "
    return text


def _column(result: ComparisonFolder, point: str, metric: str) -> dict[str, float]:
    """A metric of the mechanisms proper; empty in an older comparison that does not have it."""
    summary = summary_in_cents(result.summary(point)).drop([result.reference, result.bound], errors="ignore")
    return {str(k): float(v) for k, v in summary[metric].dropna().items()} if metric in summary else {}


def comparison_facts(
    result: ComparisonFolder, against: str | None = None, figures: Figures | None = None
) -> dict[str, object]:
    """The means of every metric at every point, and the saving against one mechanism, for JSON.

    Args:
        result: The comparison.
        against: Whose saving is subtracted, seed by seed, and taken apart; no market when left out.
        figures: Its figures with their intervals; over the seeds when left out.
    """
    figures = figures or Figures(result)
    rows = figures.frame().astype(object)
    differences = {}
    for point in result.points:
        frame = result.differences("saving", against, point).astype(object)
        differences[point] = frame.where(frame.notna(), None).to_dict("index")
    facts: dict[str, object] = {
        "comparison": str(result.path),
        "currency": result.currency,
        "seeds": result.seeds,
        "zone": result.zone,
        "title": result.title,
        "rests_on": result.rests_on,
        "points": {point: result.figures(point) for point in result.points},
        "reference": against or result.reference,
        "rationing": {label: result.rationing(label) for label in result.mechanisms},
        "saving_difference_to_reference": differences,
        "intervals_over": "seeds" if figures.resample is None else figures.resample.kind,
        "per": rows.attrs["per"],
        "rows": rows.where(rows.notna(), None).to_dict("records"),
    }
    if against is not None:
        frames = {point: result.effects(against, point=point) for point in result.points}
        facts["effects"] = {point: frame.to_dict("index") for point, frame in frames.items()}
    return facts


def _print_columns(
    result: ComparisonFolder, point: str, title: str, figures: tuple[Figure, ...], form: Form
) -> None:
    frame = summary_in_cents(result.summary(point))
    competing = frame.drop(labels=[result.reference, result.bound], errors="ignore")
    unpaid = competing[competing["saving_from_outside"] == 0] if "saving_from_outside" in frame else competing
    columns = []
    for name, head, decimals in figures:
        if name not in frame or (name == "saving_from_outside" and not frame[name].fillna(0).any()):
            continue  # an older comparison, or nobody adds money
        values = frame[name]
        among = (unpaid if name in PAIRED else competing).index
        best = [] if name in NO_MERIT else _best(values[among].round(decimals), METRICS.get(name))
        half_width = _half_width(result, point, name) if name in PAIRED else {}
        cells = []
        for label, value in values.items():
            half = half_width.get(str(label)) if label in among else None
            around = f" +-{fixed(half)}" if half else ""
            cells.append(f"{cell(float(value), decimals)}{'*' if label in best else ''}{around}")
        columns.append(Column(head, cells))
    if figures is MARKET:
        rationing = [result.rationing(str(label), point) for label in frame.index]
        columns.insert(2, Column("rations by", rationing, right=False))
    key = Column("mechanism", [str(label) for label in frame.index], right=False)
    print_columns(title, key, columns, wide=form == "wide")


def _half_width(
    result: ComparisonFolder, point: str, metric: str, against: str | None = None
) -> dict[str, float]:
    """Half the 95 % interval of a paired difference to another mechanism, or to no market, by mechanism."""
    difference = result.differences(metric, against, point)
    found = ((difference["high"] - difference["low"]).astype(float) / 2).dropna()
    return {str(label): float(half) for label, half in found.items()}


def _best(column: pd.Series[float], metric: Metric) -> list[str]:
    """The mechanisms with the best value as printed, unless all have it; measured times have no best."""
    values = column.dropna()
    if metric.better == "neither" or not metric.repeatable or values.nunique() < 2:
        return []
    top = values.max() if metric.better == "higher" else values.min()
    return [str(label) for label in values.index[values == top]]


def show_comparison(path: Path, what: str, which: str | None, form: Form, against: str | None) -> None:
    """Show one view of a comparison.

    Raises:
        UsageError: No such view or mechanism, or it needs to know which.
    """
    if what not in VIEWS:
        raise UsageError.of("WHAT", f"nothing called {what!r} to show of a comparison", suggest(what, VIEWS))
    result = ComparisonFolder(path)
    if which is not None:
        result.cell_keys(which)
    if against is not None:
        result.cell_keys(against)
        if what not in AGAINST:
            cure = f"{' and '.join(AGAINST)} show it"
            raise UsageError.of("--against", f"has no meaning for {what}", cure)
    VIEWS[what](result, which, form, against)
    show_bound(what, result.rests_on)


def _summary(result: ComparisonFolder, which: str | None, form: Form, against: str | None) -> None:
    """Means over the seeds, mechanism by mechanism."""
    if which is not None:
        raise UsageError.of("WHICH", "the summary covers all mechanisms", f"see: cells {which}")
    if form == "json":
        print_json(comparison_facts(result, against))
    elif form == "csv":
        print_csv(_by_point({point: result.summary(point) for point in result.points}))
    else:
        print_comparison(result, form, against)


def _effects(result: ComparisonFolder, which: str | None, form: Form, against: str | None) -> None:
    """What is saved more than under another mechanism, and why: mechanism by mechanism, or home by home."""
    if against is None:
        cure = f"add --against NAME; known: {', '.join(result.mechanisms)}"
        raise UsageError.of("WHAT", "effects are those of two mechanisms", cure)
    if which is None and is_text(form):
        for point in result.points:
            where = "" if len(result.points) == 1 else f", {point}"
            _print_effects(result, _effects_of(result, point, against), point, against, where, form)
        return
    frames = {point: result.effects(against, which, point=point) for point in result.points}
    if not is_text(form):
        print_rows(_by_point(frames), form)
        return
    for point, frame in frames.items():
        where = "" if len(frames) == 1 else f", {point}"
        title = f"Saved more by {which} than by {against}{_mean(result)}{where}, in {result.currency}"
        print_table(title, in_cents(frame), wide=form == "wide")


def _bills(result: ComparisonFolder, which: str | None, form: Form, against: str | None) -> None:
    """Every home's bill under a mechanism, mean over the seeds."""
    if which is None:
        cure = f"known: {', '.join(result.mechanisms)}"
        raise UsageError.of("WHICH", "bills need one mechanism, and none is named", cure)
    bills = {point: result.bills(which, point=point) for point in result.points}
    if is_text(form):
        for point, frame in bills.items():
            print(f"{which}{_mean(result)}{'' if len(bills) == 1 else f', {point}'}")
            print_bills(frame, result.currency, form)
    else:
        print_rows(_by_point(bills), form)


def _cells(result: ComparisonFolder, which: str | None, form: Form, against: str | None) -> None:
    """Every cell with all its metrics; the text has those of the summary."""
    cells = result.cells()
    cells = cells if which is None else cells[cells["mechanism"] == which]
    frame = cells.set_index("mechanism")
    if len(result.points) == 1:
        frame = frame.drop(columns="point")
    if not is_text(form):
        print_rows(frame, form)
        return
    heads = {name: head for name, head, *_ in (*HOMES, *MARKET)}
    known = [name for name in heads if name in frame]
    shown = frame[[*result.varied, "seed", *known]].rename(columns=heads)
    title = f"Cells, money in {result.currency}; --csv and --json have every metric"
    print_table(title, shown, 3, wide=form == "wide")


def _points(result: ComparisonFolder, which: str | None, form: Form, against: str | None) -> None:
    """One row a point and mechanism; in JSON and CSV every metric with the 95 % interval over the seeds."""
    figures = Figures(result)
    frame = figures.frame()
    frame = frame if which is None else frame[frame["mechanism"] == which]
    if is_text(form):
        print_points(figures, form, against)
    else:
        print_rows(frame.set_index(frame.columns[0]), form)


def _mean(result: ComparisonFolder) -> str:
    return "" if len(result.seeds) == 1 else f", mean over {len(result.seeds)} seeds"


def _by_point(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The frames concatenated, with the point as first column if there are several."""
    import pandas as pd

    if len(frames) == 1:
        return next(iter(frames.values()))
    return pd.concat(frames, names=["point"])


View = Callable[[ComparisonFolder, str | None, Form, str | None], None]
"""Shows a comparison: of which mechanism, in which form, against which mechanism."""
VIEWS: dict[str, View] = {
    "summary": _summary,
    "bills": _bills,
    "cells": _cells,
    "effects": _effects,
    "points": _points,
}
AGAINST = ("summary", "effects", "points")
"""Views that hold mechanisms against one of them."""
