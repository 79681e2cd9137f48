"""Writes docs/reference/devices.md from the registry of devices: keys with units, columns, an example of each.

`python -m tests.device_page` writes the page again; a test fails where it is stale or lacks a device.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.devices import DEVICES, Key
from market.settlement.tariff import DAY_NAMES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "devices.md"
HEAD = """\
# Devices

What a home can have behind its meter, beside the load that was metered: one table `[homes.DEVICE.NAME]` of the
scenario for each home that has one, where `NAME` is the home's id. This page is written from the registry by
`python -m tests.device_page`; [a device of your own](../how-to/own-device.md) has its tables and columns in the same
way.

All of them are counted in whole Wh at their terminals, and what they hold in whole millionths or finer, so a home gives
the same numbers alone as among a thousand, and on every machine. A device keeps its own limits: whatever the controller
(`homes.control`) asks for, a car is ready when it leaves and a room stays warm as long as the power suffices. In an
interval devices run one after the other, each with the net energy that the earlier ones leave: production first, then
those that use it in alphabetical order, the battery last. Times are on the local clock of the scenario's zone; a time
that the clock skips in spring is taken as if it did not, one that comes twice in autumn is the first.

A new device adds energy to the homes' metered load. Data that contain a car, a heat pump or a generator already
contain its energy: adding one more counts it twice.
"""
VALUES = {
    "energy": "kWh",
    "power": "kW, above 0",
    "share": "0 to 1",
    "efficiency": "above 0, at most 1",
    "price": "price",
    "whole": "whole number",
    "temperature": "degrees Celsius",
    "angle": "degrees",
    "ratio": "number",
    "clock": '`"HH:MM"`',
    "weekdays": '`"mon-fri"`, `"sat,sun"` or `"all"`',
    "by_hour": "list of 24 numbers",
}
PARTS = {
    "energy": 10**3,
    "power": 10**3,
    "share": 10**6,
    "efficiency": 10**6,
    "price": 10**6,
    "whole": 1,
    "temperature": 10**6,
    "angle": 10**6,
    "ratio": 10**3,
}


@dataclass(frozen=True)
class About:
    """What the page says of a device beyond its file.

    Args:
        example: Tables of a scenario.
        columns: What each column of the readings holds.
        after: Paragraphs below the tables.
    """

    example: str
    columns: dict[str, str]
    after: str = ""


ABOUT = {
    "appliance": About(
        """\
[homes.appliance.h1]
kwh_per_run = 1.2
duration_minutes = 120
earliest_start = "20:00"
latest_end = "06:00"
""",
        {
            "appliance_wh": "Energy that it took.",
            "appliance_left": "Intervals that its run still has to go.",
            "appliance_unmet_wh": "Energy of a run that came after the end of its window, or never.",
        },
    ),
    "battery": About(
        """\
[homes.battery.h1]
capacity_kwh = 10
charge_kw = 5
discharge_kw = 5
""",
        {
            "stored_wh": "Content at the end of the interval, rounded down.",
            "battery_wear_nano": "Cost of wear of what it gave, in billionths of the currency, where one has a cost.",
        },
        'A key left out keeps what the data say. Where the data know no battery (or with `batteries = "none"`),'
        " capacity and both\npowers must be given.",
    ),
    "ev": About(
        """\
[homes.ev.h1]
capacity_kwh = 58
charge_kw = 11
kwh_per_day = 7.5
departure = "07:30"
arrival = "17:30"
days = "mon-fri"
charge_efficiency = 0.92
""",
        {
            "ev_wh": "Energy that it took at its terminals; below 0 what it gave.",
            "ev_stored_wh": "Content at the end of the interval, rounded down.",
            "ev_unmet_wh": "Energy that a trip which begins in the interval lacks.",
        },
        "With `discharge_kw` it also gives energy to the home: under `self_consumption` only what the next trip does"
        " not need, under a\nplan whatever still lets it be ready.",
    ),
    "flexible_load": About(
        """\
