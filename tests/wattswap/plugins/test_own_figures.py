"""A metric and a report section in files of one's own: seen by run, compare, report, conditions and list."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from market.metrics.table import METRICS
from tests.kits.plugin_kit import own_registries
from tests.kits.run_kit import Outcome, call, write_street
from wattswap.plugins import import_file

METRIC = '''
from market.metrics.table import Result, metric


@metric(unit="kWh", better="higher", heading="largest trade, kWh", decimals=3)
def largest_trade_kwh(r: Result) -> float:
    """Energy of the interval in which most was traded."""
    return int(r.intervals["traded_wh"].max()) / 1_000
'''
SECTION = '''
from wattswap.report.page import Section, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story


@section("largest", 45)
def largest(story: Story) -> Section | None:
    """The largest trade of every mechanism."""
    told = ", ".join(f"{o.label}: {o.value('largest_trade_kwh')}" for o in story.rivals)
    return Section("largest", "Largest trade", "A section of one's own.", paragraph(told), {})
'''


def wattswap(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, so that nothing is registered twice."""
    command = [sys.executable, "-m", "wattswap", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_metric_and_a_section_of_ones_own_are_seen_everywhere(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(*arguments: object) -> Outcome:
        """A command that finds nothing registered yet and leaves nothing registered."""
        with own_registries(monkeypatch):
            return call(capsys, *arguments)

    street = write_street(tmp_path / "street")
    (tmp_path / "own_metric.py").write_text(METRIC)
    (tmp_path / "own_section.py").write_text(SECTION)
    own = ["--module", tmp_path / "own_metric.py", "--module", tmp_path / "own_section.py"]

    ran = wattswap("run", street, *own, "--out", tmp_path / "runs", "--json", "-q")
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)
    largest = figures["largest_trade_kwh"]
    assert largest > 0
    stored = json.loads((Path(figures["run"]) / "metrics.json").read_text())
    assert stored["largest_trade_kwh"] == largest

    compare = [
        "compare",
        street,
        "-m",
        "uniform_price",
        *own,
        "--out",
        tmp_path / "cells",
        "-q",
        "--jobs",
        jobs,
    ]
    compared = wattswap(*compare, "--json", "--fail-if", "uniform_price.largest_trade_kwh > 0")
    assert compared.returncode == 6, compared.stderr
    facts = json.loads(compared.stdout)
    assert facts["points"]["base"]["uniform_price"]["largest_trade_kwh"] == largest
    assert facts["points"]["base"]["retailer_only"]["largest_trade_kwh"] == 0
    assert "largest_trade_kwh of uniform_price is" in facts["failed"][0]

    for folder in (figures["run"], facts["comparison"]):
        told = later("report", folder, *own, "--assert", "largest_trade_kwh > 0", "--out", f"{folder}.html")
        assert told.code == 0, told.err
        page = Path(f"{folder}.html").read_text(encoding="utf-8")
        assert 'id="largest"' in page
        assert "largest trade, kWh" in page
        assert f"uniform_price: {largest}" in page

    for kind, name in (("metrics", "largest_trade_kwh"), ("sections", "largest")):
        listed = later("list", kind, *own, "--json")
        assert name in [entry["name"] for entry in json.loads(listed.out)[kind]], listed.out
    assert "largest_trade_kwh" not in METRICS.all()


def test_a_metric_of_a_users_file_is_one_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_largest.py").write_text(METRIC)
    with own_registries(monkeypatch):
        import_file(tmp_path / "own_largest.py")
        assert METRICS.get("largest_trade_kwh").summary == "Energy of the interval in which most was traded."
        assert METRICS.origin("largest_trade_kwh") == "own_largest"
    assert "largest_trade_kwh" not in METRICS.all()
