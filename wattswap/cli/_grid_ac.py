"""The view of a run's AC check for `wattswap show`: what the market's linear equations leave out."""

from __future__ import annotations

from typing import Any, Final

from wattswap.cli.output import Form, is_text, print_csv, print_json, rows_of
from wattswap.cli.tables import Column, print_columns, print_figures, wrapped
from wattswap.runs.ac import ac_of_run
from wattswap.runs.ac_facts import facts_of, intervals_of, lines_of, nodes_of, table_of
from wattswap.runs.folder import RunFolder
from wattswap.scenario.basis import moment

MOST: Final = 10
"""Lines and nodes that a screen shows; --wide shows all."""


def show_ac(result: RunFolder, form: Form) -> None:
    """Print both equations beside each other; with --csv every interval.

    Raises:
        UsageError: The scenario has no grid.
        InvalidData: The file of the grid is gone, or has changed since.
        OptimizerError: The grid is meshed, and pandapower is not installed.
    """
    check = ac_of_run(result)
    facts = facts_of(check)
    if form == "json":
        frames = {
            "lines": lines_of(check, check.metered),
            "nodes": nodes_of(check, check.metered),
            "rows": intervals_of(check),
        }
        print_json({**facts, **{name: rows_of(frame) for name, frame in frames.items()}})
        return
    if not is_text(form):
        print_csv(intervals_of(check))
        return
    _print_facts(facts, form)
    wide = form == "wide"
    lines, nodes = lines_of(check, check.metered), nodes_of(check, check.metered)
    shown = (lines, nodes) if wide else (lines.head(MOST), nodes.head(MOST))
    title = "Lines by their highest load by AC, by the meters; over their limit in intervals"
    print_figures(title, shown[0], _LINES, wide=wide)
    if len(nodes.columns):
        title = "Nodes by the largest error of the market's voltage, by the meters; voltages per unit, out of their"
        print_figures(f"{title} band in intervals", shown[1], _NODES, wide=wide)
    for text in _sentences(facts, result.zone):
        print(wrapped(text))
    print(wrapped(f"Times are those of {result.zone}."))
    if not wide and max(len(lines), len(nodes)) > MOST:
        print(wrapped(f"Shown are at most {MOST} lines and nodes; --wide shows all."))


def summary_of(facts: dict[str, Any]) -> str:
    """The check in one sentence, by the meters."""
    metered = facts["metered"]
    over, error = metered["intervals_overloaded"], metered["largest_voltage_error"]
    off = "" if error is None else f"voltages differ by at most {100 * error:.2f} % from the market's, "
    return (
        f"By an AC power flow of every interval {off}a line or transformer is over its limit in {over['ac']} intervals"
        f" (by the market's equations in {over['market']}), and lines lose {metered['losses_kwh']:.1f} kWh;"
        " `grid ac` shows more."
    )


def _print_facts(facts: dict[str, Any], form: Form) -> None:
    phases = "by phase" if facts["by_phase"] else "balanced over three phases"
    title = f"AC power flow of {facts['metered']['intervals']} intervals beside the market's equations"
    title += f" ({facts['equations']}), {phases}"
    frame = table_of(facts)
    key = Column("", list(frame.index), right=False)
    columns = [Column(str(name), frame[name].tolist()) for name in frame.columns]
    print_columns(title, key, columns, wide=form == "wide")


def _sentences(facts: dict[str, Any], zone: str) -> list[str]:
    found = []
    for kind, whose in (("metered", "By the meters"), ("cleared", "Of what was cleared")):
        line, node = facts[kind]["worst_line"], facts[kind]["worst_node"]
        if line is not None:
            share = f"{_percent(line['loading_ac'])} of its limit by AC"
            found.append(
                f"{whose} {_named(line, 'line', zone)} carries most: {share}, {_percent(line['loading_market'])} by"
                " the market's equations."
            )
        if node is not None:
            found.append(
                f"{whose} the voltage of {_named(node, 'node', zone)} is nearest to a bound:"
                f" {node['voltage_ac']:.4f} per unit by AC, {node['voltage_market']:.4f} by the market's."
            )
    return [*found, *filter(None, [facts["note"]])]


def _named(found: dict[str, Any], what: str, zone: str) -> str:
    """A line or node, its phase and the local time of its interval."""
    phase = f", phase {found['phase']}," if "phase" in found else ""
    return f"{found[what]}{phase} at {moment(found['interval'], zone)}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


_LINES: Final = {
    "loading_market": ("market's %", 1, 100.0),
    "loading_ac": ("AC %", 1, 100.0),
    "overloaded_market": ("over limit by market", 0, 1.0),
    "overloaded_ac": ("over limit by AC", 0, 1.0),
}
_NODES: Final = {
    "lowest_v": ("lowest AC voltage", 4, 1.0),
    "highest_v": ("highest AC voltage", 4, 1.0),
    "largest_error": ("largest error %", 2, 100.0),
    "out_of_band_market": ("out of band by market", 0, 1.0),
    "out_of_band_ac": ("out of band by AC", 0, 1.0),
}
"""Column, head, decimals and factor; what is over or out is a number of intervals."""
