"""The fast scans of a sheet's text say what the plain ones do, whatever the text is."""

from __future__ import annotations

import gc
from contextlib import suppress
from random import Random

import pytest

from data.recipes import sheets
from data.recipes.sheet_bounds import _PLACE, _cells_of_xlsx, _cells_written_plainly, column_number
from data.recipes.sheet_marks import _SIGNS, has_signs

PIECES = [
    *(b'r="', b"r='", b"r =", b"r= '", b" ", b"\n", b"xr", b"<c ", b'"', b"'", b"=", b">", b"/>", b"/"),
    *(b"A", b"zz", b"ABC", b"XFDX", b"1", b"22", b"1048576", b"0", b"\xc3\xa4", b"r", b"s", b"sheetData"),
    *(b"f", b"f>", b"f/>", b"t=", b'"e"', b'hidden="', b"true", b"<f>", b"e", b"h"),
]


def by_pattern(xml: bytes) -> int:
    found = [
        (max(column_number(letters.decode()), 1), int(number)) for letters, number in _PLACE.findall(xml)
    ]
    if not found:
        return 0
    columns, rows = zip(*found, strict=True)
    return int((max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1))


@pytest.mark.parametrize("seed", range(20))
def test_cells_and_signs_of_any_text(seed: int) -> None:
    draw, plainly = Random(seed), 0
    for _ in range(400):
        xml = b"".join(draw.choices(PIECES, k=draw.randrange(30)))
        if draw.random() < 0.7:
            places = (
                f' r="{draw.choice(["A", "b", "AB", "xfd", ""])}{draw.randrange(2_000)}"'.encode()
                for _ in range(draw.randrange(6))
            )
            xml = xml.replace(b"r =", b"").replace(b"r= ", b"") + b"<c".join(places)
        plainly += _cells_written_plainly(xml) is not None
        assert _cells_of_xlsx(xml) == by_pattern(xml), xml
        assert has_signs(xml) >= any(sign in xml for sign in _SIGNS), xml
    assert plainly > 200


def test_signs_are_found_beside_and_between_rows() -> None:
    for sign in _SIGNS:
        for place in range(3):
            parts = [b"<a>", b"<c>1</c>", b"<b/>"]
            parts[place] += sign
            assert has_signs(b"<sheetData>".join(parts[:2]) + b"</sheetData>" + parts[2])
    assert not has_signs(b'<cols hidden="0"/><sheetData><c t="s">1</c></sheetData><b/>')
    assert not has_signs(b"<sheetData/>")


def test_collections_of_garbage_are_as_before() -> None:
    assert gc.isenabled()
    with suppress(ValueError), sheets._uncollected():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
    gc.disable()
    try:
        with sheets._uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
