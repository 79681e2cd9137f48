"""What a parser may hand over: chunks of any size, counters, mean power, end stamps, long files, revisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.formats import FORMATS, FileReading, Format, read
from data.intake.claims import NO_CLAIM
from data.intake.file import MeterFile
from data.intake.raw import (
    OTHER_LOAD,
    Channel,
    Hints,
    IntakeLog,
    Labels,
    Numbers,
    RawReadings,
    exact_stamps,
    labels,
    numbers,
    stamps,
)
from data.readings import MISSING, carry_round
from tests.kits.meter_kit import HEADER, START, stamp, write

IMPORT, EXPORT = Channel("import"), Channel("export")
HOUR = 3600


def chunk(
    values: Mapping[Channel, list[float]], first_line: int = 2, home: str = "a", at: int = START
) -> RawReadings:
    """Hourly readings of one home."""
    count = len(next(iter(values.values())))
    return RawReadings(
        line=np.arange(first_line, first_line + count),
        meter=labels([home] * count),
        stamp=exact_stamps(at + HOUR * np.arange(count)),
        values={channel: numbers(column) for channel, column in values.items()},
    )


def intake(folder: Path, *chunks: RawReadings, hints: Hints | None = None) -> FileReading:
    """Take chunks in as if a parser had found them in a file."""
    path = folder / "any"
    path.write_text("not looked at")

    def parse(_file: MeterFile, _hints: Hints, _log: IntakeLog) -> Iterator[RawReadings]:
        yield from chunks

    return read(path, Format("any", "", "", lambda _file: NO_CLAIM, parse), hints or Hints())


def codes(reading: FileReading) -> list[tuple[str, int | None]]:
    return [(finding.code, finding.line) for finding in reading.findings]


def sliced(raw: RawReadings, rows: slice) -> RawReadings:
    return replace(
        raw,
        line=raw.line[rows],
        meter=Labels(raw.meter.code[rows], raw.meter.texts),
        stamp=replace(
            raw.stamp,
            seconds=raw.stamp.seconds[rows],
            kind=raw.stamp.kind[rows],
            text=lambda row: raw.stamp.text(row + rows.start),
        ),
        values={
            channel: Numbers(
                column.values[rows],
                column.empty[rows],
                {row - rows.start: t for row, t in column.bad.items() if rows.start <= row < rows.stop},
            )
            for channel, column in raw.values.items()
        },
        quality=None if raw.quality is None else raw.quality[rows],
    )


GOOD = [f"{stamp(i)},{home},0.{i % 9},0,{'estimated' if i == 3 else ''}" for i in range(40) for home in "ab"]
BAD = [*GOOD[:20], f"{stamp(9)},a,x,0,", "never,a,1,0,", f"{stamp(10)},,1,0,", ",,,,", *GOOD[24:], GOOD[-1]]


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("lines", [GOOD, BAD, BAD[:20] + BAD[23:]])
def test_it_makes_no_difference_how_a_file_is_cut_into_chunks(
    size: int, lines: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, lines, HEADER.replace("\n", ",quality\n"))
    plain = FORMATS.get("plain")
    whole = read(path, plain, Hints())

    def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
        (raw,) = plain.parse(file, hints, log)
        assert isinstance(raw, RawReadings)
        for first in range(0, len(raw.line), size):
            yield sliced(raw, slice(first, first + size))

    cut = read(path, replace(plain, parse=parse), Hints())
    assert (cut.findings, cut.rows, cut.zone) == (whole.findings, whole.rows, whole.zone)
    assert (cut.data is None) == (whole.data is None)
    if cut.data is not None and whole.data is not None:
        assert cut.data.households == whole.data.households
        for name in ("import_wh", "export_wh", "quality"):
            assert np.array_equal(getattr(cut.data, name), getattr(whole.data, name))


def test_registers_of_a_long_file_come_in_chunks_of_their_own(tmp_path: Path) -> None:
    reading = intake(
        tmp_path,
        chunk({IMPORT: [1, 2, 3]}, 2),
        chunk({EXPORT: [0, 0.5, 0]}, 5),
        chunk({IMPORT: [1, 1, 1]}, 8, home="b"),
    )
    assert reading.data is not None
    assert reading.rows == 9
    assert reading.data.import_wh.tolist() == [[1000, 1000], [2000, 1000], [3000, 1000]]
    assert reading.data.export_wh.tolist() == [[0, 0], [500, 0], [0, 0]]
    assert (reading.data.quality == 0).all()  # a home without a register for export has nothing missing


def test_a_gap_in_one_register_is_missing_as_a_whole(tmp_path: Path) -> None:
    late = chunk({EXPORT: [0.5, 0]}, 5, at=START + HOUR)
    reading = intake(tmp_path, chunk({IMPORT: [1, 2, 3]}, 2), late)
    assert codes(reading) == [("gap", 5)]
    assert reading.data is not None
    assert reading.data.quality[:, 0].tolist() == [MISSING, 0, 0]


@pytest.mark.parametrize(
    ("unit", "value"), [("kW", 1.5), ("W", 1500), ("uW", 1.5e9), ("Wh", 375), ("MWh", 0.000375)]
)
def test_power_and_energy_of_every_unit_become_wh(unit: str, value: float, tmp_path: Path) -> None:
    raw = chunk({Channel("import", unit): [value] * 4})
    quarters = replace(raw, stamp=exact_stamps(START + 900 * np.arange(4)))
    data = intake(tmp_path, quarters).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [375] * 4


def test_mean_power_is_rounded_with_its_remainders_carried_on(tmp_path: Path) -> None:
    raw = chunk({Channel("import", "W"): [333] * 4})
    data = intake(tmp_path, replace(raw, stamp=exact_stamps(START + 900 * np.arange(4)))).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == carry_round(np.full(4, 33_300), 400).tolist()
    assert data.import_wh.sum() == 333


def test_an_end_stamp_names_the_interval_before_it(tmp_path: Path) -> None:
    ends = replace(chunk({IMPORT: [1, 2, 3]}), stamp_is="end")
    data = intake(tmp_path, ends).data
    assert data is not None
    assert data.start_s == START - HOUR
    assert data.import_wh[:, 0].tolist() == [1000, 2000, 3000]


def test_a_counter_beside_intervals_leaves_its_last_interval_missing(tmp_path: Path) -> None:
    counter = Channel("pv", "kWh", "counter")
    reading = intake(tmp_path, chunk({IMPORT: [1, 2, 3], counter: [70, 70.5, 72]}))
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [1000, 2000, 3000]
    assert reading.data.sub_meters["pv"][:, 0].tolist() == [500, 1500, 0]
    assert reading.data.quality[:, 0].tolist() == [0, 0, MISSING]


def test_a_home_without_the_counter_misses_nothing(tmp_path: Path) -> None:
    counter = Channel("pv", "kWh", "counter")
    metered = chunk({IMPORT: [1, 2, 3]}), chunk({IMPORT: [1, 2, 3]}, home="b"), chunk({counter: [7, 8, 9]})
    data = intake(tmp_path, *metered).data
    assert data is not None
    assert data.quality.tolist() == [[0, 0], [0, 0], [MISSING, 0]]
    assert data.sub_meters["pv"].tolist() == [[1000, 0], [1000, 0], [0, 0]]


def test_the_stamp_of_a_counter_is_an_instant_whatever_a_stamp_names(tmp_path: Path) -> None:
    counters = replace(chunk({Channel("import", "kWh", "counter"): [7, 8, 10]}), stamp_is="end")
    data = intake(tmp_path, counters).data
    assert data is not None
    assert (data.start_s, data.import_wh[:, 0].tolist()) == (START, [1000, 2000])


def test_counters_may_rise_for_ever_without_being_refused(tmp_path: Path) -> None:
    rising = [8_000 + i / 10 for i in range(100)]
    reading = intake(tmp_path, chunk({Channel("import", "kWh", "counter"): rising}))
    assert reading.data is not None
    assert (reading.data.import_wh == 100).all()
    assert codes(reading) == []


def test_one_reading_of_a_counter_is_no_interval(tmp_path: Path) -> None:
    counter = Channel("import", "kWh", "counter")
    reading = intake(tmp_path, chunk({counter: [5]}), hints=Hints(minutes=60))
    assert codes(reading) == [("interval_length", None)]


def test_a_row_that_is_issued_again_replaces_the_first(tmp_path: Path) -> None:
    again = replace(chunk({IMPORT: [9]}, 7, at=START + HOUR), revision=1)
    for chunks in ([chunk({IMPORT: [1, 2, 3]}), again], [again, chunk({IMPORT: [1, 2, 3]})]):
        reading = intake(tmp_path, *sorted(chunks, key=lambda c: c.revision))
        assert codes(reading) == [("revised", 3)]
        assert reading.data is not None
        assert reading.data.import_wh[:, 0].tolist() == [1000, 9000, 3000]


def test_gross_meters_are_netted_to_what_the_grid_sees(tmp_path: Path) -> None:
    gross = {Channel(OTHER_LOAD): [1.0, 1.0], Channel("ev"): [0.5, 0.0], Channel("pv"): [0.25, 3.0]}
    data = intake(tmp_path, chunk(gross)).data
    assert data is not None
    assert data.sub_meters["load"][:, 0].tolist() == [1500, 1000]
    assert data.import_wh[:, 0].tolist() == [1250, 0]
    assert data.export_wh[:, 0].tolist() == [0, 2000]


def test_a_file_without_a_register_of_the_home_is_refused(tmp_path: Path) -> None:
    reading = intake(tmp_path, chunk({Channel("pv"): [1, 2]}))
    assert reading.data is None
    assert codes(reading) == [("no_register", None)]


def test_chunks_that_share_some_channels_only_are_a_bug_of_the_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="share a channel"):
        intake(tmp_path, chunk({IMPORT: [1]}), chunk({IMPORT: [1], EXPORT: [1]}))


@pytest.mark.parametrize(
    ("layout", "text"), [("%d/%m/%Y %H:%M", "01/06/2024 02:00"), (None, "2024-06-01T02:00+00:00")]
)
def test_stamps_are_iso_or_of_a_layout(layout: str | None, text: str) -> None:
    column = stamps(labels([text, "nothing"]), layout)
    assert column.seconds[0] == START + 2 * HOUR
    assert column.kind.tolist()[1] == 0
    assert column.text(1) == "nothing"
