"""The savings of a run beside those of cooperative rules."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import call, one_object, refused, table_rows, write_street
from wattswap.results import RunResult
from wattswap.runs.shares import shares_of

HOMES = ["home-1", "home-2", "home-3"]


def value_of(run: Path, group: tuple[str, ...]) -> int:
    """Alone with the retailer less together, in nano: 0.32 + 0.03 outside, 0.01 inside, 0.08 for exports."""
    saved = 0
    rows = table_rows(run, "readings")
    for start in {row["interval_start"] for row in rows}:
        net = [
            int(str(row["import_wh"])) - int(str(row["export_wh"]))
            for row in rows
            if row["interval_start"] == start and row["household"] in group
        ]
        netted = min(sum(x for x in net if x > 0), -sum(x for x in net if x < 0))
        saved += netted * (320_000 + 30_000 - 10_000 - 80_000)
    return saved


def test_shapley_is_the_mean_over_all_orders_of_joining(finished: RunResult) -> None:
    shares = shares_of(finished)
    mean = dict.fromkeys(HOMES, 0.0)
    for order in permutations(HOMES):
        for i, home in enumerate(order):
            mean[home] += (value_of(finished.path, order[: i + 1]) - value_of(finished.path, order[:i])) / 6
    assert shares.value == value_of(finished.path, tuple(HOMES)) / 1e9 > 0
    for home in HOMES:
        assert shares.table.loc[home, "shapley"] == pytest.approx(mean[home] / 1e9, abs=1e-8)
    assert shares.table["nucleolus"].sum() == pytest.approx(shares.value, abs=1e-8)
    assert shares.table["saving"].tolist() == finished.bills()["saving"].tolist()


def test_a_division_in_the_core_gives_every_pair_what_it_saves_alone(finished: RunResult) -> None:
    shares = shares_of(finished)
    assert shares.core_nonempty
    assert shares.in_core["nucleolus"]
    for i, home in enumerate(HOMES):
        pair = tuple(HOMES[:i] + HOMES[i + 1 :])
        given = shares.table.loc[list(pair), "nucleolus"].sum()
        assert given >= value_of(finished.path, pair) / 1e9 - 1e-8
        assert shares.table.loc[home, "nucleolus"] >= -1e-8


def test_show_prints_the_shares(finished: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    text = call(capsys, "show", finished.path, "shares")
    assert text.code == 0
    assert "by netting among themselves" in text.out
    facts = one_object(call(capsys, "show", finished.path, "shares", "--json"))
    assert [row["household"] for row in facts["rows"]] == HOMES
    assert facts["value"] == pytest.approx(sum(row["shapley"] for row in facts["rows"]), abs=1e-8)


def test_a_large_community_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ws.run(write_street(tmp_path / "street", homes=17, days=1), out=tmp_path / "runs")
    refused(call(capsys, "show", run.path, "shares"), 2, "17 homes; 1 to 16 are supported")
