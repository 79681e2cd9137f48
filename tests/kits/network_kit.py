"""Network files for tests: small ones as pandapower saves them, and those of the shared data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

NETWORKS = Path(__file__).parents[2] / ".." / "shared" / "data" / "networks"
PANDAPOWER = NETWORKS / "pandapower_json"
SIMBENCH = NETWORKS / "simbench_1-LV-rural1--0-sw" / "net.json"
OPENDSS = NETWORKS / "opendss"
with_networks = pytest.mark.skipif(
    not NETWORKS.exists(), reason="no networks at ../shared/data/networks; the rest needs none"
)


def table(columns: Sequence[str], *rows: Sequence[Any]) -> dict[str, Any]:
    """A table as pandapower saves it: a DataFrame in split form inside a string."""
    held = {"columns": list(columns), "index": list(range(len(rows))), "data": [list(row) for row in rows]}
    return {
        "_module": "pandas.core.frame",
        "_class": "DataFrame",
        "_object": json.dumps(held),
        "orient": "split",
    }


BUS = ("name", "vn_kv", "in_service")
LINE = (
    "name", "from_bus", "to_bus", "length_km", "r_ohm_per_km", "x_ohm_per_km", "max_i_ka", "df", "parallel",
    "in_service", "max_loading_percent",
)  # fmt: skip
TRAFO = (
    "name", "hv_bus", "lv_bus", "sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "tap_side",
    "tap_neutral", "tap_step_percent", "tap_pos", "parallel", "in_service",
)  # fmt: skip
LOAD = ("name", "bus", "p_mw", "q_mvar", "scaling", "in_service")
SWITCH = ("bus", "element", "et", "closed")


def street() -> dict[str, dict[str, Any]]:
    """A transformer of 400 kVA and two cables of 100 m at 0.4 kV, of which the second is two in parallel."""
    return {
        "bus": table(BUS, ["mv", 20.0, True], ["lv", 0.4, True], ["a", 0.4, True], ["b", 0.4, True]),
        "ext_grid": table(("bus", "vm_pu", "in_service"), [0, 1.0, True]),
        "line": table(
            LINE,
            ["c1", 1, 2, 0.1, 0.2, 0.08, 0.2, 1.0, 1, True, 50.0],
            ["c2", 2, 3, 0.1, 0.2, 0.08, 0.2, 1.0, 2, True, None],
        ),
        "trafo": table(TRAFO, ["t", 0, 1, 0.4, 20.0, 0.4, 5.0, 3.0, "hv", 0, 2.5, 0, 1, True]),
        "load": table(LOAD, ["anna", 2, 0.004, 0.001, 1.0, True], ["ben", 3, 0.002, 0.0, 2.0, True]),
    }


def saved(folder: Path, tables: Mapping[str, Any]) -> Path:
    """Write a network as pandapower does."""
    path = folder / "net.json"
    content = {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": dict(tables)}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
