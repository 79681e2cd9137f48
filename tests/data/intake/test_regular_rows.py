"""Shortcuts for regular files give what the general way gives: placement at once, stamps in bulk, checks left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import numpy as np
import pytest

from data import clock
from data.intake import checks, place
from data.intake.assemble import on_grid
from data.intake.raw import Channel, Hints, IntakeLog, Labels, Numbers, RawReadings, StampEnd, exact_stamps
from data.intake.regular import regular
from data.intake.rows import rows_of

START_S = 1_781_308_800
DAMAGES = (
    "none",
    "late",
    "early",
    "gap",
    "repeat",
    "shuffled",
    "newest first",
    "off the grid",
    "alone",
    "huge",
)


def file_of(draw: Random, damage: str, stamp_is: StampEnd) -> RawReadings:
    """Rows of some homes, by home or by time, with one thing that may keep them from being regular."""
    minutes, homes, intervals = (
        draw.choice([1, 5, 10, 15, 20, 30, 60, 90]),
        draw.randint(1, 5),
        draw.randint(2, 60),
    )
    start_s = START_S + draw.choice([0, 0, 300, 900, 1_800, 7])
    found = [(start_s + 60 * minutes * t, h) for t in range(intervals) for h in range(homes)]
    victim, middle = draw.randrange(homes), start_s + 60 * minutes * draw.randrange(intervals)
    if damage in ("late", "early"):
        found = [one for one in found if one[1] != victim or (one[0] >= middle) == (damage == "late")]
    if damage == "gap":
        found = [one for one in found if one != (middle, victim)]
    if damage == "repeat":
        found.append((middle, victim))
    if damage == "off the grid":
        found = [(s + 60 * ((s, h) == (middle, victim)), h) for s, h in found]
    if damage == "alone":
        found = [one for one in found if one[1] != victim or one[0] == middle]
    if draw.random() < 0.5:
        found.sort(key=lambda one: one[1])
    if damage == "shuffled":
        draw.shuffle(found)
    if damage == "newest first":
        found.reverse()
    values = np.array([draw.randrange(2_000) / 1_000 for _ in found])
    if damage == "huge" and len(values):
        values[draw.randrange(len(values))] = draw.choice([-1.0, 20_000.0, np.nan])
    flags = np.array([draw.randrange(3) for _ in found], dtype=np.uint8) if draw.random() < 0.5 else None
    numbers = Numbers(values, np.array([draw.random() < 0.02 for _ in found]) | np.isnan(values))
    return RawReadings(
        line=np.arange(2, 2 + len(found)),
        meter=Labels(np.array([h for _, h in found], dtype=np.int64), [f"house-{h}" for h in range(homes)]),
        stamp=exact_stamps(np.array([s for s, _ in found], dtype=np.int64)),
        values={Channel("import"): numbers},
        quality=flags,
        stamp_is=stamp_is,
    )


def outcome(chunk: RawReadings) -> tuple[object, ...]:
    """All that placing gives: findings, notes, and the grids."""
    log = IntakeLog()
    grids, local = place.place(rows_of([chunk]), None, Hints(), log)
    found = []
    for placed in grids if not log.has_errors else []:
        grid = on_grid(placed, log)
        found.append(
            (
                placed.households,
                (placed.start_s, placed.minutes, placed.given, placed.shape),
                [
                    (channel, (energy * 10**6 if channel in grid.in_wh else energy).tolist())
                    for channel, energy in grid.energy.items()
                ],
                grid.quality.tolist(),
                [placed.cells[0].line_of(cell) for cell in range(min(grid.quality.size, 50))],
            )
        )
    return log.findings(), log.notes, local, found


@pytest.mark.parametrize("stamp_is", ["start", "end"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_placing_at_once_gives_what_placing_in_steps_gives(
    damage: str, stamp_is: StampEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [file_of(Random(f"{damage} {seed}"), damage, stamp_is) for seed in range(60)]
    chunks = [chunk for chunk in chunks if len(chunk.line)]
    at_once = [outcome(chunk) for chunk in chunks]
    taken = sum(regular(rows) is not None for chunk in chunks for rows in rows_of([chunk]))
    monkeypatch.setattr(place, "placed_at_once", lambda _rows, _zone: None)
    assert at_once == [outcome(chunk) for chunk in chunks]
    if damage in ("none", "late", "early", "alone"):
        assert taken > 10
    if damage == "repeat":
        assert taken == 0


@pytest.mark.parametrize("ends", [("Z", "+00:00", "-05:30", "+14:00", "-14:59"), ("",)])
def test_stamps_read_in_bulk_are_those_read_one_by_one(
    ends: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Random(3)
    instants = [
        datetime(1000, 1, 1) + timedelta(seconds=draw.randrange(60_000_000_000)) for _ in range(4_000)
    ]
    texts = [f"{one:%Y-%m-%d}{draw.choice('T ')}{one:%H:%M:%S}{draw.choice(ends)}" for one in instants]
    assert clock._in_bulk(texts) is not None
    bulk = clock.parse_stamps(texts)
    monkeypatch.setattr(clock, "_MANY", len(texts) + 1)
    for a, b in zip(bulk, clock.parse_stamps(texts), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "other",
    [
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2023-01-01T00:00:00",
        "2023-01-01T00:00:00.5Z",
        "2023-01-01T00:00:00Z\n",
        " 2023-01-01T00:00:00Z",
        "\udcff023-01-01T00:00:00Z",
        "",
    ],
)
def test_one_stamp_of_another_form_is_read_by_itself(other: str) -> None:
    texts = ["2023-01-01T00:00:00Z"] * 2_000 + [other]
    seconds, kind = clock.parse_stamps(texts)
    alone_s, alone_kind = clock.parse_stamps([other])
    assert (seconds[-1], kind[-1]) == (alone_s[0], alone_kind[0])
    assert (seconds[:-1] == 1_672_531_200).all()
    assert (kind[:-1] == clock.WITH_OFFSET).all()


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]
)
@pytest.mark.parametrize("first", [-800_000_000, 1_293_000_000, 1_780_272_007])
def test_stretches_of_a_clock_are_looked_up_as_its_stamps_are(name: str, first: int) -> None:
    zone = clock.zone_named(name)
    stamps = np.arange(first, first + 400 * 86_400, 900)
    found, alone = clock.local_clock(stamps, zone), clock._one_by_one(stamps, zone)
    for a, b in zip(
        (found.first_utc_s, found.second_utc_s, found.exists),
        (alone.first_utc_s, alone.second_utc_s, alone.exists),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_jump_is_ruled_out_only_where_there_is_none() -> None:
    draw = np.random.default_rng(5)
    ruled_out = 0
    for _ in range(400):
        rows = int(draw.integers(1, 3_000))
        energy = draw.integers(0, int(draw.integers(1, 500)), size=(rows, 3))
        energy[draw.integers(0, rows, size=3), [0, 1, 2]] *= int(draw.integers(1, 60))
        rank = max(0, int(np.ceil(0.999 * rows)) - 1)
        usual = np.sort(energy, axis=0)[rank]
        jumps = ((energy > checks.JUMP_FACTOR * usual) & (usual > 0)).any(axis=0)
        may = checks._may_jump(energy, rank)
        assert not (jumps & ~may).any()
        ruled_out += int((~may).sum())
    assert ruled_out > 100
