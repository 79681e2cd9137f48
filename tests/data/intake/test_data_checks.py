"""Impossible power, jumps, counters taken for intervals, and homes whose meter cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data import formats
from data.formats import check
from tests.kits.meter_kit import HEADER, START, bad, found, rows, stamp, write


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
