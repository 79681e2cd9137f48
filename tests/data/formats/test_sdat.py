"""SDAT-CH messages: random ones come back, and a second reader that builds a tree agrees."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, read
from data.intake.raw import Hints
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits.fixture_kit import METERS
from tests.kits.sample_kit import some

RSM = "{http://www.strom.ch}"
START = datetime(2026, 5, 21, 22, tzinfo=UTC)
FLAGS = {"": MEASURED, "21": ESTIMATED, "56": ESTIMATED, "46": MISSING, "99": ESTIMATED}

observation = st.one_of(st.none(), st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(FLAGS))))


def message(curves: list[list[tuple[int, str] | None]], minutes: int, rng: random.Random) -> str:
    """A message of consumption points; None for a number that is not there."""
    end = START + timedelta(minutes=minutes * len(curves[0]))
    text = '<rsm:ValidatedMeteredData_16 xmlns:rsm="http://www.strom.ch">\n'
    for point, curve in enumerate(curves):
        rows = [
            f"<rsm:Observation><rsm:Position><rsm:Sequence>{n}</rsm:Sequence></rsm:Position>"
            f"<rsm:Volume>{seen[0] / 1000:.3f}</rsm:Volume><rsm:Condition>{seen[1]}</rsm:Condition></rsm:Observation>\n"
            for n, seen in enumerate(curve, start=1)
            if seen is not None
        ]
        rng.shuffle(rows)
        text += (
            f"<rsm:MeteringData><rsm:Interval><rsm:StartDateTime>{START:%Y-%m-%dT%H:%M:%SZ}</rsm:StartDateTime>"
            f"<rsm:EndDateTime>{end:%Y-%m-%dT%H:%M:%SZ}</rsm:EndDateTime></rsm:Interval><rsm:Resolution>"
            f"<rsm:Resolution>{minutes}</rsm:Resolution><rsm:Unit>MIN</rsm:Unit></rsm:Resolution>"
            f"<rsm:ConsumptionMeteringPoint><rsm:VSENationalID>CH{point:031}</rsm:VSENationalID>"
            "</rsm:ConsumptionMeteringPoint><rsm:Product><rsm:ID><rsm:ebIXCode>8716867000030</rsm:ebIXCode></rsm:ID>"
            f"<rsm:MeasureUnit>KWH</rsm:MeasureUnit></rsm:Product>\n{''.join(rows)}</rsm:MeteringData>\n"
        )
    return text + "</rsm:ValidatedMeteredData_16>\n"


@settings(max_examples=some(60, 20), deadline=None)
@given(st.integers(2, 30), st.data(), st.sampled_from([15, 30, 60]), st.randoms(use_true_random=False))
def test_readings_come_back_and_a_second_reader_agrees(
    tmp_path_factory: pytest.TempPathFactory,
    length: int,
    data: st.DataObject,
    minutes: int,
    rng: random.Random,
) -> None:
    curve = st.lists(observation, min_size=length, max_size=length)
    curves = data.draw(st.lists(curve, min_size=1, max_size=3))
    path = tmp_path_factory.mktemp("sdat") / "e66.xml"
    path.write_text(message(curves, minutes, rng), encoding="utf-8")
    reading = read(path, FORMATS.get("sdat"), Hints(fuse_w=10**6))
    assert reading.data is not None, [str(finding) for finding in reading.findings]
    found = reading.data
    assert (found.start_s, found.minutes) == (int(START.timestamp()), minutes)
    for h, column in enumerate(curves):
        flags = [MISSING if seen is None else FLAGS[seen[1]] for seen in column]
        assert found.quality[:, h].tolist() == flags
        wh = [
            0 if flag == MISSING or seen is None else seen[0]
            for seen, flag in zip(column, flags, strict=True)
        ]
        assert found.import_wh[:, h].tolist() == wh
    assert np.array_equal(found.import_wh.sum(axis=0), second_totals(path))


def second_totals(path: Path) -> list[int]:
    """Wh of each MeteringData, without the values of condition 46."""
    return [
        sum(
            round(1000 * float(seen.findtext(f"{RSM}Volume") or "nan"))
            for seen in data.iter(f"{RSM}Observation")
            if seen.findtext(f"{RSM}Condition") != "46"
        )
        for data in ET.parse(path).getroot().iter(f"{RSM}MeteringData")
    ]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<rsm:Unit>MIN", "<rsm:Unit>MONTH", "no_energy"),
        ("2026-05-21T23:30:00Z", "2026-05-21T23:31:00Z", "wrong_position"),
        ("23:30:00Z", "23:30:00", "wrong_position"),
        ("2026-05-21T23:30:00Z", "2126-05-21T23:30:00Z", "wrong_position"),
        ("<rsm:Sequence>2<", "<rsm:Sequence>two<", "wrong_position"),
        ("<rsm:Sequence>4<", "<rsm:Sequence>2<", "conflict"),
        ("0.300", "0,300", "decimal_comma"),
        ("0.300", "-0.300", "negative"),
        ("0.300", "much", "not_a_number"),
        ("Consumption", "Exchange", "no_energy"),
        ("KWH", "GJ", "no_energy"),
        ("MeteringData>", "OtherData>", "empty_file"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    good = (METERS / "sdat_conditions" / "e66.xml").read_text(encoding="utf-8")
    assert old in good
    path = tmp_path / "e66.xml"
    path.write_text(good.replace(old, new), encoding="utf-8")
    reading = read(path, FORMATS.get("sdat"), Hints())
    assert reading.data is None
    assert {finding.code for finding in reading.findings if finding.severity == "error"} == {code}
