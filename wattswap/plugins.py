"""Everything that can be chosen by name, ours and what other packages add through entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from market import mechanism as mechanisms
from market.mechanism import Mechanism
from wattswap.errors import ExitCode, WattswapError

GROUPS = ("wattswap.mechanisms", "wattswap.formats", "wattswap.strategies", "wattswap.forecasters")


class BrokenPlugin(WattswapError):
    """An entry point of another package that cannot be imported."""

    exit_code = ExitCode.INVALID


@cache
def load_all() -> None:
    """Import our mechanisms and every entry point; each registers itself on import.

    Raises:
        BrokenPlugin: Names the package that failed.
    """
    import_module("market.mechanisms")
    import_module("optimizer.mechanisms")
    for group in GROUPS:
        for point in entry_points(group=group):
            try:
                point.load()
            except Exception as error:  # whatever another package raises
                what = f"cannot be loaded from {point.value}: {type(error).__name__}: {error}"
                cure = "update or uninstall the package that brings it"
                raise BrokenPlugin.of(f"{group}, {point.name}", what, cure) from error


def mechanism(name: str) -> Mechanism:
    """The mechanism of this name.

    Raises:
        UnknownMechanism: Names the nearest match and all known ones.
    """
    load_all()
    return mechanisms.get(name)
