"""Text tables: encodings, separators, footers, quotes, rows of other widths, numbers of other countries, sizes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from data.formats import load, recognise
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog
from data.recipes import text
from tests.kits.recipe_kit import UTC, codes, given, imported, own, try_text

ROOT = Path(__file__).resolve().parents[3]
ROWS = "2026-01-01 00:00,0.1\n2026-01-01 00:30,0.2\n2026-01-01 01:00,0.3\n"
PLAIN = f"time,energy\n{ROWS}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_byte_order_mark_or_utf_8_needs_no_word(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    assert imported(try_text(tmp_path / "m.csv", mark + PLAIN.encode(encoding), own())) == [100, 200, 300]


def test_a_file_that_is_not_utf_8_is_asked_about(tmp_path: Path) -> None:
    content = f"Zähler 1,\n{PLAIN}".encode("cp1252")
    reading = try_text(tmp_path / "m.csv", content, own())
    assert [question.option for question in reading.questions] == ["--encoding"]
    said = try_text(tmp_path / "m.csv", content, own(), Hints(zone="UTC", encoding="cp1252"))
    assert imported(said) == [100, 200, 300]
    assert imported(try_text(tmp_path / "m.csv", content, own(file='encoding = "cp1252"'))) == [100, 200, 300]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    assert imported(try_text(tmp_path / "m.csv", PLAIN.replace(",", separator), own())) == [100, 200, 300]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("above", ["", "sep=,\n", 'Name,X\n\nA line with a " in it\n', "x\n" * 98])
def test_the_header_is_searched_below_other_lines(tmp_path: Path, above: str, ends: str) -> None:
    content = (above + PLAIN).replace("\n", ends)
    reading = try_text(tmp_path / "m.csv", content + f"2026-01-01 01:30,x{ends}", own())
    (wrong,) = [finding for finding in reading.findings if finding.code == "not_a_number"]
    assert wrong.line == above.count("\n") + 5


def test_a_header_below_a_hundred_lines_is_not_searched(tmp_path: Path) -> None:
    assert codes(try_text(tmp_path / "m.csv", "x\n" * 100 + PLAIN, own())) == {"wrong_header"}


def test_headers_differ_in_case_white_space_and_quotes(tmp_path: Path) -> None:
    content = PLAIN.replace("time,energy", '" TIME ",  Energy ')
    assert imported(try_text(tmp_path / "m.csv", content, own())) == [100, 200, 300]


def test_a_footer_and_lines_that_are_no_readings_are_left_out(tmp_path: Path) -> None:
    content = (
        PLAIN.replace("2026-01-01 00:30", "--- page 2\n2026-01-01 00:30") + "Total,0.6\n2026-01-01 01:30,9\n"
    )
    format = own(file='end = "^Total"\nskip = "^---"')
    assert imported(try_text(tmp_path / "m.csv", content, format)) == [100, 200, 300]


def test_a_footer_that_no_recipe_names_is_an_error(tmp_path: Path) -> None:
    assert codes(try_text(tmp_path / "m.csv", PLAIN + "Total,0.6\n", own())) == {"bad_timestamp"}


def test_blank_lines_count_as_lines_and_hold_nothing(tmp_path: Path) -> None:
    content = PLAIN.replace("2026-01-01 00:30", "\n,\n2026-01-01 00:30") + "\nx,1\n"
    reading = try_text(tmp_path / "m.csv", content, own())
    assert [(finding.code, finding.line) for finding in reading.findings] == [("bad_timestamp", 8)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("2026-01-01 00:30,0,2", "wrong_cells"),
        ("2026-01-01 00:30", "wrong_cells"),
        ("2026-01-01 00:30,0.2,,", None),
        ("2026-01-01 00:30,0.2, ", None),
    ],
)
def test_a_row_of_another_width_is_read_only_where_nothing_is_lost(
    tmp_path: Path, row: str, code: str | None
) -> None:
    reading = try_text(tmp_path / "m.csv", PLAIN.replace("2026-01-01 00:30,0.2", row), own())
    assert codes(reading) == ({code} if code else set())
    if code is None:
        assert imported(reading) == [100, 200, 300]
    else:
        assert [finding.line for finding in reading.findings if finding.code == code] == [3]


def test_a_row_that_lacks_cells_that_are_not_read_is_whole(tmp_path: Path) -> None:
    content = "time,energy,note\n2026-01-01 00:00,0.1,a\n2026-01-01 00:30,0.2\n"
    assert imported(try_text(tmp_path / "m.csv", content, own(columns='ignore = "note"'))) == [100, 200]


def test_quotes_and_line_breaks_in_cells(tmp_path: Path) -> None:
    content = 'time,note,energy\n"2026-01-01 00:00","a, ""b""",="0.1"\n2026-01-01 00:30,"two\nlines","0.2"\n'
    content += "2026-01-01 01:00,x,y\n"
    reading = try_text(tmp_path / "m.csv", content, own(columns='ignore = "note"'))
    assert [(finding.code, finding.line) for finding in reading.findings] == [("not_a_number", 5)]
    assert imported(
        try_text(
            tmp_path / "m.csv", content[: content.rindex("2026-01-01 01:00")], own(columns='ignore = "note"')
        )
    ) == [100, 200]


