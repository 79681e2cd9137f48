"""One run of 96 hours with the default strategy at 1,000, 10,000 and 100,000 homes: time, memory, and whether it bends.

Three weeks before the run are history, so that homes bid the staircase. Each size is a fresh process; a size is
compared with the one before it by CPU seconds a home, of which 1.0 is linear.

Usage: python -m benchmarks.size [HOMES ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.neighbourhood import write_neighbourhood
from benchmarks.runs import python_loop_s, run_once

SIZES = (1_000, 10_000, 100_000)
HISTORY_DAYS, DAYS, MINUTES = 21, 4, 60


def main(argv: list[str]) -> None:
    """Print one line a size."""
    print(f"python loop {python_loop_s():.2f} s")
    before = 0.0
    for homes in map(int, argv or map(str, SIZES)):
        with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
            days = HISTORY_DAYS + DAYS
            scenario = write_neighbourhood(Path(folder), homes, days, minutes=MINUTES)
            run = run_once(scenario, "time.start=2016-01-25T00:00:00Z", "time.intervals=96")
        cpu_s, orders = float(str(run["cpu_s"])), int(str(run["orders"]))
        a_home = cpu_s / homes
        bend = f", {a_home / before:.2f} x the time a home of the size before" if before else ""
        print(
            f"{homes:>7} homes: {cpu_s:.1f} s CPU, {float(str(run['wall_s'])):.1f} s, {run['peak_mb']} MB,"
            f" {orders / 96:.0f} orders an interval{bend}",
            flush=True,
        )
        before = a_home


if __name__ == "__main__":
    main(sys.argv[1:])
