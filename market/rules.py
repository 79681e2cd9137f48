"""What a mechanism may depend on, and nothing else: no clock, no global random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from market.errors import InvalidRules, did_you_mean
from market.grid import Grid
from market.units import PPM
from market.zones import Zones

Rationing = Literal["pro_rata", "time", "random"]
Solver = Literal["highs", "exact", "pyomo"]
Value = int | str | tuple[tuple[int, ...], ...] | None
"""A parameter in the unit inside: a number, a word, or lists of participants."""


@dataclass(frozen=True, slots=True)
class MarketRules:
    """The declared rules of one market.

    Args:
        k_ppm: Where in the price interval the price lies: lo + k (hi - lo). [parts per million]
        rationing: Who is served at the margin: everybody in proportion, the earliest, or at random from a seed.
        seed: Seed of every random draw of the mechanism.
        solver: Which implementation of an optimizing mechanism runs; all give the same answer.
        retail_micro_per_kwh: Import price of the retailer; None where the mechanism need not know.
        feed_in_micro_per_kwh: Feed-in price of the retailer; None where the mechanism need not know.
        grid: Nodes and lines of the market; None where it has none.
        zones: Zones of the market and the fees between them; None where it has none.
        params: The mechanism's own parameters, by `Parameter.field`; read them with `Parameter.of`.
    """

    k_ppm: int = PPM // 2
    rationing: Rationing = "pro_rata"
    seed: int = 0
    solver: Solver = "highs"
    retail_micro_per_kwh: int | None = None
    feed_in_micro_per_kwh: int | None = None
    grid: Grid | None = None
    zones: Zones | None = None
    params: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidRules(f"the seed is {self.seed}; it must be 0 or more")
        if not 0 <= self.k_ppm <= PPM:
            raise InvalidRules(f"k is {self.k_ppm / PPM:g}; it must lie between 0 and 1")
        for value, choices, what in (
            (self.rationing, get_args(Rationing), "rationing"),
            (self.solver, get_args(Solver), "solver"),
        ):
            if value not in choices:
                raise InvalidRules(
                    f"unknown {what} {value!r}.{did_you_mean(str(value), choices)} Known: {', '.join(choices)}."
                )
