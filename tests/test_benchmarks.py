"""The benchmark of every mechanism runs on small books: it follows the registry, and forgets no mechanism."""

from __future__ import annotations

import json

import pytest

from benchmarks import mechanisms
from market.mechanism import MECHANISMS


def test_every_mechanism_that_clears_a_book_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SIZES", "CONTINUOUS_SIZES"):
        monkeypatch.setattr(mechanisms, name, {40: 1})
    mechanisms.main(["--json"])
    rows = json.loads(capsys.readouterr().out)
    clears = {name for name, m in MECHANISMS.all().items() if not m.promises.needs_grid} - {"retailer_only"}
    for kind in mechanisms.KINDS:
        assert {row["mechanism"] for row in rows if row["book"] == kind} == clears
    assert all(row["ratio"] > 0 and row["orders_per_s"] > 0 for row in rows)


def test_targets_are_those_of_the_rule() -> None:
    assert mechanisms.target_of("mcafee", 100_000, "four each") == "<= 5"
    assert mechanisms.target_of("vcg", 10_000, "one each") == "<= 10"
    assert mechanisms.target_of("gsy_pay_as_bid", 10_000, "one each") == "<= 5"
    assert mechanisms.target_of("gsy_pay_as_bid", 10_000, "four each") == ""
    assert mechanisms.target_of("continuous", 10_000, "of 2, skip") == ">= 300,000 orders/s"
