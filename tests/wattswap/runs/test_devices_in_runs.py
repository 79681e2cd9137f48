"""Runs of homes with cars, heat pumps, tanks and appliances: checkpoints, plans, and what counts as load."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from tests.kits.resume_kit import killed, same_files
from tests.kits.run_kit import FIRST, table_rows, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.scenario_kit import MINIMAL, read
from wattswap.runs import engine

ONE_DAY = '[time]\nstart = 2016-01-19T00:00:00Z\nintervals = 60\n[homes]\nbatteries = "none"\n'
DEVICES = """
[homes.ev.home-1]
capacity_kwh = 40
charge_kw = 7.4
kwh_per_day = 6
departure = "07:15"
arrival = "16:40"
late_minutes = 90
discharge_kw = 3
charge_efficiency = 0.9
initial_share = 0.3
[homes.heat_pump.home-2]
power_kw = 2
heat_loss_w_per_k = 140
capacity_kwh_per_k = 7
cop = 3.3
outdoor_c = 3.5
[homes.hot_water.home-3]
volume_l = 150
power_kw = 2
litres_by_hour = [0, 0, 0, 0, 0, 0, 40, 30, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 20, 30, 0, 0, 0, 0]
[homes.appliance.home-1]
kwh_per_run = 1.1
duration_minutes = 75
earliest_start = "19:00"
latest_end = "05:00"
[homes.flexible_load.home-3]
daily_kwh = 4
power_kw = 1
elasticity = 0.3
[homes.battery.home-4]
capacity_kwh = 4
charge_kw = 1.5
discharge_kw = 1.5
"""


@pytest.fixture(autouse=True)
def a_checkpoint_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny runs of these tests are over before a checkpoint is due by the clock."""
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)


@pytest.mark.parametrize("control", sample_of(["self_consumption", "plan"], ["self_consumption"]))
def test_every_device_goes_on_after_an_interruption_as_if_there_were_none(
    control: str, tmp_path: Path
) -> None:
    """The same hash and the same bytes of every table, and a second run verifies them."""
    street = write_street(tmp_path / "street", homes=4, more=DEVICES)
    scenario = ws.load(street, overrides=[f"homes.control={control}", "time.intervals=30"])
    whole = ws.run(scenario, out=tmp_path / "runs")
    resumed = engine.resume(killed(scenario, tmp_path / "stopped", 27))
    assert resumed.manifest["replay_sha256"] == whole.manifest["replay_sha256"]
    assert same_files(resumed.path, whole.path)
    assert ws.verify(whole.path)["ok"]
    rows = table_rows(whole.path, "readings")
    for column in ("ev_wh", "heat_pump_wh", "hot_water_wh", "appliance_wh", "flexible_wh"):
        assert sum(abs(int(str(row[column]))) for row in rows) > 0, column
    assert not sum(int(str(row["too_cold_millidegree_h"])) for row in rows)


def test_what_devices_use_counts_as_consumption_of_their_home(tmp_path: Path) -> None:
    """Beside the load that was metered, in every interval; what they take shows at the meter."""
    texts = (MINIMAL + ONE_DAY, MINIMAL + ONE_DAY + DEVICES.replace("home-", "home-0"))
    plain, equipped = (ws.run(read(tmp_path, text), out=tmp_path / "runs") for text in texts)
    tables = [equipped.table("readings"), plain.table("readings")]
    more = tables[0]["load_wh"] - tables[1]["load_wh"]
    columns = ["ev_wh", "heat_pump_wh", "hot_water_wh", "appliance_wh", "flexible_wh"]
    used = tables[0][columns].sum(axis=1)
    assert (more == used).all()
    net = [table["import_wh"].astype(np.int64) - table["export_wh"].astype(np.int64) for table in tables]
    without_battery = tables[0]["household"] != "home-04"
    assert ((net[0] - net[1]) == used)[without_battery].all()


def weathered(folder: Path, devices: str) -> ws.Scenario:
    """A street with devices, and three days of weather: a frost at night, sun by day."""
    street = write_street(folder, homes=3, more=devices)
    rows = ["time,temp_c,ghi,dni,dhi"]
    for i in range(72):
        sun = max(0, 12 - abs(i % 24 - 12) * 2)
        at = FIRST + timedelta(hours=i)
        rows.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{-4 + sun},{sun * 60},{sun * 50},{sun * 20}")
    (street / "weather.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return ws.load(street, overrides=["data.weather=weather.csv"])


def test_a_heat_pump_follows_the_weather_of_each_interval(tmp_path: Path) -> None:
    """It takes most in the coldest hours, resumes and verifies with the same weather."""
    table = DEVICES[DEVICES.index("[homes.heat_pump") : DEVICES.index("[homes.hot_water")]
    scenario = weathered(tmp_path / "street", "\n" + table.replace("outdoor_c = 3.5\n", ""))
    whole = ws.run(scenario, out=tmp_path / "runs")
    readings = whole.table("readings")
    taken = readings[readings["household"] == "home-2"].set_index("interval_start")["heat_pump_wh"]
    by_hour = taken.groupby(taken.index.hour).mean()
    assert by_hour.idxmin() in range(10, 15)
    assert by_hour.loc[[22, 23, 0, 1, 2]].min() > by_hour.min() * 1.5
    resumed = engine.resume(killed(scenario, tmp_path / "stopped", 30))
    assert resumed.manifest["replay_sha256"] == whole.manifest["replay_sha256"]
    assert ws.verify(whole.path)["ok"]


def test_a_simulated_generator_follows_the_weather(tmp_path: Path) -> None:
    """By day, in the home that has one; it counts as production and shows at the meter."""
    pytest.importorskip("pvlib")
    roof = "\n[homes.pv.home-1]\npeak_kw = 5\ntilt = 30\nazimuth = 170\nlatitude = 48\nlongitude = 11\n"
    scenario = weathered(tmp_path / "street", roof)
    result = ws.run(scenario, out=tmp_path / "runs")
    readings = result.table("readings")
    given = readings[readings["household"] == "home-1"].set_index("interval_start")["simulated_pv_wh"]
    assert given[given.index.hour < 4].sum() == 0
    assert given[given.index.hour == 11].min() > 2_000
    assert readings[readings["household"] != "home-1"]["simulated_pv_wh"].sum() == 0
    assert ws.verify(result.path)["ok"]
