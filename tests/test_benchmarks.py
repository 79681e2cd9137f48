"""Benchmarks are no part of the tests; but each must at least find what it measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmarks.lies import lie_of, wilson
from wattswap.simulation.base import base_of
from wattswap.simulation.byzantine import LIES, check_lies
from wattswap.simulation.plan import Plan, Shape, check_plan

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
OPTIONAL = {"pymarket"}
"""Packages that only a comparison with a peer needs."""


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_finds_what_it_imports(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"the optional package {error.name} is not installed")


def test_lies_are_counted_of_nodes_that_can_tell_them() -> None:
    lies = tuple(lie_of(name) for name in LIES)
    configs = base_of(Shape(), False).configs
    check_plan(Plan(lies=lies), list(configs), list(LIES))
    check_lies(Plan(lies=lies), configs)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 12, 0.0, 0.2425), (6, 12, 0.2538, 0.7462), (12, 12, 0.7575, 1.0), (300, 1_000, 0.2724, 0.3291)],
)
def test_the_interval_of_a_share_is_that_of_wilson(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)
