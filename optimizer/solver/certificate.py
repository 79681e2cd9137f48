"""The KKT certificate of a linear program: checks any solver's answer, and needs no solver.

For min c x with lower <= x <= upper and row_lower <= A x <= row_upper, any row prices y bound the objective
from below, d(y) <= c x: d(y) is the sum over columns of the reduced cost z = c - A'y times the bound it
points to (the lower one where z > 0), plus the same over rows with y. So a feasible x with c x = d(y) is
optimal, whoever found it.
"""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np

from market.certificate import KktResiduals
from market.units import FloatArray


def certify(
    cost: FloatArray, lower: FloatArray, upper: FloatArray, value: FloatArray, slope: FloatArray
) -> KktResiduals:
    """Compute the certificate of an answer; all but `cost` hold the columns first and then the rows.

    Args:
        cost: Cost per column of a minimisation.
        lower: Lower bounds of x and of A x.
        upper: Upper bounds of x and of A x.
        value: x and A x.
        slope: Reduced costs c - A'y, and row prices y (change of the objective per unit of the row's bound).
    """
    x = value[: len(cost)]
    objective = float(cost.dot(x))
    size, cost_size = sqrt(x.dot(x)), sqrt(cost.dot(cost))
    room = float(np.minimum.reduce(np.minimum(value - lower, upper - value)))
    bound = np.where(slope > 0, lower, upper)
    wrong_way = 0.0
    if not isfinite(bound.dot(bound)):
        infinite = np.isinf(bound)
        wrong_way = float(np.abs(slope[infinite]).max())
        bound[infinite] = 0.0
    return KktResiduals(
        primal_residual=max(0.0, -room) / (1.0 + size),
        dual_residual=wrong_way / (1.0 + cost_size),
        gap=(objective - float(slope.dot(bound))) / (1.0 + size * cost_size),
    )
