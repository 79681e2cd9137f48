"""`validate` tries every case of a file on its data, also those that are not chosen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kits.run_kit import call, one_object, refused

Capture = pytest.CaptureFixture[str]
BATTERY = (
    "capacity_kwh = 1\ncharge_kw = 1\ndischarge_kw = 1\ncharge_efficiency = 1\ndischarge_efficiency = 1\n"
)
BROKEN = {
    "members": ("[case.x.homes.members.nobody]\nfrom = 2026-06-03T00:00:00Z\n", "case.x.homes.members.nobody"),
    "battery": (f"[case.x.homes.battery.nobody]\n{BATTERY}", "case.x.homes.battery.nobody: the data have no home"),
    "strategies": ('[case.x.homes.strategies]\nzi_c = ["nobody"]\n', "case.x.homes.strategies"),
    "time": ("[case.x.time]\nstart = 2030-01-01T00:00:00Z\n", "case.x.time.start: 2030-01-01T00:00:00Z has no data"),
    "length": ("[case.x.time]\ninterval_minutes = 15\n", "case.x"),
    "data": ('[case.x.data]\npath = "scenario.toml"\n', "scenario.toml"),
    "prices": ("[case.x.tariff]\nimport_series = 'meter.csv'\n", "meter.csv"),
    "money": ("[case.x.tariff]\nimport_per_kwh = 999999\n[case.x.tariff.standing]\n", "case.x.tariff"),
}  # fmt: skip


@pytest.fixture
def street_with(street: Path, tmp_path: Path) -> Path:
    """A copy of the street, to which cases are added."""
    return Path(shutil.copytree(street, tmp_path / "street"))


def add(folder: Path, text: str) -> None:
    file = folder / "scenario.toml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.parametrize("part", BROKEN)
def test_what_is_wrong_with_a_case_that_is_not_chosen_is_found(
    part: str, street_with: Path, capsys: Capture
) -> None:
    text, sentence = BROKEN[part]
    add(street_with, "[case.sound.market]\nk = 0.1\n" + text)
    for chosen in ([], ["--case", "sound"], ["--case", "x"]):
        refused(call(capsys, "validate", street_with, *chosen), 3, sentence)


def test_every_case_and_the_scenario_itself_are_reported_together(street_with: Path, capsys: Capture) -> None:
    add(street_with, BROKEN["members"][0] + BROKEN["time"][0].replace("case.x", "case.y"))
    own = ("--set", "time.start=2030-01-01T00:00:00Z")
    for sets, first in ((own, ["time.start"]), ((), [])):
        problems = one_object(call(capsys, "validate", street_with, *sets, "--json"))["error"]["problems"]
        keys = [problem["key"] for problem in problems]
        assert keys == [*first, "case.x.homes.members.nobody", "case.y.time.start"]


def test_sound_cases_leave_the_facts_of_the_chosen_one(street_with: Path, capsys: Capture) -> None:
    add(street_with, "[case.short.time]\ndays = 1\n[case.k.market]\nk = 0.1\n")
    for chosen, intervals in (([], 48), (["--case", "short"], 24), (["--case", "k"], 48)):
        assert one_object(call(capsys, "validate", street_with, *chosen, "--json"))["intervals"] == intervals
