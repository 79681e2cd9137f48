"""Programs for the rare cases in which orders at the price are not served by the rule of their zone alone.

Both are solved in a session of their own, so that the answer depends on the book and the grid and not on what was
solved before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.auctions.network import Network
from market.book import OrderBook
from market.units import PPM, BoolArray, FloatArray, IntArray
from optimizer.errors import Infeasible, SolverFailed
from optimizer.nodal.prices import NEAR_MICRO, Zones
from optimizer.nodal.program import COST_PER_MICRO, compiled
from optimizer.solver.asked import Asked, Asking, Reading
from optimizer.solver.compile import CompiledModel, by_column
from optimizer.solver.rounding import whole_wh

VOLUME = 1_000.0
"""What a Wh traded counts, where one served by the rule counts 1 more and order of arrival decides below that."""
TRIES = 20
"""How often limits are tightened."""
WIDTHS_WH = (2.0, 50.0, np.inf)
"""How far whole Wh are looked for from the answer in fractions, one after the other. [Wh]"""


def by_program(
    network: Network,
    book: OrderBook,
    zones: Zones,
    accepted: IntArray,
    marginal: BoolArray,
    wanted: IntArray | None,
    asked: Asked,
) -> IntArray | None:
    """Serve the marginal orders within all limits: the largest volume, then nearest to what the rule of zones gives.

    Args:
        network: The grid.
        book: The orders.
        zones: Prices; limits that have one stay binding.
        accepted: Of the other orders. [Wh]
        marginal: Orders at the price.
        wanted: What the rule of zones would give each; None where it gives nothing. [Wh]
        asked: Answers to its program.

    Returns:
        Accepted energy of all orders in whole Wh; None where whole Wh break a limit or leave a rent below 0.

    Raises:
        Infeasible: The marginal orders cannot fill what binds.
    """
    rows = np.flatnonzero(marginal)
    # Columns: what the other orders of a node take, what the rule gives a marginal one, and the rest of its energy.
    load = network.load(book, accepted)
    fixed = np.flatnonzero(load)
    first = (
        np.zeros(len(rows), dtype=np.int64)
        if wanted is None
        else np.minimum(wanted[rows], book.energy_wh[rows])
    )
    rest = book.energy_wh[rows] - first
    side = book.side[rows].astype(np.float64)
    turn = np.empty(len(rows))
    turn[np.lexsort((rows, book.sequence[rows]))] = np.arange(len(rows))
    worth = VOLUME + 0.5 * (1.0 - turn / max(1, len(rows)))
    node = np.concatenate((fixed, book.node[rows], book.node[rows]))
    signed = np.concatenate((side * first, side * rest))
    cost = np.concatenate((np.zeros(len(fixed)), -side * (worth + 1.0), -side * worth))
    lower = np.concatenate((load[fixed], np.minimum(signed, 0.0)))
    upper = np.concatenate((load[fixed], np.maximum(signed, 0.0)))
    model, order = _model(network, node)
    _pin(network, model, zones.active, len(node))
    quantity = np.empty(len(node))
    quantity[order] = _solve(model, cost[order], lower[order], upper[order], asked.of(model))
    split = np.abs(quantity[len(fixed) :].reshape(2, len(rows))).sum(axis=0)
    balanced = whole_wh(np.concatenate(([load.sum()], side * split)))
    served = accepted.copy()
    served[rows] = np.clip(np.abs(balanced[1:]), 0, book.energy_wh[rows])
    done = network.load(book, served)
    fits = done.sum() == 0 and network.fits(network.state(done)) and zones.pays(done)
    return served if fits else None


def in_whole_numbers(network: Network, book: OrderBook, zones: Zones, asked: Asked) -> IntArray:
    """Solve the program of all orders again for whole Wh. Orders worse than the price of their node stay out.

    First with limits tightened by what rounded answers break of them, until they break none; where that does not end,
    as at limits of a few Wh, or where buyers would then pay less than sellers get, in whole numbers near the answer in
    fractions at whose prices they do not.

    Raises:
        SolverFailed: No whole Wh were found within the limits.
    """
    model, order = _model(network, book.node)
    price = zones.price[zones.of_node[book.node]]
    worse = book.side * (book.limit_micro_per_kwh - price) < -NEAR_MICRO
    signed = np.where(worse, 0, book.side * book.energy_wh).astype(np.float64)[order]
    cost = (book.limit_micro_per_kwh[order] * -COST_PER_MICRO).astype(np.float64)
    lower, upper = np.minimum(signed, 0), np.maximum(signed, 0)
    less, noise, session = np.zeros(len(network.noise)), network.noise, asked.of(model)
    near = np.zeros(0)
    for attempt in range(TRIES):
        _tighten(network, model, less, len(order))
        quantity = _solve(model, cost, lower, upper, session)
        near = quantity if not attempt else near
        served = _in_book_order(whole_wh(quantity), order)
        load = network.load(book, served)
        room = network.room(network.state(load))
        broken = room < -noise
        if not broken.any() and (served <= book.energy_wh).all():
            if zones.pays(load):
                return served
            break
        less[broken] -= room[broken] - noise[broken]
    # In limits that leave room for what the solver tolerates.
    _tighten(network, model, 10 * noise, len(order))
    for program in (model, _paying(model, price[order])):
        whole = asked.of(program, len(order))
        for width in WIDTHS_WH:
            low, high = np.maximum(lower, np.floor(near) - width), np.minimum(upper, np.ceil(near) + width)
            try:
                quantity = _solve(program, cost, low, high, whole)
            except (Infeasible, SolverFailed):
                continue
            served = _in_book_order(np.rint(quantity).astype(np.int64), order)
            load = network.load(book, served)
            if load.sum() == 0 and network.fits(network.state(load)):
                if zones.pays(load):
                    return served
                break
    raise SolverFailed(
        "no allocation in whole Wh was found within the limits of the grid; its limits are too narrow"
    )


def _in_book_order(signed_wh: IntArray, order: IntArray) -> IntArray:
    served = np.empty_like(signed_wh)
    served[order] = np.abs(signed_wh)
    return served


def _model(network: Network, node: IntArray) -> tuple[CompiledModel, IntArray]:
    """The model of columns at some nodes, and which of them is at each place."""
    slots = np.bincount(node, minlength=len(network.grid.nodes)).astype(np.int64)
    return compiled(network, slots), np.argsort(node, kind="stable")


def _pin(network: Network, model: CompiledModel, limits: IntArray, first: int) -> None:
    """Hold limits at where they bind: flows and voltages are the columns behind those of orders."""
    count = len(network.grid.lines)
    for limit in limits.tolist():
        if limit < 2 * count:
            column = first + limit % count
            at = network.limit_wh[limit % count] * (1 if limit < count else -1)
        else:
            high, node = divmod(limit - 2 * count, len(network.grid.nodes))
            column = first + count + node - (node > network.grid.root)
            at = (network.grid.vmin, network.grid.vmax)[high] * PPM
        model.lower[column] = model.upper[column] = at


def _paying(model: CompiledModel, price_micro_per_kwh: FloatArray) -> CompiledModel:
    """The model in which buyers pay at least what sellers get, at these prices of its first columns."""
    rows, orders = len(model.row_lower), np.arange(len(price_micro_per_kwh))
    column = np.repeat(np.arange(len(model.cost)), np.diff(model.start))
    matrix = by_column(
        np.concatenate((column, orders)).astype(np.int32),
        np.append(model.index, np.full(len(orders), rows)).astype(np.int32),
        np.append(model.value, price_micro_per_kwh * COST_PER_MICRO),
        len(model.cost),
        rows + 1,
    )
    lowest, highest = np.append(model.row_lower, 0.0), np.append(model.row_upper, np.inf)
    return replace(model, row_lower=lowest, row_upper=highest, **matrix)


def _tighten(network: Network, model: CompiledModel, less: FloatArray, first: int) -> None:
    count, nodes = len(network.grid.lines), len(network.grid.nodes)
    flows = slice(first, first + count)
    # Never beyond the grid at rest: without any trade all limits hold.
    model.upper[flows] = np.maximum(network.limit_wh - less[:count], 0.0)
    model.lower[flows] = np.minimum(less[count : 2 * count] - network.limit_wh, 0.0)
    if network.has_voltages:
        others = np.delete(np.arange(nodes), network.grid.root)
        voltages = slice(first + count, first + count + nodes - 1)
        low, high = less[2 * count :].reshape(2, nodes)[:, others]
        rest = network.v_at_rest_ppm[others]
        model.lower[voltages] = np.minimum(network.grid.vmin * PPM + low, rest)
        model.upper[voltages] = np.maximum(network.grid.vmax * PPM - high, rest)


def _solve(
    model: CompiledModel,
    cost: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    session: Asking | Reading,
) -> FloatArray:
    """Solve with these costs and bounds of the first columns, and with the bounds of the model for the others."""
    size = len(cost)
    all_cost, all_lower, all_upper = np.zeros_like(model.cost), model.lower.copy(), model.upper.copy()
    all_cost[:size], all_lower[:size], all_upper[:size] = cost, lower, upper
    return session.answer(all_cost, all_lower, all_upper)[:size]
