"""A battery: stores energy within its power, capacity and efficiencies.

All arithmetic of the step is in integers, so a home gives the same numbers alone as among a thousand: energy at the
terminals in Wh, energy stored in uWh (Wh x efficiency in ppm is exactly uWh).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from agents.devices import DEVICES, Device, Key, Moment
from agents.errors import BatteryOutOfRange, ImpossibleDevice
from agents.state import State
from data.readings import BatterySpec, MeterData
from market.units import PPM, IntArray
from optimizer.solver.builder import NONE, Columns, ModelBuilder

MAX_CAPACITY_WH = 1_000_000
"""Above 1 MWh a product inside `step` could pass 2^63; no home's battery comes near."""


@dataclass(frozen=True, slots=True)
class Battery(BatterySpec):
    """The parameters of a battery in a run: those of the data, and how it is used.

    Args:
        initial_share_ppm: Content at the first interval, as a share of the capacity. [parts per million]
        reserve_share_ppm: Content that it keeps, as a share of the capacity. [parts per million]
        wear_micro_per_kwh: Cost of wear of a kWh that it gives, which no bill counts. [micro-currency/kWh]
    """

    initial_share_ppm: int = 0
    reserve_share_ppm: int = 0
    wear_micro_per_kwh: int = 0

    def __post_init__(self) -> None:
        BatterySpec.__post_init__(self)
        if self.wear_micro_per_kwh < 0:
            found = f"is {self.wear_micro_per_kwh / PPM:g}"
            raise ImpossibleDevice([("wear_cost_per_kwh", found, "give a cost of at least 0")])


