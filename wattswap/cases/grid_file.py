"""The file of a grid: written from a network file, read from one of its own, a case or a network file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import MissingFile
from data.grids.files import read_grid_file
from data.grids.per_unit import GridFile
from market.files import naming
from market.grid import Grid
from market.units import FloatArray
from p2p.files import write_new
from wattswap.cases.grid import node_names, read_grid, read_homes
from wattswap.cases.grid_checks import check_impedances
from wattswap.errors import AlreadyExists, InvalidData, UsageError
from wattswap.inputs.collector import CaseReader, InvalidCase
from wattswap.inputs.json_text import parsed

LARGEST_KVA = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class LoadedGrid:
    """A grid of a file, checked.

    Args:
        grid: As the mechanisms take it.
        given: The `grid` object, as JSON holds it.
        homes: Name of the node of each home.
        case: The case that holds it; None for a file that is a grid.
        load_kw: Power that each node takes by a network file, by name; empty where the file has none. [kW]
        load_kvar: Reactive power, the same. [kvar]
        phase_kw: Power that it takes from each of three phases, the same. [kW]
        phase_kvar: Reactive power, the same. [kvar]
        notes: What a network file holds and the grid does not.
    """

    grid: Grid
    given: Mapping[str, Any]
    homes: dict[str, str]
    case: Mapping[str, Any] | None = None
    load_kw: Mapping[str, float] = field(default_factory=dict)
    load_kvar: Mapping[str, float] = field(default_factory=dict)
    phase_kw: Mapping[str, list[float]] = field(default_factory=dict)
    phase_kvar: Mapping[str, list[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def transformers(self) -> list[int]:
        """Rows of the lines that are transformers."""
        return [i for i, line in enumerate(self.given["lines"]) if line.get("transformer")]

    @property
    def length_m(self) -> list[float]:
        """Length of each line; 0 where the file has none. [m]"""
        return [float(line.get("length_m", 0)) for line in self.given["lines"]]

    def phases(self, home: str) -> FloatArray:
        """Share of each phase in what a home takes; equal parts where none is stated."""
        named = self.given.get("phases", {}).get(home, "abc")
        return np.array([(phase in named) / len(named) for phase in "abc"])

    def zero_sequence(self) -> tuple[FloatArray, FloatArray]:
        """Resistance and reactance of the zero sequence of each line, on the base of `grid`.

        A transformer has those of the positive sequence.

        Raises:
            InvalidData: Lines lack them.
        """
        missing, found = [], np.empty((2, len(self.grid.lines)))
        base_kva = float(self.given.get("base_kva", 1))
        for i, line in enumerate(self.given["lines"]):
            if line.get("transformer"):
                found[:, i] = self.grid.lines.r[i], self.grid.lines.x[i]
            elif "r0" in line and "x0" in line:
                found[:, i] = float(line["r0"]) / base_kva, float(line["x0"]) / base_kva
            else:
                missing.append(self.grid.lines.names[i])
        if missing:
            what = f"{', '.join(missing[:5])} ({len(missing)} lines) have no zero sequence"
            raise InvalidData.of(
                "grid.lines", what, "give r0 and x0, or compare balanced, without --three-phase"
            )
        return found[0], found[1]


def is_grid_file(path: Path) -> bool:
    """Whether a file is a grid of our own, which a scenario can name, and no case and no network of another tool."""
    held = _as_json(path) if path.is_file() and path.suffix == ".json" else None
    return held is not None and {"nodes", "lines"} <= set(held)


def load_grid(path: Path, *, format: str | None = None) -> LoadedGrid:
    """Read a grid: a file of `wattswap grid import`, a case with a grid, or a network file.

    Raises:
        InvalidCase: Lists everything that is wrong with it.
        DataError: A network file that cannot be read, or no file.
    """
    if not path.exists():
        raise MissingFile(path)
    held = _as_json(path) if format is None and path.suffix == ".json" else None
    if held is None or not _is_ours(held):
        found = read_grid_file(path, format=format)
        grid, homes = _checked(path, found.grid)
        loads = (found.load_kw, found.load_kvar, found.phase_kw, found.phase_kvar)
        return LoadedGrid(grid, found.grid, homes, None, *loads, found.notes)
    case = held if "grid" in held else None
    given = held.get("grid", held)
    grid, homes = _checked(path, given)
    return LoadedGrid(grid, given, homes, case)


def _as_json(path: Path) -> dict[str, Any] | None:
    """The object of a JSON file; None where it is none, and a network format may claim it."""
    try:
        held, twice = parsed(path.read_text(encoding="utf-8-sig"), "a grid")
        if twice and _is_ours(held):
            raise InvalidCase(*twice)
    except UnicodeDecodeError as broken:
        raise InvalidCase.of(str(path), f"is not UTF-8 text: {broken}", "save it as UTF-8") from None
    except InvalidCase as invalid:
        at = [": ".join(filter(None, (str(path), one.where))) for one in invalid.problems]
        problems = (replace(one, where=where) for one, where in zip(invalid.problems, at, strict=True))
        raise InvalidCase(*problems) from None
    return held if isinstance(held, dict) else None


def _is_ours(held: Any) -> bool:
    """Whether it is a grid or a case with one, and not a network of another tool."""
    return isinstance(held, dict) and bool({"nodes", "grid", "lines"} & set(held))


def _checked(path: Path, given: Any) -> tuple[Grid, dict[str, str]]:
    read = CaseReader()
    names = node_names(read, given)
    grid = read_grid(read, given, names)
    homes = read_homes(read, given, names)
    if grid is not None:
        check_impedances(read, grid, given)
    if read.problems or grid is None:
        if not read.problems:
            read.note(str(path), "holds no grid", "give nodes and lines")
        read.refuse()
        raise AssertionError("a refusal was raised")
    by_index = list(names)
    return grid, {home: by_index[index] for home, index in homes.items()}


def import_grid(path: Path, out: Path, *, format: str | None = None, base_kva: float = 100.0) -> GridFile:
    """Write the grid of a network file.

    Args:
        path: A file or folder of any registered format.
        out: Where the grid goes, as JSON; nothing is overwritten.
        format: Name of the format; recognised from the content where left out.
        base_kva: Base of the impedances. [kVA]

    Raises:
        UsageError: The base is none.
        AlreadyExists: The file to write is there.
        DataError: The network cannot be read; everything that is wrong with it.
    """
    if not 0 < base_kva <= LARGEST_KVA:
        raise UsageError.of(f"--base-kva {base_kva:g}", "is no power", "give a number of kVA above 0")
    if out.exists():
        raise AlreadyExists.of(str(out), "exists already", "choose another name by --out")
    found = read_grid_file(path, format=format, base_kva=base_kva)
    out.parent.mkdir(parents=True, exist_ok=True)
    with naming(out):
        write_new(out, text_of(found.grid).encode())
    return found


def text_of(grid: dict[str, object]) -> str:
    """A grid as JSON: one line for each of its lines, nodes and homes in a row."""
    parts = []
    for key, value in grid.items():
        if key == "lines" and isinstance(value, list):
            lines = ",\n".join(f"    {json.dumps(line, ensure_ascii=False)}" for line in value)
            parts.append(f'  "lines": [\n{lines}\n  ]')
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
