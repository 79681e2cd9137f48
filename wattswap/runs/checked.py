"""A scenario with its data, checked: what is wrong is looked for to the end, and all of it is raised at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from agents.bidding import Limits, refuse_without_limits
from agents.rules import Weather
from data.readings import MISSING, BatterySpec, MeterData, Source, of_checked
from p2p.blocks.members import ALWAYS
from wattswap.errors import InvalidScenario, is_expected, problems_of
from wattswap.runs.amounts import refuse_too_much_money
from wattswap.runs.battery_refused import refuse_common_battery
from wattswap.runs.capacity import refuse_above_connection
from wattswap.runs.faults import Faults
from wattswap.runs.grid import RunGrid, grid_of, refuse_off_grid
from wattswap.runs.held import Held
from wattswap.runs.homes import (
    Behaviours,
    behaviours_of,
    devices_of,
    history_days,
    load_meter,
    picked,
    preferences_of,
    refuse_without_packages,
    refuse_without_weather,
    retailers_of,
    weather_of,
    without_missing,
)
from wattswap.runs.keys import Keys
from wattswap.runs.looking_ahead import refuse_to_look_ahead
from wattswap.runs.membership import Membership, membership_of, refuse_strangers
from wattswap.runs.rules import agent_rules, imbalance_rule
from wattswap.runs.sealing_refused import refuse_sealing
from wattswap.runs.study import studied
from wattswap.runs.tariffs import Tariffs, refuse_with_several_tariffs, tariffs_of
from wattswap.runs.throughput import DAYS
from wattswap.runs.zones import RunZones, zones_of
from wattswap.scenario.load import Scenario, Span

DAY_S = 86_400
_HOW_TO_READ = ("sample", "path", "format", "zone", "fuse_kw", "kind")
"""Keys of [data] on which it depends what the readings are."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What a run needs of a scenario and its data.

    Args:
        meter: Readings of the run and of the history that forecasts may use, at the run's interval.
        first_row: Row of `meter` at which the run starts.
        tariffs: What each home pays and saves, levies and VAT included.
        devices: One spec per home by device, None for a home without.
        strategies: Name of each home's strategy.
        controllers: Name of each home's controller.
        forecasters: Name of each home's forecaster of consumption.
        membership: When each home is part of the community.
        preferences: What each home pays and asks beyond the outside prices; None where nobody does. [micro/kWh]
        dropped_homes: Ids of homes that were left out for missing readings.
        undrawn_homes: Ids of those that a sample of the homes leaves out.
        weather: Measured weather, one value per row of `meter`.
        grid: Lines between the homes; None where the scenario has none.
        zones: Zones between which trades cost a fee; None where the scenario has none.
        data_homes: Ids of all homes in the data; on a node empty where nothing depends on them.
        held: What a node has in place of the data of all homes: `meter` has readings of its own homes, and misses all
            of others. None where all data are read.
    """

    meter: MeterData
    first_row: int
    intervals: int
    start_s: int
    minutes: int
    tariffs: Tariffs
    devices: Mapping[str, tuple[Any, ...]]
    strategies: tuple[str, ...]
    controllers: tuple[str, ...]
    forecasters: tuple[str, ...]
    membership: Membership
    preferences: Limits | None
    keys: Keys
    dropped_homes: tuple[str, ...]
    undrawn_homes: tuple[str, ...]
    weather: Weather
    grid: RunGrid | None
    zones: RunZones | None
    data_homes: tuple[str, ...]
    held: Held | None


@dataclass(frozen=True, eq=False)
class _OfHomes:
    """What the scenario says of single homes; None of what is faulty."""

    devices: Mapping[str, tuple[Any, ...]] | None
    behaviours: Behaviours | None
    retailers: tuple[str, ...] | None
    preferences: Limits | None


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The homes that run and their readings, cut to the run; see `Checked`."""

    data_homes: tuple[str, ...]
    meter: MeterData
    first_row: int
    span: Span
    membership: Membership
    dropped: tuple[str, ...]
    undrawn: tuple[str, ...]


def checked(scenario: Scenario, least_history_days: int = 0) -> Checked:
    """Load the data of a scenario and check that it can run on them.

    Args:
        least_history_days: Days before the run that are read, where the homes need less.

    Raises:
        WattswapError, DataError: The only error, or all errors of scenario and data together.
    """
    wrong = Faults()
    wrong.of(partial(refuse_without_packages, scenario), None)
    meter = wrong.of(partial(load_meter, scenario), None)
    found = None if meter is None else _on_data(scenario, meter, least_history_days, wrong)
    if found is None:
        raise wrong.error or InvalidScenario()
    return found


