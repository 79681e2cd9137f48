"""Flows and voltages of grids: branch sums, distribution factors, and limits as rows of one linear system."""

from __future__ import annotations

import numpy as np
import pytest

from market.auctions.network import Network, network_of
from market.units import PPM
from tests.kits.grid_kit import grid_of, random_grid


def test_a_walk_sums_branches_and_paths() -> None:
    """Root 2; its branches are 0-1 and 3."""
    network = network_of(grid_of([(1, 0), (2, 1), (3, 2)], root=2))
    tree = network.tree
    assert tree is not None
    assert int(tree.order[0]) == 2
    load = np.array([1.0, 10.0, 100.0, 1_000.0])
    assert dict(zip(tree.order.tolist(), tree.sums(load).tolist(), strict=True)) == {
        2: 1_111,
        1: 11,
        0: 1,
        3: 1_000,
    }
    assert dict(zip(tree.order.tolist(), tree.paths(load[tree.order]).tolist(), strict=True)) == {
        2: 100,
        1: 110,
        0: 111,
        3: 1_100,
    }


@pytest.mark.parametrize("kind", ["tree", "voltage", "mesh"])
def test_flows_balance_every_node_and_follow_the_laws_of_the_grid(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        grid = random_grid(rng, kind)
        network, lines, n = Network(grid), grid.lines, len(grid.nodes)
        load = rng.integers(-900, 900, n).astype(np.float64)
        load[0] -= load.sum()
        state = network.state(load)
        came = np.bincount(lines.end, state.flow_wh, n) - np.bincount(lines.start, state.flow_wh, n)
        closed = network.closed
        # Where lines are open, only loads within parts of the grid can be carried without them.
        if network.islands is None:
            assert came == pytest.approx(load, abs=1e-6)
            fall = state.flow_wh * lines.x
            ends = np.zeros((len(lines), n))
            ends[np.arange(len(lines)), lines.start], ends[np.arange(len(lines)), lines.end] = 1, -1
            angle = np.linalg.lstsq(ends, fall, rcond=None)[0]
            assert ends @ angle == pytest.approx(fall, abs=1e-6)
        assert (state.flow_wh[~closed] == 0).all()
        if kind == "voltage":
            assert state.v_ppm is not None
            fall_ppm = state.v_ppm[lines.start] - state.v_ppm[lines.end]
            assert fall_ppm == pytest.approx(2 * PPM / 1_000 * lines.r * state.flow_wh, abs=1e-5)
            assert state.v_ppm[grid.root] == PPM


@pytest.mark.parametrize("kind", ["tree", "voltage", "mesh"])
def test_the_rows_of_limits_say_what_is_left_of_them(kind: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        network = Network(random_grid(rng, kind))
        n = len(network.grid.nodes)
        load = rng.integers(-900, 900, n).astype(np.float64)
        load[0] -= load.sum()
        room = network.room(network.state(load))
        every = np.flatnonzero(np.isfinite(room))
        left = network.bounds(every) - network.rows(every) @ load
        assert left == pytest.approx(room[every], abs=1e-5)
        assert (np.abs(network.rows(every)).max(axis=1) <= network.per_wh[every] + 1e-9).all()


def test_reactive_loads_lower_the_voltages_at_rest() -> None:
    grid = grid_of([(0, 1), (1, 2)], kind="lindistflow", x=[0.02, 0.05], reactive=[0, 1, 2])
    assert network_of(grid).v_at_rest_ppm.tolist() == pytest.approx([1_000_000, 880_000, 680_000])
    assert not network_of(grid).rests
    assert network_of(grid_of([(0, 1)])).rests


def test_open_lines_split_a_grid_and_are_left_out_where_others_go_round() -> None:
    ring = Network(grid_of([(0, 1), (1, 2), (2, 0)], [5, 5, 0]))
    assert ring.closed.tolist() == [True, True, False]
    assert ring.islands is not None
    assert len(set(ring.islands.tolist())) == 1
    two = Network(grid_of([(0, 1), (1, 2), (2, 3), (3, 1)], [5, 0, 5, 0]))
    assert two.closed.tolist() == [True, True, True, False]
    assert two.islands is not None
    assert two.islands[0] == two.islands[1] != two.islands[2] == two.islands[3]


def test_a_prepared_network_is_kept_with_its_grid() -> None:
    grids = [grid_of([(0, 1)], [i + 1]) for i in range(40)]
    assert [float(network_of(grid).limit_wh[0]) for grid in grids] == [i + 1 for i in range(40)]
    assert network_of(grids[-1]) is network_of(grids[-1])
    assert [float(network_of(grid).limit_wh[0]) for grid in grids] == [i + 1 for i in range(40)]
