"""An AC power flow of every interval of a run, beside what the equations of the market say of the same flows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from data.readings import home_id
from data.samples import grid_path
from market.auctions.network import NOISE, Network, network_of
from market.grid import Grid
from market.units import MICRO_PER_UNIT, PPM, WH_PER_KWH, BoolArray, FloatArray, IntArray
from optimizer.errors import NoPowerFlow
from optimizer.power_flow import AcNetwork
from optimizer.sweeps import Swept, balanced_flows, swept, tree_of
from optimizer.three_phase import PHASES, phase_impedances
from wattswap.cases.grid_file import LoadedGrid, load_grid
from wattswap.errors import InvalidData, is_expected, problems_of
from wattswap.runs.folder import RunFolder, read_object
from wattswap.runs.grid import MINUTES_PER_HOUR, for_interval
from wattswap.runs.grid_columns import NODE_PRICE, Carried, carried
from wattswap.runs.grid_shown import no_grid
from wattswap.runs.layout import SCENARIO
from wattswap.runs.places import place_of_each

if TYPE_CHECKING:
    import pandas as pd

Of = Literal["metered", "cleared"]
States = tuple[FloatArray, FloatArray, FloatArray]
"""Voltages, shape (T, n, phases), loadings, shape (T, m, phases), and losses [kWh] of intervals."""
Solve = Callable[[FloatArray, FloatArray], States]
"""States for the net consumption of each home, shape (T, homes), which is that of each node, shape (T, n). [Wh]"""
HARDLY: Final = 1e-6
"""Share of a limit or bound that rounding may pass."""
AT_ONCE: Final = 4_096
"""Intervals whose states are computed together, which bounds the memory of a year."""


@dataclass(frozen=True, slots=True, eq=False)
class AcFlows:
    """The states of a grid in every interval by both equations, for the same energy at its nodes.

    AC values are NaN where no power flow exists.

    Args:
        of: Whose energy it is: what the meters read, or what the market accepted of the homes.
        load_wh: Net consumption of each node, shape (T, n). [Wh]
        flow_wh: Flow of each line by the market's equations, shape (T, m). [Wh]
        voltage: Voltage by the market's equations, per unit, shape (T, n); None for a grid without voltages.
        loading: Share of its limit that each line uses by them, shape (T, m); NaN without a limit.
        ac_voltage: Voltage of each node and phase by AC, shape (T, n, phases).
        ac_loading: Current over its limit of each line and phase by AC, shape (T, m, phases).
        losses_kwh: What the lines lose by AC, shape (T,). [kWh]
        binds: Whether a line or voltage has no room for another Wh by the market's equations, shape (T,).
        band: Lowest and highest voltage that the grid allows, per unit.
    """

    of: Of
    load_wh: FloatArray
    flow_wh: FloatArray
    voltage: FloatArray | None
    loading: FloatArray
    ac_voltage: FloatArray
    ac_loading: FloatArray
    losses_kwh: FloatArray
    binds: BoolArray
    band: tuple[float, float]

    @property
    def error(self) -> FloatArray | None:
        """How far the market's voltage is off, at most over nodes and phases, by interval; NaN without a state."""
        if self.voltage is None:
            return None
        found: FloatArray = np.abs(self.ac_voltage - self.voltage[:, :, None]).max(axis=(1, 2))
        return found

    def overloaded(self, by_ac: bool) -> BoolArray:
        """Lines above their limit, in any phase, shape (T, m)."""
        found: BoolArray = self._loads(by_ac) > 1 + HARDLY
        return found

    def out_of_band(self, by_ac: bool) -> BoolArray:
        """Nodes with a voltage outside of the band, in any phase, shape (T, n); none without voltages."""
        if self.voltage is None:
            return np.zeros(self.load_wh.shape, dtype=np.bool_)
        squared = (self.ac_voltage if by_ac else self.voltage[:, :, None]) ** 2
        low, high = (bound**2 for bound in self.band)
        found: BoolArray = np.any((squared < low - HARDLY) | (squared > high + HARDLY), axis=2)
        return found

    def _loads(self, by_ac: bool) -> FloatArray:
        """Loading of each line, of its fullest phase; NaN without a limit or a state."""
        return self.ac_loading.max(axis=2) if by_ac else self.loading

    def highest_loading(self, by_ac: bool) -> FloatArray:
        """Loading of the fullest line by interval; 0 where no line has a limit, or there is no state."""
        found: FloatArray = np.nan_to_num(self._loads(by_ac), nan=0.0).max(axis=1, initial=0.0)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class AcOfRun:
    """The AC check of a run.

    Args:
        loaded: Its grid, as its file has it: in kW.
        starts: Start of each interval, UTC.
        hours: Length of an interval. [h]
        by_phase: Whether homes are on the phases that the grid states, and not on all three in equal parts.
        note: Why a state is balanced where phases are stated; otherwise empty.
        metered: What the meters read.
        cleared: What the market accepted of the homes.
        price: Price of each node per kWh, shape (T, n), NaN where it has none; None where nothing cleared on the grid.
    """

    loaded: LoadedGrid
    starts: pd.DatetimeIndex
    hours: float
    by_phase: bool
    note: str
    metered: AcFlows
    cleared: AcFlows
    price: FloatArray | None = None

    @property
    def flows(self) -> tuple[AcFlows, AcFlows]:
        """Metered and cleared flows."""
        return self.metered, self.cleared


