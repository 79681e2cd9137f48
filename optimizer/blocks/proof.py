"""The proof of a bound: the tree of the search with row prices at its nodes, checked by numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from market.certificate import MilpGap
from market.units import FloatArray
from optimizer.blocks.region import Region, Space
from optimizer.solver.compile import CompiledModel

FEASIBLE = 1e-6
"""What columns and rows of a point may be off their bounds: Wh, or shares."""


@dataclass(slots=True)
class ProofNode:
    """A node of the tree; which lumps are decided in it follows from the nodes above.

    Args:
        row_price: Row prices, which bound the welfare of the region.
        lump: The lump that its two children decide, or -1 where it has none.
        children: Numbers of the nodes in which it is accepted and rejected.
        point: Values of columns with more welfare than the bound of the region, in which only the region's accepted
            lumps have shares: none of its clearings is supported. None where that is not the reason to close it.
        empty: Whether the row prices prove that the region holds no clearing at all.
    """

    row_price: FloatArray
    lump: int = -1
    children: tuple[int, int] = (-1, -1)
    point: FloatArray | None = None
    empty: bool = False


class ProvenAnswer(NamedTuple):
    """The answer of a search before rounding, with its proof.

    Args:
        x: Values of the columns of its program.
        row_price: Row prices at which no accepted lump loses.
        nodes: The tree that proves the bound.
    """

    x: FloatArray
    row_price: FloatArray
    nodes: Sequence[ProofNode]


@dataclass(frozen=True, slots=True, eq=False)
class SearchedGap(MilpGap):
    """The gap of a search with the tree that proves its bound; node 0 is the root.

    Args:
        nodes: Of the tree.
        no_discharge: Intervals in which storages did not discharge.
        answers: Of the searches that led to the clearing, one after the other: each says in which intervals storages
            would do both at once, and do not discharge in the next one. Empty where nothing was to be searched.
        coordinated: Whether the answer comes from a coordination of many storages.
    """

    nodes: Sequence[ProofNode] = field(default=(), repr=False)
    no_discharge: tuple[int, ...] = ()
    answers: tuple[ProvenAnswer, ...] = field(default=(), repr=False)
    coordinated: bool = False


def proven_bound(space: Space, nodes: Sequence[ProofNode], welfare_nano: float) -> float:
    """The bound on the welfare of every supported clearing that a tree proves; numpy alone. [nano-currency]

    Args:
        space: The horizon.
        nodes: The tree. A node that is missing, or whose reason does not hold, proves nothing beyond its row prices.
        welfare_nano: Of the clearing that is known.
    """
    highest = welfare_nano
    stack: list[tuple[int, Region, float]] = [(0, space.root, np.inf)]
    seen: set[int] = set()
    while stack:
        number, region, above = stack.pop()
        tight = space.tightened(region)
        if tight is None:
            continue
        if not 0 <= number < len(nodes) or number in seen or not _has_prices(space, nodes[number]):
            highest = max(highest, above)
            continue
        seen.add(number)
        node = nodes[number]
        if node.empty and space.bound(node.row_price, tight, without_cost=True) < -FEASIBLE:
            continue
        bound = above if node.empty else min(above, space.bound(node.row_price, tight))
        if bound <= welfare_nano + space.tolerance_nano:
            continue
        if not node.empty:  # what is better than the known clearing is in a smaller region
            tight = space.fixed(node.row_price, tight, bound, welfare_nano)
        if node.point is not None and point_welfare(space, node.point, tight) > bound:
            continue
        if not 0 <= node.lump < len(tight.on):
            highest = max(highest, bound)
            continue
        stack += [
            (child, branch, bound)
            for child, branch in zip(node.children, halves(tight, node.lump), strict=True)
        ]
    return highest


def halves(region: Region, lump: int) -> tuple[Region, Region]:
    """The part of a region in which a lump is accepted, and the part in which it is rejected."""
    only = np.zeros(len(region.on), dtype=np.bool_)
    only[lump] = True
    return Region(region.on | only, region.off), Region(region.on, region.off | only)


def point_welfare(space: Space, x: FloatArray, region: Region) -> float:
    """Welfare of a point of R(accepted lumps of the region), minus infinity where it is none. [nano-currency]

    Energy from nowhere and to nowhere counts at the highest and the lowest price.
    """
    model, arrays = space.model, space.model.arrays
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    lower[model.share], upper[model.share] = space.relaxed_bounds(region.on)
    upper[model.short] = upper[model.spare] = np.inf
    return -float(arrays.cost @ x) - space.tolerance_nano if is_within(arrays, x, lower, upper) else -np.inf


def is_within(arrays: CompiledModel, x: FloatArray, lower: FloatArray, upper: FloatArray) -> bool:
    """Whether values of columns keep to bounds of columns, and to those of the rows of a program."""
    if x.shape != arrays.cost.shape or not np.isfinite(x).all():
        return False
    rows = arrays.times(x)
    within = (x >= lower - FEASIBLE).all() and (x <= upper + FEASIBLE).all()
    within &= (rows >= arrays.row_lower - FEASIBLE * (1 + np.abs(rows))).all()
    within &= (rows <= arrays.row_upper + FEASIBLE * (1 + np.abs(rows))).all()
    return bool(within)


def _has_prices(space: Space, node: ProofNode) -> bool:
    rows = len(space.model.arrays.row_lower)
    return node.row_price.shape == (rows,) and bool(np.isfinite(node.row_price).all())
