"""Figures over all points of a sweep, mean over seeds, from the cells of its comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wattswap.errors import UsageError, suggest
from wattswap.report.story import Spread, Sweep

if TYPE_CHECKING:
    import pandas as pd

    from wattswap.comparison.result import ComparisonFolder

SWEPT = ("saving", "traded_kwh", "price_per_kwh", "self_sufficiency", "homes_worse_off")
"""Metrics that a report draws over a sweep."""


def sweep_of(comparison: ComparisonFolder, metrics: Sequence[str]) -> Sweep | None:
    """Means of some metrics at every point; None where there is one point only.

    Raises:
        UsageError: There is no such metric.
    """
    if len(comparison.points) < 2:
        return None
    cells = comparison.cells()
    known = [name for name in cells.columns[3:] if name not in comparison.varied]
    for metric in metrics:
        if metric not in known:
            raise UsageError.of("metric", f"no metric {metric!r}", suggest(metric, known))
    cells = cells[cells["seed"].isin(comparison.seeds) & (cells["mechanism"] != comparison.reference)]
    frames = {metric: _means(cells, metric, comparison.varied) for metric in metrics}
    return Sweep(tuple(comparison.varied), tuple(comparison.points), frames, comparison.bound)


def _means(cells: pd.DataFrame, metric: str, keys: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for (_, mechanism), group in cells.groupby(["point", "mechanism"], sort=False):
        spread = Spread.of(group[metric].tolist())
        settings = {key: group[key].iloc[0] for key in keys}
        rows.append(
            {**settings, "mechanism": mechanism, "mean": spread.mean, "low": spread.low, "high": spread.high}
        )
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("mean", "low", "high"), float))
