"""The homes of a scenario: their readings, checked, their devices and their strategies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import residuals
from agents.bidding import STRATEGIES, Limits
from agents.devices import DEVICES, Device
from agents.errors import ImpossibleDevice
from agents.forecast import FORECASTERS, Forecaster
from agents.rules import Weather
from data.readings import MISSING, MeterData
from data.weather import load_weather
from market.errors import one_line, text_of
from market.units import PPM, BoolArray, IntArray, largest_remainder
from wattswap.errors import InvalidData, InvalidScenario, Problem
from wattswap.runs.faults import Faults
from wattswap.runs.membership import Membership, cure_by_term
from wattswap.runs.study import owners
from wattswap.scenario.lines import KeyPath
from wattswap.scenario.population import given_of

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario

Behaviours = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Strategy, controller and forecaster of consumption of each home."""
MAX_LISTED = 20
ROWS = 4_096
"""Intervals whose flags are read in one go."""
_SALTS = {
    "strategies": "strategy",
    "controls": "control",
    "forecasters": "forecast",
    "preferences": "preference",
    "tariffs": "tariff",
}
"""By key of [homes], what distinguishes its draw of the homes that a share covers."""
_OWNED = ("preferences", "tariffs")
"""Keys whose draw is that of the neighbourhood, the same for all seeds of a comparison."""


def load_meter(scenario: Scenario) -> MeterData:
    """Read the scenario's meter data.

    Raises:
        DataError: They cannot be read.
    """
    path = scenario.data_path
    if path is None:
        from data import samples

        assert scenario.data.sample is not None
        meter = samples.load(scenario.data.sample)
    else:
        from data.store import beside

        options = scenario.data
        meter = beside.load(
            path,
            format=options.format,
            zone=options.zone,
            fuse_w=options.fuse_w,
            kind=options.kind,
        )
    return meter


def picked(scenario: Scenario, meter: MeterData) -> MeterData:
    """The readings of the homes that take part.

    Raises:
        InvalidScenario: Homes that the data do not have.
    """
    wanted = scenario.data.households
    if wanted is None:
        return meter
    unknown = [name for name in wanted if name not in meter.households]
    if unknown:
        known, what = ", ".join(meter.households[:MAX_LISTED]), ", ".join(map(repr, unknown[:MAX_LISTED]))
        raise scenario.invalid("data.households", f"the data have no home {what}", f"they have: {known}")
    return meter.select(wanted)


def weather_of(scenario: Scenario, meter: MeterData) -> Weather:
    """The weather of every interval of the readings, by column; nothing where the scenario names none.

    Raises:
        InvalidWeatherFile: Everything that is wrong with the file, with its lines.
    """
    if scenario.data.weather is None:
        return {}
    path = scenario.source.base / scenario.data.weather
    return load_weather(path, meter.start_s, meter.minutes, meter.intervals, zone=scenario.named_zone)


def history_days(scenario: Scenario) -> int:
    """Days before the run of which the homes can use the readings: for forecasts, and for what they were off by."""
    homes = scenario.homes
    strategies = [STRATEGIES.get(name) for name in (homes.strategy, *homes.strategies)]
    # The day more is for the hour that the clock skips in spring.
    spread = residuals.DAYS + 1 if any(strategy.quantiles_ppm for strategy in strategies) else 0
    forecasters = (FORECASTERS.get(name) for name in (homes.forecast, homes.forecast_pv, *homes.forecasters))
    return max(homes.forecast_days, *(forecaster.history_days for forecaster in forecasters)) + spread