def ac_of_run(result: RunFolder) -> AcOfRun:
    """Compute the AC power flow of every interval of a run.

    A radial grid needs no optional package, a meshed one pandapower.

    Raises:
        UsageError: The scenario of the run has no grid.
        InvalidData: The file of its grid is gone, or has changed since.
        OptimizerError: The grid is meshed, and pandapower is not installed.
    """
    import pandas as pd

    loaded = load_grid(_grid_file(result))
    minutes = int(result.manifest["interval_minutes"])
    intervals = result.table("intervals")
    starts = pd.DatetimeIndex(intervals["interval_start"])
    homes = [str(home) for home in result.table("bills")["household"]]
    grid, hours = for_interval(loaded.grid, minutes), minutes / MINUTES_PER_HOUR
    at_node = np.zeros((len(homes), len(grid.nodes)))
    at_node[np.arange(len(homes)), _nodes_of(loaded, result.scenario["grid"], homes)] = 1.0
    by_phase, note = _states_phases(loaded)
    if by_phase:
        share = phases_of(loaded, homes)
        solve = _by_phase(grid, loaded, at_node[:, :, None] * share[:, None, :], hours)
    else:
        solve = _balanced(grid) if grid.is_tree else _meshed(grid, hours)
    readings, orders = result.table("readings"), result.table("orders")
    read = _by_home(readings, readings["import_wh"] - readings["export_wh"], starts, homes)
    accepted = _by_home(orders, orders["side"].astype("int64") * orders["accepted_wh"], starts, homes)
    price = None
    if NODE_PRICE in intervals:
        price = np.array(intervals[NODE_PRICE].tolist(), dtype=np.float64) / MICRO_PER_UNIT
    return AcOfRun(
        loaded=loaded,
        starts=starts,
        hours=hours,
        price=price,
        by_phase=by_phase,
        note=note,
        metered=_flows("metered", grid, at_node, solve, read),
        cleared=_flows("cleared", grid, at_node, solve, accepted),
    )


def ac_or_why(result: RunFolder) -> AcOfRun | str:
    """The AC check of a run on a grid, or why there is none: what else is known of the run is shown all the same."""
    try:
        return ac_of_run(result)
    except Exception as error:
        if not is_expected(error):
            raise
        return "; ".join(str(problem) for problem in problems_of(error))


