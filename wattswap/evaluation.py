"""How good the forecasts of a scenario's homes are: error, spread, and gain over persistence and the 14-day mean.

A forecast of an interval uses what was known its horizon before the interval begins. The interval of a gain comes from
weeks that are drawn again and again, because the errors of a home within a week are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from agents.energy_rows import net_of
from agents.forecast import FORECASTERS, PERFECT_FORESIGHT, Forecast, Forecaster
from agents.forecasts import Forecasts
from agents.readings import Readings
from agents.rules import AgentRules
from data.readings import MISSING
from market.units import PPM, BoolArray, IntArray
from wattswap.errors import Problem, UsageError, suggest
from wattswap.runs.homes import without_package

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup

FloatArray = npt.NDArray[np.float64]
ALL: Final = "all"
PERSISTENCE: Final = "persistence"
MEAN: Final = "mean of 14 days"
BASELINES: Final = (PERSISTENCE, MEAN)
MEAN_DAYS: Final = 14
LEVELS_PPM: Final = tuple(range(PPM // 10, PPM, PPM // 10))
LONGEST_H: Final = 168
"""The longest horizon. [h]"""
DRAWS: Final = 1_000
"""How often the weeks of a window are drawn again."""


@dataclass(frozen=True, slots=True)
class Gain:
    """By how many percent the absolute error is below that of a baseline, with its 95 % interval.

    Args:
        percent: None where the baseline makes no error.
        low: None with less than two weeks.
        high: None in the same case.
    """

    percent: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """How good one forecaster is for one home, or for all, at one horizon.

    Args:
        mae_kw: Mean absolute error; of all homes the mean over them. [kW]
        nrmse: Root of the mean squared error over the mean energy without its sign.
        pinball_kw: Mean pinball loss of the quantiles .1, .2, .. .9; None without quantiles. [kW]
        coverage: Share of intervals between the quantiles .1 and .9, which should be .8; None without them.
        intervals: Intervals that have a reading and a forecast.
    """

    horizon_h: float
    forecaster: str
    home: str
    mae_kw: float | None
    nrmse: float | None
    pinball_kw: float | None
    coverage: float | None
    against_persistence: Gain
    against_mean: Gain
    intervals: int

    @property
    def row(self) -> dict[str, object]:
        """One flat row for tables."""
        flat = asdict(self)
        for name in ("against_persistence", "against_mean"):
            flat |= {f"{name}_{key}": value for key, value in flat.pop(name).items()}
        return flat


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """What one forecaster was off, by row of the window and home; NaN without a forecast or reading. [Wh]"""

    off: FloatArray
    pinball: FloatArray
    inside: FloatArray


def known_forecasters(names: Sequence[str]) -> list[Forecaster]:
    """Forecasters by name.

    Raises:
        UsageError: All names that there are not, or whose package is missing.
    """
    known = FORECASTERS.all()
    wrong = [
        Problem("--forecaster", f"no forecaster {name!r}", suggest(name, known))
        for name in names
        if name not in known
    ]
    lacking = [known[name] for name in names if name in known and known[name].lacks_package]
    wrong += [Problem("--forecaster", *without_package(forecaster)) for forecaster in lacking]
    if wrong:
        raise UsageError(*wrong)
    return [known[name] for name in names]


def evaluate(setup: Setup, names: Sequence[str], horizons_h: Sequence[float]) -> list[Score]:
    """Score forecasters of net energy on the intervals of a scenario; the baselines come first.

    Args:
        setup: The prepared scenario.
        names: Forecasters of consumption; of metered production the scenario's is used, except by baselines.
        horizons_h: How long before an interval begins its forecast is made. [h]

    Raises:
        UsageError: All names and horizons that cannot be evaluated.
    """
    _refuse(setup, names, horizons_h)
    scores: list[Score] = []
    for horizon_h in horizons_h:
        rules = replace(setup.agents, gate_closure_minutes=round(horizon_h * 60))
        mean = replace(rules, forecaster="same_hour_mean", forecaster_pv="same_hour_mean")
        errors = {
            PERSISTENCE: _errors(setup, replace(rules, forecaster=PERSISTENCE, forecaster_pv=PERSISTENCE)),
            MEAN: _errors(setup, replace(mean, forecast_days=MEAN_DAYS)),
        }
        errors |= {
            name: _errors(setup, replace(rules, forecaster=name)) for name in names if name != PERSISTENCE
        }
        for name, found in errors.items():
            scores += _scores(setup, horizon_h, name, found, [errors[old] for old in BASELINES])
    return scores


def _refuse(setup: Setup, names: Sequence[str], horizons_h: Sequence[float]) -> None:
    wrong = [
        Problem("--forecaster", f"{name} is the truth, which is never off", "leave it out")
        for name in names
        if name == PERFECT_FORESIGHT.name
    ]
    cure = f"give 0 to {LONGEST_H} hours in steps of {setup.minutes} minutes, as in 1h,24h"
    for hours in horizons_h:
        if not 0 <= hours <= LONGEST_H:
            wrong.append(Problem("--horizon", f"{hours:g} h is too long", cure))
        elif round(hours * 60, 6) % setup.minutes:
            whole = f"{round(hours, 2):g} h is no whole number of intervals of {setup.minutes} minutes"
            wrong.append(Problem("--horizon", whole, cure))
    if wrong:
        raise UsageError(*wrong)


def _readings(setup: Setup, rules: AgentRules) -> tuple[Readings, BoolArray | None]:
    meter = setup.meter
    valid = meter.quality != MISSING
    readings = Readings(
        net_of(meter.import_wh, meter.export_wh),
        meter.sub_meters.get("pv"),
        None if valid.all() else valid,
        setup.first_row,
        rules,
        setup.prices,
        meter.start_s,
        setup.zone,
        setup.weather,
        ahead=rules.lead + 2,
    )
    return readings, None if valid.all() else valid


def _errors(setup: Setup, rules: AgentRules) -> _Errors:
    """Forecast every interval of the window as at its gate, and compare."""
    readings, valid = _readings(setup, rules)
    forecasts = Forecasts(rules, setup.first_row, readings.known_at)
    shape = (setup.intervals, readings.net_wh.shape[1])
    off, pinball, inside = (np.full(shape, np.nan) for _ in range(3))
    homes = np.arange(shape[1])
    for row, forecast, step in _made(forecasts, readings, rules, setup):
        i, metered_wh = row - setup.first_row, readings.net_wh[row]
        exists = np.ones(shape[1], dtype=np.bool_) if forecast.valid is None else forecast.valid[step]
        exists = exists if valid is None else exists & valid[row]
        median_wh = forecast.median_wh[step]
        off[i] = np.where(exists, metered_wh - median_wh, np.nan)
        spread = forecasts.spread_wh(row, forecast, step, LEVELS_PPM, homes)
        if spread is not None:
            above_wh, known = metered_wh - median_wh - spread[0], spread[1] & exists
            level = np.array(LEVELS_PPM)[:, None] / PPM
            loss = np.maximum(level * above_wh, (level - 1) * above_wh).mean(axis=0)
            pinball[i] = np.where(known, loss, np.nan)
            inside[i] = np.where(known, (above_wh[0] >= 0) & (above_wh[-1] <= 0), np.nan)
    return _Errors(off, pinball, inside)


def _made(
    forecasts: Forecasts, readings: Readings, rules: AgentRules, setup: Setup
) -> Iterator[tuple[int, Forecast, int]]:
    """The forecast of each row that has one, and the row's place in it."""
    row, end = setup.first_row, setup.first_row + setup.intervals
    while row < end:
        if forecasts.one_by_one:
            forecast, count = forecasts.at(row, readings.known_at(row), rules.lead + 1), 1
            if forecast is not None:
                yield row, forecast, rules.lead
        else:
            count, points = forecasts.points(range(row, end))
            for i in range(count) if points is not None else ():
                assert points is not None
                wh, exists = points
                yield row + i, Forecast.point(wh[i : i + 1], None if exists is None else exists[i : i + 1]), 0
        row += count


