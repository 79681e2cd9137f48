"""What `ws.run` and `ws.compare` return: a folder read as frames, with its figures and its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wattswap.comparison.points import Figures
from wattswap.comparison.resample import Resample
from wattswap.comparison.result import ComparisonFolder
from wattswap.report.plots import Plots
from wattswap.report.sizing import write_figure
from wattswap.report.write import report_on
from wattswap.runs.folder import RunFolder
from wattswap.sizing.study import Study

if TYPE_CHECKING:
    import pandas as pd


class RunResult(RunFolder):
    """A finished run: its tables, bills and figures."""

    @property
    def plot(self) -> Plots:
        """Plotly figures: `.price()`, `.bills()`, `.curve(interval)`, `.flows()` and more."""
        return Plots(self.path)

    def report(self, path: Path | str | None = None, *, force: bool = False) -> Path:
        """Write one HTML file about this run; it opens without a network.

        Args:
            path: The file; by default report.html in the run's folder.
            force: Whether a file that is there is replaced.

        Raises:
            AlreadyExists: The file is there.
        """
        return report_on(self.path, path, force=force)


class Comparison(ComparisonFolder):
    """A finished comparison or sweep: its cells, bills and intervals, and its figures.

    Args:
        path: The folder.
        mechanisms: Labels to read; default: all in the folder.
        seeds: Seeds to read; default: those that all these mechanisms have.
        resample: What the intervals cover; default: the seeds.
        drawn: The comparison of drawn homes, where homes are drawn.
    """

    def __init__(
        self,
        path: Path | str,
        mechanisms: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        resample: Resample | None = None,
        drawn: ComparisonFolder | None = None,
    ) -> None:
        super().__init__(path, mechanisms, seeds)
        self._with_intervals = Figures(self, resample, drawn)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a point and mechanism: varied keys, mechanism, and every metric with NAME_low and NAME_high.

        The ends are those of the 95 % interval over the seeds, or over what was drawn again; `.attrs["per"]` says
        whether the figures are those of the run or of a week.
        """
        return self._with_intervals.frame()

    def differences(
        self, metric: str = "saving", reference: str | None = None, point: str | None = None
    ) -> pd.DataFrame:
        """Paired difference of a metric to the reference, one row per mechanism: over seeds, weeks or drawn homes.

        Returns:
            Columns mean, low, high (95 % interval, empty with fewer than two seeds) and n, the number of pairs.

        Raises:
            UsageError: Unknown metric or mechanism.
        """
        if self._with_intervals.resample is None:
            return super().differences(metric, reference, point)
        against, where = reference or self.reference, point or self.points[0]
        self.cell_keys(against, where)
        return self._with_intervals.differences(metric, against, where)

    @property
    def plot(self) -> Plots:
        """Plotly figures: `.price()`, `.bills()`, `.curve(interval)`, `.sweep(metric)` and more."""
        return Plots(self.path)

    def report(
        self,
        path: Path | str | None = None,
        *,
        point: str | None = None,
        against: str | None = None,
        force: bool = False,
    ) -> Path:
        """Write one HTML file about this comparison; it opens without a network.

        Args:
            path: The file; by default report.html in the comparison's folder.
            point: The point of a sweep that is shown in full; the first when left out.
            against: The mechanism with which the others are compared, saving by saving; none when left out.
            force: Whether a file that is there is replaced.

        Raises:
            AlreadyExists: The file is there.
        """
        return report_on(self.path, path, point=point, against=against, force=force)


class BatterySizes(Study):
    """Sizes of a common battery: `.frame`, `.shares`, `.notes()`, `.to_dict()`, and a figure."""

    def draw(self, path: Path | str) -> Path:
        """Write what each size saves and costs a year into an SVG file.

        Raises:
            UsageError: It is no SVG file.
            AlreadyExists: The file is there.
        """
        return write_figure(self.to_dict(), Path(path))
