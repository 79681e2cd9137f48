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
def load_all() -> dict[str, BrokenPlugin]:
    """Import our mechanisms and every entry point; each registers itself on import.

    Returns:
        The entry points that could not be imported, by name: they are missing, and nothing else is.
    """
    import_module("market.mechanisms")
    import_module("optimizer.mechanisms")
    broken: dict[str, BrokenPlugin] = {}
    for group in GROUPS:
        for point in entry_points(group=group):
            try:
                point.load()
            except Exception as error:  # whatever another package raises
                what = f"cannot be loaded from {point.value}: {type(error).__name__}: {error}"
                cure = "update or uninstall the package that brings it"
                broken[point.name] = BrokenPlugin.of(f"{group}, {point.name}", what, cure)
    return broken


def mechanism(name: str) -> Mechanism:
    """The mechanism of this name.

    Raises:
        UnknownMechanism: Names the nearest match and all known ones.
        BrokenPlugin: The package that brings it cannot be imported.
    """
    broken = load_all()
    if name in broken and name not in mechanisms.registered():
        raise broken[name]
    return mechanisms.get(name)
