"""Sweeps of many loads at once: as each alone has it, and loads without a state leave the others theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.errors import InvalidGrid
from market.grid import Nodes
from optimizer.sweeps import balanced_flows
from tests.kits.grid_kit import grid_of, random_grid
from tests.oracles.sweep import sweep
from wattswap.cases.grid import grid_as_case

A_CABLE = grid_of([(0, 1)], [3_000], "lindistflow", r=[0.004], x=[1e-12])


@pytest.mark.parametrize("seed", range(8))
def test_every_interval_has_the_state_of_its_loads(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = random_grid(rng, "voltage")
    n = len(drawn.nodes)
    lines = replace(drawn.lines, r=drawn.lines.r / 1_000, x=drawn.lines.x / 1_000)
    nodes = Nodes(drawn.nodes.names, rng.normal(size=n))
    grid = replace(drawn, lines=lines, nodes=nodes)
    kw = 15 * rng.normal(size=(n, 5))
    found = balanced_flows(grid, 1_000 * kw)
    reactive = dict(zip(nodes.names, nodes.reactive_load.tolist(), strict=True)) | {
        nodes.names[grid.root]: 0.0
    }
    for i in range(5):
        loads = dict(zip(nodes.names, kw[:, i].tolist(), strict=True)) | {nodes.names[grid.root]: 0.0}
        voltage, losses = sweep({**grid_as_case(grid), "base_kva": 1}, loads, reactive)
        assert found.voltage[:, 0, i] == pytest.approx([voltage[name] for name in nodes.names], abs=1e-9)
        assert found.losses_kwh[i] == pytest.approx(losses, abs=1e-6)


def test_a_cable_by_hand() -> None:
    """v (1 - v) = r p, and the current is p / v: 3 kW through 0.004 per unit."""
    found = balanced_flows(A_CABLE, np.array([[0.0], [3_000.0]]))
    v = 0.5 + np.sqrt(0.25 - 0.012)
    assert found.voltage[:, 0, 0] == pytest.approx([1, v], abs=1e-9)
    assert found.loading[0, 0, 0] == pytest.approx(3 / v / 3)
    assert found.losses_kwh == pytest.approx([0.004 * (3 / v) ** 2])


def test_loads_without_a_state_leave_the_others_theirs() -> None:
    """At a quarter over r, 62.5 kW, the voltage collapses."""
    loads = np.array([[0.0, 0.0, 0.0], [3_000.0, 80_000.0, -50_000.0]])
    found = balanced_flows(A_CABLE, loads)
    assert np.isnan(found.losses_kwh).tolist() == [False, True, False]
    assert np.isnan(found.voltage[:, 0, 1]).all()
    assert np.isnan(found.loading[:, 0, 1]).all()
    alone = [balanced_flows(A_CABLE, loads[:, [i]]).voltage[1, 0, 0] for i in (0, 2)]
    assert found.voltage[1, 0, [0, 2]] == pytest.approx(alone, abs=1e-12)


def test_a_line_without_a_limit_and_an_open_one_have_no_loading() -> None:
    grid = grid_of([(0, 1), (0, 2)], [-1, 0], "lindistflow", r=[0.001] * 2, x=[0.001] * 2)
    assert np.isnan(balanced_flows(grid, np.array([[0.0], [500.0], [500.0]])).loading).all()


def test_loops_are_refused() -> None:
    with pytest.raises(InvalidGrid, match="sweeps are for radial grids"):
        balanced_flows(grid_of([(0, 1), (1, 2), (0, 2)]), np.zeros((3, 1)))
