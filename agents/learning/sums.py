"""Sums of products of features and what happened, per home, and the ridge regression that follows from them.

The sums are of whole numbers and exact, so a sum that was continued equals one from the start, and sums of homes that
of their readings in one place. The solution is made of single operations on all homes in a fixed order, without a
library of linear algebra: a home alone gets bit for bit the numbers that it gets among a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Final, Self

import numpy as np

from agents.learning.features import CELLS, LARGEST_WH, Features
from agents.rules import FloatArray, Known
from market.units import BoolArray, IntArray

NEAR: Final = 2
"""Intervals from the last known reading to the one that a home trades next, with the usual gate closure."""
LEAST_DAYS: Final = 28
"""Days of readings below which a home is forecast by the mean of the last 14 days."""

HISTORY_DAYS: Final = 70
"""Days of readings to learn from at the start of a run; more days change little."""
_STRIDE: Final = 37


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the intervals up to a row; the last column of each is what happened.

    Args:
        until: First row that is not in them.
        count: Intervals by cell of the calendar, shape (cells, homes).
        cell: Of each column by cell, shape (cells, homes, columns). [Wh]
        product: Of products of columns, shape (homes, columns, columns). [Wh²]
    """

    until: int
    count: FloatArray
    cell: FloatArray
    product: FloatArray

    @classmethod
    def empty(cls, until: int, homes: int, columns: int) -> Self:
        """Sums over nothing."""
        shapes = ((CELLS, homes), (CELLS, homes, columns), (homes, columns, columns))
        return cls(until, *(np.zeros(shape) for shape in shapes))

    def plus(self, other: Sums, sign: int = 1) -> Sums:
        """With the intervals of other sums, or without them."""
        return Sums(
            max(self.until, other.until),
            self.count + sign * other.count,
            self.cell + sign * other.cell,
            self.product + sign * other.product,
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

    def off_wh(self, cells: IntArray, features: IntArray) -> IntArray:
        """How far intervals lie from their usual energy, rounded half up, shape (T, homes). [Wh]"""
        off_wh = self.cell[cells]
        for column in range(features.shape[-1]):
            off_wh = off_wh + features[..., column] * self.feature[:, column]
        rounded: IntArray = np.floor(off_wh + 0.5).astype(np.int64)
        return rounded

    def where(self, chosen: BoolArray, other: Weights) -> Weights:
        """These of the homes that are chosen, other weights of the rest."""
        return Weights(
            np.where(chosen, self.cell, other.cell),
            np.where(chosen[:, None], self.feature, other.feature),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What homes have learnt from all their readings.

    Args:
        sums: None before the first example.
        readings: Number of each home's readings.
        energy: Sum of them without their sign. [Wh]
        rows: Rows of readings that were learnt from.
    """

    sums: Sums | None
    readings: IntArray
    energy: IntArray
    rows: int

    @property
    def mean_wh(self) -> FloatArray:
        """Mean energy of an interval of each home, without its sign, at least 1. [Wh]"""
        mean: FloatArray = np.maximum(self.energy / np.maximum(self.readings, 1), 1.0)
        return mean


def learn(known: Known, before: Learnt | None = None) -> Learnt | None:
    """Learn from all readings, or on from what was learnt before; None without a whole day of readings."""
    rows, per_day = len(known.net_wh), known.steps_per_day
    if rows < per_day:
        return None
    old = None if before is None else before.sums
    new = over(known, per_day if old is None else old.until, rows)
    sums = new if old is None else old if new is None else old.plus(new)
    readings = np.full(known.net_wh.shape[1], rows) if known.valid is None else known.valid.sum(axis=0)
    first = 0 if before is None else before.rows
    energy = _energy_wh(known, first, rows) + (0 if before is None else before.energy)
    return Learnt(sums, readings, energy, rows)


def _energy_wh(known: Known, first: int, until: int) -> IntArray:
    """Sum of readings without their sign, from a row to before another, a day at a time. [Wh]"""
    total = np.zeros(known.net_wh.shape[1], dtype=np.int64)
    for begin in range(first, until, known.steps_per_day):
        total += np.abs(known.net_wh[begin : min(begin + known.steps_per_day, until)]).sum(axis=0)
    return total


def seen_twice(known: Known, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Every row twice, with the first row that was not known at its gate: just before it, and in the day before it."""
    number = known.start_s // (known.minutes * 60) + rows
    ahead = 1 + number * _STRIDE % known.steps_per_day
    return np.tile(rows, 2), np.concatenate([rows - NEAR + 1, rows - ahead + 1])


def examples(features: Features, rows: IntArray) -> tuple[IntArray, IntArray, BoolArray | None]:
    """Every row as it looked from two gates; see `seen_twice`.

    Returns:
        Cell of each example; its features and how far it was off, shape (T, homes, columns) [Wh]; which exist.
    """
    rows, gates = seen_twice(features.known, rows)
    usual, of, exists = features.of(rows, gates)
    wh, valid = features.read(rows)
    if valid is not None:
        exists = valid if exists is None else exists & valid
    off = np.clip(wh - usual, -LARGEST_WH, LARGEST_WH)
    columns = np.concatenate([of, off[..., None]], axis=-1)
    return features.cell(rows), columns if exists is None else columns * exists[..., None], exists


def over(known: Known, first: int, until: int) -> Sums | None:
    """Sums over the rows from `first` to before `until`; None over nothing."""
    features, found = Features(known), None
    for begin in range(first, until, known.steps_per_day):
        day = _of_day(features, np.arange(begin, min(begin + known.steps_per_day, until)))
        found = day if found is None else found.plus(day)
    return found


def _of_day(features: Features, rows: IntArray) -> Sums:
    cells, columns, exists = examples(features, rows)
    sums = Sums.empty(int(rows[-1]) + 1, columns.shape[1], columns.shape[2])
    for cell in np.unique(cells).tolist():
        here = cells == cell
        sums.count[cell] = here.sum() if exists is None else exists[here].sum(axis=0)
        sums.cell[cell] = columns[here].sum(axis=0)
    by_home = columns.astype(np.float64).transpose(1, 0, 2)
    np.matmul(by_home.transpose(0, 2, 1), by_home, out=sums.product)
    return sums


def solve(sums: Sums, scale: FloatArray, penalty: float, towards: Weights | None = None) -> Weights:
    """The weights of least squared error plus a penalty on their distance from other weights, or from 0.

    Args:
        scale: The unit in which the energy of each home is measured, such as its mean. [Wh]
        penalty: In examples.
        towards: Weights of one home in that unit.
    """
    count = sums.count + penalty
    cell, off = sums.cell[..., :-1], sums.cell[..., -1]
    left, right = sums.product[:, :-1, :-1].copy(), sums.product[:, :-1, -1].copy()
    unit = scale * scale
    places = np.arange(left.shape[-1])
    left[:, places, places] += (penalty * unit)[:, None]
    if towards is not None:
        off = off + penalty * scale * towards.cell
        right += (penalty * unit)[:, None] * towards.feature
    for one, of, n in zip(cell, off, count, strict=True):  # the cells are eliminated one by one
        left -= one[:, :, None] * one[:, None, :] / n[:, None, None]
        right -= one * (of / n)[:, None]
    feature = _solved(left, right)
    rest = off.copy()
    for column in range(feature.shape[-1]):
        rest -= cell[..., column] * feature[:, column]
    return Weights(rest / count, feature)


def pooled(sums: Sums, scale: FloatArray) -> Sums:
    """The sums of all homes together, each in its own unit, as of one home; rounded once, so in any order of them."""

    def total(values: FloatArray, homes: int) -> FloatArray:
        by_home = np.moveaxis(values, homes, -1)
        rows = [fsum(row) for row in by_home.reshape(-1, by_home.shape[-1]).tolist()]
        return np.expand_dims(np.array(rows).reshape(by_home.shape[:-1]), homes)

    return Sums(
        sums.until,
        total(sums.count, 1),
        total(sums.cell / scale[:, None], 1),
        total(sums.product / (scale * scale)[:, None, None], 0),
    )


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