def _grid_file(result: RunFolder) -> Path:
    """The file of a run's grid, which is the one that the run read.

    Raises:
        UsageError: There is none.
        InvalidData: It is gone, or another one.
    """
    given = result.scenario.get("grid")
    if given is None:
        raise no_grid()
    key = "sample" if given.get("sample") else "file"
    base = Path(str(read_object(result.unchanged(SCENARIO))["base"]))
    path = grid_path(given["sample"]) if key == "sample" else base / str(given["file"])
    cure = "put the file back as it was, or run the scenario again"
    if not path.is_file():
        raise InvalidData.of(str(path), "the grid of this run is not there", cure)
    if hashlib.sha256(path.read_bytes()).hexdigest() != given.get(f"{key}_sha256"):
        raise InvalidData.of(str(path), "is not the grid any more that the run was made with", cure)
    return path


def _nodes_of(loaded: LoadedGrid, given: dict[str, Any], homes: list[str]) -> IntArray:
    """Node of each home, by the file and over it the scenario."""
    places = {home_id(home): node for home, node in loaded.homes.items()} | dict(given.get("homes", {}))
    row = {name: i for i, name in enumerate(loaded.grid.nodes.names)}
    return np.array([row[str(place)] for place in place_of_each(places, homes)], dtype=np.int64)


def phases_of(loaded: LoadedGrid, homes: list[str]) -> FloatArray:
    """Share of each phase in what each home takes, in equal parts where the grid states none, shape (homes, 3)."""
    stated = {home_id(home): home for home in loaded.given["phases"]}
    return np.array([loaded.phases(home or "") for home in place_of_each(stated, homes)])


def _states_phases(loaded: LoadedGrid) -> tuple[bool, str]:
    """Whether states are by phase, and why they are not where the grid states phases."""
    if not loaded.given.get("phases"):
        return False, ""
    if not loaded.grid.is_tree:
        return False, "The grid states phases, and it is meshed."
    try:
        loaded.zero_sequence()
    except InvalidData as lacking:
        return False, f"The grid states phases, and {lacking.problems[0].message}."
    return True, ""


def _by_home(
    rows: pd.DataFrame, wh: pd.Series[Any], starts: pd.DatetimeIndex, homes: list[str]
) -> FloatArray:
    """Energy of each interval and home, shape (T, homes); accounts that are no homes are left out. [Wh]"""
    import pandas as pd

    at = starts.get_indexer(pd.DatetimeIndex(rows["interval_start"]))
    who = pd.Index(homes).get_indexer(pd.Index(rows["household"].astype(str)))
    known = (at >= 0) & (who >= 0)
    cell = at[known] * len(homes) + who[known]
    found: FloatArray = np.zeros(len(starts) * len(homes))
    np.add.at(found, cell, wh.to_numpy()[known])
    return found.reshape(len(starts), len(homes))


def _flows(of: Of, grid: Grid, at_node: FloatArray, solve: Solve, wh: FloatArray) -> AcFlows:
    """The states of all intervals by both equations.

    Args:
        of: Whose energy it is.
        grid: In the units of an interval.
        at_node: 1 at the node of each home, shape (homes, n).
        solve: The AC power flow.
        wh: Net consumption of each home, shape (T, homes). [Wh]
    """
    network, limit_wh = network_of(grid), grid.lines.limit_wh
    load = wh @ at_node
    load[:, grid.root] -= load.sum(axis=1)
    market = carried(network, load)
    share = np.abs(market.flow_wh) / np.where(limit_wh > 0, limit_wh, np.nan)
    # An open line has no share of its limit: what it carries all the same is beyond it.
    loading = np.where((limit_wh == 0) & (market.beyond_wh(network) > 0), np.inf, share)
    voltage = None if market.v_ppm is None else np.sqrt(np.maximum(market.v_ppm, 0.0) / PPM)
    slices = [slice(i, i + AT_ONCE) for i in range(0, max(len(wh), 1), AT_ONCE)]
    parts = [solve(wh[part], load[part]) for part in slices]
    ac_voltage, ac_loading, losses = (np.concatenate(column) for column in zip(*parts, strict=True))
    return AcFlows(
        of=of,
        load_wh=load,
        flow_wh=market.flow_wh,
        voltage=voltage,
        loading=loading,
        ac_voltage=ac_voltage,
        ac_loading=np.where(np.isinf(loading)[:, :, None], np.inf, ac_loading),
        losses_kwh=losses,
        binds=_binds(network, market),
        band=(float(grid.vmin**0.5), float(grid.vmax**0.5)),
    )


