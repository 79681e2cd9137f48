"""State of strategies, controllers and devices: named columns with one row per home, to JSON and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]
"""Columns by name; the first axis of each is the homes. Whole numbers, floats or truth values, read-only."""

_TYPES: Final = {"i": (int,), "u": (int,), "b": (bool,), "f": (float, int)}
"""Types of JSON values by the kind of the column that they are in."""


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


def from_json(saved: Any, homes: int, columns: Collection[str] = ()) -> State:
    """Read back what `to_json` wrote, as `kept` keeps it; an edited checkpoint may hold anything.

    Args:
        saved: JSON values.
        homes: Number of homes.
        columns: Names of those that it must have.

    Raises:
        TypeError: It is not the state of so many homes.
        ValueError: It lacks a column.
    """
    if not isinstance(saved, Mapping):
        raise TypeError(f"a state is not a table of columns but {type(saved).__name__}")
    lacking = sorted(set(columns) - set(saved))
    if lacking:
        raise ValueError(f"a state has no column {lacking[0]!r}")
    return kept({name: _column(name, column) for name, column in saved.items()}, homes)


def _column(name: str, saved: Mapping[str, Any]) -> npt.NDArray[Any]:
    """One column of a state; nothing is rounded or taken for another type on the way."""
    kind, shape, values = str(saved["type"]), saved["shape"], saved["values"]
    wanted = _TYPES.get(np.dtype(kind).kind)
    if wanted is None or not all(type(value) in wanted for value in values):
        raise TypeError(f"column {name!r} of a state has a value that is not {kind}")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise TypeError(f"column {name!r} of a state has the shape {shape}")
    return np.array(values, dtype=kind).reshape(shape)


def whole_from_json(name: str, saved: Any, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Read back whole numbers that were written by `tolist`.

    Args:
        name: What they are, for messages.
        saved: JSON values.
        shape: Of the array that was written.

    Raises:
        TypeError: They are no whole numbers.
        ValueError: They have another shape.
    """
    found, nothing = np.array(saved), np.zeros(shape, dtype=np.int64)
    if found.size == nothing.size == 0:  # a list in a list has gone where the first is empty
        return nothing
    if found.shape != shape:
        raise ValueError(f"{name} has the shape {list(found.shape)}, not {list(shape)}")
    if found.dtype != np.int64:
        raise TypeError(f"{name} is not whole numbers")
    return found


def counted(name: str, saved: Any, like: Collection[Any]) -> list[Any]:
    """The entries of a list of a snapshot, which has as many as are kept.

    Raises:
        ValueError: It has more or fewer.
    """
    if not isinstance(saved, list) or len(saved) != len(like):
        found = len(saved) if isinstance(saved, list) else type(saved).__name__
        raise ValueError(f"{name} is a list of {len(like)} intervals, not {found}")
    return saved
