"""wattswap: peer-to-peer energy trading, as a simulator and as a market engine.

    import wattswap as ws

    result = ws.run(ws.demo())
    result.bills()

Everything is imported when first used, so `import wattswap` costs next to nothing.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wattswap.installation import VERSION, shadow_warning

if TYPE_CHECKING:
    from wattswap.api import clear, compare, mechanism, resume, run, size_battery, sweep, verify
    from wattswap.results import Comparison, RunResult
    from wattswap.scenario.load import demo, load

__version__ = VERSION

__all__ = [
    "Comparison",
    "RunResult",
    "clear",
    "compare",
    "demo",
    "load",
    "mechanism",
    "resume",
    "run",
    "size_battery",
    "sweep",
    "verify",
]

_HOME = {
    "Comparison": ("wattswap.results", "Comparison"),
    "RunResult": ("wattswap.results", "RunResult"),
    "clear": ("wattswap.api", "clear"),
    "compare": ("wattswap.api", "compare"),
    "demo": ("wattswap.scenario.load", "demo"),
    "load": ("wattswap.scenario.load", "load"),
    "mechanism": ("wattswap.api", "mechanism"),
    "resume": ("wattswap.api", "resume"),
    "run": ("wattswap.api", "run"),
    "size_battery": ("wattswap.api", "size_battery"),
    "sweep": ("wattswap.api", "sweep"),
    "verify": ("wattswap.api", "verify"),
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, attribute = _HOME[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'wattswap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


_hidden = shadow_warning()
if _hidden is not None:
    warnings.warn(_hidden, RuntimeWarning, stacklevel=2)
