"""NEM12: written and read back, compared with a second reader, shuffled, cut off, and AEMO's examples."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import formats
from data.errors import UnrecognisedFile
from data.formats import FileReading
from data.intake.raw import Hints
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.fixture_kit import METERS

FLAG = {"A": MEASURED, "S14": ESTIMATED, "F52": ESTIMATED, "E52": ESTIMATED, "N": MISSING}
BEGIN = datetime(2024, 3, 30)

Channels = dict[tuple[str, str], list[tuple[datetime, str, list[int]]]]


def written(channels: Channels, minutes: int, unit: str = "kWh", order: list[int] | None = None) -> str:
    """A file of whole Wh by NMI and suffix: days with their quality and values, in an order of their own."""
    lines = ["100,NEM12,202404010000,MDP1,RET1"]
    for (nmi, suffix), days in channels.items():
        lines.append(f"200,{nmi},E1B1,{suffix},{suffix},,S1,{unit},{minutes},")
        for i in order or range(len(days)):
            day, quality, values = days[i]
            texts = [f"{wh / 1000:.3f}" if unit == "kWh" else str(wh) for wh in values]
            lines.append(f"300,{day:%Y%m%d},{','.join(texts)},{quality},,,{day:%Y%m%d}235959,")
    return "\n".join([*lines, "900", ""])


def loaded(text: str, folder: Path) -> FileReading:
    """Read a file; that it holds energy is said, so that no random series is taken for a counter."""
    path = folder / "nem12.csv"
    path.write_text(text, newline="")
    return formats.read(path, formats.recognise(path), Hints(kind="energy"))


def second_reader(text: str) -> dict[tuple[str, str, datetime], tuple[Decimal, str]]:
    """Wh and quality by NMI, register and start in UTC, with `csv` and `Decimal` alone."""
    found: dict[tuple[str, str, datetime], tuple[Decimal, str]] = {}
    for row in csv.reader(io.StringIO(text)):
        if row[0] == "200":
            nmi, suffix, minutes = row[1], row[4], int(row[8])
            per_unit = {"kwh": Decimal(1000), "wh": Decimal(1)}[row[7].lower()]
        elif row[0] == "300":
            midnight = datetime.strptime(row[1], "%Y%m%d").replace(tzinfo=UTC) - timedelta(hours=10)
            for n in range(1440 // minutes):
                start = midnight + timedelta(minutes=n * minutes)
                register = "import" if suffix.startswith("E") else "export"
                found[nmi, register, start] = Decimal(row[2 + n]) * per_unit, row[2 + 1440 // minutes]
    return found


@st.composite
def channels(draw: st.DrawFn) -> tuple[Channels, int]:
    minutes = draw(st.sampled_from((15, 30)))
    days = draw(st.integers(1, 3))
    amounts = st.integers(0, 2000)

    def series() -> list[tuple[datetime, str, list[int]]]:
        values = st.lists(amounts, min_size=1440 // minutes, max_size=1440 // minutes)
        return [
            (BEGIN + timedelta(days=d), draw(st.sampled_from(sorted(FLAG))), draw(values))
            for d in range(days)
        ]

    nmis = [f"NMI000000{n}" for n in range(draw(st.integers(1, 2)))]
    return {(nmi, suffix): series() for nmi in nmis for suffix in ("E1", "B1")}, minutes


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=channels(), unit=st.sampled_from(("kWh", "Wh")))
def test_what_was_written_is_read_back_and_a_second_reader_agrees(
    drawn: tuple[Channels, int], unit: str, tmp_path: Path
) -> None:
    channels, minutes = drawn
    text = written(channels, minutes, unit)
    data = loaded(text, tmp_path).data
    assert data is not None
    nmis = list(dict.fromkeys(nmi for nmi, _ in channels))
    assert (data.minutes, len(data.households)) == (minutes, len(nmis))
    for (nmi, register, start), (wh, quality) in second_reader(text).items():
        t, h = (int(start.timestamp()) - data.start_s) // (60 * minutes), nmis.index(nmi)
        energy = data.import_wh if register == "import" else data.export_wh
        assert energy[t, h] == (0 if quality == "N" else wh)
    for h, nmi in enumerate(nmis):
        worst = [
            max(FLAG[channels[nmi, s][d][1]] for s in ("E1", "B1"))
            for d in range(len(data.quality) * minutes // 1440)
        ]
        assert data.quality[:, h].tolist() == [flag for flag in worst for _ in range(1440 // minutes)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=channels(), seed=st.randoms(use_true_random=False))
def test_the_order_of_days_changes_nothing(
    drawn: tuple[Channels, int], seed: st.DataObject, tmp_path: Path
) -> None:
    channels, minutes = drawn
    order = list(range(len(next(iter(channels.values())))))
    seed.shuffle(order)  # type: ignore[attr-defined]
    one, other = (loaded(written(channels, minutes, order=o), tmp_path).data for o in (None, order))
    assert one is not None
    assert other is not None
    assert (one.import_wh == other.import_wh).all()
    assert (one.export_wh == other.export_wh).all()
    assert (one.quality == other.quality).all()
    assert one.start_s == other.start_s


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_is_cut_off_anywhere_says_so(step: int, tmp_path: Path) -> None:
    """What is still read is right, and a finding says that the rest may be missing."""
    text = (METERS / "nem12_quality_ranges" / "nem12.csv").read_text()
    path = tmp_path / "nem12.csv"
    path.write_text(text)
    whole = formats.load(path)
    loose = defaultdict(int)
    for end in range(1, len(text.rstrip()), step):
        path.write_text(text[:end])
        try:
            reading = formats.read(path, formats.recognise(path), Hints())
        except UnrecognisedFile:
            continue
        codes = {finding.code for finding in reading.findings}
        if reading.data is None:
            assert any(finding.severity == "error" for finding in reading.findings), text[:end][-40:]
            continue
        loose["read"] += 1
        assert "no_end" in codes
        part = reading.data
        assert (part.import_wh == whole.import_wh[: part.intervals]).all()
        assert (part.quality == whole.quality[: part.intervals]).all()
    assert loose["read"] > 0


def test_a_day_may_not_come_in_two_lengths(tmp_path: Path) -> None:
    thirty = written({("NMI1", "E1"): [(BEGIN, "A", [100] * 48)]}, 30).replace("900\n", "")
    fifteen = written({("NMI1", "E1"): [(BEGIN, "A", [50] * 96)]}, 15).split("\n", 1)[1]
    reading = loaded(thirty + fifteen, tmp_path)
    assert [f.line for f in reading.findings if f.code == "conflict"] == [5]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("300,20240230," + ",".join(["1"] * 48) + ",A,,,,", "bad_timestamp"),
        ("400,1,48,A,,", "unknown_record"),
        ("250,NMI1,E1", "unknown_record"),
        ("200,NMI1,E1,E1,E1,,S1,kWh,7,", "interval_length"),
        ("200,NMI1,E1,E1,,,S1,kWh,30,", "wrong_cells"),
        ("200,NMI1,E1,E1", "wrong_cells"),
        ("100,NEM13,202404010000,MDP1,RET1", "wrong_header"),
        ("300,20240330," + ",".join(["1"] * 48) + ",A,,,,\n400,1,24,A,,\n400,20,48,A,,", "unknown_quality"),
        ("300,20240330," + ",".join(["1"] * 48) + ",A,,,,\n400,1,24,V,,", "unknown_quality"),
        ("300,20240330," + ",".join(["1"] * 47) + ",x,A,,,,", "not_a_number"),
    ],
)
def test_a_record_that_contradicts_the_format_is_refused_by_line(
    line: str, code: str, tmp_path: Path
) -> None:
    begin = "200,NMI1,E1,E1,E1,,S1,kWh,30,\n" if line.startswith("300") else ""
    reading = loaded(f"100,NEM12,202404010000,MDP1,RET1\n{begin}{line}\n900\n", tmp_path)
    assert code in {finding.code for finding in reading.findings if finding.severity == "error"}
    assert reading.data is None
