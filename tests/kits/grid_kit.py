"""Small grids and books for tests of prices by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from market.book import OrderBook
from market.grid import NO_LIMIT, Grid, GridKind, Lines, Nodes
from market.rules import MarketRules

Ends = tuple[int, int]


def whole(*values: Any) -> np.ndarray:
    """Whole numbers as a column."""
    return np.array(values, dtype=np.int64)


def grid_of(
    ends: Sequence[Ends],
    limit_wh: Sequence[int] | None = None,
    kind: GridKind = "dc",
    *,
    x: Sequence[float] | None = None,
    r: Sequence[float] | None = None,
    reactive: Sequence[float] | None = None,
    root: int = 0,
    **bounds: float,
) -> Grid:
    """A grid of lines between numbered nodes; without limits any flow fits."""
    size, count = len(ends), 1 + max((max(pair) for pair in ends), default=0)
    return Grid(
        kind,
        Nodes(tuple(f"n{i}" for i in range(count)), np.array(reactive or [0.0] * count, dtype=np.float64)),
        Lines(
            tuple(f"l{i}" for i in range(size)),
            whole(*(a for a, _ in ends)),
            whole(*(b for _, b in ends)),
            np.array(r or [0.0] * size, dtype=np.float64),
            np.array(x or [1.0] * size, dtype=np.float64),
            whole(*(limit_wh or [NO_LIMIT] * size)),
        ),
        root,
        **bounds,
    )


def losing(grid: Grid, *loss_ppm: int) -> Grid:
    """A grid with these losses of its lines."""
    return replace(grid, lines=replace(grid.lines, loss_ppm=whole(*loss_ppm)))


def book_of(*orders: tuple[int, int, int]) -> OrderBook:
    """A book of (node, energy bought or, below 0, sold [Wh], limit [micro/kWh]); one participant each."""
    node, signed, limit = (
        (whole(*column) for column in zip(*orders, strict=True)) if orders else ([whole()] * 3)
    )
    side = np.where(signed < 0, -1, 1).astype(np.int8)
    return OrderBook.from_columns(np.arange(len(signed)), side, np.abs(signed), limit, node)


def random_grid(rng: np.random.Generator, kind: str, most_nodes: int = 9) -> Grid:
    """A random "tree", "voltage" or "mesh" whose limits are about what a random book of ten orders moves."""
    count = int(rng.integers(2, most_nodes + 1))
    ends = [(int(rng.integers(max(0, i - 3), i)), i) for i in range(1, count)]
    for _ in range(int(rng.integers(1, 4)) if kind == "mesh" and count > 2 else 0):
        a, b = rng.choice(count, 2, replace=False).tolist()
        ends.append((int(a), int(b)))
    ends = [pair[::-1] if rng.random() < 0.3 else pair for pair in ends]
    size = len(ends)
    limit = np.where(rng.random(size) < 0.5, rng.integers(0, 3_000, size), NO_LIMIT).tolist()
    x = (0.1 + rng.random(size)).round(3).tolist()
    if kind != "voltage":
        return grid_of(ends, limit, x=x, root=int(rng.integers(0, count)))
    r = (0.001 + 0.03 * rng.random(size)).round(5).tolist()
    return grid_of(ends, limit, "lindistflow", x=x, r=r, root=int(rng.integers(0, count)))


def random_losing(rng: np.random.Generator) -> Grid:
    """A random tree of which some lines lose nothing, most a few per cent, and in some grids most of what is sent."""
    grid = random_grid(rng, "tree")
    most = int(rng.choice([20_000, 100_000, 600_000]))
    size = len(grid.lines)
    loss = np.where(rng.random(size) < 0.2, 0, rng.integers(1, most, size))
    loss[0] = max(loss[0], 1_000)
    return losing(grid, *loss.tolist())


def random_book(rng: np.random.Generator, grid: Grid, orders: int, prices: int) -> OrderBook:
    """Random orders at random nodes; few prices make ties the rule, and quantities then are multiples of 100 Wh."""
    step = 100 if prices < 50 else 1
    side = np.where(rng.random(orders) < 0.5, 1, -1).astype(np.int8)
    energy = step * rng.integers(0, 2_500 // step, orders)
    limit = 80_000 + 240_000 // prices * rng.integers(0, prices, orders)
    return OrderBook.from_columns(
        np.arange(orders), side, energy, limit, rng.integers(0, len(grid.nodes), orders)
    )


def on(grid: Grid, **more: Any) -> MarketRules:
    """The rules of a market on a grid."""
    return MarketRules(grid=grid, **more)
