"""Homes of several steps in one file: energy is summed to the longest, and finer readings are never invented."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from data import formats
from data.formats import check
from data.readings import MISSING
from tests.kits.meter_kit import START, write


def home_rows(name: str, minutes: int, wh: list[int], begin: int = 0) -> list[str]:
    steps = np.datetime64(START + begin, "s") + np.arange(len(wh)) * np.timedelta64(minutes * 60, "s")
    return [f"{at}Z,{name},{energy / 1000:.3f},0" for at, energy in zip(steps.astype(str), wh, strict=True)]


def some(seed: int, count: int) -> list[int]:
    return [Random(seed * 1000 + i).randrange(1, 900) for i in range(count)]


@pytest.mark.parametrize("steps", [(5, 15), (15, 5), (15, 30, 60), (60, 5)])
def test_all_homes_are_summed_to_the_longest_step(steps: tuple[int, ...], tmp_path: Path) -> None:
    given = {f"home-{minutes}": some(minutes, 48 * 60 // minutes) for minutes in steps}
    lines = [
        line
        for minutes, (name, wh) in zip(steps, given.items(), strict=True)
        for line in home_rows(name, minutes, wh)
    ]
    report = check(write(tmp_path, lines))
    data = formats.load(write(tmp_path, lines))
    longest = max(steps)
    assert (report.minutes, data.minutes, data.intervals) == (longest, longest, 48 * 60 // longest)
    assert data.households == tuple(given)
    for h, (minutes, wh) in enumerate(zip(steps, given.values(), strict=True)):
        expected = np.array(wh).reshape(-1, longest // minutes).sum(axis=1)
        assert data.import_wh[:, h].tolist() == expected.tolist()
    assert any("different steps" in note and f"summed to {longest} minutes" in note for note in report.notes)


def test_a_part_that_was_not_read_makes_the_interval_missing(tmp_path: Path) -> None:
    fine = home_rows("fine", 5, [10] * 96)
    del fine[4]
    data = formats.load(write(tmp_path, [*fine, *home_rows("coarse", 15, [10] * 30)]))
    assert np.flatnonzero(data.quality[:, 0] == MISSING).tolist() == [1]
    assert np.flatnonzero(data.quality[:, 1] == MISSING).tolist() == [30, 31]


def test_a_home_that_begins_inside_a_longer_interval_misses_it(tmp_path: Path) -> None:
    lines = [*home_rows("fine", 15, [10] * 41, begin=-900), *home_rows("coarse", 60, [10] * 12)]
    data = formats.load(write(tmp_path, lines))
    assert data.start_s == START - 3600
    assert data.quality[:2, 0].tolist() == [MISSING, 0]
    assert data.import_wh[1, 0] == 40


def test_a_home_with_many_gaps_keeps_the_step_of_the_file(tmp_path: Path) -> None:
    gappy = [line for i, line in enumerate(home_rows("gappy", 15, [10] * 96)) if i % 4 in (0, 1)]
    data = formats.load(write(tmp_path, [*home_rows("a", 15, [10] * 96), *gappy]))
    assert data.minutes == 15
    assert (data.quality[:, 1] == MISSING).sum() == 48


def test_findings_name_the_lines_of_the_file(tmp_path: Path) -> None:
    lines = [*home_rows("fine", 5, [10] * 96), *home_rows("coarse", 15, [10] * 32)]
    lines[100] = lines[100].replace("0.010", "x")
    (finding,) = check(write(tmp_path, lines)).findings
    assert (finding.code, finding.line, finding.household) == ("not_a_number", 102, "coarse")
