"""One run in a fresh process, timed from after the imports to the finished folder: data, the run, all files written.

Usage: python -m benchmarks.one_run SCENARIO OUT [KEY=VALUE ...]
"""

from __future__ import annotations

import json
import resource
import sys
import time

import highspy  # noqa: F401  what a run imports is imported before the time starts
import pandas as pd  # noqa: F401
import pyarrow.feather
import pyarrow.parquet  # noqa: F401
import pyomo.environ  # noqa: F401

from wattswap.runs import engine
from wattswap.scenario.load import load


def rss_mb() -> float:
    """Memory of this process now. [MB]"""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def main(argv: list[str]) -> None:
    """Print the figures of the run as one JSON object; memory is read at each tenth of it."""
    loaded = load(argv[0], overrides=argv[2:])
    seen: list[int] = []

    def watch(done: int, total: int, _price: object) -> None:
        if done * 10 % total < 10:
            seen.append(round(rss_mb()))

    begun, cpu = time.perf_counter(), time.process_time()
    result = engine.run(loaded, out=argv[1], on_progress=watch)
    found = {
        "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "rss_mb": seen,
        **{name: result.metrics[name] for name in ("intervals", "orders", "traded_kwh")},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
