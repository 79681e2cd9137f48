"""Damaged copies of the files of vendors: a table is read, refused by line or asked about, and breaks no reader."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data.formats import FORMATS, read, recognise
from data.intake.file import MeterFile
from tests.kits.fixture_kit import Fixture, fixtures

BYTES = b'",;\n\r.-0123456789 ex\x00\xff=:/T'
COPIES = 6

TABLES = [
    pytest.param(fixture, id=fixture.folder.name)
    for fixture in fixtures()
    if "unrecognised" not in fixture.said
    and fixture.path.is_file()
    and FORMATS.origin(recognise(fixture.path).name) == "data.formats.tables"
]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A copy in which bytes are changed, added, left out or repeated."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0 if at < len(data):
                data[at] = draw.choice(BYTES)
            case 1:
                data[at:at] = bytes(draw.choices(BYTES, k=draw.randint(1, 3)))
            case 2:
                del data[at : at + draw.randint(1, 30)]
            case _:
                begin = draw.randrange(len(data) + 1)
                data[at:at] = data[begin : begin + draw.randint(1, 60)]
    return bytes(data)


@pytest.mark.parametrize("fixture", TABLES)
def test_a_damaged_table_ends_in_words(fixture: Fixture, tmp_path: Path) -> None:
    draw = random.Random(fixture.folder.name)
    format, content = recognise(fixture.path), fixture.path.read_bytes()
    for _ in range(COPIES):
        path = tmp_path / fixture.path.name
        path.write_bytes(damaged(content, draw))
        assert 0 <= format.sniff(MeterFile(path)).confidence <= 1
        reading = read(path, format, fixture.hints)
        assert reading.data is not None or reading.findings
