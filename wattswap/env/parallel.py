"""All homes of a neighbourhood as the agents of a `pettingzoo.ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pettingzoo import ParallelEnv

from market.units import NANO_PER_UNIT, FloatArray
from wattswap.env.episode import Episode
from wattswap.env.spaces import action_space, info_of, observation_space, split


class NeighbourhoodEnv(ParallelEnv):  # type: ignore[misc]
    """All homes of a scenario learn, each for itself.

    Args:
        episode: The scenario, in which all homes learn.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "wattswap", "render_modes": []}

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self.possible_agents = list(episode.names)
        self.agents: list[str] = []
        self.observation_spaces = {name: observation_space() for name in self.possible_agents}
        self.action_spaces = {
            name: action_space(episode, place) for place, name in enumerate(self.possible_agents)
        }

    def observation_space(self, agent: str) -> Any:
        """The space of what a home sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """The space of what a home decides."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, FloatArray], dict[str, dict[str, Any]]]:
        """Begin the scenario again; with a seed, with that instead of the one before."""
        self._episode.reset(seed)
        self.agents = list(self.possible_agents)
        return self._seen(), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, FloatArray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:
        """Live an interval; all homes are truncated after the last.

        Raises:
            ValueError: There is not one action for each home, or one that its space does not have.
        """
        names = self.possible_agents
        self._episode.refuse_after_the_last()
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions must be a mapping of homes to actions, not {type(actions).__name__}")
        without = next((name for name in names if name not in actions), None)
        unknown = next((name for name in actions if name not in names), None)
        if without is not None or unknown is not None:
            wrong = f"{without} has none" if unknown is None else f"{unknown!r} is no home"
            raise ValueError(f"actions must be one for each home, and {wrong}")
        rows = {place: actions[name] for place, name in enumerate(names)}
        lived = self._episode.live(*split(self._episode, rows))
        over = self._episode.is_over
        self.agents = [] if over else list(names)
        rewards = {
            name: int(amount) / NANO_PER_UNIT for name, amount in zip(names, lived.amount_nano, strict=True)
        }
        infos = {name: info_of(lived, place) for place, name in enumerate(names)}
        return self._seen(), rewards, dict.fromkeys(names, False), dict.fromkeys(names, over), infos

    def _seen(self) -> dict[str, FloatArray]:
        return dict(zip(self.possible_agents, self._episode.observation, strict=True))
