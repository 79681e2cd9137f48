"""Bidding strategies by name; a strategy is one file and one registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents.errors import UnknownChoice
from market.random import WordArray
from market.settlement.tariff import IntervalPrices
from market.units import Int8Array, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Bids:
    """One order per home; energy 0 means that the home stays out of the interval."""

    side: Int8Array
    energy_wh: IntArray
    limit_micro_per_kwh: IntArray


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to bid: `bid(expected_net_wh, prices, lots) -> Bids`, elementwise over homes.

    `lots` holds one random word per home, drawn from the seed, the interval and the home alone, so that a home bids the
    same alone as among others.
    """

    name: str
    bid: Callable[[IntArray, IntervalPrices, WordArray], Bids]
    summary: str


_REGISTRY: dict[str, Strategy] = {}


def register(strategy: Strategy) -> Strategy:
    """Add a strategy under its name and return it; a name that is taken is refused."""
    if strategy.name in _REGISTRY:
        raise ValueError(f"a strategy named {strategy.name!r} exists already; choose another name")
    _REGISTRY[strategy.name] = strategy
    return strategy


def get(name: str) -> Strategy:
    """Return the strategy of this name.

    Raises:
        UnknownChoice: Names the nearest match and all known ones.
    """
    if name not in _REGISTRY:
        raise UnknownChoice("strategy", name, _REGISTRY)
    return _REGISTRY[name]


def registered() -> dict[str, Strategy]:
    """All strategies by name, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))


from agents.bidding import truthful as _truthful  # noqa: E402  registers itself
from agents.bidding import zi_c as _zi_c  # noqa: E402  registers itself

__all__ = ["Bids", "Strategy", "get", "register", "registered"]
_ = _truthful, _zi_c
