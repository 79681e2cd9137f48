"""Where two files differ that must be equal: the first row and column of a table, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattswap.runs.chain_reader import stamp
from wattswap.runs.manifest import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa


def difference(stored: Path, again: Path, same_writer: bool, skipped: Sequence[str] = ()) -> str | None:
    """Say where a stored file differs from that of the second run, or None.

    Args:
        skipped: Columns that need not be equal.
    """
    if file_sha256(stored) == file_sha256(again):
        return None
    if stored.suffix != ".parquet":
        return "is not what running it again gives"
    found = first_difference(stored, again, skipped)
    if (
        found is None and same_writer and not skipped
    ):  # another pyarrow may write the same rows in other bytes
        return "holds the rows that running it again gives in other bytes: something else has written it"
    return found


def first_difference(stored: Path, again: Path, skipped: Sequence[str] = ()) -> str | None:
    """Name the first row and column in which two Parquet tables differ; None when all rows are the same.

    Args:
        skipped: Columns that need not be equal.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stored) as a, pq.ParquetFile(again) as b:
            if not a.schema_arrow.equals(b.schema_arrow, check_metadata=True):
                return f"has other columns, types or metadata: {', '.join(a.schema_arrow.names)}"
            sizes = [[f.metadata.row_group(i).num_rows for i in range(f.num_row_groups)] for f in (a, b)]
            if sizes[0] != sizes[1]:
                return f"has {sum(sizes[0])} rows, but running it again gives {sum(sizes[1])}, in groups of their own"
            for group in range(a.num_row_groups):
                x, y = (f.read_row_group(group).drop_columns(list(skipped)) for f in (a, b))
                if not x.equals(y):
                    return _differing_cell(x, y)
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        return f"cannot be read: {error}"
    return None


def _differing_cell(stored: pa.Table, again: pa.Table) -> str:
    name = next(name for name in stored.column_names if not stored[name].equals(again[name]))
    pairs = zip(stored[name].to_pylist(), again[name].to_pylist(), strict=True)
    row, x, y = next((row, x, y) for row, (x, y) in enumerate(pairs) if x != y)
    keys = [key for key in ("interval_start", "household", "account") if key in again.column_names]
    place = " ".join(_text(again[key][row].as_py()) for key in keys)
    return f"{place}: {name} is {_text(x)}, but running it again gives {_text(y)}"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return stamp(int(value.timestamp())) if hasattr(value, "timestamp") else str(value)
