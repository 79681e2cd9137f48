"""Speed of simulated neighbourhoods: intervals a CPU second, by what is real: `python -m benchmarks.simulation`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import median

import msgspec

from wattswap.simulation.base import base_of
from wattswap.simulation.plan import Plan, Shape
from wattswap.simulation.run import simulated

REPEATS = 5
INTERVALS = 20
FAST = Shape(intervals=INTERVALS, pace_s=10.0)
GATEWAYS = Shape(intervals=INTERVALS, gateways=2, pace_s=3.0)
VARIANTS = (
    (
        "everything real: frames, Ed25519, checks of their own",
        Plan(shape=FAST, frames=True, signatures=True, own_checks=True),
        7,
    ),
    ("signatures by hash, direct requests, shared checks", Plan(shape=FAST), 12),
    ("the same behind two gateways, a pace of 3 s", Plan(shape=GATEWAYS), 20),
)


def intervals_per_cpu_s(plan: Plan, seed: int) -> float:
    """Of one run with everybody honest and no faults."""
    base_of(plan.shape, plan.signatures)
    begun = time.process_time()
    with simulated(msgspec.structs.replace(plan, seed=seed, calm_after=1)) as outcome:
        spent = time.process_time() - begun
        if len(outcome.history.settled) != plan.shape.intervals:
            raise RuntimeError(
                f"{len(outcome.history.settled)} of {plan.shape.intervals} intervals were settled"
            )
    return plan.shape.intervals / spent


def main(_arguments: Sequence[str]) -> None:
    """Print the table: medians of runs of the variants in turn."""
    found: dict[str, list[float]] = {name: [] for name, _, _ in VARIANTS}
    for seed in range(REPEATS):
        for name, plan, _ in VARIANTS:
            found[name].append(intervals_per_cpu_s(plan, seed))
    print(f"| 13 homes, 4 validators, {INTERVALS} intervals | intervals a CPU s | target |")
    print("|---|---|---|")
    for name, _, target in VARIANTS:
        print(f"| {name} | {median(found[name]):.1f} | {target} |")


if __name__ == "__main__":
    main(sys.argv[1:])
