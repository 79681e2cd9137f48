"""Figures that were renamed are still given under the names that scripts read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from market.metrics.table import METRICS
from tests.kits.run_kit import call
from wattswap.cli._summary import EARLIER_NAMES
from wattswap.results import RunResult


def test_a_renamed_figure_has_its_value_under_both_names(
    finished: RunResult, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = json.loads(call(capfd, "show", finished.path, "--json").out)
    for earlier, name in EARLIER_NAMES.items():
        assert earlier not in METRICS.all()
        assert shown[earlier] == shown[name] == finished.metrics[name] > 0
