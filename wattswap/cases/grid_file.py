"""The file of a grid: written from a network file, read from one of its own or out of a case."""

from __future__ import annotations

import json
from pathlib import Path

from data.grids.files import read_grid_file
from data.grids.per_unit import GridFile
from p2p.files import naming, write_new
from wattswap.errors import AlreadyExists, UsageError

LARGEST_KVA = 1e9


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
