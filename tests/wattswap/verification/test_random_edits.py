"""Random edits of run folders whose hashes are fitted: each is refused in a sentence, or is listed as unchecked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import wattswap as ws
from p2p.errors import P2PError
from tests.kits.edit_fuzz_kit import differences, edit_at_random
from tests.kits.sample_kit import sample_of
from wattswap.errors import WattswapError

RUNS = ("live", "absent", "process")
MANY, SAMPLE = 200, 30


@pytest.mark.parametrize("seed", sample_of(range(MANY), range(SAMPLE)))
def test_a_random_edit_is_refused_by_name_or_free(
    seed: int, runs: dict[str, Path], copied: Callable[[str], Path]
) -> None:
    name = RUNS[seed % len(RUNS)]
    run = copied(name)
    edit = edit_at_random(run, Random(seed))
    try:
        report = ws.verify(run)
    except (WattswapError, P2PError) as error:
        assert_names_what_to_do(error, run)
        return
    free = [what for one in report["unchecked"] for what in one["what"]]
    for changed in differences(runs[name], run):
        assert any(changed == what or changed.startswith(f"{what}.") for what in free), (edit, changed)


def assert_names_what_to_do(error: WattswapError | P2PError, run: Path) -> None:
    """The sentence names a place in the folder or an interval of the run, and a cure."""
    assert "bug" not in str(error)
    if isinstance(error, WattswapError):
        for problem in error.problems:
            assert str(run) in problem.where or "2026-06-02T" in problem.where, str(error)
            assert problem.cure or problem.key, str(error)  # a key's sentence says what it must be
    else:
        assert str(run) in str(error)
