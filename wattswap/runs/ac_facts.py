"""What the AC check of a run says, as facts by name and as tables of lines, nodes and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from market.units import FloatArray
from wattswap.runs.ac import AcFlows, AcOfRun
from wattswap.runs.shown import rounded

if TYPE_CHECKING:
    import pandas as pd


def facts_of(check: AcOfRun) -> dict[str, Any]:
    """The check as JSON holds it: voltages per unit, loadings as shares of the limit.

    Returns:
        `equations` of the market, `by_phase`, `note`, and for the metered and the cleared flows: number of intervals,
        of those without an AC state, and of those in which a limit binds; largest error of the market's voltage, in all
        intervals and in those in which a limit binds; number of intervals with a line over its limit and with a voltage
        out of its band, by the market's equations and by AC; the worst line and node by AC; and the losses of all
        intervals. None where nothing is known.
    """
    return {
        "equations": "LinDistFlow" if check.metered.voltage is not None else "DC",
        "by_phase": check.by_phase,
        "note": check.note,
        **{flows.of: _facts(check, flows) for flows in check.flows},
    }


def _facts(check: AcOfRun, flows: AcFlows) -> dict[str, Any]:
    error = flows.error
    return {
        "intervals": len(check.starts),
        "intervals_without_ac_state": int(np.isnan(flows.losses_kwh).sum()),
        "intervals_binding": int(flows.binds.sum()),
        "largest_voltage_error": None if error is None else _most(error),
        "largest_voltage_error_binding": None if error is None else _most(error[flows.binds]),
        "intervals_overloaded": _by_each(flows.overloaded),
        "intervals_out_of_band": _by_each(flows.out_of_band),
        "worst_line": _worst_line(check, flows),
        "worst_node": _worst_node(check, flows),
        "losses_kwh": round(float(np.nansum(flows.losses_kwh)), 6),
    }


def _by_each(beyond: Any) -> dict[str, int]:
    """Number of intervals with anything beyond, by the market's equations and by AC."""
    return {name: int(beyond(by_ac).any(axis=1).sum()) for name, by_ac in (("market", False), ("ac", True))}


def _worst_line(check: AcOfRun, flows: AcFlows) -> dict[str, Any] | None:
    """The line that is used most by AC; None where no line has a limit."""
    loading = np.where(np.isfinite(flows.ac_loading), flows.ac_loading, -1.0)
    if not loading.size or loading.max() < 0:
        return None
    at, line, phase = np.unravel_index(loading.argmax(), loading.shape)
    return {
        "line": check.loaded.grid.lines.names[line],
        **_when(check, int(at), int(phase)),
        "loading_ac": _known(loading[at, line, phase]),
        "loading_market": _known(flows.loading[at, line]),
    }


def _worst_node(check: AcOfRun, flows: AcFlows) -> dict[str, Any] | None:
    """The node whose AC voltage is nearest to a bound, or furthest beyond it; None without voltages."""
    if flows.voltage is None or np.isnan(flows.ac_voltage).all():
        return None
    low, high = flows.band
    left = np.minimum(flows.ac_voltage - low, high - flows.ac_voltage)
    at, node, phase = np.unravel_index(np.nanargmin(left), left.shape)
    return {
        "node": check.loaded.grid.nodes.names[node],
        **_when(check, int(at), int(phase)),
        "voltage_ac": _known(flows.ac_voltage[at, node, phase]),
        "voltage_market": _known(flows.voltage[at, node]),
    }


def _when(check: AcOfRun, at: int, phase: int) -> dict[str, str]:
    start = check.starts[at].strftime("%Y-%m-%dT%H:%MZ")
    return {"interval": start, **({"phase": "abc"[phase]} if check.by_phase else {})}


_ROWS: Final = (
    ("largest voltage error %", "largest_voltage_error", 100.0),
    ("largest voltage error % where a limit binds", "largest_voltage_error_binding", 100.0),
    ("intervals in which a limit binds", "intervals_binding", None),
    ("intervals over a limit by the market's equations", "intervals_overloaded/market", None),
    ("intervals over a limit by AC", "intervals_overloaded/ac", None),
    ("intervals out of the band by the market's equations", "intervals_out_of_band/market", None),
    ("intervals out of the band by AC", "intervals_out_of_band/ac", None),
    ("intervals without a state in AC", "intervals_without_ac_state", None),
    ("losses of the lines kWh", "losses_kwh", 1.0),
)
"""Head, path in the facts of one kind of flows, and factor of a number with two decimals."""


