"""A tank of hot water with an electric heater: drawn from by the hour, always within its band of temperatures.

The water is mixed, and `agents.heat` is its thermal model. A draw takes heat out at the start of its interval and cold
water takes its place. The heater follows its controller within the band: no more than what brings the water to the
upper end, and at least what keeps it at the lower end, also through the draws of the day ahead, which are known. Water
below 40 degrees is too cold to use (EN 16147): what is drawn of it is `hot_water_unmet_wh`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.clock import local_minute
from agents.devices import DEVICES, SHORT_COST, Device, Key, Moment, column
from agents.errors import Fault, ImpossibleDevice
from agents.heat import UDEG, block, bodies, faults_of_band
from agents.rules import DAY_MINUTES
from agents.state import State
from market.units import IntArray
from optimizer.solver.builder import Columns, ModelBuilder

MILLI: Final = 1_000
NWH: Final = 1_000_000_000
"""Billionths of a Wh in a Wh."""
WATER_MWH_PER_L_K: Final = 1_163
"""Heat that warms a litre of water by a degree. [mWh]"""
USED_C: Final = 40
"""Temperature at which the draws are counted. [degrees Celsius]"""
LABEL_K: Final = 45
"""Difference to the room at which a tank's standing loss is measured (EN 12897). [K]"""
LEAST_VOLUME_L, MOST_VOLUME_L, MOST_POWER_W, MOST_LOSS_W = 20, 10_000, 30_000, 1_000
"""Beyond these a product inside `step` could pass 2^63, or it is not a home's tank."""
HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Tank:
    """The parameters of one home's tank.

    Args:
        volume_l: Water in it. [l]
        power_w: Most power of the heater. [W]
        draw_ml: Water at 40 degrees that is drawn in each local hour. [ml]
        standing_loss_w: Heat lost where the water is 45 degrees warmer than the room. [W]
        low_udeg: Lower end of the band of its temperature.
        high_udeg: Upper end.
        cold_udeg: Temperature of the water that comes in.
        room_udeg: Temperature around the tank.
        initial_udeg: Temperature at the first interval; the lower end where None.
    """

    volume_l: int
    power_w: int
    draw_ml: tuple[int, ...]
    standing_loss_w: int = 50
    low_udeg: int = 50 * UDEG
    high_udeg: int = 65 * UDEG
    cold_udeg: int = 10 * UDEG
    room_udeg: int = 20 * UDEG
    initial_udeg: int | None = None

    def __post_init__(self) -> None:
        faults: list[Fault] = faults_of_band(self.low_udeg, self.high_udeg, "water_min_c", "water_max_c")
        limits = (
            ("volume_l", self.volume_l, LEAST_VOLUME_L, MOST_VOLUME_L, 1),
            ("power_kw", self.power_w, 1, MOST_POWER_W, MILLI),
            ("standing_loss_w", self.standing_loss_w, 0, MOST_LOSS_W, 1),
            ("cold_c", self.cold_udeg, 0, (USED_C - 1) * UDEG, UDEG),
            ("water_max_c", self.high_udeg, 0, 100 * UDEG, UDEG),
        )
        for key, value, low, high, parts in limits:
            if not low <= value <= high:
                cure = f"give {low / parts:g} to {high / parts:g}"
                faults.append((key, f"is {value / parts:g}, which no tank of a home has", cure))
        if self.low_udeg < USED_C * UDEG:
            wrong = f"is {self.low_udeg / UDEG:g}, colder than the water that is drawn"
            faults.append(("water_min_c", wrong, f"give at least {USED_C}"))
        most_l = self.power_w * HOURS * MILLI / (WATER_MWH_PER_L_K * (USED_C * UDEG - self.cold_udeg) / UDEG)
        if not faults and sum(self.draw_ml) > most_l * MILLI:
            wrong = f"sum to {sum(self.draw_ml) / MILLI:g} l a day, more than the heater can warm"
            faults.append(("litres_by_hour", wrong, f"let them sum to at most {int(most_l)}"))
        if faults:
            raise ImpossibleDevice(faults)


