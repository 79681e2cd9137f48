"""What the checks of a home's consumption leave out does not change what they say."""

from __future__ import annotations

import numpy as np
import pytest

from data.findings import runs
from data.intake.scale import STANDBY_QUANTILE, STANDBY_W, STEP_VALUES, _is_often_low, _step


@pytest.mark.parametrize("step", [1, 2, 5, 250])
@pytest.mark.parametrize("rows", [1, STEP_VALUES - 1, STEP_VALUES + 1, 5 * STEP_VALUES])
def test_the_step_of_a_meter_is_the_common_divisor_of_all_values(step: int, rows: int) -> None:
    values = np.random.default_rng(rows + step).integers(-900, 900, rows) * step
    assert _step(values) == int(np.gcd.reduce(values))
    values[-1] = 1
    assert _step(values) == 1
    assert _step(np.zeros(rows, dtype=np.int64)) == 0


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
@pytest.mark.parametrize("seed", range(40))
def test_a_consumption_is_often_low_only_where_its_quantile_is(seed: int, minutes: int) -> None:
    rng = np.random.default_rng(seed)
    limit = STANDBY_W * minutes // 60
    known = rng.integers(limit, 3 * limit, rng.integers(1, 400))
    low = rng.random(len(known)) < rng.choice([0.02, 0.05, 0.08])
    known[low] = limit - 1 - rng.integers(0, 2, low.sum())
    quantile_w = float(np.quantile(known, STANDBY_QUANTILE)) * 60 / minutes
    assert not (_is_often_low(known, minutes) and quantile_w >= STANDBY_W)
    assert _is_often_low(np.zeros_like(known), minutes) == (len(known) > 1)


def test_runs_are_the_longest_stretches_of_true() -> None:
    for number in range(64):
        flags = np.array([number >> bit & 1 for bit in range(6)], dtype=np.bool_)
        start, end = runs(flags)
        again = np.zeros(6, dtype=np.int64)
        for first, last in zip(start.tolist(), end.tolist(), strict=True):
            again[first:last] += 1
        assert (again == flags).all()
        assert (start[1:] > end[:-1]).all()
