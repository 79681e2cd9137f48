"""Weather files: values on the grid of a run, and every error at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import InvalidWeatherFile, MissingFile
from data.samples import SAMPLES, make_weather
from data.samples import load as load_sample
from data.weather import load_weather
from wattswap.scenario.load import TEMPLATES

START_S = 1_718_236_800  # 2024-06-13T00:00Z
HEAD = "time,temp_c,ghi,dni,dhi"
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "homes_fontana_ca"


def write(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "weather.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def hours(count: int = 4) -> list[str]:
    return [f"2024-06-13T{hour:02}:00Z,{10 + hour}.5,{100 * hour},0,50" for hour in range(count)]


def test_longer_rows_are_repeated_and_shorter_ones_averaged(tmp_path: Path) -> None:
    path = write(tmp_path, *hours())
    quarters = load_weather(path, START_S + 1_800, 15, 6)
    assert quarters["temp_c"].tolist() == [10.5, 10.5, 11.5, 11.5, 11.5, 11.5]
    assert quarters["ghi"].tolist() == [0, 0, 100, 100, 100, 100]
    short = [f"2024-06-13T00:{minute:02}Z,{minute},0,0,0" for minute in range(0, 60, 15)]
    assert load_weather(write(tmp_path, *short), START_S, 30, 2)["temp_c"].tolist() == [7.5, 37.5]


def said(path: Path, start_s: int = START_S, rows: int = 2) -> str:
    with pytest.raises(InvalidWeatherFile) as caught:
        load_weather(path, start_s, 60, rows)
    return str(caught.value)


def test_every_column_that_is_missing_is_named_with_the_nearest(tmp_path: Path) -> None:
    text = said(write(tmp_path, *hours(), head="time,temp,ghi,dni,diffuse"))
    assert "the column 'temp_c' is missing. Did you mean 'temp'?" in text
    assert "the column 'dhi' is missing" in text


def test_a_file_may_have_the_temperature_alone(tmp_path: Path) -> None:
    rows = [row.rsplit(",", 3)[0] for row in hours()]
    found = load_weather(write(tmp_path, *rows, head="time,temp_c"), START_S, 60, 4)
    assert {name: column.tolist() for name, column in found.items()} == {"temp_c": [10.5, 11.5, 12.5, 13.5]}
    text = said(write(tmp_path, *[f"{row},0" for row in rows], head="time,temp_c,ghi"))
    assert "the column 'dni' is missing" in text


def test_rows_of_three_hours_are_repeated(tmp_path: Path) -> None:
    rows = [f"2024-06-13T{hour:02}:00Z,{hour}" for hour in (0, 3, 6)]
    path = write(tmp_path, *rows, head="time,temp_c")
    assert load_weather(path, START_S + 2 * 3_600, 60, 5)["temp_c"].tolist() == [0, 3, 3, 3, 6]
    assert load_weather(path, START_S + 10_800 - 900, 15, 2)["temp_c"].tolist() == [0, 3]
    late = write(tmp_path, *[row.replace("T0", "T1") for row in rows], head="time,temp_c")
    assert load_weather(late, START_S + 12 * 3_600, 60, 3)["temp_c"].tolist() == [0, 3, 3]


def test_the_bundled_year_is_that_of_the_normals_and_covers_the_samples() -> None:
    path = TEMPLATES / "weather.csv"
    assert path.read_text(encoding="utf-8") == make_weather.text()
    for name in SAMPLES:
        data = load_sample(name)
        found = load_weather(path, data.start_s, data.minutes, data.intervals)["temp_c"]
        assert len(found) == data.intervals
    local = pd.date_range("2016-01-01", periods=len(found), freq="15min")
    monthly = pd.Series(found, index=local).groupby(local.month).mean()
    assert monthly.to_numpy() == pytest.approx(np.array(make_weather.NORMALS_C), abs=0.5)
    by_hour = pd.Series(found, index=local).groupby(local.hour).mean()
    assert by_hour.idxmax() in (13, 14, 15, 16)
    assert by_hour.max() - by_hour.min() == pytest.approx(7, abs=0.5)


def test_values_and_times_that_cannot_be_are_told_together(tmp_path: Path) -> None:
    rows = hours()
    rows[1] = rows[1].replace("11.5", "115")
    rows[2] = rows[2].replace("200", "-1")
    rows[3] = rows[3].replace("T03", "T01")
    text = said(write(tmp_path, *rows))
    assert "temp_c '115' is no value" in text
    assert "ghi '-1' is no value" in text
    assert "comes -60 minutes after the row before" in text


def test_days_that_are_not_covered_are_named(tmp_path: Path) -> None:
    """In one sentence; beside what else is wrong with the file it is one of several."""
    path = write(tmp_path, *hours())
    assert said(path, rows=5) == (
        f"{path}: covers 2024-06-13T00:00Z to 2024-06-13T04:00Z, and the run with its history is 2024-06-13T00:00Z to"
        " 2024-06-13T05:00Z; give weather of these days, or run others"
    )
    rows = hours()
    rows[1] = rows[1].replace("11.5", "115")
    text = said(write(tmp_path, *rows), rows=5)
    assert "2 errors in this weather file" in text
    assert "it covers 2024-06-13T00:00Z to" in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no file or folder"):
        load_weather(tmp_path / "none.csv", START_S, 60, 1)


@pytest.mark.skipif(not SHARED.exists(), reason="no data of the Californian homes at ../shared/data")
def test_the_weather_of_a_citylearn_set_lies_on_the_hours_of_its_buildings() -> None:
    weather = load_weather(SHARED / "weather.csv", 1_470_031_200, 60, 8_760)
    assert sorted(weather) == ["dhi", "dni", "temp_c"]
    assert weather["temp_c"][:3].tolist() == [20.0, 20.1, 19.7]
