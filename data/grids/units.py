"""Units of length in files of OpenDSS."""

from __future__ import annotations

from typing import Final

METRES: Final = {
    "mi": 1_609.344,
    "kft": 304.8,
    "km": 1_000.0,
    "m": 1.0,
    "ft": 0.3048,
    "in": 0.0254,
    "cm": 0.01,
}


def metres(unit: str) -> float:
    """Metres in a unit of length.

    Raises:
        ValueError: It is none that OpenDSS knows.
    """
    if unit.lower() not in METRES:
        raise ValueError(f"its unit of length is {unit!r}, and known are {', '.join(METRES)}")
    return METRES[unit.lower()]
