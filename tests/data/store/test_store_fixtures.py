"""Every meter file whose content is known goes through a store and back with the same integers and flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data import formats
from data.store.export import write_plain
from data.store.read import read_store
from data.store.series import HomeSeries, series_of
from tests.kits.fixture_kit import Fixture, fixtures
from tests.kits.sample_kit import sample_of
from tests.kits.store_kit import files_of, imported

READ = [
    one for one in fixtures() if "expected" in one.said and one.said.get("format") in formats.FORMATS.all()
]
"""Those of a format that is there; a file may come before its recipe."""


def readings(series: tuple[HomeSeries, ...] | list[HomeSeries]) -> dict[str, tuple[object, ...]]:
    """What homes hold, by name, without channels of no energy."""
    return {
        one.home: (
            one.start_s,
            one.minutes,
            one.quality.tolist(),
            {name: column.tolist() for name, column in one.energy.items() if np.any(column)},
        )
        for one in series
    }


def test_there_are_many_of_them() -> None:
    assert len(READ) > 50


@pytest.mark.parametrize("fixture", sample_of(READ, READ[::3]), ids=lambda one: one.folder.name)
def test_a_known_file_is_the_same_in_a_store(fixture: Fixture, tmp_path: Path) -> None:
    format = formats.FORMATS.get(fixture.said["format"])
    reading = formats.read(fixture.path, format, fixture.hints)
    assert reading.data is not None
    imported(tmp_path / "s", fixture.path, format=format.name, hints=fixture.hints)
    stored = read_store(tmp_path / "s").series
    wanted = readings(series_of(reading.data))
    assert readings(stored) == wanted
    write_plain(stored, tmp_path / "out.csv")
    again = formats.Hints(minutes=reading.data.minutes, kind="energy", fuse_w=fixture.hints.fuse_w)
    imported(tmp_path / "again", tmp_path / "out.csv", hints=again)
    assert readings(read_store(tmp_path / "again").series) == wanted
    for id_ in reading.ids if format.meters == "id" else ():
        if len(id_) > 5:
            assert not [name for name, content in files_of(tmp_path / "s").items() if id_.encode() in content]
