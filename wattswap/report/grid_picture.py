"""The file of a one-line diagram: of a grid alone, of its loads, or of a case that is cleared for it."""

from __future__ import annotations

from pathlib import Path

from optimizer.power_flow import AcNetwork, linear_power_flow
from p2p import files as disk
from wattswap.cases.grid_file import LoadedGrid
from wattswap.cases.grid_loads import loads_of
from wattswap.errors import AlreadyExists, Problem, UsageError
from wattswap.report.one_line import Drawing, one_line


def draw_grid(
    loaded: LoadedGrid,
    path: Path,
    *,
    title: str = "",
    mechanism: str = "nodal_price",
    loads: Path | None = None,
    scale: float = 1.0,
    by_ac: bool = False,
    currency: str = "",
) -> Path:
    """Write a one-line diagram as SVG.

    Args:
        loaded: The grid; with a case it is cleared, with loads its state is drawn, without either its lines alone.
        path: An SVG file that is not there yet.
        title: Above the picture.
        mechanism: Clears the case.
        loads: CSV file of loads, see `loads_of`.
        scale: Factor on the loads of a file.
        by_ac: Whether loading and voltage come from an AC power flow instead of the market's equations.
        currency: Unit of the prices.

    Raises:
        UsageError: It is no SVG file, or there is no load for `by_ac`.
        AlreadyExists: The file is there.
        InvalidData: The grid is meshed, or the loads cannot be used.
        OptimizerError: No AC power flow exists, or pandapower is not installed.
    """
    if path.suffix != ".svg":
        raise UsageError.of(f"--out {path}", "is no SVG file", "name it FILE.svg")
    if path.exists():
        raise AlreadyExists(Problem(str(path), "exists already", "choose another name"))
    text = one_line(loaded.grid, _drawing(loaded, title, mechanism, loads, scale, by_ac, currency))
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write_new(path, text.encode())
    return path


def _drawing(
    loaded: LoadedGrid,
    title: str,
    mechanism: str,
    loads: Path | None,
    scale: float,
    by_ac: bool,
    currency: str,
) -> Drawing:
    has_state = loaded.case is not None and "orders" in loaded.case
    if not (has_state or loads is not None or loaded.load_kw or by_ac):
        return Drawing(title, homes=loaded.homes, transformers=loaded.transformers)
    found = loads_of(loaded, mechanism=mechanism, loads=loads, scale=scale)
    kw, kvar = found.kw.sum(axis=1), found.kvar.sum(axis=1)
    state = AcNetwork(loaded.grid).solve(kw, kvar) if by_ac else linear_power_flow(loaded.grid, kw, kvar)
    return Drawing(
        f"{title}, {'AC power flow' if by_ac else 'linear equations of the market'}",
        state.flow_kw,
        state.loading,
        state.voltage,
        found.price,
        currency,
        loaded.homes,
        loaded.transformers,
    )