def table_of(facts: dict[str, Any]) -> pd.DataFrame:
    """The facts as people read them, as texts: a row each, and a column for the metered and the cleared flows."""
    import pandas as pd

    return pd.DataFrame(
        {
            kind: [_text(facts[kind], path, factor) for _, path, factor in _ROWS]
            for kind in ("metered", "cleared")
        },
        index=[head for head, _, _ in _ROWS],
    )


def _text(facts: dict[str, Any], path: str, factor: float | None) -> str:
    value: Any = facts
    for name in path.split("/"):
        value = value[name]
    if value is None:
        return "-"
    return str(value) if factor is None else f"{rounded(factor * float(value)):.2f}"


def lines_of(check: AcOfRun, flows: AcFlows) -> pd.DataFrame:
    """Of each line the highest loading and the number of intervals over its limit, by both; the fullest first."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "loading_market": flows.loading.max(axis=0, initial=-np.inf),
            "loading_ac": _highest(flows.ac_loading),
            "overloaded_market": flows.overloaded(False).sum(axis=0),
            "overloaded_ac": flows.overloaded(True).sum(axis=0),
        },
        index=pd.Index(check.loaded.grid.lines.names, name="line"),
    )
    ordered = frame.sort_values("loading_ac", ascending=False, kind="stable")
    # What an open line carries is beyond its limit, and no share of it.
    return ordered.replace([np.inf, -np.inf], np.nan)


def nodes_of(check: AcOfRun, flows: AcFlows) -> pd.DataFrame:
    """Of each node the range of its AC voltages and the largest error of the market's; the largest error first."""
    import pandas as pd

    index = pd.Index(check.loaded.grid.nodes.names, name="node")
    if flows.voltage is None:
        return pd.DataFrame(index=index)
    frame = pd.DataFrame(
        {
            "lowest_v": -_highest(-flows.ac_voltage),
            "highest_v": _highest(flows.ac_voltage),
            "largest_error": _highest(np.abs(flows.ac_voltage - flows.voltage[:, :, None])),
            "out_of_band_market": flows.out_of_band(False).sum(axis=0),
            "out_of_band_ac": flows.out_of_band(True).sum(axis=0),
        },
        index=index,
    )
    return frame.sort_values("largest_error", ascending=False, kind="stable")


def intervals_of(check: AcOfRun) -> pd.DataFrame:
    """One row an interval and kind of flows: error, highest loading and violations by both, and losses."""
    import pandas as pd

    frames = []
    for flows in check.flows:
        error = flows.error
        frame = pd.DataFrame(
            {
                "flows": flows.of,
                "binds": flows.binds,
                "voltage_error": np.nan if error is None else error,
                "loading_market": flows.highest_loading(False),
                "loading_ac": flows.highest_loading(True),
                "overloaded_lines_market": flows.overloaded(False).sum(axis=1),
                "overloaded_lines_ac": flows.overloaded(True).sum(axis=1),
                "nodes_out_of_band_market": flows.out_of_band(False).sum(axis=1),
                "nodes_out_of_band_ac": flows.out_of_band(True).sum(axis=1),
                "losses_kwh": flows.losses_kwh,
            },
            index=pd.DatetimeIndex(check.starts, name="interval_start"),
        )
        without = frame["losses_kwh"].isna()
        frame.loc[without, "loading_ac"] = np.nan
        frames.append(frame)
    return pd.concat(frames).replace([np.inf], np.nan)


def _highest(values: FloatArray) -> FloatArray:
    """Highest value of each column over intervals and phases; NaN where there is none."""
    found = np.where(np.isnan(values), -np.inf, values).max(axis=(0, 2), initial=-np.inf)
    return np.where(found == -np.inf, np.nan, found)


def _most(values: FloatArray) -> float | None:
    """The largest value; None where there is none."""
    known = values[~np.isnan(values)]
    return _known(known.max()) if len(known) else None


def _known(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
