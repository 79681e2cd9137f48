"""A small street with known readings, runs of it, and the command line called in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.kits.time_kit import eventually
from wattswap.cli import main
from wattswap.runs.layout import PARTIAL

FIRST = datetime(2026, 6, 1, tzinfo=UTC)
MONEY = ["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]
SYSTEM = ["retailer", "grid_operator", "market_operator"]
TABLES = ["orders", "readings", "postings", "intervals", "bills"]
SCENARIO = """\
schema = 1
name = "tiny"
currency = "EUR"
seed = 7

[time]
start = {start}
days = {days}

[data]
path = "meter.csv"

[homes]
forecast = "same_hour_mean"
forecast_days = 1

[homes.battery.home-1]
capacity_kwh = 2
charge_kw = 1
discharge_kw = 1
charge_efficiency = 0.95
discharge_efficiency = 0.95

[tariff]
import_per_kwh = 0.32
feed_in_per_kwh = 0.08
grid_fee_local_per_kwh = 0.01
grid_fee_remote_per_kwh = 0.03

[market]
gate_closure_minutes = {minutes}
"""

Readings = dict[tuple[datetime, str], tuple[int, int]]
"""Import and export by interval start and home. [Wh]"""


def readings(homes: int, days: int, minutes: int) -> Readings:
    """Made-up readings: uneven homes import by night and export around noon, never both."""
    random = Random(homes)
    found: Readings = {}
    for step in range(days * 24 * 60 // minutes):
        start = FIRST + timedelta(minutes=step * minutes)
        sun = max(0, 6 - abs(start.hour - 12)) * 60
        for home in range(1, homes + 1):
            net = random.randrange(100, 300) - (random.randrange(sun + 1) * 2 if home % 3 else 0)
            found[start, f"home-{home}"] = (max(net, 0), max(-net, 0))
    return found


def write_street(folder: Path, *, homes: int = 3, days: int = 2, minutes: int = 60, more: str = "") -> Path:
    """Write meter.csv and scenario.toml into a folder: one day of history, then `days` that run.

    Args:
        more: Text behind the scenario; it continues the table [market].
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{start:%Y-%m-%dT%H:%M:%SZ},{home},{wh_in / 1000:.3f},{wh_out / 1000:.3f}"
        for (start, home), (wh_in, wh_out) in readings(homes, days + 1, minutes).items()
    ]
    text = "\n".join(["timestamp,household,import_kwh,export_kwh", *rows]) + "\n"
    (folder / "meter.csv").write_text(text, encoding="utf-8")
    start = f"{FIRST + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    scenario = SCENARIO.format(start=start, days=days, minutes=minutes) + more
    (folder / "scenario.toml").write_text(scenario, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Call the command line in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    written = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return Outcome(end.value.code, written.out, written.err)


def remember(
    monkeypatch: pytest.MonkeyPatch, place: str, known: dict[Any, Any], key: Callable[..., Any]
) -> None:
    """Let a slow function of ours give its answer again where it was asked the same before.

    For tests of what is printed: one result in several forms or widths.

    Args:
        monkeypatch: Of the test.
        place: The function, as in `monkeypatch.setattr`.
        known: Its answers so far; of a module, so that tests share it.
        key: What is the same question, from the arguments of the function.
    """
    module, _, name = place.rpartition(".")
    function = getattr(import_module(module), name)

    def asked(*arguments: Any, **more: Any) -> Any:
        question = key(*arguments, **more)
        if question not in known:
            known[question] = function(*arguments, **more)
        return deepcopy(known[question])

    monkeypatch.setattr(place, asked)


@pytest.fixture(scope="module")
def markets_checked() -> dict[Any, Any]:
    """Results of checks of a market in this module."""
    return {}


@pytest.fixture
def checked_once(monkeypatch: pytest.MonkeyPatch, markets_checked: dict[Any, Any]) -> None:
    """A market is checked once for all tests of a module that check the same."""
    remember(
        monkeypatch,
        "wattswap.check.market.check_market",
        markets_checked,
        lambda setup, on_progress, rounds: (json.dumps(setup.scenario.resolved(), default=str), rounds),
    )


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from wattswap.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def wait_for_file(process: subprocess.Popen[str], out: Path, name: str) -> None:
    """Wait until the unfinished run of a process that is still at work has a file of this name."""

    def there() -> bool:
        assert process.poll() is None, process.communicate()
        return any(out.glob(f"*{PARTIAL}/{name}"))

    eventually(there, f"the unfinished run has a {name}", poll_s=0.005)


def python(program: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh Python, in a folder if one is named."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
        timeout=60,
        check=False,
    )


def table_rows(run: Path, name: str) -> list[dict[str, object]]:
    """All rows of a stored table, read without our code."""
    rows: list[dict[str, object]] = pq.read_table(run / f"{name}.parquet").to_pylist()
    return rows


def files_below(folder: Path) -> list[str]:
    """Names of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def number_that_json_lacks(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def one_object(outcome: Outcome) -> dict[str, Any]:
    """What --json printed: exactly one object, in one line, and nothing beside it."""
    assert outcome.out.count("\n") == 1
    value = json.loads(outcome.out, parse_constant=number_that_json_lacks)
    assert isinstance(value, dict)
    return value


def refused(outcome: Outcome, code: int, *phrases: str) -> None:
    """One sentence on stderr, nothing on stdout, and the code of the table."""
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    for phrase in phrases:
        assert phrase.lower() in outcome.err.lower()
    assert "Traceback" not in outcome.err
    assert "bug of wattswap" not in outcome.err
