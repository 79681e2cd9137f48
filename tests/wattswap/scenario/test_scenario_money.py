"""A run whose bills would leave the integers that money is counted in is refused before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import write_street
from wattswap.errors import InvalidScenario
from wattswap.runs.prepare import prepare


def test_too_much_money_is_told_when_the_scenario_is_checked(tmp_path: Path) -> None:
    """About 20 kWh at almost a billion per kWh pass 4.6 billion; a tenth of the price does not."""
    folder = write_street(tmp_path, homes=3, days=2, more='quantities = "ordered"\n')
    fine = ws.load(folder, overrides=["tariff.import_per_kwh=100000"])
    assert prepare(fine).intervals == 48
    with pytest.raises(
        InvalidScenario, match=r"the bills of this run are about .* EUR, and a run can count 4\.6e\+09"
    ):
        prepare(ws.load(folder, overrides=["tariff.import_per_kwh=999999", *LARGE]))


LARGE = ["data.fuse_kw=999999", "data.path=large.csv"]


@pytest.fixture(autouse=True)
def large(tmp_path: Path) -> None:
    lines = ["timestamp,household,import_kwh,export_kwh"]
    for hour in range(72):
        day, of_day = divmod(hour, 24)
        lines += [f"2026-06-{day + 1:02d}T{of_day:02d}:00:00Z,home-{n},{900 + hour % 2},0" for n in (1, 2, 3)]
    (tmp_path / "large.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
