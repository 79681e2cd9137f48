"""A check of a market fails where it could not have failed: without orders, and with homes without turnover."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.run_kit import call, one_object

ROWS = [
    f"2026-06-0{1 + hour // 24}T{hour % 24:02}:00Z,{home},{wh if wh > 0 else 0},{-wh if wh < 0 else 0}"
    for hour in range(60)
    for home, wh in (("a", 0.3 + hour % 5 / 10), ("b", -0.4 + hour % 3 / 10), ("c", 0.1 * (hour % 4) - 0.2))
]
SCENARIO = """\
schema = 1
name = "three"
currency = "EUR"
[time]
start = 2026-06-03T00:00:00Z
[data]
path = "meter.csv"
[homes]
forecast = "same_hour_mean"
forecast_days = 1
[tariff]
import_per_kwh = 0
feed_in_per_kwh = 0
grid_fee_remote_per_kwh = 0.32
[market]
imbalance_shares = "delivered"
"""


@pytest.fixture
def three(tmp_path: Path) -> Path:
    text = "timestamp,household,import_kwh,export_kwh\n" + "\n".join(ROWS) + "\n"
    (tmp_path / "meter.csv").write_text(text, encoding="utf-8")
    (tmp_path / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


def test_gains_count_also_where_energy_itself_costs_nothing(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(capsys, "check", "market", three, "--rounds", "1", "-q", "--json")
    assert outcome.code == 6
    found = one_object(outcome)
    assert max(one["largest_gain"] for one in found["deviations"]) > 0.05
    assert not found["holds"]


def test_without_orders_nothing_is_tested_and_that_is_said(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ["--set", "time.start=2026-06-01T00:00:00Z", "--set", "time.intervals=3"]
    outcome = call(capsys, "check", "market", three, *first, "--rounds", "1", "-q")
    assert outcome.code == 6
    assert "nobody orders anything in this time, so nothing can be tested" in " ".join(outcome.out.split())
