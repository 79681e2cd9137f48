"""A wall clock an hour off: the chain goes on with the others, and what that validator proposes is not timely."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kits.faults_kit import HOMES, OPERATOR, VALIDATORS, town

pytestmark = [pytest.mark.live, pytest.mark.slow]
HOUR_S = 3_600
PACE_S = 9.0
"""Well more than a block's time may be late, so that a time just after the parent's is not timely either. [s]"""
VICTIM = 2


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_the_chain_goes_on_without_the_proposals_of_a_clock_that_is_an_hour_off(
    ahead_s: int, tmp_path: Path
) -> None:
    begun = time.time()
    with town(tmp_path, 6, pace_s=PACE_S) as place:
        place.start(VALIDATORS[VICTIM], clock_s=ahead_s)
        place.start(*(name for name in (*VALIDATORS, OPERATOR, *HOMES) if name != VALIDATORS[VICTIM]))
        place.finish(VALIDATORS[VICTIM], 180.0)
        headers = [block.header for block, _ in place.blocks(VALIDATORS[VICTIM])]
        proposed = [
            (header.height, header.proposer_idx, header.time_ms / 1_000 - begun) for header in headers
        ]
    assert VICTIM not in {index for _, index, _ in proposed}, proposed
    times = [header.time_ms / 1_000 for header in headers]
    assert times == sorted(times)
    assert all(begun < moment <= time.time() + 1 for moment in times)
