"""The forecasts of a run: a model fitted when it is due, what it predicts at a gate, and how far that may be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from agents.errors import InvalidForecast
from agents.forecast import FORECASTERS, MEDIAN, PERFECT_FORESIGHT, Forecast, Horizon
from agents.residuals import Point, Residuals, Spread
from agents.rules import AgentRules, Known, slot_of_day
from market.units import IntArray


class Forecasts:
    """The forecasts of homes by the forecaster of their rules.

    Args:
        rules: How the agents behave.
        first: Row from which the times of refitting count.
        known_at: What is known when the gate of a row closes.
    """

    def __init__(self, rules: AgentRules, first: int, known_at: Callable[[int], Known]) -> None:
        self.forecaster = FORECASTERS.get(rules.forecaster)
        self._first, self._lead, self._known_at = first, rules.lead, known_at
        self._every = self.forecaster.fit_every_hours * 60 // rules.minutes
        self._fitted: tuple[int | None, Any] = (None, None)
        self._residuals = Residuals(rules.minutes, self._point)

    def at(self, row: int, known: Known, steps: int) -> Forecast | None:
        """The forecast at the gate of a row, from the first unknown interval on; None without enough history.

        Raises:
            InvalidForecast: The forecaster returns what is none of these homes.
        """
        model, forecaster = self._model(row, known), self.forecaster
        if model is None:
            return None
        shape = (steps, known.net_wh.shape[1])
        with FORECASTERS.held(forecaster):
            forecast = forecaster.predict(model, Horizon(known, steps))
            self._check(forecast, shape)
        valid = forecast.valid
        if known.valid is not None and not forecaster.reads_valid:
            looked_at = known.days * known.steps_per_day + self._every
            whole_days = np.broadcast_to(known.valid[-looked_at:].all(axis=0), shape)
            forecast = replace(forecast, valid=whole_days if valid is None else whole_days & valid)
        return forecast

    def _check(self, forecast: Forecast, shape: tuple[int, int]) -> None:
        """Check the type of a forecast and make it read-only, because every plug-in after this one is given it."""
        name, wh, valid = self.forecaster.name, forecast.net_wh, forecast.valid
        levels = len(forecast.levels_ppm)
        if not (isinstance(wh, np.ndarray) and wh.dtype.kind == "i" and wh.shape == (levels, *shape)):
            raise InvalidForecast(f"forecaster {name!r} gives no whole number of Wh per step and home")
        if MEDIAN not in forecast.levels_ppm:
            raise InvalidForecast(f"forecaster {name!r} gives no median, which orders are made from")
        if valid is not None and (valid.shape != shape or valid.dtype != np.bool_):
            raise InvalidForecast(f"forecaster {name!r} does not say yes or no per step and home in `valid`")
        wh.flags.writeable = False
        if valid is not None:
            valid.flags.writeable = False

    def _model(self, row: int, known: Known) -> Any:
        """The fitted model; a resumed run fits it again from what was known when it was fitted before."""
        fitted = row - (row - self._first) % self._every if self._every else row
        if self._fitted[0] != fitted:
            seen = known if fitted == row else self._known_at(fitted)
            with FORECASTERS.held(self.forecaster):
                self._fitted = fitted, self.forecaster.fit(seen)
        return self._fitted[1]

    def _point(self, row: int) -> Point | None:
        """The forecast of a row as it was, or could have been, made when its gate closed."""
        forecast = self.at(row, self._known_at(row), self._lead + 1)
        if forecast is None:
            return None
        return forecast.median_wh[-1], None if forecast.valid is None else forecast.valid[-1]

    def spread_wh(
        self, row: int, forecast: Forecast, step: int, levels_ppm: tuple[int, ...], homes: IntArray
    ) -> Spread | None:
        """How far a row may lie from its forecast: the forecaster's own quantiles, else by what it was off before.

        Args:
            row: The traded interval.
            forecast: Of all homes, made at its gate.
            step: Its place in the forecast.
            levels_ppm: Levels of the quantiles. [parts per million]
            homes: Columns of the homes that want them.
        """
        if self.forecaster is PERFECT_FORESIGHT or len(forecast.levels_ppm) > 1:
            return forecast.spread_wh(levels_ppm, step)[:, homes], np.ones(len(homes), dtype=np.bool_)
        known = self._known_at(row)
        self._residuals.extend(known)
        (slot,) = slot_of_day(known.local_minute[row : row + 1], known.minutes).tolist()
        return self._residuals.quantiles_wh(slot, levels_ppm, homes)
