"""Sums and largest values over time of many intervals of few homes: folded, so that long rows are added at once.

A reduction along the first axis takes a step for each interval, which costs more than adding the few numbers of its
homes. Blocks of time laid side by side are added or compared as one long row first. Columns that lie in memory home by
home are long rows already. All results are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from market.units import BoolArray, IntArray

BLOCKS = 64
"""Blocks that are laid over each other."""

FLAG_BLOCKS = 255
"""The same of flags, whose sums fit into a byte."""


def largest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest value of each column, 0 where none is larger; shape (T, H) to (H,)."""
    if values.flags.f_contiguous:
        return np.asarray(values.max(axis=0, initial=0))
    folded, rest = _folded(values, BLOCKS)
    most = folded.max(axis=0, initial=0).reshape(-1, values.shape[1]).max(axis=0, initial=0)
    return np.asarray(np.maximum(most, rest.max(axis=0, initial=0)))


def total(values: IntArray) -> IntArray:
    """The sum of each column as int64, shape (T, H) to (H,)."""
    if values.flags.f_contiguous:
        return np.asarray(values.sum(axis=0, dtype=np.int64))
    folded, rest = _folded(values, BLOCKS)
    summed = folded.sum(axis=0, dtype=np.int64).reshape(-1, values.shape[1]).sum(axis=0)
    return np.asarray(summed + rest.sum(axis=0, dtype=np.int64))


def count(flags: BoolArray) -> IntArray:
    """How many flags of each column are set, shape (T, H) to (H,)."""
    if flags.flags.f_contiguous:
        return np.array([np.count_nonzero(column) for column in flags.T], dtype=np.int64)
    folded, rest = _folded(flags, FLAG_BLOCKS)
    summed = folded.sum(axis=0, dtype=np.uint8).reshape(-1, flags.shape[1]).sum(axis=0, dtype=np.int64)
    return np.asarray(summed + rest.sum(axis=0, dtype=np.int64))


def _folded(values: npt.NDArray[Any], blocks: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The rows as so many blocks of one length, each a row, and those that are left over."""
    each = len(values) // blocks
    return values[: each * blocks].reshape(blocks, each * values.shape[1]), values[each * blocks :]
