"""The mechanisms that `wattswap clear` knows and no run of homes can have."""

from __future__ import annotations

from typing import Final

OF_AGENTS: Final = ("bilateral", "community_manager")
OF_STORAGES: Final = ("community_storage",)

_AGENTS = (
    "clears agents with quadratic costs, and homes of a run submit orders",
    "choose another mechanism, or clear a case of agents by `wattswap clear`",
)
_STORAGES = (
    "plans a battery of a community whose future is known, which a run of homes does not have",
    "choose another mechanism, size a common battery by `wattswap size battery`, or plan a case by `wattswap clear`",
)
NO_RUN: Final = dict.fromkeys(OF_AGENTS, _AGENTS) | dict.fromkeys(OF_STORAGES, _STORAGES)
"""What is wrong with such a name in a run or a comparison, and what to do."""