def without_missing(
    scenario: Scenario, meter: MeterData, first_row: int, membership: Membership
) -> tuple[MeterData, Membership, tuple[str, ...]]:
    """Refuse, or leave out, homes that miss a reading while they are members; missing energy is never traded.

    Returns:
        The data and the membership of the homes that run, and the ids of those left out.

    Raises:
        InvalidData: Names each home with the number of its missing readings.
    """
    step_s, count = meter.minutes * 60, np.zeros(len(meter.households), dtype=np.int64)
    for row in range(first_row, meter.intervals, ROWS):
        missing = meter.quality[row : row + ROWS] == MISSING
        member = membership.in_rows(meter.start_s + row * step_s, step_s, len(missing))
        count += (missing & member).sum(axis=0)
    broken = [name for name, n in zip(meter.households, count.tolist(), strict=True) if n]
    if not broken:
        return meter, membership, ()
    if scenario.data.on_missing == "refuse":
        places = [meter.households.index(name) for name in broken[:MAX_LISTED]]
        of_broken = membership.of_homes(places)
        member = of_broken.in_rows(meter.start_s + first_row * step_s, step_s, meter.intervals - first_row)
        raise InvalidData(
            *(_missing(scenario, meter, first_row, member[:, i], home) for i, home in enumerate(places))
        )
    places = np.flatnonzero(count == 0).tolist()
    kept = [meter.households[home] for home in places]
    if not kept:
        raise scenario.invalid(
            "data.on_missing", "every home misses readings in this time", "choose another time"
        )
    return meter.select(kept), membership.of_homes(places), tuple(broken)


def _missing(scenario: Scenario, meter: MeterData, first_row: int, member: BoolArray, home: int) -> Problem:
    """Say what readings a home lacks in the intervals in which it is a member."""
    name = meter.households[home]
    lacking = int((member & (meter.quality[first_row:, home] == MISSING)).sum())
    whole = "the run" if member.all() else "its membership"
    what = f"{lacking} of {int(member.sum())} readings of {whole} are missing"
    cure = 'choose another time, or set data.on_missing = "drop_home"'
    term = cure_by_term(meter, first_row, home, scenario.zone)
    return Problem(f"home {name}", what, f"{term}; else {cure}" if term else cure)


