"""The models of grids: written without Pyomo they are Pyomo's, and solved by Pyomo they have the same welfare."""

from __future__ import annotations

import numpy as np
import pytest
from pyomo.contrib.solver.solvers.highs import Highs

from market.auctions.network import Network, network_of
from market.book import OrderBook
from market.certificate import NodalPrices
from optimizer.mechanisms.nodal_price import clear
from optimizer.models import nodal_meshed, nodal_radial
from optimizer.nodal.program import Slots, compiled
from optimizer.solver.compile import CompiledModel, compile_model
from optimizer.solver.irreducible import irreducible
from optimizer.solver.session import OPTIONS, Session
from tests.kits.grid_kit import grid_of, on, random_book, random_grid

KINDS = ("tree", "voltage", "mesh")
ARRAYS = ("lower", "upper", "row_lower", "row_upper", "start", "index", "value")


def pyomo_model(network: Network, book: OrderBook, node: list[int]) -> object:
    """The readable model of the orders of a book."""
    signed = book.energy_wh * book.side
    lower, upper = np.minimum(signed, 0).tolist(), np.maximum(signed, 0).tolist()
    build = nodal_meshed.build if network.tree is None else nodal_radial.build
    return build(network, node, book.limit_micro_per_kwh.tolist(), lower, upper)


@pytest.mark.parametrize("kind", KINDS)
def test_the_arrays_are_exactly_those_of_the_pyomo_model(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(15):
        grid = random_grid(rng, kind)
        network, slots = network_of(grid), rng.integers(0, 4, len(grid.nodes))
        node = np.repeat(np.arange(len(slots)), slots)
        zeros = [0.0] * len(node)
        build = nodal_meshed.build if network.tree is None else nodal_radial.build
        read = compile_model(build(network, node.tolist(), [1.0] * len(node), zeros, zeros))
        written = compiled(network, slots)
        assert read.maximises
        assert written.cost.tolist() == read.cost.tolist()
        for name in ARRAYS:
            assert getattr(written, name).tolist() == getattr(read, name).tolist(), name


@pytest.mark.parametrize("kind", KINDS)
def test_pyomo_and_highs_find_the_welfare_of_the_hot_session(kind: str) -> None:
    """Books full of ties. On trees with limits of lines the clearing itself has it; else whole Wh may cost a little."""
    rng = np.random.default_rng(2)
    for _ in range(12):
        grid = random_grid(rng, kind)
        network, book = network_of(grid), random_book(rng, grid, 20, 4)
        model = pyomo_model(network, book, book.node.tolist())
        options = {name: OPTIONS[name] for name in ("presolve", "solver", "threads")}
        reference = Highs().solve(model, solver_options=options).incumbent_objective
        hot = Slots(network, np.bincount(book.node, minlength=len(grid.nodes))).solve(book)
        found = float(np.dot(book.side * hot, book.limit_micro_per_kwh))
        assert found == pytest.approx(reference, rel=1e-9, abs=1e-3)
        clearing = clear(book, on(grid))
        assert isinstance(clearing.certificate, NodalPrices)
        if kind == "tree":
            assert clearing.welfare_nano == pytest.approx(reference, rel=1e-9, abs=1e-3)
        else:
            lost, noise = reference - clearing.welfare_nano, 1 + 1e-9 * abs(reference)
            assert -noise <= lost <= clearing.certificate.allowed_gap_nano + noise


@pytest.mark.parametrize("price", [1, 5 * 10**14])
def test_slots_are_filled_in_the_order_of_limits_and_ties_in_that_of_the_book(price: int) -> None:
    """Limits far apart, node and row do not fit into one number; the order is the same."""
    rng = np.random.default_rng(3)
    node, limit = rng.integers(0, 4, 900), rng.integers(-9, 9, 900) * price
    side, energy = rng.choice([-1, 1], 900).astype(np.int8), np.ones(900, dtype=np.int64)
    book = OrderBook.from_columns(np.arange(900), side, energy, limit, node)
    slots = Slots(network_of(grid_of([(0, 1), (1, 2), (2, 3)], [5, 5, 5])), np.full(4, 300))
    order = np.lexsort((limit, node))
    number = np.arange(900) - np.searchsorted(node[order], node[order])
    columns = slots.columns(book)
    assert columns.slot[order].tolist() == (300 * node[order] + number).tolist()
    assert columns.upper[columns.slot].tolist() == np.maximum(energy * side, 0).tolist()


def test_costs_and_bounds_of_the_first_columns_leave_the_others_as_they_are() -> None:
    model = compiled(network_of(grid_of([(0, 1)], [5])), np.array([1, 1]))
    session = Session(model)
    zero, nine = np.zeros(2), np.array([0.0, 9.0])
    found = session.answer(np.array([1.0, -2.0]), np.array([-9.0, 0.0]), nine)
    assert found.tolist() == [-5, 5]
    assert session.answer(-np.ones(2), zero, nine).tolist() == [0, 0]


def test_a_session_of_whole_numbers_finds_the_whole_optimum() -> None:
    """Max 5a + 4b with 6a + 4b <= 24 and a + 2b <= 6: 21 at (3, 1.5) in fractions, 20 at (4, 0) in whole numbers."""
    from optimizer.solver.builder import ModelBuilder

    model = ModelBuilder()
    a, b = model.variables("x", 2, 0.0, 10.0, cost=np.array([-5.0, -4.0]))
    model.constraint("one", [(a, 6.0), (b, 4.0)], upper=24.0)
    model.constraint("two", [(a, 1.0), (b, 2.0)], upper=6.0)
    written = model.compile()
    fractions = Session(written).answer(written.cost, written.lower, written.upper)
    whole = Session(written, whole=2).answer(written.cost, written.lower, written.upper)
    assert -written.cost @ fractions == pytest.approx(21)
    assert whole.round(6).tolist() == [4, 0]


def contradiction() -> CompiledModel:
    """Five rows about four variables of which two rows and one bound contradict each other."""
    from optimizer.solver.builder import ModelBuilder

    model = ModelBuilder()
    x = model.variables("x", 4, 0.0, 1.0).tolist()
    model.constraint("loose", [(x[0], 1.0), (x[1], 1.0)], upper=2.0)
    model.constraint("sum", [(x[1], 1.0), (x[2], 1.0)], lower=3.0)
    model.constraint("equal", [(x[1], 1.0), (x[2], -1.0)], 0.0, 0.0)
    model.constraint("free", [(x[3], 1.0)], lower=-1.0)
    return model.compile()


def test_what_the_solver_blames_is_reduced_to_what_has_no_solution_and_has_one_without_any_member() -> None:
    from optimizer.errors import Infeasible
    from optimizer.solver.irreducible import _has_solution

    model = contradiction()
    session = Session(model)
    with pytest.raises(Infeasible):
        session.answer(model.cost, model.lower, model.upper)
    for first in (session.irreducible(), (list(range(4)), list(range(4)))):
        rows, columns = irreducible(model, *first)
        assert 1 in rows
        assert not set(rows) & {0, 3}
        assert not _has_solution(model, rows, columns)
        assert all(_has_solution(model, [r for r in rows if r != row], columns) for row in rows)
        assert all(_has_solution(model, rows, [c for c in columns if c != one]) for one in columns)
