"""A heat pump and the building that it heats: one resistance, one capacity, a band of temperatures.

The building follows `agents.heat`. The heat pump follows its controller within the band: it takes at least what keeps
the room at the lower end at the end of the interval, and no more than what brings it to the upper end. Where the
power does not suffice, or the weather alone warms the room further, the degree-hours outside the band are columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.devices import DEVICES, SHORT_COST, Device, Key, Moment, column
from agents.errors import Fault, ImpossibleDevice
from agents.heat import UDEG, block, bodies, faults_of_band, udeg
from agents.state import State
from market.units import IntArray
from optimizer.solver.builder import Columns, ModelBuilder

MILLI: Final = 1_000
LEAST_CAPACITY_WH, MOST_CAPACITY_WH = 500, 1_000_000
MOST_LOSS_W, MOST_POWER_W, MOST_COP_MILLI = 100_000, 50_000, 10_000
"""Beyond these a product inside `step` could pass 2^63; no home comes near."""
_RATED_UDEG = 7 * UDEG


@dataclass(frozen=True, slots=True)
class HeatPump:
    """The parameters of one home's heat pump and building.

    Args:
        power_w: Most electric power. [W]
        heat_loss_w_per_k: Heat that the building loses per degree. [W/K]
        capacity_wh_per_k: Heat that warms it by a degree. [Wh/K]
        cop_milli: Heat per electric energy at 7 degrees outdoors. [thousandths]
        cop_milli_per_k: Change of it per degree outdoors. [thousandths/K]
        low_udeg: Lower end of the comfort band.
        high_udeg: Upper end.
        initial_udeg: Temperature at the first interval; the lower end where None.
        outdoor_udeg: Temperature outdoors at all times; that of the weather where None.
    """

    power_w: int
    heat_loss_w_per_k: int
    capacity_wh_per_k: int
    cop_milli: int
    cop_milli_per_k: int = 0
    low_udeg: int = 20 * UDEG
    high_udeg: int = 22 * UDEG
    initial_udeg: int | None = None
    outdoor_udeg: int | None = None

    def __post_init__(self) -> None:
        faults: list[Fault] = faults_of_band(self.low_udeg, self.high_udeg, "comfort_min_c", "comfort_max_c")
        limits = (
            ("power_kw", self.power_w, 1, MOST_POWER_W, MILLI),
            ("heat_loss_w_per_k", self.heat_loss_w_per_k, 1, MOST_LOSS_W, 1),
            ("capacity_kwh_per_k", self.capacity_wh_per_k, LEAST_CAPACITY_WH, MOST_CAPACITY_WH, MILLI),
            ("cop", self.cop_milli, MILLI, MOST_COP_MILLI, MILLI),
            ("cop_per_k", self.cop_milli_per_k, 0, MILLI, MILLI),
        )
        for key, value, low, high, parts in limits:
            if not low <= value <= high:
                cure = f"give {low / parts:g} to {high / parts:g}"
                faults.append((key, f"is {value / parts:g}, which no heat pump of a home has", cure))
        if faults:
            raise ImpossibleDevice(faults)


class HeatPumps:
    """The heat pumps of all homes; a home without one has one without power."""

    columns = ("heat_pump_wh", "room_millidegree", "too_cold_millidegree_h", "too_warm_millidegree_h")

    def __init__(self, specs: Sequence[HeatPump | None], minutes: int) -> None:
        self._body = bodies(
            (column(specs, "heat_loss_w_per_k") * 1_000_000).tolist(),
            (column(specs, "capacity_wh_per_k") * MILLI).tolist(),
            column(specs, "low_udeg").tolist(),
            column(specs, "high_udeg").tolist(),
            minutes,
        )
        self._most_wh = column(specs, "power_w") * minutes // 60
        self._cop, self._cop_per_k = column(specs, "cop_milli"), column(specs, "cop_milli_per_k")
        fixed = [None if spec is None else spec.outdoor_udeg for spec in specs]
        self._by_weather = np.array([s is not None and s.outdoor_udeg is None for s in specs])
        self._outdoor = np.array([0 if value is None else value for value in fixed], dtype=np.int64)
        first = [0 if s is None else s.low_udeg if s.initial_udeg is None else s.initial_udeg for s in specs]
        self._initial = np.array(first, dtype=np.int64)

    def start(self) -> State:
        """The temperature at the first interval, and nothing moved yet."""
        nothing = np.zeros_like(self._initial)
        names = ("moved_wh", "heat_mwh", "lost_nwh", "cold", "warm")
        return {"room_udeg": self._initial, **dict.fromkeys(names, nothing)}

    def _around(self, moment: Moment) -> IntArray:
        """Temperature outdoors of each home. [udeg]"""
        if not self._by_weather.any():
            return self._outdoor
        return np.where(self._by_weather, udeg(moment.weather["temp_c"]), self._outdoor)

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Heat as commanded within the power and the comfort band."""
        around, room, body = self._around(moment), state["room_udeg"], self._body
        cop, alone = _cop_at(around, self._cop, self._cop_per_k), body.left_alone(room, around)
        taken = body.wanted_wh(body.low_udeg, alone, command_wh, self._most_wh, cop)
        heat = taken * cop
        after = body.heated(alone, heat)
        cold, warm = body.outside(after, moment.minutes)
        return taken, {
            "room_udeg": after,
            "moved_wh": taken,
            "heat_mwh": heat,
            "lost_nwh": body.lost_nwh(room, after, heat),
            "cold": cold,
            "warm": warm,
        }

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Electric energy, temperature of the room, and how far and long it was below and above the band."""
        return {
            "heat_pump_wh": state["moved_wh"],
            "room_millidegree": state["room_udeg"] // MILLI,
            "too_cold_millidegree_h": state["cold"],
            "too_warm_millidegree_h": state["warm"],
        }

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """The heat of the building; see `agents.heat.block`."""
        around = np.full(len(moments), self._outdoor[home])
        if self._by_weather[home]:
            around = np.array([udeg(moment.weather["temp_c"]) for moment in moments], dtype=np.int64)
        return block(
            model,
            f"heat_pump{home}",
            self._body,
            home,
            start_udeg=int(state["room_udeg"][home]),
            around_udeg=around.tolist(),
            drawn_mwh=[0] * len(moments),
            per_wh=_cop_at(around, self._cop[home], self._cop_per_k[home]).tolist(),
            floor_udeg=[int(self._body.low_udeg[home])] * len(moments),
            most_wh=int(self._most_wh[home]),
            short_cost=SHORT_COST,
        )


def _cop_at(around_udeg: IntArray, rated: IntArray, per_k: IntArray) -> IntArray:
    """Heat per electric energy, linear in the temperature outdoors, at least 1. [thousandths]"""
    return np.clip(rated + per_k * (around_udeg - _RATED_UDEG) // UDEG, MILLI, MOST_COP_MILLI)


def weather_of(spec: HeatPump) -> tuple[str, ...]:
    """The temperature outdoors, unless the spec gives it."""
    return ("temp_c",) if spec.outdoor_udeg is None else ()


HEAT_PUMP = DEVICES.register(
    Device(
        name="heat_pump",
        keys=(
            Key("power_kw", "power_w", "power", "Most electric power, in kW."),
            Key("heat_loss_w_per_k", "heat_loss_w_per_k", "whole", "Heat that the building loses, in W/K."),
            Key(
                "capacity_kwh_per_k",
                "capacity_wh_per_k",
                "energy",
                "Heat that warms the building by a degree, in kWh/K.",
            ),
            Key("cop", "cop_milli", "ratio", "Heat per electric energy, at 7 degrees Celsius outdoors."),
            Key("cop_per_k", "cop_milli_per_k", "ratio", "Change of the COP per degree outdoors.", 0),
            Key(
                "comfort_min_c", "low_udeg", "temperature", "Lower end of the comfort band, in C.", 20 * UDEG
            ),
            Key(
                "comfort_max_c", "high_udeg", "temperature", "Upper end of the comfort band, in C.", 22 * UDEG
            ),
            Key(
                "initial_c",
                "initial_udeg",
                "temperature",
                "Temperature at the start of the run, in C; left out: comfort_min_c.",
                optional=True,
            ),
            Key(
                "outdoor_c",
                "outdoor_udeg",
                "temperature",
                "Temperature outdoors at all times, in C; left out: that of the weather.",
                optional=True,
            ),
        ),
        spec=HeatPump,
        fleet=HeatPumps,
        summary="a heat pump that keeps a building within a comfort band",
        weather=weather_of,
        used="heat_pump_wh",
        outside=("too_cold_millidegree_h", "too_warm_millidegree_h"),
        most_w=lambda spec: (spec.power_w, 0),
    )
)
