"""What a mechanism tells beside its clearing, from the units inside to those of the edge, by the end of each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from market.units import kwh, money, price

_UNITS: dict[str, Callable[[int], float]] = {"_micro_per_kwh": price, "_nano": money, "_wh": kwh}


def at_the_edge(
    details: Mapping[str, Any], order_id: Callable[[int], Any], name_of: Callable[[int], Any]
) -> dict[str, Any]:
    """Convert details for people.

    Args:
        details: A name that ends in _micro_per_kwh, _nano or _wh is a quantity inside, in _rows a list of rows of the
            book, in _participants a list of participants; objects and lists of objects may hold more of them.
        order_id: Id of the order in a row of the book.
        name_of: Name of a participant.

    Returns:
        The same under names without these endings; energy keeps its unit as _kwh.
    """
    found: dict[str, Any] = {}
    for name, value in details.items():
        if isinstance(value, Mapping):
            found[name] = at_the_edge(value, order_id, name_of)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            found[name] = [at_the_edge(item, order_id, name_of) for item in value]
        elif name.endswith("_rows"):
            found[name.removesuffix("_rows")] = [order_id(int(row)) for row in value]
        elif name.endswith("_participants"):
            found[name.removesuffix("_participants")] = [name_of(int(i)) for i in value]
        else:
            unit = next((ending for ending in _UNITS if name.endswith(ending)), None)
            stem = name if unit is None else name.removesuffix(unit) + ("_kwh" if unit == "_wh" else "")
            found[stem] = value if unit is None or value is None else _UNITS[unit](int(value))
    return found
