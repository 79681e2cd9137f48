"""A pandas frame of readings instead of a file: the same run, the same checks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from data.errors import DataError
from tests.kits.run_kit import files_below
from wattswap.errors import InvalidData


@pytest.fixture
def long(street: Path) -> pd.DataFrame:
    """The readings of the small street."""
    frame = pd.read_csv(street / "meter.csv")
    return frame.assign(timestamp=pd.to_datetime(frame["timestamp"]))


def wide_of(long: pd.DataFrame) -> pd.DataFrame:
    net = long.assign(net=long["import_kwh"] - long["export_kwh"])
    return net.pivot(index="timestamp", columns="household", values="net")


@pytest.mark.parametrize("form", ["long", "indexed", "wide"])
def test_a_frame_gives_the_run_of_its_file(
    form: str, street: Path, finished: ws.RunResult, long: pd.DataFrame, tmp_path: Path
) -> None:
    frames = {"long": long, "indexed": long.set_index("timestamp"), "wide": wide_of(long)}
    result = ws.run(street, meter=frames[form], out=tmp_path)
    pd.testing.assert_frame_equal(result.bills(), finished.bills())
    assert ws.verify(result.path)["ok"]


def test_a_comparison_takes_a_frame_too(street: Path, long: pd.DataFrame, tmp_path: Path) -> None:
    compared = ws.compare(street, ["uniform_price"], meter=long, out=tmp_path)
    (kept,) = [name for name in files_below(tmp_path) if name.startswith("meter_")]
    assert kept in str(compared.about["scenario"]["data"]["path"])


def test_a_reading_that_is_nan_is_missing(street: Path, long: pd.DataFrame, tmp_path: Path) -> None:
    wide = wide_of(long)
    wide.iloc[30, 0] = float("nan")
    with pytest.raises(InvalidData, match="home home-1: 1 of 48 readings of the run are missing"):
        ws.run(street, meter=wide, out=tmp_path)


@pytest.mark.parametrize(
    ("frame", "phrase"),
    [
        (
            pd.DataFrame({"home-1": [1.0, 2.0]}),
            "is neither long nor wide; give the columns timestamp, household",
        ),
        (pd.DataFrame(), "is neither long nor wide"),
        (
            pd.DataFrame({"home-1": ["0,5", "1"]}, index=pd.date_range("2026-06-01", periods=2, freq="h")),
            "column 'home-1' holds (object|str), not numbers",
        ),
    ],
)
def test_another_frame_is_refused_with_the_cure(
    frame: pd.DataFrame, phrase: str, street: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match=phrase):
        ws.run(street, meter=frame, out=tmp_path)
    assert files_below(tmp_path) == []


def test_stamps_without_a_zone_are_refused_as_those_of_a_file_are(
    street: Path, long: pd.DataFrame, tmp_path: Path
) -> None:
    wide = wide_of(long).tz_localize(None)
    with pytest.raises(DataError, match="zone"):
        ws.run(street, meter=wide, out=tmp_path)
