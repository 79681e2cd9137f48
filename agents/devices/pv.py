"""A photovoltaic generator, from the weather, its place and its orientation, by pvlib.

The sun's position is that of the middle of an interval; the irradiance on the plane is that of the model of Hay and
Davies; modules and losses follow PVWatts, with cells warmed as by Faiman at 1 m/s of wind. Nothing is controlled.

Source: Reda and Andreas, Solar Energy 76 (2004); Hay and Davies (1980); Dobos, PVWatts Version 5 Manual, NREL (2014);
Faiman, Progress in Photovoltaics 16 (2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from agents.devices import DEVICES, Device, Key, Moment, column
from agents.errors import Fault, ImpossibleDevice
from agents.heat import UDEG
from agents.rules import DAY_MINUTES
from agents.state import State
from market.units import PPM, FloatArray, IntArray
from optimizer.solver.builder import Columns, ModelBuilder

GAMMA_PER_K: Final = -0.004
"""Change of a module's power per degree. [1/K]"""
MOST_OF_PEAK = 2
"""In the cold and under a bright sky it gives more than its peak power, and never this many times as much."""
ALBEDO: Final = 0.2
MOST_PEAK_W: Final = 1_000_000
WEATHER: Final = ("dni", "dhi", "temp_c")
_KEPT: Final = 400
_KEPT_DAYS: Final = 4
_AIR: Final = (1_013.25, 12.0, 67.0, 0.5667)
"""Pressure [hPa], temperature [C], seconds that the earth's clock is behind, refraction at sunrise [degrees]; together
they move the sun by less than a hundredth of a degree."""


@dataclass(frozen=True, slots=True)
class Generator:
    """The parameters of one home's generator.

    Args:
        peak_w: Power under standard test conditions. [W]
        tilt_udeg: From the horizontal; 0 lies flat, 90 stands. [udeg]
        azimuth_udeg: Clockwise from north; 180 faces south. [udeg]
        latitude_udeg: North of the equator. [udeg]
        longitude_udeg: East of Greenwich. [udeg]
        losses_ppm: Share that is lost between modules and meter.
    """

    peak_w: int
    tilt_udeg: int
    azimuth_udeg: int
    latitude_udeg: int
    longitude_udeg: int
    losses_ppm: int = 140_000

    def __post_init__(self) -> None:
        limits = (
            ("peak_kw", self.peak_w, 1, MOST_PEAK_W, 1_000),
            ("tilt", self.tilt_udeg, 0, 90 * UDEG, UDEG),
            ("azimuth", self.azimuth_udeg, 0, 360 * UDEG, UDEG),
            ("latitude", self.latitude_udeg, -90 * UDEG, 90 * UDEG, UDEG),
            ("longitude", self.longitude_udeg, -180 * UDEG, 180 * UDEG, UDEG),
        )
        faults: list[Fault] = [
            (key, f"is {value / parts:g}", f"give {low / parts:g} to {high / parts:g}")
            for key, value, low, high, parts in limits
            if not low <= value <= high
        ]
        if find_spec("pvlib") is None:
            cure = "install it: pip install 'wattswap[solar]'"
            faults.append(("", "a simulated pv needs the optional package pvlib", cure))
        if faults:
            raise ImpossibleDevice(faults)


