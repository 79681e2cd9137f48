"""Seeded random grids for the property kit: radial with and without voltages, and meshes, with limits that bind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.book import OrderBook
from market.grid import NO_LIMIT, Grid, GridKind, Lines, Nodes
from market.units import PPM, WH_PER_KWH

MOST_NODES = 7


def on_a_grid(
    book: OrderBook, random: np.random.Generator, *, losses: bool = False
) -> tuple[OrderBook, Grid]:
    """The same orders at random nodes of a random grid, whose limits are about what the orders would move.

    Args:
        book: Any; its nodes are replaced.
        random: Draws the grid and the nodes.
        losses: Whether lines of some radial grids lose energy.
    """
    count = int(random.integers(1, MOST_NODES + 1))
    kind: GridKind = "lindistflow" if random.random() < 0.4 else "dc"
    start = [int(random.integers(max(0, i - 3), i)) for i in range(1, count)]
    end = list(range(1, count))
    for _ in range(int(random.integers(0, 3)) if kind == "dc" and count > 2 else 0):
        a, b = random.choice(count, 2, replace=False).tolist()
        start.append(a)
        end.append(b)
    energy = max(1, int(book.energy_wh.sum()))
    size = len(start)
    turned = random.random(size) < 0.3
    ends = np.where(turned, end, start), np.where(turned, start, end)
    largest = int(random.choice([2, energy // 8 + 1, energy // 2 + 1]))
    limit = np.where(random.random(size) < 0.6, random.integers(0, largest + 1, size), NO_LIMIT)
    # The squared voltage may fall by .19: a third of all energy at the end of four lines does that here.
    r = random.random(size) * WH_PER_KWH / energy * float(random.choice([0.01, 0.1, 1.0]))
    lines = Lines(
        tuple(f"l{i}" for i in range(size)),
        ends[0].astype(np.int64),
        ends[1].astype(np.int64),
        np.round(r, 9),
        np.round(0.1 + random.random(size), 3),
        limit.astype(np.int64),
    )
    nodes = Nodes(tuple(f"n{i}" for i in range(count)), np.zeros(count))
    node = random.integers(0, count, len(book))
    node.flags.writeable = False
    grid = Grid(kind, nodes, lines, int(random.integers(0, count)))
    if losses and kind == "dc" and grid.is_tree and random.random() < 0.5:
        loss = np.where(random.random(size) < 0.7, random.integers(0, PPM // 5, size), 0)
        grid = replace(grid, lines=replace(lines, loss_ppm=loss.astype(np.int64)))
    return replace(book, node=node), grid
