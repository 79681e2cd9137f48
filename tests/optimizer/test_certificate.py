"""The certificate holds at an optimum and nowhere else, whatever a solver says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.certificate import KktResiduals
from optimizer.solver.certificate import certify

# min x + 2 y with x + y = 3, 0 <= x <= 2, y >= 0: x = 2, y = 1, row price 2.
COST, LOWER, UPPER = np.array([1.0, 2.0]), np.array([0.0, 0.0, 3.0]), np.array([2.0, np.inf, 3.0])


def proof(x: list[float], price: float, upper: list[float] | None = None) -> KktResiduals:
    value = np.array([*x, sum(x)])
    slope = np.array([*(COST - price), price])
    return certify(COST, LOWER, UPPER if upper is None else np.array(upper), value, slope)


def test_the_optimum_with_its_price_is_proven() -> None:
    assert proof([2.0, 1.0], 2.0) == KktResiduals(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("x", "price", "broken"),
    [
        ([1.0, 2.0], 2.0, "gap"),
        ([2.0, 1.0], 1.5, "gap"),
        ([3.0, 0.0], 2.0, "primal_residual"),
        ([2.0, 2.0], 2.0, "primal_residual"),
        ([2.0, 1.0], 3.0, "dual_residual"),
    ],
)
def test_anything_else_is_not(x: list[float], price: float, broken: str) -> None:
    certificate = proof(x, price)
    assert not certificate.holds
    assert abs(getattr(certificate, broken)) > 1e-3


def test_a_nan_proves_nothing() -> None:
    assert not proof([np.nan, 1.0], 2.0).holds


@given(st.floats(0, 2), st.floats(-5, 5))
def test_no_feasible_point_beats_the_bound_of_any_price(x: float, price: float) -> None:
    certificate = proof([x, 3.0 - x], price, upper=[2.0, 4.0, 3.0])
    assert certificate.primal_residual <= 1e-12
    assert certificate.gap >= -1e-12
