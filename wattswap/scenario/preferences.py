"""[homes.preferences.NAME]: what some homes pay or ask for energy of neighbours beyond the outside prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import Field, model_validator

from market.units import PPM
from wattswap.scenario.fields import Portion, Price, Wrong, decimal_text
from wattswap.scenario.time import Faults, Table


class Preference(Table):
    """[homes.preferences.NAME]: what some homes pay or ask for energy of neighbours beyond the outside prices."""

    homes: Portion = Field(description="Which homes: a share of them, or a list of ids.")
    premium_micro_per_kwh: Price = Field(
        default=0,
        alias="premium_per_kwh",
        description="Pays up to this much more for energy of neighbours than for the retailer's; below 0: wants a"
        " discount.",
    )
    markup_micro_per_kwh: Price = Field(
        default=0,
        alias="markup_per_kwh",
        description="Asks at least this much more of neighbours than of the retailer; below 0: gives it away for less.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.premium_micro_per_kwh or self.markup_micro_per_kwh):
            raise Wrong("prefers nothing", "give premium_per_kwh or markup_per_kwh, or remove the table")
        return self


def faults_of_portions(portions: Iterable[Portion], rest: str) -> Faults:
    """What is wrong with shares and lists of homes that are given side by side.

    Args:
        rest: What the other homes have, in words.
    """
    faults: Faults = []
    portions = list(portions)
    named = [home for portion in portions if isinstance(portion, tuple) for home in portion]
    twice = next((home for home in named if named.count(home) > 1), None)
    if twice is not None:
        faults.append(("", f"names home {twice!r} twice", "name each home once"))
    shares = sum(portion for portion in portions if isinstance(portion, int))
    if shares > PPM:
        cure = f"let the shares sum to at most 1; the other homes have {rest}"
        faults.append(("", f"gives shares of {decimal_text(6)(shares)} of the homes", cure))
    return faults


def preference_words(preferences: Mapping[str, Mapping[str, object]]) -> str:
    """What homes prefer, from the resolved tables."""
    parts = []
    for name, table in preferences.items():
        homes = table["homes"]
        who = f"{len(homes)} homes" if isinstance(homes, list) else f"a share of {homes} of the homes"
        says = [
            f"{verb} {table[key]} per kWh beyond {of}"
            for key, verb, of in (
                ("premium_per_kwh", "pays up to", "the outside price"),
                ("markup_per_kwh", "asks at least", "the feed-in price"),
            )
            if table.get(key, "0") != "0"
        ]
        parts.append(f"{name} ({who}) {' and '.join(says)}")
    return f"{'; '.join(parts)}; a bill counts the money only" if parts else ""
