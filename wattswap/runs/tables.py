"""Tables of a run: buffered between checkpoints, written as parts, joined into one Parquet file each at the end.

A part is renamed into place before the checkpoint that counts it, so a run that is killed goes back to its last
checkpoint, and a resumed run writes the same bytes. Row groups are cut by row count alone, never by day or by
interruption.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market.settlement.accounts import COLUMNS, SYSTEM_ACCOUNTS
from market.settlement.tariff import IntervalPrices
from market.units import IntArray
from wattswap.runs.interval import Cleared, Settled
from wattswap.runs.layout import PARTS, TABLES, table_file

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 131_072
INTERVAL_COLUMNS = (
    "height",
    "orders",
    "traded_wh",
    "lo_micro_per_kwh",
    "hi_micro_per_kwh",
    "price_micro_per_kwh",
    "welfare_nano",
    "operator_surplus_nano",
    "import_micro_per_kwh",
    "feed_in_micro_per_kwh",
)
BILL_COLUMNS = (*COLUMNS, "baseline_nano", "imbalance_cost_nano", "load_wh", "pv_wh")


class Recorder:
    """Collects the rows of each interval and writes them by day.

    Args:
        folder: The run's folder; parts go to its PARTS.
        roster: Household ids.
        currency: Code that goes into the metadata of every table.
        has_load: Whether the data know each home's load behind the meter; its columns are null where not.
    """

    def __init__(self, folder: Path, roster: tuple[str, ...], currency: str, has_load: bool) -> None:
        self.parts = folder / PARTS
        self.parts.mkdir(exist_ok=True)
        self._folder = folder
        self._roster, self._currency, self._has_load = roster, currency, has_load
        self._rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        self.bills = np.zeros((len(roster), len(BILL_COLUMNS)), dtype=np.int64)

    def add(
        self,
        start_s: int,
        height: int,
        block_hash: bytes,
        postings_root: bytes,
        cleared: Cleared,
        settled: Settled,
        columns: Mapping[str, IntArray],
        load_wh: IntArray,
        pv_wh: IntArray,
        prices: IntervalPrices,
    ) -> None:
        """Add one interval to the buffers and to the bills."""
        members = len(self._roster)
        book, clearing = cleared.book, cleared.clearing
        lines = settled.postings.lines
        self._rows["orders"].append((start_s, book, clearing))
        self._rows["readings"].append((start_s, lines[:members, :2], columns, load_wh, pv_wh))
        self._rows["postings"].append((start_s, lines))
        price = clearing.node_price[0]
        self._rows["intervals"].append(
            (
                start_s,
                height,
                len(book),
                cleared.traded_wh,
                None if price is None else price.lo,
                None if price is None else price.hi,
                clearing.average_price_micro_per_kwh(book),
                clearing.welfare_nano,
                clearing.operator_surplus_nano,
                prices.import_micro_per_kwh,
                prices.feed_in_micro_per_kwh,
                cleared.book_root,
                cleared.clearing_root,
                postings_root,
                block_hash,
            )
        )
        self.bills[:, : len(COLUMNS)] += lines[:members]
        self.bills[:, len(COLUMNS)] += settled.baseline_nano
        self.bills[:, len(COLUMNS) + 1] += settled.imbalance_cost_nano
        self.bills[:, len(COLUMNS) + 2] += load_wh
        self.bills[:, len(COLUMNS) + 3] += pv_wh

    def flush(self, part: int) -> None:
        """Write the buffered rows as part number `part` and empty the buffers."""
        import pyarrow.feather as feather

        for name in TABLES:
            table = getattr(self, f"_{name}_table")(self._rows[name])
            final = self.parts / f"{name}.{part:06d}.arrow"
            temporary = final.with_suffix(".tmp")
            with temporary.open("wb") as file:
                feather.write_feather(table, file, compression="lz4")
                file.flush()
                os.fsync(file.fileno())  # the checkpoint counts this part, also after a power cut
            os.replace(temporary, final)
            self._rows[name] = []

    def drop_parts_from(self, part: int) -> None:
        """Delete parts that no checkpoint counts."""
        for path in self.parts.iterdir():
            if path.suffix == ".tmp" or int(path.name.split(".")[1]) >= part:
                path.unlink()

    def join(self) -> list[Path]:
        """Join the parts into one Parquet file per table, write the bills, and return all paths.

        The parts stay, so that a run that is killed while it finishes can be finished again.
        """
        paths = []
        for name in TABLES:
            paths.append(self._folder / table_file(name))
            join_parts(sorted(self.parts.glob(f"{name}.*.arrow")), paths[-1])
        paths.append(self._write_bills())
        return paths

    def _write_bills(self) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"household": pa.array(self._roster)}
        for i, column in enumerate(BILL_COLUMNS):
            known = self._has_load or column not in ("load_wh", "pv_wh")
            columns[column] = pa.array(self.bills[:, i]) if known else pa.nulls(len(self.bills), pa.int64())
        path = self._folder / table_file("bills")
        pq.write_table(self._with_metadata(columns), path, compression="zstd")
        return path

    def _with_metadata(self, columns: dict[str, Any]) -> pa.Table:
        import pyarrow as pa

        return pa.table(columns).replace_schema_metadata({"currency": self._currency})

    def _names(self, index: IntArray, names: tuple[str, ...]) -> pa.Array:
        import pyarrow as pa

        return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), pa.array(names))

    def _orders_table(self, rows: list[Any]) -> pa.Table:
        import pyarrow as pa

        accepted = np.concatenate([c.accepted_wh for _, _, c in rows])
        price = np.concatenate([c.price_micro_per_kwh for _, _, c in rows])
        charge = np.concatenate(
            [np.zeros(len(book), np.int64) if c.charge_nano is None else c.charge_nano for _, book, c in rows]
        )

        def column(name: str) -> IntArray:
            return np.concatenate([getattr(book, name) for _, book, _ in rows])

        return self._with_metadata(
            {
                "interval_start": starts([r[0] for r in rows], [len(r[1]) for r in rows]),
                "household": self._names(column("participant"), self._roster),
                "side": column("side"),
                "energy_wh": column("energy_wh"),
                "limit_micro_per_kwh": column("limit_micro_per_kwh"),
                "node": column("node"),
                "sequence": column("sequence"),
                "accepted_wh": accepted,
                "price_micro_per_kwh": pa.array(price, mask=accepted == 0),
                "charge_nano": charge,
            }
        )

    def _readings_table(self, rows: list[Any]) -> pa.Table:
        import pyarrow as pa

        members = len(self._roster)
        registers = np.concatenate([r[1] for r in rows])
        unknown = None if self._has_load else np.ones(len(registers), dtype=bool)
        return self._with_metadata(
            {
                "interval_start": starts([r[0] for r in rows], [members] * len(rows)),
                "household": self._names(np.tile(np.arange(members), len(rows)), self._roster),
                "import_wh": registers[:, 0],
                "export_wh": registers[:, 1],
                **{name: np.concatenate([r[2][name] for r in rows]) for name in rows[0][2]},
                "load_wh": pa.array(np.concatenate([r[3] for r in rows]), mask=unknown),
                "pv_wh": pa.array(np.concatenate([r[4] for r in rows]), mask=unknown),
            }
        )

    def _postings_table(self, rows: list[Any]) -> pa.Table:
        accounts = (*self._roster, *SYSTEM_ACCOUNTS)
        lines = np.concatenate([r[1] for r in rows])
        columns: dict[str, Any] = {
            "interval_start": starts([r[0] for r in rows], [len(accounts)] * len(rows)),
            "account": self._names(np.tile(np.arange(len(accounts)), len(rows)), accounts),
        }
        columns |= {name: np.ascontiguousarray(lines[:, i]) for i, name in enumerate(COLUMNS)}
        return self._with_metadata(columns)

    def _intervals_table(self, rows: list[Any]) -> pa.Table:
        import pyarrow as pa

        names = INTERVAL_COLUMNS
        columns = list(zip(*rows, strict=True))
        table: dict[str, Any] = {"interval_start": starts(list(columns[0]), [1] * len(rows))}
        table |= {name: pa.array(columns[i], pa.int64()) for i, name in enumerate(names, start=1)}
        roots = ("book_root", "clearing_root", "postings_root", "block_hash")
        table |= {n: pa.array(columns[i], pa.binary(32)) for i, n in enumerate(roots, start=len(names) + 1)}
        return self._with_metadata(table)


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
