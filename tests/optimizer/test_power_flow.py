"""States of grids: the linear equations by hand and against sweeps, and pandapower against sweeps."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from market.grid import Grid
from optimizer.errors import MissingPackage, NoPowerFlow
from optimizer.power_flow import AcNetwork, ac_power_flow, linear_power_flow
from tests.kits.grid_kit import grid_of, random_grid
from tests.oracles.sweep import sweep
from wattswap.cases.grid import grid_as_case

with_pandapower = pytest.mark.skipif(
    find_spec("pandapower") is None, reason="the optional package pandapower is not installed"
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def swept(grid: Grid, kw: np.ndarray, kvar: np.ndarray) -> tuple[np.ndarray, float]:
    """The state of a grid by the oracle."""
    names = grid.nodes.names
    loads = [dict(zip(names, load.tolist(), strict=True)) for load in (kw, kvar)]
    for load in loads:
        load[names[grid.root]] = 0.0
    voltage, losses = sweep({**grid_as_case(grid), "base_kva": 1}, *loads)
    return column(*(voltage[name] for name in names)), losses


def a_street() -> Grid:
    return grid_of([(0, 1), (2, 1)], [8_000, -1], "lindistflow", r=[0.004, 0.003], x=[0.002, 0.001])


def test_the_linear_equations_are_as_by_hand() -> None:
    """12 kW, 4 kvar at the end, 3 kW given half way: 2 (0.004 x 9 + 0.002 x 4), then 2 (0.003 x 12 + 0.001 x 4)."""
    found = linear_power_flow(a_street(), column(99, -3, 12), column(0, 0, 4))
    squared = column(1, 1 - 0.088, 1 - 0.088 - 0.08)
    assert found.voltage == pytest.approx(np.sqrt(squared))
    assert found.flow_kw == pytest.approx([9, -12])
    assert found.loading[0] == pytest.approx(9 / 8)
    assert np.isnan(found.loading[1])
    assert found.losses_kw == 0


def test_a_quarter_hour_counts_energies_of_the_grid() -> None:
    """A grid whose limits and base count kWh of a quarter hour: 1 kWh there is 4 kW."""
    hourly, quarterly = (
        a_street(),
        grid_of([(0, 1), (2, 1)], [2_000, -1], "lindistflow", r=[0.016, 0.012], x=[0.008, 0.004]),
    )
    kw, kvar = column(0, -3, 12), column(0, 0, 4)
    one, other = linear_power_flow(hourly, kw, kvar), linear_power_flow(quarterly, kw, kvar, hours=0.25)
    for name in ("voltage", "flow_kw", "loading"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)


def test_a_meshed_grid_has_flows_and_no_voltages() -> None:
    found = linear_power_flow(grid_of([(0, 1), (1, 2), (0, 2)]), column(0, 0, 3), column(0, 0, 0))
    assert found.flow_kw == pytest.approx([1, 1, 2])
    assert np.isnan(found.voltage).all()


@pytest.mark.parametrize("seed", range(20))
def test_the_linear_equations_are_the_sweep_without_losses(seed: int) -> None:
    """Of small loads: twice the load leaves four times the error."""
    rng = np.random.default_rng(seed)
    grid = random_grid(rng, "voltage")
    kw, kvar = (rng.normal(size=len(grid.nodes)) for _ in range(2))
    errors = []
    for scale in (2e-4, 4e-4):
        exact, _ = swept(grid, kw * scale, kvar * scale)
        errors.append(np.abs(linear_power_flow(grid, kw * scale, kvar * scale).voltage - exact).max())
    assert errors[1] < 1e-4
    assert errors[1] / errors[0] == pytest.approx(4, rel=0.05)


def test_without_pandapower_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandapower", None)
    with pytest.raises(MissingPackage, match=r"pip install 'wattswap\[ac\]'"):
        AcNetwork(a_street())


@with_pandapower
@pytest.mark.parametrize("seed", range(20))
def test_pandapower_and_sweeps_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = random_grid(rng, "voltage")
    # Impedances of streets, and no open line: the sweep does not know what is dead behind one.
    lines = replace(
        drawn.lines,
        r=drawn.lines.r / 1_000,
        x=drawn.lines.x / 1_000,
        limit_wh=np.where(drawn.lines.limit_wh == 0, 1_000, drawn.lines.limit_wh),
    )
    grid = replace(drawn, lines=lines)
    kw, kvar = (15 * rng.normal(size=len(grid.nodes)) for _ in range(2))
    found, (voltage, losses) = ac_power_flow(grid, kw, kvar), swept(grid, kw, kvar)
    assert found.voltage == pytest.approx(voltage, abs=1e-9)
    assert found.losses_kw == pytest.approx(losses, abs=1e-6)


@with_pandapower
def test_loading_is_the_current_of_ac_over_the_limit_at_nominal_voltage() -> None:
    grid = grid_of([(0, 1)], [10_000], "lindistflow", r=[0.001], x=[0.001])
    found = ac_power_flow(grid, column(0, 8), column(0, 6))
    # 8 kW and 6 kvar are 10 kVA; at the end the current is 10 kVA over the voltage there.
    assert found.loading[0] == pytest.approx(1 / found.voltage[1], abs=1e-6)
    assert found.flow_kw[0] == pytest.approx(8 + found.losses_kw)
    quarter = grid_of([(0, 1)], [2_500], "lindistflow", r=[0.004], x=[0.004])
    same = ac_power_flow(quarter, column(0, 8), column(0, 6), hours=0.25)
    assert (same.voltage, same.loading) == (pytest.approx(found.voltage), pytest.approx(found.loading))


@with_pandapower
def test_loads_beyond_the_grid_have_no_power_flow() -> None:
    with pytest.raises(NoPowerFlow, match=r"no power flow exists for loads of 500\.0 kW"):
        ac_power_flow(a_street(), column(0, 0, 500), column(0, 0, 0))


@with_pandapower
def test_a_network_built_once_solves_any_loads() -> None:
    network = AcNetwork(a_street())
    first = network.solve(column(0, 1, 2), column(0, 0, 0))
    network.solve(column(0, -5, 9), column(0, 1, 1))
    again = network.solve(column(0, 1, 2), column(0, 0, 0))
    assert np.array_equal(first.voltage, again.voltage)
