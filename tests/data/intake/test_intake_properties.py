"""What makes no difference to a reader: order, chunks, repeats, the length of steps; and energy is kept to the Wh."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.intake.raw import Channel, Labels, Numbers, RawReadings, exact_stamps
from data.readings import MISSING, MeterData
from tests.kits.intake_kit import EXPORT, IMPORT, codes, intake, table
from tests.kits.meter_kit import START
from tests.kits.sample_kit import some

WEEK_S = 7 * 86_400
STEPS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
SUMMED_TO = {1: 5, 2: 30, 3: 15, 4: 60, 5: 5, 6: 30, 10: 30, 12: 60, 15: 15, 20: 60, 30: 30, 60: 60}


def chosen(raw: RawReadings, rows: np.ndarray) -> RawReadings:
    """Some rows of a chunk, in any order, also several times."""
    return replace(
        raw,
        line=raw.line[rows],
        meter=Labels(raw.meter.code[rows], raw.meter.texts),
        stamp=exact_stamps(raw.stamp.seconds[rows]),
        values={c: Numbers(column.values[rows], column.empty[rows]) for c, column in raw.values.items()},
        minutes=None if raw.minutes is None else raw.minutes[rows],
    )


def same(one: MeterData | None, other: MeterData | None, shift_s: int = 0) -> bool:
    assert one is not None
    assert other is not None
    assert (one.start_s + shift_s, one.minutes) == (other.start_s, other.minutes)
    assert set(one.households) == set(other.households)
    other = other.select(one.households)
    columns = ("import_wh", "export_wh", "quality")
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in columns)


@st.composite
def files(draw: st.DrawFn) -> tuple[RawReadings, dict[str, tuple[int, int]]]:
    """Rows of one to three homes with gaps and empty cells; and the energy of the rows that have one. [Wh]"""
    minutes = draw(st.sampled_from(STEPS))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    hours, homes = draw(st.integers(4, 6)), draw(st.integers(1, 3))
    per_home = hours * 60 // minutes
    names = [f"h{h}" for h in range(homes) for _ in range(per_home)]
    at = np.tile(START + 60 * minutes * np.arange(per_home), homes)
    wh = seed.integers(0, 500, (2, len(names)))
    raw = table(
        {IMPORT: (wh[0] / 1000).tolist(), EXPORT: (wh[1] / 1000).tolist()}, home=names, at=at.tolist()
    )
    sums = {
        f"h{h}": (
            int(wh[0, h * per_home : (h + 1) * per_home].sum()),
            int(wh[1, h * per_home : (h + 1) * per_home].sum()),
        )
        for h in range(homes)
    }
    return raw, sums


@given(files(), st.integers(0, 2**32))
@settings(max_examples=some(60, 20), deadline=None)
def test_order_chunks_and_repeats_change_nothing(
    file: tuple[RawReadings, dict[str, tuple[int, int]]], seed: int
) -> None:
    raw, sums = file
    whole = intake(raw)
    assert whole.findings == ()
    data = whole.data
    assert data is not None
    for h, name in enumerate(data.households):
        assert (int(data.import_wh[:, h].sum()), int(data.export_wh[:, h].sum())) == sums[name]
    count, random = len(raw.line), np.random.default_rng(seed)
    assert same(data, intake(chosen(raw, np.arange(count)[::-1])).data)
    assert same(data, intake(chosen(raw, random.permutation(count))).data)
    cuts = [0, *sorted(random.integers(0, count, 3).tolist()), count]
    parts = [chosen(raw, np.arange(a, b)) for a, b in pairwise(cuts) if b > a]
    assert same(data, intake(*parts).data)
    again = intake(chosen(raw, np.concatenate([np.arange(count), random.integers(0, count, 5)])))
    assert same(data, again.data)
    assert [(f.code, f.count) for f in again.findings] == [("duplicate", 5)]
    later = replace(raw, stamp=exact_stamps(raw.stamp.seconds + WEEK_S))
    assert same(data, intake(later).data, WEEK_S)


@given(files(), st.integers(0, 2**32))
@settings(max_examples=some(60, 20), deadline=None)
def test_rows_that_are_lost_make_their_interval_missing_and_change_no_other(
    file: tuple[RawReadings, dict[str, tuple[int, int]]], seed: int
) -> None:
    raw, _ = file
    whole, random = intake(raw).data, np.random.default_rng(seed)
    assert whole is not None
    inner = np.flatnonzero((raw.stamp.seconds > START + 3600) & (raw.stamp.seconds < raw.stamp.seconds.max()))
    lost = random.choice(inner, 1)
    reading = intake(chosen(raw, np.setdiff1d(np.arange(len(raw.line)), lost)))
    data = reading.data
    assert data is not None
    assert data.minutes == whole.minutes
    gone = (int(raw.stamp.seconds[lost[0]]) - START) // (data.minutes * 60), int(raw.meter.code[lost[0]])
    expected = whole.quality.copy()
    expected[gone] = MISSING
    assert np.array_equal(data.quality, expected)
    known = expected != MISSING
    assert np.array_equal(data.import_wh[known], whole.import_wh[known])
    assert codes(reading)[0] in ("gap", "part_missing")


@given(st.sampled_from(STEPS), st.integers(0, 2**32))
@settings(max_examples=some(60, 20), deadline=None)
def test_short_intervals_are_summed_to_the_shortest_that_a_market_has(minutes: int, seed: int) -> None:
    wh = np.random.default_rng(seed).integers(0, 100, 240 // minutes)
    energy = intake(table({IMPORT: (wh / 1000).tolist()}, minutes)).data
    watts = intake(table({Channel("import", "W"): (wh * 60 / minutes).tolist()}, minutes)).data
    whole = SUMMED_TO[minutes]
    for data in (energy, watts):
        assert data is not None
        assert data.minutes == whole
        sums = wh.reshape(-1, whole // minutes).sum(axis=1).tolist()
        assert np.abs(data.import_wh[:, 0] - sums).max() <= (0 if data is energy else 1)
        assert int(data.import_wh.sum()) == int(wh.sum())


@given(
    st.lists(st.sampled_from((5, 10, 15, 20, 30, 60)), min_size=2, max_size=4), st.booleans(), st.booleans()
)
@settings(max_examples=some(80, 26), deadline=None)
def test_a_step_that_changes_keeps_the_energy(eras: list[int], stated: bool, ends: bool) -> None:
    """Each era has eight whole hours; the file states its lengths, or its stamps show them."""
    lengths = np.concatenate([np.full(480 // m, m) for m in eras])
    start = START + 60 * (np.cumsum(lengths) - lengths)
    wh = np.random.default_rng(len(lengths)).integers(1, 200, len(lengths))
    raw = table(
        {IMPORT: (wh / 1000).tolist()},
        at=(start + 60 * lengths * ends).tolist(),
        stamp_is="end" if ends else "start",
        minutes_stated=lengths if stated else None,
    )
    reading = intake(raw)
    data = reading.data
    assert data is not None, reading.findings
    assert int(data.import_wh.sum()) == int(wh.sum())
    whole = SUMMED_TO.get(int(np.lcm.reduce(lengths)), 60)
    assert data.minutes == whole
    hours = data.import_wh[:, 0].reshape(-1, 60 // whole).sum(axis=1)
    assert hours.tolist() == [int(wh[(start - START) // 3600 == h].sum()) for h in range(8 * len(eras))]
    assert (data.quality != MISSING).all()
    assert codes(reading) == ([] if stated or len(set(eras)) == 1 else ["step_change"])
