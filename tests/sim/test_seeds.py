"""A small sample of seeds; `python -m tests.sim --seeds 1000 --n 4` runs a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2p.consensus.types import Vote
from p2p.simulation.model import Faults, calm
from p2p.simulation.simulator import PATIENCE_MS, Simulation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("n", "seeds"), [(4, 150), (5, 10), (7, 20), (13, 4), (1, 5)])
def test_no_oracle_objects(n: int, seeds: int) -> None:
    results = [Simulation(seed, n).run() for seed in range(seeds)]
    assert not [(result.seed, result.violation) for result in results if result.violation]
    assert all(result.heights >= 2 for result in results)


def test_the_sample_has_crashes_equivocators_and_later_rounds() -> None:
    """A simulator without faults would find no violation either."""
    results = [Simulation(seed, 4).run() for seed in range(40)]
    assert sum(result.crashes for result in results) > 100
    assert sum(result.evidence for result in results) > 20
    assert max(result.rounds for result in results) >= 2


def test_after_the_network_heals_two_heights_take_seconds() -> None:
    slowest = max(Simulation(seed, 4).run().healed_ms for seed in range(40))
    assert slowest < PATIENCE_MS / 4


@pytest.mark.parametrize("n", [4, 7])
def test_with_f_silent_authorities_a_good_network_decides(n: int) -> None:
    result = Simulation(1, n, faults=calm(*["silent"] * ((n - 1) // 3))).run()
    assert result.violation is None


def test_with_more_than_f_silent_ones_nothing_is_decided() -> None:
    result = Simulation(1, 4, faults=calm("silent", "silent")).run()
    assert result.heights == 0
    assert (result.violation or "").startswith("liveness")


def test_above_f_equivocators_fork_the_chain_which_is_seen_and_convicts_f_plus_1_of_them() -> None:
    """The oracle of agreement is not asleep, and even then no honest node is accused."""
    faults = Faults(20_000, 0, 0, 40, 0, 0, 0, 3, (), ("equivocator", "equivocator"))
    for seed in range(40, 240):
        simulation = Simulation(seed, 4, faults=faults)
        words = simulation.run().violation or ""
        assert not words.startswith(("evidence", "double sign", "validity"))
        if words.startswith("agreement"):
            break
    else:
        raise AssertionError("no fork in 200 seeds with two byzantine nodes of four: are they still lying?")
    byzantine = {node.index for node in simulation.nodes if node.byzantine is not None}
    first = [given.first for given in simulation.oracles.evidence]
    assert {m.validator if isinstance(m, Vote) else m.proposer for m in first} == byzantine


def test_a_seed_gives_the_same_trace_again_and_another_seed_another() -> None:
    first, again, other = (Simulation(seed, 4).run().trace for seed in (3, 3, 4))
    assert first == again != other


def test_a_seed_gives_the_same_trace_under_every_hash_seed() -> None:
    script = (
        "from p2p.simulation.simulator import Simulation;"
        "print(*[Simulation(s, 4).run().trace for s in (1, 2, 3)])"
    )
    traces = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=environment,
        )
        traces.add(done.stdout)
    assert len(traces) == 1
