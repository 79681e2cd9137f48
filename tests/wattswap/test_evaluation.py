"""`wattswap forecast evaluate`: figures by hand, its forms, and what it refuses."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from tests.kits.run_kit import call, one_object, refused, write_street
from wattswap.evaluation import ALL, BASELINES, evaluate
from wattswap.runs.prepare import prepare
from wattswap.scenario.load import demo

Capture = pytest.CaptureFixture[str]
WEEKS = [
    "time.start=2016-09-19T00:00:00+02:00",
    "time.days=15",
    "time.interval_minutes=60",
    'data.households=["home-01","home-02"]',
]


def test_figures_are_those_by_hand() -> None:
    setup = prepare(demo(WEEKS), 31)
    scores = {(score.forecaster, score.home): score for score in evaluate(setup, ["ridge"], [24.0])}
    net_wh = setup.meter.import_wh - setup.meter.export_wh
    rows = np.arange(setup.first_row, setup.first_row + setup.intervals)
    # A day before an interval begins the reading of the day before is not there yet.
    off_wh = net_wh[rows] - net_wh[rows - 2 * 24]
    found = scores["persistence", "home-02"]
    assert found.mae_kw == pytest.approx(np.abs(off_wh[:, 1]).mean() / 1_000)
    assert found.nrmse == pytest.approx((off_wh[:, 1] ** 2).mean() ** 0.5 / np.abs(net_wh[rows, 1]).mean())
    assert scores["persistence", ALL].mae_kw == pytest.approx(np.abs(off_wh).mean() / 1_000)
    assert found.against_persistence.percent == found.against_persistence.low == 0
    assert list(dict.fromkeys(name for name, _ in scores)) == [*BASELINES, "ridge"]
    assert found.coverage is not None
    assert 0.6 < found.coverage < 0.95
    assert found.pinball_kw is not None
    assert found.pinball_kw < found.mae_kw
    gain = scores["ridge", ALL].against_persistence
    own, old = scores["ridge", ALL].mae_kw, scores["persistence", ALL].mae_kw
    assert own is not None
    assert old is not None
    assert gain.percent == pytest.approx(100 * (1 - own / old))
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.percent < gain.high


def test_the_command_prints_tables_json_and_csv(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = write_street(tmp_path / "street", days=4)
    asked = ("forecast", "evaluate", folder, "--horizon", "1h", "--forecaster", "same_hour_mean")
    text = call(capsys, *asked)
    assert text.code == 0
    assert max(map(len, text.out.splitlines())) <= 80
    assert "1 h ahead, all homes" in text.out
    rows = one_object(call(capsys, *asked, "--json"))["scores"]
    assert {row["home"] for row in rows} >= {ALL}
    table = list(csv.DictReader(io.StringIO(call(capsys, *asked, "--csv").out)))
    assert [row["forecaster"] for row in table] == [row["forecaster"] for row in rows]


def test_what_cannot_be_evaluated_is_refused_together(tmp_path: Path, capsys: Capture) -> None:
    folder = write_street(tmp_path / "street", days=4)
    asked = ("forecast", "evaluate", folder)
    refused(call(capsys, *asked, "--forecaster", "rigde"), 2, "no forecaster 'rigde'", "did you mean 'ridge'")
    both = call(capsys, *asked, "--forecaster", "perfect_foresight", "--horizon", "1h,0.3h")
    refused(both, 2, "perfect_foresight is the truth", "0.3 h is no whole number of intervals")
    refused(
        call(capsys, *asked, "--horizon", "soon,1d"), 2, "'soon' is no number of hours", "'1d' is no number"
    )
    allowed = "give 0 to 168 hours in steps of 60 minutes, as in 1h,24h"
    minutes = call(capsys, *asked, "--horizon", "90m")
    whole = f"--horizon: 1.5 h is no whole number of intervals of 60 minutes; {allowed}"
    assert (minutes.code, minutes.err) == (2, f"Error: {whole}\n")
    refused(call(capsys, *asked, "--horizon", "169h"), 2, f"--horizon: 169 h is too long; {allowed}")


def test_a_horizon_in_minutes_is_that_in_hours(tmp_path: Path, capsys: Capture) -> None:
    folder = write_street(tmp_path / "street", days=4)
    asked = ("forecast", "evaluate", folder, "--forecaster", "persistence", "--set", "time.days=1", "--csv")
    found = [call(capsys, *asked, "--horizon", horizon) for horizon in ("2h", "120m", "2h,120m")]
    assert found[0].code == 0, found[0].err
    assert found[0].out == found[1].out == found[2].out
