"""Importing large files into a store: peak memory over three sizes, of plain CSV and of Green Button feeds.

The CSV holds homes drawn from the bundled village for a year in quarters of an hour, ordered by time (or by home with
`--by-home`); the feed has a usage point for each home, and a year of hours in blocks of a day. Each is imported in a
process of its own, with every check.

Usage: python -m benchmarks.meter_memory [--json] [--by-home] [--sizes MB ...] [--kinds KIND ...]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feeds import feed
from benchmarks.large_year import drawn

SIZES_MB = (60, 250, 1_000)
TARGET_MB = 700
ROW_BYTES = 46
DAYS = 365
FUSE_W = 1_000_000
"""Of the farms and shops of the village. [W]"""
HOME_BYTES = DAYS * 5_510
"""Of a home in the feed, whose readings are of hours."""


def write_csv(path: Path, homes: int, *, by_home: bool) -> int:
    """Write a year of homes and return the number of rows."""
    import pyarrow as pa
    from pyarrow import csv

    data = replace(drawn(homes, DAYS, seed=1), sub_meters={})
    stamps = np.datetime64(data.start_s, "s") + np.arange(data.intervals) * np.timedelta64(900, "s")
    texts = pa.array([f"{one}Z" for one in stamps.astype(str)])
    names = pa.array(data.households)
    schema = pa.schema(
        [("timestamp", pa.string()), ("household", pa.string()), *_floats("import_kwh", "export_kwh")]
    )
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed")) as file:
        parts = range(homes) if by_home else range(0, data.intervals, 96)
        for part in parts:
            rows, columns = (
                (slice(None), slice(part, part + 1)) if by_home else (slice(part, part + 96), slice(None))
            )
            imported, exported = data.import_wh[rows, columns], data.export_wh[rows, columns]
            t, h = np.indices(imported.shape)
            file.write_table(
                pa.table(
                    [
                        texts.take(pa.array((t + (0 if by_home else part)).ravel())),
                        names.take(pa.array((h + (part if by_home else 0)).ravel())),
                        pa.array(imported.ravel() / 1_000),
                        pa.array(exported.ravel() / 1_000),
                    ],
                    schema=schema,
                )
            )
    return homes * data.intervals


def _floats(*names: str) -> list[tuple[str, Any]]:
    import pyarrow as pa

    return [(name, pa.float64()) for name in names]


def by_import(path: Path) -> int:
    """Import a file with every check into a new store; the import of all homes. [Wh]"""
    from data.intake.raw import Hints
    from data.store.imports import Options, import_files

    with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
        done = import_files([path], Path(folder) / "store", Options(hints=Hints(fuse_w=FUSE_W)))
        return sum(home.series.total_wh("import") for home in done.homes)


def by_hand(path: Path) -> int:
    """The same by hand; the import of all homes. [Wh]"""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    types = {"household": pa.dictionary(pa.int32(), pa.string()), "timestamp": pa.timestamp("s", tz="UTC")}
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False),
        convert_options=csv.ConvertOptions(column_types=types),
    )
    seconds = pc.cast(table.column("timestamp"), pa.int64()).to_numpy()
    home = table.column("household").unify_dictionaries().combine_chunks()
    home = (
        home.indices.to_numpy() if isinstance(home, pa.DictionaryArray) else home.chunk(0).indices.to_numpy()
    )
    row = (seconds - seconds.min()) // 900
    found = []
    for name in ("import_kwh", "export_kwh"):
        grid = np.zeros((int(row.max()) + 1, int(home.max()) + 1), dtype=np.int64)
        grid[row, home] = np.rint(table.column(name).to_numpy() * 1_000).astype(np.int64)
        found.append(grid)
    return int(found[0].sum())


def measured(read: Callable[[Path], int], path: Path) -> dict[str, Any]:
    """Peak memory, time and result of a read, in this process."""
    import pyarrow.csv  # noqa: F401  what a reader imports is imported before the time starts

    import data.formats  # noqa: F401

    begun, cpu = time.perf_counter(), time.process_time()
    total_wh = read(path)
    return {
        "import_wh": total_wh,
        "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def in_own_process(read: Callable[[Path], int], path: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measured, read, path).result()


def main(arguments: list[str]) -> None:
    """Measure and print, each size as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meter_memory", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES_MB, metavar="MB")
    parser.add_argument("--kinds", nargs="*", choices=["csv", "espi"], default=["csv", "espi"])
    parser.add_argument("--by-home", action="store_true", help="rows ordered by home instead of by time")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    given = parser.parse_args(arguments)
    for kind in given.kinds:
        for size in given.sizes:
            with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as folder:
                path = Path(folder) / ("feed.xml" if kind == "espi" else "meter.csv")
                if kind == "espi":
                    homes = max(size * 1_000_000 // HOME_BYTES, 1)
                    with path.open("w", encoding="utf-8") as file:
                        file.writelines(feed(DAYS, homes))
                    rows = homes * DAYS * 24
                else:
                    homes = max(size * 1_000_000 // (DAYS * 96 * ROW_BYTES), 1)
                    rows = write_csv(path, homes, by_home=given.by_home)
                row = {"kind": kind, "mb": path.stat().st_size / 1e6, "rows": rows}
                row |= in_own_process(by_import, path)
                what = f"{kind}, {row['mb']:,.0f} MB, {rows:,} rows"
                _show(row, given.json, what, f"target {TARGET_MB} MB")


def _show(row: dict[str, Any], as_json: bool, what: str, more: str) -> None:
    line = f"{what:<30} peak {row['peak_mb']:>5.0f} MB, {row['cpu_s']:>5.1f} s CPU  {more}".rstrip()
    print(json.dumps(row) if as_json else line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
