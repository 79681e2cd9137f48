"""Each file of tests/data/meters/, changed in one way: read right, asked about or refused, never wrong in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import DataError
from data.formats import FileReading, read, recognise
from data.readings import MeterData
from tests.kits.fixture_kit import Fixture, fixtures
from tests.kits.mutation_kit import mutants

READ = [
    pytest.param(fixture, id=fixture.folder.name)
    for fixture in fixtures()
    if "expected" in fixture.said and fixture.path.is_file()
]


@pytest.mark.parametrize("fixture", READ)
def test_no_change_of_a_file_is_read_wrong_in_silence(fixture: Fixture, tmp_path: Path) -> None:
    path, outcomes = tmp_path / fixture.path.name, {"right": 0, "asked": 0, "refused": 0}

    def reading_of(content: bytes) -> FileReading | None:
        path.write_bytes(content)
        try:
            return read(path, recognise(path), fixture.hints)
        except DataError:
            return None

    def data_of(content: bytes) -> MeterData | None:
        reading = reading_of(content)
        return None if reading is None else reading.data

    wrong = []
    for mutant in mutants(fixture, data_of):
        reading = reading_of(mutant.content)
        if reading is None or reading.data is None:
            outcomes["asked" if reading is not None and reading.questions else "refused"] += 1
        elif mutant.accepts(fixture, reading.data):
            outcomes["right"] += 1
        else:
            wrong.append(mutant.name)
    assert not wrong, f"{len(wrong)} wrong beside {outcomes}"
