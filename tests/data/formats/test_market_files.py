"""EIEP3, MSCONS and P1 logs: written and read back, compared with second readers, and cut off anywhere."""

from __future__ import annotations

import csv
import importlib
import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import formats
from data.errors import UnrecognisedFile
from data.formats import FileReading
from data.intake.raw import Hints
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.fixture_kit import METERS, Fixture
from tests.kits.sample_kit import sampled, some

SHARED = Path(__file__).parents[4] / "shared" / "data" / "dsmr_p1"
SLOW = {"max_examples": 12, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
NEW_ZEALAND = ZoneInfo("Pacific/Auckland")
AMSTERDAM = ZoneInfo("Europe/Amsterdam")

Found = dict[tuple[str, str, datetime], tuple[Decimal, int]]
"""Wh and quality by home, register and start in UTC."""

wh_lists = st.lists(st.integers(0, 4000), min_size=4, max_size=60)


def loaded(text: str, folder: Path, hints: Hints | None = None) -> FileReading:
    """Read a text as a file of its own; that it holds energy is said, lest a random series looks like a counter."""
    path = folder / "readings.txt"
    path.write_bytes(text.encode("latin-1"))
    return formats.read(path, formats.recognise(path), hints or Hints(kind="energy"))


def assert_same(found: Found, reading: FileReading) -> None:
    """Every reading of the second reader is there, in the order of homes in the file, and no energy beside it."""
    data = reading.data
    assert data is not None, [str(finding) for finding in reading.findings]
    homes = list(dict.fromkeys(home for home, _, _ in found))
    assert len(data.households) == len(homes)
    total = 0
    for (home, register, start), (wh, quality) in found.items():
        t, h = (int(start.timestamp()) - data.start_s) // (60 * data.minutes), homes.index(home)
        energy = data.import_wh if register == "import" else data.export_wh
        assert (energy[t, h], data.quality[t, h]) == (wh, quality)
        total += int(wh)
    assert data.import_wh.sum() + data.export_wh.sum() == total


def eiep3(series: dict[tuple[str, str], tuple[datetime, list[int]]]) -> str:
    """Half hours from a local midnight on by ICP and direction, in kWh, numbered through the local day."""
    rows = []
    for (icp, flow), (midnight, values) in series.items():
        for i, wh in enumerate(values):
            start = (midnight.astimezone(UTC) + timedelta(minutes=30 * i)).astimezone(NEW_ZEALAND)
            day = start.replace(hour=0, minute=0, fold=0)
            period = (start.astimezone(UTC) - day.astimezone(UTC)) // timedelta(minutes=30) + 1
            status = "E" if wh % 7 == 0 else "F"
            rows.append(f"DET,{icp},M{icp},{status},{start:%d/%m/%Y},{period},{wh / 1000:.3f},,,{flow},")
    return "\r\n".join([f"HDR,ICPHH,11.0,A,B,C,25/10/2019,10:04:24,1,{len(rows)},201910,E,R", *rows, ""])


def eiep3_second_reader(text: str) -> Found:
    """The periods of each local day, counted in UTC from the local midnight."""
    found: Found = {}
    for row in csv.reader(io.StringIO(text)):
        if row[:1] == ["DET"]:
            midnight = datetime.strptime(row[4], "%d/%m/%Y").replace(tzinfo=NEW_ZEALAND)
            start = midnight.astimezone(UTC) + timedelta(minutes=30 * (int(row[5]) - 1))
            register = {"X": "import", "I": "export"}[row[9]]
            found[row[1], register, start] = Decimal(row[6]) * 1000, {"F": MEASURED, "E": ESTIMATED}[row[3]]
    return found


@settings(**SLOW)
@given(
    values=st.lists(wh_lists, min_size=1, max_size=3),
    day=st.sampled_from(
        [datetime(2019, 9, 28), datetime(2020, 4, 4), datetime(2020, 6, 1), datetime(2020, 4, 5)]
    ),
)
def test_half_hours_of_new_zealand_are_read_back(
    values: list[list[int]], day: datetime, tmp_path: Path
) -> None:
    midnight = day.replace(tzinfo=NEW_ZEALAND)
    series = {(f"{i:010d}AAAAA", "X"): (midnight, wh) for i, wh in enumerate(values)}
    assert_same(eiep3_second_reader(eiep3(series)), loaded(eiep3(series), tmp_path))


def mscons(homes: list[list[int]], begin: datetime, marks: str, sep: str, offset_h: int) -> str:
    """Quarter hours of import by location; `marks` are those of UNA, times have an offset."""
    component, element, decimal, release, _, end = marks

    def segment(*elements: tuple[str, ...]) -> str:
        special = set(component + element + release + end)
        return element.join(
            component.join("".join(release + c if c in special else c for c in part) for part in parts)
            for parts in elements
        )

    def time(qualifier: str, at: datetime) -> str:
        local = at + timedelta(hours=offset_h)
        return segment(("DTM",), (qualifier, f"{local:%Y%m%d%H%M}+{offset_h:02d}", "303"))

    body = [segment(("BGM",), ("7",), ("DOC",), ("9",)), segment(("CTA",), ("IC",), ("", "O'Neill + Co: ?"))]
    for h, values in enumerate(homes):
        body += [segment(("LOC",), ("172",), (f"DE{h:031d}",)), segment(("LIN",), ("1",))]
        body.append(segment(("PIA",), ("5",), ("1-1:1.29.0", "SRW")))
        for i, wh in enumerate(values):
            kind = "67" if wh % 7 == 0 else "220"
            body.append(segment(("QTY",), (kind, f"{wh / 1000:.3f}".replace(".", decimal))))
            body += [time(q, begin + timedelta(minutes=15 * (i + k))) for q, k in (("163", 0), ("164", 1))]
    unh = segment(("UNH",), ("1",), ("MSCONS", "D", "04B", "UN", "2.4c"))
    segments = [segment(("UNB",), ("UNOC", "3")), unh, *body]
    segments += [segment(("UNT",), (str(len(body) + 2),), ("1",)), segment(("UNZ",), ("1",), ("R",))]
    return f"UNA{marks}{sep}" + sep.join(text + end for text in segments) + sep


def mscons_second_reader(text: str) -> Found:
    """Character by character, by the marks of UNA."""
    component, element, decimal, release, _, end = text[3:9]
    found: Found = {}
    state: dict[str, str] = {}
    segment: list[list[str]] = [[""]]
    rest = iter(text[9:])
    for c in rest:
        if c == release:
            segment[-1][-1] += next(rest)
        elif c == element:
            segment.append([""])
        elif c == component:
            segment[-1].append("")
        elif c == end:
            tag = segment[0][0].strip()
            if tag in ("LOC", "QTY"):
                state |= {tag: segment[-1][0 if tag == "LOC" else 1], "kind": segment[-1][0]}
            elif tag == "DTM" and segment[1][0] == "163":
                at = datetime.strptime(segment[1][1] + "00", "%Y%m%d%H%M%z").astimezone(UTC)
                quality = {"220": MEASURED, "67": ESTIMATED}[state["kind"]]
                found[state["LOC"], "import", at] = (
                    Decimal(state["QTY"].replace(decimal, ".")) * 1000,
                    quality,
                )
            segment = [[""]]
        else:
            segment[-1][-1] += c
    return found


@settings(**SLOW)
@given(
    homes=st.lists(wh_lists, min_size=1, max_size=3),
    marks=st.sampled_from([":+.? '", ":+,? '", "|^,\\ ~"]),
    sep=st.sampled_from(["", "\n", "\r\n"]),
    offset_h=st.sampled_from([0, 1, 2]),
)
def test_quarter_hours_of_a_message_are_read_back(
    homes: list[list[int]], marks: str, sep: str, offset_h: int, tmp_path: Path
) -> None:
    text = mscons(homes, datetime(2023, 10, 28, 22), marks, sep, offset_h)
    assert_same(mscons_second_reader(text), loaded(text, tmp_path))


def crc16(text: str) -> str:
    """CRC-16/ARC of a telegram, bit by bit."""
    crc = 0
    for byte in text.encode("latin-1"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return f"{crc:04X}"


def telegrams(begin: datetime, step: timedelta, wh: list[tuple[int, int, int]]) -> Iterator[str]:
    """Telegrams of a meter whose registers T1, T2 and returned T1 rise by these amounts from one to the next."""
    registers = [1_000_000, 2_000_000, 3_000_000]
    for i, rise in enumerate(wh):
        registers = [register + more for register, more in zip(registers, rise, strict=True)]
        local = (begin + i * step).astimezone(AMSTERDAM)
        time = f"{local:%y%m%d%H%M%S}{'S' if local.dst() else 'W'}"
        t1, t2, back = (f"{register / 1000:010.3f}" for register in registers)
        lines = ["/ISk5\\2MT382-1000", "", "1-3:0.2.8(50)", f"0-0:1.0.0({time})", "0-0:96.1.1(4B38)"]
        lines += [f"1-0:1.8.1({t1}*kWh)", f"1-0:1.8.2({t2}*kWh)", f"1-0:2.8.1({back}*kWh)"]
        text = "\r\n".join([*lines, f"0-1:24.2.1({time})(00000.107*m3)", "!"])
        yield f"{text}{crc16(text)}\r\n"


def p1_second_reader(log: str) -> Found:
    """Differences of the registers of neighbouring telegrams, with regular expressions alone."""
    read: list[tuple[datetime, dict[str, Decimal]]] = []
    for telegram in re.findall(r"/.*?!", log, re.DOTALL):
        stamp, flag = re.search(r"0-0:1\.0\.0\((\d+)([SW])", telegram).groups()  # type: ignore[union-attr]
        hours = 2 if flag == "S" else 1
        now = {"import": Decimal(), "export": Decimal()}
        for flow, value in re.findall(r"1-0:([12])\.8\.\d\(([\d.]+)\*kWh", telegram):
            now["import" if flow == "1" else "export"] += Decimal(value) * 1000
        read.append(
            (datetime.strptime(stamp, "%y%m%d%H%M%S").replace(tzinfo=UTC) - timedelta(hours=hours), now)
        )
    return {
        ("one", register, start): (after[register] - before[register], MEASURED)
        for (start, before), (_, after) in pairwise(read)
        for register in before
    }


@settings(**SLOW)
@given(
    rises=st.lists(st.tuples(*[st.integers(0, 2000)] * 3), min_size=3, max_size=30),
    begin=st.sampled_from([datetime(2023, 10, 28, 22), datetime(2024, 3, 30, 23), datetime(2024, 1, 5)]),
)
def test_telegrams_on_the_quarter_hour_are_read_back(
    rises: list[tuple[int, int, int]], begin: datetime, tmp_path: Path
) -> None:
    log = "".join(telegrams(begin.replace(tzinfo=UTC), timedelta(minutes=15), rises))
    assert_same(p1_second_reader(log), loaded(log, tmp_path, Hints()))


def test_telegrams_between_quarter_hours_keep_the_energy(tmp_path: Path) -> None:
    """Ten seconds apart and never on the minute: the sum is right to what flows in ten seconds, and is estimated."""
    rises = [(1, 0, 0)] * (6 * 31)
    begin = datetime(2024, 1, 5, 9, 59, 53, tzinfo=UTC)
    data = loaded("".join(telegrams(begin, timedelta(seconds=10), rises)), tmp_path, Hints(minutes=15)).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [90, 90]
    assert data.quality[:, 0].tolist() == [ESTIMATED, ESTIMATED]
    assert "interpolated" in data.source.notes[0]


def test_a_damaged_telegram_is_left_out_and_another_takes_its_place(tmp_path: Path) -> None:
    """Within a second of the quarter hour there is another telegram: the reading is estimated, not lost."""
    log = list(telegrams(datetime(2024, 1, 5, tzinfo=UTC), timedelta(seconds=60), [(10, 0, 0)] * 46))
    log[15] = log[15].replace("1-0:1.8.2(00", "1-0:1.8.2(77")
    reading = loaded("".join(log), tmp_path, Hints(minutes=15))
    assert reading.data is not None
    assert reading.data.import_wh[:, 0].tolist() == [150, 150, 150]
    assert reading.data.quality[:, 0].tolist() == [ESTIMATED, ESTIMATED, MEASURED]
    lines = [finding.line for finding in reading.findings if finding.code == "damaged"]
    assert lines == ["".join(log[:15]).count("\n") + 1]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dsmr_parser.exceptions", None)
    log = "".join(telegrams(datetime(2024, 1, 5, tzinfo=UTC), timedelta(minutes=15), [(1, 1, 1)] * 3))
    reading = loaded(log, tmp_path, Hints())
    assert [finding.code for finding in reading.findings] == ["missing_package"]
    assert "wattswap[meters]" in reading.findings[0].message


@pytest.mark.parametrize(
    "name",
    [
        "mscons_lastgang",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("eiep3_half_hours", "mscons_one_line", "dsmr_p1_v5")
        ),
    ],
)
@sampled
def test_a_market_file_that_is_cut_off_anywhere_says_so(name: str, tmp_path: Path) -> None:
    """Never a crash; what is read is a part of the whole, and a finding says so unless nothing but the end is lost."""
    fixture = Fixture(METERS / name)
    text = fixture.path.read_bytes().decode("latin-1")
    whole = formats.load(fixture.path)
    for end in range(1, len(text.rstrip()), some(3, 13)):
        try:
            reading = loaded(text[:end], tmp_path, Hints())
        except UnrecognisedFile:
            continue
        if reading.data is None:
            assert any(finding.severity == "error" for finding in reading.findings), text[:end][-40:]
            continue
        part = reading.data
        assert reading.findings or part.intervals < whole.intervals
        t, homes = (part.start_s - whole.start_s) // (60 * whole.minutes), len(part.households)
        read = part.quality != MISSING
        same = whole.import_wh[t : t + part.intervals, :homes]
        assert (part.import_wh[read] == same[read]).all(), text[:end][-40:]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared/data is not there")
@pytest.mark.parametrize("name", ["v4_2", "v5", "fluvius_v171"])
def test_real_telegrams_of_each_version_make_a_log(name: str, tmp_path: Path) -> None:
    """The telegram as it is, and twice with a later time and register, without its checksum."""
    text = (SHARED / f"telegram_{name}.txt").read_bytes().decode("latin-1")
    time = re.search(r"0-0:1\.0\.0\((\d{12})", text)
    first = re.search(r"1-0:1\.8\.1\(([\d.]+)", text)
    assert time is not None
    assert first is not None
    log = ""
    for i in range(3):
        later = f"{Decimal(first[1]) + Decimal(i * i) / 10:010.3f}"
        one = text.replace(time[1], f"{time[1][:8]}{15 * i:02d}00").replace(first[1], later, 1)
        log += re.sub(r"!\w{4}", "!", one)
    data = loaded(log, tmp_path, Hints()).data
    assert data is not None
    assert (data.minutes, data.import_wh[:, 0].tolist()) == (15, [100, 300])


@pytest.mark.parametrize(
    "name",
    [
        "nem12_issued_again",
        "nem12_step_changes",
        "eiep3_half_hours",
        "mscons_corrected",
        "mscons_one_line",
        "dsmr_p1_v5",
    ],
)
def test_small_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is given out piece by piece, in the middle of days, messages and homes."""
    fixture = Fixture(METERS / name)
    module = importlib.import_module(f"data.formats.{fixture.said['format']}")
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    if fixture.said["format"] == "mscons":
        monkeypatch.setattr(module, "READ_BYTES", 64)
    reading = formats.read(fixture.path, formats.recognise(fixture.path), fixture.hints)
    assert reading.data is not None
    fixture.assert_holds(reading.data)
