"""How good forecasts are, on ten Californian homes and the bundled street, and what the forecasts of many homes cost.

Models are fitted on days 1 to 272 and forecast the 24 hours of each of days 273 to 364 at local midnight. Figures are
the mean absolute error over homes, in kW, and how much lower it is than that of persistence and of the 14-day mean.

Usage: python -m benchmarks.forecasts [--homes FOLDER] [--only data|speed]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from agents.forecast import FORECASTERS, Horizon
from agents.forecast.shared_ridge import Model, personal
from agents.forecasts import Forecasts
from agents.readings import Readings
from agents.rules import AgentRules, FloatArray, Known, local_minutes
from data import formats, samples
from data.readings import MeterData
from market.settlement.tariff import OutsidePrices, flat
from market.units import IntArray

TRAIN_DAYS, TEST_DAYS = 272, 92
HOMES: Final = Path("../shared/data/homes_fontana_ca")
CALIFORNIA, BERLIN = "America/Los_Angeles", "Europe/Berlin"
LOAD: Final = ("persistence", "mean of 14 days", "ridge", "shared_ridge", "boosted")
PV: Final = ("persistence", "same_hour_median", "scaled_median")


def empty_but_for_the_last_hours(wh: IntArray) -> IntArray:
    """Homes that report nothing but a few hours before the models are fitted, the last of them large. [Wh]"""
    last, false = TRAIN_DAYS * 24, wh.copy()
    false[:last] = 0
    false[last - 5 : last] = np.array([1, 10, 100, 1_000, 16_000])[:, None]
    return false


ATTACKS: Final[Mapping[str, Callable[[IntArray], IntArray]]] = {
    "doubled": lambda wh: 2 * wh,
    "turned and times 5": lambda wh: -5 * wh,
    "noise": lambda wh: np.random.default_rng(1).integers(0, 20_000, wh.shape),
    "shuffled": lambda wh: np.random.default_rng(2).permutation(wh),
    "shifted by 12 hours": lambda wh: np.roll(wh, 12, axis=0),
    "empty, then large": empty_but_for_the_last_hours,
}
"""What homes may report instead of their readings by the hour."""


@dataclass(frozen=True, eq=False)
class Series:
    """Energy of homes from local midnight on."""

    wh: IntArray
    start_s: int
    minutes: int
    zone: str

    @property
    def per_day(self) -> int:
        """Intervals in 24 hours."""
        return 1440 // self.minutes

    def known(self, rows: int, days: int = 14) -> Known:
        """What is known of its first rows."""
        return Known(
            knowledge_s=self.start_s + rows * self.minutes * 60,
            start_s=self.start_s,
            minutes=self.minutes,
            days=days,
            net_wh=self.wh[:rows],
            zone=self.zone,
            local_minute=local_minutes(self.start_s, self.minutes, len(self.wh) + self.per_day, self.zone),
            tariff=OutsidePrices(flat(300_000, 1), flat(80_000, 1), 0, 0),
            tariff_row=0,
        )


def series_of(meter: MeterData, part: str, zone: str) -> Series:
    """Load or production of a data set from its first local midnight on."""
    minute = local_minutes(meter.start_s, meter.minutes, meter.intervals, zone)
    first = int(np.argmax(minute % 1440 == 0))
    wh = meter.load_wh if part == "load" else meter.sub_meters["pv"]
    return Series(wh[first:], meter.start_s + first * meter.minutes * 60, meter.minutes, zone)


def midnights(series: Series, first_day: int, days: int) -> IntArray:
    """Rows of local midnights from a day on."""
    minute = local_minutes(series.start_s, series.minutes, len(series.wh), series.zone)
    found: IntArray = np.flatnonzero(minute % 1440 == 0)[first_day : first_day + days]
    return found


def forecast_days(series: Series, gates: IntArray, name: str, model: Any = None) -> IntArray:
    """The forecasts of 24 hours from each gate on, shape (days, steps, homes); fitted at the first. [Wh]"""
    forecaster = FORECASTERS.get("same_hour_mean" if name.startswith("mean of 14") else name)
    days = 7 if name.endswith("median") else 14
    model = model or forecaster.fit(series.known(int(gates[0]), days))
    found = []
    for gate in gates.tolist():
        known = series.known(gate, days)
        now = model if forecaster.fit_every_hours else forecaster.fit(known)
        found.append(forecaster.predict(now, Horizon(known, series.per_day)).median_wh)
    return np.stack(found)


def error_kw(series: Series, gates: IntArray, forecast_wh: IntArray) -> FloatArray:
    """Mean absolute error of each home. [kW]"""
    rows = gates[:, None] + np.arange(series.per_day)
    error: FloatArray = np.abs(forecast_wh - series.wh[rows]).mean(axis=(0, 1)) * 60 / series.minutes / 1000
    return error


def scores(series: Series, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Mean absolute error of each home by forecaster. [kW]"""
    gates = midnights(series, TRAIN_DAYS, TEST_DAYS)
    lacking = {name for name, one in FORECASTERS.all().items() if one.lacks_package}
    return {
        name: error_kw(series, gates, forecast_days(series, gates, name))
        for name in names
        if name not in lacking
    }


