"""Every sample and fixture beside every layout of meters, prices and weather: its own alone is sure of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.formats import FORMATS, claims_on, read, recognise
from data.intake.claims import RECOGNISED, Claim
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.prices import PRICE_FORMATS
from data.prices import claims_on as price_claims_on
from data.weather import WEATHER_FORMATS
from data.weather import claims_on as weather_claims_on
from tests.kits.fixture_kit import Fixture, fixtures

NO_TEXT = {"home_assistant", "generic", "citylearn", "simbench_extract", "store"}
"""A database, a folder and a store have no first lines, and an unknown table no layout."""

PLAIN = "timestamp,household,import_kwh,export_kwh\n2024-06-01T00:00Z,a,0.1,0\n"

OUTSIDE = [
    pytest.param(layout.sample, f"{kind} {name}", id=f"{kind}-{name}")
    for kind, registry in (("price", PRICE_FORMATS), ("weather", WEATHER_FORMATS))
    for name, layout in registry.all().items()
]


def sure_of(path: Path) -> list[str]:
    """Layouts of all three kinds whose claim names the file, and each says why."""
    file, found = MeterFile(path), []
    every: list[tuple[str, dict[str, Claim]]] = [
        ("", claims_on(file)),
        ("price ", price_claims_on(file)),
        ("weather ", weather_claims_on(file)),
    ]
    for kind, claims in every:
        for name, claim in claims.items():
            assert 0 <= claim.confidence <= 1
            if claim.confidence >= RECOGNISED:
                assert claim.why, name
                found.append(f"{kind}{name}")
    return found


@pytest.mark.parametrize("name", sorted(FORMATS.all().keys() - NO_TEXT))
def test_a_sample_is_claimed_by_its_own_format_alone(name: str, tmp_path: Path) -> None:
    sample = PLAIN if name == "plain" else FORMATS.get(name).sample
    assert sample, "a format shows the first lines of a file"
    path = tmp_path / "file.csv"
    path.write_text(sample.lstrip("\n"), encoding="utf-8")
    assert sure_of(path) == [name]


@pytest.mark.parametrize("fixture", [pytest.param(one, id=one.folder.name) for one in fixtures()])
def test_a_meter_file_is_no_price_and_no_weather(fixture: Fixture) -> None:
    assert sure_of(fixture.path) in ([], [fixture.said.get("format")])


@pytest.mark.parametrize(("sample", "name"), OUTSIDE)
def test_a_price_or_weather_sample_is_no_meter_file(sample: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(sample, encoding="utf-8")
    assert sure_of(path) == ([] if name == "weather epw" else [name])  # one line of EPW is not enough
    if any(claim.confidence > 0 for claim in claims_on(MeterFile(path)).values()):
        assert read(path, recognise(path), Hints(yes=True, zone="UTC")).data is None