def devices_of(scenario: Scenario, meter: MeterData, absent: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """One spec per home by device: the scenario's tables over its shares over the data.

    A device that none of them can name is left out.

    Args:
        absent: Homes of the data that do not take part; their tables have nothing to change.

    Raises:
        InvalidScenario: All tables of homes that the data do not have or that do not describe a device.
    """
    problems: list[Problem] = []
    devices = {}
    for device in DEVICES.all().values():
        tables, shared = scenario.homes.tables(device.name), scenario.homes.share_of(device)
        if device.in_data is None and not tables and shared is None:
            continue
        specs: list[Any] = [None] * len(meter.households)
        if device.in_data is not None and scenario.homes.uses_data(device):
            with DEVICES.held(device):
                specs = list(device.in_data(meter))
                if len(specs) != len(meter.households):
                    raise TypeError(
                        f"in_data gives {len(specs)} specs, and there are {len(meter.households)} homes"
                    )
        try:
            if shared is not None:
                specs = _shared_out(scenario, device, *shared, specs, meter)
        except InvalidScenario as error:
            problems += error.problems
        for name, table in tables.items():
            if name in absent:
                continue
            key = ("homes", device.name, name)
            try:
                i = _place(scenario, meter, key, name)
                specs[i] = _spec(scenario, device, given_of(device, table), specs[i], key)
            except InvalidScenario as error:
                problems += error.problems
        devices[device.name] = tuple(specs)
    if problems:
        raise InvalidScenario(*problems)
    return devices


def refuse_without_weather(
    scenario: Scenario, homes: Sequence[str], devices: Mapping[str, Sequence[Any]], weather: Collection[str]
) -> None:
    """Refuse devices that need columns of weather that a run does not have.

    Args:
        scenario: Which names the devices.
        homes: Ids, in the order of the specs.
        devices: One spec per home by device.
        weather: Names of the columns that there are.

    Raises:
        InvalidScenario: Names each of them.
    """
    problems: list[Problem] = []
    for name, specs in devices.items():
        device = DEVICES.get(name)
        for home, spec in zip(homes, specs, strict=True):
            with DEVICES.held(device):
                needs = () if spec is None else device.weather(spec)
            missing = [column for column in needs if column not in weather]
            if missing:
                wrong = f"needs weather that the run does not have: {', '.join(missing)}"
                cure = "name a file with it in data.weather"
                problems += scenario.invalid(("homes", name, home), wrong, cure).problems
    if problems:
        raise InvalidScenario(*problems)


def used_and_made(
    devices: Iterable[str], columns: Mapping[str, IntArray]
) -> tuple[IntArray | int, IntArray | int]:
    """Consumption and production of devices by their columns; 0 where none has any. [Wh]"""
    kinds = [DEVICES.get(name) for name in devices]
    return sum(columns.get(one.used, 0) for one in kinds), sum(columns.get(one.made, 0) for one in kinds)


def _shared_out(
    scenario: Scenario,
    device: Device,
    share_ppm: int,
    given: Mapping[str, Any],
    specs: Sequence[Any],
    meter: MeterData,
) -> list[Any]:
    """The specs after a share of the homes is to own a device: its own where a home has one, else what is given."""
    key: KeyPath = ("homes", "population", device.name)
    has = [spec is not None for spec in specs]
    own = owners(meter.households, has, share_ppm, scenario.homes.drawn_from, device.name)
    given_spec = _spec(scenario, device, given, None, key)
    pairs = zip(meter.households, specs, strict=True)
    return [(given_spec if spec is None else spec) if name in own else None for name, spec in pairs]


def _place(scenario: Scenario, meter: MeterData, key: KeyPath, name: str) -> int:
    if name not in meter.households:
        known = ", ".join(meter.households[:MAX_LISTED])
        raise scenario.invalid(key, f"the data have no home {name!r}", f"they have: {known}")
    return meter.households.index(name)


def _spec(scenario: Scenario, device: Device, given: Mapping[str, Any], base: Any, key: KeyPath) -> Any:
    """One home's device: what the scenario gives, else what the data say, else the defaults of the keys."""
    if given.get(device.removed_by) == 0:
        return None
    defaults = {k.field: k.default for k in device.keys if not k.required}
    values = {**defaults, **({} if base is None else asdict(base)), **given}
    if any(k.field not in values for k in device.keys):
        *first, last = (k.name for k in device.keys if k.required)
        cure = f"give {', '.join(first)} and {last}" if first else f"give {last}"
        raise scenario.invalid(key, f"this home has no {device.name} in the data", cure)
    try:
        with DEVICES.held(device, passing=(ValueError,)):
            return device.spec(**values)
    except ImpossibleDevice as error:
        faults = [((*key, at) if at else key, wrong, cure) for at, wrong, cure in error.faults]
        problems = (problem for fault in faults for problem in scenario.invalid(*fault).problems)
        raise InvalidScenario(*problems) from None
    except ValueError as error:
        raise scenario.invalid(key, text_of(error).rstrip(".") or one_line(error)) from None


def refuse_without_packages(scenario: Scenario) -> None:
    """Refuse forecasters whose optional package is missing.

    Raises:
        InvalidScenario: Names each of them.
    """
    homes, problems = scenario.homes, list[Problem]()
    chosen: list[tuple[KeyPath, str]] = [
        (("homes", "forecast"), homes.forecast),
        (("homes", "forecast_pv"), homes.forecast_pv),
        *((("homes", "forecasters", name), name) for name in homes.forecasters),
    ]
    for key, name in chosen:
        forecaster = FORECASTERS.get(name)
        if forecaster.lacks_package:
            problems += scenario.invalid(key, *without_package(forecaster)).problems
    if problems:
        raise InvalidScenario(*problems)


def without_package(forecaster: Forecaster) -> tuple[str, str]:
    """What is wrong with a forecaster whose package is missing, and what to do."""
    wrong = f"{forecaster.name!r} needs the optional package {forecaster.package}"
    return wrong, f"install it: pip install '{forecaster.install}'"


def behaviours_of(scenario: Scenario, meter: MeterData, absent: tuple[str, ...]) -> Behaviours:
    """Strategy, controller and forecaster of each home; see `_assigned`."""
    homes, wrong = scenario.homes, Faults()
    given = (
        ("strategies", homes.strategy, homes.strategies),
        ("controls", homes.control, homes.controls),
        ("forecasters", homes.forecast, homes.forecasters),
    )
    strategies, controllers, forecasters = (
        wrong.of(partial(_assigned, scenario, meter, absent, *one), ()) for one in given
    )
    wrong.finish()
    return strategies, controllers, forecasters


def retailers_of(scenario: Scenario, meter: MeterData, absent: tuple[str, ...]) -> tuple[str, ...]:
    """The name of each home's retailer; empty for that of [tariff]. See `_assigned`."""
    return _assigned(scenario, meter, absent, "tariffs", "", scenario.homes.tariffs)


def preferences_of(
    scenario: Scenario, meter: MeterData, absent: tuple[str, ...], strategies: Sequence[str] | None
) -> Limits | None:
    """What each home pays and asks beyond the outside prices; None where nobody prefers anything. [micro/kWh]

    Args:
        strategies: Name of each home's strategy; None where that is not known.

    Raises:
        InvalidScenario: A home that the data do not have, or one whose strategy does not heed preferences.
    """
    tables = scenario.homes.preferences
    if not tables:
        return None
    portions = {name: table.homes for name, table in tables.items()}
    chosen = _assigned(scenario, meter, absent, "preferences", "", portions)
    for name, strategy in () if strategies is None else zip(chosen, strategies, strict=True):
        if name and not STRATEGIES.get(strategy).by_worth:
            wrong = f"some of these homes bid by {strategy!r}, whose limits do not follow what a home prefers"
            heeding = ", ".join(sorted(one for one, found in STRATEGIES.all().items() if found.by_worth))
            raise scenario.invalid(("homes", "preferences", name), wrong, f"let them bid by one of {heeding}")
    more = [
        (0, 0) if not name else (tables[name].premium_micro_per_kwh, tables[name].markup_micro_per_kwh)
        for name in chosen
    ]
    premium, markup = np.array(more, dtype=np.int64).T
    return premium, markup


def _assigned(
    scenario: Scenario,
    meter: MeterData,
    absent: tuple[str, ...],
    key: str,
    default: str,
    portions: Mapping[str, int | tuple[str, ...]],
) -> tuple[str, ...]:
    """A name for each home; shares count of the homes that no list names.

    Which homes a share covers is drawn from a seed and the homes' ids, so their order in the data does not matter.

    Raises:
        InvalidScenario: All homes that the data do not have.
    """
    chosen, wrong = dict.fromkeys(meter.households, default), Faults()
    rest = set(meter.households)
    for one, portion in portions.items():
        for name in portion if isinstance(portion, tuple) else ():
            if name not in absent:
                wrong.of(partial(_place, scenario, meter, ("homes", key, one), name), None)
                chosen[name] = one
                rest.discard(name)
    wrong.finish()
    shares = {name: portion for name, portion in portions.items() if isinstance(portion, int)}
    weights = [*shares.values(), PPM - sum(shares.values())]
    counts = largest_remainder(np.array(weights, dtype=np.int64), len(rest)).tolist()
    seed = scenario.homes.drawn_from if key in _OWNED else scenario.seed
    salt = f"{seed} {_SALTS[key]}"
    drawn = iter(sorted(rest, key=lambda name: sha256(f"{salt} {name}".encode()).digest()))
    for one, count in zip(shares, counts, strict=False):
        chosen |= dict.fromkeys(islice(drawn, count), one)
    return tuple(chosen.values())
