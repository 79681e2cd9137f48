"""The figures of a report one by one, for notebooks: `result.plot.price()`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wattswap.errors import UsageError
from wattswap.report import figures
from wattswap.report.story import Story
from wattswap.report.write import story_of
from wattswap.runs.chain_reader import parse_interval
from wattswap.runs.layout import COMPARISON

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Plots:
    """Plotly figures of a run or a comparison; its folder is read when the first one is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        names = "price(), bills(), curve(interval), flows(), grid(), savings(), sweep(metric)"
        return f"<plots of {self._folder.name}: {names}>"

    @cached_property
    def _story(self) -> Story:
        return story_of(self._folder)

    def price(self) -> go.Figure:
        """Price of every interval by mechanism, with tariff and feed-in."""
        story = self._story
        shown = [o for o in story.outcomes if o.label != story.reference] or [story.focused]
        return figures.price_figure({o.label: figures.coarse(o.intervals) for o in shown}, story.currency)

    def bills(self) -> go.Figure:
        """Every home's bill without a market and with each mechanism."""
        story = self._story
        return figures.bills_figure({o.label: o.bills for o in story.shown}, story.currency)

    def savings(self) -> go.Figure:
        """What every home gains or loses, sorted."""
        story = self._story
        return figures.savings_figure({o.label: o.bills["saving"] for o in story.shown}, story.currency)

    def curve(self, interval: str | datetime | None = None) -> go.Figure:
        """Supply and demand of one interval, by default the one with the most traded energy.

        Args:
            interval: Its start, such as 2016-09-19T05:00Z.

        Raises:
            UsageError: There is no such interval.
        """
        moment = (
            datetime.fromtimestamp(parse_interval(interval), UTC) if isinstance(interval, str) else interval
        )
        return figures.curve_figure(self._story.curve(moment), self._story.currency)

    def sweep(self, metric: str = "saving") -> go.Figure:
        """A metric against the varied key, one line a mechanism, with 95 % intervals where there are several seeds.

        Args:
            metric: Any of docs/reference/metrics.md.

        Raises:
            UsageError: This is not a sweep, or there is no such metric.
        """
        from wattswap.comparison.result import ComparisonFolder
        from wattswap.report.of_comparison import sweep_of
        from wattswap.report.sections.sweep import sweep_figure
        from wattswap.report.words import measure_of

        if not (self._folder / COMPARISON).is_file():
            raise UsageError.of(str(self._folder), "is not a sweep", "`wattswap sweep` makes one")
        comparison = ComparisonFolder(self._folder)
        found = sweep_of(comparison, [metric])
        if found is None:
            raise UsageError.of(str(self._folder), "is not a sweep", "`wattswap sweep` makes one")
        return sweep_figure(found, measure_of(metric), comparison.currency)

    def flows(self) -> go.Figure:
        """Energy from its sources to its uses."""
        return figures.flows_figure(self._story.flows)

    def grid(self) -> go.Figure:
        """Power that the community draws from outside, over time."""
        return figures.grid_figure(figures.power_of(self._story))
