"""State of strategies, controllers and devices: named columns with one row per home, to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]
"""Columns by name; the first axis of each is the homes. Whole numbers, floats or truth values."""


def stateless(homes: Any, rules: Any) -> State:
    """The state of what has none."""
    return {}


def to_json(state: State) -> dict[str, Any]:
    """Write a state as JSON values, exactly: floats go through their shortest text that reads back equal."""
    return {
        name: {"type": str(column.dtype), "shape": list(column.shape), "values": column.ravel().tolist()}
        for name, column in state.items()
    }


def from_json(saved: Mapping[str, Any]) -> State:
    """Read back what `to_json` wrote."""
    return {
        name: np.array(column["values"], dtype=column["type"]).reshape(column["shape"])
        for name, column in saved.items()
    }
