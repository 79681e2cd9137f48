"""Readings of a store written elsewhere: as plain CSV or Parquet, or into a table of a database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.errors import MissingFile, MissingPackage
from data.store.disk import PARTIAL
from data.store.errors import Mismatch, StoreExists
from data.store.parts import schema_of, table_of
from data.store.rows import rows_of
from data.store.series import GRID, HomeSeries
from market.files import naming

SUFFIXES = (".csv", ".parquet")
QUALITY = ("measured", "estimated", "missing")
LONGEST_NAME = 63
"""PostgreSQL cuts longer names, and says so to nobody who reads: readings would be in another table. [byte of UTF-8]"""


def channels_of(series: Sequence[HomeSeries]) -> list[str]:
    """Registers and sub-meters of some homes, registers first."""
    return [*GRID, *sorted({name for one in series for name in one.energy} - set(GRID))]


def write_plain(series: Sequence[HomeSeries], path: Path) -> int:
    """Write the plain format, home by home, each in its own step; reading it gives the same readings.

    Returns:
        Number of rows.

    Raises:
        Mismatch: The suffix is neither .csv nor .parquet.
        MissingFile: The folder does not exist.
        StoreExists: The file exists.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise Mismatch([f"{path} ends neither in .csv nor in .parquet"], "name the file by what it shall be")
    if not path.parent.is_dir():
        raise MissingFile(path.parent)
    if path.exists():
        raise StoreExists(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        with naming(path):
            rows = _write_tables(series, partial, is_csv=path.suffix.lower() == ".csv")
            os.link(partial, path)  # unlike a rename, this overwrites nothing that came in the meantime
    except FileExistsError:
        raise StoreExists(path) from None
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _write_tables(series: Sequence[HomeSeries], path: Path, *, is_csv: bool) -> int:
    from pyarrow import csv, parquet

    channels = channels_of(series)
    schema = _plain_table(series[0], channels).schema
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    with path.open("wb") as file:
        if is_csv:
            file.write(f"{','.join(schema.names)}\n".encode())
            writer = csv.CSVWriter(file, schema, write_options=options)
        else:
            writer = parquet.ParquetWriter(file, schema, compression="zstd")
        with writer:
            for one in series:
                writer.write_table(_plain_table(one, channels))
    return sum(one.intervals for one in series)


def _plain_table(series: HomeSeries, channels: Sequence[str]) -> Any:
    """The rows of a home in the plain format: kWh, of which three decimals are whole Wh."""
    import numpy as np
    import pyarrow as pa

    none = pa.nulls(series.intervals, pa.float64())
    zero = pa.array(np.zeros(series.intervals))
    stamps = series.time_s.astype("datetime64[s]").astype(str)
    columns: dict[str, Any] = {
        "timestamp": pa.array(np.char.add(stamps, "Z")),
        "household": pa.array([series.home] * series.intervals, pa.string()),
    }
    for name in channels:
        column = series.energy.get(name)
        lacking = zero if name in GRID else none
        columns[f"{name}_kwh"] = lacking if column is None else pa.array(column / 1000)
    columns["quality"] = pa.array(np.array(QUALITY)[series.quality])
    return pa.table(columns)


def tables(series: Sequence[HomeSeries]) -> Iterator[Any]:
    """The rows of each home as in the parts of a store, for a database."""
    import pyarrow as pa

    channels = channels_of(series)
    for one in series:
        for rows in rows_of(one):
            table = table_of(rows, channels)
            yield table.set_column(1, "household", table.column("household").cast(pa.string()))


def write_duckdb(series: Sequence[HomeSeries], file: Path, table: str) -> int:
    """Write a new table of a DuckDB file, in one transaction; other tables of it stay.

    Returns:
        Number of rows.

    Raises:
        MissingPackage: duckdb is not installed.
        StoreExists: The table exists.
        Mismatch: The file is no database of DuckDB.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingPackage(
            "a table of DuckDB needs the optional package duckdb; install it: pip install 'wattswap[duckdb]'"
        ) from None
    if not file.absolute().parent.is_dir():
        raise MissingFile(file.parent)
    rows = 0
    try:
        with duckdb.connect(str(file)) as connection:
            found = connection.execute(
                "SELECT count(*) FROM information_schema.tables WHERE table_name = ?", [table]
            ).fetchone()
            if found and found[0]:
                raise StoreExists(file, f"has a table {table!r} already")
            connection.execute("BEGIN")
            for number, chunk in enumerate(tables(series)):
                connection.register("chunk", chunk)
                into = f"INSERT INTO {quoted(table)}" if number else f"CREATE TABLE {quoted(table)} AS"
                connection.execute(f"{into} SELECT * FROM chunk")
                connection.unregister("chunk")
                rows += len(chunk)
            connection.execute("COMMIT")
    except duckdb.Error as problem:
        raise Mismatch([f"{file}: {problem}"], "name another file or table") from None
    return rows


def write_postgres(series: Sequence[HomeSeries], url: str, table: str) -> int:
    """Write a new table of a PostgreSQL database, in one transaction.

    Returns:
        Number of rows.

    Raises:
        MissingPackage: psycopg is not installed.
        Mismatch: The server refuses, the table exists, or a name is one that PostgreSQL would cut.
    """
    try:
        import psycopg
    except ImportError:
        raise MissingPackage(
            "a table of PostgreSQL needs the optional package psycopg; install it: pip install 'wattswap[postgres]'"
        ) from None
    channels = channels_of(series)
    types = {"time": "timestamptz NOT NULL", "household": "text NOT NULL", "quality": "smallint NOT NULL"}
    names = schema_of(channels).names
    _refuse_cut_names([table, *names])
    columns = ", ".join(f"{quoted(name)} {types.get(name, 'bigint')}" for name in names)
    rows = 0
    try:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {quoted(table)} ({columns})")
            with cursor.copy(f"COPY {quoted(table)} FROM STDIN") as copy:
                for chunk in tables(series):
                    for row in zip(*(column.to_pylist() for column in chunk.columns), strict=True):
                        copy.write_row(row)
                    rows += len(chunk)
    except psycopg.Error as problem:
        said = without_password(f"{table}: {problem}".strip())
        raise Mismatch([said], "name another table, or check the address") from None
    return rows


def _refuse_cut_names(names: Sequence[str]) -> None:
    for name in names:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise Mismatch([f"the name {name!r} is no text"], "name another table") from None
        if size > LONGEST_NAME:
            says = f"the name {name!r} has {size} bytes, and PostgreSQL would cut it to {LONGEST_NAME}"
            raise Mismatch([says], "give a shorter name")


def without_password(text: str) -> str:
    """A text in which no address of a database shows its password."""
    return re.sub(r"(//[^:@/\s]*):[^@/]*@", r"\1:***@", text)


def quoted(name: str) -> str:
    """A name as SQL has it, whatever is in it."""
    return '"' + name.replace("\0", "").replace('"', '""') + '"'
