"""The mechanisms that clear agents with costs of their own, not orders, and so not homes of a run."""

from __future__ import annotations

OF_AGENTS = ("bilateral", "community_manager")

NO_RUN = (
    "clears agents with quadratic costs, and homes of a run submit orders",
    "choose another mechanism, or clear a case of agents by `wattswap clear`",
)
"""What is wrong with such a name in a run or a comparison, and what to do."""