def with_later_faults(error: InvalidScenario, *, in_common: bool = True) -> InvalidScenario:
    """An error of a scenario with what else is wrong, where it is held against its data without its faulty keys.

    Args:
        in_common: Whether a battery in common has to be one of a run; a study of sizes takes what is given of it.
    """
    rest = error.rest
    # What the readings are depends on the other keys of [data].
    if rest is None or any(rest.lacks("data", key) for key in _HOW_TO_READ):
        return error
    try:
        checked(rest if in_common else rest.without_common_battery())
    except Exception as later:
        if not is_expected(later):
            raise
        problems = dict.fromkeys([*error.problems, *problems_of(later)])
        return InvalidScenario(*sorted(problems, key=lambda problem: problem.line or 0))
    return error


def _on_data(scenario: Scenario, read: MeterData, least_history_days: int, wrong: Faults) -> Checked | None:
    """Hold a scenario against its readings; None where something is wrong."""
    whole = wrong.of(partial(picked, scenario, read), read)
    meter, undrawn = wrong.of(partial(studied, scenario, whole), (whole, ()))
    fit = partial(scenario.span, meter.start_s, meter.minutes, meter.intervals)
    span = None if scenario.lacks("time") else wrong.of(fit, None)
    if span is None:
        wrong.of(partial(refuse_strangers, scenario, meter.households, undrawn), None)
        _of_homes(scenario, meter, undrawn, wrong)
        wrong.of(partial(grid_of, scenario, read.households, meter.households, meter.minutes), None)
        wrong.of(partial(zones_of, scenario, read.households, meter.households), None)
        return None
    lead = agent_rules(scenario, span.minutes).lead
    days = max(history_days(scenario), DAYS + 1, least_history_days)
    meter, first_row = _cut(meter, span, days, lead)
    meter, membership, dropped = _members(scenario, meter, first_row, span, undrawn, wrong)
    parts = _Parts(read.households, meter, first_row, span, membership, dropped, undrawn)
    return _with_the_rest(scenario, parts, wrong, None)


def checked_as_held(scenario: Scenario, held: Held) -> Checked:
    """What a run needs of a scenario, with what a node holds in place of the data; see `checked`.

    What was checked of all readings when the node's folder was made is not checked again.

    Raises:
        WattswapError: The only error, or all errors of the scenario together.
    """
    facts, wrong = held.facts, Faults()
    wrong.of(partial(refuse_without_packages, scenario), None)
    meter = _sparse(held)
    start_s = facts.start_s + facts.first_row * facts.minutes * 60
    span = Span(start_s, facts.minutes, facts.rows - facts.first_row)
    members = partial(membership_of, scenario, facts.homes, span, facts.undrawn + facts.dropped)
    membership = wrong.of(members, Membership.of((ALWAYS,) * len(facts.homes)))
    data_homes = facts.data_homes or facts.homes
    parts = _Parts(data_homes, meter, facts.first_row, span, membership, facts.dropped, facts.undrawn)
    found = _with_the_rest(scenario, parts, wrong, held)
    if found is None:
        raise wrong.error or InvalidScenario()
    return found


def _sparse(held: Held) -> MeterData:
    """Readings of the homes that a node holds; those of others are missing."""
    facts = held.facts
    shape = (len(facts.homes), facts.rows)
    names = ["import_wh", "export_wh", *(f"{name}_wh" for name in facts.sub_meters)]
    # One home after the other: memory of homes that are not held is never written, so that it takes none.
    wh = {name: np.zeros(shape, dtype=np.int64) for name in names}
    quality = np.full(shape, MISSING, dtype=np.uint8)
    for home, columns in held.own.items():
        quality[home] = columns["quality"].astype(np.uint8)
        for name in names:
            wh[name][home] = columns[name]
    by_row = {name: column.T for name, column in wh.items()}
    for column in by_row.values():
        column.flags.writeable = False
    quality.flags.writeable = False
    return of_checked(
        facts.homes,
        facts.start_s,
        facts.minutes,
        by_row["import_wh"],
        by_row["export_wh"],
        quality.T,
        {name: by_row[f"{name}_wh"] for name in facts.sub_meters},
        tuple(None if spec is None else BatterySpec(*spec) for spec in facts.batteries),
        Source("readings of own homes", ""),
    )


