"""Compiling a Pyomo model once gives the arrays that one would write by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyomo.environ import Binary, ConcreteModel, Constraint, Objective, Var, maximize, minimize

from optimizer.errors import NotLinear
from optimizer.models import uniform_price
from optimizer.solver.compile import compile_model
from optimizer.solver.session import Session


def small(sense: Any = minimize) -> ConcreteModel:
    model = ConcreteModel()
    model.x, model.y, model.z = Var(bounds=(0, 5)), Var(bounds=(None, 2)), Var(bounds=(-1, 1))
    model.z.fix(0.5)
    model.o = Objective(expr=2 * model.x - model.y + 7, sense=sense)
    model.both = Constraint(expr=(1, model.x + 2 * model.y + 3, 9))
    model.equal = Constraint(expr=model.x == model.y)
    return model


def test_every_array_is_the_hand_written_one() -> None:
    compiled = compile_model(small())
    assert (compiled.cost.tolist(), compiled.offset) == ([2.0, -1.0, 0.0], 7.0)
    assert compiled.lower.tolist() == [0.0, -np.inf, 0.5]
    assert compiled.upper.tolist() == [5.0, 2.0, 0.5]
    assert compiled.row_lower.tolist() == [-2.0, 0.0]
    assert compiled.row_upper.tolist() == [6.0, 0.0]
    assert compiled.start.tolist() == [0, 2, 4, 4]
    assert compiled.index.tolist() == [0, 1, 0, 1]
    assert compiled.value.tolist() == [1.0, 1.0, 2.0, -1.0]


def test_a_maximised_objective_is_negated_once_and_says_so() -> None:
    compiled = compile_model(small(maximize))
    assert compiled.maximises
    assert (compiled.cost.tolist(), compiled.offset) == ([-2.0, 1.0, 0.0], -7.0)


@pytest.mark.parametrize(("sense", "best"), [(minimize, 7.0), (maximize, 9.0)])
def test_the_compiled_model_has_the_optimum_of_the_pyomo_model(sense: Any, best: float) -> None:
    """On the line x = y with -2 <= 3 x <= 6 and 0 <= x <= 2: 2 x - x + 7 lies in 7 .. 9."""
    compiled = compile_model(small(sense))
    x = Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper).x
    objective = (-1 if compiled.maximises else 1) * (float(compiled.cost @ x) + compiled.offset)
    assert objective == pytest.approx(best)


def test_products_with_the_matrix_do_not_depend_on_how_it_is_stored() -> None:
    model = ConcreteModel()
    model.x = Var(range(12))
    model.o = Objective(expr=model.x[0])
    model.c = Constraint(range(12), rule=lambda m, i: m.x[i] + int(i == 3) * m.x[5] >= i)
    compiled = compile_model(model)
    matrix = np.eye(12)
    matrix[3, 5] = 1.0
    assert compiled.dense is None
    x, y = np.arange(12.0), np.arange(12.0)[::-1].copy()
    assert compiled.times(x).tolist() == (matrix @ x).tolist()
    assert compiled.transpose_times(y).tolist() == (y @ matrix).tolist()
    written_out = compile_model(uniform_price.build([1.0] * 5, [0.0] * 5, [1.0] * 5))
    assert written_out.dense is not None
    assert written_out.dense.tolist() == [[1.0] * 5]


def test_the_uniform_price_model_is_one_balance_row_over_signed_quantities() -> None:
    compiled = compile_model(uniform_price.build([30.0, 10.0], [0.0, -5.0], [4.0, 0.0]))
    assert compiled.cost.tolist() == [-30.0, -10.0]
    assert compiled.lower.tolist() == [0.0, -5.0]
    assert compiled.upper.tolist() == [4.0, 0.0]
    assert compiled.row_lower.tolist() == compiled.row_upper.tolist() == [0.0]


def nonlinear(model: Any) -> None:
    model.bad = Constraint(expr=model.x * model.y <= 1)


def integer(model: Any) -> None:
    model.bad = Var(domain=Binary)


def second_objective(model: Any) -> None:
    model.bad = Objective(expr=model.x)


@pytest.mark.parametrize(
    ("spoil", "reason"), [(nonlinear, "bad"), (integer, "bad"), (second_objective, "2 active")]
)
def test_what_is_no_linear_program_is_refused_by_name(spoil: Any, reason: str) -> None:
    model = small()
    spoil(model)
    with pytest.raises(NotLinear, match=reason):
        compile_model(model)
