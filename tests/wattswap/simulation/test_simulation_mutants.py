"""Simulated runs find faults in the node programs: those of `mutants.py`, of which `make test` runs the quickest."""

from __future__ import annotations

from functools import cache

import pytest

from tests.wattswap.simulation.mutants import MUTANTS, Mutant, violated
from wattswap.simulation.plan import Plan

QUICKEST = frozenset(
    {
        "operator_forgets_an_order",
        "collector_opens_early",
        "wrong_clearing_is_voted_for",
        "operator_ends",
        "home_skips_an_interval_after_a_restart",
    }
)


def of_make_test(mutant: Mutant) -> object:
    """A mutant as a parameter."""
    return pytest.param(mutant, id=mutant.name, marks=() if mutant.name in QUICKEST else pytest.mark.slow)


@cache
def honest(plan: Plan) -> set[str]:
    """What the honest program violates, once for all mutants that are looked for in the same run."""
    return violated(plan)


@pytest.mark.parametrize("mutant", [of_make_test(mutant) for mutant in MUTANTS])
def test_a_mutant_is_found_and_the_honest_program_is_not(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = mutant.plan(mutant.seeds[0])
    assert not honest(plan)
    mutant.change(monkeypatch)
    assert mutant.oracle in violated(plan)


def test_every_oracle_that_must_hold_finds_a_mutant() -> None:
    assert {mutant.oracle for mutant in MUTANTS} == {
        *("no_node_ends", "agreement", "takes_part", "no_honest_convicted"),
        *("dates", "liveness", "money", "meters", "bounded", "shut_out"),
    }
