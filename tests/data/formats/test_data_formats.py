"""Recognition by confidence, names, and a format of one's own in one short file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data import formats, samples
from data.errors import AmbiguousFile, InvalidMeterFile, MissingFile, UnknownZone, UnrecognisedFile
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings
from data.readings import ESTIMATED, MEASURED, MISSING
from data.sniffing import sniff
from market.errors import DuplicateName, OldContract, UnknownName

PLAIN = "timestamp,household,import_kwh,export_kwh\n2024-06-01T00:00Z,a,0.1,0\n2024-06-01T00:15Z,a,0.1,0\n"


def parse_nothing(_file: MeterFile, _hints: Hints, _log: IntakeLog) -> Iterator[RawReadings]:
    yield from ()


def sure(name: str, confidence: float) -> Format:
    return Format(name, "claims any file", "kWh", lambda _file: Claim(confidence), parse_nothing)


@pytest.fixture
def own_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    FORMATS.load()
    monkeypatch.setattr(FORMATS, "_items", dict(FORMATS._items))
    monkeypatch.setattr(FORMATS, "_origin", dict(FORMATS._origin))


def test_each_file_is_claimed_by_one_format(tmp_path: Path) -> None:
    plain = tmp_path / "meter.csv"
    plain.write_text(PLAIN)
    (tmp_path / "schema.json").write_text('{"buildings": {"Building_1": {}}}')
    for path, name in [
        (plain, "plain"),
        (tmp_path, "citylearn"),
        (tmp_path / "schema.json", "citylearn"),
        (samples.path_of("street"), "simbench_extract"),
    ]:
        file = MeterFile(path)
        certain = [f.name for f in FORMATS.all().values() if f.sniff(file).confidence == 1]
        assert certain == [name]
        assert formats.recognise(path).name == name


def test_the_head_of_a_file_is_read_once_for_all_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_formats: None
) -> None:
    for number in range(30):
        FORMATS.register(
            Format(
                f"vendor_{number}",
                "",
                "",
                lambda file: Claim(1.0) if file.head.startswith(b"\0") else NO_CLAIM,
                parse_nothing,
            )
        )
    path = tmp_path / "meter.csv"
    path.write_text(PLAIN)
    opened: list[Path] = []
    usual = Path.open

    def counting(self: Path, *args: str, **options: str) -> object:
        opened.append(self)
        return usual(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counting)
    assert formats.recognise(path).name == "plain"
    assert opened == [path]


def test_every_format_says_what_it_is() -> None:
    assert {"plain", "citylearn", "simbench_extract"} <= FORMATS.all().keys()
    assert all(format.summary and format.unit for format in FORMATS.all().values())


def test_a_name_is_given_once(own_formats: None) -> None:
    FORMATS.register(sure("everything", 1.0))
    with pytest.raises(DuplicateName, match="a meter format named 'everything' is registered already"):
        FORMATS.register(sure("everything", 1.0))


def test_a_format_of_the_first_contract_is_refused() -> None:
    with pytest.raises(OldContract, match="written for version 1 of the contract, and this is version 3"):
        FORMATS.register(sure("everything", 1.0), contract=1)


def test_two_equally_sure_formats_are_an_error_that_names_both(own_formats: None, tmp_path: Path) -> None:
    FORMATS.register(sure("everything", 1.0))
    (tmp_path / "meter.csv").write_text(PLAIN)
    with pytest.raises(AmbiguousFile, match="could be everything or plain; name the format"):
        formats.load(tmp_path / "meter.csv")
    assert formats.load(tmp_path / "meter.csv", format="plain").intervals == 2


def test_the_surer_format_is_taken(own_formats: None, tmp_path: Path) -> None:
    FORMATS.register(sure("everything", 0.7))
    (tmp_path / "meter.csv").write_text(PLAIN)
    (tmp_path / "other.csv").write_text("some,other,header\n")
    assert formats.recognise(tmp_path / "meter.csv").name == "plain"
    assert formats.recognise(tmp_path / "other.csv").name == "everything"


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text(PLAIN)
    with pytest.raises(UnknownName, match=r"no meter format 'city_learn'\. Did you mean 'citylearn'"):
        formats.load(tmp_path / "meter.csv", format="city_learn")


def test_a_file_of_no_known_kind_says_what_keeps_it_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "meter.xlsx").write_bytes(b"PK")
    with pytest.raises(UnrecognisedFile, match=r"no separator cuts its lines.*`wattswap list formats`"):
        formats.load(tmp_path / "meter.xlsx")
    (tmp_path / "letter.csv").write_text("Dear customer\n")
    with pytest.raises(UnrecognisedFile, match=r"no separator cuts its lines"):
        formats.load(tmp_path / "letter.csv")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "it is a PDF"),
        (b"\x89PNG\r\n\x1a\n\x00", "it is a picture"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip; unpack it"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
    ],
)
def test_a_file_that_is_no_export_says_what_it_is(head: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_bytes(head)
    with pytest.raises(UnrecognisedFile, match=what):
        formats.load(tmp_path / "meter.csv")
    assert what.split(";")[0] in sniff(tmp_path / "meter.csv").why[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for format in (None, "plain"):
        with pytest.raises(MissingFile, match="none"):
            formats.load(tmp_path / "none", format=format)


@pytest.mark.parametrize("name", sorted(FORMATS.all()))
def test_an_unknown_zone_is_refused_for_every_format(name: str, tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text(PLAIN)
    with pytest.raises(UnknownZone, match="Did you mean 'Europe/Berlin'"):
        formats.load(tmp_path / "meter.csv", format=name, zone="Europe/Berlinn")


@pytest.mark.parametrize("name", sorted(FORMATS.all()))
def test_an_empty_file_is_called_that_for_every_format(name: str, tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_bytes(b"")
    with pytest.raises(InvalidMeterFile, match="the file is empty; export it again"):
        formats.load(tmp_path / "meter.csv", format=name)


OWN = '''"""ACME counters: semicolons, decimal commas, day first, local time of Berlin; one counter a column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, RawReadings, labels, numbers, stamps
from data.readings import ESTIMATED, MEASURED

