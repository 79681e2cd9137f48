"""From solver floats back to whole Wh: one function for all models."""

from __future__ import annotations

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.errors import SolverFailed

NOISE_WH = 1e-4
"""What a solver may be off a whole number without being fractional. [Wh]"""

EXACT_WH = 2.0**53
"""Up to here every whole number is a float. [Wh]"""


def whole_wh(quantity: FloatArray) -> IntArray:
    """Round balanced quantities to whole Wh that balance exactly.

    A vertex of the program is whole already, so that it balances as it is. Otherwise every row gets its
    floor, and the Wh that then lack go one each to the rows with the largest remainders, the earlier row
    first: nobody is off by a whole Wh.

    Args:
        quantity: Bought (> 0) and sold (< 0) per row, summing to 0 up to noise. [Wh]

    Raises:
        SolverFailed: Fractional quantities do not balance, or are too large to be exact.
    """
    nearest = np.rint(quantity)
    if not np.count_nonzero(nearest != quantity):
        vertex: IntArray = nearest.astype(np.int64)
        return vertex
    if np.abs(quantity).sum() >= EXACT_WH:
        raise SolverFailed(f"more than {EXACT_WH:.0f} Wh are not exact in floating point; use solver 'exact'")
    settled = np.where(np.abs(quantity - nearest) < NOISE_WH, nearest, quantity)
    whole: IntArray = np.floor(settled).astype(np.int64)
    remainder = settled - whole
    lacking, off = -int(whole.sum()), float(quantity.sum())
    if abs(off) > 0.5 or not 0 <= lacking <= np.count_nonzero(remainder):
        raise SolverFailed(f"the solver's quantities are {off:g} Wh off balance")
    whole[np.argsort(-remainder, kind="stable")[:lacking]] += 1
    return whole
