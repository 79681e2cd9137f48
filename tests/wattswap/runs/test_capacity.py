"""Registered capacities: no honest reading of a run is above them, and data that are above are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from agents.devices import DEVICES, most_power_w
from agents.devices.appliance import Appliance
from agents.devices.battery import Battery
from agents.devices.pv import Generator
from data.readings import MeterData
from market.errors import PluginFailed
from p2p.blocks.members import DEFAULT_CAPACITY_W, energy_at
from wattswap.errors import InvalidScenario
from wattswap.runs.capacity import capacities_of, refuse_above_connection
from wattswap.runs.folder import read_table
from wattswap.runs.prepare import cut_to, prepare

TEMPLATES = Path(ws.__file__).parent / "scenario" / "templates"
GOLDEN = Path(__file__).parents[2] / "golden"
QUICK = ["homes.forecast=persistence", "homes.forecast_pv=persistence"]
DAY = 96


@pytest.mark.parametrize(
    "path",
    [TEMPLATES / "street.toml", TEMPLATES / "street_grid.toml", GOLDEN / "battery" / "scenario.toml"],
    ids=["street", "cars and heat pumps", "battery"],
)
def test_no_reading_of_a_run_is_above_the_connection_of_its_home(path: Path, tmp_path: Path) -> None:
    scenario = ws.load(path, overrides=QUICK)
    if path.parent == TEMPLATES:
        scenario = cut_to(scenario, DAY, None)
    setup = prepare(scenario)
    members = setup.member_list
    readings = read_table(ws.run(scenario, out=tmp_path).path, "readings").to_pylist()
    assert len(readings) == setup.intervals * len(members)
    for row in readings:
        home = members.records[members.ids.index(row["household"])]
        assert row["import_wh"] <= energy_at(home.import_capacity_w, setup.minutes)
        assert row["export_wh"] <= energy_at(home.export_capacity_w, setup.minutes)


def test_devices_that_the_run_adds_make_a_connection_larger() -> None:
    setup = prepare(ws.load(GOLDEN / "battery" / "scenario.toml"))
    (battery,) = [spec for spec in setup.devices["battery"] if spec is not None]
    owner = [spec is not None for spec in setup.devices["battery"]].index(True)
    found = setup.member_list.capacities or (DEFAULT_CAPACITY_W,) * len(setup.roster)
    rounded_w = -(-60 // setup.minutes)
    for home, most_w in enumerate(found):
        own = (battery.charge_w + rounded_w, battery.discharge_w + rounded_w) if home == owner else (0, 0)
        assert most_w == (43_000 + own[0], 43_000 + own[1])


def test_an_appliance_takes_all_of_its_run_at_once_where_an_interval_is_longer() -> None:
    meter = prepare(ws.load(GOLDEN / "two_neighbours" / "scenario.toml")).meter
    machine = Appliance(1_000, 30, 0, 120)
    (one, _), (other, _) = capacities_of(
        43_000, meter.minutes, meter.import_wh, meter.export_wh, {"appliance": (machine, None)}
    )
    assert (meter.minutes, one - 43_000, other) == (60, 2_001, 43_000)


def test_a_device_that_states_no_power_counts_with_its_keys_of_power_in_both_directions() -> None:
    """As a plug-in does that knows nothing of connections; one that states it counts as it says."""
    battery = DEVICES.get("battery")
    spec = Battery(10_000, 3_000, 5_000, 950_000, 900_000)
    assert most_power_w(battery, spec) == (3_000, 5_000)
    assert most_power_w(replace(battery, most_w=None), spec) == (8_000, 8_000)
    assert most_power_w(DEVICES.get("pv"), Generator(4_000, 0, 0, 0, 0)) == (0, 8_000)


def test_a_plug_in_whose_power_cannot_be_computed_is_named() -> None:
    def broken(_spec: object) -> tuple[int, int]:
        raise ZeroDivisionError("oops")

    device = replace(DEVICES.get("battery"), name="broken", in_data=None, most_w=broken)
    DEVICES.register(device, origin="elsewhere.py")
    try:
        with pytest.raises(PluginFailed, match="oops"):
            most_power_w(device, Battery(10_000, 3_000, 5_000, 950_000, 900_000))
    finally:
        DEVICES.forget("broken")


def test_data_above_the_connection_are_refused_with_home_interval_and_key() -> None:
    scenario = ws.load(GOLDEN / "two_neighbours" / "scenario.toml")
    setup = prepare(scenario)
    refuse_above_connection(scenario, setup.meter, setup.first_row)

    def with_export(energy_wh: int) -> MeterData:
        export_wh = np.array(setup.meter.export_wh)
        export_wh[setup.first_row + 1, 1] = energy_wh
        return replace(setup.meter, export_wh=export_wh)

    refuse_above_connection(scenario, with_export(43_000), setup.first_row)
    with pytest.raises(
        InvalidScenario, match="2026-06-01T11:00:00Z, above its connection of 43 kW"
    ) as caught:
        refuse_above_connection(scenario, with_export(43_001), setup.first_row)
    for words in ("data.fuse_kw: ", repr(setup.roster[1]), "set data.fuse_kw to 44 or more"):
        assert words in str(caught.value)