def shared_of(series: Series, rows: int) -> Model:
    """The shared regression that is learnt from the first rows."""
    model = FORECASTERS.get("shared_ridge").fit(series.known(rows))
    assert isinstance(model, Model)
    return model


def ungated(series: Series) -> FloatArray:
    """Error of the shared regression where every home uses it, whatever its last days say. [kW]"""
    gates = midnights(series, TRAIN_DAYS, TEST_DAYS)
    model = shared_of(series, int(gates[0]))
    assert model.learnt.sums is not None
    everywhere = replace(model, weights=personal(model.learnt.sums, model.learnt.mean_wh))
    return error_kw(series, gates, forecast_days(series, gates, "shared_ridge", everywhere))


def falsified(series: Series, attack: Callable[[IntArray], IntArray], homes: Sequence[int]) -> Series:
    """The same homes, some of which report what an attack makes of their readings."""
    wh = series.wh.copy()
    wh[:, list(homes)] = attack(wh[:, list(homes)])
    return replace(series, wh=wh)


def new_home(series: Series, home: int, name: str = "shared_ridge", days: int = 3, tested: int = 14) -> float:
    """Error of a home that has the readings of some days only, among the others. [kW]"""
    gates, forecaster = midnights(series, TRAIN_DAYS, tested), FORECASTERS.get(name)
    valid = np.ones(series.wh.shape, dtype=np.bool_)
    valid[: int(gates[0]) - days * series.per_day, home] = False
    cold = replace(series, wh=np.where(valid, series.wh, 0))

    def known(gate: int) -> Known:
        return replace(cold.known(gate), valid=valid[:gate])

    model = forecaster.fit(known(int(gates[0])))
    found = [
        forecaster.predict(model, Horizon(known(gate), series.per_day)).median_wh for gate in gates.tolist()
    ]
    return float(error_kw(series, gates, np.stack(found))[home])


def cold_start(series: Series, first_home: int = 0, name: str = "shared_ridge") -> FloatArray:
    """Errors of the homes from one on, each in turn new among all others, with three days of readings. [kW]"""
    return np.array([new_home(series, home, name) for home in range(first_home, series.wh.shape[1])])


def untrue_others(series: Series, attack: Callable[[IntArray], IntArray]) -> FloatArray:
    """As `cold_start`, where all others report false readings: what a new home gains by them must be lost. [kW]"""
    homes = range(series.wh.shape[1])
    return np.array(
        [new_home(falsified(series, attack, [one for one in homes if one != home]), home) for home in homes]
    )


def poisoned(series: Series, attack: Callable[[IntArray], IntArray], bad: int = 3) -> tuple[float, float]:
    """Error of the other homes where the first ones send false sums: by their own regression, and shared. [kW]"""
    gates, false = midnights(series, TRAIN_DAYS, TEST_DAYS), falsified(series, attack, range(bad))
    found = [error_kw(false, gates, forecast_days(false, gates, name)) for name in ("ridge", "shared_ridge")]
    return float(found[0][bad:].mean()), float(found[1][bad:].mean())


def percent_lower(new: FloatArray, old: FloatArray) -> float:
    """By how many percent the mean over homes is lower."""
    return float(100 * (1 - new.mean() / old.mean()))


def market_error(meter: MeterData, start_s: int, zone: str, rules: AgentRules, days: int = 28) -> float:
    """Sum of the errors of the forecasts at gate closure over the net energy of a window, both without signs."""
    first, rows = (start_s - meter.start_s) // (meter.minutes * 60), days * 1440 // meter.minutes
    net_wh = meter.import_wh - meter.export_wh
    tariff = OutsidePrices(flat(300_000, rows), flat(80_000, rows), 0, 0)
    readings = Readings(
        net_wh.copy(), meter.sub_meters["pv"].copy(), None, first, rules, tariff, meter.start_s, zone, {}, 2
    )
    forecasts, error = Forecasts(rules, first, readings.known_at), 0
    for row in range(first, first + rows):
        forecast = forecasts.at(row, readings.known_at(row), rules.lead + 1)
        assert forecast is not None
        error += int(np.abs(forecast.median_wh[-1] - net_wh[row]).sum())
    return error / int(np.abs(net_wh[first : first + rows]).sum())


