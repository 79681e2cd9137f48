"""Bidding strategies against their literature: how much of the gain from trade they reach, and how prices settle.

Three markets of 11 buyers and 11 sellers of one unit, and the wholesale market of nine cells, all in `classroom`.
Shares of the largest gain at true values, in percent, as ratios of sums over all seeds. The number of rounds belongs
to a band: with one round none of them holds.

Usage: python -m benchmarks.replications.strategies [--write]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import wattswap as ws
from benchmarks.replications.classroom import (
    GRID,
    Classroom,
    Day,
    Traders,
    drawn,
    equilibrium,
    flat_supply,
    share_percent,
    symmetric,
    wholesale,
)
from wattswap.comparison.cells import run_cell
from wattswap.runs.prepare import prepare

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "benchmarks.md"
BEGIN, END = "<!-- strategies: begin -->", "<!-- strategies: end -->"

MARKETS: dict[str, Callable[[int], Traders]] = {
    "symmetric": lambda seed: symmetric(),
    "flat supply": lambda seed: flat_supply(),
    "drawn": drawn,
}
DAYS, SEEDS = 10, 30
GRID_DAYS, GRID_SEEDS = 600, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One figure and the band that it must lie in.

    Args:
        rounds: Of each day's market.
        least: Lower end of the band; None without one.
        most: Upper end of the band; None without one.
    """

    strategy: str
    market: str
    rounds: int
    what: str
    ours: float
    least: float | None = None
    most: float | None = None

    @property
    def inside(self) -> bool:
        """Whether it lies in the band."""
        return self.within(0.0)

    def within(self, more: float) -> bool:
        """Whether it lies in a band that is wider by so much at both ends."""
        low, high = self.least, self.most
        return (low is None or self.ours >= low - more) and (high is None or self.ours <= high + more)

    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        ends = {"at least": self.least, "at most": self.most}
        band = ", ".join(f"{words} {end:g}" for words, end in ends.items() if end is not None)
        return (
            self.strategy,
            self.market,
            str(self.rounds),
            self.what,
            f"{self.ours:.2f}",
            band or "measured",
            "yes" if self.inside else "no",
        )


HEAD = ("strategy", "market", "rounds", "figure", "here", "band", "inside")


def classes(strategy: str, market: str, rounds: int, seeds: int, days: int = DAYS) -> list[list[Day]]:
    """The days of a market, for every seed."""
    return [Classroom(MARKETS[market](seed), strategy, rounds, seed).days(days) for seed in range(seeds)]


def later(found: list[list[Day]]) -> float:
    """The share of the gain on all days but the first."""
    return share_percent([day for days in found for day in days[1:]])


def zero_intelligence(seeds: int = SEEDS) -> Iterator[Found]:
    """ZI-C (Gode, Sunder 1993), and ZI-U below it, at what all values less all costs come to where all units trade."""
    for market in MARKETS:
        for rounds, least, most in ((10, 88.0, 95.0), (30, 95.0, None)):
            ours = later(classes("zi_c", market, rounds, seeds))
            yield Found(
                strategy="zi_c",
                market=market,
                rounds=rounds,
                what="% of the gain, days 2-10",
                ours=ours,
                least=least,
                most=most,
            )
        unconstrained = classes("zi_u", market, 30, seeds)
        yield Found(
            strategy="zi_u",
            market=market,
            rounds=30,
            what="% of the gain, days 2-10",
            ours=later(unconstrained),
            most=ours - 10,
        )
        whole = [day for days in unconstrained for day in days if day.units == len(day.traders.values)]
        off = max(abs(day.gain_nano - day.traders.all_nano) for day in whole) if whole else float("nan")
        yield Found(
            strategy="zi_u",
            market=market,
            rounds=30,
            what=f"gain less all values less all costs, on {len(whole)} days on which all units traded",
            ours=off,
            least=0.0,
            most=0.0,
        )


