"""Devices with any parameters, moments of any zone, and walks through them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from agents.devices import Fleet, Moment
from agents.devices.appliance import Appliance
from agents.devices.battery import Battery
from agents.devices.ev import Car
from agents.devices.flexible_load import FlexibleLoad
from agents.devices.heat_pump import HeatPump
from agents.devices.hot_water import Tank
from agents.errors import ImpossibleDevice
from agents.heat import UDEG
from agents.state import State
from market.units import IntArray

BERLIN = "Europe/Berlin"
NIGHTS = ("2016-03-26T12:00", "2016-10-29T12:00", "2016-06-06T00:00")
"""Starts of walks through the clock change of spring, that of autumn, and none."""


def moments_from(local: str, count: int, minutes: int, zone: str = BERLIN, **given: Any) -> list[Moment]:
    """Intervals one after the other from a local time."""
    first_s = int(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).timestamp())
    weather = given.pop("weather", {})
    return [Moment(first_s + i * minutes * 60, minutes, weather, zone, **given) for i in range(count)]


def walk(
    fleet: Fleet, commands: Sequence[IntArray], moments: Sequence[Moment], state: State | None = None
) -> tuple[list[IntArray], list[State]]:
    """What the devices take in each interval, and their states, the first one included."""
    states = [fleet.start() if state is None else state]
    moved = []
    for command, moment in zip(commands, moments, strict=True):
        taken, after = fleet.step(states[-1], command, moment)
        moved.append(taken)
        states.append(after)
    return moved, states


def column(states: Sequence[State], name: str) -> IntArray:
    """A column of all states, shape (states, homes)."""
    return np.stack([state[name] for state in states])


def possible(kind: Any, **values: Any) -> Any:
    """A spec, or None where its parameters make no device."""
    try:
        return kind(**values)
    except ImpossibleDevice:
        return None


ppm = st.integers(850_000, 1_000_000)
days = st.sets(st.integers(0, 6), min_size=1).map(lambda found: tuple(sorted(found)))


@st.composite
def cars(draw: st.DrawFn) -> Car:
    """Cars that drive on some days and may give energy."""
    departure = draw(st.integers(0, 1_200))
    return draw(
        st.builds(
            lambda **values: possible(Car, **values),
            capacity_wh=st.integers(5_000, 80_000),
            charge_w=st.integers(500, 22_000),
            trip_wh=st.integers(0, 20_000),
            departure_minute=st.just(departure),
            arrival_minute=st.integers(departure + 1, 1_320),
            weekend_departure_minute=st.none() | st.just(departure),
            days=days,
            late_minutes=st.sampled_from((0, 0, 120)),
            discharge_w=st.none() | st.integers(500, 11_000),
            charge_efficiency_ppm=ppm,
            discharge_efficiency_ppm=ppm,
            initial_share_ppm=st.integers(0, 1_000_000),
        ).filter(lambda found: found is not None)
    )


heat_pumps = st.builds(
    lambda low, width, **values: HeatPump(low_udeg=low * UDEG, high_udeg=(low + width) * UDEG, **values),
    low=st.integers(17, 22),
    width=st.integers(1, 5),
    power_w=st.integers(500, 10_000),
    heat_loss_w_per_k=st.integers(50, 500),
    capacity_wh_per_k=st.integers(1_000, 50_000),
    cop_milli=st.integers(1_000, 5_000),
    cop_milli_per_k=st.integers(0, 100),
    initial_udeg=st.none() | st.integers(10 * UDEG, 30 * UDEG),
)
tanks = st.builds(
    lambda **values: possible(Tank, **values),
    volume_l=st.integers(50, 500),
    power_w=st.integers(500, 6_000),
    draw_ml=st.lists(st.integers(0, 20_000), min_size=24, max_size=24).map(tuple),
    standing_loss_w=st.integers(0, 150),
    initial_udeg=st.none() | st.integers(30 * UDEG, 70 * UDEG),
).filter(lambda found: found is not None)
appliances = st.builds(
    lambda **values: possible(Appliance, **values),
    run_wh=st.integers(1, 5_000),
    duration_minutes=st.integers(1, 240),
    earliest_minute=st.integers(0, 1_439),
    latest_minute=st.integers(0, 1_439),
    days=days,
).filter(lambda found: found is not None)
batteries = st.builds(
    Battery,
    capacity_wh=st.integers(1_000, 20_000),
    charge_w=st.integers(500, 10_000),
    discharge_w=st.integers(500, 10_000),
    charge_efficiency_ppm=ppm,
    discharge_efficiency_ppm=ppm,
)
flexible_loads = st.builds(
    lambda **values: possible(FlexibleLoad, **values),
    daily_wh=st.integers(1, 40_000),
    power_w=st.integers(50, 8_000),
    elasticity_milli=st.sampled_from((0, 140, 1_000, 20_000)) | st.integers(0, 3_000),
).filter(lambda found: found is not None)
SPECS: dict[str, st.SearchStrategy[Any]] = {
    "appliance": appliances,
    "battery": batteries,
    "ev": cars(),
    "flexible_load": flexible_loads,
    "heat_pump": heat_pumps,
    "hot_water": tanks,
}
"""Any spec of each kind of device that needs no optional package."""
