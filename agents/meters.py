"""What the meters of homes show after an interval: two registers each, and what their devices say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from market.units import IntArray

ALONE = "alone_"
"""Begins the names of what registers and devices would show if homes had no market to react to, where they do."""


@dataclass(frozen=True, slots=True, eq=False)
class Meters:
    """What the meters of all homes show after an interval.

    Args:
        import_wh: Import register, simulated devices included. [Wh]
        export_wh: Export register, simulated devices included. [Wh]
        columns: Further values of the devices, such as "stored_wh".
    """

    import_wh: IntArray
    export_wh: IntArray
    columns: Mapping[str, IntArray]


def registers(
    import_wh: IntArray, export_wh: IntArray, net_wh: IntArray, moved_wh: IntArray
) -> tuple[IntArray, IntArray]:
    """Both registers of homes with their devices. [Wh]

    A device that takes energy first uses what the home exported beyond its import, one that gives first covers the
    reverse, so both registers stay at or above 0, and where both moved, the devices of a home touch only the
    difference.

    Args:
        import_wh: Import without them. [Wh]
        export_wh: Export without them. [Wh]
        net_wh: What homes are known to need without them. [Wh]
        moved_wh: What all devices of a home take, negative where they give. [Wh]
    """
    taken, given = np.maximum(moved_wh, 0), np.maximum(-moved_wh, 0)
    less_export = np.minimum(taken, np.maximum(-net_wh, 0))
    less_import = np.minimum(given, np.maximum(net_wh, 0))
    return import_wh - less_import + (taken - less_export), export_wh - less_export + (given - less_import)
