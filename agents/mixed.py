"""Forecasts of homes that do not all forecast alike: each group by its own forecaster, from its own readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from agents.energy_rows import read_only, until
from agents.forecast import Forecast, Forecaster
from agents.forecasts import Forecasts
from agents.residuals import Spread
from agents.rules import AgentRules, Known
from market.units import IntArray

Gate = Callable[[int], Known]
"""What is known when the gate of a row closes."""


def forecasts_of(
    names: Sequence[str], rules: AgentRules, first: int, known_at: Gate, rows: int
) -> Forecasts | MixedForecasts:
    """The forecasts of homes by the forecaster of each.

    Args:
        names: Name of each home's forecaster of consumption.
        rules: How the agents behave.
        first: Row from which the times of refitting count.
        known_at: What is known when the gate of a row closes.
        rows: Number of rows of readings.
    """
    if len(set(names)) == 1:
        return Forecasts(replace(rules, forecaster=names[0]), first, known_at)
    return MixedForecasts(names, rules, first, known_at, rows)


class MixedForecasts:
    """The forecasts of homes with several forecasters; see `Forecasts`."""

    forecaster: Forecaster | None = None
    """None: there is no single one."""

    def __init__(
        self, names: Sequence[str], rules: AgentRules, first: int, known_at: Gate, rows: int
    ) -> None:
        self._homes, chosen = len(names), np.array(names)
        self._groups: list[tuple[IntArray, Gate, Forecasts]] = []
        for name in sorted(set(names)):
            places = np.flatnonzero(chosen == name)
            gate = _gate_of(places, known_at, rows + rules.lead)
            self._groups.append((places, gate, Forecasts(replace(rules, forecaster=name), first, gate)))
        self._made: tuple[int, list[Forecast | None]] = (-1, [])

    def at(self, row: int, known: Known, steps: int) -> Forecast | None:
        """The forecast of all homes at the gate of a row; None where no group has enough history."""
        made = [forecasts.at(row, gate(row), steps) for _, gate, forecasts in self._groups]
        self._made = row, made
        if all(forecast is None for forecast in made):
            return None
        net_wh, valid = (
            np.zeros((steps, self._homes), dtype=np.int64),
            np.zeros((steps, self._homes), np.bool_),
        )
        for (places, _, _), forecast in zip(self._groups, made, strict=True):
            if forecast is not None:
                net_wh[:, places] = forecast.median_wh
                valid[:, places] = True if forecast.valid is None else forecast.valid
        net_wh.flags.writeable = valid.flags.writeable = False
        return Forecast.point(net_wh, valid)

    def spread_wh(
        self, row: int, forecast: Forecast, step: int, levels_ppm: tuple[int, ...], homes: IntArray
    ) -> Spread | None:
        """How far a row may lie from the forecast that `at` made of it last, by each group's own errors."""
        assert self._made[0] == row
        wh = np.zeros((len(levels_ppm), len(homes)), dtype=np.int64)
        has = np.zeros(len(homes), dtype=np.bool_)
        for (places, _, forecasts), own in zip(self._groups, self._made[1], strict=True):
            here = np.flatnonzero(np.isin(homes, places))
            if own is None or not len(here):
                continue
            spread = forecasts.spread_wh(row, own, step, levels_ppm, np.searchsorted(places, homes[here]))
            if spread is not None:
                wh[:, here], has[here] = spread
        return (wh, has) if has.any() else None

    def errors_wh(self, row: int, steps: int) -> IntArray | None:
        """How far readings were from their forecasts on the last days; 0 for a group that has too few."""
        found = [(places, own.errors_wh(row, steps)) for places, _, own in self._groups]
        days = max((0 if wh is None else len(wh) for _, wh in found), default=0)
        errors_wh = np.zeros((days, steps, self._homes), dtype=np.int64)
        for places, wh in found:
            if wh is not None:
                errors_wh[: len(wh), :, places] = wh
        return errors_wh if days else None


def _gate_of(places: IntArray, known_at: Gate, rows: int) -> Gate:
    """What some of the homes know: their columns are copied once, not at every gate."""
    whole = known_at(rows).of_homes(places)
    read_only(whole.net_wh, whole.valid, whole.pv_wh, whole.load_wh)

    def gate(row: int) -> Known:
        known = known_at(row)
        n = len(known.net_wh)
        return replace(
            known,
            net_wh=until(whole.net_wh, n),
            valid=None if whole.valid is None else whole.valid[:n],
            pv_wh=None if whole.pv_wh is None else until(whole.pv_wh, n),
            load_wh=None if whole.load_wh is None else until(whole.load_wh, n),
        )

    return gate
