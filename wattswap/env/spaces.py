"""The spaces of both environments, and how actions and results of an interval go through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from market.units import FloatArray
from wattswap.env.episode import Episode, Lived, bounds, numbers


def observation_space() -> Any:
    """A number for each name of `agents.observation.OBSERVED`, in its unit."""
    low, high = bounds()
    return Box(low, high, dtype=np.float64)


def action_space(episode: Episode, place: int) -> Any:
    """The limits of a learning home and, where it decides on a battery, its power behind them; all from -1 to 1."""
    size = episode.limits + episode.steers[place]
    return Box(-1.0, 1.0, (size,), dtype=np.float32)


def split(episode: Episode, actions: Mapping[int, Any]) -> tuple[FloatArray, FloatArray]:
    """The limits, shape (learning homes, limits), and powers of actions, by the place of each learning home.

    Raises:
        ValueError: An action is no finite numbers, or has another shape than its space.
    """
    homes = len(episode.names)
    limits, power = np.zeros((homes, episode.limits)), np.zeros(homes)
    for place, action in actions.items():
        size = episode.limits + episode.steers[place]
        decided = numbers(action, f"the action of {episode.names[place]}", (size,))
        limits[place] = decided[: episode.limits]
        power[place] = decided[episode.limits] if episode.steers[place] else 0
    return limits, power


def info_of(lived: Lived, place: int) -> dict[str, Any]:
    """What comes with a reward: the interval, and its amounts as integers."""
    return {
        "start_s": lived.start_s,
        "amount_nano": int(lived.amount_nano[place]),
        "baseline_nano": int(lived.baseline_nano[place]),
    }
