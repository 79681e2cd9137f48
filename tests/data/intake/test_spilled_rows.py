"""A file of more rows than fit into memory gives the same readings and findings as one that is read as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest

from data.formats import FileReading, Format, check, load, read, recognise
from data.intake import spill
from data.intake.claims import NO_CLAIM
from data.intake.raw import Channel, Hints, RawReadings, exact_stamps, labels, numbers
from data.readings import MeterData
from tests.kits.meter_kit import TEN, rows, write

AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)


def street(seed: int, *, zone: bool) -> list[str]:
    """Rows of seven homes over the autumn change of the clock, with gaps, repeats, empty cells and flags."""
    draw, lines = Random(seed), []
    hours = 2 if zone else 0
    for quarter in range(96):
        instant = AUTUMN + timedelta(minutes=15 * quarter)
        local = instant + timedelta(
            hours=hours if instant < datetime(2026, 10, 25, 1, tzinfo=UTC) else hours - 1
        )
        stamp = f"{local:%Y-%m-%d %H:%M}" if zone else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
        for home in range(7):
            if home == 4 and quarter % 2:  # reads half as often
                continue
            if home == 5 and (quarter < 20 or draw.random() < 0.1):  # joins later, and has gaps
                continue
            cells = [f"{draw.randrange(900) / 1000:g}", "0" if draw.random() < 0.9 else "0.05", ""]
            if home < 3:
                cells[2] = f"{max(0, 40 - abs(quarter - 48)) / 100:g}"
            if draw.random() < 0.02:
                cells[0] = ""
            line = ",".join(
                [stamp, f"house-{home}", *cells, draw.choice(["measured", "measured", "estimated"])]
            )
            lines.append(line)
            if not zone and draw.random() < 0.01:
                lines.append(line)
    return lines


HEADER = "timestamp,household,import_kwh,export_kwh,pv_kwh,quality\n"


def same(a: MeterData, b: MeterData) -> None:
    assert (a.households, a.start_s, a.minutes, a.source, a.batteries) == (
        b.households,
        b.start_s,
        b.minutes,
        b.source,
        b.batteries,
    )
    for name in ("import_wh", "export_wh", "quality"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.sub_meters.keys() == b.sub_meters.keys()
    for name in a.sub_meters:
        np.testing.assert_array_equal(a.sub_meters[name], b.sub_meters[name])


def spilling(monkeypatch: pytest.MonkeyPatch, rows_of_a_group: int) -> None:
    monkeypatch.setattr(spill, "ROWS_IN_MEMORY", 100)
    monkeypatch.setattr(spill, "ROWS_OF_A_GROUP", rows_of_a_group)


@pytest.mark.parametrize("rows_of_a_group", [1, 200, 10_000])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("seed", range(4))
def test_readings_and_findings_are_the_same(
    seed: int, zone: str | None, rows_of_a_group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, street(seed, zone=zone is not None), HEADER)
    whole, report = load(path, zone=zone), check(path, zone=zone)
    spilling(monkeypatch, rows_of_a_group)
    same(load(path, zone=zone), whole)
    again = check(path, zone=zone)
    # Rows that repeat others are one finding for all homes that are placed together.
    one_by_one, others = (
        [finding for finding in one.findings if finding.code != "duplicate"] for one in (again, report)
    )
    assert one_by_one == others
    repeats, others_of = (
        sum(finding.count for finding in one.findings if finding.code == "duplicate")
        for one in (again, report)
    )
    assert repeats == others_of
    assert (again.rows, again.zone, again.first, again.last) == (
        report.rows,
        report.zone,
        report.first,
        report.last,
    )
    assert {finding.code for finding in report.findings} >= {"gap", "empty"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row.replace(",0.", ",x0.", 1),
        lambda row: row.replace(",0.", ",-0.", 1),
        lambda row: row.replace(":15:", ":17:"),
        lambda row: "2026-13" + row[7:],
        lambda row: row + ",more",
        lambda row: row.replace("2026", "2126"),
        lambda row: row.replace("Z,", ","),
        lambda row: row.replace("measured", "perhaps"),
    ],
)
def test_errors_are_the_same_with_their_lines(
    spoil: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = street(1, zone=False)
    at = next(
        i
        for i in range(300, len(lines))
        if "house-1" in lines[i] and ":15:" in lines[i] and ",0." in lines[i]
    )
    lines[at] = spoil(lines[at])  # type: ignore[operator]
    path = write(tmp_path, lines, HEADER)
    whole = check(path)
    assert not whole.ok
    spilling(monkeypatch, 200)
    errors, again = (
        [(f.code, f.line, f.household) for f in report.findings if f.severity == "error"]
        for report in (whole, check(path))
    )
    assert again == errors


def test_some_homes_with_offsets_and_others_without_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = rows(*TEN * 12, home="a") + [line.replace("Z,", ",") for line in rows(*TEN * 12, home="b")]
    path = write(tmp_path, lines)
    spilling(monkeypatch, 1)
    report = check(path, zone="Europe/Berlin")
    assert [(f.code, f.line) for f in report.findings if f.severity == "error"] == [("mixed_zones", 122)]


def test_homes_whose_intervals_begin_at_other_minutes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [f"2026-06-{1 + i // 24:02}T{i % 24:02}:00Z,a,0.1,0" for i in range(120)]
    path = write(tmp_path, [*hours, *(line.replace(":00Z,a", ":15Z,b") for line in hours)])
    assert not check(path).ok
    spilling(monkeypatch, 1)
    assert [f.code for f in check(path).findings] == ["off_grid"]


def reading_of(path: Path, room: Path) -> FileReading:
    return read(path, recognise(path), Hints(), room)


def test_nothing_is_left_of_the_rows_that_were_put_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spilling(monkeypatch, 1)
    room = tmp_path / "room"
    room.mkdir()
    assert reading_of(write(tmp_path, rows(*TEN * 20)), room).data is not None
    bad = write(tmp_path, [*rows(*TEN * 20), "x" * 9], name="bad.csv")
    assert reading_of(bad, room).data is None

    def fails(*_: object) -> None:
        raise RuntimeError("stop")

    monkeypatch.setattr(spill, "place", fails)
    with pytest.raises(RuntimeError, match="stop"):
        reading_of(write(tmp_path, rows(*TEN * 20)), room)
    assert not list(room.iterdir())


def test_energy_beyond_int32_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spilling(monkeypatch, 1)
    path = write(tmp_path, rows(*["3000000,0"] * 120) + rows(*TEN * 12, home="b"))
    monkeypatch.setattr("data.intake.values.LARGEST_KWH", 10**7)
    data = load(path, fuse_w=10**12)
    assert data.import_wh[:2].tolist() == [[3_000_000_000, 100], [3_000_000_000, 200]]
    assert (data.import_wh.dtype, data.export_wh.dtype) == (np.int64, np.int32)


def test_homes_without_a_register_are_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spilling(monkeypatch, 1)
    path = tmp_path / "any"
    path.write_text("of another format")

    def parse(*_: object) -> Iterator[RawReadings]:
        for home, channel in (("a", "import"), ("b", "pv")):
            stamp = exact_stamps(1_700_000_100 // 3600 * 3600 + 900 * np.arange(96))
            values = {Channel(channel): numbers([0.1] * 96)}
            yield RawReadings(np.arange(2, 98), labels([home] * 96), stamp, values)

    format = Format("any", "", "", lambda _file: NO_CLAIM, parse)
    reading = read(path, format, Hints())
    assert reading.data is None
    assert [(f.code, f.household) for f in reading.findings if f.severity == "error"] == [
        ("no_register", "b")
    ]


@pytest.mark.parametrize(
    "names", [("export",), ("pv",), ("net",), ("import",), ("export", "pv"), ("load", "pv")]
)
@pytest.mark.parametrize("rows_of_a_group", [1, 10_000])
def test_a_file_with_a_part_of_its_homes_says_which_registers_it_has(
    names: tuple[str, ...], rows_of_a_group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "any"
    path.write_text("of another format")

    def parse(*_: object) -> Iterator[RawReadings]:
        for home in "abc":
            stamp = exact_stamps(1_700_000_100 // 3600 * 3600 + 900 * np.arange(96))
            values = {Channel(name): numbers([7 * n % 11 / 8 for n in range(96)]) for name in names}
            yield RawReadings(np.arange(2, 98), labels([home] * 96), stamp, values)

    format = Format("any", "", "", lambda _file: NO_CLAIM, parse)
    whole = read(path, format, Hints(partial=True))
    spilling(monkeypatch, rows_of_a_group)
    reading = read(path, format, Hints(partial=True))
    assert reading.data is not None
    assert whole.data is not None
    same(reading.data, whole.data)
    assert reading.channels == whole.channels
