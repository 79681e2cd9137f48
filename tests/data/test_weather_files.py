"""Weather files of three archives against their own text, and typical years laid on any year."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data.errors import InvalidWeatherFile, MissingPackage, UncoveredWeather
from data.intake.file import MeterFile
from data.weather import WEATHER_FORMATS, claims_on, load_weather

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "weather" / "723170TYA.CSV"
EAST_S = -5 * 3_600
HOURS = [datetime(2001, 1, 1) + timedelta(hours=h) for h in range(8_760)]


@pytest.fixture(autouse=True)
def _pvlib() -> None:
    pytest.importorskip("pvlib")


def start(year: int, month: int = 1, day: int = 1, hour: int = 0, offset_s: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) - offset_s


def test_tmy3_begins_each_hour_where_its_stamp_ends_it() -> None:
    if not SHARED.is_file():
        pytest.skip("the shared weather file is not there")
    rows = list(csv.reader(SHARED.read_text().splitlines()))
    at = {
        name: rows[1].index(column) for name, column in (("temp_c", "Dry-bulb (C)"), ("ghi", "GHI (W/m^2)"))
    }
    found = load_weather(SHARED, start(2023, offset_s=EAST_S), 60, 8_760)
    for name, column in at.items():
        assert found[name].tolist() == [float(row[column]) for row in rows[2:]]
    leap = load_weather(SHARED, start(2024, 2, 28, offset_s=EAST_S), 60, 72)
    assert leap["temp_c"][:24].tolist() == leap["temp_c"][24:48].tolist()
    first_of_march = found["temp_c"][59 * 24 : 60 * 24]
    assert leap["temp_c"][48:].tolist() == first_of_march.tolist()


def epw(hours: list[datetime]) -> str:
    head = ["LOCATION,Nowhere,-,DEU,Source,1,52.0,13.0,1.0,49.0"]
    head += [
        "DESIGN CONDITIONS,0",
        "TYPICAL/EXTREME PERIODS,0",
        "GROUND TEMPERATURES,0",
        "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0",
    ]
    head += ["COMMENTS 1,x", "COMMENTS 2,x", "DATA PERIODS,1,1,Data,Sunday, 1/ 1,12/31"]
    rows = [
        f"{1990 + h.month},{h.month},{h.day},{h.hour + 1},0,A,{h.hour / 10},1,50,101325,0,0,300"
        + f",{h.hour},{h.day},{h.month},0,0,0,0,180,2,5,5,20,7,9,9,1,0.1,0,88,0.2,0,1"
        for h in hours
    ]
    return "\n".join(head + rows) + "\n"


def test_epw_has_hours_from_1_to_24(tmp_path: Path) -> None:
    path = tmp_path / "a.epw"
    path.write_text(epw(HOURS))
    found = load_weather(path, start(2023, 6, 30, 22, offset_s=3_600), 60, 4)
    assert {name: column.tolist() for name, column in found.items()} == {
        "temp_c": [2.2, 2.3, 0.0, 0.1],
        "ghi": [22, 23, 0, 1],
        "dni": [30, 30, 1, 1],
        "dhi": [6, 6, 7, 7],
    }
    path.write_text(epw(HOURS[:-1]))
    with pytest.raises(InvalidWeatherFile, match="8759 hours"):
        load_weather(path, start(2023), 60, 4)


def typical_csv(hours: list[datetime]) -> str:
    head = [
        "Latitude (decimal degrees): 45.0",
        "Longitude (decimal degrees): 8.0",
        "Elevation (m): 1.0",
        "month,year",
    ]
    head += [f"{month},{2005 + month}" for month in range(1, 13)]
    head.append("time(UTC),T2m,RH,G(h),Gb(n),Gd(h),IR(h),WS10m,WD10m,SP")
    rows = [
        f"{2005 + h.month}{h:%m%d:%H}00,{h.hour / 10},50,{h.hour},{h.day},{h.month},300,1,90,99999"
        for h in hours
    ]
    return "\r\n".join([*head, *rows, "", "T2m: 2-m air temperature (degree Celsius)"]) + "\r\n"


def typical_json(hours: list[datetime]) -> str:
    rows = [
        {
            "time(UTC)": f"{2005 + h.month}{h:%m%d:%H}00",
            "T2m": h.hour / 10,
            "RH": 50,
            "G(h)": h.hour,
            "Gb(n)": h.day,
        }
        | {"Gd(h)": h.month, "IR(h)": 300, "WS10m": 1, "WD10m": 90, "SP": 99999}
        for h in hours
    ]
    months = [{"month": month, "year": 2005 + month} for month in range(1, 13)]
    outputs = {"months_selected": months, "tmy_hourly": rows}
    return json.dumps({"inputs": {"location": {}}, "outputs": outputs, "meta": {"inputs": {}, "outputs": {}}})


@pytest.mark.parametrize(
    ("name", "text"), [("tmy.csv", typical_csv(HOURS)), ("tmy.json", typical_json(HOURS))]
)
def test_pvgis_of_a_typical_year_is_in_utc(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    found = load_weather(path, start(2023, 6, 30, 22), 30, 8)
    assert found["temp_c"].tolist() == [2.2, 2.2, 2.3, 2.3, 0.0, 0.0, 0.1, 0.1]
    assert found["dni"].tolist() == [30] * 4 + [1] * 4
    assert found["dhi"].tolist() == [6] * 4 + [7] * 4


def hourly_csv(tilted: bool = False) -> str:
    head = ["Latitude (decimal degrees):\t45.0", "Longitude (decimal degrees):\t8.0", "Elevation (m):\t1"]
    head += ["Radiation database:\tPVGIS-SARAH3", "", "", "Slope: 0 deg.", "Azimuth: 0 deg.", ""]
    head.append("time,Gb(i),Gd(i),Gr(i),H_sun,T2m,WS10m,Int")
    rows = [f"20200615:{h:02}10,{10 * h},{5 * h},{int(tilted)},30,{h},1,0" for h in range(24)]
    return "\n".join([*head, *rows, "", "Int: 1 means solar radiation values are reconstructed"]) + "\n"


def test_pvgis_of_single_years_holds_for_the_hour_of_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text(hourly_csv())
    found = load_weather(path, start(2020, 6, 15), 60, 24)
    h = np.arange(24)
    assert found["temp_c"].tolist() == h.tolist()
    assert found["ghi"].tolist() == (15 * h).tolist()
    assert found["dhi"].tolist() == (5 * h).tolist()
    assert found["dni"] == pytest.approx(np.minimum(10 * h / 0.5, 1_361))
    with pytest.raises(UncoveredWeather):
        load_weather(path, start(2020, 6, 15), 60, 25)
    path.write_text(hourly_csv(tilted=True))
    with pytest.raises(InvalidWeatherFile, match="tilted plane"):
        load_weather(path, start(2020, 6, 15), 60, 24)


def test_every_layout_claims_its_own_sample_alone(tmp_path: Path) -> None:
    texts = {"epw": epw(HOURS[:30]), "pvgis": hourly_csv(), "plain": WEATHER_FORMATS.get("plain").sample}
    texts["tmy3"] = WEATHER_FORMATS.get("tmy3").sample
    for name, layout in WEATHER_FORMATS.all().items():
        path = tmp_path / "weather.csv"
        path.write_text(texts[name])
        claims = claims_on(MeterFile(path))
        assert [other for other, claim in claims.items() if claim.confidence > 0] == [name]
        assert layout.source


@pytest.mark.parametrize("name", ["epw", "pvgis"])
def test_damaged_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    text = {"epw": epw(HOURS[:200]), "pvgis": hourly_csv()}[name]
    for cut in range(400, len(text) // 3, 97):
        path = tmp_path / "weather.csv"
        path.write_text(text[:cut])
        with pytest.raises(InvalidWeatherFile):
            load_weather(path, start(2020, 6, 15), 60, 24)


def test_without_pvlib_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.epw"
    path.write_text(epw(HOURS))
    monkeypatch.setitem(__import__("sys").modules, "pvlib.iotools", None)
    with pytest.raises(MissingPackage, match=r"wattswap\[solar\]"):
        load_weather(path, start(2023), 60, 4)
