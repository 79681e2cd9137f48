"""Forecasters by name; a forecaster is one file and one registration.

A forecaster is handed only the readings that were known at gate closure, so it cannot look ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.errors import UnknownChoice
from market.units import IntArray

PERFECT_FORESIGHT = "perfect_foresight"
"""The switch that hands agents the true future; it is not a forecaster, and the manifest names it."""


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A named forecast of net energy.

    `forecast(history_wh, steps, steps_per_day, days)` gets past net energy, shape (known, homes), oldest first, and
    returns the next `steps` rows, shape (steps, homes), or None while the history is too short. [Wh]
    """

    name: str
    forecast: Callable[[IntArray, int, int, int], IntArray | None]
    summary: str


_REGISTRY: dict[str, Forecaster] = {}


def register(forecaster: Forecaster) -> Forecaster:
    """Add a forecaster under its name and return it; a name that is taken is refused."""
    if forecaster.name in _REGISTRY or forecaster.name == PERFECT_FORESIGHT:
        raise ValueError(f"a forecaster named {forecaster.name!r} exists already; choose another name")
    _REGISTRY[forecaster.name] = forecaster
    return forecaster


def get(name: str) -> Forecaster:
    """Return the forecaster of this name.

    Raises:
        UnknownChoice: Names the nearest match and all known ones.
    """
    if name not in _REGISTRY:
        raise UnknownChoice("forecaster", name, [*_REGISTRY, PERFECT_FORESIGHT])
    return _REGISTRY[name]


def registered() -> dict[str, Forecaster]:
    """All forecasters by name, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))


from agents.forecast import same_hour_mean as _same_hour_mean  # noqa: E402  registers itself

__all__ = ["PERFECT_FORESIGHT", "Forecaster", "get", "register", "registered"]
_ = _same_hour_mean
