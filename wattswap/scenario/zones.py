"""[zones]: parts of the community between which a traded kWh costs a grid fee, and in which one each home is."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from market.mechanism import MECHANISMS
from wattswap.scenario.fields import Fee, HomeId
from wattswap.scenario.grid import faults_of_rounds, one_place_each
from wattswap.scenario.time import Faults, Table, finish


class FeeZones(Table):
    """[zones]: parts of the community between which a traded kWh costs a grid fee."""

    names: tuple[str, ...] = Field(strict=False, description="Names of the zones, as in ['north', 'south'].")
    fee_per_kwh: tuple[Annotated[tuple[Fee, ...], Field(strict=False)], ...] = Field(
        strict=False,
        description="Fee of a traded kWh: a row for each zone sold from, a column for each zone bought in.",
    )
    homes: Annotated[dict[HomeId, str], BeforeValidator(one_place_each)] = Field(
        description="Zone of each home."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults: Faults = []
        count = len(self.names)
        twice = [name for i, name in enumerate(self.names) if name in self.names[:i]]
        if twice:
            faults.append(("names", f"zone {twice[0]!r} is named twice", "name each zone once"))
        elif not count:
            faults.append(("names", "names no zone", 'give names = ["north", "south"], or remove the table'))
        elif len(self.fee_per_kwh) != count or any(len(row) != count for row in self.fee_per_kwh):
            cure = "give a row for each zone sold from, with a fee for each zone bought in, in the order of names"
            faults.append(("fee_per_kwh", f"must be {count} rows of {count} fees", cure))
        finish(faults)
        return self


def faults_of_zones(zones: FeeZones | None, mechanism: str, rounds: int) -> Faults:
    """What does not go together with a mechanism that clears zones; nothing for another mechanism.

    Args:
        zones: The table, where there is one.
        mechanism: Name of the mechanism.
        rounds: Rounds of the market of an interval.
    """
    found = MECHANISMS.all().get(mechanism)
    if found is None or not found.promises.needs_zones:
        return []
    faults = faults_of_rounds(mechanism, rounds)
    if zones is None:
        cure = "add a table [zones] with names, fee_per_kwh and homes, or choose another mechanism"
        faults.append(("market.mechanism", f"{mechanism} needs zones, and the scenario has none", cure))
    return faults