def _binds(network: Network, market: Carried) -> BoolArray:
    """Intervals in which a limit has no room for another Wh, as clearings count them."""
    grid, lines = network.grid, len(network.grid.lines)
    room = network.limit_wh - np.abs(market.flow_wh)
    binds: BoolArray = np.any(room < 1 - network.noise[:lines], axis=1)
    if market.v_ppm is None:
        return binds
    of_nodes = slice(2 * lines, 2 * lines + len(grid.nodes))
    least = np.maximum(network.per_wh[of_nodes], NOISE) - network.noise[of_nodes]
    left = np.minimum(market.v_ppm - grid.vmin * PPM, grid.vmax * PPM - market.v_ppm)
    either: BoolArray = binds | (left < least).any(axis=1)
    return either


def _balanced(grid: Grid) -> Solve:
    """Sweeps of a radial grid with homes on three phases in equal parts."""

    def solve(_wh: FloatArray, load_wh: FloatArray) -> States:
        return _by_time(balanced_flows(grid, load_wh.T))

    return solve


def _by_phase(grid: Grid, loaded: LoadedGrid, at_phase: FloatArray, hours: float) -> Solve:
    """Sweeps of a radial grid with each home on its phases.

    Args:
        grid: In the units of an interval.
        loaded: The same as its file has it.
        at_phase: Share of each home's energy at each node and phase, shape (homes, n, 3).
        hours: Length of an interval. [h]
    """
    r0, x0 = loaded.zero_sequence()
    tree = tree_of(grid)
    impedance = phase_impedances(grid, tree, r0 / hours, x0 / hours, loaded.transformers)
    parts = at_phase.sum(axis=0)
    parts[parts.sum(axis=1) == 0] = 1.0
    # The reactive load of a node is on the phases of its homes, as `wattswap grid ac` has it.
    reactive = grid.nodes.reactive_load[:, None] * parts / parts.sum(axis=1, keepdims=True)

    def solve(wh: FloatArray, _load_wh: FloatArray) -> States:
        taken = np.tensordot(at_phase, wh, (0, 1)) / WH_PER_KWH
        return _by_time(swept(grid, tree, impedance, PHASES * (taken + 1j * reactive[:, :, None])))

    return solve


def _meshed(grid: Grid, hours: float) -> Solve:
    """Balanced power flows of pandapower, one an interval.

    Raises:
        MissingPackage: It is not installed.
    """
    network, reactive = AcNetwork(grid, hours=hours), grid.nodes.reactive_load / hours

    def solve(_wh: FloatArray, load_wh: FloatArray) -> States:
        count = len(load_wh)
        voltage, loading = (np.full((count, n, 1), np.nan) for n in (len(grid.nodes), len(grid.lines)))
        losses = np.full(count, np.nan)
        for i, load_kw in enumerate(load_wh / WH_PER_KWH / hours):
            try:
                state = network.solve(load_kw, reactive)
            except NoPowerFlow:
                continue
            voltage[i, :, 0], loading[i, :, 0], losses[i] = (
                state.voltage,
                state.loading,
                state.losses_kw * hours,
            )
        return voltage, loading, losses

    return solve


def _by_time(found: Swept) -> States:
    """States with the intervals first."""
    return np.moveaxis(found.voltage, 2, 0), np.moveaxis(found.loading, 2, 0), found.losses_kwh
