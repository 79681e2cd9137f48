"""Why a grid carries nothing at all: an irreducible set of its conditions that no flows satisfy, in words."""

from __future__ import annotations

import numpy as np

from market.auctions.network import Network
from market.units import PPM
from optimizer.errors import Infeasible, SolverFailed
from optimizer.nodal.program import compiled
from optimizer.solver.compile import CompiledModel
from optimizer.solver.irreducible import irreducible
from optimizer.solver.session import Session


def why_nothing_fits(network: Network) -> Infeasible:
    """The error about a grid whose limits do not even hold without any trade.

    Only reactive loads can do that: without them nothing flows and every voltage is 1.
    """
    model = _at_rest(network)
    session = Session(model)
    try:
        session.answer(model.cost, model.lower, model.upper)
    except Infeasible:
        return Infeasible(_in_words(network, *irreducible(model, *session.irreducible())))
    raise SolverFailed("limits that do not hold without a trade have a solution, the solver says")


def _at_rest(network: Network) -> CompiledModel:
    """The model without orders, whose only point is the grid at rest."""
    return compiled(network, np.zeros(len(network.grid.nodes), dtype=np.int64))


def _in_words(network: Network, rows: list[int], columns: list[int]) -> str:
    """The set in words: voltages that are out of bounds, along which lines, and by which reactive loads."""
    grid = network.grid
    nodes, lines = grid.nodes.names, grid.lines.names
    count = len(lines)
    others = np.delete(np.arange(len(nodes)), grid.root)
    at = sorted({int(others[column - count]) for column in columns if column >= count})
    along = [lines[row - len(nodes)] for row in sorted(rows) if row >= len(nodes)]
    v = network.at_rest.v_ppm
    assert v is not None  # a grid without voltages is never out of its limits at rest
    bound = {n: ("vmin", grid.vmin) if v[n] < grid.vmin * PPM else ("vmax", grid.vmax) for n in at}
    parts = [
        f"node {nodes[n]!r} has a squared voltage of {v[n] / PPM:.6f}"
        f" ({'below' if bound[n][0] == 'vmin' else 'above'} {bound[n][0]} = {bound[n][1]:g})"
        for n in at
    ]
    loads = [nodes[n] for n in np.flatnonzero(grid.nodes.reactive_load).tolist()]
    return (
        f"without any trade {' and '.join(parts)} by the reactive load of"
        f" {', '.join(map(repr, loads[:5]))}{' and others' if len(loads) > 5 else ''} over line"
        f"{'s' if len(along) > 1 else ''} {', '.join(map(repr, along))}; lower the reactive load, choose a wider"
        " voltage band or a thicker line"
    )
