"""The folder of a comparison: three hive-partitioned Parquet datasets, one small file a cell, and what was compared.

    comparisons/NAME_DIGEST/comparison.json
    comparisons/NAME_DIGEST/{intervals,bills,summary}/point=P/mechanism=M/seed=S/part.parquet

The summary of a cell is written last, so a cell with a summary is whole.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wattswap.comparison.cells import BEHIND_METER, BILL_COLUMNS, INTERVAL_COLUMNS, Cell
from wattswap.comparison.plan import CellKey
from wattswap.comparison.summary import Row
from wattswap.errors import VerificationFailed
from wattswap.runs.folder import CURE
from wattswap.runs.layout import COMPARISON

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT = COMPARISON
SUMMARY, BILLS, INTERVALS = "summary", "bills", "intervals"
DATASETS = (INTERVALS, BILLS, SUMMARY)
_PART = "part.parquet"


def part_path(folder: Path, dataset: str, key: CellKey) -> Path:
    """The file of one cell in one dataset; names are percent-encoded, as readers of hive partitions expect."""
    point, mechanism = quote(key.point, safe=""), quote(key.mechanism, safe="")
    return folder / dataset / f"point={point}" / f"mechanism={mechanism}" / f"seed={key.seed}" / _PART


def write_cell(
    folder: Path, key: CellKey, cell: Cell, summary: Row, households: tuple[str, ...], cell_sha256: str
) -> None:
    """Write the three files of a cell; each is whole or absent."""
    import pyarrow as pa

    intervals = {"interval_start": pa.array(cell.start_s, type=pa.timestamp("s", tz="UTC"))}
    for i, name in enumerate(INTERVAL_COLUMNS):
        intervals[name] = pa.array(cell.intervals[:, i], mask=~cell.has_value[:, i])
    bills = {"household": pa.array(households)}
    known = {name: cell.has_load or name not in BEHIND_METER for name in BILL_COLUMNS}
    bills |= {
        name: pa.array(cell.bills[:, i]) if known[name] else pa.nulls(len(households), pa.int64())
        for i, name in enumerate(BILL_COLUMNS)
    }
    row = {"cell_sha256": pa.array([cell_sha256])}
    row |= {name: pa.array([value], type=pa.float64()) for name, value in summary.items()}
    for dataset, columns in ((INTERVALS, intervals), (BILLS, bills), (SUMMARY, row)):
        _write(part_path(folder, dataset, key), pa.table(columns))


def is_done(folder: Path, key: CellKey, cell_sha256: str) -> bool:
    """Whether the cell is there, made from the same scenario, data, mechanism and program."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not all(part_path(folder, dataset, key).is_file() for dataset in DATASETS):
        return False
    try:
        stored = pq.ParquetFile(part_path(folder, SUMMARY, key)).read(columns=["cell_sha256"])
    except (OSError, pa.ArrowException):
        return False
    return bool(stored["cell_sha256"][0].as_py() == cell_sha256)


def read_part(folder: Path, dataset: str, key: CellKey) -> pa.Table:
    """Read one cell of a dataset.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = part_path(folder, dataset, key)
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise VerificationFailed.of(str(path), f"is damaged: {error}", CURE) from None


def same_result(
    folder: Path, key: CellKey, cell: Cell, summary: Row, households: tuple[str, ...]
) -> list[str]:
    """Names of the stored columns of a cell that differ from a cell worked out again; times are not compared."""
    intervals, bills, row = (read_part(folder, dataset, key) for dataset in DATASETS)
    columns = {
        INTERVALS: (intervals, ("interval_start", *INTERVAL_COLUMNS)),
        BILLS: (bills, ("household", *BILL_COLUMNS)),
        SUMMARY: (row, ("cell_sha256", *summary)),
    }
    wrong = [
        f"{name} (columns)" for name, (table, names) in columns.items() if table.column_names != [*names]
    ]
    if wrong:
        return wrong
    starts = [int(start.timestamp()) for start in intervals["interval_start"].to_pylist()]
    wrong += [f"{INTERVALS}.interval_start"] if starts != cell.start_s.tolist() else []
    wrong += [f"{BILLS}.household"] if bills["household"].to_pylist() != [*households] else []
    for name, value in summary.items():
        if name != "clear_ms" and row[name].to_pylist() != [None if value is None else float(value)]:
            wrong.append(f"{SUMMARY}.{name}")
    for i, name in enumerate(INTERVAL_COLUMNS):
        if name != "clear_ns":
            stored = intervals[name].to_pylist()
            again = [
                value if has else None
                for value, has in zip(
                    cell.intervals[:, i].tolist(), cell.has_value[:, i].tolist(), strict=True
                )
            ]
            wrong += [f"{INTERVALS}.{name}"] if stored != again else []
    for i, name in enumerate(BILL_COLUMNS):
        unknown = name in BEHIND_METER and not cell.has_load
        again = [None] * len(cell.bills) if unknown else cell.bills[:, i].tolist()
        same = bills[name].to_pylist() == again
        wrong += [] if same else [f"{BILLS}.{name}"]
    return wrong


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_PART}.{os.getpid()}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)
