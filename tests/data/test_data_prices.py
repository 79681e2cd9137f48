"""Price series: exact from the text, negative prices kept, bad rows refused by line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import InvalidPriceFile, MissingFile
from data.prices import load_price_series

START = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp())


def write(folder: Path, prices: list[str], header: str = "timestamp,price_per_kwh", hours: int = 1) -> Path:
    path = folder / "prices.csv"
    lines = [f"2024-06-01T{i * hours:02}:00Z,{price}" for i, price in enumerate(prices)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_prices_are_exact_and_never_clipped(tmp_path: Path) -> None:
    start_s, minutes, micro = load_price_series(write(tmp_path, ["0.3001", "-0.25", "0", "1e-6"]))
    assert (start_s, minutes) == (START, 60)
    assert micro.tolist() == [300_100, -250_000, 0, 1]


def test_half_a_micro_goes_to_the_even_one(tmp_path: Path) -> None:
    _, _, micro = load_price_series(write(tmp_path, ["0.0000005", "0.0000015"]))
    assert micro.tolist() == [0, 2]


def test_prices_per_mwh_are_divided_where_the_header_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, ["300.1", "-25", "0.0015"], "timestamp,price_per_mwh")
    assert load_price_series(path)[2].tolist() == [300_100, -25_000, 2]


def test_another_column_may_hold_the_price(tmp_path: Path) -> None:
    path = write(tmp_path, ["0.1,0.2", "0.1,0.3"], "timestamp,feed_in,retail")
    assert load_price_series(path, "retail")[2].tolist() == [200_000, 300_000]


def test_local_prices_keep_both_passes_of_the_autumn_hour(tmp_path: Path) -> None:
    hours = ["00", "01", "02", "02", "03"]
    path = tmp_path / "prices.csv"
    path.write_text(
        "timestamp,price_per_kwh\n" + "".join(f"2024-10-27 {h}:00,0.{i}\n" for i, h in enumerate(hours))
    )
    start_s, minutes, micro = load_price_series(path, zone="Europe/Berlin")
    assert start_s == int(datetime(2024, 10, 26, 22, tzinfo=UTC).timestamp())
    assert (minutes, micro.tolist()) == (60, [0, 100_000, 200_000, 300_000, 400_000])


@pytest.mark.parametrize(
    ("prices", "code", "line"),
    [
        (["0.1", "", "0.2"], "not_a_number", 3),
        (["0.1", "-", "0.2"], "not_a_number", 3),
        (["0.1", "nan", "0.2"], "not_a_number", 3),
        (["0.1", "1e9", "0.2"], "not_a_number", 3),
        (["0.1", "0,2", "0.3"], "wrong_cells", 3),
    ],
)
def test_a_bad_price_is_refused_by_line(prices: list[str], code: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidPriceFile) as caught:
        load_price_series(write(tmp_path, prices))
    assert [(f.code, f.line) for f in caught.value.findings] == [(code, line)]


@pytest.mark.parametrize(
    ("stamps", "code"),
    [
        (["2024-06-01T00:00Z", "2024-06-01T01:00Z", "2024-06-01T03:00Z", "2024-06-01T04:00Z"], "gap"),
        (["2024-06-01T01:00Z", "2024-06-01T02:00Z", "2024-06-01T00:00Z"], "wrong_order"),
        (["2024-06-01T00:00Z", "2024-06-01T01:00Z", "noon"], "bad_timestamp"),
        (["2024-06-01T00:00Z", "2024-06-01 01:00"], "mixed_zones"),
        (["2024-06-01 00:00", "2024-06-01 01:00"], "zone_needed"),
        (["2024-06-01T00:00Z", "2024-06-01T00:10Z"], "interval_length"),
        (["2024-06-01T00:05Z", "2024-06-01T01:05Z"], "interval_length"),
        (["2024-06-01T00:00Z"], "interval_length"),
        ([], "empty_file"),
    ],
)
def test_a_bad_clock_is_refused(stamps: list[str], code: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("timestamp,price_per_kwh\n" + "".join(f"{stamp},0.1\n" for stamp in stamps))
    with pytest.raises(InvalidPriceFile) as caught:
        load_price_series(path)
    assert code in {finding.code for finding in caught.value.findings}


def test_a_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidPriceFile, match="Did you mean 'price_per_kWh'"):
        load_price_series(write(tmp_path, ["0.1", "0.2"], "timestamp,price_per_kWh"))


def test_a_series_without_stamps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPriceFile, match=r"schema\.json"):
        load_price_series(write(tmp_path, ["0.1", "0.2"], "time,price_per_kwh"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        load_price_series(tmp_path / "none.csv")
