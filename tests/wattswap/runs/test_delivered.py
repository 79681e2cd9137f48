"""What homes gave each other by the meters, and what somebody outside pays, in cases that are easy to compute."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws

HEAD = """\
schema = 1
name = "few"
currency = "EUR"
[data]
path = "meter.csv"
[homes]
forecast = "perfect_foresight"
[tariff]
import_per_kwh = 0.30
feed_in_per_kwh = 0.10
"""


def written(folder: Path, rows: list[tuple[int, str, float, float]], more: str = "") -> Path:
    lines = ["timestamp,household,import_kwh,export_kwh"]
    lines += [f"2026-06-01T{hour:02}:00Z,{home},{drawn},{given}" for hour, home, drawn, given in rows]
    folder.mkdir()
    (folder / "meter.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "scenario.toml").write_text(HEAD + more, encoding="utf-8")
    return folder


def test_a_home_gives_nothing_to_itself(tmp_path: Path) -> None:
    """Both registers of a meter move; net, the two homes need and offer in different hours or 0.2 kWh together."""
    alone = ws.run(written(tmp_path / "alone", [(hour, "a", 0.6, 0.5) for hour in range(3)]), out=tmp_path)
    assert alone.metrics["delivered_kwh"] == 0
    rows = [(0, "a", 0.5, 0.2), (0, "b", 0.4, 0.6), (1, "a", 0.3, 0.1), (1, "b", 0.9, 0.4)]
    two = ws.run(written(tmp_path / "two", rows), out=tmp_path)
    assert two.metrics["delivered_kwh"] == pytest.approx(0.2)
    assert two.table("intervals")["delivered_wh"].tolist() == [200, 0]


def test_what_an_operator_adds_is_no_merit_also_where_a_rest_stays_with_it(tmp_path: Path) -> None:
    """vcg and uniform_price serve the same homes here, so that by themselves they save the same."""
    flows = {"a": 0.7, "b": 0.4, "c": -0.6, "d": -0.5, "e": 0.3}
    rows = [
        (hour, home, max(net, 0) + (hour / 10 if home == "e" else 0), max(-net, 0))
        for hour in range(6)
        for home, net in flows.items()
    ]
    more = '[market]\nimbalance_shares = "leave_one_out"\n'
    folder, parts = written(tmp_path / "five", rows, more), {}
    for name in ("uniform_price", "vcg"):
        run = ws.run(
            ws.load(folder, overrides=[f"market.mechanism={name}", "homes.strategy=zi_c"]), out=tmp_path
        )
        m = run.metrics
        parts[name] = m["saving_by_mechanism"], m["traded_kwh"]
        outside, rule = m["saving_from_outside"], m["saving_by_imbalance_rule"]
        assert m["saving"] == pytest.approx(m["saving_by_mechanism"] + rule + outside)
        assert (outside > 0.01) == (name == "vcg")
        assert m["saving_by_mechanism"] + rule <= m["saving_bound"] + 1e-9
    assert parts["vcg"] == pytest.approx(parts["uniform_price"])
