"""Grids that carry a few Wh: whole Wh then leave limits with a price much room, and the rent is still not below 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.auctions.nodal_proof import check
from market.book import OrderBook
from market.checking.properties import PROPERTIES
from market.checking.trial import attempt
from market.clearing import Clearing
from market.grid import NO_LIMIT, Grid
from market.mechanism import MECHANISMS
from optimizer.mechanisms.nodal_price import clear, derive, to_bytes
from tests.kits.grid_kit import book_of, grid_of, losing, on, random_grid

STAR = grid_of(
    [(1, 0), (1, 2), (3, 1), (4, 1)],
    [NO_LIMIT, 1, NO_LIMIT, NO_LIMIT],
    "lindistflow",
    x=[0.326, 0.53, 1.094, 0.17],
    r=[117.40352694, 72.293520738, 105.024710371, 136.614140189],
    root=2,
)
"""1 Wh at node 3 breaks its voltage, 0.94 Wh do not."""
MESH = grid_of(
    [(0, 1), (1, 2), (3, 1), (2, 4), (5, 4), (3, 6), (5, 4)],
    [1, 2, NO_LIMIT, 0, 0, 2, 0],
    x=[0.355, 0.886, 0.239, 0.17, 0.178, 0.918, 0.526],
    root=2,
)
"""Nodes 4 and 5 are behind open lines."""


def narrow(rng: np.random.Generator, kind: str) -> Grid:
    """A random grid that carries a few Wh at most."""
    grid = random_grid(rng, kind)
    lines = grid.lines
    limit = np.where(rng.random(len(lines)) < 0.7, rng.integers(0, 5, len(lines)), NO_LIMIT)
    return replace(grid, lines=replace(lines, limit_wh=limit, r=lines.r * 3_000))


def few(rng: np.random.Generator, nodes: int) -> OrderBook:
    """Random orders of 1 Wh to some kWh at 0 to 7 micro."""
    count = int(rng.integers(3, 20))
    signed = rng.choice([-1, 1], count) * rng.choice([1, 2, 1_000, 2_000], count)
    columns = (rng.integers(0, nodes, count), signed, rng.integers(0, 8, count))
    return book_of(
        *((int(node), int(energy), int(limit)) for node, energy, limit in zip(*columns, strict=True))
    )


def proven(book: OrderBook, grid: Grid) -> Clearing:
    """A clearing whose proof holds, to which its witness leads, and that leaves the operator no debt."""
    rules = on(grid)
    clearing = clear(book, rules)
    assert check(book, grid, clearing).holds
    assert clearing.operator_surplus_nano >= 0
    data = to_bytes(clearing)
    if data is not None:
        again = derive(book, rules, data)
        assert np.array_equal(again.accepted_wh, clearing.accepted_wh)
        assert again.node_price == clearing.node_price
    return clearing


def test_nothing_is_traded_where_whole_wh_only_flow_to_where_the_price_is_lower() -> None:
    """Node 1 would sell 1 Wh at 0.04077 to node 2, where its price is 0, and no limit would be near."""
    clearing = proven(book_of((2, 1_000, 0), (1, -1, 0), (3, 1_000, 100_000)), STAR)
    assert not clearing.accepted_wh.any()


def test_nothing_is_traded_where_only_fractions_of_a_wh_fit_and_no_limit_has_a_price() -> None:
    """Node 1 would sell 0.8 Wh to node 3 and 0.2 Wh to node 2 at one price; neither voltage carries 1 Wh."""
    ends, limits = [(1, 0), (2, 0), (3, 1), (1, 4)], [1, 4, NO_LIMIT, 1]
    r = [45.139242781, 98.77504993, 125.163162472, 11.385097927]
    grid = grid_of(ends, limits, "lindistflow", x=[0.131, 0.835, 1.03, 0.227], r=r, root=3)
    clearing = proven(book_of((2, 1_000, 80_000), (3, 1_000, 80_000), (1, -1, 0)), grid)
    assert not clearing.accepted_wh.any()


def test_a_limit_with_a_small_price_binds_beside_open_lines() -> None:
    """The line from node 1 to 2 is full, at 1 micro; what open lines cost both ways is not to hide that."""
    orders = [(6, -1_000, 3), (2, -1_000, 0), (0, -1_000, 3), (4, 1_000, 7), (6, -1_000, 3), (2, 2_000, 4)]
    orders += [(1, 1_000, 3), (3, 1_000, 3), (2, -2_000, 4), (5, 1_000, 0), (4, 1_000, 0), (0, -1_000, 3)]
    orders += [(4, 1_000, 0), (1, -1_000, 3), (1, -1_000, 0)]
    clearing = proven(book_of(*orders), MESH)
    assert np.asarray(clearing.details["line_flow_wh"])[1] == pytest.approx(2)


@pytest.mark.parametrize("kind", ["tree", "voltage", "mesh"])
def test_limits_of_a_few_wh_and_prices_of_a_few_micro_stop_no_interval(kind: str) -> None:
    priced = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        grid = narrow(rng, kind)
        book = few(rng, len(grid.nodes))
        clearing = proven(book, grid)
        priced += len({one.price for one in clearing.node_price if one is not None}) > 1
    assert priced > 30


def test_more_welfare_by_losing_energy_at_a_price_below_0_is_no_wrong_welfare() -> None:
    """1.06 kWh at -5 micro are sold for 1 kWh: more than 1 kWh at stated limits, and as much at what counts."""
    grid = losing(grid_of([(0, 1), (0, 2)]), 56_696, 0)
    trial = attempt(MECHANISMS.get("nodal_price"), book_of((1, -2_000, -5), (2, 1_000, 0)), on(grid))
    stated = next(one for one in PROPERTIES if one.name == "welfare_stated")
    assert trial.clearing.welfare_nano > 5 * 1_000
    assert stated.fault(trial) is None