def _scores(
    setup: Setup, horizon_h: float, name: str, errors: _Errors, baselines: Sequence[_Errors]
) -> list[Score]:
    """The scores of one forecaster: of all homes, then of each."""
    per_kw, homes = 60 / setup.minutes / 1_000, len(setup.roster)
    wh = np.abs(setup.meter.net_wh(slice(setup.first_row, setup.first_row + setup.intervals)))
    common = np.isfinite(errors.off)
    for baseline in baselines:
        common &= np.isfinite(baseline.off)
    blocks = _weeks(setup)
    mae, rmse, pinball, coverage = (
        [_mean(values[:, home], common[:, home]) for home in range(homes)]
        for values in (np.abs(errors.off), errors.off**2, errors.pinball, errors.inside)
    )
    mean_wh = [_mean(wh[:, home].astype(np.float64), common[:, home]) for home in range(homes)]
    nrmse = [
        None if square is None or not mean else square**0.5 / mean
        for square, mean in zip(rmse, mean_wh, strict=True)
    ]
    scores = []
    for columns, home in [(list(range(homes)), ALL), *(([i], text) for i, text in enumerate(setup.roster))]:
        own = np.where(common, np.abs(errors.off), 0)[:, columns].sum(axis=1)
        persistence, mean = (
            _gain(own, np.where(common, np.abs(old.off), 0)[:, columns].sum(axis=1), blocks)
            for old in baselines
        )
        figures = [_over([of[i] for i in columns]) for of in (mae, nrmse, pinball, coverage)]
        scores.append(
            Score(
                horizon_h,
                name,
                home,
                None if figures[0] is None else figures[0] * per_kw,
                figures[1],
                None if figures[2] is None else figures[2] * per_kw,
                figures[3],
                persistence,
                mean,
                int(common[:, columns].sum()),
            )
        )
    return scores


def _mean(values: FloatArray, where: BoolArray) -> float | None:
    chosen = values[where & np.isfinite(values)]
    return float(chosen.mean()) if len(chosen) else None


def _over(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _weeks(setup: Setup) -> IntArray:
    """Number of the week of each interval of the window, counted from its start."""
    week: IntArray = np.arange(setup.intervals) // (7 * setup.steps_per_day)
    return week


def _gain(own: FloatArray, old: FloatArray, week: IntArray) -> Gain:
    """How far a sum of errors is below another, with weeks drawn with replacement, the same every time."""
    weeks = int(week[-1]) + 1
    by_week = np.stack([np.bincount(week, values, weeks) for values in (own, old)])
    total = by_week.sum(axis=1)
    if not total[1]:
        return Gain(None, None, None)
    percent = float(100 * (1 - total[0] / total[1]))
    if weeks < 2:
        return Gain(percent, None, None)
    drawn = by_week[:, np.random.default_rng(0).integers(0, weeks, (DRAWS, weeks))].sum(axis=-1)
    drawn = drawn[:, drawn[1] > 0]
    low, high = np.quantile(100 * (1 - drawn[0] / drawn[1]), (0.025, 0.975)).tolist()
    return Gain(percent, low, high)