@pytest.mark.parametrize(
    ("file", "cell", "wh"),
    [
        ("", "1.5", 1500),
        ("", "1.5e-1", 150),
        ("", "0E-20", 0),
        ("", " 1.5 ", 1500),
        ("", "+1.5", 1500),
        ("", "1,5", None),
        ("", "1'000.5", None),
        ("", "0x10", None),
        ("", "inf", None),
        ("", "nan", None),
        ("", "1.5 kWh", None),
        ('decimal = ","', "1,5", 1500),
        ('decimal = ","', ",5", 500),
        ('decimal = ","', "1.5", None),
        ('decimal = ","', "1.234,5", None),
        ('decimal = ","\nthousands = "."', "1.234,5", 1_234_500),
        ('decimal = ","\nthousands = "."', "1.234", 1_234_000),
        ('decimal = ","\nthousands = "."', "0.173", None),
        ('decimal = ","\nthousands = "."', "1.23", None),
        ('thousands = ","', "1,234.5", 1_234_500),
        ('thousands = "\'"', "1'234.5", 1_234_500),
    ],
)
def test_a_number_is_read_as_the_recipe_says_or_refused(
    tmp_path: Path, file: str, cell: str, wh: int | None
) -> None:
    content = f"time;energy\n2026-01-01 00:00;{cell}\n2026-01-01 00:30;0\n"
    reading = try_text(tmp_path / "m.csv", content, own(file=file), Hints(zone="UTC", fuse_w=10_000_000))
    if wh is None:
        assert codes(reading) & {"not_a_number", "decimal_comma"}
    else:
        assert imported(reading) == [wh, 0]


def test_words_that_mean_no_reading(tmp_path: Path) -> None:
    content = PLAIN.replace("0.2", "n/a")
    assert codes(try_text(tmp_path / "m.csv", content, own())) == {"not_a_number"}
    reading = try_text(tmp_path / "m.csv", content, own(value='missing = "n/a"'))
    assert imported(reading) == [100, 0, 300]
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [0, 2, 0]


def test_what_follows_a_block_is_read_as_if_there_were_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        f"2026-01-{d:02} {h:02}:{m:02},{(d * h + m) / 1000}"
        for d in range(1, 29)
        for h in range(24)
        for m in (0, 30)
    ]
    content = "time,energy\n" + "\n".join(rows) + "\n2026-01-29 00:00,x\n"
    whole = try_text(tmp_path / "m.csv", content, own())
    for size in (40, 1_000):
        monkeypatch.setattr(text, "BLOCK_CHARS", size)
        assert try_text(tmp_path / "m.csv", content, own()).findings == whole.findings
        short = content[: content.rindex("2026-01-29")]
        assert imported(try_text(tmp_path / "n.csv", short, own())) == [
            d * h + m for d in range(1, 29) for h in range(24) for m in (0, 30)
        ]


def test_a_large_file_is_read_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "2026-01-01 00:00,0.125,a text that is not read but takes room\n"
    path = given(tmp_path / "m.csv", "time,energy,note\n" + row * 200_000)
    monkeypatch.setattr(text, "BLOCK_CHARS", 1 << 18)
    tracemalloc.start()
    try:
        count = sum(
            len(raw.line) for raw in own(columns='ignore = "note"').parse(MeterFile(path), UTC, IntakeLog())
        )
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert most < path.stat().st_size / 2


def test_a_file_of_bytes_is_no_table(tmp_path: Path) -> None:
    reading = try_text(tmp_path / "m.csv", b"time,energy\n\0\0\0\n", own())
    assert codes(reading) == {"unreadable"}


@pytest.mark.parametrize("first", ["sep=,", "SEP=,", '"sep=,"', "sep=,\r", "\ufeffsep=,"])
def test_a_first_line_that_states_the_separator_is_no_row(tmp_path: Path, first: str) -> None:
    said = f"{first}\n{PLAIN}"
    assert text.said_separator(said) == ","
    assert imported(try_text(tmp_path / "m.csv", said, own())) == [100, 200, 300]
    other = said.replace("sep=,", "sep=|").replace("SEP=,", "sep=|")  # no line is cut at another sign
    assert codes(try_text(tmp_path / "m.csv", other, own())) == {"wrong_header"}


def test_a_file_that_states_its_separator_is_read_by_the_recipe_that_knows_it(tmp_path: Path) -> None:
    known = next((ROOT / "tests/data/meters/fluvius_nl_2021").glob("*.csv"))
    path = given(tmp_path / known.name, b"sep=;\r\n" + known.read_bytes())
    assert recognise(path).name == recognise(known).name
    found, wanted = load(path), load(known)
    assert (found.import_wh == wanted.import_wh).all()
    assert (found.export_wh == wanted.export_wh).all()
