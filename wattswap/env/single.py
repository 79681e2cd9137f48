"""One learning home as a `gymnasium.Env`."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium

from market.units import NANO_PER_UNIT, FloatArray
from wattswap.env.episode import Episode
from wattswap.env.spaces import action_space, info_of, observation_space, split


class HomeEnv(gymnasium.Env):  # type: ignore[misc]
    """One learning home among others that behave as their scenario says.

    Args:
        episode: The scenario, in which one home learns.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self.observation_space = observation_space()
        self.action_space = action_space(episode, 0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin the scenario again; with a seed, with that instead of the one before."""
        super().reset(seed=seed)
        self._episode.reset(seed)
        return self._episode.observation[0], {}

    def step(self, action: Any) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Live an interval; the episode is truncated after the last."""
        limits, power = split(self._episode, {0: action})
        lived = self._episode.live(limits, power)
        reward = int(lived.amount_nano[0]) / NANO_PER_UNIT
        return self._episode.observation[0], reward, False, self._episode.is_over, info_of(lived, 0)
