"""Homes that learn to bid: a scenario as an environment for Gymnasium (one home) and PettingZoo (all homes).

The extra `learn` installs both; they are imported when an environment is made. docs/how-to/learning.md shows the use,
docs/reference/learning.md has the spaces, the reward and the units.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattswap.errors import UsageError

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario


def home_env(scenario: Scenario | Path | str, home: str, *, limits: int = 1) -> Any:
    """One learning home among others that behave as the scenario says, as a `gymnasium.Env`.

    Args:
        scenario: A scenario, or the path of its file.
        home: Id of the home.
        limits: Equal parts of its forecast quantity, each with a limit of its own.

    Raises:
        UsageError: Gymnasium is not installed, the scenario has no such home, or nobody in it can decide anything.
        WattswapError: All errors of scenario and data, at once.
    """
    _require("gymnasium")
    from wattswap.env.episode import Episode
    from wattswap.env.single import HomeEnv

    return HomeEnv(Episode(scenario, [home], limits))


def neighbourhood_env(scenario: Scenario | Path | str, *, limits: int = 1) -> Any:
    """All homes of a scenario, each learning for itself, as a `pettingzoo.ParallelEnv` with the homes as agents.

    Args:
        scenario: A scenario, or the path of its file.
        limits: Equal parts of each forecast quantity, each with a limit of its own.

    Raises:
        UsageError: PettingZoo is not installed, or nobody in the scenario can decide anything.
        WattswapError: All errors of scenario and data, at once.
    """
    _require("pettingzoo")
    from wattswap.env.episode import Episode
    from wattswap.env.parallel import NeighbourhoodEnv

    return NeighbourhoodEnv(Episode(scenario, None, limits))


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise UsageError.of(package, "is not installed", "install it with: pip install 'wattswap[learn]'")
