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
from wattswap.errors import InvalidScenario, Problem
from wattswap.runs.places import misplaced, nowhere, place_of_each

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


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
    for name, what, cure in misplaced(given.homes, {*homes, *roster}, given.names, "a zone"):
        problems += scenario.invalid(("zones", "homes", name), what, cure).problems
    found = place_of_each(given.homes, roster)
    first, what = nowhere(roster, found, "zone")
    if first:
        cure = f'write zones.homes.{first} = "{given.names[0]}"'
        problems += scenario.invalid("zones.homes", what, cure).problems
    if problems or zones is None:
        raise InvalidScenario(*problems)
    place = {name: i for i, name in enumerate(given.names)}
    return RunZones(zones, np.array([place[str(zone)] for zone in found], dtype=np.int64))
