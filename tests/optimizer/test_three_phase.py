"""Power flows in three phases: by hand, balanced as the other oracle has them, and as OpenDSS gives them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.errors import InvalidGrid
from market.grid import Grid
from optimizer.errors import NoPowerFlow
from optimizer.three_phase import three_phase_power_flow
from tests.kits.grid_kit import grid_of, random_grid
from tests.kits.network_kit import OPENDSS, with_networks
from tests.oracles.sweep import sweep
from wattswap.cases.ac_check import check_phases
from wattswap.cases.grid import grid_as_case
from wattswap.cases.grid_file import load_grid
from wattswap.cases.grid_loads import loads_of

A_STREET = grid_of([(0, 1), (2, 1)], [9_000, -1], "lindistflow", r=[0.004, 0.003], x=[0.002, 0.001])


def rows(*values: tuple[float, float, float]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def balanced(load: np.ndarray) -> np.ndarray:
    return np.repeat(load[:, None] / 3, 3, axis=1)


def test_a_load_on_one_phase_lowers_it_and_moves_the_others() -> None:
    """3 kW on phase a: per unit of a third of 1 kW they are 9. z1 = 0.004, z0 = 0.010, so 0.006 own and 0.002 between.

    With a voltage v of phase a, v = 1 - 0.006 x 9 / v; the other two get -0.002 x 9 / v along phase a.
    """
    grid = grid_of([(0, 1)], [3_000], "lindistflow", r=[0.004], x=[1e-12])
    found = three_phase_power_flow(
        grid, np.array([0.010]), np.array([0.0]), rows((0, 0, 0), (3, 0, 0)), rows((0, 0, 0), (0, 0, 0))
    )
    v = 0.5 + np.sqrt(0.25 - 0.054)
    b = np.exp(-2j * np.pi / 3) - 0.018 / v
    assert found.voltage[1] == pytest.approx([v, abs(b), abs(b)], abs=1e-9)
    assert found.loading[0] == pytest.approx([9 / v / 3, 0, 0], abs=1e-9)
    assert found.losses_kw == pytest.approx(0.006 * (9 / v) ** 2 / 3)


@pytest.mark.parametrize("seed", range(12))
def test_balanced_loads_have_the_balanced_state_whatever_the_zero_sequence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = random_grid(rng, "voltage")
    lines = replace(drawn.lines, r=drawn.lines.r / 1_000, x=drawn.lines.x / 1_000)
    grid, n = replace(drawn, lines=lines), len(drawn.nodes)
    kw, kvar = (15 * rng.normal(size=n) for _ in range(2))
    zero = np.array([lines.r, lines.x]) * (1 + 4 * rng.random((2, n - 1)))
    found = three_phase_power_flow(grid, *zero, balanced(kw), balanced(kvar), transformers=[0])
    loads = [dict(zip(grid.nodes.names, load.tolist(), strict=True)) for load in (kw, kvar)]
    for load in loads:
        load[grid.nodes.names[grid.root]] = 0.0
    voltage, losses = sweep({**grid_as_case(grid), "base_kva": 1}, *loads)
    for phase in range(3):
        assert found.voltage[:, phase] == pytest.approx(
            [voltage[name] for name in grid.nodes.names], abs=1e-9
        )
    assert found.losses_kw == pytest.approx(losses, abs=1e-6)


def test_a_quarter_hour_counts_energies_of_the_grid() -> None:
    quarter = grid_of([(0, 1), (2, 1)], [2_250, -1], "lindistflow", r=[0.016, 0.012], x=[0.008, 0.004])
    kw, kvar = rows((0, 0, 0), (1, 2, 0), (0, 3, 1)), rows((0, 0, 0), (0, 0, 0), (0, 1, 0))
    one, other = (
        three_phase_power_flow(grid, 3 * grid.lines.r, 2 * grid.lines.x, kw, kvar, hours=hours)
        for grid, hours in ((A_STREET, 1.0), (quarter, 0.25))
    )
    assert one.voltage == pytest.approx(other.voltage)
    assert one.loading == pytest.approx(other.loading, nan_ok=True)
    assert one.losses_kw == pytest.approx(other.losses_kw)
    assert np.isnan(one.loading[1]).all()


def test_no_zero_sequence_current_passes_a_transformer() -> None:
    """Before it the zero sequence makes no difference; behind it does."""
    grid: Grid = grid_of([(0, 1), (1, 2), (2, 3)], None, "lindistflow", r=[0.001] * 3, x=[0.001] * 3)
    kw, kvar = rows(*[(0, 0, 0)] * 3, (4, 0, 0)), np.zeros((4, 3))

    def voltages(*r0: float) -> np.ndarray:
        return three_phase_power_flow(grid, np.array(r0), np.zeros(3), kw, kvar, transformers=[1]).voltage

    assert voltages(0.001, 0.001, 0.004) == pytest.approx(voltages(0.5, 0.001, 0.004))
    assert voltages(0.001, 0.001, 0.004)[3, 0] > voltages(0.001, 0.001, 0.008)[3, 0] + 1e-3


def test_what_has_no_state_is_refused() -> None:
    zeros = np.zeros((3, 3))
    with pytest.raises(NoPowerFlow, match="in three phases exists for these loads: the voltage collapses"):
        three_phase_power_flow(A_STREET, A_STREET.lines.r, A_STREET.lines.x, zeros + 80, zeros)
    mesh = grid_of([(0, 1), (1, 2), (0, 2)])
    with pytest.raises(InvalidGrid, match="sweeps in three phases are for radial grids"):
        three_phase_power_flow(mesh, np.ones(3), np.ones(3), zeros, zeros)


OPENDSS_VOLTAGES = {
    "1": (0.998762, 0.998871, 0.999118),
    "34": (0.994627, 0.995431, 0.997367),
    "639": (0.979814, 0.981500, 0.991381),
    "899": (0.980467, 0.979694, 0.989189),
    "906": (0.979766, 0.980717, 0.989156),
}
"""Voltages over 1.05 by OpenDSS (DSS C-API 0.14.5): the script's lines, transformer and loads of 1 kW at a power factor
of 0.95, constant at any voltage, with a source of 1,000 GVA in place of its 3,000 A."""


@with_networks
def test_the_european_feeder_has_the_voltages_of_opendss() -> None:
    loaded = load_grid(OPENDSS / "LVTestCase")
    found = check_phases(loaded, loads_of(loaded))
    for node, expected in OPENDSS_VOLTAGES.items():
        row = loaded.grid.nodes.names.index(node)
        assert found.flow.voltage[row] == pytest.approx(expected, abs=6e-7)
    assert found.flow.losses_kw == pytest.approx(0.791982, abs=1e-6)
    assert found.flow.voltage.min() == pytest.approx(0.978989, abs=6e-7)
