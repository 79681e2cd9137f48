"""Self-sufficiency and self-consumption: how much of its energy a community covers itself.

Energy is netted at the community's meter in every interval, and never over the horizon, which would let summer pay
for winter.
"""

from __future__ import annotations

from market.units import IntArray


def self_sufficiency_metered(load_wh: IntArray, import_wh: IntArray) -> float | None:
    """Share of the load that was not imported, with storage: 1 - sum import / sum L.

    Stored local energy counts when it is used. Charging from the grid counts as import, so its losses can push the
    figure below 0. Without storage it is the share of the load that generation of the same interval covers.

    Args:
        load_wh: Consumption without the charging of batteries. [Wh]
        import_wh: Import of the community, netted per interval; of the homes, for homes without each other. [Wh]

    Returns:
        At most 1; None without load.

    Source: Luthander, Widen, Nilsson, Palm, Applied Energy 142 (2015), 80-94.
    """
    total_wh = int(load_wh.sum())
    return 1 - int(import_wh.sum()) / total_wh if total_wh else None


def self_consumption_metered(generation_wh: IntArray, export_wh: IntArray) -> float | None:
    """Share of the generation that was not exported, with storage: 1 - sum export / sum G.

    What batteries lose counts as used inside. Without storage it is the share that load of the same interval uses.

    Args:
        generation_wh: Generation. [Wh]
        export_wh: Export of the community, netted per interval. [Wh]

    Returns:
        At most 1; None without generation. Below 0 where batteries export what they took from the grid.
    """
    total_wh = int(generation_wh.sum())
    return (total_wh - int(export_wh.sum())) / total_wh if total_wh else None
