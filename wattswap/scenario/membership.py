"""The time in which a home is part of the community, as a scenario says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from wattswap.scenario.fields import Stamp, Wrong, instant_s, iso
from wattswap.scenario.time import Faults, Table

Term = tuple[int | None, int | None]
"""First instant of a membership, and the first after it; None where it is open. [s since 1970 UTC]"""


class Member(Table):
    """[homes.members.NAME]: when one home is part of the community."""

    joins: Stamp | None = Field(
        default=None, alias="from", description="First instant of the membership; left out: always before."
    )
    leaves: Stamp | None = Field(
        default=None, alias="to", description="First instant after the membership; left out: always after."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.joins is None and self.leaves is None:
            cure = "give from or to, or remove the table: homes without one are always members"
            raise Wrong("says neither from nor to", cure)
        return self


def terms_of(members: Mapping[str, Member], zone: str | None) -> dict[str, Term]:
    """The term of each home that has one.

    Args:
        members: The tables by home.
        zone: Time zone of local dates.

    Raises:
        Wrong: Everything that is wrong with any of them, by its key in the scenario.
    """
    faults: Faults = []
    found = {}
    for name, member in members.items():
        instants: list[int | None] = []
        for key, stamp in (("from", member.joins), ("to", member.leaves)):
            try:
                instants.append(None if stamp is None else instant_s(stamp, zone))
            except Wrong as wrong:
                faults += [(("homes", "members", name, key), what, cure) for _, what, cure in wrong.faults]
        if len(instants) < 2:
            continue
        joins, leaves = found[name] = (instants[0], instants[1])
        if joins is not None and leaves is not None and leaves <= joins:
            what = f"the membership would end at {iso(leaves)}, and it begins at {iso(joins)}"
            faults.append((("homes", "members", name, "to"), what, "let it end after it begins"))
    if faults:
        raise Wrong.all_of(faults)
    return found
