"""Twelve mechanisms, five seeds, a month of the bundled street: seconds and memory of `wattswap compare`.

The command runs as a process of its own, with two workers; memory is the largest sum of resident sizes of it and its
children that was seen, a look every 50 ms. A second call, which finds all cells done, is timed too.

Usage: python -m benchmarks.comparison [--json]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MECHANISMS = (
    "uniform_price",
    "pay_as_bid",
    "continuous",
    "mcafee",
    "sbba",
    "huang",
    "muda_lottery",
    "vcg",
    "mid_market_rate",
    "supply_demand_ratio",
    "random_bilateral",
    "gsy_pay_as_bid",
)
"""Twelve; the baseline and the upper bound come on top."""
SEEDS, DAYS = 5, 31
TARGETS = {"seconds": 120.0, "peak_mb": 1_500.0}
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(root: int) -> int:
    """Resident size of a process and all its descendants. [byte]"""
    parents, sizes = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                sizes[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * PAGE
            except (OSError, IndexError):
                continue
            parents[int(entry.name)] = int(fields[1])

    def below(process: int) -> bool:
        while process > 1:
            if process == root:
                return True
            process = parents.get(process, 0)
        return False

    return sum(size for process, size in sizes.items() if below(process))


def compare(strategy: str, out: Path) -> dict[str, float]:
    """Run the command once. [s, MB]"""
    chosen = [argument for name in MECHANISMS for argument in ("-m", name)]
    settings = ["--set", f"time.days={DAYS}", "--set", f"homes.strategy={strategy}"]
    command = [sys.executable, "-c", "from wattswap.cli import main; main()", "compare", "demo", *chosen]
    command += [*settings, "--seeds", str(SEEDS), "--jobs", "2", "--out", str(out), "--quiet", "--json"]
    begun, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(0.05)
        if process.returncode:
            assert process.stderr is not None
            raise SystemExit(process.stderr.read())
    return {"seconds": time.perf_counter() - begun, "peak_mb": peak / 1e6}


def rows() -> list[dict[str, Any]]:
    """Measure both strategies, each once anew and once with all cells there."""
    found = []
    for strategy in ("zi_c", "truthful"):
        with tempfile.TemporaryDirectory() as folder:
            for what in ("anew", "all there"):
                measured = compare(strategy, Path(folder))
                cells = (len(MECHANISMS) + 2) * SEEDS
                found.append({"strategy": strategy, "what": what, "cells": cells, **measured})
    return found


def main(argv: list[str]) -> None:
    """Print the table, or JSON."""
    found = rows()
    if "--json" in argv:
        print(json.dumps(found))
        return
    print(
        f"{len(MECHANISMS)} mechanisms, baseline and upper bound x {SEEDS} seeds x {DAYS} days, two workers"
    )
    print(f"{'strategy':<10} {'what':<10} {'cells':>5} {'seconds':>8} {'peak MB':>8}  target")
    for row in found:
        target = f"{TARGETS['seconds']:.0f} s, {TARGETS['peak_mb']:.0f} MB" if row["what"] == "anew" else ""
        print(
            f"{row['strategy']:<10} {row['what']:<10} {row['cells']:>5} {row['seconds']:>8.1f}"
            f" {row['peak_mb']:>8.0f}  {target}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
