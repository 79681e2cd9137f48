"""The program of a book on a grid: order slots at each node, kept hot from one book to the next."""

from __future__ import annotations

from threading import local
from typing import NamedTuple

import numpy as np

from market.auctions.network import Network
from market.book import OrderBook
from market.units import FloatArray, IntArray
from optimizer.models import nodal_losses, nodal_meshed, nodal_radial
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session

_KEPT = 16
COST_PER_MICRO = 1e-3
"""Costs are in thousands of micro-currency. In micro, around 1e5, the tolerance of the simplex of 1e-7 is beyond what
floats resolve along a long feeder, and it ends with the status 'Unknown' on books full of ties."""


class Columns(NamedTuple):
    """Costs and bounds of slots, and the slot of each order."""

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    slot: IntArray


class Slots:
    """A session whose first columns are order slots, node by node; slots that a book leaves over are pinned to 0.

    Args:
        network: The grid.
        slots: Number of them at each node.
    """

    def __init__(self, network: Network, slots: IntArray) -> None:
        self.network, self.count = network, slots
        self.first: IntArray = np.cumsum(slots) - slots
        self.model = compiled(network, slots)
        self.session = Session(self.model)
        self.size = int(slots.sum())

    def columns(self, book: OrderBook) -> Columns:
        """Costs and bounds of the slots for a book, and the slot of each order.

        Slots of a node are in the order of limits, so that the basis of one interval nearly fits the next.
        """
        order = _by_node_and_limit(book)
        counts = np.bincount(book.node, minlength=len(self.count))
        place = (self.first - (counts.cumsum() - counts)).repeat(counts) + np.arange(len(order))
        cost, signed = np.zeros((2, self.size))
        cost[place] = book.limit_micro_per_kwh[order] * -COST_PER_MICRO
        signed[place] = (book.energy_wh * book.side)[order]
        slot = np.empty(len(order), dtype=np.int64)
        slot[order] = place
        return Columns(cost, np.minimum(signed, 0.0), np.maximum(signed, 0.0), slot)

    def solve(self, book: OrderBook) -> FloatArray:
        """Energy of each order in an optimal answer, bought or sold. [Wh]

        Raises:
            Infeasible: No point satisfies the limits.
            SolverFailed: HiGHS gave no answer.
        """
        columns = self.columns(book)
        quantity = self.session.answer(columns.cost, columns.lower, columns.upper)
        energy: FloatArray = np.abs(quantity[columns.slot])
        return energy

    def fits(self, counts: IntArray) -> bool:
        """Whether each node has slots for so many orders."""
        return bool((counts <= self.count).all())


def _by_node_and_limit(book: OrderBook) -> IntArray:
    """Rows by node, limit and row: sorted as one number each where all three fit into 63 bits, many times as fast."""
    node, limit, count = book.node, book.limit_micro_per_kwh, len(book)
    least, nodes = int(limit.min()), int(node.max())
    of_limit, of_row = (int(limit.max()) - least).bit_length(), count.bit_length()
    if nodes.bit_length() + of_limit + of_row > 63:
        return np.lexsort((limit, node)).astype(np.int64)
    packed = (((node << of_limit) | (limit - least)) << of_row) | np.arange(count)
    packed.sort()
    rows: IntArray = packed & ((1 << of_row) - 1)
    return rows


def compiled(network: Network, slots: IntArray) -> CompiledModel:
    """The compiled model of a grid: with losses, radial where its lines form a tree, or meshed."""
    if network.grid.lines.lose:
        return nodal_losses.compiled(network, slots)
    if network.tree is None:
        return nodal_meshed.compiled(network, slots)
    return nodal_radial.compiled(network, slots)


class _Hot(local):
    """The slots of this thread by network: HiGHS objects must not be shared between threads."""

    def __init__(self) -> None:
        self.of: dict[int, Slots] = {}


_HOT = _Hot()


def slots_for(network: Network, book: OrderBook) -> Slots:
    """Slots that hold a book; a node that has too few gets more, and the session is then a new one."""
    counts = np.bincount(book.node, minlength=len(network.grid.nodes)).astype(np.int64)
    found = _HOT.of.get(id(network))
    if found is not None and found.network is network and found.fits(counts):
        return found
    if found is not None and found.network is network:
        counts = np.maximum(counts, found.count)
    if len(_HOT.of) >= _KEPT:
        _HOT.of.pop(next(iter(_HOT.of)))
    made = _HOT.of[id(network)] = Slots(network, counts)
    return made
