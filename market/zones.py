"""Zones of a market, and the grid fee of a kWh from each zone to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.errors import InvalidZones
from market.units import MICRO_PER_UNIT, IntArray

MOST_FEE_MICRO = 1_000 * MICRO_PER_UNIT
"""A fee beyond this is a mistake in the unit. [micro-currency/kWh]"""


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Zones by name, and a matrix of fees; an order's `node` is an index into them.

    Args:
        names: Each once.
        fee_micro_per_kwh: Of energy sold in the zone of the row and bought in the zone of the column, shape
            (zones, zones); the diagonal is the fee inside a zone. [micro-currency/kWh]

    Raises:
        InvalidZones: Lists everything that is wrong.
    """

    names: tuple[str, ...]
    fee_micro_per_kwh: IntArray

    def __post_init__(self) -> None:
        count, fee = len(self.names), self.fee_micro_per_kwh
        problems = [] if count else ["a market with zones needs at least one"]
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        problems += [f"zone {name!r} is named twice" for name in twice]
        if fee.shape != (count, count):
            problems.append(f"the fees of {count} zones are {count} rows of {count}")
        elif count:
            problems += self._wrong_fees()
        if problems:
            raise InvalidZones(problems)

    def __len__(self) -> int:
        return len(self.names)

    def _wrong_fees(self) -> list[str]:
        fee, names = self.fee_micro_per_kwh, self.names
        wrong = np.argwhere((fee < 0) | (fee > MOST_FEE_MICRO)).tolist()
        if wrong:
            return [
                f"the fee from {names[a]!r} to {names[b]!r} is {fee[a, b] / MICRO_PER_UNIT:g} per kWh; it must lie"
                f" between 0 and {MOST_FEE_MICRO // MICRO_PER_UNIT}"
                for a, b in wrong
            ]
        # Energy could be sold and bought again on the way: a fee that nobody would pay is a mistake in the matrix.
        around = fee[:, :, None] + fee[None, :, :]  # from, by way of, to
        by_way = around.argmin(axis=1)
        dear = np.argwhere(fee > around.min(axis=1)).tolist()
        return [
            f"the fee from {names[a]!r} to {names[b]!r} is higher than that by way of {names[by_way[a, b]]!r}"
            for a, b in dear
        ]
