"""Deemed use: what a home counts as having metered in an interval of which no reading of it is there.

Of all readings that its connection allows it is the one at which the home pays the most, all it has not traded being
settled at its outside prices. So no reading that it could have given costs more, and silence never pays. Import at the
capacity would not do: where prices are negative it pays the home, and where a home has sold, so may what it lacks.

What a home pays is linear in both registers but at two lines: where import equals export, behind which the meter nets
them, and where their difference is what the home has traded. A function that is linear in each part of a rectangle has
its largest value at a corner of a part, so it is enough to compare all corners.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.settlement.tariff import AnyPrices
from market.units import IntArray


class Registers(NamedTuple):
    """Registers of homes, one value each. [Wh]"""

    import_wh: IntArray
    export_wh: IntArray


def outside_cost_nano(
    import_wh: IntArray, export_wh: IntArray, traded_wh: IntArray, prices: AnyPrices
) -> IntArray:
    """What homes pay besides their trades where they net nothing with others, as `settle` posts it. [nano-currency]

    Args:
        import_wh: Metered import, the homes in the last axis. [Wh]
        export_wh: Metered export. [Wh]
        traded_wh: Bought less sold. [Wh]
        prices: Outside prices and grid fees of the interval.
    """
    both, beyond_wh = np.minimum(import_wh, export_wh), import_wh - export_wh - traded_wh
    bought, sold = both + np.maximum(beyond_wh, 0), both + np.maximum(-beyond_wh, 0)
    cost: IntArray = (
        bought * np.asarray(prices.buy_cap_micro_per_kwh)
        + import_wh * prices.grid_fee_local_micro_per_kwh
        - sold * np.asarray(prices.feed_in_micro_per_kwh)
    )
    return cost


def deemed_wh(traded_wh: IntArray, most: Registers, prices: AnyPrices) -> Registers:
    """The registers with which homes are settled that have given no reading.

    Of several that cost the same it is the first of: full import, full export, nothing, both in full, and then those at
    which the meter shows as much import as export, or what was traded.

    Args:
        traded_wh: Bought less sold. [Wh]
        most: What the connection of each home carries in the interval. [Wh]
        prices: Outside prices and grid fees of the interval.
    """
    zero, less = np.zeros_like(traded_wh), np.minimum(most.import_wh, most.export_wh)
    # On the line of what was traded: with as little, and with as much as fits, behind the meter at once.
    high_export = np.clip(most.import_wh - traded_wh, 0, most.export_wh)
    corners = (
        (most.import_wh, zero),
        (zero, most.export_wh),
        (zero, zero),
        (most.import_wh, most.export_wh),
        (less, less),
        (np.clip(traded_wh, 0, most.import_wh), np.clip(-traded_wh, 0, most.export_wh)),
        (np.clip(high_export + traded_wh, 0, most.import_wh), high_export),
    )
    imported, exported = (np.stack(column) for column in zip(*corners, strict=True))
    cost_nano = outside_cost_nano(imported, exported, traded_wh, prices)
    costliest = cost_nano.argmax(axis=0)  # the first of equal ones
    homes = np.arange(len(traded_wh))
    return Registers(imported[costliest, homes], exported[costliest, homes])
