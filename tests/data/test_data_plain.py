"""The plain format: one small file for each trap, and writing then reading as identity."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data import formats
from data.checks import CheckReport, check
from data.errors import InvalidMeterFile, MissingFile, UnknownZone
from data.findings import ROWS_PER_CODE
from data.formats import plain
from data.readings import ESTIMATED, MEASURED, MISSING, MeterData, Source

HEADER = "timestamp,household,import_kwh,export_kwh\n"
START = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp())


def stamp(quarter: int) -> str:
    return datetime.fromtimestamp(START + quarter * 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rows(*energies: str, home: str = "a") -> list[str]:
    """One row a quarter hour; each energy is `import,export`."""
    return [f"{stamp(i)},{home},{energy}" for i, energy in enumerate(energies)]


def write(folder: Path, lines: list[str], header: str = HEADER, name: str = "meter.csv") -> Path:
    path = folder / name
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def found(report: CheckReport, code: str) -> list[tuple[str, int | None, str | None]]:
    return [(f.severity, f.line, f.household) for f in report.findings if f.code == code]


TEN = ["0.1,0", "0.2,0", "0,0.3", "0.4,0", "0.1,0", "0.2,0", "0.3,0", "0.1,0", "0.2,0", "0.1,0"]


def test_ten_good_rows_load_without_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*TEN))
    report = check(path)
    assert report.ok
    assert report.findings == ()
    assert (report.format, report.minutes, report.rows) == ("plain", 15, 10)
    assert (report.first, report.last) == ("2024-06-01T00:00Z", "2024-06-01T02:15Z")
    data = formats.load(path)
    assert data.import_wh[:, 0].tolist() == [100, 200, 0, 400, 100, 200, 300, 100, 200, 100]
    assert data.export_wh[:, 0].tolist() == [0, 0, 300, 0, 0, 0, 0, 0, 0, 0]


def bad(row: int, text: str) -> list[str]:
    lines = rows(*TEN)
    lines[row] = text
    return lines


TRAPS = {
    "nan": (bad(3, f"{stamp(3)},a,NaN,0"), "not_a_number", 5),
    "text": (bad(3, f"{stamp(3)},a,n/a,0"), "not_a_number", 5),
    "decimal comma, quoted": (bad(3, f'{stamp(3)},a,"0,4",0'), "decimal_comma", 5),
    "decimal comma, bare": (bad(3, f"{stamp(3)},a,0,4,0"), "wrong_cells", 5),
    "negative": (bad(2, f"{stamp(2)},a,-0.3,0"), "negative", 4),
    "infinite": (bad(2, f"{stamp(2)},a,1e9,0"), "impossible_power", 4),
    "above the fuse": (bad(2, f"{stamp(2)},a,43.5,0"), "impossible_power", 4),
    "off the grid": (bad(4, "2024-06-01T01:07:00Z,a,0.1,0"), "off_grid", 6),
    "wrong order": (bad(4, "2024-05-31T23:45:00Z,a,0.1,0"), "wrong_order", 6),
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


def test_a_spreadsheet_of_semicolons_is_told_all_that_must_change(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("timestamp;household;import_kwh;export_kwh\n18.10.2026 00:00;a;0,4;0\n", encoding="utf-8")
    (finding,) = check(path).findings
    assert finding.line == 1
    for part in ("separated by ';'", "decimal points", "2026-10-18 00:00"):
        assert part in finding.message


def test_a_file_in_another_encoding_is_named_as_that(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes((HEADER + f"{stamp(0)},Müller,1,0\n").encode("cp1252"))
    with pytest.raises(InvalidMeterFile, match="not UTF-8, often it is Windows-1252"):
        formats.load(path)


def test_a_long_list_of_errors_is_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*["-1,0"] * (ROWS_PER_CODE + 50)))
    with pytest.raises(InvalidMeterFile, match=r"and 181 more; `wattswap data check`"):
        formats.load(path)
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


def test_a_sudden_peak_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*["0.1,0", "0.12,0"] * 600, "5,0", "0.1,0"))
    report = check(path)
    assert report.ok
    assert found(report, "jump") == [("warning", 1202, "a")]


def test_a_larger_connection_may_raise_the_fuse_limit(tmp_path: Path) -> None:
    path = write(tmp_path, bad(2, f"{stamp(2)},a,43.5,0"))
    assert formats.load(path, fuse_w=200_000).import_wh[2, 0] == 43_500


def test_meter_counters_are_not_taken_for_intervals(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*[f"{8350.1 + i / 10:.1f},0" for i in range(60)]))
    assert found(check(path, fuse_w=10**9), "cumulative") == [("error", None, "a")]


def test_a_decimal_comma_in_each_number_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeterFile, match="decimal comma"):
        formats.load(write(tmp_path, [f'{stamp(i)},a,"0,{i}",0' for i in range(10)]))


def test_a_slipped_year_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, [*rows(*TEN), "2094-06-01T00:00:00Z,a,0.1,0"])
    assert found(check(path), "span") == [("error", 12, None)]


@pytest.mark.parametrize(
    ("header", "code", "hint"),
    [
        ("time,household,import_kwh,export_kwh", "wrong_header", "'timestamp' is missing"),
        ("timestamp,houshold,import_kwh,export_kwh", "wrong_header", "rename 'houshold'"),
        ("timestamp,household,import_kwh,export_kwh,PV_kWh", "unknown_column", "rename it to 'pv_kwh'"),
        ("timestamp,household,import_kwh,export_kwh,colour", "unknown_column", "remove other columns"),
        ("timestamp,household,import_kwh,import_kwh,export_kwh", "wrong_header", "stands there twice"),
        ("timestamp;household;import_kwh;export_kwh", "wrong_header", "then ',' instead of ';'"),
    ],
)
def test_a_wrong_header_says_what_to_rename(header: str, code: str, hint: str, tmp_path: Path) -> None:
    report = check(write(tmp_path, [], header=f"{header}\n"))
    assert any(f.code == code and hint in f.message and f.line == 1 for f in report.findings)


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "\n\n"])
def test_a_file_without_rows_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(content)
    assert [f.code for f in check(path).findings] == ["empty_file"]


def test_blank_lines_do_not_shift_line_numbers(tmp_path: Path) -> None:
    lines = rows(*TEN)
    report = check(write(tmp_path, [*lines[:2], "", "", *lines[2:5], f"{stamp(5)},a,-1,0"]))
    assert found(report, "negative") == [("error", 9, "a")]


def test_a_row_of_wrong_width_does_not_shift_line_numbers(tmp_path: Path) -> None:
    lines = bad(2, f"{stamp(2)},a,0,3,0")
    lines[6] = f"{stamp(6)},a,-1,0"
    assert found(check(write(tmp_path, lines)), "negative") == [("error", 8, "a")]


def test_an_empty_register_that_is_marked_missing_is_no_finding(tmp_path: Path) -> None:
    lines = [f"{stamp(i)},a,{'' if i == 2 else 0.1},0,{'missing' if i == 2 else ''}" for i in range(5)]
    path = write(tmp_path, lines, HEADER.replace("\n", ",quality\n"))
    assert check(path).findings == ()
    assert formats.load(path).quality[:, 0].tolist() == [0, 0, MISSING, 0, 0]


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(("\ufeff" + HEADER + "\n".join(rows(*TEN)) + "\n").replace("\n", "\r\n").encode())
    assert formats.load(path).import_wh.sum() == 1700


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(HEADER.encode() + b"\xff\xfe\x00" * 50 + b"\n")
    assert not check(path).ok


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


def test_an_unknown_quality_is_refused(tmp_path: Path) -> None:
    lines = [f"{stamp(i)},a,0.1,0,{q}" for i, q in enumerate(["measured", "guessed"])]
    report = check(write(tmp_path, lines, "timestamp,household,import_kwh,export_kwh,quality\n"))
    assert found(report, "unknown_quality") == [("error", 3, None)]


Energy = Callable[[int, int], tuple[float, float, float]]


def days(energy: Energy) -> list[str]:
    """Five days at one hour: import, export and pv come from `energy(hour of the day, hour)`."""
    lines = []
    for hour in range(120):
        when = datetime.fromtimestamp(START + hour * 3600, UTC).strftime("%Y-%m-%dT%H:%MZ")
        imported, exported, pv = energy(hour % 24, hour)
        lines.append(f"{when},a,{imported},{exported},{pv}")
    return lines


@pytest.mark.parametrize(
    ("energy", "code"),
    [
        (lambda h, _: (0, 0, 2.0 + h / 100) if 8 <= h < 18 else (0.2 + h / 100, 0, 0), None),
        (
            lambda h, _: (0, 2.0 + h / 100, 2.0 + h / 100) if 8 <= h < 18 else (0.2 + h / 100, 0, 0),
            "zero_in_sun",
        ),
        (lambda h, n: (0.2 + h / 100, 0, 0) if n < 60 else (0, 0, 0), "floored_load"),
        (lambda h, n: (0.3 + h / 100, 0, 2.0 if 8 <= h < 18 and n >= 72 else 0), "pv_absent"),
        (lambda h, n: (0, 3.0 + h / 100, 2.0) if 8 <= h < 18 else (0.3, 0, 0), "negative_load"),
    ],
)
def test_a_broken_home_is_flagged(energy: Energy, code: str | None, tmp_path: Path) -> None:
    path = write(tmp_path, days(energy), HEADER.replace("\n", ",pv_kwh\n"))
    report = check(path)
    assert report.ok
    assert code in [f.code for f in report.findings] or (code is None and report.findings == ())


@st.composite
def meter_data(draw: st.DrawFn) -> MeterData:
    intervals, homes = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    minutes = draw(st.sampled_from((5, 15, 30, 60)))
    energy = hnp.arrays(np.int64, (intervals, homes), elements=st.integers(0, 500))
    quality = draw(hnp.arrays(np.uint8, (intervals, homes), elements=st.integers(0, 2)))
    names = st.text(
        st.characters(codec="utf-8", exclude_characters="\r\n\x00", categories=("L", "N", "P")), min_size=1
    )
    return MeterData(
        households=tuple(draw(st.lists(names, min_size=homes, max_size=homes, unique=True))),
        start_s=draw(st.integers(0, 10**6)) * 3600,
        minutes=minutes,
        import_wh=draw(energy),
        export_wh=draw(energy),
        quality=quality,
        sub_meters={name: draw(energy) for name in draw(st.sets(st.sampled_from(["pv", "ev", "heat_pump"])))},
        batteries=(None,) * homes,
        source=Source("test", ""),
    )


@settings(deadline=None, max_examples=40)
@given(meter_data(), st.sampled_from([".csv", ".parquet"]))
def test_what_is_written_is_read_back(data: MeterData, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"meter{suffix}"
        plain.write(data, path)
        again = formats.load(path)
    assert (again.households, again.start_s, again.minutes) == (data.households, data.start_s, data.minutes)
    assert np.array_equal(again.import_wh, data.import_wh)
    assert np.array_equal(again.export_wh, data.export_wh)
    assert np.array_equal(again.quality, data.quality)
    assert again.sub_meters.keys() == data.sub_meters.keys()
    assert all(np.array_equal(again.sub_meters[name], data.sub_meters[name]) for name in data.sub_meters)


def test_writing_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    data = formats.load(write(tmp_path, rows(*TEN)))
    with pytest.raises(MissingFile):
        plain.write(data, tmp_path / "nowhere" / "meter.csv")


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_parquet_takes_arrow_timestamps(zone: str | None, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    when = pa.array([(START + i * 900) * 1000 for i in range(4)], pa.timestamp("ms", zone))
    table = pa.table(
        {
            "timestamp": when,
            "household": ["a"] * 4,
            "import_kwh": [0.1, 0.2, 0.1, 0.3],
            "export_kwh": [0, 0, 0, 1],
        }
    )
    path = tmp_path / "meter.parquet"
    parquet.write_table(table, path)
    if zone is None:
        assert found(check(path), "zone_needed") == [("error", 1, None)]
        assert formats.load(path, zone="Europe/Berlin").start_s == START - 7200
    else:
        data = formats.load(path)
        assert (data.start_s, data.import_wh[:, 0].tolist()) == (START, [100, 200, 100, 300])


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meter.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    assert [f.code for f in check(path).findings] == ["unreadable"]
