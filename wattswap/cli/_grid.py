"""The view of a run's grid for `wattswap show`: the most loaded lines, and what nodes paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wattswap.cli._grid_ac import show_ac, summary_of
from wattswap.cli.output import Form, is_text, print_csv, print_json, rows_of
from wattswap.cli.tables import cell, print_figures, wrapped
from wattswap.errors import UsageError
from wattswap.runs.ac import ac_or_why
from wattswap.runs.ac_facts import facts_of
from wattswap.runs.folder import RunFolder
from wattswap.runs.grid_shown import shown_or_refused

if TYPE_CHECKING:
    import pandas as pd

MOST: Final = 10
"""Lines and nodes that a screen shows; --wide shows all."""
FIGURES: Final = (
    *("overload_hours", "overload_kw", "highest_loading", "voltage_hours", "binding_share"),
    "congestion_rent",
)


def show_grid(result: RunFolder, which: str | None, form: Form) -> None:
    """Print lines by load and the range of prices by node, and the AC check in a sentence; with --csv the lines alone.

    Args:
        result: The run.
        which: "ac" for the AC check in full.
        form: Text, or what programs read.

    Raises:
        UsageError: The scenario has no grid, or `which` is another word.
    """
    if which not in (None, "ac"):
        raise UsageError.of("WHICH", f"the grid has no view {which!r}", "say `grid ac`, or `grid` alone")
    if which == "ac":
        show_ac(result, form)
        return
    found = shown_or_refused(result)
    figures = {name: result.metrics.get(name) for name in FIGURES}
    if form == "json":
        rows = {"lines": rows_of(found.lines), "nodes": rows_of(found.nodes)}
        print_json({**figures, **rows, "ac": _checked(result)})
        return
    if not is_text(form):
        print_csv(found.lines)
        return
    wide = form == "wide"
    lines = found.lines if wide else found.lines.head(MOST)
    print_figures("Lines by their highest load, by the meters", lines, _LINES, wide=wide)
    nodes = found.nodes
    if not wide and len(nodes) > MOST:
        nodes = _furthest_apart(nodes)
    priced = "lowest_per_kwh" in nodes
    prices = f"Prices of nodes in {result.currency}/kWh{'; voltages per unit' * ('lowest_v' in nodes)}"
    title = prices if priced else "Voltages of nodes, per unit"
    if len(nodes.columns):
        print_figures(title, nodes, _NODES, wide=wide)
    for name, text in _SENTENCES.items():
        if figures[name] is not None:
            print(wrapped(f"{text.format(_shown(name, figures[name]), money=result.currency)}"))
    ac = _checked(result)
    print(wrapped(f"No AC check: {ac['refused']}." if "refused" in ac else summary_of(ac)))
    figure = "mean price" if priced else "voltage"
    cut = [f"the {MOST} most loaded lines"] * (len(found.lines) > MOST)
    cut += [f"the {MOST} nodes with the lowest and highest {figure}"] * (len(found.nodes) > MOST)
    if cut and not wide:
        print(wrapped(f"Shown are {' and '.join(cut)}; --wide shows all."))


_LINES: Final = {
    "limit_kw": ("limit kW", 1, 1.0),
    "highest_kw": ("highest kW", 1, 1.0),
    "loading": ("load %", 1, 100.0),
    "overload_h": ("over limit h", 2, 1.0),
}
_NODES: Final = {
    "lowest_per_kwh": ("lowest", 4, 1.0),
    "mean_per_kwh": ("mean", 4, 1.0),
    "highest_per_kwh": ("highest", 4, 1.0),
    "lowest_v": ("lowest voltage", 4, 1.0),
    "highest_v": ("highest voltage", 4, 1.0),
    "out_of_band_h": ("out of band h", 2, 1.0),
}
"""Column, head, decimals and factor."""
_SENTENCES: Final = {
    "overload_hours": "A line or transformer carries more than its limit for {} h, by the meters.",
    "overload_kw": "At most {} kW beyond a limit.",
    "voltage_hours": "A voltage is outside of its band for {} h.",
    "binding_share": "A limit binds in {} % of the clearings.",
    "congestion_rent": "Congestion rent: {} {money}.",
}


def _checked(result: RunFolder) -> dict[str, Any]:
    """Facts of the AC check, or why there is none: its lines and nodes are shown all the same."""
    found = ac_or_why(result)
    return {"refused": found} if isinstance(found, str) else facts_of(found)


def _shown(name: str, value: Any) -> str:
    decimals = 1 if name in ("overload_kw", "binding_share") else 2
    return cell(100 * value if name == "binding_share" else value, decimals)


def _furthest_apart(nodes: pd.DataFrame) -> pd.DataFrame:
    """The nodes with the lowest and the highest mean price, or voltage."""
    by = "mean_per_kwh" if "mean_per_kwh" in nodes else "lowest_v" if "lowest_v" in nodes else None
    ordered = nodes if by is None else nodes.sort_values(by, kind="stable")
    half = MOST // 2
    return nodes.loc[nodes.index.isin([*ordered.index[:half], *ordered.index[-half:]])]
