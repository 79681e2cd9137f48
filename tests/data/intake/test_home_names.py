"""What homes are called: numbers of meters leave no trace, and the user may name each home."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.formats import FileReading, Format, read
from data.intake.claims import NO_CLAIM
from data.intake.file import MeterFile
from data.intake.names import MeterNames
from data.intake.raw import Channel, Hints, IntakeLog, RawReadings, exact_stamps, labels, numbers
from tests.kits.meter_kit import START

EAN = ("541448800000000017", "541448800000000024", "541448800000000031")


def reading_of(
    folder: Path,
    meters: MeterNames,
    ids: list[str],
    values: list[float] | None = None,
    hints: Hints | None = None,
    said: str = "",
) -> FileReading:
    """Three hours of each id, row by row in the order of ids, which may repeat."""
    path = folder / "any"
    path.write_text("not looked at")
    count = [ids[:i].count(name) for i, name in enumerate(ids)]
    chunk = RawReadings(
        line=np.arange(2, 2 + len(ids)),
        meter=labels(ids),
        stamp=exact_stamps(START + 3600 * np.array(count)),
        values={Channel("import"): numbers(values or [i / 10 for i in range(len(ids))])},
    )

    def parse(_file: MeterFile, _hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
        if said:
            log.add("warning", "told", said, household=ids[0])
            log.notes.append(said)
        yield chunk

    return read(path, Format("any", "", "", lambda _file: NO_CLAIM, parse, meters=meters), hints or Hints())


MIXED = [EAN[1], EAN[0], EAN[1], EAN[2], EAN[0], EAN[2]]


def test_ids_become_numbers_in_the_order_of_rows(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, "id", MIXED)
    assert reading.data is not None
    assert reading.data.households == ("home-1", "home-2", "home-3")
    assert reading.ids == (EAN[1], EAN[0], EAN[2])
    assert reading.data.import_wh.tolist() == [[0, 100, 300], [200, 400, 500]]


@pytest.mark.parametrize("value", [0.1, -0.1, 90_000.0])
def test_no_finding_note_or_text_holds_an_id(value: float, tmp_path: Path) -> None:
    said = f"meter {EAN[1]} was read twice ({EAN[0]})"
    reading = reading_of(tmp_path, "id", MIXED, [0.1, 0.2, value, 0.1, 0.2, 0.3], said=said)
    told = [str(reading), str(reading.data), *map(str, reading.findings), *map(str, reading.questions)]
    assert not [text for text in told for ean in EAN if ean in text]
    assert any("meter home-1 was read twice (home-2)" in text for text in told)
    assert (reading.data is None) == (value != 0.1)


def test_the_user_may_name_homes_by_id_or_by_number(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, "id", MIXED, hints=Hints(homes={EAN[1]: "ann", "home-3": "home-2"}))
    assert reading.data is not None
    assert reading.data.households == ("ann", "home-3", "home-2")
    assert reading.ids == (EAN[1], EAN[0], EAN[2])


def test_two_meters_may_be_one_home(tmp_path: Path) -> None:
    rows = [EAN[0], EAN[1], EAN[0]]
    both = Hints(homes={EAN[0]: "ann", EAN[1]: "ann"})
    reading = reading_of(tmp_path, "id", rows, [0.1, 0.3, 0.2], both)
    assert [finding.code for finding in reading.findings] == ["conflict"]
    same = reading_of(tmp_path, "id", rows, [0.1, 0.1, 0.2], both)
    assert same.data is not None
    assert same.data.households == ("ann",)


def test_a_file_of_one_home_needs_no_name(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, "none", [""] * 3)
    assert reading.data is not None
    assert (reading.data.households, reading.ids) == (("home-1",), ("",))
    named = reading_of(tmp_path, "none", [""] * 3, hints=Hints(homes={"home-1": "ann"}))
    assert named.data is not None
    assert named.data.households == ("ann",)


def test_names_are_kept_and_may_be_changed(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, "name", ["b", "a", "b", "a"], hints=Hints(homes={"a": "ann"}))
    assert reading.data is not None
    assert (reading.data.households, reading.ids) == (("b", "ann"), ("b", "a"))


def test_a_row_without_an_id_is_an_error_by_line(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, "id", [EAN[0], "", EAN[0]])
    assert [(f.code, f.line) for f in reading.findings] == [("no_household", 3)]


def test_numbers_of_energy_are_mean_power_where_said(tmp_path: Path) -> None:
    hourly = reading_of(tmp_path, "none", [""] * 3, [1.0, 2.0, 3.0], Hints(kind="power"))
    assert hourly.data is not None
    assert hourly.data.import_wh[:, 0].tolist() == [1000, 2000, 3000]
    assert hourly.data.source.answers == {"kind": "power"}


def test_a_label_that_no_row_has_is_no_home(tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_text("not looked at")
    two = labels(["a", "b"])
    chunk = RawReadings(
        np.array([2, 3]),
        replace(two, code=np.array([1, 1])),
        exact_stamps(START + 3600 * np.arange(2)),
        {Channel("import"): numbers([0.1, 0.2])},
    )
    format = Format("any", "", "", lambda _file: NO_CLAIM, lambda *_: iter([chunk]), meters="id")
    reading = read(path, format, Hints())
    assert reading.data is not None
    assert (reading.data.households, reading.ids) == (("home-1",), ("b",))
