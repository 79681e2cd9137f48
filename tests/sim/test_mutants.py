"""The gate: every wrong rule is noticed, so the tests would notice it if it came into the core."""

from __future__ import annotations

import pytest

from p2p.simulation.simulator import Simulation
from tests.sim.mutants import MUTANTS


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutant.killer is not None])
def test_a_mutant_dies_by_its_directed_test(name: str) -> None:
    assert MUTANTS[name].dies_by_hand()


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutant.seeds])
def test_a_mutant_dies_in_the_simulator_within_its_seeds(name: str) -> None:
    assert MUTANTS[name].dies_by_seed(0, MUTANTS[name].seeds) is not None


def test_there_are_enough_mutants_and_none_is_left_out() -> None:
    assert len(MUTANTS) >= 12
    assert all(mutant.killer or mutant.seeds for mutant in MUTANTS.values())


def test_behind_the_guard_a_core_without_records_stops_instead_of_signing_twice() -> None:
    """Two guards: where the core has lost its memory, the key still refuses."""
    core = MUTANTS["no_wal"].core
    words = [Simulation(seed, 4, core=core).run().violation or "" for seed in range(30)]
    assert any(word.startswith("guard") for word in words)
    assert not any(word.startswith("double sign") for word in words)
