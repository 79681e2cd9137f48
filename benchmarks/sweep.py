"""A sweep of four points and two mechanisms over a week of the bundled street, in one and in two processes.

The command runs as a process of its own. `homes.battery_kwh` is varied, so the points share no market; with the two
bounds each point has four cells.

Usage: python -m benchmarks.sweep [--json]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

JOBS = (1, 2)
CELLS = 4 * 4


def sweep(jobs: int) -> dict[str, float]:
    """Run the command once: wall time, and CPU time of all its processes. [s]"""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", "from wattswap.cli import main; main()", "sweep", "demo"]
        command += ["--vary", "homes.battery_kwh=0:15:5", "-m", "uniform_price", "-m", "mcafee"]
        command += ["--jobs", str(jobs), "--out", out, "--quiet", "--json"]
        begun, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - begun, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu_seconds": cpu}


def main(argv: list[str]) -> None:
    """Print the table, or JSON."""
    found: list[dict[str, Any]] = [{"jobs": jobs, "cells": CELLS, **sweep(jobs)} for jobs in JOBS]
    if "--json" in argv:
        print(json.dumps(found))
        return
    print("4 points x 2 mechanisms and 2 bounds, a week of the street")
    print(f"{'jobs':>4} {'cells':>5} {'seconds':>8} {'CPU s':>8}")
    for row in found:
        print(f"{row['jobs']:>4} {row['cells']:>5} {row['seconds']:>8.1f} {row['cpu_seconds']:>8.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
