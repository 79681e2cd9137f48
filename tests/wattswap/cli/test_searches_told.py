"""A search inside of a run is told with its gap, on a line of its own, and not where somebody wants quiet."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from optimizer.progress import Progress, listener
from tests.kits.run_kit import Outcome, call
from wattswap.cli.output import Progress as Shown
from wattswap.cli.output import searches_told
from wattswap.runs import engine

SO_FAR = Progress(3.0, 2_000_000_000.0, 2_500_000_000.0, 9)
SAID = "3 s: welfare 2.000000, at most 2.500000, gap 2.0e-01"
Capture = pytest.CaptureFixture[str]


def searching(*_: object, **__: object) -> None:
    """In place of a run: a search that takes long."""
    tell = listener()
    if tell is not None:
        tell(SO_FAR)
    raise KeyboardInterrupt


@pytest.fixture
def ran(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.setattr(engine, "run", searching)
    monkeypatch.setattr(engine, "resume", searching)
    return lambda *words: call(capsys, *words)


@pytest.mark.parametrize("words", [["run", "demo"], ["resume", "somewhere"]])
def test_a_search_of_a_run_is_told_unless_it_is_to_be_quiet(
    words: list[str], ran: Callable[..., Outcome]
) -> None:
    assert SAID in ran(*words).err.splitlines()
    assert SAID not in ran(*words, "--quiet").err


def test_a_note_ends_the_line_that_a_terminal_redraws(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Shown("uniform_price", quiet=False) as progress, searches_told(progress.note):
        progress(1, 9, 0.2)
        tell = listener()
        assert tell is not None
        tell(SO_FAR)
    first, second, _ = capsys.readouterr().err.split("\n")
    assert re.search(r"uniform_price: 1/9 intervals", first)
    assert second == SAID
