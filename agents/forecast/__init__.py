"""Forecasters by name: their inputs, their outputs and their registry.

A forecaster is given only what was known at gate closure, so it does not look ahead; a plug-in is trusted code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from agents.rules import Known
from market.registry import Registry
from market.units import PPM, BoolArray, IntArray

MEDIAN: Final = PPM // 2


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Quantiles of energy before simulated devices: of net energy, or of the part of it that was asked for.

    Args:
        levels_ppm: Levels in ascending order, the median (500,000) among them. [parts per million]
        net_wh: Shape (levels, steps, homes). [Wh]
        valid: Which homes have a forecast of which step, shape (steps, homes); None if all have.
    """

    levels_ppm: tuple[int, ...]
    net_wh: IntArray
    valid: BoolArray | None = None

    @classmethod
    def point(cls, net_wh: IntArray, valid: BoolArray | None = None) -> Forecast:
        """A forecast without a spread: its median, shape (steps, homes). [Wh]"""
        return cls((MEDIAN,), net_wh[None], valid)

    @property
    def median_wh(self) -> IntArray:
        """The point forecast, shape (steps, homes). [Wh]"""
        median: IntArray = self.net_wh[self.levels_ppm.index(MEDIAN)]
        return median

    def of_homes(self, columns: slice | IntArray) -> Forecast:
        """The forecast of some homes."""
        valid = None if self.valid is None else self.valid[:, columns]
        return Forecast(self.levels_ppm, self.net_wh[:, :, columns], valid)

    def spread_wh(self, levels_ppm: tuple[int, ...], step: int) -> IntArray:
        """Distance of quantiles of one step from the median, shape (levels, homes). [Wh]

        Between two levels of the forecast it runs in a straight line, rounded down; beyond its ends it is flat.
        Quantiles that cross are put in order.
        """
        own = np.array(self.levels_ppm)
        wanted = np.clip(np.array(levels_ppm), own[0], own[-1])
        above = np.searchsorted(own, wanted)
        below = np.maximum(above - 1, 0)
        width, part = (own[above] - own[below])[:, None], (wanted - own[below])[:, None]
        low_wh, high_wh = self.net_wh[below, step], self.net_wh[above, step]
        quantile_wh = np.sort(low_wh + (high_wh - low_wh) * part // np.maximum(width, 1), axis=0)
        spread_wh: IntArray = quantile_wh - self.median_wh[step]
        return spread_wh


@dataclass(frozen=True, slots=True, eq=False)
class Horizon:
    """What to forecast: the `steps` intervals that follow the known ones."""

    known: Known
    steps: int

    @property
    def rows(self) -> tuple[IntArray, IntArray]:
        """The rows of these intervals, and for each the first that is not known: that of the first of them."""
        first = len(self.known.net_wh)
        return np.arange(first, first + self.steps), np.full(self.steps, first)


Points = tuple[IntArray, BoolArray | None]
"""Forecasts of single intervals, shape (rows, homes) [Wh], and which homes have one of which (None: all)."""


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A named forecast of net energy, or of consumption or production alone.

    Args:
        name: As scenarios call it.
        fit: Learns a model from what is known, every home from its own column; None while that is too little.
        predict: Forecasts a horizon with a fitted model; the model may be older than the horizon's readings.
        summary: One line for people.
        fit_every_hours: Simulated hours for which a model is used before it is refitted; 0 fits at every gate.
        reads_valid: Whether it heeds `Known.valid` itself; if not, a home with a missing reading in the days to use
            has no forecast.
        shares: Whether it learns from all homes together, as no network of homes can yet.
        history_days: Days of readings that it learns from at the start of a run, where that are more than
            `Known.days`.
        update: Learns on from what an older model did not know yet, to the same model as `fit` from everything.
        points: Forecasts many intervals at once, each as at its own gate: what `predict` gives for it, given the
            model, readings, rows and for each row the first row that was not known at its gate.
        package: Optional package that it imports; a scenario that chooses it is refused where that is missing.
        install: What `pip install` is given for it.
    """

    name: str
    fit: Callable[[Known], Any | None]
    predict: Callable[[Any, Horizon], Forecast]
    summary: str
    fit_every_hours: int = 0
    reads_valid: bool = False
    history_days: int = 0
    shares: bool = False
    update: Callable[[Any, Known], Any | None] | None = None
    points: Callable[[Any, Known, IntArray, IntArray], Points] | None = None
    package: str = ""
    install: str = ""

    @property
    def lacks_package(self) -> bool:
        """Whether the package that it imports is missing."""
        return bool(self.package) and find_spec(self.package) is None

    def __post_init__(self) -> None:
        if self.fit_every_hours < 0:
            raise ValueError(f"fit_every_hours is {self.fit_every_hours}; it must be 0 or more")


FORECASTERS: Registry[Forecaster] = Registry(
    "forecaster", folders=("agents.forecast",), group="wattswap.forecasters", item=Forecaster, contract=2
)


def _nothing(*given: Any) -> Any:
    return None


PERFECT_FORESIGHT: Final = FORECASTERS.register(
    Forecaster("perfect_foresight", _nothing, _nothing, "the true future: a bound, not a forecast")
)
"""The switch that makes a community give its agents the true future; it predicts nothing itself."""
