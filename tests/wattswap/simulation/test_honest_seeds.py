"""Honest faults, drawn: nothing is violated."""

from __future__ import annotations

from collections.abc import Iterable

from wattswap.simulation.plan import Shape
from wattswap.simulation.sweep import Draw, run_seed

FIRST = 100_000
"""The sample of `make test`; `make sim` begins at 0."""


def assert_nothing_is_violated(seeds: Iterable[int], shape: Shape) -> None:
    """Run seeds; the failure names them, and the command that tells their stories."""
    results = [run_seed(Draw(shape), seed) for seed in seeds]
    failed = {one.seed: one.error or sorted(one.violated) for one in results if one.error or one.violated}
    assert not failed, (
        f"python -m wattswap.simulation --validators {shape.validators} --seeds SEED for {failed}"
    )
    assert sum(one.events for one in results) > 1_000 * len(results)


def test_forty_seeds_of_four_validators() -> None:
    assert_nothing_is_violated(range(FIRST, FIRST + 40), Shape())


def test_five_seeds_of_homes_behind_gateways() -> None:
    assert_nothing_is_violated(range(FIRST, FIRST + 5), Shape(gateways=2))
