"""Sums of products of features and what happened, per home, and the ridge regression that follows from them.

The sums are of whole numbers and exact, so a sum that was continued equals one from the start, and sums of homes that
of their readings in one place. The solution is made of single operations on all homes in a fixed order, without a
library of linear algebra: a home alone gets bit for bit the numbers that it gets among a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from agents.learning.features import CELLS, LARGEST_WH, Features
from agents.rules import FloatArray, Known
from market.units import BoolArray, IntArray

NEAR: int = 2
"""Intervals from the last known reading to the one that a home trades next, with the usual gate closure."""
_STRIDE: int = 37


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the intervals up to a row; the last column of each is what happened.

    Args:
        until: First row that is not in them.
        count: Intervals by cell of the calendar, shape (cells, homes).
        cell: Of each column by cell, shape (cells, homes, columns). [Wh]
        product: Of products of columns, shape (homes, columns, columns). [Wh²]
        load: Of the energy without its sign, shape (homes,). [Wh]
    """

    until: int
    count: FloatArray
    cell: FloatArray
    product: FloatArray
    load: FloatArray

    @classmethod
    def empty(cls, until: int, homes: int, columns: int) -> Self:
        """Sums over nothing."""
        shapes = ((CELLS, homes), (CELLS, homes, columns), (homes, columns, columns), (homes,))
        return cls(until, *(np.zeros(shape) for shape in shapes))

    def plus(self, other: Sums, sign: int = 1) -> Sums:
        """With the intervals of other sums, or without them."""
        return Sums(
            max(self.until, other.until),
            self.count + sign * other.count,
            self.cell + sign * other.cell,
            self.product + sign * other.product,
            self.load + sign * other.load,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A linear forecast per home of how far an interval lies from its usual energy.

    Args:
        cell: By cell of the calendar, shape (cells, homes). [Wh]
        feature: Shape (homes, features).
    """

    cell: FloatArray
    feature: FloatArray

    def off_wh(self, cells: IntArray, features: IntArray) -> FloatArray:
        """How far intervals lie from their usual energy, shape (T, homes). [Wh]"""
        off_wh = self.cell[cells]
        for column in range(features.shape[-1]):
            off_wh = off_wh + features[..., column] * self.feature[:, column]
        return off_wh


def examples(features: Features, rows: IntArray) -> tuple[IntArray, FloatArray, BoolArray | None, FloatArray]:
    """Every row as it looked from two gates, just before it and some other hour of the day before it.

    Returns:
        Cell of each example; its features and how far it was off, shape (T, homes, columns) [Wh]; which exist; its
        energy, shape (T, homes) [Wh].
    """
    known = features.known
    number = known.start_s // (known.minutes * 60) + rows
    ahead = 1 + number * _STRIDE % known.steps_per_day
    rows, gates = np.tile(rows, 2), np.concatenate([rows - NEAR + 1, rows - ahead + 1])
    usual, of, exists = features.of(rows, gates)
    wh, valid = features.read(rows)
    if valid is not None:
        exists = valid if exists is None else exists & valid
    off = np.clip(wh - usual, -LARGEST_WH, LARGEST_WH)
    columns = np.concatenate([of, off[..., None]], axis=-1)
    if exists is not None:
        columns, wh = columns * exists[..., None], wh * exists
    return features.cell(rows), columns.astype(np.float64), exists, wh.astype(np.float64)


def over(known: Known, first: int, until: int) -> Sums | None:
    """Sums over the rows from `first` to before `until`; None over nothing."""
    features, found = Features(known), None
    for begin in range(first, until, known.steps_per_day):
        day = _of_day(features, np.arange(begin, min(begin + known.steps_per_day, until)))
        found = day if found is None else found.plus(day)
    return found


def _of_day(features: Features, rows: IntArray) -> Sums:
    cells, columns, exists, wh = examples(features, rows)
    sums = Sums.empty(int(rows[-1]) + 1, columns.shape[1], columns.shape[2])
    for cell in np.unique(cells).tolist():
        here = cells == cell
        sums.count[cell] = here.sum() if exists is None else exists[here].sum(axis=0)
        sums.cell[cell] = columns[here].sum(axis=0)
    by_home = columns.transpose(1, 0, 2)
    np.matmul(by_home.transpose(0, 2, 1), by_home, out=sums.product)
    sums.load[:] = np.abs(wh).sum(axis=0)
    return sums


def solve(sums: Sums, penalty: float, towards: Weights | None = None, more: float = 0.0) -> Weights:
    """The weights of least squared error plus a penalty on their size, and on their distance from other weights.

    Args:
        penalty: In intervals; energy is measured in the home's own mean.
        towards: Weights in units of the home's mean energy, shape (.., 1).
        more: The penalty on the distance from them.
    """
    count = sums.count + penalty + more
    scale = mean_wh(sums)
    cell, off = sums.cell[..., :-1], sums.cell[..., -1]
    left, right = sums.product[:, :-1, :-1].copy(), sums.product[:, :-1, -1].copy()
    unit = scale * scale
    places = np.arange(left.shape[-1])
    left[:, places, places] += ((penalty + more) * unit)[:, None]
    if towards is not None:
        off = off + more * scale * towards.cell
        right += (more * unit)[:, None] * towards.feature
    for one, of, n in zip(cell, off, count, strict=True):  # the cells are eliminated one by one
        left -= one[:, :, None] * one[:, None, :] / n[:, None, None]
        right -= one * (of / n)[:, None]
    feature = _solved(left, right)
    rest = off.copy()
    for column in range(feature.shape[-1]):
        rest -= cell[..., column] * feature[:, column]
    return Weights(rest / count, feature)


def mean_wh(sums: Sums) -> FloatArray:
    """Mean energy of each home, without its sign, at least 1. [Wh]"""
    mean: FloatArray = np.maximum(sums.load / np.maximum(sums.count.sum(axis=0), 1), 1.0)
    return mean


def _solved(left: FloatArray, right: FloatArray) -> FloatArray:
    """Solve positive definite systems by elimination, all homes at once; the arrays are overwritten."""
    size = right.shape[-1]
    for pivot in range(size - 1):
        ratio = left[:, pivot + 1 :, pivot] / left[:, pivot, pivot, None]
        left[:, pivot + 1 :, pivot:] -= ratio[:, :, None] * left[:, pivot, None, pivot:]
        right[:, pivot + 1 :] -= ratio * right[:, pivot, None]
    for pivot in range(size - 1, -1, -1):
        for column in range(pivot + 1, size):
            right[:, pivot] -= left[:, pivot, column] * right[:, column]
        right[:, pivot] /= left[:, pivot, pivot]
    return right
