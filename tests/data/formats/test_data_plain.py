"""The plain format: its header, text and Parquet; writing then reading as identity."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data import formats
from data.errors import InvalidMeterFile, MissingFile, UnrecognisedFile
from data.formats import check, plain
from data.readings import MeterData, Source
from tests.kits.meter_kit import HEADER, START, TEN, bad, found, rows, stamp, write
from tests.kits.sample_kit import some


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


def test_a_decimal_comma_in_each_number_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeterFile, match="decimal comma"):
        formats.load(write(tmp_path, [f'{stamp(i)},a,"0,{i}",0' for i in range(10)]))


@pytest.mark.parametrize(
    ("header", "code", "hint"),
    [
        ("time,household,import_kwh,export_kwh", "wrong_header", "'timestamp' is missing"),
        ("timestamp,houshold,import_kwh,export_kwh", "wrong_header", "rename 'houshold'"),
        ("timestamp,household,import_kwh,export_kwh,PV_kWh", "unknown_column", "rename it to 'pv_kwh'"),
        ("timestamp,household,import_kwh,export_kwh,colour", "unknown_column", "remove other columns"),
        ("timestamp,household,import_kwh,import_kwh,export_kwh", "wrong_header", "is given twice"),
        ("timestamp;household;import_kwh;export_kwh", "wrong_header", "then ',' instead of ';'"),
    ],
)
def test_a_wrong_header_says_what_to_rename(header: str, code: str, hint: str, tmp_path: Path) -> None:
    report = check(write(tmp_path, [], header=f"{header}\n"))
    assert any(f.code == code and hint in f.message and f.line == 1 for f in report.findings)


def test_a_column_that_is_nearly_another_is_one_error(tmp_path: Path) -> None:
    header = "timestamp,household,Import kWh,Export kWh,colour\n"
    found = check(write(tmp_path, [], header=header)).findings
    assert [(f.code, f.message.split("'")[1]) for f in found if f.line == 1] == [
        ("unknown_column", "colour"),
        ("wrong_header", "import_kwh"),
        ("wrong_header", "export_kwh"),
    ]


@pytest.mark.parametrize(
    ("unit", "factor"), [("kw", 4), ("w", 4_000), ("wh", 1_000), ("mwh", 0.001), ("kwh", 1)]
)
def test_a_column_is_converted_from_the_unit_in_its_name(unit: str, factor: float, tmp_path: Path) -> None:
    """2 kW for a quarter of an hour are 0.5 kWh."""
    lines = [f"{stamp(i)},a,{0.5 * factor:.9f},0,{0.25 * factor:.9f}" for i in range(8)]
    header = f"timestamp,household,import_{unit},export_{unit},pv_{unit}\n"
    data = formats.load(write(tmp_path, lines, header=header))
    assert data.import_wh[:, 0].tolist() == [500] * 8
    assert data.sub_meters["pv"][:, 0].tolist() == [250] * 8


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (
            "timestamp,household,import,export_kwh",
            "say in its name what 'import' is: 'import_kwh', 'import_wh'",
        ),
        ("timestamp,household,import_kva,export_kwh", "say in its name what 'import_kva' is"),
        ("timestamp,household,import_kWh,export_kwh", "rename 'import_kWh' to 'import_kwh'"),
        ("timestamp,household,import_kW,export_kwh", "rename 'import_kW' to 'import_kw'"),
        ("timestamp,household,import_kwh,import_kw,export_kwh", "'import' is given in two units; remove one"),
    ],
)
def test_a_unit_that_is_not_stated_is_asked_for(header: str, hint: str, tmp_path: Path) -> None:
    report = check(write(tmp_path, [], header=f"{header}\n"))
    assert any(hint in finding.message for finding in report.findings)
    if "kW," in header or "kva" in header:
        assert not any("to 'import_kwh'" in finding.message for finding in report.findings)


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "\n\n"])
def test_a_file_without_rows_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(content)
    assert [f.code for f in check(path).findings] == ["empty_file"]


def test_a_row_of_wrong_width_does_not_shift_line_numbers(tmp_path: Path) -> None:
    lines = bad(2, f"{stamp(2)},a,0,3,0")
    lines[6] = f"{stamp(6)},a,-1,0"
    assert found(check(write(tmp_path, lines)), "negative") == [("error", 8, "a")]


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(("\ufeff" + HEADER + "\n".join(rows(*TEN)) + "\n").replace("\n", "\r\n").encode())
    assert formats.load(path).import_wh.sum() == 1700


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(HEADER.encode() + b"\xff\xfe\x00" * 50 + b"\n")
    assert not check(path).ok


def test_an_unknown_quality_is_refused(tmp_path: Path) -> None:
    lines = [f"{stamp(i)},a,0.1,0,{q}" for i, q in enumerate(["measured", "guessed"])]
    report = check(write(tmp_path, lines, "timestamp,household,import_kwh,export_kwh,quality\n"))
    assert found(report, "unknown_quality") == [("error", 3, None)]


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


@settings(deadline=None, max_examples=some(20, 6))
@given(meter_data())
def test_what_is_written_is_read_back(data: MeterData) -> None:
    for suffix in (".csv", ".parquet"):  # both of each example: drawing takes longer than writing and reading
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"meter{suffix}"
            plain.write(data, path)
            again = formats.load(path)
        assert (again.households, again.start_s, again.minutes) == (
            data.households,
            data.start_s,
            data.minutes,
        )
        assert np.array_equal(again.import_wh, data.import_wh)
        assert np.array_equal(again.export_wh, data.export_wh)
        assert np.array_equal(again.quality, data.quality)
        assert again.sub_meters.keys() == data.sub_meters.keys()
        for name, energy in data.sub_meters.items():
            assert np.array_equal(again.sub_meters[name], energy)


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
    with pytest.raises(UnrecognisedFile, match="it is a damaged Parquet file"):
        check(path)
    assert [f.code for f in check(path, format="plain").findings] == ["unreadable"]


def test_a_folder_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidMeterFile, match="this is a folder; name the CSV or Parquet file in it"):
        formats.load(tmp_path, format="plain")


def test_a_row_with_nothing_but_a_quality_is_no_blank_line(tmp_path: Path) -> None:
    lines = [f"{stamp(0)},a,1,0,", ",,,,", ",,,,estimated", f"{stamp(1)},a,1,0,"]
    report = check(write(tmp_path, lines, HEADER.replace("\n", ",quality\n")))
    assert [(f.code, f.line) for f in report.findings] == [("bad_timestamp", 4), ("no_household", 4)]
    assert report.rows == 3


def test_a_day_without_a_time_is_told_how_to_be_written(tmp_path: Path) -> None:
    finding, *_ = check(write(tmp_path, ["2026-06-01,a,1,0", "2026-06-02,a,1,0"])).findings
    assert finding.code == "bad_timestamp"
    assert (
        "'2026-06-01' is a day without a time; write 2026-06-13 00:00, and --profile spreads"
        in finding.message
    )


@pytest.mark.parametrize("first", ["sep=,\n", '\ufeff"sep=,"\r\n'])
def test_a_line_of_the_separator_is_no_header_and_counts_as_a_line(first: str, tmp_path: Path) -> None:
    head = f"{first}timestamp,household,import_kwh,export_kwh\n"
    path = tmp_path / "readings.csv"
    path.write_text(
        f"{head}2024-06-01T00:00Z,a,1,0\n2024-06-01T00:15Z,a,1\n2024-06-01T00:30Z,a,x,0\n2024-06-01T00:45Z,a,1,0\n"
    )
    found = [(one.code, one.line) for one in check(path, format="plain").findings]
    assert {("wrong_cells", 4), ("not_a_number", 5)} <= set(found)
    path.write_text(head.replace("household", "home"))
    assert {one.line for one in check(path, format="plain").findings} == {2}
