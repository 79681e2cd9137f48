"""[grid]: lines and transformers between the homes, and at which node each home is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from data.readings import home_id
from data.samples import grid_path
from market.mechanism import MECHANISMS
from wattswap.scenario.fields import HomeId, Wrong
from wattswap.scenario.time import Faults, Table, finish, missing_file, only_one


def one_place_each(value: Any) -> Any:
    """Refuse two places of one home, whose name Unicode spells in two ways."""
    if isinstance(value, dict):
        names = [home_id(name) for name in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Wrong(f"names home {twice!r} twice", "give each home one")
    return value


class StreetGrid(Table):
    """[grid]: lines and transformers between the homes."""

    sample: Literal["street"] | None = Field(
        default=None, description="The bundled grid of the bundled neighbourhood."
    )
    file: str | None = Field(
        default=None, description="JSON file of the grid, relative to the scenario file; powers in kW."
    )
    homes: Annotated[dict[HomeId, str], BeforeValidator(one_place_each)] = Field(
        default={}, description="Node of each home, over what the file says."
    )
    rent: Literal["grid_operator", "members"] = Field(
        default="grid_operator",
        description="Who gets the congestion rent: the grid operator, or all homes in equal parts.",
    )

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        faults: Faults = []
        if self.sample is None and self.file is None:
            faults.append(("", "names no grid", 'give file = "grid.json" or sample = "street"'))
        only_one(self, ("sample", "file"), faults)
        if self.file is not None:
            faults += missing_file("file", self.file, info)
        finish(faults)
        return self

    def path(self, base: Path) -> Path:
        """The file of the grid; paths count from a folder."""
        if self.sample is not None:
            return grid_path(self.sample)
        assert self.file is not None
        return base / self.file


def faults_of_rounds(mechanism: str, rounds: int) -> Faults:
    """What is wrong with several rounds of a mechanism that clears all places at once."""
    if rounds == 1:
        return []
    what = f"{mechanism} clears an interval once, and market.rounds is {rounds}"
    return [("market.mechanism", what, "remove market.rounds, or choose another mechanism")]


def faults_of_grid(grid: StreetGrid | None, mechanism: str, rounds: int, several_retailers: bool) -> Faults:
    """What does not go together with a mechanism that clears on a grid; nothing for another mechanism.

    Args:
        grid: The table, where there is one.
        mechanism: Name of the mechanism.
        rounds: Rounds of the market of an interval.
        several_retailers: Whether homes have several.
    """
    found = MECHANISMS.all().get(mechanism)
    if found is None or not found.promises.needs_grid:
        return []
    faults: Faults = []
    if grid is None:
        cure = 'add a table [grid] with file = "grid.json", or choose another mechanism'
        faults.append(("market.mechanism", f"{mechanism} needs a grid, and the scenario has none", cure))
    faults += faults_of_rounds(mechanism, rounds)
    if several_retailers:
        what = f"{mechanism} sells and buys outside at the prices of one retailer, and homes have several"
        faults.append(("market.mechanism", what, "remove homes.tariffs, or choose another mechanism"))
    return faults
