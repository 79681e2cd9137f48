"""The version, and whether another distribution shadows one of our packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

VERSION = "0.1.0"
PACKAGES = ("market", "optimizer", "data", "p2p", "agents")
"""Our packages beside `wattswap`; the names are short, so another distribution may bring one of the same name."""


def shadowed_packages() -> list[tuple[str, str]]:
    """Packages of ours that Python would import from elsewhere, with their path."""
    home = Path(__file__).resolve().parents[1]
    found = []
    for name in PACKAGES:
        spec = find_spec(name)
        where = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if where is None or where.parent.parent != home:
            found.append((name, str(where or "nowhere")))
    return found


def shadow_warning() -> str | None:
    """The sentence that `import wattswap` warns with when a foreign package hides one of ours, or None."""
    shadows = shadowed_packages()
    if not shadows:
        return None
    named = ", ".join(f"{name} (found at {where})" for name, where in shadows)
    return (
        f"another distribution hides packages of wattswap: {named}. Install wattswap into a virtual environment of"
        " its own, or uninstall the other distribution."
    )
