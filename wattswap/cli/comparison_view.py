"""What people see of a comparison: a table while it grows, and the table in the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wattswap.cli.output import cell, note, print_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from wattswap.comparison.plan import CellKey, Plan
    from wattswap.comparison.result import ComparisonFolder
    from wattswap.comparison.summary import Row

Column = tuple[str, str, int, int]
"""Metric, head, decimals, and whether more (1), less (-1) or neither (0) is better."""
HOMES: tuple[Column, ...] = (
    ("saving", "saving", 2, 1),
    ("homes_worse_off", "worse off", 1, -1),
    ("gini_saving", "Gini", 3, -1),
    ("self_sufficiency", "self-suff.", 3, 1),
    ("market_operator_income", "operator", 2, 0),
)
MARKET: tuple[Column, ...] = (
    ("traded_kwh", "traded kWh", 1, 1),
    ("price_per_kwh", "price /kWh", 4, 0),
    ("allocative_efficiency", "efficiency", 3, 1),
    ("traded_share", "of possible", 3, 1),
    ("clear_ms", "ms", 3, 0),
)


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


def print_comparison(result: ComparisonFolder, against: str | None = None) -> None:
    """Print the table of every point and where the folder is; and what each saves against one of them, if asked."""
    about = result.about
    print(
        f"{about['name']}: {about['homes']} homes, {about['intervals']} intervals of {about['interval_minutes']} min"
        f" from {about['start']}, {'seed' if len(result.seeds) == 1 else 'seeds'} {', '.join(map(str, result.seeds))}"
    )
    for point in result.points:
        where = "" if len(result.points) == 1 else f", {point}"
        _print_columns(result, point, f"The homes{where}, money in {result.currency}", HOMES)
        _print_columns(result, point, f"The market{where}, money in {result.currency}", MARKET)
        if against is not None:
            frame = result.differences("saving", against, point).drop(columns="n")
            frame.columns = ["saving", "95 % from", "to"]
            print_table(f"Saving against {against}{where}, in {result.currency}", frame.astype(float))
    print(
        "The best of a column has a *. The bookends do not compete, nor for the saving a rule whose operator pays."
    )
    if len(result.seeds) > 1:
        print("+- is the 95 % interval of the paired difference to no market over the seeds.")
    print(f"Folder  {result.path}")
    print(f"Report  wattswap report {result.path}")


def comparison_facts(result: ComparisonFolder, against: str | None = None) -> dict[str, object]:
    """The means of every metric at every point, and what each mechanism saves against one of them, as JSON has them.

    Args:
        result: The comparison.
        against: Whose saving is subtracted, seed by seed; no market when left out.
    """

    def rows(point: str) -> dict[str, object]:
        frame = result.summary(point).astype(object)
        return {str(k): v for k, v in frame.where(frame.notna(), None).to_dict("index").items()}

    differences = {}
    for point in result.points:
        frame = result.differences("saving", against, point).astype(object)
        differences[point] = frame.where(frame.notna(), None).to_dict("index")
    return {
        "comparison": str(result.path),
        "currency": result.currency,
        "seeds": result.seeds,
        "points": {point: rows(point) for point in result.points},
        "reference": against or result.reference,
        "saving_difference_to_reference": differences,
    }


def _print_columns(result: ComparisonFolder, point: str, title: str, columns: tuple[Column, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    frame, difference = result.summary(point), result.differences("saving", point=point)
    half_width = ((difference["high"] - difference["low"]).astype(float) / 2).dropna().to_dict()
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("mechanism", no_wrap=True)
    for _, head, _, _ in columns:
        table.add_column(head, justify="right", no_wrap=True)
    competing = frame.drop(labels=[result.reference, result.bound], errors="ignore")
    unpaid = competing[competing["market_operator_income"] > -0.005]  # a deficit is paid by somebody else
    best = {
        name: _best((unpaid if name == "saving" else competing)[name].round(decimals), better)
        for name, _, decimals, better in columns
    }
    for label, row in frame.iterrows():
        cells = [
            cell(float(row[name]), decimals) + ("*" if label in best[name] else "")
            for name, _, decimals, _ in columns
        ]
        half = half_width.get(str(label)) if columns is HOMES else None
        cells[0] += f" +-{half:.2f}" if half else ""
        table.add_row(str(label), *cells)
    Console(width=max(len(title), 100), highlight=False).print(table)


def _best(column: pd.Series[float], better: int) -> list[str]:
    """The mechanisms that share the best value, as it is shown, unless all have it."""
    values = column.dropna()
    if not better or values.nunique() < 2:
        return []
    top = values.max() if better > 0 else values.min()
    return [str(label) for label in values.index[values == top]]
