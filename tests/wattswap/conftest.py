"""A small street and one finished run of it, shared by the tests that only look."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import write_street
from wattswap.results import RunResult


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as wide as in a pipe, whatever terminal the tests run in; a test of widths sets its own."""
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small street: 3 homes, 48 intervals of an hour."""
    return write_street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="session")
def finished(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """One run of it; look, do not touch."""
    return ws.run(street, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def street_by_lot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a street of six homes whose limits are drawn by lot; look, do not touch."""
    folder = write_street(tmp_path_factory.mktemp("lots"), homes=6)
    file = folder / "scenario.toml"
    text = file.read_text(encoding="utf-8").replace("[homes]\n", '[homes]\nstrategy = "zi_c"\n')
    file.write_text(text, encoding="utf-8")
    return folder
