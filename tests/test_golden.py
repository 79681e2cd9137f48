"""Runs small enough to check by hand: every order, price, posting and bill of tests/golden/*/ is as expected.

The sums are done in the comments of each scenario.toml. `pytest tests/test_golden.py --update-golden` writes
expected.json anew.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import wattswap as ws
from wattswap.results import RunResult

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/scenario.toml"))
MONEY = ("trade", "imbalance", "retail", "grid_fee")
ENERGY = ("import", "export", "bought", "sold", "local", "retail_import", "retail_export")


def rows(run: RunResult, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run.path / f"{table}.parquet").to_pylist()
    return found


def clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def price(micro: int | None) -> str:
    return "none" if micro is None else f"{micro / 1e6:g}"


def amounts(row: dict[str, Any]) -> str:
    """Energy and money of a row that are not zero; money exact to the nano."""
    energy = [f"{name} {row[f'{name}_wh']} Wh" for name in ENERGY if row.get(f"{name}_wh")]
    money = [f"{name} {row[f'{name}_nano'] / 10**9:+.9f}" for name in MONEY if row.get(f"{name}_nano")]
    return ", ".join([*energy, *money]) or "nothing"


def summary(run: RunResult) -> dict[str, Any]:
    """Everything that a reader can check by hand, a sentence a row, and the hash of it all."""
    return {
        "prices": [
            f"{clock(row['interval_start'])} {row['traded_wh']} Wh at {price(row['price_micro_per_kwh'])}"
            f" in [{price(row['lo_micro_per_kwh'])}, {price(row['hi_micro_per_kwh'])}]"
            for row in rows(run, "intervals")
        ],
        "orders": [
            f"{clock(row['interval_start'])} {row['household']} {'buys' if row['side'] > 0 else 'sells'}"
            f" {row['energy_wh']} Wh at {price(row['limit_micro_per_kwh'])}: {row['accepted_wh']} Wh accepted"
            for row in rows(run, "orders")
        ],
        "batteries": [
            f"{clock(row['interval_start'])} {row['household']} {row['stored_wh']} Wh"
            for row in rows(run, "readings")
            if row["stored_wh"]
        ],
        "postings": [
            f"{clock(row['interval_start'])} {row['account']}: {amounts(row)}"
            for row in rows(run, "postings")
        ],
        "bills": [
            f"{row['household']}: {amounts(row)}; without market {row['baseline_nano'] / 10**9:+.9f}"
            for row in rows(run, "bills")
        ],
        "replay_sha256": run.manifest["replay_sha256"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_scenario_gives_what_was_calculated_by_hand(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = summary(ws.run(GOLDEN / name, out=tmp_path))
    expected = GOLDEN / name / "expected.json"
    if request.config.getoption("--update-golden"):
        expected.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(expected.read_text(encoding="utf-8"))


@pytest.mark.parametrize("solver", ["highs", "pyomo"])
@pytest.mark.parametrize("name", NAMES)
def test_every_solver_gives_the_golden_hash(name: str, solver: str, tmp_path: Path) -> None:
    run = ws.run(ws.load(GOLDEN / name, overrides=[f"market.solver={solver}"]), out=tmp_path)
    expected = json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))
    assert run.manifest["replay_sha256"] == expected["replay_sha256"]


def test_every_golden_folder_is_whole() -> None:
    assert len(NAMES) >= 8
    for folder in (path for path in GOLDEN.iterdir() if path.is_dir()):
        assert sorted(path.name for path in folder.iterdir()) == [
            "expected.json",
            "meter.csv",
            "scenario.toml",
        ]
