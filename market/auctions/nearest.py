"""Least squares under inequalities, in numpy: a few unknowns, many constraints.

Source: C. L. Lawson, R. J. Hanson, Solving Least Squares Problems, 1974, chapter 23: NNLS, and LDP, which turns the
nearest point of a polyhedron into an NNLS.
"""

from __future__ import annotations

import numpy as np

from market.units import FloatArray

SMALL = 1e-11
"""What counts as 0 of numbers around 1."""


class NotFound(ArithmeticError):
    """No point satisfies the constraints, or the search lost its way."""


def nonnegative(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """The x >= 0 that brings matrix x nearest to a target.

    Args:
        matrix: Shape (m, n), with columns of a size around 1.
        target: Shape (m,).

    Raises:
        NotFound: After more steps than the search can need.
    """
    columns = matrix.shape[1]
    x, free = np.zeros(columns), np.zeros(columns, dtype=bool)
    scale = SMALL * max(1.0, float(np.abs(target).max(initial=0.0)))
    for _ in range(3 * columns + 10):
        gain = matrix.T @ (target - matrix @ x)
        gain[free] = -np.inf
        best = int(gain.argmax()) if columns else -1
        if best < 0 or gain[best] <= scale:
            return x
        free[best] = True
        for _ in range(columns + 1):
            at = np.flatnonzero(free)
            wanted = np.linalg.lstsq(matrix[:, at], target, rcond=None)[0]
            if (wanted > 0).all():
                break
            # Go as far as all stay positive, and let go of those that would not.
            low = wanted <= 0
            step = float((x[at[low]] / np.maximum(x[at[low]] - wanted[low], 1e-300)).min())
            x[at] += step * (wanted - x[at])
            free[at[low & (x[at] <= SMALL)]] = False
            x[~free] = 0.0
            if not free.any():
                wanted, at = np.zeros(0), np.flatnonzero(free)
                break
        x[:] = 0.0
        x[at] = wanted
    raise NotFound("the search for the nearest point did not end")


def nearest(matrix: FloatArray, rows: FloatArray, least: FloatArray) -> FloatArray:
    """The y with rows y >= least that makes the size of matrix y smallest.

    Args:
        matrix: Shape (m, n).
        rows: One constraint each, shape (c, n).
        least: What each constraint is at least, shape (c,).

    Returns:
        y, unique where matrix has full rank; else that of least size.

    Raises:
        NotFound: No y satisfies all constraints.
    """
    # In coordinates w with |w| = |matrix y|. Directions that matrix does not see get a little weight.
    _, size, turned = np.linalg.svd(matrix, full_matrices=False)
    size = np.maximum(size, 1e-7 * size[0])
    back = turned.T / size
    scaled = rows @ back
    length = np.maximum(np.linalg.norm(scaled, axis=1), 1e-300)
    scaled, wanted = scaled / length[:, None], least / length
    unit = max(float(np.abs(wanted).max()), 1e-300)
    stacked = np.vstack((scaled.T, wanted / unit))
    goal = np.zeros(len(stacked))
    goal[-1] = 1.0
    weight = nonnegative(stacked, goal)
    rest = stacked @ weight - goal
    if -rest[-1] <= 1e-13:
        raise NotFound("no point satisfies all constraints")
    # The constraints that hold it are known now: solved alone, they give the point without the error of the search.
    held = weight > 0
    point = np.linalg.lstsq(scaled[held], wanted[held], rcond=None)[0] if held.any() else np.zeros(len(size))
    if (scaled @ point < wanted - 1e-7 * unit).any():
        point = -rest[:-1] / rest[-1] * unit
    y: FloatArray = back @ point
    return y
