"""What `ws.run` and `ws.compare` return: a folder read as frames, with its figures and its report."""

from __future__ import annotations

from pathlib import Path

from wattswap.comparison.result import ComparisonFolder
from wattswap.report.plots import Plots
from wattswap.report.write import report_on
from wattswap.runs.folder import RunFolder


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
    """A finished comparison or sweep: its cells, bills and intervals, and its figures."""

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
