"""The forecasts of a run: models fitted when they are due, what they predict at a gate, and how far that may be off.

Where homes have meters of their production, consumption and production are forecast apart and subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from agents.errors import InvalidForecast
from agents.forecast import FORECASTERS, MEDIAN, PERFECT_FORESIGHT, Forecast, Forecaster, Horizon, Points
from agents.residuals import Residuals, Spread
from agents.rules import DAY_MINUTES, AgentRules, Known, slot_of_day
from market.units import PPM, BoolArray, IntArray

Gate = Callable[[int], Known]
"""What is known when the gate of a row closes."""
MOST_WH: Final = 2**40
"""Largest energy of an interval that a forecast may expect. [Wh]"""
_KEPT_MODELS: Final = 3
"""Residuals are some rows behind the gate, so around a refit both models are needed; the third is one of too early."""


class Forecasts:
    """The forecasts of homes by the forecasters of their rules.

    Args:
        rules: How the agents behave.
        first: Row from which the times of refitting count.
        known_at: What is known when the gate of a row closes.
    """

    def __init__(self, rules: AgentRules, first: int, known_at: Gate) -> None:
        self.forecaster = FORECASTERS.get(rules.forecaster)
        self._first, self._lead, self._known_at = first, rules.lead, known_at
        self._load = _Part(self.forecaster, rules, first, lambda row: _load(known_at(row)))
        self._pv = _Part(FORECASTERS.get(rules.forecaster_pv), rules, first, lambda row: _pv(known_at(row)))
        self._residuals = Residuals(rules.minutes, self.points)
        self._last: tuple[int, int, Forecast | None] | None = None

    def at(self, row: int, known: Known, steps: int) -> Forecast | None:
        """The forecast at the gate of a row, from the first unknown interval on; None without enough history.

        The last one is kept: homes ask for it before they order and when they live the interval.

        Raises:
            InvalidForecast: A forecaster returns what is none of these homes.
        """
        if self._last is None or self._last[:2] != (row, steps):
            self._last = row, steps, self._made(row, known, steps)
        return self._last[2]

    def _made(self, row: int, known: Known, steps: int) -> Forecast | None:
        load = self._load.at(row, _load(known), steps)
        if known.pv_wh is None or load is None:
            return load
        pv = self._pv.at(row, _pv(known), steps)
        # Quantiles of the parts say nothing of their difference: its spread comes from residuals.
        return None if pv is None else Forecast.point(*_net(_median(load), _median(pv)))

    @cached_property
    def _parts(self) -> list[_Part]:
        """What is forecast: consumption and, where there are meters of it, production."""
        return [self._load] if self._known_at(self._first).pv_wh is None else [self._load, self._pv]

    @property
    def one_by_one(self) -> bool:
        """Whether a forecaster forecasts no more than one gate at once."""
        return any(part.forecaster.points is None for part in self._parts)

    def points(self, rows: range) -> tuple[int, Points | None]:
        """The forecasts of the first of some rows, as they were, or could have been, made when their gates closed."""
        if not self.one_by_one:
            parts = self._parts
            count = min(part.until_refit(rows) for part in parts)
            points = [part.points(rows[:count]) for part in parts]
            load, pv = points[0], points[-1]
            return count, load if len(points) == 1 or load is None else None if pv is None else _net(load, pv)
        forecast = self.at(rows[0], self._known_at(rows[0]), self._lead + 1)
        if forecast is None:
            return 1, None
        return 1, (forecast.median_wh[-1:], None if forecast.valid is None else forecast.valid[-1:])

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

    def errors_wh(self, row: int, steps: int) -> IntArray | None:
        """How far readings were from their forecasts on the last days; see `Residuals.days_wh`.

        Args:
            row: The traded interval.
            steps: Intervals from the first on that is not known at its gate.
        """
        if self.forecaster is PERFECT_FORESIGHT:
            return None
        known = self._known_at(row)
        self._residuals.extend(known)
        (slot,) = slot_of_day(known.local_minute[row - self._lead :][:1], known.minutes).tolist()
        return self._residuals.days_wh(slot, steps)


class _Part:
    """One forecaster and the part of the energy that it is given."""

    def __init__(self, forecaster: Forecaster, rules: AgentRules, first: int, known_at: Gate) -> None:
        self.forecaster, self._first, self._lead, self._known_at = forecaster, first, rules.lead, known_at
        self._every = forecaster.fit_every_hours * 60 // rules.minutes
        self._per_day = DAY_MINUTES // rules.minutes
        self._models: dict[int, Any] = {}
        self._made: dict[int, Points] = {}

    def at(self, row: int, known: Known, steps: int) -> Forecast | None:
        """The forecast at the gate of a row; None without enough history."""
        model, forecaster = self._model(row), self.forecaster
        if model is None:
            return None
        shape = (steps, known.net_wh.shape[1])
        with FORECASTERS.held(forecaster):
            forecast = forecaster.predict(model, Horizon(known, steps))
            self._check(forecast, shape)
        valid = forecast.valid
        if steps > self._lead:
            of_row = forecast.median_wh[self._lead], None if valid is None else valid[self._lead]
            self._made[row] = of_row
            self._made.pop(row - self._lead - 2, None)
        if known.valid is not None and not forecaster.reads_valid:
            looked_at = known.days * known.steps_per_day + self._every
            whole_days = np.broadcast_to(known.valid[-looked_at:].all(axis=0), shape)
            forecast = replace(forecast, valid=whole_days if valid is None else whole_days & valid)
        return forecast

    def until_refit(self, rows: range) -> int:
        """How many of these rows, a day of them at most, have a forecast with the model of the first."""
        row, most = rows[0], min(len(rows), self._per_day)
        if self._model(row) is None:
            return 1
        if not self._every:  # a model of every row is nothing but its readings
            return most
        most = min(most, self._every - (row - self._first) % self._every)
        early = self._fit(self._due(row)) is None
        return min(most, self._per_day - (row - self._lead) % self._per_day) if early else most

    def points(self, rows: range) -> Points | None:
        """The forecasts of rows with one model, each at its own gate; None without enough history."""
        known = self._known_at(rows[-1])
        model = self._model(rows[0])
        if model is None or self.forecaster.points is None:
            return None
        made = self._made.get(rows.start)
        if len(rows) == 1 and made is not None:  # the forecast that the homes have ordered by
            return made[0][None], None if made[1] is None else made[1][None]
        row = np.arange(rows.start, rows.stop)
        with FORECASTERS.held(self.forecaster):
            wh, valid = self.forecaster.points(model, known, row, np.maximum(row - self._lead, 0))
            self._check(Forecast.point(wh, valid), (len(row), known.net_wh.shape[1]))
            if len(row) > 1:  # of one row alone there are no later readings to use
                self._compare(rows.start, model, wh[0], None if valid is None else valid[0])
        return wh, valid

    def _compare(self, row: int, model: Any, wh: IntArray, valid: BoolArray | None) -> None:
        """Refuse points that differ from the forecast at the gate itself: they are given later readings too."""
        known = self._known_at(row)
        at_gate = self.forecaster.predict(model, Horizon(known, self._lead + 1))
        differs = at_gate.median_wh[-1] != wh
        for exists in (valid, None if at_gate.valid is None else at_gate.valid[-1]):
            if exists is not None:
                differs &= exists
        if differs.any():
            what = "gives points that are not what it predicts at the gate of the row: it uses later readings"
            raise InvalidForecast(f"forecaster {self.forecaster.name!r} {what}")

    def _check(self, forecast: Forecast, shape: tuple[int, int]) -> None:
        """Check the type of a forecast and make it read-only, because every plug-in after this one is given it."""
        name, wh, valid = self.forecaster.name, forecast.net_wh, forecast.valid
        levels = forecast.levels_ppm
        if not (isinstance(wh, np.ndarray) and wh.dtype == np.int64 and wh.shape == (len(levels), *shape)):
            raise InvalidForecast(
                f"forecaster {name!r} gives no whole number of Wh per step and home, as int64"
            )
        if np.abs(wh.astype(np.float64)).max(initial=0) > MOST_WH:
            raise InvalidForecast(f"forecaster {name!r} expects more than {MOST_WH} Wh in an interval")
        whole = isinstance(levels, tuple) and all(isinstance(one, int) and 0 < one < PPM for one in levels)
        if not whole or list(levels) != sorted(set(levels)):
            what = "gives levels that are no ascending whole numbers of millionths"
            raise InvalidForecast(f"forecaster {name!r} {what}")
        if MEDIAN not in forecast.levels_ppm:
            raise InvalidForecast(f"forecaster {name!r} gives no median, which orders are made from")
        if valid is not None and (valid.shape != shape or valid.dtype != np.bool_):
            raise InvalidForecast(f"forecaster {name!r} does not say yes or no per step and home in `valid`")
        wh.flags.writeable = False
        if valid is not None:
            valid.flags.writeable = False

    def _due(self, row: int) -> int:
        """The row at whose gate the model of a row is due."""
        return row - (row - self._first) % self._every if self._every else row

    def _model(self, row: int) -> Any:
        """The model of a row: the one fitted when it was due, and while that was too early one of every day.

        The days are those since the first reading: the first forecast is made as soon as a day of them is known. A
        resumed run fits it again from what was known then.
        """
        model = self._fit(self._due(row))
        if model is None and self._every and row >= self._lead:
            return self._fit(row - (row - self._lead) % self._per_day)
        return model

    def _fit(self, row: int) -> Any:
        """The model that is fitted at the gate of a row."""
        if row not in self._models:
            known, update = self._known_at(row), self.forecaster.update
            older = self._models.get(max((at for at in self._models if at < row), default=row))
            with FORECASTERS.held(self.forecaster):
                model = (
                    self.forecaster.fit(known) if update is None or older is None else update(older, known)
                )
            self._models[row] = model
            if len(self._models) > _KEPT_MODELS:
                del self._models[min(self._models)]
            return model
        return self._models[row]


def _load(known: Known) -> Known:
    return known.of_part(known.load_wh)


def _pv(known: Known) -> Known:
    return known.of_part(known.pv_wh)


def _median(forecast: Forecast) -> Points:
    return forecast.median_wh, forecast.valid


def _net(load: Points, pv: Points) -> Points:
    """Consumption less production, and where both have a forecast."""
    (load_wh, has_load), (pv_wh, has_pv) = load, pv
    valid: BoolArray | None = (
        has_pv if has_load is None else has_load if has_pv is None else has_load & has_pv
    )
    return load_wh - np.maximum(pv_wh, 0), valid
