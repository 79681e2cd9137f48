"""Whole runs: 1,000 homes for a day, 100 homes for a year, with time, memory and yardsticks of the same machine.

With `--thinking` a year of 100 homes with batteries that plan, in hours: a quarter of an hour of CPU.

Usage: python -m benchmarks.runs [--json] [--year] [--thinking]
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.neighbourhood import write_neighbourhood


def run_once(scenario: Path, *overrides: str) -> dict[str, object]:
    """Run a scenario in a fresh process and return its figures."""
    with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as out:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.one_run", str(scenario), out, *overrides],
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def python_loop_s() -> float:
    """A fixed piece of pure Python, to tell a slow machine from a slow program. [s]"""
    begun, total = time.process_time(), 0
    for i in range(5_000_000):
        total += i & 7
    assert total
    return time.process_time() - begun


def commit_ms(commits: int = 500) -> float:
    """Median of one durable SQLite commit of a block's size (WAL, synchronous=FULL): the floor of a block. [ms]"""
    with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE blocks (height INTEGER PRIMARY KEY, block BLOB)")
        times = []
        for i in range(commits):
            begun = time.perf_counter()
            connection.execute("INSERT INTO blocks VALUES (?, ?)", (i, bytes(1_200)))
            times.append(time.perf_counter() - begun)
        connection.close()
    return 1_000 * statistics.median(times)


THINKING = (
    "homes.control=plan",
    "homes.battery_kwh=10",
    "tariff.zone=Europe/Berlin",
    'tariff.time_of_use=[{days="all",from="17:00",to="21:00",import_per_kwh=0.48}]',
)
"""How homes think: with batteries of 10 kWh each and a peak price."""


def measure(year: bool, thinking: bool, repeats: int = 3) -> dict[str, object]:
    """Measure both runs; the day is the median of several, the year is run once."""
    found: dict[str, object] = {"python_loop_s": python_loop_s(), "sqlite_commit_ms": commit_ms()}
    with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
        thousand = write_neighbourhood(Path(folder) / "day", 1_000, 9)
        runs = [
            run_once(thousand, "time.start=2016-01-12T00:00:00Z", "time.intervals=96") for _ in range(repeats)
        ]
        found["day_of_1000_homes"] = sorted(runs, key=lambda run: str(run["wall_s"]))[repeats // 2]
        if year:
            hundred = write_neighbourhood(Path(folder) / "year", 100, 365)
            found["year_of_100_homes"] = run_once(hundred)
        if thinking:
            hours = write_neighbourhood(Path(folder) / "hours", 100, 365, minutes=60)
            found["year_of_100_thinking_homes"] = run_once(hours, *THINKING)
    found["python_loop_after_s"] = python_loop_s()
    return found


def main(arguments: list[str]) -> None:
    """Print the figures as a table, or as JSON."""
    found = measure("--year" in arguments, "--thinking" in arguments)
    if "--json" in arguments:
        print(json.dumps(found))
        return
    print(
        f"python loop of 5e6    {found['python_loop_s']:.2f} s before, {found['python_loop_after_s']:.2f} s after"
    )
    print(f"SQLite FULL commit    {found['sqlite_commit_ms']:.2f} ms (median), the floor of one block")
    targets = {
        "day_of_1000_homes": "under 3 s, 1 GB",
        "year_of_100_homes": "under 60 s, flat memory",
        "year_of_100_thinking_homes": "measured",
    }
    for name, target in targets.items():
        run = found.get(name)
        if not isinstance(run, dict):
            continue
        per_interval_ms = 1_000 * run["wall_s"] / run["intervals"]
        loops = run["cpu_s"] / found["python_loop_s"]  # type: ignore[operator]
        print(
            f"{name.replace('_', ' '):<21} {run['wall_s']:.2f} s wall, {run['cpu_s']:.2f} s CPU (= {loops:.1f} loops),"
            f" {per_interval_ms:.2f} ms an interval, {run['orders']} orders, peak {run['peak_mb']:.0f} MB;"
            f" target {target}"
        )
        print(f"{'':<21} memory at each tenth of the run: {', '.join(str(mb) for mb in run['rss_mb'])} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
