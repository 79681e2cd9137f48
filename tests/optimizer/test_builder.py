"""Models written column by column solve as the same models written in Pyomo do."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.models.uniform_price import build, compiled
from optimizer.solver.builder import NONE, ModelBuilder
from optimizer.solver.compile import compile_model
from optimizer.solver.session import Session


def test_a_built_model_has_the_arrays_of_the_compiled_pyomo_model() -> None:
    limit, lower, upper = [30.0, 20.0, 10.0], [0.0, 0.0, -8.0], [5.0, 5.0, 0.0]
    pyomo = compile_model(build(limit, lower, upper))
    model = ModelBuilder()
    columns = np.concatenate(
        [
            model.variables(f"order{i}", 1, low, up)
            for i, (low, up) in enumerate(zip(lower, upper, strict=True))
        ]
    )
    model.add_cost(columns, -np.array(limit))
    model.constraint("balance", [(column, 1.0) for column in columns], lower=0.0, upper=0.0)
    built = model.compile()
    for name in ("cost", "lower", "upper", "row_lower", "row_upper", "start", "index", "value"):
        assert getattr(built, name).tolist() == getattr(pyomo, name).tolist(), name
    solution = Session(built).resolve(built.cost, built.lower, built.upper)
    assert solution.x.tolist() == [5.0, 3.0, -8.0]


def test_the_model_of_a_session_is_the_pyomo_model_without_energy() -> None:
    built, pyomo = compiled(5), compile_model(build([1.0] * 5, [0.0] * 5, [0.0] * 5))
    for name in ("cost", "lower", "upper", "row_lower", "row_upper", "start", "index", "value", "dense"):
        assert getattr(built, name).tolist() == getattr(pyomo, name).tolist(), name


def test_costs_add_up_and_a_column_that_comes_twice_is_summed() -> None:
    model = ModelBuilder()
    x = model.variables("x", 2, upper=10.0, cost=1.0)
    model.add_cost(x, np.array([0.0, 1.0]))
    model.constraint("enough", [(x[0], 1.0), (x[1], 1.0), (x[0], 1.0)], lower=6.0)
    built = model.compile()
    assert built.cost.tolist() == [1.0, 2.0]
    solution = Session(built).resolve(built.cost, built.lower, built.upper)
    assert solution.x.tolist() == [3.0, 0.0]
    assert model.named("x") is x
    assert model.named("y") is None


def test_a_name_stands_for_one_thing() -> None:
    model = ModelBuilder()
    x = model.variables("x", 1)
    model.constraint("c", [(x[0], 1.0)], upper=1.0)
    with pytest.raises(ValueError, match="'x' already"):
        model.variables("x", 1)
    with pytest.raises(ValueError, match="'c' already"):
        model.constraint("c", [])


def test_a_block_of_rows_is_the_same_as_its_rows_one_by_one() -> None:
    """Content of a store: what was there before is in every row but the first; a column comes twice in the last one."""
    built = []
    for in_blocks in (False, True):
        model = ModelBuilder()
        moved = model.variables("moved", 3, upper=np.array([1.0, 2.0, 3.0]), cost=np.array([3.0, 2.0, 1.0]))
        stored = model.variables("stored", 3)
        held, before = np.array([5.0, 0.0, 0.0]), np.array([NONE, stored[0], stored[1]])
        if in_blocks:
            twice = np.array([NONE, NONE, moved[2]])
            terms = [(stored, 1.0), (moved, np.array([-1.0, -0.9, -0.8])), (before, -0.5), (twice, -0.1)]
            model.constraints("content", terms, lower=held, upper=held)
        else:
            for t, gain in enumerate((1.0, 0.9, 0.8)):
                row = [(stored[t], 1.0), (moved[t], -gain)] + [(stored[t - 1], -0.5)] * (t > 0)
                row += [(moved[t], -0.1)] * (t == 2)
                model.constraint(f"content[{t}]", row, held[t], held[t])
        built.append(model.compile())
    for name in ("cost", "lower", "upper", "row_lower", "row_upper", "start", "index", "value"):
        assert getattr(built[0], name).tolist() == getattr(built[1], name).tolist(), name
    assert built[0].value.tolist() == [-1.0, -0.9, -0.8 - 0.1, 1.0, -0.5, 1.0, -0.5, 1.0]


def test_blocks_of_different_lengths_are_refused() -> None:
    model = ModelBuilder()
    x = model.variables("x", 3)
    with pytest.raises(ValueError, match="different numbers of columns"):
        model.constraints("c", [(x, 1.0), (x[1:], 1.0)])
    with pytest.raises(ValueError, match="2 values for 3"):
        model.constraints("d", [(x, 1.0)], upper=np.zeros(2))
    with pytest.raises(ValueError, match="2 values for 3"):
        model.variables("y", 3, lower=np.zeros(2))


def test_a_model_without_rows_or_columns_compiles() -> None:
    model = ModelBuilder()
    assert len(model.compile().cost) == 0
    model.variables("x", 1, lower=2.0, cost=1.0)
    compiled = model.compile()
    assert Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper).x.tolist() == [2.0]