def demo(days: int = 28) -> Iterator[Found]:
    """ZI-C on the bundled demo, whose buyers have one value and sellers another: share of what could be traded."""
    for rounds, least, most in ((1, 0.66, 0.74), (5, 0.97, None)):
        settings = [
            "homes.strategy=zi_c",
            "market.mechanism=continuous",
            f"market.rounds={rounds}",
            f"time.days={days}",
        ]
        intervals = run_cell(prepare(ws.demo(overrides=settings))).intervals
        traded, demand, supply = (np.array(intervals[n]) for n in ("traded_wh", "demand_wh", "supply_wh"))
        ours = float(traded.sum() / np.minimum(demand, supply).sum())
        yield Found(
            strategy="zi_c",
            market="demo",
            rounds=rounds,
            what="share of the energy that could be traded",
            ours=ours,
            least=least,
            most=most,
        )


def adaptive(seeds: int = SEEDS) -> Iterator[Found]:
    """ZIP (Cliff 1997), GD (Gjerstad, Dickhaut 1998) and AA (Vytelingum and others 2008), with ten rounds."""
    bands: dict[str, tuple[float | None, float | None]] = {
        "zip": (None, 95.0),
        "gd": (90.0, 97.0),
        "aa": (None, None),
    }
    for strategy, (day_one, days_later) in bands.items():
        for market in MARKETS:
            found = classes(strategy, market, 10, seeds)
            alphas = [
                np.nanmean([days[day].alpha(equilibrium(days[day].traders)) for days in found])
                for day in (0, -1)
            ]
            line = partial(Found, strategy=strategy, market=market, rounds=10)
            first = share_percent([days[0] for days in found])
            yield line(what="% of the gain, day 1", ours=first, least=day_one)
            yield line(what="% of the gain, days 2-10", ours=later(found), least=days_later)
            ratio = float(alphas[1] / alphas[0])
            most = 0.5 if strategy == "zip" else None
            yield line(what="Smith's alpha, day 10 over day 1", ours=ratio, most=most)


def reinforcement(seeds: int = GRID_SEEDS, days: int = GRID_DAYS) -> Iterator[Found]:
    """Roth-Erev and its modification in the nine cells of Nicolaisen, Petrov and Tesfatsion (2001), the last tenth."""
    means = {}
    for strategy in ("modified_roth_erev", "roth_erev"):
        cells = {}
        for cell, size in GRID.items():
            rooms = [Classroom(wholesale(*size), strategy, 1, seed, "pay_as_bid") for seed in range(seeds)]
            cells[cell] = share_percent([day for room in rooms for day in room.days(days)[-days // 10 :]])
        means[strategy] = float(np.mean(list(cells.values())))
        least_cell, least_mean = (90.0, 95.0) if strategy == "modified_roth_erev" else (None, None)
        line = partial(Found, strategy=strategy, rounds=1)
        worst = min(cells, key=cells.__getitem__)
        market = f"lowest of 9 cells: concentration {worst[0]:g}, capacity {worst[1]:g}"
        yield line(market=market, what="% of the gain", ours=cells[worst], least=least_cell)
        yield line(market="9 cells", what="% of the gain, mean", ours=means[strategy], least=least_mean)
    gap = means["modified_roth_erev"] - means["roth_erev"]
    yield Found(
        strategy="modified_roth_erev",
        market="9 cells",
        rounds=1,
        what="points above roth_erev",
        ours=gap,
        least=10.0,
    )


def as_markdown(found: list[Found]) -> str:
    """The table for a page."""
    lines = [HEAD, ("---",) * len(HEAD), *(one.cells() for one in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(found: list[Found]) -> None:
    """Put the table between the marks of docs/reference/benchmarks.md."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{as_markdown(found)}\n{END}{after}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Print the table; 1 where a figure lies outside its band."""
    found = []
    for part in (demo, zero_intelligence, adaptive, reinforcement):
        for one in part():
            found.append(one)
            print("  ".join(one.cells()), flush=True)
    if "--write" in arguments:
        write(found)
    return int(not all(one.inside for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