def _print_data(homes: Path) -> None:
    ca = formats.load(homes, format="citylearn")
    load, pv = series_of(ca, "load", CALIFORNIA), series_of(ca, "pv", CALIFORNIA)
    street = series_of(samples.load("street").resample(60), "load", BERLIN)
    tables = (
        ("load, California", load, LOAD),
        ("PV, California", pv, PV),
        ("load, street by the hour", street, LOAD),
    )
    for title, series, names in tables:
        found = scores(series, names)
        print(f"\n{title}")
        for name, error in found.items():
            words = [
                f"{percent_lower(error, found[old]):6.1f} % below {old}" for old in names[:2] if old != name
            ]
            print(f"  {name:<18} {error.mean():.4f} kW {', '.join(words)}", flush=True)
        if names is LOAD:
            model = shared_of(series, int(midnights(series, TRAIN_DAYS, 1)[0]))
            print(
                f"  shared, no gate    {ungated(series).mean():.4f} kW; by the gate {model.shared.sum()} homes"
            )
    _print_new_homes(load)
    meter = samples.load("street")
    rules = AgentRules()
    before = replace(rules, forecaster="same_hour_mean", forecaster_pv="same_hour_mean")
    start_s = 1_474_236_000  # 2016-09-18T22:00Z, local midnight
    for name, of in (("same_hour_mean", before), ("ridge and scaled_median", rules)):
        print(
            f"street, September, errors over net energy: {name} {market_error(meter, start_s, BERLIN, of):.4f}",
            flush=True,
        )


def _print_new_homes(load: Series, bad: int = 3) -> None:
    """What homes with three days of readings gain by the others, and what false readings do to new and old homes."""
    old, attacks = cold_start(load, name="persistence"), ("shuffled", "shifted by 12 hours")
    print("\nload, California, a home with 3 days of readings, 14 days")
    for title, error in (
        ("persistence", old),
        ("ridge, alone", cold_start(load, name="ridge")),
        ("shared", cold_start(load)),
        *((f"shared, others {name}", untrue_others(load, ATTACKS[name])) for name in attacks),
    ):
        lower = percent_lower(error, old)
        print(f"  {title:<36} {error.mean():.4f} kW, {lower:.1f} % below persistence", flush=True)
    true = cold_start(load, bad)
    for name, attack in ATTACKS.items():
        own, gated = poisoned(load, attack, bad)
        print(f"three of ten {name:<20} own {own:.4f}, shared {gated:.4f} ({100 * (gated / own - 1):+.2f} %)")
        new = cold_start(falsified(load, attack, range(bad)), bad)
        worst, mean = 100 * (new / true - 1).max(), 100 * (new.mean() / true.mean() - 1)
        print(
            f"  a new home, of seven in turn: {new.mean():.4f} kW ({mean:+.2f} %), the worst {worst:+.2f} %",
            flush=True,
        )


def speed(homes: int = 1_000, minutes: int = 15) -> dict[str, float]:
    """CPU time of the forecasts of 96 intervals with quantiles, and of what comes before the first. [s]"""
    draw, per_day = np.random.default_rng(3), 1440 // minutes
    first = 99 * per_day
    load, pv = (draw.integers(0, 900, (first + 2 * per_day, homes)) for _ in range(2))
    tariff = OutsidePrices(flat(300_000, per_day), flat(80_000, per_day), 0, 0)
    rules = AgentRules(minutes=minutes)
    readings = Readings(load - pv, pv, None, first, rules, tariff, 1_474_236_000, BERLIN, {}, 2)
    forecasts = Forecasts(rules, first, readings.known_at)
    begun, found = time.process_time(), {}
    for row in range(first, first + per_day + 1):
        forecast = forecasts.at(row, readings.known_at(row), rules.lead + 1)
        assert forecast is not None
        forecasts.spread_wh(
            row, forecast, rules.lead, tuple(range(100_000, 1_000_000, 100_000)), np.arange(homes)
        )
        if row == first:
            found["start"], begun = time.process_time() - begun, time.process_time()
    found["96 intervals"] = time.process_time() - begun
    return found


def main(argv: list[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts")
    parser.add_argument("--homes", type=Path, default=HOMES)
    parser.add_argument("--only", choices=["data", "speed"])
    given = parser.parse_args(argv)
    if given.only != "speed":
        _print_data(given.homes)
    if given.only != "data":
        for name, seconds in speed().items():
            print(f"1,000 homes, {name}: {seconds:.2f} s of CPU")


if __name__ == "__main__":
    main(sys.argv[1:])
