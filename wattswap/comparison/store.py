"""The folder of a comparison: three hive-partitioned Parquet datasets, one small file a cell, and what was compared.

    comparisons/NAME_DIGEST/comparison.json
    comparisons/NAME_DIGEST/{intervals,bills,summary}/point=P/mechanism=M/seed=S/part.parquet

The summary of a cell is written last, so a cell with a summary is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from market.files import naming
from market.metrics.table import METRICS, Row
from market.settlement.accounts import MONEY_COLUMNS
from wattswap.comparison.cells import Cell
from wattswap.comparison.plan import CellKey
from wattswap.runs.stored import damaged, unusable, written_by
from wattswap.runs.totals import BEHIND_METER

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY, BILLS, INTERVALS = "summary", "bills", "intervals"
DATASETS = (INTERVALS, BILLS, SUMMARY)
NEEDED = {
    BILLS: (
        *("import_wh", "export_wh", "bought_wh", "sold_wh", "baseline_nano", "imbalance_cost_nano"),
        *MONEY_COLUMNS,
    ),
    INTERVALS: (
        *(f"{name}_micro_per_kwh" for name in ("price", "import", "feed_in")),
        *("import_wh", "export_wh", "retail_import_wh", "retail_export_wh", "load_wh", "pv_wh"),
        *("traded_wh", "orders", "worse_orders", "operator_surplus_nano"),
    ),
}
"""Columns that readers need, beside the key of a table."""
_PART = "part.parquet"


def part_path(folder: Path, dataset: str, key: CellKey) -> Path:
    """The file of one cell in one dataset; names are percent-encoded, as readers of hive partitions expect."""
    point, mechanism = quote(key.point, safe=""), quote(key.mechanism, safe="")
    return folder / dataset / f"point={point}" / f"mechanism={mechanism}" / f"seed={key.seed}" / _PART


def missing_cells(folder: Path, cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the cells, as comparison.json has them, that have no result."""
    return [cell for cell in cells if not part_path(folder, SUMMARY, CellKey(**cell)).is_file()]


def tables_of(cell: Cell, summary: Row, households: tuple[str, ...], cell_sha256: str) -> dict[str, pa.Table]:
    """The three tables of a cell, by dataset."""
    import pyarrow as pa

    intervals = {"interval_start": pa.array(cell.start_s, type=pa.timestamp("s", tz="UTC"))}
    intervals |= {name: pa.array(column, pa.int64()) for name, column in cell.intervals.items()}
    bills = {"household": pa.array(households)}
    bills |= {name: pa.array(column) for name, column in cell.totals.bills.items()}
    for name in BEHIND_METER:
        bills.setdefault(name, pa.nulls(len(households), pa.int64()))
    row = {"cell_sha256": pa.array([cell_sha256])}
    row |= {name: pa.array([value], type=pa.float64()) for name, value in summary.items()}
    return {INTERVALS: pa.table(intervals), BILLS: pa.table(bills), SUMMARY: pa.table(row)}


def write_cell(
    folder: Path, key: CellKey, cell: Cell, summary: Row, households: tuple[str, ...], cell_sha256: str
) -> None:
    """Write the three files of a cell; each is whole or absent, the summary comes last."""
    for dataset, table in tables_of(cell, summary, households, cell_sha256).items():
        _write(part_path(folder, dataset, key), table)


def is_done(folder: Path, key: CellKey, cell_sha256: str) -> bool:
    """Whether the cell is there, made from the same scenario, data, mechanism and program."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not all(part_path(folder, dataset, key).is_file() for dataset in DATASETS):
        return False
    try:
        stored = pq.ParquetFile(part_path(folder, SUMMARY, key)).read(columns=["cell_sha256"])
        return bool(stored["cell_sha256"][0].as_py() == cell_sha256)
    except (OSError, LookupError, pa.ArrowException):
        return False


def read_part(folder: Path, dataset: str, key: CellKey) -> pa.Table:
    """Read one cell of a dataset.

    Raises:
        VerificationFailed: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = part_path(folder, dataset, key)
    try:
        with naming(path):
            table = pq.ParquetFile(path).read()
    except PermissionError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from None
    _check_columns(path, dataset, table)
    return table


def _check_columns(path: Path, dataset: str, table: pa.Table) -> None:
    """Check the columns of a part: their types, and that what readers need is there.

    Raises:
        VerificationFailed: One is missing, is of another type or lacks values; or there are no rows.
        InvalidData: The same, in a comparison that another version of wattswap made.
    """
    import pyarrow as pa

    key = {SUMMARY: "cell_sha256", BILLS: "household", INTERVALS: "interval_start"}[dataset]
    number = pa.float64() if dataset == SUMMARY else pa.int64()
    key_type = pa.types.is_timestamp if dataset == INTERVALS else pa.types.is_string
    needed = NEEDED.get(dataset, ())
    wrong = [name for name in (key, *needed) if name not in table.column_names]
    if dataset == SUMMARY:
        ours = [name for name, metric in METRICS.all().items() if METRICS.is_ours(metric)]
        lacking = [name for name in ours if name not in table.column_names]
        wrong += lacking if lacking and not written_by(path) else []
    wrong += [
        field.name
        for field in table.schema
        if not (key_type(field.type) if field.name == key else field.type == number)
    ]
    full = (key, *(needed if dataset == BILLS else ()))
    wrong += [name for name in full if name not in wrong and table[name].null_count]
    if wrong:
        raise unusable(path, f"column {wrong[0]} is missing, of another type or incomplete")
    if not table.num_rows or (dataset == SUMMARY and table.num_rows != 1):
        raise unusable(path, f"it has {table.num_rows} rows")


class OtherColumns(Exception):
    """A stored table has other columns than this program writes; the text names it."""


def differing(folder: Path, key: CellKey, cell: Cell, summary: Row, households: tuple[str, ...]) -> list[str]:
    """Names of the stored columns of a cell that differ from the recomputed cell; measured times are not compared.

    Raises:
        OtherColumns: Of the first table with other columns.
        VerificationFailed: A stored table is missing or damaged.
    """
    measured = {"clear_ns", "cell_sha256", *(name for name, m in METRICS.all().items() if not m.repeatable)}
    wrong = []
    for dataset, again in tables_of(cell, summary, households, "").items():
        stored = read_part(folder, dataset, key)
        if stored.column_names != again.column_names:
            raise OtherColumns(f"{dataset} has other columns")
        wrong += [
            f"{dataset}.{name}"
            for name in again.column_names
            if name not in measured and stored[name].to_pylist() != again[name].to_pylist()
        ]
    return wrong


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_PART}.{os.getpid()}.tmp")
    try:
        with naming(path):
            pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
