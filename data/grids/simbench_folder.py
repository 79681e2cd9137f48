"""A SimBench grid as its folder of CSV files: Node, Line, LineType, Transformer, TransformerType, Switch, Load.

The separator is a semicolon, and NULL is no value. Switches are between nodes: a closed one makes them one, and a line
that ends at an open one is left out. The outside is connected at the node of ExternalNet, at its voltage vmSetp.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

from data.findings import FindingLog
from data.grids.names import unique
from data.grids.network import GRID_FORMATS, Branch, Bus, GridFormat, Load, Network
from data.intake.file import MeterFile

_NEEDED = ("Node.csv", "Line.csv", "LineType.csv", "ExternalNet.csv")
_Row = Mapping[str, str]


def _claims(file: MeterFile) -> bool:
    return all(file.beside(name).is_file() for name in _NEEDED) if file.path.is_dir() else False


def _read(file: MeterFile, log: FindingLog) -> Network | None:
    names = (
        *_NEEDED,
        "Transformer.csv",
        "TransformerType.csv",
        "Switch.csv",
        "Load.csv",
        "RES.csv",
        "Storage.csv",
    )
    try:
        tables = {name: _rows(file, name) for name in names}
        return _network(tables, log)
    except (KeyError, TypeError, ValueError, ArithmeticError, csv.Error) as wrong:
        what = f"lacks the column or entry {wrong}" if isinstance(wrong, KeyError) else f"holds {wrong}"
        log.add("error", "incomplete", f"the folder {what}; export it again")
        return None


def _rows(file: MeterFile, name: str) -> list[dict[str, str]]:
    if not file.beside(name).is_file():
        return []
    with file.open(name) as opened:
        text = opened.read().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text), delimiter=";"))


def _network(tables: Mapping[str, list[dict[str, str]]], log: FindingLog) -> Network | None:
    nodes = tables["Node.csv"]
    place = {row["id"]: i for i, row in enumerate(nodes)}
    sources = tables["ExternalNet.csv"]
    if len(sources) != 1:
        message = (
            f"{len(sources)} external nets; a grid needs exactly one: extract one grid from the data set"
        )
        log.add("error", "source", message)
        return None
    types = {row["id"]: row for row in tables["LineType.csv"]}
    kinds = {row["id"]: row for row in tables["TransformerType.csv"]}
    branches = [
        *(_line(row, types[row["type"]], place) for row in tables["Line.csv"]),
        *(_transformer(row, kinds[row["type"]], place) for row in tables["Transformer.csv"]),
    ]
    closed = [row for row in tables["Switch.csv"] if _number(row, "cond", 1.0) == 1]
    ends = _open_ends(tables, closed, place)
    branches = [branch for branch in branches if not {branch.start, branch.end} & ends]
    names = unique([branch.name for branch in branches])
    source = nodes[place[sources[0]["node"]]]
    return Network(
        tuple(
            Bus(row["id"], float(row["vmR"]), _optional(row, "vmMin"), _optional(row, "vmMax"))
            for row in nodes
        ),
        tuple(replace(b, name=name) for name, b in zip(names, branches, strict=True)),
        tuple((place[row["nodeA"]], place[row["nodeB"]]) for row in closed),
        tuple(_loads(tables, place)),
        place[source["id"]],
        float(source["vmR"]),
        _number(source, "vmSetp", 1.0),
        (
            "the capacitances of lines are left out",
            "iron losses and magnetising currents of transformers are left out",
        ),
    )


def _open_ends(
    tables: Mapping[str, list[dict[str, str]]], closed: list[dict[str, str]], place: Mapping[str, int]
) -> set[int]:
    """Auxiliary nodes between a line and its open switch: such a line is open."""
    auxiliary = {place[row["id"]] for row in tables["Node.csv"] if row["type"] == "auxiliary"}
    joined = {place[row[end]] for row in closed for end in ("nodeA", "nodeB")}
    switched = {place[row[end]] for row in tables["Switch.csv"] for end in ("nodeA", "nodeB")}
    return (switched - joined) & auxiliary


def _line(row: _Row, kind: _Row, place: Mapping[str, int]) -> Branch:
    km, share = float(row["length"]), _number(row, "loadingMax", 100.0) / 100
    amps = _optional(kind, "iMax")
    return Branch(
        row["id"],
        place[row["nodeA"]],
        place[row["nodeB"]],
        float(kind["r"]) * km,
        float(kind["x"]) * km,
        limit_ka=None if amps is None else amps / 1_000 * share,
        length_m=km * 1_000,
    )


def _transformer(row: _Row, kind: _Row, place: Mapping[str, int]) -> Branch:
    mva, high, low = float(kind["sR"]), float(kind["vmHV"]), float(kind["vmLV"])
    by = 1 + (_number(row, "tappos", 0.0) - _number(kind, "tapNeutr", 0.0)) * _number(kind, "dVm", 0.0) / 100
    high, low = (high, low * by) if kind["tapside"] == "LV" else (high * by, low)
    vk, vkr = float(kind["vmImp"]) / 100, float(kind["pCu"]) / 1_000 / mva
    ohm = low**2 / mva
    return Branch(
        row["id"],
        place[row["nodeHV"]],
        place[row["nodeLV"]],
        vkr * ohm,
        sqrt(max(vk**2 - vkr**2, 0.0)) * ohm,
        limit_kva=mva * 1_000 * _number(row, "loadingMax", 100.0) / 100,
        ratio=low / high,
    )


def _loads(tables: Mapping[str, list[dict[str, str]]], place: Mapping[str, int]) -> list[Load]:
    """Loads at their full power, then plants and storages, which are no homes."""
    found = []
    for table, p, q, sign in (
        ("Load.csv", "pLoad", "qLoad", 1_000.0),
        ("RES.csv", "pRES", "qRES", -1_000.0),
        ("Storage.csv", "pStor", "qStor", 1_000.0),
    ):
        for row in tables[table]:
            kw, kvar = float(row[p]) * sign, _number(row, q, 0.0) * sign
            found.append(Load(row["id"], place[row["node"]], kw, kvar, table == "Load.csv"))
    names = unique([load.name for load in found])
    return [replace(one, name=name) for name, one in zip(names, found, strict=True)]


def _optional(row: _Row, column: str) -> float | None:
    value = row.get(column, "NULL")
    return None if value in ("NULL", "", None) else float(value)


def _number(row: _Row, column: str, default: float) -> float:
    found = _optional(row, column)
    return default if found is None else found


GRID_FORMATS.register(GridFormat("simbench", "A folder of a SimBench grid in CSV files.", _claims, _read))
