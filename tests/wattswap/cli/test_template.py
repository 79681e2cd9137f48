"""The scenario that `new --template csv` writes runs by a real forecast, and says what that lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.run_kit import call


def test_the_template_for_own_data_is_no_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(capfd, "new", "mine", "--template", "csv").code == 0
    shown = call(capfd, "run", "mine", "--quiet")
    assert shown.code == 0
    words = " ".join(shown.out.split())
    assert (
        "note 3 of 3 homes that bid by 'staircase' have forecasts of less than two weeks behind them" in words
    )
    figures = json.loads(call(capfd, "run", "mine", "--quiet", "--json").out)
    assert "bound" not in figures["rests_on"]
    assert figures["rests_on"]["forecast"].startswith("ridge, regression on the home's own last hours")
    assert 0 < figures["saving_by_mechanism"] < figures["saving_bound"]


def test_a_run_with_a_past_of_a_month_has_nothing_to_note(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = call(capfd, "run", "demo", "--set", "time.intervals=4", "--quiet", "--out", tmp_path)
    assert shown.code == 0
    assert "rationing" in shown.out
    assert "  note" not in shown.out
