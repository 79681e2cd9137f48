"""What a run on a grid says of its lines and nodes, for tables and figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from market.grid import NO_LIMIT
from market.units import MICRO_PER_UNIT, PPM, WH_PER_KWH
from wattswap.errors import UsageError
from wattswap.runs.folder import RunFolder, read_table
from wattswap.runs.grid_columns import FLOW, NAMES, NODE_PRICE, VOLTAGE
from wattswap.runs.layout import table_file
from wattswap.runs.stored import damaged

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class GridShown:
    """Lines and nodes of a run.

    Args:
        lines: By line: limit_kw, highest_kw, loading (highest / limit), overload_h; the most loaded first.
        nodes: By node: lowest, mean and highest price per kWh, missing where nothing cleared on the grid; lowest and
            highest voltage (per unit) and the hours outside of the band, missing without voltages.
        of_day: Mean price of each node by local time of day, a column a node; None where nothing cleared on the grid.
    """

    lines: pd.DataFrame
    nodes: pd.DataFrame
    of_day: pd.DataFrame | None


def grid_shown(result: RunFolder) -> GridShown | None:
    """What a run says of its grid; None where its scenario has none.

    Raises:
        VerificationFailed: The table is damaged.
    """
    if "grid" not in result.scenario:
        return None
    path = result.unchanged(table_file("intervals"))
    table = read_table(result.path, "intervals")
    try:
        about = json.loads((table.schema.metadata or {})[NAMES.encode()])
        hours = int(result.manifest["interval_minutes"]) / 60
        frame = table.to_pandas()
        lines = _lines(about, np.array(frame[FLOW].tolist()), hours)
        voltage = np.array(frame[VOLTAGE].tolist()) if VOLTAGE in frame else None
        price = np.array(frame[NODE_PRICE].tolist(), dtype=np.float64) if NODE_PRICE in frame else None
        nodes = _nodes(about, price, voltage, hours)
    except (KeyError, ValueError, TypeError) as error:
        raise damaged(path, f"it does not say what its grid carried ({error})") from None
    if price is None:
        return GridShown(lines, nodes, None)
    return GridShown(lines, nodes, _of_day(about, price, frame["interval_start"], result.zone))


def shown_or_refused(result: RunFolder) -> GridShown:
    """What a run says of its grid.

    Raises:
        UsageError: Its scenario has none.
    """
    found = grid_shown(result)
    if found is None:
        raise no_grid()
    return found


def no_grid() -> UsageError:
    """The refusal of a run whose scenario has no grid."""
    return UsageError.of(
        "WHAT", "the scenario of this run has no grid", "add a table [grid], and run it again"
    )


def _lines(about: dict[str, Any], flow_wh: np.ndarray, hours: float) -> pd.DataFrame:
    import pandas as pd

    limit = np.array([np.inf if wh == NO_LIMIT else wh for wh in about["limit_wh"]])
    highest = np.abs(flow_wh).max(axis=0, initial=0.0)
    frame = pd.DataFrame(
        {
            "limit_kw": np.where(np.isinf(limit), np.nan, limit) / WH_PER_KWH / hours,
            "highest_kw": highest / WH_PER_KWH / hours,
            "loading": np.where(np.isinf(limit) | (limit == 0), np.nan, highest / np.maximum(limit, 1)),
            "overload_h": (np.abs(flow_wh) > limit).sum(axis=0) * hours,
        },
        index=pd.Index(about["lines"], name="line"),
    )
    # An open line has no share of its limit: what it carries all the same is beyond it, however little.
    of_limit = frame["loading"].mask((limit == 0) & (highest > 0), np.inf)
    by_load = frame.assign(of_limit=of_limit).sort_values(
        ["of_limit", "highest_kw"], ascending=False, kind="stable"
    )
    return by_load.drop(columns="of_limit")


def _nodes(
    about: dict[str, Any], price: np.ndarray | None, v_ppm: np.ndarray | None, hours: float
) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(index=pd.Index(about["nodes"], name="node"))
    if price is not None:
        known = pd.DataFrame(price) / MICRO_PER_UNIT
        for name in ("lowest", "mean", "highest"):
            found = {"lowest": known.min, "mean": known.mean, "highest": known.max}[name]()
            frame[f"{name}_per_kwh"] = found.to_numpy()
    if v_ppm is not None:
        low, high = (bound * PPM for bound in about["band"])
        frame["lowest_v"], frame["highest_v"] = (
            np.sqrt(v / PPM) for v in (v_ppm.min(axis=0), v_ppm.max(axis=0))
        )
        frame["out_of_band_h"] = ((v_ppm < low) | (v_ppm > high)).sum(axis=0) * hours
    return frame


def _of_day(about: dict[str, Any], price: np.ndarray, starts: pd.Series[Any], zone: str) -> pd.DataFrame:
    import pandas as pd

    local = pd.DatetimeIndex(starts).tz_convert(zone)
    frame = pd.DataFrame(price / MICRO_PER_UNIT, columns=about["nodes"], index=local.strftime("%H:%M"))
    found = frame.groupby(level=0).mean()
    return found.rename_axis("time_of_day")
