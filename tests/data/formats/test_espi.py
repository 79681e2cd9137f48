"""Green Button feeds: the shared samples against a second reader, and random feeds in any order of entries."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import FORMATS, FileReading, read
from data.intake.raw import Hints
from data.readings import MEASURED, MISSING
from tests.kits.espi_kit import Meter, entries, feed, second_reading
from tests.kits.sample_kit import some

START_S = 1_767_258_000

energy = st.integers(0, 3_500)  # 42 kW in five minutes


@st.composite
def series(draw: st.DrawFn) -> tuple[int | None, ...]:
    """Readings that begin and end with one, of which most follow each other."""
    wh: list[int | None] = list(draw(st.lists(energy, min_size=3, max_size=24)))
    for gap in range(2, len(wh) - 1, 4):
        if draw(st.booleans()):
            wh[gap] = None
    return tuple(wh)


@st.composite
def meters(draw: st.DrawFn) -> list[Meter]:
    """Import and export of one to three homes, in one step."""
    step_s = draw(st.sampled_from([300, 900, 1800, 3600]))
    found = []
    for home in range(draw(st.integers(1, 3))):
        for channel in ("import", "export")[: draw(st.integers(1, 2))]:
            multiplier = draw(st.sampled_from([0, -3]))
            found.append(Meter(home, channel, START_S, step_s, draw(series()), multiplier))
    return found


def read_text(folder: Path, text: str) -> FileReading:
    path = folder / "feed.xml"
    path.write_text(text, encoding="utf-8")
    return read(path, FORMATS.get("espi"), Hints())


def expected(found: list[Meter]) -> dict[tuple[int, str], list[int | None]]:
    longest = max(len(meter.wh) for meter in found)
    return {(m.home, m.channel): [*m.wh, *[None] * (longest - len(m.wh))] for m in found}


@settings(max_examples=some(60, 20), deadline=None)
@given(meters(), st.integers(1, 7), st.sampled_from(["", "espi", "ns0"]))
def test_readings_come_back_to_the_integer(
    tmp_path_factory: pytest.TempPathFactory, found: list[Meter], block: int, prefix: str
) -> None:
    reading = read_text(tmp_path_factory.mktemp("espi"), feed(entries(found, block, prefix), prefix))
    assert reading.data is not None, [str(finding) for finding in reading.findings]
    data = reading.data
    for h, home in enumerate(sorted({meter.home for meter in found})):
        flags = np.full(data.intervals, MEASURED)
        for channel, column in (("import", data.import_wh), ("export", data.export_wh)):
            wh = expected(found).get((home, channel), [0] * data.intervals)
            flags[[value is None for value in wh]] = MISSING
            assert column[:, h].tolist() == [value or 0 for value in wh]
        assert data.quality[:, h].tolist() == flags.tolist()


@settings(max_examples=some(40, 13), deadline=None)
@given(meters(), st.integers(1, 7), st.randoms(use_true_random=False))
def test_the_order_of_entries_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, found: list[Meter], block: int, rng: random.Random
) -> None:
    parts = entries(found, block)
    folder = tmp_path_factory.mktemp("espi")
    one = read_text(folder, feed(parts)).data
    rng.shuffle(parts)
    other = read_text(folder, feed(parts)).data
    assert one is not None
    assert other is not None
    for name in ("import_wh", "export_wh", "quality"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert (one.start_s, one.minutes, one.households) == (other.start_s, other.minutes, other.households)


@settings(max_examples=some(40, 13), deadline=None)
@given(meters())
def test_a_second_reader_agrees(tmp_path_factory: pytest.TempPathFactory, found: list[Meter]) -> None:
    folder = tmp_path_factory.mktemp("espi")
    data = read_text(folder, feed(entries(found))).data
    assert data is not None
    second = second_reading(folder / "feed.xml")
    for h, home in enumerate(sorted({point for point, _ in second})):
        for channel, column in (("import", data.import_wh), ("export", data.export_wh)):
            times = data.start_s + np.arange(data.intervals) * data.minutes * 60
            wh = [second.get((home, channel), {}).get(int(time), 0.0) for time in times]
            assert column[:, h].tolist() == wh


def test_links_that_lack_are_replaced_by_the_order(tmp_path: Path) -> None:
    found = [
        Meter(0, "import", START_S, 900, (1, 2, 3)),
        Meter(0, "export", START_S, 900, (4, 5, 6)),
        Meter(1, "import", START_S, 900, (7, 8, 9)),
    ]
    own = [meter for home in (0, 1) for meter in found if meter.home == home]
    parts = [*entries(own[:2]), *entries(own[2:])]
    text = feed([part[: part.index("<link")] + part[part.index("<content>") :] for part in parts])
    data = read_text(tmp_path, text).data
    assert data is not None
    assert data.import_wh.T.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert data.export_wh.T.tolist() == [[4, 5, 6], [0, 0, 0]]


def test_readings_outside_a_block_are_refused(tmp_path: Path) -> None:
    (*rest, block) = entries([Meter(0, "import", START_S, 900, (1, 2, 3, 4))])
    other = block.replace("IntervalBlock>", "OtherBlock>").replace("<IntervalBlock ", "<OtherBlock ")
    reading = read_text(tmp_path, feed([*rest, block, other]))
    assert [finding.code for finding in reading.findings] == ["no_reading_type"]


def test_ids_leave_no_trace_in_what_is_said(tmp_path: Path) -> None:
    found = [Meter(0, "import", START_S, 900, (1, None, None, 4, 50_000, 6))]
    reading = read_text(tmp_path, feed(entries(found)))
    said = "".join(map(str, reading.findings)) + repr(reading)
    assert reading.findings
    assert "/User/1" not in said


def test_without_the_extra_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "defusedxml.ElementTree", None)
    reading = read_text(tmp_path, feed(entries([Meter(0, "import", START_S, 900, (1, 2, 3))])))
    (finding,) = reading.findings
    assert finding.code == "missing_package"
    assert "wattswap[meters]" in finding.message
