"""Runs that end before their last interval, to be resumed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import TABLES
from wattswap.errors import Interrupted
from wattswap.runs.layout import PARTIAL


def only_partial(out: Path) -> Path:
    """The one unfinished run in a folder."""
    (partial,) = out.glob(f"*{PARTIAL}")
    return partial


def killed(scenario: ws.Scenario | Path, out: Path, after: int) -> Path:
    """The folder of a run that ended after so many intervals, and keeps those up to its last checkpoint."""

    def stop(done: int, _total: int, _price: float | None) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ws.run(scenario, out=out, on_progress=stop)
    return only_partial(out)


def interrupted(scenario: ws.Scenario | Path, out: Path, after: int) -> Path:
    """The folder of a run that Ctrl-C ended after so many intervals, which keeps all of them."""

    def interrupt(done: int, _total: int, _price: float | None) -> None:
        if done == after - 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"stopped after {after} of"):
        ws.run(scenario, out=out, on_progress=interrupt)
    return only_partial(out)


def same_files(a: Path, b: Path) -> bool:
    """Whether two runs have the same bytes in every table."""
    return all(
        (a / f"{name}.parquet").read_bytes() == (b / f"{name}.parquet").read_bytes() for name in TABLES
    )