class Tanks:
    """The tanks of all homes; a home without one has one that holds nothing."""

    columns = (
        "hot_water_wh",
        "water_millidegree",
        "hot_water_drawn_wh",
        "hot_water_unmet_wh",
        "water_too_cold_millidegree_h",
    )

    def __init__(self, specs: Sequence[Tank | None], minutes: int) -> None:
        self._body = bodies(
            (column(specs, "standing_loss_w") * 1_000_000 // LABEL_K).tolist(),
            (column(specs, "volume_l") * WATER_MWH_PER_L_K).tolist(),
            column(specs, "low_udeg").tolist(),
            column(specs, "high_udeg").tolist(),
            minutes,
        )
        self._most_wh = column(specs, "power_w") * minutes // 60
        self._per_wh = np.full(len(specs), MILLI, dtype=np.int64)
        self._around, self._cold = column(specs, "room_udeg"), column(specs, "cold_udeg")
        rows = [[0] * HOURS if spec is None else spec.draw_ml for spec in specs]
        draw_ml = np.array(rows, dtype=np.int64).reshape(len(specs), HOURS)
        # What a draw of the hour cools the whole tank by, if cold water takes its place. [udeg]
        difference = (USED_C * UDEG - self._cold)[:, None]
        volume_ml = np.maximum(column(specs, "volume_l"), 1)[:, None] * MILLI
        self._cooling = draw_ml * difference * minutes // (60 * volume_ml)
        self._floors: dict[int, IntArray] = {}
        first = [0 if s is None else s.low_udeg if s.initial_udeg is None else s.initial_udeg for s in specs]
        self._initial = np.array(first, dtype=np.int64)

    def start(self) -> State:
        """The temperature at the first interval, and nothing moved yet."""
        nothing = np.zeros_like(self._initial)
        names = ("moved_wh", "drawn_nwh", "unmet_nwh", "lost_nwh", "cold")
        return {"water_udeg": self._initial, **dict.fromkeys(names, nothing)}

    def _drawn(self, moment: Moment) -> IntArray:
        """What the draws of an interval cool the water by. [udeg]"""
        minute = local_minute(moment.zone, moment.start_s) % DAY_MINUTES
        drawn: IntArray = self._cooling[:, minute // 60]
        return drawn

    def _needed(self, moment: Moment) -> IntArray:
        """The lowest temperature at an interval's end from which full power bears the draws of the day after it."""
        minute, body = local_minute(moment.zone, moment.start_s) % DAY_MINUTES, self._body
        if minute not in self._floors:
            floor, most_mwh = body.low_udeg, self._most_wh * self._per_wh
            for later in range(
                minute + 2 * DAY_MINUTES, minute, -moment.minutes
            ):  # from the end of two days back
                start = (
                    body.before(floor, self._around, most_mwh) + self._cooling[:, later % DAY_MINUTES // 60]
                )
                floor = np.clip(start, body.low_udeg, body.high_udeg)
                self._floors[(later - moment.minutes) % DAY_MINUTES] = floor
        return self._floors[minute]

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Draw, then heat as commanded within the power and the band; water is never colder than what comes in."""
        water, body, drawn = state["water_udeg"], self._body, self._drawn(moment)
        mixed = np.maximum(water - drawn, np.minimum(water, self._cold))
        warm = np.clip(water - USED_C * UDEG, 0, drawn)
        alone = body.left_alone(mixed, self._around)
        taken = body.wanted_wh(self._needed(moment), alone, command_wh, self._most_wh, self._per_wh)
        heat = taken * self._per_wh
        after = body.heated(alone, heat)
        return taken, {
            "water_udeg": after,
            "moved_wh": taken,
            "drawn_nwh": body.capacity_mwh_per_k * (water - mixed),
            "unmet_nwh": body.capacity_mwh_per_k * (drawn - warm),
            "lost_nwh": body.lost_nwh(mixed, after, heat),
            "cold": body.outside(after, moment.minutes)[0],
        }

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Energy, temperature, heat drawn and not given warm, and how far and long the water was below its band."""
        return {
            "hot_water_wh": state["moved_wh"],
            "water_millidegree": state["water_udeg"] // MILLI,
            "hot_water_drawn_wh": state["drawn_nwh"] // NWH,
            "hot_water_unmet_wh": state["unmet_nwh"] // NWH,
            "water_too_cold_millidegree_h": state["cold"],
        }

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """The heat of the water; see `agents.heat.block`."""
        capacity = int(self._body.capacity_mwh_per_k[home])
        return block(
            model,
            f"hot_water{home}",
            self._body,
            home,
            start_udeg=int(state["water_udeg"][home]),
            around_udeg=[int(self._around[home])] * len(moments),
            drawn_mwh=[capacity * int(self._drawn(moment)[home]) // UDEG for moment in moments],
            per_wh=[MILLI] * len(moments),
            floor_udeg=[int(self._needed(moment)[home]) for moment in moments],
            most_wh=int(self._most_wh[home]),
            short_cost=SHORT_COST,
        )


HOT_WATER = DEVICES.register(
    Device(
        name="hot_water",
        keys=(
            Key("volume_l", "volume_l", "whole", "Water in the tank, in litres."),
            Key("power_kw", "power_w", "power", "Most power of the heater, in kW."),
            Key("litres_by_hour", "draw_ml", "by_hour", "Litres at 40 degrees drawn in each local hour."),
            Key(
                "standing_loss_w",
                "standing_loss_w",
                "whole",
                "Heat lost at 45 degrees above the room, as on the energy label, in W.",
                50,
            ),
            Key("water_min_c", "low_udeg", "temperature", "Lower end of the water's band, in C.", 50 * UDEG),
            Key("water_max_c", "high_udeg", "temperature", "Upper end of the water's band, in C.", 65 * UDEG),
            Key(
                "cold_c",
                "cold_udeg",
                "temperature",
                "Temperature of the water that comes in, in C.",
                10 * UDEG,
            ),
            Key("room_c", "room_udeg", "temperature", "Temperature around the tank, in C.", 20 * UDEG),
            Key(
                "initial_c",
                "initial_udeg",
                "temperature",
                "Temperature at the start of the run, in C; left out: water_min_c.",
                optional=True,
            ),
        ),
        spec=Tank,
        fleet=Tanks,
        summary="a tank that holds hot water within a band of temperatures",
        used="hot_water_wh",
        unmet="hot_water_unmet_wh",
        most_w=lambda spec: (spec.power_w, 0),
    )
)
