"""Everything that can be chosen by name, ours and what other packages add through entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from market import mechanism as mechanisms
from market.mechanism import Mechanism

GROUPS = ("wattswap.mechanisms", "wattswap.formats", "wattswap.strategies", "wattswap.forecasters")


@cache
def load_all() -> None:
    """Import our mechanisms and every entry point; each registers itself on import."""
    import_module("market.mechanisms")
    import_module("optimizer.mechanisms")
    for group in GROUPS:
        for point in entry_points(group=group):
            point.load()


def mechanism(name: str) -> Mechanism:
    """The mechanism of this name.

    Raises:
        UnknownMechanism: Names the nearest match and all known ones.
    """
    load_all()
    return mechanisms.get(name)
