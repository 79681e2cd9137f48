"""Rows onto the grid: order, clocks, gaps, duplicates, empty cells; every error by its line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from data import formats
from data.errors import InvalidMeterFile, UnknownZone
from data.findings import ROWS_PER_CODE
from data.formats import check
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.meter_kit import HEADER, START, TEN, bad, found, rows, stamp, write

TRAPS = {
    "nan": (bad(3, f"{stamp(3)},a,NaN,0"), "not_a_number", 5),
    "text": (bad(3, f"{stamp(3)},a,n/a,0"), "not_a_number", 5),
    "decimal comma, quoted": (bad(3, f'{stamp(3)},a,"0,4",0'), "decimal_comma", 5),
    "decimal comma, bare": (bad(3, f"{stamp(3)},a,0,4,0"), "wrong_cells", 5),
    "negative": (bad(2, f"{stamp(2)},a,-0.3,0"), "negative", 4),
    "infinite": (bad(2, f"{stamp(2)},a,1e9,0"), "impossible_power", 4),
    "above the fuse": (bad(2, f"{stamp(2)},a,43.5,0"), "impossible_power", 4),
    "off the grid": (bad(4, "2024-06-01T01:07:00Z,a,0.1,0"), "off_grid", 6),
    "no time": (bad(4, "1 June,a,0.1,0"), "bad_timestamp", 6),
    "24:00": (bad(4, "2024-06-01T24:00:00Z,a,0.1,0"), "bad_timestamp", 6),
    "mixed zones": (bad(4, "2024-06-01 01:00,a,0.1,0"), "mixed_zones", 6),
    "no household": (bad(4, f"{stamp(4)},,0.1,0"), "no_household", 6),
    "conflict": (bad(4, f"{stamp(3)},a,0.5,0"), "conflict", 6),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_bad_row_is_refused_by_line(trap: str, tmp_path: Path) -> None:
    lines, code, line = TRAPS[trap]
    path = write(tmp_path, lines)
    report = check(path)
    assert not report.ok
    assert ("error", line) in [(severity, at) for severity, at, _ in found(report, code)]
    with pytest.raises(InvalidMeterFile, match=f"line {line}.*{code}"):
        formats.load(path)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("n/a", "'n/a'"),
        ("#REF!", "'#REF!'"),
        ("0.l5", "(a text of 4 characters)"),
        ("0.15 kWh", "'0.15 kWh'"),
        ("1 234.5x", "'1 234.5x'"),
        ("~0.4", "'~0.4'"),
        ("541448820099887766", None),
        ("x541448820099887766", "(a text of 19 characters)"),
        ("NMI 6102345678", "(a text of 14 characters)"),
        ("06 1234 5678", "(a text of 12 characters)"),
        ("1011 AB", "(a text of 7 characters)"),
        ("A. de Vries", "(a text of 11 characters)"),
        ("Vries", "(a text of 5 characters)"),
        ("anna@example.com", "(a text of 16 characters)"),
    ],
)
def test_a_message_shows_a_cell_only_where_it_is_near_a_number(
    cell: str, told: str | None, tmp_path: Path
) -> None:
    lines = bad(3, f"{stamp(3)},a,{cell},0")
    found_ = [f for f in check(write(tmp_path, lines)).findings if f.line == 5]
    assert found_
    for finding in found_:
        assert cell not in finding.message or told == repr(cell)
        assert told is None or f"import_kwh {told} is not a number" in finding.message


@pytest.mark.parametrize("suffix", ["Z", ""])
def test_rows_in_any_order_are_sorted_and_a_note_says_so(suffix: str, tmp_path: Path) -> None:
    ordered = [row.replace("Z", suffix) for row in rows(*TEN)]
    whole = formats.load(write(tmp_path, ordered), zone="Europe/Berlin")
    for shuffled, note in (
        (ordered[::-1], "newest rows first"),
        (ordered[5:] + ordered[:5], "not in the order"),
    ):
        path = write(tmp_path, shuffled)
        assert check(path, zone="Europe/Berlin").findings == ()
        data = formats.load(path, zone="Europe/Berlin")
        assert np.array_equal(data.import_wh, whole.import_wh)
        assert note in str(data.source.notes)


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    lines = bad(2, f"{stamp(2)},a,-1,0")
    lines[5] = f"{stamp(5)},a,x,0"
    lines[7] = "never,a,0,0"
    with pytest.raises(InvalidMeterFile) as caught:
        formats.load(write(tmp_path, lines))
    assert [(f.code, f.line) for f in caught.value.findings] == [
        ("negative", 4),
        ("not_a_number", 7),
        ("bad_timestamp", 9),
    ]


def test_conflicting_rows_are_told_even_where_other_errors_hide_the_step(tmp_path: Path) -> None:
    lines = [f"{stamp(0)},a,1,0", f"{stamp(0)},a,2,0", f"{stamp(1)},a,-1,0"]
    report = check(write(tmp_path, lines))
    assert found(report, "conflict") == [("error", 3, "a")]
    assert found(report, "negative") == [("error", 4, "a")]


def test_many_errors_of_one_cause_are_one_line_with_a_count(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*["-1,0"] * (ROWS_PER_CODE + 50)))
    with pytest.raises(InvalidMeterFile) as refused:
        formats.load(path)
    head, line = str(refused.value).splitlines()
    assert f"{ROWS_PER_CODE + 50} errors in this meter file" in head
    assert line.startswith("  error line 2, home a: ")
    assert line.endswith(f"(the first of {ROWS_PER_CODE + 50} of this kind)")
    assert any(f.message == "and 50 more findings of this kind" for f in check(path).findings)


def test_a_repeated_row_is_counted_once_with_a_warning(tmp_path: Path) -> None:
    lines = rows(*TEN)
    path = write(tmp_path, [*lines[:4], lines[3], *lines[4:]])
    report = check(path)
    assert report.ok
    assert found(report, "duplicate") == [("warning", 6, "a")]
    assert formats.load(path).import_wh.sum() == 1700


def test_a_gap_is_missing_and_not_zero(tmp_path: Path) -> None:
    lines = rows(*TEN)
    path = write(tmp_path, lines[:3] + lines[5:])
    report = check(path)
    assert found(report, "gap") == [("warning", 5, "a")]
    assert report.missing_share == pytest.approx(0.2)
    assert formats.load(path).quality[:, 0].tolist() == [0, 0, 0, MISSING, MISSING, 0, 0, 0, 0, 0]


def test_a_home_that_starts_late_and_ends_early_has_gaps(tmp_path: Path) -> None:
    late = rows(*TEN, home="b")[2:8]
    report = check(write(tmp_path, rows(*TEN) + late))
    assert found(report, "gap") == [("warning", 12, "b"), ("warning", 17, "b")]


def test_an_empty_register_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, bad(3, f"{stamp(3)},a,,0"))
    assert found(check(path), "empty") == [("warning", 5, "a")]
    assert formats.load(path).quality[3, 0] == MISSING


def test_a_slipped_year_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, [*rows(*TEN), "2094-06-01T00:00:00Z,a,0.1,0"])
    assert found(check(path), "span") == [("error", 12, None)]


def test_blank_lines_do_not_shift_line_numbers(tmp_path: Path) -> None:
    lines = rows(*TEN)
    report = check(write(tmp_path, [*lines[:2], "", "", *lines[2:5], f"{stamp(5)},a,-1,0"]))
    assert found(report, "negative") == [("error", 9, "a")]


def test_an_empty_register_that_is_marked_missing_is_no_finding(tmp_path: Path) -> None:
    lines = [f"{stamp(i)},a,{'' if i == 2 else 0.1},0,{'missing' if i == 2 else ''}" for i in range(5)]
    path = write(tmp_path, lines, HEADER.replace("\n", ",quality\n"))
    assert check(path).findings == ()
    assert formats.load(path).quality[:, 0].tolist() == [0, 0, MISSING, 0, 0]


def test_homes_may_be_mixed_in_any_order(tmp_path: Path) -> None:
    a, b = rows(*TEN), rows(*reversed(TEN), home="b")
    by_home = formats.load(write(tmp_path, a + b, name="one.csv"))
    by_time = formats.load(
        write(tmp_path, [x for pair in zip(a, b, strict=True) for x in pair], name="two.csv")
    )
    assert by_home.households == by_time.households
    assert np.array_equal(by_home.import_wh, by_time.import_wh)


def test_remainders_below_one_wh_are_carried_on(tmp_path: Path) -> None:
    data = formats.load(write(tmp_path, rows(*["0.0003,0"] * 10)))
    assert data.import_wh[:, 0].tolist() == [0, 1, 0, 0, 1, 0, 0, 0, 1, 0]


def test_local_stamps_need_a_zone(tmp_path: Path) -> None:
    path = write(tmp_path, ["2024-06-01 00:00,a,0.1,0", "2024-06-01 00:15,a,0.1,0"])
    assert found(check(path), "zone_needed") == [("error", 2, None)]
    assert formats.load(path, zone="Europe/Berlin").start_s == START - 7200


def test_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownZone, match="Europe/Paris"):
        formats.load(write(tmp_path, rows(*TEN)), zone="Europe/Pariss")


@pytest.mark.parametrize(("day", "expected"), [("2024-03-31", 92), ("2024-10-27", 100)])
def test_both_change_days_keep_every_quarter_hour(day: str, expected: int, tmp_path: Path) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    stamps = [(start + timedelta(minutes=15 * i)).astimezone(zone) for i in range(expected)]
    lines = [f"{s:%Y-%m-%d %H:%M},a,{(i * 37 % 100) / 1000:.3f},0" for i, s in enumerate(stamps)]
    path = write(tmp_path, lines)
    report = check(path, zone="Europe/Berlin")
    assert report.findings == ()
    data = formats.load(path, zone="Europe/Berlin")
    assert data.import_wh[:, 0].tolist() == [i * 37 % 100 for i in range(expected)]
    assert data.source.answers == {"zone": "Europe/Berlin"}


def test_the_autumn_hour_may_be_written_in_pairs(tmp_path: Path) -> None:
    stamps = ["01:45", "02:00", "02:00", "02:15", "02:15", "02:30", "02:30", "02:45", "02:45", "03:00"]
    path = write(tmp_path, [f"2024-10-27 {s},a,0.{i},0" for i, s in enumerate(stamps)])
    assert check(path, zone="Europe/Berlin").findings == ()
    data = formats.load(path, zone="Europe/Berlin")
    assert data.import_wh[:, 0].tolist() == [0, 100, 300, 500, 700, 200, 400, 600, 800, 900]


def test_a_stamp_that_spring_skips_is_refused(tmp_path: Path) -> None:
    lines = [f"2024-03-31 {hour:02}:00,a,0.1,0" for hour in range(6)]
    assert found(check(write(tmp_path, lines), zone="Europe/Berlin"), "impossible_time") == [
        ("error", 4, "a")
    ]


def test_the_interval_length_is_compared_with_what_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*TEN))
    assert formats.load(path, minutes=15).minutes == 15
    with pytest.raises(InvalidMeterFile, match="15 minutes, not 60"):
        formats.load(path, minutes=60)


def test_sub_meters_may_be_absent_for_some_homes(tmp_path: Path) -> None:
    header = "timestamp,household,import_kwh,export_kwh,pv_kwh,quality\n"
    lines = [f"{stamp(i)},a,0.1,0,0.2,estimated" for i in range(3)] + [
        f"{stamp(i)},b,0.1,0,," for i in range(3)
    ]
    data = formats.load(write(tmp_path, lines, header))
    assert data.sub_meters["pv"].tolist() == [[200, 0]] * 3
    assert data.quality.tolist() == [[ESTIMATED, MEASURED]] * 3
