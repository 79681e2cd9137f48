"""The registered capacity of the homes' connections: what no honest reading can be above.

It is the power of `data.fuse_kw`, above which no reading of the data is, and on top of it what the devices of the home
take or give, which the run adds to the data. A home of a bundled neighbourhood whose data go above that has a larger
connection, that of its highest reading in whole kW: who runs them cannot correct them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.devices import DEVICES, most_power_w
from data.readings import MeterData
from market.units import IntArray
from p2p.blocks.members import energy_at
from wattswap.scenario.fields import iso

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


def capacities_of(
    fuse_w: int, minutes: int, import_wh: IntArray, export_wh: IntArray, devices: Mapping[str, Sequence[Any]]
) -> tuple[tuple[int, int], ...]:
    """Import and export of each home's connection, in roster order. [W]

    Args:
        fuse_w: Of the connection without devices. [W]
        minutes: Length of an interval. [min]
        import_wh: Metered import without devices, shape (intervals, homes). [Wh]
        export_wh: Metered export. [Wh]
        devices: One spec per home by device, None for a home without.
    """
    takes, gives = (_connection_w(fuse_w, wh, minutes) for wh in (import_wh, export_wh))
    whole_w = -(-60 // minutes)  # a device rounds the energy of an interval up to a whole Wh
    for name, specs in devices.items():
        device = DEVICES.get(name)
        for home, spec in enumerate(specs):
            if spec is not None:
                takes_w, gives_w = most_power_w(device, spec)
                takes[home] += takes_w + whole_w
                gives[home] += gives_w + whole_w
    return tuple(zip(takes, gives, strict=True))


def _connection_w(fuse_w: int, energy_wh: IntArray, minutes: int) -> list[int]:
    highest = energy_wh.max(axis=0, initial=0).tolist()
    return [
        fuse_w if energy <= energy_at(fuse_w, minutes) else -(-energy * 60 // (minutes * 1_000)) * 1_000
        for energy in highest
    ]


def refuse_above_connection(scenario: Scenario, meter: MeterData, first_row: int) -> None:
    """Refuse readings of the run that the connection of their home cannot carry.

    A meter file is checked as it is read; the readings of a store may have been read with another limit.

    Raises:
        InvalidScenario: Names the first home and interval of them.
    """
    if scenario.data.sample is not None:
        return
    most_wh = energy_at(scenario.data.fuse_w, meter.minutes)
    for what, energy_wh in (("import", meter.import_wh), ("export", meter.export_wh)):
        highest = energy_wh[first_row:].max(axis=0)
        above = np.flatnonzero(highest > most_wh)
        if len(above):
            home = int(above[0])
            row = first_row + int(np.argmax(energy_wh[first_row:, home] > most_wh))
            start_s = meter.start_s + row * meter.minutes * 60
            kw = int(energy_wh[row, home]) * 60 / meter.minutes / 1_000
            raise scenario.invalid(
                "data.fuse_kw",
                f"home {meter.households[home]!r} has an {what} of {kw:g} kW in the interval at {iso(start_s)}, above"
                f" its connection of {scenario.data.fuse_w / 1_000:g} kW",
                f"correct the reading, or set data.fuse_kw to {-(-kw // 1):g} or more",
            )
