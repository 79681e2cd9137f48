"""Price and weather files through the commands of meter data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.prices import load_price_series
from tests.kits.run_kit import call

HOURS = "\n".join(f"01.01.2024 {h:02}:00;01.01.2024 {h + 1:02}:00;{10 * h},5;-" for h in range(4))
SMARD = (
    f"Datum von;Datum bis;Belgien [€/MWh] Originalauflösungen;Polen [€/MWh] Originalauflösungen\n{HOURS}\n"
)
WEATHER = "time,temp_c\n" + "".join(f"2024-01-01T0{h}:00Z,{h}.5\n" for h in range(4))


@pytest.fixture
def smard(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(SMARD, encoding="utf-8-sig")
    return path


@pytest.fixture
def weather(tmp_path: Path) -> Path:
    path = tmp_path / "weather.csv"
    path.write_text(WEATHER)
    return path


def test_sniff_says_what_a_file_holds(smard: Path, weather: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "data", "sniff", str(smard), str(weather), "--json")
    assert found.code == 0
    files = json.loads(found.out)["files"]
    assert [(one["holds"], one["format"], one["confidence"]) for one in files] == [
        ("price", "smard", 1.0),
        ("weather", "plain", 1.0),
    ]
    assert "holds       prices" in call(capsys, "data", "sniff", str(smard)).out


def test_check_names_the_areas_of_a_file_with_several(
    smard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = call(capsys, "data", "check", str(smard))
    assert asked.code == 3
    assert "--column: Belgien, Polen" in asked.err
    assert call(capsys, "data", "check", str(smard), "--column", "Polen").code == 3
    read = json.loads(call(capsys, "data", "check", str(smard), "--column", "Belgien", "--json").out)
    assert (read["first"], read["intervals"], read["values"]["price_per_kwh"]["largest"]) == (
        "2023-12-31T23:00Z",
        4,
        0.0305,
    )


def test_an_import_is_the_plain_file_with_the_same_prices(
    smard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plain.csv"
    options = ("--out", str(out), "--column", "Belgien")
    assert call(capsys, "data", "import", str(smard), *options).code == 0
    found, wanted = load_price_series(out), load_price_series(smard, "Belgien")
    assert found[:2] == wanted[:2]
    assert found[2].tolist() == wanted[2].tolist() == [500, 10_500, 20_500, 30_500]
    again = call(capsys, "data", "import", str(smard), *options)
    assert again.code == 3
    assert "exists already" in again.err


def test_weather_is_imported_alone(
    weather: Path, smard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plain.csv"
    both = call(capsys, "data", "import", str(weather), str(smard), "--out", str(out))
    assert both.code == 2
    assert not out.exists()
    assert call(capsys, "data", "import", str(weather), "--out", str(out)).code == 0
    assert out.read_text() == WEATHER
