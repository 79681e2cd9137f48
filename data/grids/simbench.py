"""Any SimBench low-voltage grid as a neighbourhood, where the optional package `simbench` is installed.

What SimBench holds, and what is made of it:

- A home is one base load (profile H0 residential, G business, L farm). Its id is `home-N` for "Load N"
  of SimBench.
- Heat pumps (profiles Air_.., Soil_..) and charging points (HLS_.. at home, APLS_.. at work) are loads of
  their own at the same bus. Where a bus has several homes, they go to its homes in turn, and so do PV plants.
- PV plants are static generators. A storage of type PV_Storage is a PV plant WITH a battery: its profile
  Storage_PV5_L2-A never charges from the grid and yields the energy of PV5 less the losses, and no other
  plant is connected at its bus. So the home gets a plant of that rated power on profile PV5 and a battery to
  operate, and SimBench's own operation of the battery is left out.
- A battery takes and gives the rated power of its plant; `efficiency_percent` (0.95, a fraction in spite of
  its name) holds each way: SimBench's own operation loses about 14 % a cycle, self-discharge and standby
  included.
- Time is the local clock of Germany without offset: four stamps come twice in October and an hour is skipped
  in March. The rows are consecutive, so they become UTC by their order.
"""

from __future__ import annotations

import re
import warnings
from datetime import datetime
from typing import Any

import numpy as np

from data import clock
from data.errors import InvalidGrid, MissingPackage, UnknownGrid
from data.grids.neighbourhood import Element, Kind, Neighbourhood
from data.readings import BatterySpec, MeterData, Source
from market.units import PPM, IntArray

ZONE = "Europe/Berlin"
WATTS_PER_MEGAWATT = 1_000_000
DEFAULT_EFFICIENCY = 0.95

NOISE_PPM = 100
"""Charging profile HLS_C_3.7 dips to -12 ppm of its power: measuring noise, set to 0. [parts per million]"""

NOTES = (
    "profiles are modelled by SimBench from clustered measurements, not metered at these homes",
    "import and export in the data are load - pv, as if the batteries stood still; a run may operate them",
    "each PV_Storage element is read as a PV plant of its rated power plus a battery",
)

_CODE = re.compile(r"1-LV-\w+--[012]-(sw|no_sw)")
_KIND_OF_PROFILE: tuple[tuple[str, Kind], ...] = (
    ("H0-", "load"),
    ("G", "load"),
    ("L", "load"),
    ("BL-H", "load"),
    ("WB-H", "load"),
    ("Air_", "heat_pump"),
    ("Soil_", "heat_pump"),
    ("HLS_", "ev"),
    ("APLS_", "ev"),
)
_PLANT_OF_STORAGE = re.compile(r"Storage_(PV\d+)_.+")


def load_simbench_grid(code: str) -> MeterData:
    """Return a year of meter data, at 15 minutes, of a SimBench low-voltage grid.

    Args:
        code: A SimBench code, e.g. "1-LV-rural2--2-sw": rural1 has 13 homes, rural3 118; scenario 2 has
            batteries.

    Raises:
        MissingPackage: The optional package is not installed.
        UnknownGrid: There is no such low-voltage grid.
        InvalidGrid: The grid holds something that is not understood.
    """
    neighbourhood = read_simbench(code)
    source = Source("simbench", neighbourhood.sha256(), {"code": code, "zone": ZONE}, NOTES)
    return neighbourhood.meter_data(source)


def read_simbench(code: str) -> Neighbourhood:
    """Return a SimBench low-voltage grid as a neighbourhood; raises as `load_simbench_grid`."""
    try:
        import simbench
    except ImportError:
        raise MissingPackage(
            "SimBench grids need an optional package; install it: pip install 'wattswap[grids]'"
        ) from None
    known = [name for name in simbench.collect_all_simbench_codes() if _CODE.fullmatch(name)]
    if code not in known:
        raise UnknownGrid(code, known)
    with warnings.catch_warnings():
        # pandapower warns about its own use of pandas; nothing there that a user could act on.
        warnings.simplefilter("ignore")
        net = simbench.get_simbench_net(code)
        profiles = {"load": net.profiles["load"], "renewables": net.profiles["renewables"]}
    return _neighbourhood(net, profiles)


