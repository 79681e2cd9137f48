"""Neighbourhoods whose homes seal their orders, with faults and with lies: a sample of `make sim`."""

from __future__ import annotations

import pytest

from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Act, Plan, Shape
from wattswap.simulation.run import simulated
from wattswap.simulation.sweep import Draw

SEALED = Shape(sealed=True)


def violations(plan: Plan) -> list[str]:
    with simulated(plan) as outcome:
        contents = [settled.content for settled in outcome.history.settled.values()]
        assert any(content is not None and content.closed is not None for content in contents)
        return [f"{one.oracle}: {one.text}" for one in judge(outcome.history)]


@pytest.mark.parametrize("seed", range(6))
def test_sealed_orders_survive_faults(seed: int) -> None:
    assert violations(Draw(SEALED).plan(seed)) == []


@pytest.mark.parametrize("seed", range(100, 106))
def test_sealed_orders_survive_lies(seed: int) -> None:
    assert violations(Draw(SEALED, byzantine=True).plan(seed)) == []


def test_an_operator_that_fails_between_closing_and_batch_delays_its_interval_alone() -> None:
    """Whoever takes over goes on with the orders that the chain has closed."""
    for after_s in (0.3, 0.4, 0.5):
        acts = (Act("gone", ("operator-0",), number=1, after_s=after_s),)
        assert violations(Plan(seed=3, shape=Shape(intervals=4, sealed=True), calm_after=3, acts=acts)) == []