HEADER = "ACME;Zeit;Bezug kWh;Einspeisung Wh;Status"


def sniff(file: MeterFile) -> Claim:
    """Tell whether the first line is exactly ours."""
    return Claim(1.0) if file.head.decode("utf-8-sig", "ignore").startswith(HEADER) else NO_CLAIM


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read the file two rows at a time."""
    text = io.TextIOWrapper(file.open(file.name), encoding="utf-8-sig", newline="")
    with text:
        rows = list(csv.reader(text, delimiter=";"))[1:]
    for first in range(0, len(rows), 2):
        part = rows[first : first + 2]
        meter, time, taken, given, status = zip(*part, strict=True)
        yield RawReadings(
            line=np.arange(first + 2, first + 2 + len(part)),
            meter=labels(meter),
            stamp=stamps(labels(time), "%d.%m.%Y %H:%M"),
            values={
                Channel("import", "kWh", "counter", "Bezug"): numbers([v.replace(",", ".") for v in taken]),
                Channel("export", "Wh", "counter", "Einspeisung"): numbers(given),
            },
            quality=np.array([ESTIMATED if s == "Geschaetzt" else MEASURED for s in status], dtype=np.uint8),
        )


FORMATS.register(
    Format(
        name="acme",
        summary="ACME counters, local time of Berlin; a stamp is the instant of its reading",
        unit="kWh and Wh, counters",
        sniff=sniff,
        parse=parse,
        zone="Europe/Berlin",
    ),
    contract=3,
)
'''

COUNTERS = """\
ACME;Zeit;Bezug kWh;Einspeisung Wh;Status
4711;27.10.2024 01:00;100,5;7000;
4711;27.10.2024 02:00;100,7;7000;
4711;27.10.2024 02:00;101,2;7000;Geschaetzt
4711;27.10.2024 03:00;101,3;7250;
4711;27.10.2024 04:00;101,3;7250;
4711;27.10.2024 06:00;101,9;7250;
4711;27.10.2024 07:00;0,2;7251;
4711;27.10.2024 08:00;0,25;7251;
"""


def test_a_format_of_ones_own_is_one_short_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_formats: None
) -> None:
    """Its lines only parse: clock, grid, gaps, counters and rounding come from the intake."""
    assert len(OWN.splitlines()) <= 80
    (tmp_path / "acme_counters.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("acme_counters")
    assert FORMATS.origin("acme") == "acme_counters"

    path = tmp_path / "export.csv"
    path.write_text(COUNTERS)
    report = formats.check(path)
    assert (report.format, report.zone, report.rows, report.minutes) == ("acme", "Europe/Berlin", 8, 60)
    assert [(f.code, f.line) for f in report.findings] == [("counter_gap", 7), ("counter_fell", 8)]
    assert "Bezug rises by 0.600 kWh over 2 intervals" in report.findings[0].message
    assert "Bezug falls from 101.9 to 0.2 kWh: the meter was changed or reset" in report.findings[1].message

    data = formats.load(path)
    assert data.start_s == int(datetime(2024, 10, 26, 23, tzinfo=UTC).timestamp())
    assert data.import_wh[:, 0].tolist() == [200, 500, 100, 0, 0, 0, 0, 50]
    assert data.export_wh[:, 0].tolist() == [0, 0, 250, 0, 0, 0, 1, 0]
    lost = [MISSING] * 3  # the two hours around the gap, and the one in which the counter was set back
    assert data.quality[:, 0].tolist() == [MEASURED, ESTIMATED, ESTIMATED, MEASURED, *lost, MEASURED]
    assert data.source.answers == {"zone": "Europe/Berlin"}


def test_an_error_in_a_file_of_ones_own_is_told_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_formats: None
) -> None:
    (tmp_path / "acme_counters_again.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("acme_counters_again")
    path = tmp_path / "export.csv"
    path.write_text(COUNTERS.replace("101,2", "-1").replace("7250;", "x;", 1).replace("08:00", "25:00"))
    report = formats.check(path)
    assert [(f.code, f.line) for f in report.findings] == [
        ("negative", 4),
        ("not_a_number", 5),
        ("bad_timestamp", 9),
    ]
