"""The figures of a comparison with their intervals: one row a point and mechanism, over seeds, weeks or homes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from market.metrics.table import METRICS
from wattswap.comparison.resample import (
    WEEKLY,
    Resample,
    block_bootstrap,
    figures_of,
    refuse_few,
    spread_of_draws,
    whole_weeks,
)
from wattswap.comparison.statistics import Difference, mean_interval
from wattswap.comparison.store import INTERVALS, read_part
from wattswap.errors import UsageError, suggest

if TYPE_CHECKING:
    import pandas as pd

    from wattswap.comparison.plan import CellKey
    from wattswap.comparison.result import ComparisonFolder

NOTHING = Difference(None, None, None, 0)
Values = list[float | None]
Sample = tuple[float | None, Values]
"""A figure, and the same figure of each seed, week or draw of homes."""


class Figures:
    """The figures of a comparison and how far they may be off.

    Args:
        comparison: Whose figures they are.
        resample: What other draws the intervals cover; the seeds when left out.
        drawn: The comparison of drawn homes, where homes are drawn; see `wattswap.comparison.again.draw_homes`.
    """

    def __init__(
        self,
        comparison: ComparisonFolder,
        resample: Resample | None = None,
        drawn: ComparisonFolder | None = None,
    ) -> None:
        self.comparison, self.resample, self.drawn = comparison, resample, drawn
        self.per_week = resample is not None and resample.kind == "weeks"
        self._weekly: Callable[[CellKey], dict[str, Values]] = cache(self._read_weeks)
        self._summary = cache(lambda folder, point: folder.figures(point))

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all figures; those of a week where weeks are drawn."""
        if self.per_week:
            return list(WEEKLY)
        return [name for name in self.comparison.cells().columns[3:] if name not in self.comparison.varied]

    def mean(self, metric: str, mechanism: str, point: str) -> Difference:
        """A figure of a mechanism at a point, with its 95 % interval.

        Raises:
            UsageError: There is no such metric, or there are too few weeks for an interval.
        """
        return self._interval(self._sample(metric, mechanism, point), point)

    def difference(self, metric: str, mechanism: str, against: str, point: str) -> Difference:
        """How much larger a figure is than that of another mechanism, draw by draw, with its 95 % interval.

        Raises:
            UsageError: See `mean`.
        """
        (a, first), (b, second) = (self._sample(metric, label, point) for label in (mechanism, against))
        pairs = zip(first, second, strict=True)
        paired: Values = [None if x is None or y is None else x - y for x, y in pairs]
        return self._interval((None if a is None or b is None else a - b, paired), point)

    def differences(self, metric: str, against: str, point: str) -> pd.DataFrame:
        """The difference of every mechanism: columns mean, low, high and n, the number of draws."""
        import pandas as pd

        labels = self.comparison.mechanisms
        found = [self.difference(metric, label, against, point) for label in labels]
        frame = pd.DataFrame(
            {name: [getattr(one, name) for one in found] for name in ("mean", "low", "high", "n")},
            index=pd.Index(labels, name="mechanism"),
        )
        frame.attrs.update(currency=self.comparison.currency, metric=metric, reference=against)
        return frame

    def frame(self) -> pd.DataFrame:
        """One row a point and mechanism: the varied keys, the mechanism, and every metric with its low and high."""
        import pandas as pd

        comparison, rows = self.comparison, []
        for point in comparison.about["points"]:
            for label in comparison.mechanisms:
                row = {**point["settings"], "mechanism": label}
                for metric in self.metrics:
                    found = self.mean(metric, label, point["point"])
                    ends = {metric: found.mean, f"{metric}_low": found.low, f"{metric}_high": found.high}
                    row |= {name: nan if value is None else float(value) for name, value in ends.items()}
                rows.append(row)
        frame = pd.DataFrame(rows)
        for key in comparison.varied:
            numbers = pd.to_numeric(frame[key], errors="coerce")
            frame[key] = frame[key] if numbers.isna().any() else numbers
        frame.attrs.update(currency=comparison.currency, per="week" if self.per_week else "run")
        return frame

    def _sample(self, metric: str, mechanism: str, point: str) -> Sample:
        if metric not in self.metrics:
            known = METRICS.all()
            what = f"a week has no metric {metric!r}" if metric in known else f"no metric {metric!r}"
            raise UsageError.of("metric", what, suggest(metric, self.metrics))
        if self.drawn is not None:
            values = [self._summary(self.drawn, one)[mechanism][metric] for one in self._draws_of(point)]
            return self._summary(self.comparison, point)[mechanism][metric], values
        values = (
            self._of_weeks(metric, mechanism, point)
            if self.per_week
            else self._of_seeds(metric, mechanism, point)
        )
        known_values = [value for value in values if value is not None]
        whole = bool(values) and len(known_values) == len(values)
        return (sum(known_values) / len(known_values) if whole else None), values

    def _of_seeds(self, metric: str, mechanism: str, point: str) -> Values:
        return [None if value != value else float(value) for value in self._cells[point, mechanism][metric]]

    @cached_property
    def _cells(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The cells of the shared seeds by point and mechanism."""
        cells = self.comparison.cells()
        cells = cells[cells["seed"].isin(self.comparison.seeds)].sort_values("seed")
        return {
            (str(point), str(label)): part for (point, label), part in cells.groupby(["point", "mechanism"])
        }

    def _of_weeks(self, metric: str, mechanism: str, point: str) -> Values:
        """The figure of each week, the mean over the seeds."""
        keys = [k for k in self.comparison.cell_keys(mechanism, point) if k.seed in self.comparison.seeds]
        weeks = list(zip(*(self._weekly(key)[metric] for key in keys), strict=True))
        refuse_few(len(weeks))
        return [None if None in week else float(np.mean(week)) for week in weeks]

    def _read_weeks(self, key: CellKey) -> dict[str, Values]:
        """Every metric of each whole week of a cell."""
        import pyarrow as pa

        table = read_part(self.comparison.path, INTERVALS, key)
        whole = [
            name for name in table.column_names if name != "interval_start" and not table[name].null_count
        ]
        columns = {name: table[name].to_numpy() for name in whole}
        start_s = table["interval_start"].cast(pa.timestamp("s", tz="UTC")).cast(pa.int64()).to_numpy()
        facts = {"minutes": int(self.comparison.about["interval_minutes"])}
        weeks = [
            figures_of({name: column[rows] for name, column in columns.items()}, facts)
            for rows in whole_weeks(start_s, self.comparison.zone)
        ]
        return {name: [week[name] for week in weeks] for name in WEEKLY}

    def _draws_of(self, point: str) -> list[str]:
        """The points of the drawn homes that are draws of this one."""
        assert self.drawn is not None
        base = next(one["settings"] for one in self.comparison.about["points"] if one["point"] == point)
        return [one["point"] for one in self.drawn.about["points"] if base.items() <= one["settings"].items()]

    def _interval(self, sample: Sample, point: str) -> Difference:
        estimate, values = sample
        known = [value for value in values if value is not None]
        if estimate is None or len(known) < len(values):
            return NOTHING
        if self.drawn is not None:
            homes = len(self.comparison.bills(self.comparison.reference, point=point))
            return spread_of_draws(estimate, known, homes)
        return block_bootstrap(known) if self.per_week else mean_interval(known)
