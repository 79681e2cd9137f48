"""Networks saved by pandapower as JSON, read without pandapower: tables of columns and rows, nothing is unpickled.

- A transformer becomes a line of its short-circuit impedance: r = vkr and x = sqrt(vk^2 - vkr^2), in per cent of its
  rating, at the low-voltage side; its tap changes the voltage behind it. Iron losses and the magnetising current are
  left out, and so are the capacitances of lines.
- A line may carry max_loading_percent / 100 x max_i_ka x df x parallel.
- A line or transformer with an open switch at either end is left out; a closed switch between two buses makes them one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite, sqrt
from typing import Any

from data.findings import FindingLog
from data.grids.names import unique
from data.grids.network import GRID_FORMATS, Branch, Bus, GridFormat, Load, Network
from data.intake.file import MeterFile

_NOT_READ = (
    "trafo3w", "impedance", "dcline", "gen", "ward", "xward", "motor", "ssc", "svc", "tcsc", "vsc", "asymmetric_sgen",
)  # fmt: skip
"""Tables whose elements would change the result, and are not read."""
_KW_PER_MW = 1_000.0


def _claims(file: MeterFile) -> bool:
    return b'"pandapowerNet"' in file.head[:4_096]


def _read(file: MeterFile, log: FindingLog) -> Network | None:
    tables = _tables(file, log)
    if tables is None:
        return None
    for name in _NOT_READ:
        count = sum(_in_service(row) for row in tables.get(name, ()))
        if count:
            log.add("error", "not_read", f"{count} in table {name!r} cannot be read; replace or remove them")
    buses = [row for row in tables.get("bus", ()) if _in_service(row)]
    place = {row["index"]: i for i, row in enumerate(buses)}
    sources = [row for row in tables.get("ext_grid", ()) if _in_service(row) and row["bus"] in place]
    if len(sources) != 1:
        log.add("error", "source", f"{len(sources)} external grids are in service; a grid needs exactly one")
    if log.has_errors or not buses:
        return None
    try:
        return _network(tables, buses, place, sources[0])
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as missing:
        what = f"column {missing}" if isinstance(missing, KeyError) else f"a number ({missing})"
        log.add(
            "error", "incomplete", f"a table lacks {what}; save the network again with a newer pandapower"
        )
        return None


def _tables(file: MeterFile, log: FindingLog) -> dict[str, list[dict[str, Any]]] | None:
    """The tables of a file: of each its rows as columns by name, with their index."""
    try:
        with file.open(file.name) as opened:
            content = json.load(opened)["_object"]
        held = {name: one for name, one in content.items() if isinstance(one, Mapping)}
        return {
            name: list(_rows(one["_object"], str(one.get("orient", "split"))))
            for name, one in held.items()
            if one.get("_class") == "DataFrame" and not name.startswith(("_", "res_"))
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        log.add(
            "error", "broken", f"the file is no network of pandapower: {broken}; save it again by to_json"
        )
        return None


def _rows(table: Any, orient: str) -> Iterator[dict[str, Any]]:
    found = json.loads(table) if isinstance(table, str) else table
    if orient != "split":
        raise ValueError(f"a table is in the form {orient!r}, and 'split' is read")
    for index, row in zip(found["index"], found["data"], strict=True):
        yield {**dict(zip(found["columns"], row, strict=True)), "index": index}


def _network(
    tables: Mapping[str, list[dict[str, Any]]],
    buses: list[dict[str, Any]],
    place: Mapping[Any, int],
    source: Mapping[str, Any],
) -> Network:
    opened = {(row["et"], row["element"]) for row in tables.get("switch", ()) if not row["closed"]}
    joined = [
        (place[row["bus"]], place[row["element"]])
        for row in tables.get("switch", ())
        if row["et"] == "b" and row["closed"] and row["bus"] in place and row["element"] in place
    ]
    names = unique([_name(row, "bus") for row in buses])
    lines = [
        _line(row, place, buses)
        for row in tables.get("line", ())
        if _is_closed(row, ("from_bus", "to_bus"), "l", opened, place)
    ]
    transformers = [
        _transformer(row, place)
        for row in tables.get("trafo", ())
        if _is_closed(row, ("hv_bus", "lv_bus"), "t", opened, place)
    ]
    branches = [*lines, *transformers]
    by_name = unique([branch.name for branch in branches])
    notes = []
    if any(row.get("c_nf_per_km") for row in tables.get("line", ())):
        notes.append("the capacitances of lines are left out")
    if any(row.get("pfe_kw") for row in tables.get("trafo", ())):
        notes.append("iron losses and magnetising currents of transformers are left out")
    home = source["bus"]
    return Network(
        tuple(
            Bus(name, float(row["vn_kv"]), _optional(row, "min_vm_pu"), _optional(row, "max_vm_pu"))
            for name, row in zip(names, buses, strict=True)
        ),
        tuple(replace(branch, name=name) for branch, name in zip(branches, by_name, strict=True)),
        tuple(joined),
        tuple(_loads(tables, place)),
        place[home],
        float(buses[place[home]]["vn_kv"]),
        float(source["vm_pu"]),
        tuple(notes),
    )


def _is_closed(
    row: Mapping[str, Any],
    ends: tuple[str, str],
    kind: str,
    opened: set[tuple[Any, Any]],
    place: Mapping[Any, int],
) -> bool:
    return _in_service(row) and (kind, row["index"]) not in opened and all(row[end] in place for end in ends)


def _line(row: Mapping[str, Any], place: Mapping[Any, int], buses: list[dict[str, Any]]) -> Branch:
    parallel, km = int(row.get("parallel") or 1), float(row["length_km"])
    rating = _optional(row, "max_i_ka")
    share = (_optional(row, "max_loading_percent") or 100.0) / 100
    derated = _optional(row, "df") or 1.0
    return Branch(
        _name(row, "line"),
        place[row["from_bus"]],
        place[row["to_bus"]],
        float(row["r_ohm_per_km"]) * km / parallel,
        float(row["x_ohm_per_km"]) * km / parallel,
        limit_ka=None if rating is None else rating * share * derated * parallel,
        length_m=km * 1_000,
        r0_ohm=_of_length(row, "r0_ohm_per_km", km / parallel),
        x0_ohm=_of_length(row, "x0_ohm_per_km", km / parallel),
    )


def _transformer(row: Mapping[str, Any], place: Mapping[Any, int]) -> Branch:
    parallel, mva = int(row.get("parallel") or 1), float(row["sn_mva"])
    high, low = float(row["vn_hv_kv"]), float(row["vn_lv_kv"])
    tap = _optional(row, "tap_pos")
    if tap is not None and row.get("tap_side") in ("hv", "lv"):
        by = 1 + (tap - (_optional(row, "tap_neutral") or 0.0)) * (
            (_optional(row, "tap_step_percent") or 0.0) / 100
        )
        high, low = (high * by, low) if row["tap_side"] == "hv" else (high, low * by)
    vk, vkr = float(row["vk_percent"]) / 100, float(row["vkr_percent"]) / 100
    ohm = low**2 / mva / parallel
    share = (_optional(row, "max_loading_percent") or 100.0) / 100 * (_optional(row, "df") or 1.0)
    return Branch(
        _name(row, "trafo"),
        place[row["hv_bus"]],
        place[row["lv_bus"]],
        vkr * ohm,
        sqrt(max(vk**2 - vkr**2, 0.0)) * ohm,
        limit_kva=mva * _KW_PER_MW * parallel * share,
        ratio=low / high,
    )


def _loads(tables: Mapping[str, list[dict[str, Any]]], place: Mapping[Any, int]) -> Iterator[Load]:
    """Loads, then plants, storages and shunts, which are no homes."""
    found = []
    for table, sign in (
        ("load", 1.0),
        ("asymmetric_load", 1.0),
        ("sgen", -1.0),
        ("storage", 1.0),
        ("shunt", 1.0),
    ):
        for row in tables.get(table, ()):
            if not _in_service(row) or row["bus"] not in place:
                continue
            scale = 1.0 if table == "shunt" else _optional(row, "scaling")
            scale = 1.0 if scale is None else scale
            columns = ("p_a_mw", "p_b_mw", "p_c_mw") if table == "asymmetric_load" else ("p_mw",)
            p = sum(float(row.get(column) or 0.0) for column in columns)
            q = sum(
                float(row.get(column.replace("p_", "q_", 1).replace("mw", "mvar")) or 0.0)
                for column in columns
            )
            factor = sign * scale * _KW_PER_MW
            is_home = table in ("load", "asymmetric_load")
            phases = _phases(row) if table == "asymmetric_load" else ""
            found.append(Load(_name(row, table), place[row["bus"]], p * factor, q * factor, is_home, phases))
    for load, name in zip(found, unique([load.name for load in found]), strict=True):
        yield replace(load, name=name)


def _phases(row: Mapping[str, Any]) -> str:
    """The phases of an asymmetric load that take power; empty where all do."""
    found = "".join(phase for phase in "abc" if row.get(f"p_{phase}_mw") or row.get(f"q_{phase}_mvar"))
    return "" if len(found) == 3 else found


def _of_length(row: Mapping[str, Any], column: str, km: float) -> float | None:
    per_km = _optional(row, column)
    return None if per_km is None else per_km * km


def _in_service(row: Mapping[str, Any]) -> bool:
    return bool(row.get("in_service", True))


def _name(row: Mapping[str, Any], table: str) -> str:
    """The name of an element, or its table and index."""
    name = row.get("name")
    return (
        f"{table} {row['index']}" if name is None or str(name).strip() in ("", "nan") else str(name).strip()
    )


def _optional(row: Mapping[str, Any], column: str) -> float | None:
    """A number that may be missing."""
    value = row.get(column)
    if value is None or isinstance(value, str) or not isfinite(value):
        return None
    return float(value)


GRID_FORMATS.register(
    GridFormat("pandapower", "A network saved by pandapower.to_json, of version 2 or later.", _claims, _read)
)