class Generators:
    """The generators of all homes; a home without one has one of no power."""

    columns = ("simulated_pv_wh",)

    def __init__(self, specs: Sequence[Generator | None], minutes: int) -> None:
        self._peak_w = column(specs, "peak_w").astype(np.float64)
        self._tilt, self._azimuth = column(specs, "tilt_udeg") / UDEG, column(specs, "azimuth_udeg") / UDEG
        self._kept = 1 - column(specs, "losses_ppm") / PPM
        latitude, longitude = column(specs, "latitude_udeg"), column(specs, "longitude_udeg")
        self._places, self._place = np.unique(np.stack((latitude, longitude)), axis=1, return_inverse=True)
        self._suns: dict[tuple[int, int], FloatArray] = {}
        self._given: dict[tuple[Any, ...], IntArray] = {}

    def start(self) -> State:
        """Nothing given yet."""
        return {"given_wh": np.zeros(len(self._peak_w), dtype=np.int64)}

    def given_wh(self, moment: Moment) -> IntArray:
        """Energy given in an interval. [Wh]"""
        key = (moment.start_s, *moment.weather.values())
        if key not in self._given:
            if len(self._given) > _KEPT:
                del self._given[next(iter(self._given))]
            # Rounded first where machines may differ: the last bits of a sine.
            power_w = np.round(self._power_w(moment), 6)
            self._given[key] = np.rint(power_w * moment.minutes / 60).astype(np.int64)
        return self._given[key]

    def _power_w(self, moment: Moment) -> FloatArray:
        """Power at the meter, with the sun where it is in the middle of the interval. [W]"""
        from pvlib import irradiance, pvsystem, temperature

        zenith, azimuth = self._sun(moment)
        dni, dhi, temp_c = (moment.weather[name] for name in WEATHER)
        # Sets without it are on horizontal ground what they are of its parts.
        ghi = moment.weather.get("ghi", dhi + dni * np.maximum(np.cos(np.radians(zenith)), 0.0))
        day = datetime.fromtimestamp(moment.start_s, UTC).timetuple().tm_yday
        plane = irradiance.get_total_irradiance(
            self._tilt,
            self._azimuth,
            zenith,
            azimuth,
            dni,
            ghi,
            dhi,
            dni_extra=irradiance.get_extra_radiation(day),
            albedo=ALBEDO,
            model="haydavies",
        )["poa_global"]
        shining = np.maximum(np.nan_to_num(np.asarray(plane, dtype=np.float64)), 0.0)
        cell_c = temperature.faiman(shining, temp_c)
        power_w: FloatArray = pvsystem.pvwatts_dc(shining, cell_c, self._peak_w, GAMMA_PER_K) * self._kept
        return np.maximum(power_w, 0.0)

    def _sun(self, moment: Moment) -> tuple[FloatArray, FloatArray]:
        """Zenith and azimuth of the sun in the middle of an interval, of each home; for a day at once. [degrees]"""
        from pvlib import spa

        step_s = moment.minutes * 60
        phase_s = moment.start_s % step_s
        day, place_in_day = divmod((moment.start_s - phase_s) // step_s, DAY_MINUTES // moment.minutes)
        if (day, phase_s) not in self._suns:
            if len(self._suns) > _KEPT_DAYS:
                del self._suns[next(iter(self._suns))]
            steps = np.arange(DAY_MINUTES // moment.minutes)
            middle = (day * len(steps) + steps + 0.5) * step_s + phase_s
            self._suns[day, phase_s] = np.stack(
                [
                    spa.solar_position(middle, *(place / UDEG).tolist(), 0.0, *_AIR)[[0, 4]]
                    for place in self._places.T
                ]
            )
        zenith, azimuth = self._suns[day, phase_s][self._place.ravel(), :, place_in_day].T
        return zenith, azimuth

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Give what the weather allows, whatever is commanded."""
        given = self.given_wh(moment)
        return -given, {"given_wh": given}

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Energy given. [Wh]"""
        return {"simulated_pv_wh": state["given_wh"]}

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """Energy given as it is: it can be neither raised nor lowered."""
        name, steps = f"pv{home}", len(moments)
        given = np.array([float(self.given_wh(moment)[home]) for moment in moments])
        takes = model.variables(f"{name}.takes_wh", steps, upper=0.0)
        return [takes, model.variables(f"{name}.gives_wh", steps, lower=given, upper=given)]


def weather_of(spec: Generator) -> tuple[str, ...]:
    """Both parts of the irradiance, and the temperature of the air."""
    return WEATHER


PV = DEVICES.register(
    Device(
        name="pv",
        keys=(
            Key("peak_kw", "peak_w", "power", "Power under standard test conditions, in kW."),
            Key("tilt", "tilt_udeg", "angle", "From the horizontal, in degrees: 0 lies flat, 90 stands."),
            Key("azimuth", "azimuth_udeg", "angle", "Clockwise from north, in degrees: 180 faces south."),
            Key("latitude", "latitude_udeg", "angle", "Degrees north of the equator."),
            Key("longitude", "longitude_udeg", "angle", "Degrees east of Greenwich."),
            Key("losses", "losses_ppm", "share", "Share lost between modules and meter.", 140_000),
        ),
        spec=Generator,
        fleet=Generators,
        summary="a photovoltaic generator simulated from the weather by pvlib",
        turn=-1,
        weather=weather_of,
        made="simulated_pv_wh",
        most_w=lambda spec: (0, MOST_OF_PEAK * spec.peak_w),
    )
)
