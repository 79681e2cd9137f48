"""Devices that cannot be: one sentence for each mistake, all of them at once, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.scenario_kit import MINIMAL, read, refused
from wattswap.errors import InvalidScenario
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import from_resolved

ONE_DAY = "[time]\ndays = 1\n"
CAR = {
    "capacity_kwh": "50",
    "charge_kw": "7.4",
    "kwh_per_day": "8",
    "departure": '"07:30"',
    "arrival": '"17:30"',
}
HEAT_PUMP = {
    "power_kw": "2",
    "heat_loss_w_per_k": "150",
    "capacity_kwh_per_k": "8",
    "cop": "3.2",
    "outdoor_c": "2.5",
}
TANK = {"volume_l": "200", "power_kw": "2", "litres_by_hour": str([5] * 24)}
APPLIANCE = {
    "kwh_per_run": "1.1",
    "duration_minutes": "90",
    "earliest_start": '"20:00"',
    "latest_end": '"06:00"',
}
FLEXIBLE = {"daily_kwh": "6", "power_kw": "1.5", "elasticity": "0.2"}
TABLES = {
    "ev": CAR,
    "heat_pump": HEAT_PUMP,
    "hot_water": TANK,
    "appliance": APPLIANCE,
    "flexible_load": FLEXIBLE,
}


def table(kind: str, **changed: str) -> str:
    """The table of a home with one device."""
    lines = [f"{key} = {value}" for key, value in (TABLES[kind] | changed).items()]
    return f"[homes.{kind}.home-02]\n" + "\n".join(lines) + "\n"


def sentences(folder: Path, text: str) -> list[str]:
    """What is wrong with a scenario with these tables."""
    try:
        prepare(read(folder, MINIMAL + ONE_DAY + text))
    except InvalidScenario as error:
        return [f"{problem.where}: {problem.message}; {problem.cure}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("kind", "changed", "phrases"),
    [
        ("ev", {"capacity_kwh": "-1"}, ["capacity_kwh", "too small"]),
        ("ev", {"charge_efficiency": "1.1"}, ["charge_efficiency", "the largest is 1"]),
        ("ev", {"initial_share": "1.5"}, ["initial_share", "the largest is 1"]),
        ("ev", {"kwh_per_day": "51"}, ["kwh_per_day", "more than the battery holds", "50"]),
        (
            "ev",
            {"departure": '"18:00"'},
            ["ev.home-02.arrival", "is not after the departure (18:00 to 17:30)", "later arrival"],
        ),
        ("ev", {"weekend_departure": '"17:30"'}, ["weekend_arrival", "is not after the departure"]),
        ("ev", {"late_minutes": "600"}, ["late_minutes", "passes midnight", "at most 390"]),
        (
            "ev",
            {"charge_kw": "0.5", "charge_efficiency": "0.9"},
            ["kwh_per_day", "17:30 to 07:30", "give at most 6.3"],
        ),
        ("ev", {"depature": '"07:00"'}, ["depature", "did you mean 'departure'?"]),
        ("ev", {"departure": '"7.30"'}, ["ev.home-02.departure"]),
        ("ev", {"days": '"mon-fry"'}, ["ev.home-02.days"]),
        (
            "heat_pump",
            {"comfort_min_c": "22", "comfort_max_c": "19"},
            ["comfort_max_c", "is 19, and comfort_min_c is 22", "upside down"],
        ),
        ("heat_pump", {"cop": "0.5"}, ["heat_pump.home-02.cop", "is 0.5", "give 1 to 10"]),
        ("heat_pump", {"capacity_kwh_per_k": "0"}, ["capacity_kwh_per_k", "give 0.5 to 1000"]),
        ("hot_water", {"water_max_c": "40"}, ["water_max_c", "upside down"]),
        ("hot_water", {"litres_by_hour": "[1, 2]"}, ["litres_by_hour", "24 numbers", "2 numbers"]),
        ("hot_water", {"litres_by_hour": str([-1] * 24)}, ["litres_by_hour", "too small"]),
        ("hot_water", {"litres_by_hour": str([60] * 24)}, ["litres_by_hour", "at most 1375"]),
        ("appliance", {"duration_minutes": "601"}, ["duration_minutes", "give 1 to 600"]),
        ("appliance", {"kwh_per_run": "0"}, ["kwh_per_run", "above 0"]),
        ("flexible_load", {"daily_kwh": "-1"}, ["daily_kwh", "too small"]),
        ("flexible_load", {"daily_kwh": "0"}, ["daily_kwh", "above 0"]),
        ("flexible_load", {"daily_kwh": "35"}, ["daily_kwh", "in a day of 23 hours", "34.5"]),
        ("flexible_load", {"elasticity": "-0.1"}, ["elasticity", "is -0.1", "give 0", "to 20"]),
        ("flexible_load", {"elasticty": "1"}, ["elasticty", "did you mean 'elasticity'?"]),
    ],
)
def test_an_impossible_device_is_refused_in_one_sentence(
    kind: str, changed: dict[str, str], phrases: list[str], tmp_path: Path
) -> None:
    (sentence,) = sentences(tmp_path, table(kind, **changed))
    assert all(phrase in sentence for phrase in phrases), sentence


def test_all_mistakes_of_all_devices_come_at_once(tmp_path: Path) -> None:
    """Three of one home's car, one of its heat pump, and two of its flexible load."""
    text = table("ev", kwh_per_day="60", departure='"18:00"', weekend_departure='"18:30"')
    text += table("flexible_load", daily_kwh="50", elasticity="21")
    found = sentences(tmp_path, text + table("heat_pump", cop="20"))
    assert len(found) == 6


def test_a_misspelt_device_names_the_nearest(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, MINIMAL + table("ev").replace("homes.ev", "homes.evs"))
    assert "'ev'" in problem.cure


def test_a_device_without_its_required_keys_names_them_all(tmp_path: Path) -> None:
    problems = refused(tmp_path, MINIMAL + "[homes.ev.home-02]\ncapacity_kwh = 50\n")
    assert {problem.message for problem in problems} == {
        f"has no {key}" for key in ("charge_kw", "kwh_per_day", "departure", "arrival")
    }


def test_a_heat_pump_needs_weather_or_a_temperature(tmp_path: Path) -> None:
    text = table("heat_pump").replace("outdoor_c = 2.5\n", "")
    (sentence,) = sentences(tmp_path, text)
    assert "heat_pump.home-02" in sentence
    assert "temp_c" in sentence
    assert "data.weather" in sentence


def test_devices_survive_the_resolved_scenario(tmp_path: Path) -> None:
    """Clocks, weekdays, lists by the hour, temperatures: through JSON and back, with the same digest."""
    text = table("ev", days='"mon-fri"', discharge_kw="3.5") + "".join(map(table, list(TABLES)[1:]))
    scenario = read(tmp_path, MINIMAL + ONE_DAY + text)
    again = from_resolved(json.loads(json.dumps(scenario.resolved())), tmp_path)
    assert again.digest() == scenario.digest()
    assert again.homes.tables("ev") == scenario.homes.tables("ev")
    assert prepare(again).devices == prepare(scenario).devices
