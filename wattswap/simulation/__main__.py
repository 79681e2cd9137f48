"""Simulate neighbourhoods: `python -m wattswap.simulation --seeds 0..200`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wattswap.cli.ending import ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run seeds or a plan, and return the exit code: 6 where something is violated."""

    def run() -> int:
        from wattswap.simulation.command import run  # inside, as Ctrl-C may come while it is imported

        return run(arguments)

    return ended(run)


if __name__ == "__main__":
    sys.exit(main())
