"""What homes went without, and what their batteries wore: what no bill counts, from the columns of their devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from agents.devices import DEVICES
from agents.meters import ALONE
from agents.state import whole_from_json
from market.units import IntArray
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.prepare import Setup

UNMET, OUTSIDE, WEAR = "unmet_wh", "outside_comfort_millidegree_h", "wear_nano"
COLUMNS: Final = tuple(f"{prefix}{name}" for name in (UNMET, OUTSIDE, WEAR) for prefix in ("", ALONE))
"""Columns of the bills of homes that have such devices; the second of a name is of the same homes without a market."""


class GoingWithout:
    """Sums per home, over the intervals in which it is a member; a name that no home has a device for is left out.

    Args:
        setup: The prepared scenario.
    """

    def __init__(self, setup: Setup) -> None:
        kinds = [DEVICES.get(name) for name, specs in setup.devices.items() if any(specs)]
        counted = {
            UNMET: [one.unmet for one in kinds],
            OUTSIDE: [name for one in kinds for name in one.outside],
            WEAR: [one.wear for one in kinds],
        }
        self._setup, self._counted = setup, counted
        self._sums: dict[str, IntArray] = {}

    def add(self, record: IntervalRecord) -> None:
        """Add the next interval."""
        takes_part = self._setup.takes_part(self._setup.index_of(record.start_s))
        for total, names in self._counted.items():
            found = [name for name in names if name in record.columns]
            if not found:
                continue
            here = _sum(record.columns, found)
            alone = [f"{ALONE}{name}" for name in found]
            without = _sum(record.columns, alone) if alone[0] in record.columns else here
            for name, column in ((total, here), (f"{ALONE}{total}", without)):
                self._sums[name] = self._sums.get(name, 0) + column * takes_part

    def columns(self) -> dict[str, IntArray]:
        """The columns of the bills."""
        return dict(self._sums)

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: column.tolist() for name, column in self._sums.items()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            TypeError, ValueError: It is not of the devices of these homes.
        """
        setup, columns = self._setup, set[str]()
        for name, specs in setup.devices.items():
            if any(specs):
                columns.update(DEVICES.get(name).fleet(specs, setup.minutes).columns)
        totals = [total for total, names in self._counted.items() if columns.intersection(names)]
        expected = {*totals, *(f"{ALONE}{total}" for total in totals)}
        if set(saved) != expected:
            raise ValueError(f"without has sums of {sorted(saved)}, not of {sorted(expected)}")
        shape = (len(setup.roster),)
        self._sums = {name: whole_from_json(name, column, shape) for name, column in saved.items()}


def _sum(columns: Mapping[str, IntArray], names: Iterable[str]) -> IntArray:
    total: IntArray = np.sum([columns[name] for name in names], axis=0)
    return total
