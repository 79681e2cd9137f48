"""Solver floats become whole Wh that balance, nobody off by a whole Wh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import SolverFailed
from optimizer.solver.rounding import whole_wh


def test_whole_quantities_stay() -> None:
    assert whole_wh(np.array([3.0, -2.0, -1.0])).tolist() == [3, -2, -1]


def test_noise_is_no_fraction() -> None:
    assert whole_wh(np.array([3.0 + 1e-9, -2.0 - 1e-9, -1.0])).tolist() == [3, -2, -1]


def test_ties_go_to_the_earlier_row() -> None:
    assert whole_wh(np.array([2.5, 2.5, -5.0])).tolist() == [3, 2, -5]


def test_the_largest_remainder_is_served_first() -> None:
    assert whole_wh(np.array([1.2, 1.8, -1.0, -2.0])).tolist() == [1, 2, -1, -2]


def test_an_empty_book_is_whole() -> None:
    assert whole_wh(np.zeros(0)).tolist() == []


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=20))
def test_balance_is_exact_and_nobody_moves_by_a_whole_wh(quantity: list[float]) -> None:
    balanced = np.array([*quantity, -sum(quantity)])
    whole = whole_wh(balanced)
    assert int(whole.sum()) == 0
    assert np.abs(whole - balanced).max() < 1.0


@pytest.mark.parametrize("quantity", [[1.5], [2.5, -3.2], [0.5, 0.6]])
def test_fractions_that_do_not_balance_are_refused(quantity: list[float]) -> None:
    with pytest.raises(SolverFailed, match="off balance"):
        whole_wh(np.array(quantity))


def test_energies_that_no_float_can_hold_are_refused() -> None:
    with pytest.raises(SolverFailed, match="exact"):
        whole_wh(np.array([2.0**60, -(2.0**60) + 4096, -1000.5]))
