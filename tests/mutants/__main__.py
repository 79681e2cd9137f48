"""`python -m tests.mutants`: run all mutants, or those that are named; exit code 1 where one is not killed."""

from __future__ import annotations

import argparse
import sys
from time import monotonic

from tests.mutants.runner import WORKERS, outcomes
from tests.mutants.table import EQUIVALENT, MUTANTS


def main() -> int:
    """Print a line for each mutant."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants, or the beginnings of their names; none for all")
    parser.add_argument("--workers", type=int, default=WORKERS, help="how many run at a time")
    parser.add_argument("--list", action="store_true", help="say what each one allows, and run none")
    given = parser.parse_args()
    if given.workers < 1:
        parser.error("--workers: at least 1")
    wanted = [one for one in MUTANTS if not given.names or one.name.startswith(tuple(given.names))]
    if not wanted:
        parser.error(f"no mutant begins with {' or '.join(given.names)}")
    if given.list:
        for one in wanted:
            print(f"{one.name:40} {one.file}: {one.allows}")
        return 0
    begun, left = monotonic(), 0
    for outcome in outcomes(wanted, given.workers):
        left += not outcome.is_killed
        said = f"killed by {outcome.failed}" if outcome.is_killed else f"NOT KILLED: {outcome.problem}"
        print(f"{outcome.mutant.name:40} {outcome.seconds:5.0f} s  {said}", flush=True)
    print(
        f"{len(wanted) - left} of {len(wanted)} mutants killed in {monotonic() - begun:.0f} s;"
        f" {len(EQUIVALENT)} change nothing that can be seen"
    )
    return 1 if left else 0


sys.exit(main())
