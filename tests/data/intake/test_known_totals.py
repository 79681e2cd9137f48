"""What counters show over gaps: the true total of each, or none where a part, an end or a fall leaves it open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.intake import spill
from data.intake.raw import Channel
from data.readings import MISSING, Known
from tests.kits.intake_kit import intake, table
from tests.kits.meter_kit import START
from tests.kits.sample_kit import some

IMPORT, EXPORT = Channel("import", "Wh", "counter"), Channel("export", "Wh", "counter")
DAY, NIGHT = (Channel("import", "Wh", "counter", part=part) for part in ("day", "night"))
HOUR = 3600


def known(first: int, last: int, wh: int, channel: str = "import", minutes: int = 60) -> Known:
    return Known("a", channel, START + first * minutes * 60, START + last * minutes * 60, wh)


@given(st.integers(0, 2**32), st.sampled_from((5, 10, 15, 60)))
@settings(max_examples=some(80, 26), deadline=None)
def test_what_is_known_and_what_was_read_is_what_went_through(seed: int, minutes: int) -> None:
    """Of both tariffs of an import and of an export, whatever rows of them are missing together or apart."""
    random = np.random.default_rng(seed)
    channels, at = (DAY, NIGHT, EXPORT), START + 60 * minutes * np.arange(73)
    lost = random.random((3, 73)) < 0.1
    lost |= random.random(73) < 0.15
    lost[:, [0, 72]] = False
    rows = ~lost.all(axis=0)
    shown = {c: np.cumsum(random.integers(0, 300, 73) * (random.random(73) < 0.7)) for c in channels}
    kept = {
        channel: [
            None if gone else int(wh) for wh, gone in zip(shown[channel][rows], away[rows], strict=True)
        ]
        for channel, away in zip(channels, lost, strict=True)
    }
    reading = intake(table(kept, at=at[rows].tolist()), minutes=minutes)
    data = reading.data
    assert data is not None
    step_s = data.minutes * 60
    for name, parts, column in (
        ("import", (DAY, NIGHT), data.import_wh),
        ("export", (EXPORT,), data.export_wh),
    ):
        of_channel = [one for one in reading.known if one.channel == name]
        measured = int(column[data.quality[:, 0] != MISSING].sum())
        covered = np.zeros(data.intervals, dtype=np.int64)
        for one in of_channel:
            first, last = ((t - data.start_s) // step_s for t in (one.start_s, one.end_s))
            covered[first:last] += 1
            ends = [(t - START) // (60 * minutes) for t in (one.start_s, one.end_s)]
            assert one.wh == sum(shown[part][ends[1]] - shown[part][ends[0]] for part in parts)
        assert set(covered.tolist()) <= {0, 1}
        if (covered == (data.quality[:, 0] == MISSING)).all():
            total = sum(shown[part][72] - shown[part][0] for part in parts)
            assert measured + sum(one.wh for one in of_channel) == total


def test_parts_of_which_one_is_idle_are_summed() -> None:
    reading = intake(
        table(
            {DAY: [0, 100, 100, 300], NIGHT: [5, 5, 9, 9]},
            at=[START, START + HOUR, START + 5 * HOUR, START + 6 * HOUR],
        )
    )
    assert reading.known == (known(1, 5, 4),)


def test_a_part_that_is_not_read_at_both_ends_leaves_the_sum_open() -> None:
    at = [START + h * HOUR for h in (0, 1, 3, 4, 5, 6)]
    reading = intake(table({DAY: [0, 1, 5, 6, 7, 8], NIGHT: [0, 1, 2, None, 4, 5]}, at=at))
    # From hour 1 to 3 both were read at the ends; from 3 to 5 the day tariff was read between as well.
    assert reading.known == (known(1, 3, 5), known(3, 5, 4))
    reading = intake(table({DAY: [0, 1, 5, 6, 7, 8], NIGHT: [0, 1, None, 3, 4, 5]}, at=at))
    assert reading.known == (known(1, 4, 7),), "the gap of either is widened to where both are read"
    early = intake(table({DAY: [None, 1, 5, 6], NIGHT: [0, None, 2, 3]}, at=at[:4]))
    assert early.known == (), "the day tariff was not read at the start of the gap"


def test_another_channel_that_was_read_all_along_is_known_as_well() -> None:
    """Its intervals count as missing too, and a repair is not to invent them anew."""
    reading = intake(table({IMPORT: [0, 10, None, 40, 50], EXPORT: [0, 1, 2, 4, 8]}))
    assert set(reading.known) == {known(1, 3, 30), known(1, 3, 3, "export")}


def test_a_counter_that_falls_in_a_gap_says_nothing_of_it() -> None:
    at = [START + h * HOUR for h in (0, 1, 2, 6, 7)]
    reading = intake(table({IMPORT: [9000, 9100, 9200, 30, 130], EXPORT: [0, 1, 2, 7, 8]}, at=at))
    assert reading.known == (known(2, 6, 5, "export"),)


def test_short_intervals_are_widened_to_those_of_the_grid() -> None:
    """Ten-minute readings on a grid of 30 minutes: a gap from 00:40 to 00:50 leaves 00:30 to 01:00 open."""
    at = [START + 600 * t for t in (0, 1, 2, 3, 4, 6, 7, 8, 9)]
    reading = intake(table({IMPORT: [0, 1, 2, 3, 4, 60, 70, 80, 90]}, at=at))
    assert reading.data is not None
    assert reading.data.minutes == 30
    assert reading.known == (known(1, 2, 57, minutes=30),)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ({"net": 0}, set()),
        ({"load": 0}, {"load", "import"}),
        ({"load": 0, "pv": 1}, set()),
        ({"import": 0, "load": 1, "pv": 0}, {"import", "load", "pv"}),
    ],
)
def test_registers_that_do_not_follow_from_a_counter_are_not_known(
    channels: dict[str, int], expected: set[str]
) -> None:
    at = [START + h * HOUR for h in (0, 1, 4, 5)]
    values = {Channel(name, "Wh", "counter"): [0, 5 + more, 50, 60] for name, more in channels.items()}
    reading = intake(table(values, at=at))
    assert {one.channel for one in reading.known} == expected
    assert all(one.start_s == START + HOUR and one.end_s == START + 4 * HOUR for one in reading.known)


def test_a_part_that_is_no_counter_leaves_the_sum_open() -> None:
    other = Channel("import", "Wh", part="other")
    at = [START + h * HOUR for h in (0, 1, 4, 5)]
    assert intake(table({DAY: [0, 1, 9, 10]}, at=at)).known == (known(1, 4, 8),)
    chunks = (table({DAY: [0, 1, 9, 10]}, at=at), table({other: [1] * 5}))
    assert intake(*chunks).known == ()


def test_homes_that_are_placed_in_groups_keep_their_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [h for h in range(60) if h not in (20, 21, 40)]
    homes = ["a", "b", "c"]
    chunk = table(
        {IMPORT: [h * h for _ in homes for h in rows]},
        home=[home for home in homes for _ in rows],
        at=[START + h * HOUR for _ in homes for h in rows],
    )
    at_once = intake(chunk).known
    assert [one.wh for one in at_once if one.home == "b"] == [22**2 - 19**2, 41**2 - 39**2]
    monkeypatch.setattr(spill, "ROWS_IN_MEMORY", 100)
    monkeypatch.setattr(spill, "ROWS_OF_A_GROUP", 1)
    assert set(intake(chunk).known) == set(at_once)