def _with_the_rest(scenario: Scenario, parts: _Parts, wrong: Faults, held: Held | None) -> Checked | None:
    """Check what the scenario says of homes whose readings are cut to the run; None where something is wrong."""
    meter, span, undrawn, dropped = parts.meter, parts.span, parts.undrawn, parts.dropped
    homes = _of_homes(scenario, meter, (*dropped, *undrawn), wrong)
    retailers = homes.retailers or ("",) * len(meter.households)
    tariffs = wrong.of(partial(tariffs_of, scenario, span, retailers), None)
    if held is None:  # else who wrote the node has checked all readings
        if tariffs is not None:
            wrong.of(partial(refuse_too_much_money, scenario, meter, parts.first_row, tariffs.gross), None)
        wrong.of(partial(refuse_above_connection, scenario, meter, parts.first_row), None)
    weather = wrong.of(partial(weather_of, scenario, meter), None)
    if weather is not None and not scenario.lacks("data", "weather"):
        devices = homes.devices or {}
        wrong.of(partial(refuse_without_weather, scenario, meter.households, devices, weather), None)
    wrong.of(partial(refuse_with_several_tariffs, scenario, imbalance_rule(scenario).netted), None)
    grid = wrong.of(partial(grid_of, scenario, parts.data_homes, meter.households, span.minutes), None)
    if tariffs is not None and not (scenario.grid is not None and grid is None):
        wrong.of(partial(refuse_off_grid, scenario, grid, tariffs.gross[0]), None)
    zones = wrong.of(partial(zones_of, scenario, parts.data_homes, meter.households), None)
    strategies = () if homes.behaviours is None else homes.behaviours[0]
    wrong.of(partial(refuse_to_look_ahead, scenario, span.minutes, strategies), None)
    wrong.of(partial(refuse_sealing, scenario), None)
    wrong.of(partial(refuse_common_battery, scenario, len(meter.households), homes.devices or {}), None)
    keys = wrong.of(partial(Keys.of, scenario), None)
    if (
        wrong.error is not None
        or tariffs is None
        or weather is None
        or keys is None
        or homes.devices is None
        or homes.behaviours is None
    ):
        return None
    strategies, controllers, forecasters = homes.behaviours
    return Checked(
        meter=meter,
        first_row=parts.first_row,
        intervals=span.intervals,
        start_s=span.start_s,
        minutes=span.minutes,
        tariffs=tariffs,
        devices=homes.devices,
        strategies=strategies,
        controllers=controllers,
        forecasters=forecasters,
        membership=parts.membership,
        preferences=homes.preferences,
        keys=keys,
        dropped_homes=dropped,
        undrawn_homes=undrawn,
        weather=weather,
        grid=grid,
        zones=zones,
        data_homes=parts.data_homes,
        held=held,
    )


def _cut(meter: MeterData, span: Span, days: int, lead: int) -> tuple[MeterData, int]:
    """The readings of the run and of some days before it, at the run's interval; the row at which it starts."""
    step_s = span.minutes * 60
    # History and run are cut to whole market intervals, counted from the run's start.
    first_s = max(meter.start_s, span.start_s - days * DAY_S - lead * step_s)
    first_s = span.start_s - (span.start_s - first_s) // step_s * step_s
    meter = meter.window(first_s, span.end_s)
    if span.minutes != meter.minutes:
        meter = meter.resample(span.minutes, span.start_s % step_s)
    return meter, (span.start_s - meter.start_s) // step_s


def _members(
    scenario: Scenario,
    meter: MeterData,
    first_row: int,
    span: Span,
    undrawn: tuple[str, ...],
    wrong: Faults,
) -> tuple[MeterData, Membership, tuple[str, ...]]:
    """The homes that run, when each is a member, and the ids of those that are left out for missing readings."""
    membership = wrong.of(partial(membership_of, scenario, meter.households, span, undrawn), None)
    always = meter, Membership.of((ALWAYS,) * len(meter.households)), ()
    # Readings are missing only while a home is a member.
    if membership is None or scenario.lacks("homes", "members") or scenario.lacks("data", "on_missing"):
        return always
    return wrong.of(partial(without_missing, scenario, meter, first_row, membership), always)


def _of_homes(scenario: Scenario, meter: MeterData, absent: tuple[str, ...], wrong: Faults) -> _OfHomes:
    """Check what the scenario says of single homes."""
    devices = wrong.of(partial(devices_of, scenario, meter, absent), None)
    behaviours = wrong.of(partial(behaviours_of, scenario, meter, absent), None)
    strategies = None if behaviours is None else behaviours[0]
    if scenario.market.quantities == "metered" and strategies is not None:
        wrong.of(partial(refuse_without_limits, strategies), None)
    retailers = wrong.of(partial(retailers_of, scenario, meter, absent), None)
    preferences = wrong.of(partial(preferences_of, scenario, meter, absent, strategies), None)
    return _OfHomes(devices, behaviours, retailers, preferences)
