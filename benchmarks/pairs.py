"""Two checkouts against each other: whole commands in alternating pairs, CPU seconds, ratio pair by pair.

A row is slower when the whole 90 % interval of the median ratio lies above 1.05. Both checkouts run with this
interpreter and with compiled modules, as an installed package does: each command runs once before it is measured.
What a command writes goes to a folder that is deleted.

Usage: python -m benchmarks.pairs OTHER_CHECKOUT [--pairs 9] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from math import comb
from pathlib import Path

from benchmarks.neighbourhood import write_neighbourhood

HERE = Path(__file__).resolve().parents[1]
BOUND = 1.05
TWELVE = (
    "uniform_price pay_as_bid mcafee trade_reduction sbba huang muda_lottery muda_vickrey vcg mid_market_rate"
    " supply_demand_ratio bill_sharing"
).split()
ROWS: dict[str, list[str]] = {
    "help": ["-m", "wattswap", "--help"],
    "list mechanisms": ["-m", "wattswap", "list", "mechanisms"],
    "run demo, a week": ["-m", "wattswap", "run", "demo", "--quiet"],
    "run 200 homes x 192": ["-m", "wattswap", "run", "{homes}", "--set", "time.days=2", "--quiet"],
    "compare 12 mechanisms": [
        *("-m", "wattswap", "compare", "demo", "--quiet", "--set", "time.days=1"),
        *("--set", 'market.imbalance="retailer"'),
        *(word for name in TWELVE for word in ("-m", name)),
    ],
    "check mechanism": ["-m", "wattswap", "check", "mechanism", "uniform_price", "--books", "100"],
    "clearing": ["-m", "benchmarks.clearing", "--json"],
    "consensus": ["-m", "benchmarks.consensus"],
}


def cpu_s(checkout: Path, arguments: list[str], homes: Path, compiled: str) -> float:
    """User and system seconds of a command and of all its processes; `compiled` is the folder of compiled modules."""
    words = [word.format(homes=homes) if word == "{homes}" else word for word in arguments]
    with tempfile.TemporaryDirectory(prefix="wattswap-pairs-") as folder, open(os.devnull, "w") as sink:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "PYTHONPYCACHEPREFIX": compiled,
                "PYTHONDONTWRITEBYTECODE": "",
            },
            stdout=sink,
            stderr=sink,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode} in {checkout.name}")
    return used.ru_utime + used.ru_stime


def interval_of_median(ratios: list[float]) -> tuple[float, float]:
    """A 90 % interval of the median from order statistics, by the binomial distribution."""
    n, ordered = len(ratios), sorted(ratios)
    below, k = 0.0, 0
    while k < n // 2 and (below := below + comb(n, k) / 2**n) <= 0.05:
        k += 1
    k = max(k - 1, 0)
    return ordered[k], ordered[n - 1 - k]


def main(argv: list[str]) -> None:
    """Print a row a command, and which are slower."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs")
    parser.add_argument("other", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    given = parser.parse_args(argv)
    slower = []
    print(f"{'command':<24} {'other s':>8} {'this s':>8} {'ratio':>6}  90 % interval", flush=True)
    with tempfile.TemporaryDirectory(prefix="wattswap-homes-") as folder:
        compiled = str(Path(folder) / "compiled")
        homes = write_neighbourhood(Path(folder) / "homes", homes=200, days=10)
        for name in given.only:
            other, this = [], []
            for checkout in (given.other.resolve(), HERE):
                cpu_s(checkout, ROWS[name], homes, compiled)
            for i in range(given.pairs):
                for checkout in (given.other.resolve(), HERE)[:: 1 if i % 2 else -1]:
                    (this if checkout == HERE else other).append(cpu_s(checkout, ROWS[name], homes, compiled))
            ratios = [new / old for new, old in zip(this, other, strict=True)]
            low, high = interval_of_median(ratios)
            slower += [name] if low > BOUND else []
            old_s, new_s, ratio = map(statistics.median, (other, this, ratios))
            print(f"{name:<24} {old_s:8.2f} {new_s:8.2f} {ratio:6.3f}  {low:.3f} .. {high:.3f}", flush=True)
    print(f"above {BOUND}: {', '.join(slower) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