def _neighbourhood(net: Any, profiles: dict[str, Any]) -> Neighbourhood:
    loads = [_element(row) for row in net.load.itertuples() if row.in_service]
    bases = sorted((load for load in loads if load.kind == "load"), key=lambda load: load.number)
    homes_at: dict[int, list[int]] = {}
    for home, base in enumerate(bases):
        homes_at.setdefault(base.bus, []).append(home)
    elements = [Element(home, "load", base.profile, base.power_w) for home, base in enumerate(bases)]
    batteries: list[BatterySpec | None] = [None] * len(bases)
    taken: dict[tuple[str, int], int] = {}

    def home_of(device: _Device, kind: str) -> int:
        homes = homes_at.get(device.bus)
        if not homes:
            raise InvalidGrid(f"{device.name} is connected at bus {device.bus}, where no home is connected")
        turn = taken[kind, device.bus] = taken.get((kind, device.bus), -1) + 1
        return homes[turn % len(homes)]

    for device in sorted((load for load in loads if load.kind != "load"), key=lambda load: load.number):
        elements.append(Element(home_of(device, device.kind), device.kind, device.profile, device.power_w))
    plants = [_plant(row, row.profile) for row in net.sgen.itertuples() if row.in_service]
    for plant in sorted(plants, key=lambda plant: plant.number):
        elements.append(Element(home_of(plant, "pv"), "pv", plant.profile, plant.power_w))
    for row in sorted(
        (row for row in net.storage.itertuples() if row.in_service), key=lambda row: _number(row.name)
    ):
        plant, battery = _pv_storage(row)
        home = home_of(plant, "pv")
        if batteries[home] is not None:
            raise InvalidGrid(f"{row.name} is a second battery of home {home + 1}")
        elements.append(Element(home, "pv", plant.profile, plant.power_w))
        batteries[home] = battery
    width = len(str(bases[-1].number))
    return Neighbourhood(
        households=tuple(f"home-{base.number:0{width}}" for base in bases),
        labels=tuple(f"{base.name} ({base.profile})" for base in bases),
        start_s=_start_s(profiles["load"]["time"]),
        minutes=15,
        elements=tuple(elements),
        batteries=tuple(batteries),
        profiles=_used_profiles(elements, profiles),
    )


class _Device:
    """An element of the grid as far as it matters here."""

    def __init__(self, row: Any, kind: Kind, profile: str) -> None:
        self.name = str(row.name)
        self.number = _number(self.name)
        self.bus = int(row.bus)
        self.kind: Kind = kind
        self.profile = profile
        self.power_w = round(abs(float(row.p_mw)) * float(row.scaling) * WATTS_PER_MEGAWATT)


def _number(name: str) -> int:
    found = re.search(r"(\d+)$", name)
    if not found:
        raise InvalidGrid(f"element {name!r} has no number at the end of its name")
    return int(found[1])


def _element(row: Any) -> _Device:
    profile = str(row.profile)
    for prefix, kind in _KIND_OF_PROFILE:
        if profile.startswith(prefix):
            return _Device(row, kind, profile)
    raise InvalidGrid(
        f"{row.name} follows profile {profile!r}, which is not a residential, business, farm, heat pump or EV profile"
    )


def _plant(row: Any, profile: str) -> _Device:
    if not profile.startswith("PV"):
        raise InvalidGrid(
            f"{row.name} follows profile {profile!r}; only PV plants are known in low-voltage grids"
        )
    return _Device(row, "pv", profile)


def _pv_storage(row: Any) -> tuple[_Device, BatterySpec]:
    """Split a PV_Storage element into its plant and its battery."""
    found = _PLANT_OF_STORAGE.fullmatch(str(row.profile))
    if str(row.type) != "PV_Storage" or not found:
        raise InvalidGrid(
            f"{row.name} of type {row.type!r} on profile {row.profile!r} is not a PV plant with a battery"
        )
    plant = _Device(row, "pv", found[1])
    efficiency = float(row.efficiency_percent)
    if not efficiency > 0:  # absent (NaN) or zero
        efficiency = DEFAULT_EFFICIENCY
    one_way_ppm = round((efficiency if efficiency <= 1 else efficiency / 100) * PPM)
    capacity_wh = round((float(row.max_e_mwh) - float(row.min_e_mwh)) * WATTS_PER_MEGAWATT)
    return plant, BatterySpec(capacity_wh, plant.power_w, plant.power_w, one_way_ppm, one_way_ppm)


def _start_s(times: Any) -> int:
    """Return UTC of the first row, after checking that the rows are consecutive quarter hours."""
    local = [clock.local_seconds(datetime.strptime(str(text), "%d.%m.%Y %H:%M")) for text in times]
    stamps = np.array(local, dtype=np.int64)
    utc, _, exists = clock.utc_by_row_order(
        stamps, np.zeros(len(stamps), dtype=np.int64), clock.zone_named(ZONE)
    )
    if not exists.all() or not (np.diff(utc) == 15 * 60).all():
        raise InvalidGrid(f"the profile times are not consecutive quarter hours in {ZONE}")
    return int(utc[0])


def _used_profiles(elements: list[Element], profiles: dict[str, Any]) -> dict[str, IntArray]:
    used: dict[str, IntArray] = {}
    for kind, name in sorted({(element.kind, element.profile) for element in elements}):
        table, column = (
            (profiles["renewables"], name) if kind == "pv" else (profiles["load"], f"{name}_pload")
        )
        if column not in table:
            raise InvalidGrid(f"the grid has no profile {column!r}")
        values = np.rint(np.asarray(table[column], dtype=np.float64) * PPM).astype(np.int64)
        if int(values.min()) < -NOISE_PPM:
            raise InvalidGrid(f"profile {column!r} holds negative values")
        used[name] = np.maximum(values, 0)
    return used
