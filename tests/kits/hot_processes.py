"""A process whose sessions are hot starts others by a method, which solve with sessions of their own."""

from __future__ import annotations

import json
import multiprocessing
import sys

import numpy as np

from benchmarks.memory import SESSIONS

PROCESSES, SOLVES = 3, 5


def answers(_: int = 0) -> list[str]:
    """What each session makes of its first books, as text without addresses."""
    found = []
    for make in SESSIONS.values():
        solve = make()
        for i in range(SOLVES):
            done = solve(i)
            found.append(
                repr([np.asarray(getattr(done, name)).tolist() for name in _ANSWER if hasattr(done, name)])
            )
    return found


_ANSWER = ("accepted_wh", "price_micro_per_kwh", "welfare_nano", "cost_nano")


def main(method: str) -> None:
    """Print whether all processes found what this one had found before they were started."""
    here = answers()
    with multiprocessing.get_context(method).Pool(PROCESSES) as pool:
        found = pool.map_async(answers, range(PROCESSES), chunksize=1)
        again = answers()  # while the others solve too
        elsewhere = found.get(timeout=100)
    print(json.dumps({"answers": len(here), "equal": all(one == here for one in (again, *elsewhere))}))


if __name__ == "__main__":
    main(sys.argv[1])
