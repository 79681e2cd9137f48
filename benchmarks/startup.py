"""Start-up: `wattswap --help` and `import wattswap` against a bare Python start of the same run.

Usage: python -m benchmarks.startup [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "bare python": [sys.executable, "-c", "pass"],
    "import wattswap": [sys.executable, "-c", "import wattswap"],
    "wattswap --help": [str(Path(sys.executable).parent / "wattswap"), "--help"],
}


def measure(repeats: int = 9) -> dict[str, float]:
    """Median wall time of each command, taken in turns. [s]"""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in times.items()}


def main(arguments: list[str]) -> None:
    """Print the medians as a table, or as JSON."""
    found = measure()
    if "--json" in arguments:
        print(json.dumps(found))
        return
    bare = found["bare python"]
    targets = {"import wattswap": "within 0.3 s of bare Python", "wattswap --help": "within 0.4 s"}
    for name, seconds in found.items():
        target = f"; target {targets[name]}" if name in targets else ""
        print(f"{name:<16} {seconds:.3f} s, bare Python {seconds - bare:+.3f} s{target}")


if __name__ == "__main__":
    main(sys.argv[1:])
