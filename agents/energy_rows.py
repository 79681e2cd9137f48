"""Energy by row and home, computed from the stored columns where it is read, so that a year of it is never copied."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from market.units import BoolArray, IntArray

MANY: Final = 4_000_000
"""From so many readings on, those behind the registers are computed where they are read; 30 MB a column below."""


class EnergyRows(NDArrayOperatorsMixin):
    """Sums and differences of columns of energy, which behave as one int64 array of shape (rows, homes). [Wh]

    Rows, by a number, a slice or an array of numbers, are computed alone; whatever else an array can do is done with
    an array of all rows. `until` and `of_homes` compute nothing.

    Args:
        parts: Columns with the sign of each, int64 or int32, of one shape.
        valid: Which readings exist; the others count as 0. None if all do.
        homes: Columns of the homes; None for all.
    """

    ndim = 2
    dtype = np.dtype(np.int64)

    def __init__(
        self,
        parts: tuple[tuple[int, IntArray], ...],
        valid: BoolArray | None = None,
        homes: IntArray | None = None,
    ) -> None:
        self._parts, self._valid, self._homes = parts, valid, homes

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and homes."""
        rows, homes = self._parts[0][1].shape
        return rows, homes if self._homes is None else len(self._homes)

    def __len__(self) -> int:
        return len(self._parts[0][1])

    def plus(self, energy_wh: IntArray) -> EnergyRows:
        """The same with another column added."""
        return EnergyRows((*self._parts, (1, energy_wh)), self._valid, self._homes)

    def where(self, valid: BoolArray | None) -> EnergyRows:
        """The same, 0 where there is no reading."""
        return EnergyRows(self._parts, valid, self._homes)

    def until(self, row: int) -> EnergyRows:
        """The rows before this one."""
        valid = None if self._valid is None else self._valid[:row]
        return EnergyRows(tuple((sign, wh[:row]) for sign, wh in self._parts), valid, self._homes)

    def of_homes(self, columns: IntArray) -> EnergyRows:
        """Some of the homes."""
        own = columns if self._homes is None else self._homes[columns]
        return EnergyRows(self._parts, self._valid, own)

    def __getitem__(self, key: Any) -> Any:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, int | np.integer | slice):
            found = self._computed(rows)
            found.flags.writeable = False
            return found[(..., *rest)] if rest else found
        if isinstance(rows, np.ndarray) and rows.dtype.kind == "i" and not rest:
            return self._computed(rows)
        return np.asarray(self)[key]

    def _computed(self, rows: Any) -> IntArray:
        found: IntArray | None = None
        for sign, energy_wh in self._parts:
            own = np.multiply(energy_wh[rows], sign, dtype=np.int64)
            found = own if found is None else np.add(found, own, out=found)
        assert found is not None, "there is at least one part"
        if self._valid is not None:
            found *= self._valid[rows]
        return found if self._homes is None else found[..., self._homes]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> IntArray:
        found = self._computed(slice(None))
        return found if dtype is None else found.astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
        arrays = (np.asarray(one) if isinstance(one, EnergyRows) else one for one in inputs)
        return getattr(ufunc, method)(*arrays, **more)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copies and pickles ask for, before there are any columns
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def net_of(import_wh: IntArray, export_wh: IntArray) -> IntArray:
    """Import minus export, as an array or, of many readings, as one that is computed where it is read. [Wh]"""
    if import_wh.size < MANY:
        return np.subtract(import_wh, export_wh, dtype=np.int64)
    return cast(IntArray, EnergyRows(((1, import_wh), (-1, export_wh))))


def parts_of(
    net_wh: IntArray, pv_wh: IntArray | None, valid: BoolArray | None
) -> tuple[IntArray, IntArray | None, IntArray | None]:
    """Net energy, production and consumption, 0 where there is no reading; an array that is given is used. [Wh]

    Args:
        net_wh: Import minus export, as `net_of` gives it.
        pv_wh: Production, where there are meters of it.
        valid: Which readings exist; None if all do.
    """
    rows = _rows(net_wh)
    if rows is not None:
        pv = None if pv_wh is None else EnergyRows(((1, pv_wh),), valid)
        load = None if pv_wh is None else rows.plus(pv_wh).where(valid)
        return cast(tuple[IntArray, IntArray | None, IntArray | None], (rows.where(valid), pv, load))
    pv_wh = None if pv_wh is None else pv_wh.astype(np.int64, copy=False)
    load_wh = None if pv_wh is None else net_wh + pv_wh
    if valid is not None:
        pv_wh = None if pv_wh is None else np.where(valid, pv_wh, 0)
        net_wh[~valid] = 0
        if load_wh is not None:
            load_wh[~valid] = 0
    return net_wh, pv_wh, load_wh


def read_only(*columns: IntArray | BoolArray | None) -> None:
    """Keep plug-ins that see these columns from changing what their results are compared with."""
    for column in columns:
        if isinstance(column, np.ndarray):
            column.flags.writeable = False


def until(column: IntArray, row: int) -> IntArray:
    """The rows of a column before this one."""
    rows = _rows(column)
    return column[:row] if rows is None else cast(IntArray, rows.until(row))


def of_homes(column: IntArray, homes: IntArray) -> IntArray:
    """A column for some of the homes."""
    rows = _rows(column)
    return column[:, homes] if rows is None else cast(IntArray, rows.of_homes(homes))


def _rows(column: object) -> EnergyRows | None:
    return column if isinstance(column, EnergyRows) else None
