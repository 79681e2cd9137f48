"""The long run: `python -m tests.sim --seeds 1000 --n 4`, or `--mutant lock_ignored` for a wrong core."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from p2p.simulation.model import Result
from p2p.simulation.simulator import Simulation
from tests.sim.mutants import MUTANTS, Mutant


def run_seed(seed: int, n: int, mutant: str | None) -> Result:
    """Run one seed; a mutant runs without a guard before its keys."""
    if mutant is None:
        return Simulation(seed, n).run()
    wrong: Mutant = MUTANTS[mutant]
    return Simulation(seed, n, core=wrong.core, disk=wrong.disk, guarded=False).run()


def main() -> int:
    """Run the seeds, print every violation and a summary; the exit code is 1 where there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--n", type=int, default=4, help="authorities (default 4)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="a core with a wrong rule")
    given = parser.parse_args()
    began = time.monotonic()
    run = partial(run_seed, n=given.n, mutant=given.mutant)
    seeds = range(given.first, given.first + given.seeds)
    with ProcessPoolExecutor(given.jobs) as pool:
        results = list(pool.map(run, seeds, chunksize=10) if given.jobs > 1 else map(run, seeds))
    took_s = time.monotonic() - began
    bad = [result for result in results if result.violation is not None]
    for result in bad[:20]:
        print(f"seed {result.seed}: {result.violation}\n    {result.faults}")
    healed = sorted(result.healed_ms for result in results)
    print(
        f"n = {given.n}: {len(results)} seeds in {took_s:.1f} s ({len(results) / took_s:.1f}/s),"
        f" {len(bad)} violations; {sum(r.heights for r in results)} heights,"
        f" {sum(r.events for r in results)} events, {sum(r.crashes for r in results)} crashes,"
        f" {sum(r.evidence for r in results)} pieces of evidence, decided up to round"
        f" {max(r.rounds for r in results)}; two heights after GST took"
        f" {healed[len(healed) // 2]} ms (median), {healed[-1]} ms (most)"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
