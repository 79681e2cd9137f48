"""The zones of a case: names and a matrix of fees in decimal numbers become `market.zones`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from market.errors import InvalidZones
from market.units import price
from market.zones import Zones
from wattswap.cases.grid import listed_names
from wattswap.inputs.collector import CaseReader


def zone_names(read: CaseReader, zones: Any) -> dict[str, int]:
    """Index of each zone by its name."""
    if not isinstance(zones, Mapping) or "names" not in zones:
        read.note("zones", "must be an object with 'names' and 'fee_per_kwh'")
        return {}
    return listed_names(read, zones["names"], "zones.names")


def read_zones(read: CaseReader, zones: Any, names: Mapping[str, int]) -> Zones | None:
    """Read zones and fees; what is wrong with them is noted.

    Args:
        read: Collects what is wrong.
        zones: As JSON holds them.
        names: The zones, as `zone_names` reads them.

    Returns:
        The zones, None where they are none.
    """
    if not names:
        return None
    before = len(read.problems)
    given = read.mapping(zones, "zones", {"names", "fee_per_kwh"}, set())
    rows = [
        [
            read.micro(fee, f"zones.fee_per_kwh[{a}][{b}]")
            for b, fee in enumerate(read.items(row, f"zones.fee_per_kwh[{a}]"))
        ]
        for a, row in enumerate(read.items(given.get("fee_per_kwh", []), "zones.fee_per_kwh"))
    ]
    if len(rows) != len(names) or any(len(row) != len(names) for row in rows):
        cure = "a row for each zone sold from, with a fee for each zone sold to, in the order of 'names'"
        read.note("zones.fee_per_kwh", f"must be a matrix of {len(names)} by {len(names)} fees", cure)
    if len(read.problems) > before:
        return None
    try:
        return Zones(tuple(names), np.array(rows, dtype=np.int64))
    except InvalidZones as invalid:
        for problem in invalid.problems:
            read.note("zones", problem)
        return None


def zones_as_case(zones: Zones) -> dict[str, Any]:
    """Zones as a case holds them, which are read back as the same zones."""
    fees = [[price(fee) for fee in row] for row in zones.fee_micro_per_kwh.tolist()]
    return {"names": list(zones.names), "fee_per_kwh": fees}
