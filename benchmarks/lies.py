"""In how many drawn seeds each lie reaches somebody it can hurt: `python -m benchmarks.lies --seeds 12`.

A lie that seldom reaches anybody tests little, however many seeds are run. Each lie is of one node, for one home where
it has a victim, beside the drawn faults of a seed. [95 % interval of Wilson, J. Am. Stat. Assoc. 22 (1927) 209]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import sqrt

from wattswap.simulation.byzantine import LIES
from wattswap.simulation.byzantine.authorities import OF_AUTHORITIES
from wattswap.simulation.byzantine.homes import OF_HOMES
from wattswap.simulation.byzantine.sealing import JUNK_OF_HOMES, SHARES_OF_AUTHORITIES
from wattswap.simulation.byzantine.strangers import OF_STRANGERS
from wattswap.simulation.plan import STRANGER, Lie, Shape
from wattswap.simulation.sweep import Draw, run_seeds

TARGET = 0.3
"""Least share of seeds in which a lie reaches somebody."""
Z = 1.959964
"""Quantile of the normal distribution of a 95 % interval."""


def lie_of(name: str) -> Lie:
    """A lie of the node and for the home that the stored plans have."""
    if name in (*OF_AUTHORITIES, *SHARES_OF_AUTHORITIES):
        return Lie(name, "validator-3")
    if name in (*OF_HOMES, *JUNK_OF_HOMES):
        return Lie(name, "home-04")
    return Lie(name, STRANGER) if name in OF_STRANGERS else Lie(name, "operator-0", "home-04")


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share, of which `hits` of `trials` were counted."""
    share, square = hits / trials, Z * Z / trials
    middle = (share + square / 2) / (1 + square)
    half = Z * sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def row_of(name: str, seeds: range) -> str:
    """A row of the table."""
    # Some are lies about sealed orders, one is of homes whose meters have keys.
    sealed = name in (*SHARES_OF_AUTHORITIES, *JUNK_OF_HOMES)
    shape = Shape(sealed=sealed, meter_keys=13 if name == "own_reading" else 0)
    results = list(run_seeds(seeds, Draw(shape, (lie_of(name),))))
    broken = [one for one in results if one.error]
    if broken:
        raise RuntimeError(f"{name}, seed {broken[0].seed}: the simulation ended with {broken[0].error}")
    told = [one.told[name] for one in results if one.told[name]]
    low, high = wilson(len(told), len(results))
    verdict = "yes" if low >= TARGET else "no" if high < TARGET else "open"
    mean = f"{sum(told) / len(told):.0f}" if told else ""
    cells = (name, f"{len(told)} of {len(results)}", f"{low:.0%} to {high:.0%}", verdict, mean)
    return f"| {' | '.join(cells)} | {sum(one.cpu_s for one in results):.0f} |"


def main(arguments: Sequence[str]) -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser("python -m benchmarks.lies", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=12, metavar="N", help="seeds 0 to N - 1 of each lie (12)"
    )
    parser.add_argument(
        "--lie", action="append", choices=sorted(LIES), help="this lie alone; may be repeated"
    )
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds: {options.seeds} is out of range: use 1 or more")
    print(f"| lie | seeds | 95 % interval | at least {TARGET:.0%} | times in such a seed | CPU s |")
    print("|---|---|---|---|---|---|")
    for name in options.lie or LIES:
        print(row_of(name, range(options.seeds)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
