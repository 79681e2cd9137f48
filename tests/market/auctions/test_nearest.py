"""Least squares under inequalities: by hand, and by the conditions that make a point the nearest one."""

from __future__ import annotations

import numpy as np
import pytest

from market.auctions.nearest import NotFound, nearest, nonnegative


def test_a_point_is_moved_to_the_nearest_corner() -> None:
    """x >= 3, y >= 4: the point of least size is (3, 4); with x + y >= 9 it is (4.5, 4.5)."""
    two = np.eye(2)
    assert nearest(two, two, np.array([3.0, 4.0])) == pytest.approx(np.array([3.0, 4.0]))
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert nearest(two, rows, np.array([3.0, 4.0, 9.0])) == pytest.approx(np.array([4.5, 4.5]))


def test_what_is_allowed_already_stays() -> None:
    assert nearest(np.eye(2), np.eye(2), np.array([-1.0, -1.0])).tolist() == [0, 0]


def test_contradictions_are_not_found() -> None:
    with pytest.raises(NotFound):
        nearest(np.eye(1), np.array([[1.0], [-1.0]]), np.array([2.0, -1.0]))


def test_random_points_meet_the_conditions_of_the_nearest() -> None:
    """Feasible, and the gradient is a nonnegative combination of the constraints that hold it."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        n, m, c = int(rng.integers(1, 6)), int(rng.integers(6, 15)), int(rng.integers(1, 40))
        matrix, rows = rng.normal(size=(m, n)), rng.normal(size=(c, n))
        inside = 1e5 * rng.normal(size=n)
        least = rows @ inside - 1e5 * rng.random(c)
        y = nearest(matrix, rows, least)
        slack = rows @ y - least
        assert slack.min() >= -1e-4
        tight = rows[slack < 1e-3]
        gradient = matrix.T @ (matrix @ y)
        weight = nonnegative(tight.T, gradient)
        assert tight.T @ weight == pytest.approx(gradient, abs=1e-6 * max(1.0, float(np.abs(gradient).max())))


def test_nonnegative_least_squares_meet_their_conditions() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        m, n = int(rng.integers(1, 12)), int(rng.integers(1, 12))
        matrix, target = rng.normal(size=(m, n)), rng.normal(size=m)
        x = nonnegative(matrix, target)
        gain = matrix.T @ (target - matrix @ x)
        assert x.min() >= 0
        assert gain.max() <= 1e-8
        assert np.abs(gain[x > 0]).max(initial=0.0) <= 1e-8
