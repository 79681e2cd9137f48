"""Self-sufficiency and self-consumption: how much of its energy a community covers itself.

Energy is netted at the community's meter in every interval, and never over the horizon, which would let summer pay
for winter.
"""

from __future__ import annotations

import numpy as np

from market.units import IntArray


def self_sufficiency(load_wh: IntArray, generation_wh: IntArray) -> float | None:
    """Share of the load that generation of the same interval covers: sum min(L, G) / sum L.

    Args:
        load_wh: Consumption, shape (T,) for a community, (T, H) for homes without each other. [Wh]
        generation_wh: Generation, same shape. [Wh]

    Returns:
        0 to 1; None without load.

    Source: Luthander, Widen, Nilsson, Palm, Applied Energy 142 (2015), 80-94.
    """
    return _share(int(np.minimum(load_wh, generation_wh).sum()), load_wh)


def self_consumption(load_wh: IntArray, generation_wh: IntArray) -> float | None:
    """Share of the generation that load of the same interval uses: sum min(L, G) / sum G.

    Args and source as in `self_sufficiency`.

    Returns:
        0 to 1; None without generation.
    """
    return _share(int(np.minimum(load_wh, generation_wh).sum()), generation_wh)


def self_sufficiency_metered(load_wh: IntArray, import_wh: IntArray) -> float | None:
    """Share of the load that was not imported, with storage: 1 - sum import / sum L.

    Stored local energy counts when it is used. Charging from the grid counts as import, so its losses can push the
    figure below 0. Without storage it equals `self_sufficiency`.

    Args:
        load_wh: Consumption without the charging of batteries. [Wh]
        import_wh: Import of the community, netted per interval; of the homes, for homes without each other. [Wh]

    Returns:
        At most 1; None without load.
    """
    total_wh = int(load_wh.sum())
    return 1 - int(import_wh.sum()) / total_wh if total_wh else None


def self_consumption_metered(generation_wh: IntArray, export_wh: IntArray) -> float | None:
    """Share of the generation that was not exported, with storage: 1 - sum export / sum G.

    What batteries lose counts as used inside. Without storage it equals `self_consumption`.

    Args:
        generation_wh: Generation. [Wh]
        export_wh: Export of the community, netted per interval. [Wh]

    Returns:
        At most 1; None without generation. Below 0 where batteries export what they took from the grid.
    """
    return _share(int(generation_wh.sum()) - int(export_wh.sum()), generation_wh)


def _share(part_wh: int, whole_wh: IntArray) -> float | None:
    total_wh = int(whole_wh.sum())
    return part_wh / total_wh if total_wh else None
