"""A short sample: no spoiled case of `wattswap clear` ends as a bug."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz.clear import spoil_cases


def test_spoiled_cases_are_cleared_or_refused(tmp_path: Path) -> None:
    seen = spoil_cases(random.Random(20_161_105), 4_000, tmp_path)
    assert seen.keys() >= {"clear 0", "clear 3", "clear 4", "clear file 0", "clear file 3"}
    assert seen["clear 3"] > 2_000
    assert seen.keys() <= {f"clear {where}{code}" for where in ("", "file ") for code in (0, 3, 4)}
