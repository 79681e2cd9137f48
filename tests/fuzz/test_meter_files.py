"""A sample of the long run over hostile meter, price and weather files, and what it found, one by one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from data.clock import iso_utc, shown
from data.errors import InvalidPriceFile, InvalidRecipe, InvalidWeatherFile, SpecialFile
from data.formats import FORMATS, check, read, recognise
from data.formats.tables import format_of_file
from data.intake.raw import Hints
from data.prices import load_price_series
from data.recipes.infer_columns import calendar
from data.recipes.stamps import _numbers
from data.sniffing import sniff
from data.store.imports import Options, import_files
from data.store.incoming import Unreadable
from data.weather import load_weather
from tests.fuzz.meter_files import LONGEST_S, try_file
from tests.fuzz.meter_seeds import PRICES, WEATHER, Seed, seeds

SAMPLE = 300


@pytest.fixture(scope="module")
def right() -> list[Seed]:
    return seeds()


@pytest.mark.filterwarnings("default")
def test_hostile_files_are_read_asked_about_or_refused(right: list[Seed], tmp_path: Path) -> None:
    counts = Counter[str]()
    for seed in range(SAMPLE):
        folder = tmp_path / str(seed)
        folder.mkdir()
        began = time.process_time()
        outcome, what = try_file(seed, right, folder)
        assert time.process_time() - began < LONGEST_S, what
        counts[outcome] += 1
    assert {"read", "asked", "refused"} <= counts.keys()
    assert counts.total() == SAMPLE


@pytest.mark.parametrize("kind", ["pipe", "zeros"])
def test_what_never_ends_is_refused(kind: str, tmp_path: Path) -> None:
    """Found here: a pipe or a device with --format was read for ever."""
    path = tmp_path / "meter.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    for use in (sniff, check, recognise, lambda path: check(path, format="plain")):
        with pytest.raises(SpecialFile, match="neither a file nor a folder"):
            use(path)  # type: ignore[operator]
    with pytest.raises(SpecialFile):
        read(path, FORMATS.get("home_assistant"), Hints())
    with pytest.raises(Unreadable, match="neither a file nor a folder"):
        import_files([path], tmp_path / "store", Options())
    assert not (tmp_path / "store").exists()


def test_a_damaged_parquet_file_is_unreadable(right: list[Seed], tmp_path: Path) -> None:
    """Found here: broken pages and footers were an OSError without a file."""
    content = next(seed.content for seed in right if seed.name == "meter.parquet")
    path, codes = tmp_path / "meter.parquet", set()
    for at in range(8, len(content), 40):
        path.write_bytes(content[:at] + bytes(16) + content[at + 16 :])
        reading = read(path, FORMATS.get("plain"), Hints())
        codes |= {finding.code for finding in reading.findings if reading.data is None}
    assert "unreadable" in codes


@pytest.mark.parametrize("value", ["9e999", "1e300", "-1e12", "9223372036854775807"])
def test_a_time_that_no_clock_shows_is_unreadable(value: str, right: list[Seed], tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    path.write_bytes(next(seed.content for seed in right if seed.name == path.name))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE statistics SET start_ts = {value} WHERE id = 3")
        database.commit()
    reading = read(path, FORMATS.get("home_assistant"), Hints())
    assert reading.data is None
    assert [finding.code for finding in reading.findings] == ["unreadable"]


def test_a_pattern_that_python_cannot_compile_is_told(right: list[Seed], tmp_path: Path) -> None:
    content = next(seed.content for seed in right if seed.name == "united_power.toml").decode("utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(content.replace("(?P<time>", "(?P<time>a{99999999999}"), encoding="utf-8")
    with pytest.raises(InvalidRecipe, match="no pattern: the repetition number"):
        format_of_file(path)


@pytest.mark.parametrize("text", ["a = " + "9" * 5_000, "a = " + "[" * 100_000])
def test_a_recipe_of_endless_digits_or_brackets_is_invalid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidRecipe, match=r"no TOML|nested too deeply"):
        format_of_file(path)


@pytest.mark.parametrize("name", ["smard.csv", "nord_pool.csv", "agile.csv"])
def test_a_price_cell_beyond_the_limit_is_unreadable(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(PRICES[name] + "a" * 200_000, encoding="utf-8")
    with pytest.raises(InvalidPriceFile) as caught:
        load_price_series(path)
    assert [finding.code for finding in caught.value.findings] == ["unreadable"]


def test_a_column_with_an_infinite_number_is_not_of_the_calendar() -> None:
    assert calendar("hour", [1.0, float("inf"), 2.0]) is None


@pytest.mark.parametrize("column", ["Dry-bulb (C)", "DNI (W/m^2)"])
def test_a_typical_year_without_a_column_is_told(column: str, tmp_path: Path) -> None:
    pytest.importorskip("pvlib")
    path = tmp_path / "tmy3.csv"
    path.write_text(WEATHER["tmy3.csv"].replace(column, "Other", 1), encoding="utf-8")
    with pytest.raises(InvalidWeatherFile) as caught:
        load_weather(path, 1_780_272_000, 60, 24)
    assert [finding.code for finding in caught.value.findings] == ["wrong_header"]


def test_an_instant_outside_all_years_is_shown_as_seconds() -> None:
    assert shown(-62_135_596_800, ZoneInfo("America/New_York")).endswith("1-01-01T00:00Z")
    assert iso_utc(2**62) == f"{2**62} s since 1970"


def test_one_time_that_is_moved_by_some_minutes_is_refused(right: list[Seed], tmp_path: Path) -> None:
    """Found here: a row 29 minutes late was a KeyError."""
    path = tmp_path / "home-assistant_v2.db"
    path.write_bytes(next(seed.content for seed in right if seed.name == path.name))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE statistics SET start_ts = start_ts + 1740 WHERE id = 30")
        database.commit()
    reading = read(path, FORMATS.get("home_assistant"), Hints())
    assert reading.data is None
    assert "interval_length" in {finding.code for finding in reading.findings}


@pytest.mark.parametrize("number", ["NULL", "1e300", "'x'"])
def test_a_statistic_without_a_number_is_unreadable(number: str, right: list[Seed], tmp_path: Path) -> None:
    path = tmp_path / "home-assistant_v2.db"
    path.write_bytes(next(seed.content for seed in right if seed.name == path.name))
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE statistics_meta")
        database.execute("CREATE TABLE statistics_meta (id, statistic_id, unit_of_measurement, has_sum)")
        database.execute(f"INSERT INTO statistics_meta VALUES ({number}, 'grid_import', 'kWh', 1)")
        database.commit()
    reading = read(path, FORMATS.get("home_assistant"), Hints())
    assert [finding.code for finding in reading.findings] == ["unreadable"]


@pytest.mark.parametrize("seed", [2136, 2268, 4323])
def test_a_stamp_without_end_and_a_block_of_a_footer_alone_are_refused(
    seed: int, right: list[Seed], tmp_path: Path
) -> None:
    """Seconds of 1e999 are no whole number, and Arrow reads no empty block."""
    assert try_file(seed, right, tmp_path)[0] == "refused"


def test_no_number_of_seconds_beyond_the_latest_is_a_stamp() -> None:
    seconds, kinds = _numbers(["1e999", "1500000000", "9" * 30, "1e13"], 1.0, 0, 7)
    assert kinds.tolist() == [0, 7, 0, 0]
    assert seconds.tolist() == [0, 1_500_000_000, 0, 0]
