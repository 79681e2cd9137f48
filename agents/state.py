"""State of strategies, controllers and devices: named columns with one row per home, to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]
"""Columns by name; the first axis of each is the homes. Whole numbers, floats or truth values, read-only."""


def stateless(homes: Any, rules: Any) -> State:
    """The state of what has none."""
    return {}


def is_whole(values: Any, shape: tuple[int, ...]) -> bool:
    """Whether a plug-in returned whole numbers in an array of this shape."""
    return isinstance(values, np.ndarray) and values.dtype.kind == "i" and values.shape == shape


def kept(state: Any, homes: int) -> State:
    """Check that a checkpoint can store a state, and make its columns read-only, because it is still used later.

    Raises:
        TypeError: It is no mapping of names to numbers, one row per home; names the column.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"a state must be a mapping of names to columns, not {type(state).__name__}")
    for name, column in state.items():
        numbers = isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.itemsize <= 8
        if not isinstance(name, str) or not numbers:
            found = column.dtype if isinstance(column, np.ndarray) else type(column).__name__
            raise TypeError(f"column {name!r} of a state must be an array of 64-bit numbers, not {found}")
        if column.shape[:1] != (homes,):
            raise TypeError(
                f"column {name!r} of a state has the shape {column.shape}, and there are {homes} homes"
            )
        column.flags.writeable = False
    return MappingProxyType(dict(state))


def to_json(state: State) -> dict[str, Any]:
    """Write a state as JSON values, exactly: floats go through their shortest text that reads back equal."""
    return {
        name: {"type": str(column.dtype), "shape": list(column.shape), "values": column.ravel().tolist()}
        for name, column in state.items()
    }


def from_json(saved: Mapping[str, Any], homes: int) -> State:
    """Read back what `to_json` wrote, as `kept` keeps it.

    Raises:
        TypeError: It is not the state of so many homes.
    """
    state = {
        name: np.array(column["values"], dtype=column["type"]).reshape(column["shape"])
        for name, column in saved.items()
    }
    return kept(state, homes)
