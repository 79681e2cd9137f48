"""Impossible power, jumps, counters taken for intervals, and homes whose meter cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data import formats
from data.formats import check
from data.readings import MISSING
from tests.kits.meter_kit import HEADER, START, TEN, bad, found, rows, stamp, write


def test_a_sudden_peak_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*["0.1,0", "0.12,0"] * 600, "5,0", "0.1,0"))
    report = check(path)
    assert report.ok
    assert found(report, "jump") == [("warning", 1202, "a")]


def test_a_larger_connection_may_raise_the_fuse_limit(tmp_path: Path) -> None:
    path = write(tmp_path, bad(2, f"{stamp(2)},a,43.5,0"))
    assert formats.load(path, fuse_w=200_000).import_wh[2, 0] == 43_500


def test_meter_counters_are_not_taken_for_intervals(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*[f"{8350.1 + i / 10:.1f},0" for i in range(60)]))
    assert found(check(path, fuse_w=10**9), "cumulative") == [("error", None, "a")]


@pytest.mark.parametrize(
    "values",
    [
        [0.05 * (i % 96 + 1) for i in range(288)],  # begins again each day
        [12_300 + i / 10 for i in range(60)],  # more than any energy of an interval, and than a fuse allows
        [3 + i / 20 if i < 150 else 0.4 + i / 20 for i in range(300)],  # the meter was changed
    ],
)
def test_a_counter_is_one_finding_however_it_falls_and_its_differences_are_taken_where_said(
    values: list[float], tmp_path: Path
) -> None:
    lines = [line for home in "ab" for line in rows(*[f"{v:.3f},0" for v in values], home=home)]
    path = write(tmp_path, lines)
    report = check(path)
    assert [f.code for f in report.findings] == ["cumulative"]
    assert "of a, b rises" in report.findings[0].message
    assert 'kind = "counter"' in report.findings[0].message
    assert check(path, kind="counter").ok
    data = formats.load(path, kind="counter")
    rise = max(round(v, 3) for v in np.diff(values))
    assert data.intervals == len(values) - 1
    assert data.import_wh[:, 0].max() == round(1000 * rise)
    assert (data.quality == MISSING).sum(axis=0).max() <= 1


def test_energy_that_looks_like_a_counter_loads_where_said(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*[f"{i / 100:.2f},0" for i in range(60)]))
    assert not check(path).ok
    assert formats.load(path, kind="energy").import_wh[:, 0].tolist() == [10 * i for i in range(60)]


@pytest.mark.parametrize(
    "energy", [lambda i: 1 + i % 2, lambda i: 0.5 + i % 24 / 10, lambda i: max(0, 6 - abs(i % 24 - 12))]
)
def test_energy_of_intervals_is_not_taken_for_a_counter(
    energy: Callable[[int], float], tmp_path: Path
) -> None:
    report = check(write(tmp_path, rows(*[f"{energy(i)},0" for i in range(960)])))
    assert not found(report, "cumulative")


def test_power_is_no_counter(tmp_path: Path) -> None:
    header = HEADER.replace("_kwh", "_kw")
    report = check(write(tmp_path, rows(*TEN), header=header), kind="counter")
    assert {f.code for f in report.findings} == {"not_a_counter"}


Energy = Callable[[int, int], tuple[float, float, float]]


def days(energy: Energy) -> list[str]:
    """Five days at one hour: import, export and pv come from `energy(hour of the day, hour)`."""
    lines = []
    for hour in range(120):
        when = datetime.fromtimestamp(START + hour * 3600, UTC).strftime("%Y-%m-%dT%H:%MZ")
        imported, exported, pv = energy(hour % 24, hour)
        lines.append(f"{when},a,{imported},{exported},{pv}")
    return lines


@pytest.mark.parametrize(
    ("energy", "code"),
    [
        (lambda h, _: (0, 0, 2.0 + h / 100) if 8 <= h < 18 else (0.2 + h / 100, 0, 0), None),
        (
            lambda h, _: (0, 2.0 + h / 100, 2.0 + h / 100) if 8 <= h < 18 else (0.2 + h / 100, 0, 0),
            "zero_in_sun",
        ),
        (lambda h, n: (0.2 + h / 100, 0, 0) if n < 60 else (0, 0, 0), "floored_load"),
        (lambda h, n: (0.3 + h / 100, 0, 2.0 if 8 <= h < 18 and n >= 72 else 0), "pv_absent"),
        (lambda h, n: (0, 3.0 + h / 100, 2.0) if 8 <= h < 18 else (0.3, 0, 0), "negative_load"),
    ],
)
def test_a_broken_home_is_flagged(energy: Energy, code: str | None, tmp_path: Path) -> None:
    path = write(tmp_path, days(energy), HEADER.replace("\n", ",pv_kwh\n"))
    report = check(path)
    assert report.ok
    assert code in [f.code for f in report.findings] or (code is None and report.findings == ())
