"""Counters of meters: found where they are taken for energy, and differenced through resets, roll-overs and gaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import formats, samples
from data.formats import check
from data.intake import spill
from data.intake.counters import look_like_counters
from data.intake.raw import Channel
from data.readings import ESTIMATED, MEASURED, MISSING
from market.units import IntArray
from tests.kits.intake_kit import IMPORT, codes, intake, table
from tests.kits.meter_kit import HEADER, START, found, rows, write
from tests.kits.sample_kit import some

HOUR = 3600
COUNTER = Channel("import", "kWh", "counter")
SHARED = Path(__file__).parents[4] / "shared" / "data"
Readings = Callable[[int], float]


@pytest.mark.parametrize(
    "value",
    [
        lambda i: 5.0 + i * 0.01 if i < 200 else (i - 200) * 0.01,  # reset once
        lambda i: 8350.0 + i * 0.01 if i < 144 else 120.0 + i * 0.02,  # another meter
        lambda i: (99_999.0 + i * 0.01) % 100_000,  # rolls over
        lambda i: 40.0 + (i // 10) * 0.05 - (0.3 if i > 270 else 0),  # rises seldom, falls once
        lambda i: i % 96 * 0.03,  # begins again each day
        lambda i: 100 + i * 0.1 - (0.00001 if i % 7 == 0 else 0),  # rounded
    ],
)
@pytest.mark.parametrize("column", ["import_kwh", "export_kwh", "pv_kwh"])
def test_a_day_of_readings_that_fall_once_is_a_counter(value: Readings, column: str, tmp_path: Path) -> None:
    header = HEADER.replace("\n", ",pv_kwh\n")
    cells = {
        name: ["0.1" if name == "import_kwh" else "0"] * 288
        for name in ("import_kwh", "export_kwh", "pv_kwh")
    }
    cells[column] = [f"{value(i):.5f}" for i in range(288)]
    path = write(tmp_path, rows(*map(",".join, zip(*cells.values(), strict=True))), header)
    (finding,) = found(check(path, fuse_w=10**9), "cumulative")
    assert finding == ("error", None, "a")


def test_a_column_renamed_as_advised_is_still_a_counter(tmp_path: Path) -> None:
    """The advice on a header must not turn the readings of a counter into energy."""
    lines = [
        f"2024-06-01T{h:02}:{q:02}Z,a,{8350 + (4 * h + q / 15) / 10:.3f},0"
        for h in range(24)
        for q in (0, 15, 30, 45)
    ]
    path = write(tmp_path, lines, "timestamp,household,Import kWh,export_kwh\n")
    (named,) = [
        f.message for f in check(path).findings if "Import kWh" in f.message and f.code == "wrong_header"
    ]
    for wanted in ("import_kwh", "import_kw", "--kind counter"):
        assert wanted in named
    path = write(tmp_path, lines)
    assert {f.code for f in check(path).findings} == {"cumulative"}
    assert check(path, kind="counter").ok


def energies() -> list[tuple[str, IntArray]]:
    homes = [(name, samples.load(name)) for name in ("street", "village")]
    if (SHARED / "homes_fontana_ca").exists():
        homes.append(("fontana", formats.load(SHARED / "homes_fontana_ca")))
    return [
        (f"{name} {column}", energy)
        for name, data in homes
        for column, energy in {"import": data.import_wh, "export": data.export_wh, **data.sub_meters}.items()
    ]


def test_no_home_at_hand_is_taken_for_a_counter() -> None:
    """Also not in a part of a year, though batteries and the sun make ramps."""
    for name, energy in energies():
        per_day = len(energy) // 365
        for days in (1, 3, 366):
            for first in range(0, len(energy), 11 * per_day):
                part = energy[first : first + days * per_day]
                assert not look_like_counters(part).any(), (name, first, days)


@given(st.integers(0, 2**32), st.integers(0, 3), st.sampled_from((5, 15, 30, 60)))
@settings(max_examples=some(60, 20), deadline=None)
def test_differences_are_the_energy_that_went_through(seed: int, zeros: int, minutes: int) -> None:
    """Whatever the counter showed first; gaps are missing, or zero where nothing went through."""
    random = np.random.default_rng(seed)
    wh = random.integers(0, 2000, 60) * (random.integers(0, zeros + 1, 60) == 0)
    shown = random.integers(0, 10**7) + np.concatenate([[0], np.cumsum(wh)])
    kept = np.sort(np.concatenate([[0, 60], 1 + random.permutation(59)[:45]]))
    at = START + 60 * minutes * kept
    reading = intake(table({COUNTER: (shown[kept] / 1000).tolist()}, at=at.tolist()), minutes=minutes)
    data = reading.data
    assert data is not None
    assert data.minutes == minutes
    expected, flags = np.zeros(60, dtype=np.int64), np.full(60, MISSING)
    for a, b in zip(kept[:-1].tolist(), kept[1:].tolist(), strict=True):
        if b == a + 1 or shown[a] == shown[b]:
            expected[a:b] = shown[b] - shown[a] if b == a + 1 else 0
            flags[a:b] = MEASURED
    assert data.quality[:, 0].tolist() == flags.tolist()
    assert data.import_wh[:, 0].tolist() == expected.tolist()
    unknown = sum(
        float(f.message.split("rises by ")[1].split(" kWh")[0])
        for f in reading.findings
        if f.code == "counter_gap"
    )
    assert round(unknown * 1000) + int(expected.sum()) == int(wh.sum())


@pytest.mark.parametrize(
    ("top", "rolls"), [(10_000, True), (100_000, True), (1_000_000, True), (100, False), (1_000, False)]
)
def test_a_counter_rolls_over_from_just_below_a_power_of_ten(top: int, rolls: bool) -> None:
    shown = [(top - 0.9 + 0.25 * i) % top for i in range(8)]
    reading = intake(table({COUNTER: shown}))
    assert reading.data is not None
    if rolls:
        assert reading.data.import_wh[:, 0].tolist() == [250] * 7
        assert codes(reading) == ["counter_rolled_over"]
        assert "0.250 kWh went through" in reading.findings[0].message
    else:
        assert codes(reading) == ["counter_fell"]
        assert (reading.data.quality == MISSING).sum() == 1


def test_a_roll_over_that_no_home_can_have_is_a_changed_meter() -> None:
    for shown in (
        [9990, 9990.2, 9990.4, 5, 5.2],
        [9999.5, 9999.6, 9999.7, 700, 700.1],
        [88_000, 88_000.1, 3, 3.1, 3.2],
    ):
        reading = intake(table({COUNTER: shown}))
        assert codes(reading) == ["counter_fell"]
        assert reading.data is not None
        assert (reading.data.quality == MISSING).sum() == 1


def test_empty_cells_of_a_counter_are_a_gap_with_its_energy() -> None:
    reading = intake(table({COUNTER: [None, 10, 10.5, None, None, 12, 12, None, 12, 12.25, None]}))
    assert reading.data is not None
    x = MISSING
    assert reading.data.quality[:, 0].tolist() == [x, 0, x, x, x, 0, 0, 0, 0, x]
    assert reading.data.import_wh[:, 0].tolist() == [0, 500, 0, 0, 0, 0, 0, 0, 250, 0]
    assert [(f.code, f.line) for f in reading.findings] == [("empty", 2), ("counter_gap", 7), ("empty", 12)]
    assert "rises by 1.500 kWh over 3 intervals" in reading.findings[1].message


def test_a_home_whose_import_is_empty_as_a_whole_lacks_it() -> None:
    cells = {COUNTER: [1, 2, None, None], Channel("pv", "kWh", "counter"): [None, None, 5, 6]}
    data = intake(table(cells, home=list("aabb"), at=[START, START + HOUR] * 2)).data
    assert data is not None
    assert data.quality.tolist() == [[MEASURED, MISSING]]
    assert data.sub_meters["pv"].tolist() == [[0, 1000]]


def test_rows_of_a_counter_may_be_in_any_order_and_repeat() -> None:
    shown = [10.0, 10.5, 11.0, 11.5, 13.0]
    whole = intake(table({COUNTER: shown})).data
    at = [START + HOUR * h for h in range(5)]
    mixed = intake(table({COUNTER: shown[::-1] + shown[:2]}, at=at[::-1] + at[:2]))
    assert whole is not None
    assert mixed.data is not None
    assert np.array_equal(mixed.data.import_wh, whole.import_wh)
    assert codes(mixed) == ["duplicate"]


def test_an_estimated_reading_makes_both_of_its_intervals_estimated() -> None:
    flags = np.array([0, ESTIMATED, 0, 0], dtype=np.uint8)
    data = intake(table({COUNTER: [1, 2, 3, 4]}, quality=flags)).data
    assert data is not None
    assert data.quality[:, 0].tolist() == [ESTIMATED, ESTIMATED, MEASURED]


def test_counters_read_every_ten_minutes_are_summed_to_half_hours() -> None:
    data = intake(table({COUNTER: [100 + 0.1 * i for i in range(7)]}, 10)).data
    assert data is not None
    assert (data.minutes, data.import_wh[:, 0].tolist()) == (30, [300, 300])


def test_daily_readings_of_a_counter_are_refused_in_words() -> None:
    reading = intake(table({COUNTER: [874, 868, 860]}, at=[START + 24 * HOUR * d for d in (2, 1, 0)]))
    assert codes(reading) == ["too_coarse"]
    assert "daily totals" in reading.findings[0].message


@pytest.mark.parametrize(
    ("hours", "word"), [(24, "daily"), (7 * 24, "weekly"), (30 * 24, "monthly"), (2, "one value in 2 hours")]
)
def test_totals_are_refused_in_words(hours: int, word: str) -> None:
    reading = intake(table({IMPORT: [1, 2, 3]}, 60 * hours))
    assert codes(reading) == ["too_coarse"]
    assert word in reading.findings[0].message


@pytest.mark.parametrize("spilled", [False, True])
@pytest.mark.parametrize("after", [0, 30, 60])
def test_a_counter_may_be_read_some_time_after_its_stamp(
    after: int, spilled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its intervals are as long later as its readings are, whether the rows are held or put away."""
    if spilled:
        monkeypatch.setattr(spill, "ROWS_IN_MEMORY", 4)
        monkeypatch.setattr(spill, "ROWS_OF_A_GROUP", 4)
    late = Channel("import", "kWh", "counter", read_after=after)
    values = [10.0, 11.0, 11.5, 14.0, 14.0] * 2
    homes = ["a"] * 5 + ["b"] * 5
    at = [1_767_225_600 + HOUR * i for i in (*range(5), *range(5))]
    plain, moved = (intake(table({channel: values}, 60, homes, at)) for channel in (COUNTER, late))
    assert plain.data is not None
    assert moved.data is not None
    assert moved.data.import_wh.tolist() == [[1000, 1000], [500, 500], [2500, 2500], [0, 0]]
    assert moved.data.start_s == plain.data.start_s + after * 60
    assert np.array_equal(moved.data.quality, plain.data.quality)
