"""Tables of a run: buffered between checkpoints, written as parts, joined into one Parquet file each at the end.

A part is renamed into place before the checkpoint that counts it, so a run that is killed goes back to its last
checkpoint, and a resumed run writes the same bytes. Row groups are cut by row count alone, never by day or by
interruption.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from market.settlement.accounts import COLUMNS, SYSTEM_ACCOUNTS
from market.units import IntArray
from wattswap.runs.chain_writer import Committed
from wattswap.runs.grid_columns import NAMES, grid_lists, named
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.layout import PARTS, TABLES, table_file
from wattswap.runs.totals import BEHIND_METER, interval_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

ROW_GROUP_ROWS = 131_072

ACCOUNT_KINDS = ("home", "external", "system")
"""What an account is; its name alone does not say, since a home may be called "retailer"."""


class Tables:
    """Collects the rows of each interval and writes them by day.

    Args:
        folder: The run's folder; parts go to its PARTS.
        roster: Home ids.
        currency: Code that goes into the metadata of every table.
    """

    def __init__(self, folder: Path, roster: tuple[str, ...], currency: str) -> None:
        self.parts = folder / PARTS
        self.parts.mkdir(exist_ok=True)
        self._folder, self._roster, self._currency = folder, roster, currency
        self._rows: list[tuple[IntervalRecord, Committed]] = []

    def add(self, record: IntervalRecord, block: Committed) -> None:
        """Add one interval, with the block that it came into, to the buffer."""
        self._rows.append((record, block))

    def flush(self, part: int) -> None:
        """Write the buffered rows as part number `part` and empty the buffer."""
        import pyarrow.feather as feather

        for name in TABLES:
            table = getattr(self, f"_{name}_table")()
            final = self.parts / f"{name}.{part:06d}.arrow"
            temporary = final.with_suffix(".tmp")
            with temporary.open("wb") as file:
                feather.write_feather(table, file, compression="lz4")
                file.flush()
                os.fsync(file.fileno())  # the checkpoint counts this part, also after a power cut
            os.replace(temporary, final)
        self._rows = []

    def drop_parts_from(self, part: int) -> None:
        """Delete parts that no checkpoint counts."""
        for path in self.parts.iterdir():
            if path.suffix == ".tmp" or int(path.name.split(".")[1]) >= part:
                path.unlink()

    def intervals(self, parts: int) -> int:
        """Number of intervals in the first parts.

        Raises:
            ValueError: A part is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.feather as feather

        found = 0
        for part in range(parts):
            path = self.parts / f"intervals.{part:06d}.arrow"
            try:
                found += feather.read_table(path, columns=["interval_start"]).num_rows
            except (OSError, pa.ArrowException):
                raise ValueError(f"{path.name} is missing or damaged") from None
        return found

    def join(self, bills: Mapping[str, IntArray]) -> None:
        """Join the parts into one Parquet file per table, and write the bills.

        The parts stay, so that a run that is killed while it finishes can be finished again.

        Args:
            bills: Columns of the bills, one value a home; load and production are null where they are absent.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in TABLES:
            join_parts(sorted(self.parts.glob(f"{name}.*.arrow")), self._folder / table_file(name))
        columns = {"household": pa.array(self._roster)} | {
            name: pa.array(column) for name, column in bills.items()
        }
        for name in BEHIND_METER:
            columns.setdefault(name, pa.nulls(len(self._roster), pa.int64()))
        path = self._folder / table_file("bills")
        pq.write_table(self._with_metadata(columns), path, compression="zstd")

    def _with_metadata(
        self, columns: dict[str, Any], more: Mapping[str, str] = MappingProxyType({})
    ) -> pa.Table:
        import pyarrow as pa

        return pa.table(columns).replace_schema_metadata({"currency": self._currency, **more})

    def _names(self, index: IntArray, names: tuple[str, ...]) -> pa.Array:
        import pyarrow as pa

        # A home may have the name of another account; a text is stored once, in a dictionary.
        place = {name: i for i, name in enumerate(dict.fromkeys(names))}
        code = np.array([place[name] for name in names], dtype=np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(code[index]), pa.array(list(place)))

    def _starts(self, repeat: list[int]) -> pa.Array:
        return starts([record.start_s for record, _ in self._rows], repeat)

    def _orders_table(self) -> pa.Table:
        import pyarrow as pa

        records = [record for record, _ in self._rows]
        clearings = [record.clearing for record in records]

        def column(name: str) -> IntArray:
            return np.concatenate([getattr(record.book, name) for record in records])

        accepted = np.concatenate([c.accepted_wh for c in clearings])
        return self._with_metadata(
            {
                "interval_start": self._starts([len(record.book) for record in records]),
                "household": self._names(column("participant"), (*self._roster, *records[0].accounts)),
                "side": column("side"),
                "energy_wh": column("energy_wh"),
                "limit_micro_per_kwh": column("limit_micro_per_kwh"),
                "node": column("node"),
                "sequence": column("sequence"),
                "accepted_wh": accepted,
                "price_micro_per_kwh": pa.array(
                    np.concatenate([c.price_micro_per_kwh for c in clearings]), mask=accepted == 0
                ),
                "charge_nano": np.concatenate([c.charges_nano for c in clearings]),
            }
        )

    def _readings_table(self) -> pa.Table:
        import pyarrow as pa

        records, homes = [record for record, _ in self._rows], len(self._roster)
        table: dict[str, Any] = {
            "interval_start": self._starts([homes] * len(records)),
            "household": self._names(np.tile(np.arange(homes), len(records)), self._roster),
            "import_wh": np.concatenate([r.import_wh for r in records]),
            "export_wh": np.concatenate([r.export_wh for r in records]),
        }
        for name in records[0].columns:
            table[name] = np.concatenate([r.columns[name] for r in records])
        for name in BEHIND_METER:
            table.setdefault(name, pa.nulls(homes * len(records), pa.int64()))
        return self._with_metadata(table)

    def _postings_table(self) -> pa.Table:
        external = self._rows[0][0].accounts
        accounts = (*self._roster, *external, *SYSTEM_ACCOUNTS)
        kinds = np.repeat(np.arange(3), [len(self._roster), len(external), len(SYSTEM_ACCOUNTS)])
        lines = np.concatenate([record.settled.postings.lines for record, _ in self._rows])
        columns: dict[str, Any] = {
            "interval_start": self._starts([len(accounts)] * len(self._rows)),
            "account": self._names(np.tile(np.arange(len(accounts)), len(self._rows)), accounts),
            "account_kind": self._names(np.tile(kinds, len(self._rows)), ACCOUNT_KINDS),
        }
        columns |= {name: np.ascontiguousarray(lines[:, i]) for i, name in enumerate(COLUMNS)}
        return self._with_metadata(columns)

    def _intervals_table(self) -> pa.Table:
        import pyarrow as pa

        records, blocks = zip(*self._rows, strict=True)
        columns = {"height": [block.height for block in blocks], **interval_columns(records)}
        roots = {
            "book_root": [record.book_root for record in records],
            "clearing_root": [record.clearing_root for record in records],
            "postings_root": [block.postings_root for block in blocks],
            "block_hash": [block.block_hash for block in blocks],
        }
        table: dict[str, Any] = {"interval_start": self._starts([1] * len(records))}
        table |= {name: pa.array(column, pa.int64()) for name, column in columns.items()}
        table |= {name: pa.array(column, pa.binary(32)) for name, column in roots.items()}
        table |= {name: pa.array(rows, pa.list_(pa.int64())) for name, rows in grid_lists(records).items()}
        grid = records[0].grid
        return self._with_metadata(table, {} if grid is None else {NAMES: named(grid)})


def starts(start_s: list[int], repeat: list[int]) -> pa.Array:
    """UTC timestamps of interval starts, each repeated for its rows."""
    import pyarrow as pa

    seconds = np.repeat(np.array(start_s, dtype=np.int64), repeat)
    return pa.array(seconds).cast(pa.timestamp("s", tz="UTC"))


def join_parts(parts: list[Path], target: Path) -> None:
    """Join Arrow parts into one Parquet file with row groups of a fixed size, holding about one group in memory."""
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    pending: list[pa.Table] = []
    rows = 0
    for part in parts:
        table = feather.read_table(part)
        if writer is None:
            writer = pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=1)
        pending.append(table)
        rows += table.num_rows
        if rows >= ROW_GROUP_ROWS:
            joined = pa.concat_tables(pending).combine_chunks()
            cut = rows - rows % ROW_GROUP_ROWS
            writer.write_table(joined.slice(0, cut), row_group_size=ROW_GROUP_ROWS)
            pending, rows = [joined.slice(cut)], rows - cut
    assert writer is not None, "a run has at least one part"
    if rows:
        writer.write_table(pa.concat_tables(pending).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
    writer.close()
