"""Memory stays flat however often a session solves; `make slow` solves a year of quarter hours."""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import pytest

from benchmarks import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux")
SAMPLE, YEAR = (100, 400), (1_000, memory.SOLVES[-1])
NOISE_KB, A_SOLVE_BYTES = 1_024, 100
"""What the allocator may keep, and what a solve may on average: a leak of one array is larger."""


def grows_kb(solve: Callable[[int], object], counts: tuple[int, int]) -> int:
    """How much larger the process is after the second number of solves than it may be. [KiB]"""
    first, last = memory.resident_after(solve, counts)
    return last - first - NOISE_KB - (counts[1] - counts[0]) * A_SOLVE_BYTES // 1_024


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        pytest.param(name, counts, id=f"{name}-{counts[1]}", marks=[pytest.mark.slow] * (counts == YEAR))
        for name in memory.SESSIONS
        for counts in (SAMPLE, YEAR)
    ],
)
def test_a_session_that_solves_again_needs_no_more_memory(name: str, counts: tuple[int, int]) -> None:
    assert grows_kb(memory.SESSIONS[name](), counts) <= 0


def test_a_solve_that_keeps_some_array_is_seen() -> None:
    kept: list[
        mmap
    ] = []  # memory of the system's: what earlier tests left to the allocator would hide a leak

    def solve(_: int) -> None:
        kept.append(mmap(-1, 16_384))
        kept[-1].write(bytes([1]) * 16_384)

    assert grows_kb(solve, SAMPLE) > 0
    assert len(kept) == SAMPLE[-1]


@pytest.mark.parametrize(
    ("argument", "code", "said"),
    [("--help", 0, "common battery"), ("nodal", 2, "known: "), ("--jsn", 2, "--jsn")],
)
def test_a_question_or_a_mistake_does_not_begin_to_measure(
    argument: str, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SOLVES", ())
    monkeypatch.setattr(memory, "ProcessPoolExecutor", None)
    with pytest.raises(SystemExit) as left:
        memory.main([argument])
    assert left.value.code == code
    assert said in "".join(capsys.readouterr())