[homes.flexible_load.h1]
daily_kwh = 4
power_kw = 2
elasticity = 0.14
""",
        {
            "flexible_wh": "Energy that it took.",
            "flexible_left_wh": "What is left of the energy of the local day after the interval.",
        },
    ),
    "heat_pump": About(
        """\
[homes.heat_pump.h1]
power_kw = 2.5
heat_loss_w_per_k = 160
capacity_kwh_per_k = 9
cop = 3.4
cop_per_k = 0.07
""",
        {
            "heat_pump_wh": "Electric energy that it took.",
            "room_millidegree": "Temperature of the building at the end of the interval, in thousandths of a degree"
            " Celsius.",
            "too_cold_millidegree_h": "How far and how long the building was below the band, in thousandths of a"
            " degree-hour.",
            "too_warm_millidegree_h": "The same above the band, where the weather alone warmed it further.",
        },
        "The building is one resistance and one capacity"
        " ([decision 42](../decisions/0042-one-body-of-heat.md)).",
    ),
    "hot_water": About(
        """\
[homes.hot_water.h1]
volume_l = 200
power_kw = 2
litres_by_hour = [0, 0, 0, 0, 0, 0, 30, 25, 5, 0, 0, 5, 10, 5, 0, 0, 0, 5, 15, 20, 10, 5, 0, 0]
""",
        {
            "hot_water_wh": "Electric energy that the heater took.",
            "water_millidegree": "Temperature of the water at the end of the interval, in thousandths of a degree"
            " Celsius.",
            "hot_water_drawn_wh": "Heat that was drawn.",
            "hot_water_unmet_wh": "Heat of draws for which the tank was colder than 40 degrees.",
            "water_too_cold_millidegree_h": "How far and how long the water was below its band, in thousandths of a"
            " degree-hour.",
        },
    ),
    "pv": About(
        """\
[homes.pv.h1]
peak_kw = 6
tilt = 35
azimuth = 180
latitude = 48.1
longitude = 11.6
""",
        {"simulated_pv_wh": "Energy that it gave."},
        "It needs the optional package pvlib (`pip install 'wattswap[solar]'`) and weather with `dni`, `dhi`, `temp_c`"
        " and, if there is one, `ghi`.\nWhere the data have measured production, that is part of the meter and needs no"
        " table.",
    ),
}


def page() -> str:
    """The whole page.

    Raises:
        KeyError: A device of which `ABOUT` says nothing, or a column of it.
    """
    parts = [HEAD]
    for name, device in DEVICES.all().items():
        if not DEVICES.is_ours(device):
            continue
        about = ABOUT[name]
        module = inspect.getdoc(sys.modules[DEVICES.origin(name)]) or ""
        rows = [f"| `homes.{name}.NAME.{key.name}` | {_value(key)} | {key.summary} |" for key in device.keys]
        names = [*device.fleet([], 15).columns, *([device.wear] if device.wear else [])]
        columns = [f"- `{column}`: {about.columns[column]}" for column in names]
        parts += [
            f"## `{name}`: {device.summary}",
            module.partition("\n\n")[0] if "\n\n" not in module else module.partition("\n\n")[2].strip(),
            f"```toml\n{about.example}```",
            "\n".join(["| key | value | meaning |", "|---|---|---|", *rows]),
            "\n".join(["Columns of `readings.parquet`:", "", *columns]),
            *([about.after] if about.after else []),
        ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _value(key: Key) -> str:
    words = VALUES[key.kind]
    if key.optional:
        return f"{words}, may be left out"
    return words if key.default is None else f"{words}, default `{_text(key.kind, key.default)}`"


def _text(kind: str, value: Any) -> str:
    if kind == "clock":
        return f'"{value // 60:02d}:{value % 60:02d}"'
    if kind == "weekdays":
        return (
            '"all"' if len(value) == len(DAY_NAMES) else '"' + ",".join(DAY_NAMES[day] for day in value) + '"'
        )
    return f"{value / PARTS[kind]:g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
