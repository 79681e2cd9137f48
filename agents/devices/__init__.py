"""Devices by name: parameters, scenario table, simulation step, LP block and columns, all in the device's one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np

from agents.state import State
from data.readings import MeterData
from market.orders import Flexible
from market.registry import Registry
from market.settlement.tariff import OutsidePrices
from market.units import BoolArray, IntArray
from optimizer.solver.builder import Columns, ModelBuilder

Kind = Literal[
    "energy",
    "power",
    "share",
    "efficiency",
    "price",
    "whole",
    "temperature",
    "angle",
    "ratio",
    "clock",
    "weekdays",
    "by_hour",
]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a device's scenario table.

    Args:
        name: In the file, with its unit, such as "capacity_kwh".
        field: The parameter of the device's spec, such as "capacity_wh".
        kind: energy: kWh, Wh inside; power: kW above 0, W inside; share: 0 to 1, efficiency: above 0 to 1, both
            parts per million inside; price: per kWh, micro-currency inside; whole: a whole number of at least 0;
            temperature: degrees Celsius, and angle: degrees, both millionths inside; ratio: -100 to 100, thousandths
            inside; clock: a time of the local day, minutes inside; weekdays: such as "mon-fri", a tuple of 0 (Monday)
            to 6 inside; by_hour: 24 numbers of at least 0, one for each local hour, thousandths inside.
        summary: One sentence for people.
        default: Value where neither scenario nor data give one; None makes the key required unless it is optional.
        optional: Whether the spec takes None where nobody gives a value.
    """

    name: str
    field: str
    kind: Kind
    summary: str
    default: Any = None
    optional: bool = False

    @property
    def required(self) -> bool:
        """Whether scenario or data have to give it."""
        return self.default is None and not self.optional


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One interval as devices and controllers see it.

    Args:
        start_s: Start of the interval. [s since 1970 UTC]
        minutes: Its length. [min]
        weather: Of the interval; where it is still to come, the last measured values for the next hour, those of the
            same time of day before for later ones.
        zone: Name of the time zone whose calendar the homes live by.
        seed: From which random draws of the homes follow.
        homes: Index of each home in the roster; 0, 1, .. where None.
        tariff: Outside prices of the whole run, which are published before it; None where nothing depends on them.
        tariff_row: Its place in them; below 0 before the run.
    """

    start_s: int
    minutes: int
    weather: Mapping[str, float]
    zone: str = "UTC"
    seed: int = 0
    homes: IntArray | None = None
    tariff: OutsidePrices | None = None
    tariff_row: int = 0

    @property
    def end_s(self) -> int:
        """The first second after it. [s since 1970 UTC]"""
        return self.start_s + self.minutes * 60


TAKEN: Final = ("interval_start", "household", "import_wh", "export_wh", "load_wh", "pv_wh")
"""Columns of the readings that belong to no device."""
SHORT_COST: Final = 1e9
"""Cost, in a linear program, of a Wh that a home needs and does not get: far above any price. [micro-currency/kWh]"""


class Window(NamedTuple):
    """Energy that a device takes within some intervals, whenever a market of a horizon says.

    Args:
        home: Row of its home.
        energy_wh: In all. [Wh]
        needed: Whether it is taken at any price; else only while it is cheaper than what comes later is worth.
        terms: The intervals, counted from the first of the horizon, and its power.
    """

    home: int
    energy_wh: int
    needed: bool
    terms: Flexible


class Windows(NamedTuple):
    """What the devices of all homes take over a horizon, as a market can place it.

    Args:
        windows: What it may place: of a home one after the other, never two in an interval.
        fixed_wh: What they take beside that, whatever it places, shape (intervals, homes). [Wh]
        known: Homes of which this is all.
    """

    windows: tuple[Window, ...]
    fixed_wh: IntArray
    known: BoolArray


class Fleet(Protocol):
    """The devices of one kind in all homes, as columns; a home without one has a row that does nothing.

    A fleet that keeps energy for a purpose may also have `spare_wh(state, moment)`: the most that the rule of
    self-consumption may have it give. [Wh] One that takes less where energy costs more may have `demand_wh(state,
    moment, price)`: what it takes at a price of the interval [micro-currency/kWh]. [Wh] Plans then order by it, and
    command what the home has agreed in the market less its other net energy. One whose state has bounds may have
    `limits()`: the least and the most of such columns of its state, by name; a checkpoint beyond them is refused.
    One that a market of a horizon may run may have `windows(state, moments, homes)`: what those homes take over these
    intervals, as `Windows`. A command of what is placed in the first of them must then make it take that.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that this device adds to a run's readings."""

    def start(self) -> State:
        """The state before the first interval."""

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Run one interval.

        Args:
            state: At its start.
            command_wh: What the controller wants at the terminals, positive consumes. [Wh]
            moment: The interval.

        Returns:
            Energy at the terminals within the limits of the device [Wh], and the state at the end.
        """

    def read(self, state: State) -> Mapping[str, IntArray]:
        """The values of the columns."""

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """Add one home's device to a linear program.

        Args:
            model: To which variables and constraints are added; energies are in Wh, costs in nano-currency (Wh times
                micro-currency/kWh). It must always be feasible: what a home may have to go without costs SHORT_COST.
            home: Row of the home.
            state: At the start of the first interval.
            moments: The intervals of the horizon.

        Returns:
            Two columns of the model, one value per interval: energy taken at the terminals, and energy given. [Wh]
        """


def _no_weather(spec: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device.

    Args:
        name: Of the scenario's tables [homes.NAME.HOME].
        keys: Of such a table; their fields are the arguments of `spec`.
        spec: A dataclass of one home's parameters; raises a ValueError with a sentence where they make no device.
        fleet: Makes columns of one entry per home, for intervals of a length in minutes.
        summary: One line for people.
        in_data: The specs that meter data hold, one entry per home, None for a home without; left out where data
            cannot name such devices.
        switch: Key of [homes] that chooses "data" or "none" where data can.
        removed_by: Field whose value 0 in the scenario takes away what the data say.
        turn: Devices run one after the other, lowest turn first, each given the net energy that the earlier ones
            leave: production (-1) before what can use it (0), storage (1) after both.
        weather: Names of the columns of weather that a home's spec needs.
        used: Column that counts as consumption of the home; none for one that only stores. [Wh]
        made: Column that counts as its production. [Wh]
        unmet: Column that counts what the home needed and did not get, or not in time. [Wh]
        outside: Columns that count how far and how long a room was outside its comfort band. [thousandths of a
            degree-hour]
        wear: Column that counts the cost of its wear, where it has one. [nano-currency]
        most_w: The most power that a home's device takes, and that it gives; left out: each of its keys of the kind
            "power" in both directions. [W]
    """

    name: str
    keys: tuple[Key, ...]
    spec: type[Any]
    fleet: Callable[[Sequence[Any], int], Fleet]
    summary: str
    in_data: Callable[[MeterData], Sequence[Any]] | None = None
    switch: str = ""
    removed_by: str = ""
    turn: int = 0
    weather: Callable[[Any], tuple[str, ...]] = _no_weather
    used: str = ""
    made: str = ""
    unmet: str = ""
    outside: tuple[str, ...] = ()
    wear: str = ""
    most_w: Callable[[Any], tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        parameters = {one.name for one in fields(self.spec)} if is_dataclass(self.spec) else set()
        for key in self.keys:
            if parameters and key.field not in parameters:
                raise ValueError(
                    f"the key {key.name!r} of the device {self.name!r} has the field {key.field!r}, which"
                    f" {self.spec.__name__} does not have"
                )


def column(specs: Sequence[Any], name: str, missing: int = 0) -> IntArray:
    """One parameter of all homes, with a value for those without a device."""
    return np.array([missing if spec is None else getattr(spec, name) for spec in specs], dtype=np.int64)


DEVICES: Registry[Device] = Registry(
    "device", folders=("agents.devices",), group="wattswap.devices", item=Device
)


def most_power_w(device: Device, spec: Any) -> tuple[int, int]:
    """The most power that a home's device takes, and that it gives; see `Device`. [W]"""
    with DEVICES.held(device):
        if device.most_w is not None:
            takes_w, gives_w = device.most_w(spec)
            return int(takes_w), int(gives_w)
        rated_w = sum(getattr(spec, key.field) or 0 for key in device.keys if key.kind == "power")
        return rated_w, rated_w


def limits_of(device: Device, fleet: Fleet) -> Mapping[str, tuple[IntArray, IntArray]]:
    """The least and the most of columns of the state of a fleet, by name; none where it states none."""
    limits = getattr(fleet, "limits", None)
    if limits is None:
        return {}
    with DEVICES.held(device):
        found: Mapping[str, tuple[IntArray, IntArray]] = limits()
    return found
