"""The zones of a run: the fees between them, every home in one, and how an interval of theirs is settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market.clearing import Clearing
from market.errors import InvalidZones
from market.settlement.zones import GridTerms
from market.units import IntArray
from market.zones import Zones
from wattswap.errors import InvalidScenario, Problem, suggest

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario

MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class RunZones:
    """The zones of a run.

    Args:
        zones: Their names and fees.
        zone_of_home: Of each home of the roster, shape (homes,).
    """

    zones: Zones
    zone_of_home: IntArray

    def terms(self, clearing: Clearing) -> GridTerms:
        """How a cleared interval is settled: deviations net inside of a zone, and the fees are the grid operator's."""
        nowhere = np.zeros(len(self.zone_of_home), dtype=np.bool_)
        prices = tuple(None if one is None else one.price for one in clearing.node_price)
        return GridTerms(self.zone_of_home, prices, nowhere, nowhere)


def zones_of(scenario: Scenario, homes: Sequence[str], roster: Sequence[str]) -> RunZones | None:
    """Find the zone of each home; None where the scenario has no zones.

    Args:
        homes: Ids of all homes in the data.
        roster: Ids of those that take part; one that was drawn again, NAME#2, is where NAME is.

    Raises:
        InvalidScenario: Everything that is wrong with fees and homes.
    """
    given = scenario.zones
    if given is None:
        return None
    problems, zones = list[Problem](), None
    try:
        zones = Zones(given.names, np.array(given.fee_per_kwh, dtype=np.int64))
    except InvalidZones as invalid:
        for what in invalid.problems:
            problems += scenario.invalid("zones", what, "correct zones.fee_per_kwh").problems
    known = {*homes, *roster}
    for name, zone in given.homes.items():
        if name not in known:
            what = f"the data have no home {name!r}"
            problems += scenario.invalid(
                ("zones", "homes", name), what, suggest(name, sorted(known))
            ).problems
        if zone not in given.names:
            what = f"{zone!r} is not a zone"
            problems += scenario.invalid(("zones", "homes", name), what, suggest(zone, given.names)).problems
    found = [given.homes.get(name, given.homes.get(name.partition("#")[0])) for name in roster]
    nowhere = [name for name, zone in zip(roster, found, strict=True) if zone is None]
    if nowhere:
        named = ", ".join(map(repr, nowhere[:MOST_NAMED]))
        others = f" and {len(nowhere) - MOST_NAMED} others" if len(nowhere) > MOST_NAMED else ""
        what = f"home{'s' if len(nowhere) > 1 else ''} {named}{others} mapped to no zone"
        cure = f'write zones.homes.{nowhere[0]} = "{given.names[0]}"'
        problems += scenario.invalid("zones.homes", what, cure).problems
    if problems or zones is None:
        raise InvalidScenario(*problems)
    place = {name: i for i, name in enumerate(given.names)}
    return RunZones(zones, np.array([place[str(zone)] for zone in found], dtype=np.int64))