@dataclass(frozen=True, slots=True, eq=False)
class Batteries:
    """Batteries of all homes as columns; a home without one has capacity 0.

    Args:
        capacity_uwh: Usable capacity. [uWh]
        charge_wh: Most energy taken in an interval, at the terminals. [Wh]
        discharge_wh: Most energy given in an interval, at the terminals. [Wh]
        charge_efficiency_ppm: Stored per energy taken.
        discharge_efficiency_ppm: Given per energy stored.
        initial_wh: Content at the start. [Wh]
        reserve_uwh: Content below which it gives nothing. [uWh]
        wear_micro_per_kwh: Cost of wear of a kWh given. [micro-currency/kWh]
    """

    capacity_uwh: IntArray
    charge_wh: IntArray
    discharge_wh: IntArray
    charge_efficiency_ppm: IntArray
    discharge_efficiency_ppm: IntArray
    initial_wh: IntArray
    reserve_uwh: IntArray
    wear_micro_per_kwh: IntArray

    @classmethod
    def from_specs(cls, specs: Sequence[Battery | None], minutes: int) -> Batteries:
        """Turn one spec per home into columns for intervals of `minutes`.

        Raises:
            BatteryOutOfRange: Names the first battery that is too large.
        """
        for i, spec in enumerate(specs):
            if spec is not None and spec.capacity_wh > MAX_CAPACITY_WH:
                raise BatteryOutOfRange(
                    f"battery of home {i + 1}: capacity {spec.capacity_wh} Wh; at most {MAX_CAPACITY_WH} Wh can be"
                    " simulated, divide it among several homes"
                )

        def column(name: str, missing: int, factor: int = 1, divisor: int = 1) -> IntArray:
            values = [missing if s is None else getattr(s, name) * factor // divisor for s in specs]
            return np.array(values, dtype=np.int64)

        return cls(
            column("capacity_wh", 0, PPM),
            column("charge_w", 0, minutes, 60),
            column("discharge_w", 0, minutes, 60),
            column("charge_efficiency_ppm", PPM),
            column("discharge_efficiency_ppm", PPM),
            column("capacity_wh", 0) * column("initial_share_ppm", 0) // PPM,
            column("capacity_wh", 0) * column("reserve_share_ppm", 0),
            column("wear_micro_per_kwh", 0),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The content after each interval, rounded down to a Wh; the cost of wear, where a battery has one."""
        return ("stored_wh", "battery_wear_nano") if self.wear_micro_per_kwh.any() else ("stored_wh",)

    def start(self) -> State:
        """The content at the first interval [uWh], and what is given in an interval. [Wh]"""
        return {"stored_uwh": self.initial_wh * PPM, "given_wh": np.zeros_like(self.initial_wh)}

    def limits(self) -> Mapping[str, tuple[IntArray, IntArray]]:
        """From empty to full [uWh], and what is given in an interval. [Wh]"""
        nothing = np.zeros_like(self.capacity_uwh)
        return {"stored_uwh": (nothing, self.capacity_uwh), "given_wh": (nothing, self.discharge_wh)}

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Charge (positive) or discharge (negative) as commanded, within power, capacity, content and reserve.

        Rounding never creates energy: the room is rounded down, the draw up.
        """
        stored_uwh = state["stored_uwh"]
        charge_ppm, discharge_ppm = self.charge_efficiency_ppm, self.discharge_efficiency_ppm
        room_wh = (self.capacity_uwh - stored_uwh) // charge_ppm
        charge_wh = np.maximum(np.minimum(np.minimum(command_wh, self.charge_wh), room_wh), 0)
        content_wh = np.maximum(stored_uwh - self.reserve_uwh, 0) * discharge_ppm // (PPM * PPM)
        discharge_wh = np.maximum(np.minimum(np.minimum(-command_wh, self.discharge_wh), content_wh), 0)
        drawn_uwh = -(-discharge_wh * (PPM * PPM) // discharge_ppm)
        return charge_wh - discharge_wh, {
            "stored_uwh": stored_uwh + charge_wh * charge_ppm - drawn_uwh,
            "given_wh": discharge_wh,
        }

    def read(self, state: State) -> Mapping[str, IntArray]:
        """The content, rounded down [Wh], and the wear by what is given. [nano-currency]"""
        content = {"stored_wh": state["stored_uwh"] // PPM}
        if not self.wear_micro_per_kwh.any():
            return content
        return content | {"battery_wear_nano": state["given_wh"] * self.wear_micro_per_kwh}

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """Charge, discharge and content s per interval: s[t] = s[t-1] + gain * charge[t] - loss * discharge[t].

        Nothing forbids both in one interval; it pays only at negative prices. A battery that starts below its reserve
        stays at least at what it has.
        """
        steps = len(moments)
        gain = int(self.charge_efficiency_ppm[home]) / PPM
        loss = PPM / int(self.discharge_efficiency_ppm[home])
        charge = model.variables(f"battery{home}.charge_wh", steps, upper=float(self.charge_wh[home]))
        wear, initial = float(self.wear_micro_per_kwh[home]), float(state["stored_uwh"][home]) / PPM
        discharge = model.variables(
            f"battery{home}.discharge_wh", steps, upper=float(self.discharge_wh[home]), cost=wear
        )
        stored = model.variables(
            f"battery{home}.stored_wh",
            steps,
            lower=min(float(self.reserve_uwh[home]) / PPM, initial),
            upper=float(self.capacity_uwh[home]) / PPM,
        )
        before, held = np.append(NONE, stored[:-1]), np.zeros(steps)
        held[0] = initial
        terms = [(stored, 1.0), (charge, -gain), (discharge, loss), (before, -1.0)]
        model.constraints(f"battery{home}.content", terms, lower=held, upper=held)
        return [charge, discharge]


def in_data(meter: MeterData) -> list[Battery | None]:
    """The batteries that the meter data name, empty at the start."""
    return [None if found is None else Battery(**asdict(found)) for found in meter.batteries]


BATTERY = DEVICES.register(
    Device(
        name="battery",
        keys=(
            Key("capacity_kwh", "capacity_wh", "energy", "Usable capacity in kWh; 0 removes the battery."),
            Key("charge_kw", "charge_w", "power", "The most it takes in, in kW."),
            Key("discharge_kw", "discharge_w", "power", "The most it gives out, in kW."),
            Key(
                "charge_efficiency",
                "charge_efficiency_ppm",
                "efficiency",
                "Share of the charged energy that is stored.",
                PPM,
            ),
            Key(
                "discharge_efficiency",
                "discharge_efficiency_ppm",
                "efficiency",
                "Share of the stored energy that comes out.",
                PPM,
            ),
            Key(
                "initial_share",
                "initial_share_ppm",
                "share",
                "How full it is at the start of the run, 0 to 1.",
                0,
            ),
            Key(
                "reserve_share",
                "reserve_share_ppm",
                "share",
                "Share of the capacity below which it gives nothing, 0 to 1.",
                0,
            ),
            Key(
                "wear_cost_per_kwh",
                "wear_micro_per_kwh",
                "price",
                "Cost of wear of a kWh that it gives: plans and the metric wear_cost count it, bills do not.",
                0,
            ),
        ),
        spec=Battery,
        fleet=Batteries.from_specs,
        summary="stores energy within its power, capacity and efficiencies",
        in_data=in_data,
        switch="batteries",
        removed_by="capacity_wh",
        turn=1,
        wear="battery_wear_nano",
        most_w=lambda spec: (spec.charge_w, spec.discharge_w),
    )
)
