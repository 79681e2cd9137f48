"""Numbers, dates and names in a form that TOML does not know: the sentence says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.run_kit import write_street
from wattswap.errors import InvalidScenario
from wattswap.scenario.load import load


@pytest.mark.parametrize(
    ("before", "after", "cure"),
    [
        ("import_per_kwh = 0.32", "import_per_kwh = 0,32", "a point and no quotes: write 0.32"),
        ("import_per_kwh = 0.32", 'import_per_kwh = "0,32"  # cents', "a point and no quotes: write 0.32"),
        (
            "start = 2026-06-02T00:00:00Z",
            "start = 2.6.2026",
            "begin with the year and have no quotes: write 2026-06-02",
        ),
        ("start = 2026-06-02T00:00:00Z", 'start = "02/06/2026"', "write 2026-06-02"),
        ("[homes.battery.home-1]", "[homes.battery.Müller]", 'go in quotes: [homes.battery."Müller"]'),
    ],
)
def test_a_file_with_it_is_refused_with_the_cure(before: str, after: str, cure: str, tmp_path: Path) -> None:
    file = write_street(tmp_path) / "scenario.toml"
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(InvalidScenario) as refused:
        load(file)
    (problem,) = refused.value.problems
    assert cure in problem.cure
    assert problem.line == text[: text.index(before)].count("\n") + 1


def test_a_home_with_an_umlaut_needs_no_quotes_on_the_command_line(tmp_path: Path) -> None:
    settings = [f"homes.battery.Frau Müller.{key}=2" for key in ("capacity_kwh", "charge_kw", "discharge_kw")]
    efficiencies = [f"homes.battery.Frau Müller.{key}_efficiency=1" for key in ("charge", "discharge")]
    scenario = load(write_street(tmp_path), overrides=[*settings, *efficiencies])
    assert scenario.homes.battery["Frau Müller"].capacity_wh == 2_000
