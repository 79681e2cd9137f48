"""Files of readings: written once, one row group a home, each row an interval; and reading them.

Columns: `time` (timestamp[s, UTC], start of the interval), `household` (dictionary), `import_wh`, `export_wh` and
sub-meters `NAME_wh` (int64; null where the source has no such meter), `quality` (0 measured, 1 estimated, 2 missing).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data.intake.file import sha256_of
from data.store import disk
from data.store.errors import DamagedStore
from data.store.manifest import PARTS, Part
from data.store.rows import HomeRows
from data.store.series import GRID

SUFFIX = "_wh"


def write_part(
    folder: Path, number: int, homes: Sequence[HomeRows], minutes: Mapping[str, int], sources: tuple[int, ...]
) -> Part:
    """Write a file of readings; it counts once the manifest names it.

    Args:
        folder: The store.
        number: Of the file.
        homes: At least one row each.
        minutes: Length of the intervals of each home. [min]
        sources: Where they came from.
    """
    name = f"{PARTS}/{number:04d}.parquet"
    subs = sorted({channel for one in homes for channel in one.energy} - set(GRID))
    channels = [*GRID, *subs]
    disk.write_whole(folder / name, lambda path: _write(path, homes, channels))
    return Part(
        name=name,
        sha256=sha256_of(folder / name),
        rows=sum(len(one.time_s) for one in homes),
        homes=tuple(one.home for one in homes),
        start_s=min(int(one.time_s[0]) for one in homes),
        end_s=max(int(one.time_s[-1]) + minutes[one.home] * 60 for one in homes),
        sources=sources,
    )


def schema_of(channels: Sequence[str]) -> Any:
    """The Arrow schema of a part."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("time", pa.timestamp("s", "UTC"), nullable=False),
            pa.field("household", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            *(pa.field(f"{name}{SUFFIX}", pa.int64()) for name in channels),
            pa.field("quality", pa.uint8(), nullable=False),
        ]
    )


def table_of(rows: HomeRows, channels: Sequence[str]) -> Any:
    """The rows of a home as an Arrow table."""
    import pyarrow as pa

    count = len(rows.time_s)
    home = pa.DictionaryArray.from_arrays(_zeros(count), pa.array([rows.home]), safe=False)
    none = pa.nulls(count, pa.int64())
    columns = [
        pa.array(rows.time_s, pa.int64()).cast(pa.timestamp("s", "UTC")),
        home,
        *(pa.array(rows.energy[name], pa.int64()) if name in rows.energy else none for name in channels),
        pa.array(rows.quality),
    ]
    return pa.Table.from_arrays(columns, schema=schema_of(channels))


@lru_cache(maxsize=1)
def _zeros(count: int) -> Any:
    """Indices of the only home of a table."""
    import pyarrow as pa

    return pa.array(np.zeros(count, dtype=np.int32))


def _write(path: Path, homes: Sequence[HomeRows], channels: Sequence[str]) -> None:
    from pyarrow import parquet

    plain = ["time", *(f"{name}{SUFFIX}" for name in channels)]
    with parquet.ParquetWriter(
        path,
        schema_of(channels),
        compression="zstd",
        use_dictionary=["household"],
        column_encoding=dict.fromkeys(plain, "DELTA_BINARY_PACKED"),
        write_statistics=["time", "household"],
    ) as writer:
        for rows in homes:
            writer.write_table(table_of(rows, channels), row_group_size=max(1, len(rows.time_s)))


def read_part(folder: Path, part: Part, homes: Collection[str] | None = None) -> Iterator[HomeRows]:
    """Read a file of readings, home by home, after its hash was checked.

    Raises:
        DamagedStore: It is missing or is not what the manifest says.
    """
    from pyarrow import ArrowException, parquet

    path = checked(folder, part.name, part.sha256)
    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                home = part.homes[group]
                if homes is None or home in homes:
                    yield _rows(home, file.read_row_group(group))
    except (ArrowException, KeyError, IndexError) as problem:
        raise DamagedStore(folder, f"{part.name} cannot be read ({problem})") from None


def _rows(home: str, table: Any) -> HomeRows:
    import pyarrow as pa

    energy = {}
    for name in table.column_names:
        column = table.column(name)
        if name.endswith(SUFFIX) and column.null_count == 0:
            energy[name.removesuffix(SUFFIX)] = column.to_numpy()
    return HomeRows(
        home=home,
        time_s=table.column("time").cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy(),
        energy=energy,
        quality=table.column("quality").to_numpy(),
    )


def checked(folder: Path, name: str, sha256: str) -> Path:
    """The path of a file whose content is what the manifest says.

    Raises:
        DamagedStore: It is missing, or another one.
    """
    path = folder / name
    try:
        found = sha256_of(path)
    except (FileNotFoundError, IsADirectoryError):
        raise DamagedStore(folder, f"{name} is missing") from None
    if found != sha256:
        raise DamagedStore(folder, f"{name} is not the file that was written (its hash is another one)")
    return path
