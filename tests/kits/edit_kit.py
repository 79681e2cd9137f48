"""Edits of a finished run's folder, the hashes in its manifest made to fit: what somebody does who hides an edit."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from p2p.blocks.block import decode_cert, trim_cert
from p2p.ledger.store import ChainStore
from p2p.wire.codec import encode

Edit = Callable[[Path], None]
"""Changes the folder of a run."""

MANIFEST, CHAIN = "manifest.json", "chain.db"


def manifest_of(run: Path) -> dict[str, Any]:
    """What the manifest holds."""
    found: dict[str, Any] = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    return found


def write_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest as a run does."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (run / MANIFEST).write_text(text, encoding="utf-8")


def fit_hashes(run: Path) -> None:
    """Write the hash of every file that the manifest names as the file is now."""
    try:
        manifest = manifest_of(run)
        files = manifest["files"]
        for name in files:
            if (run / name).is_file():
                files[name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return  # the edit has left no manifest in which to write them
    write_manifest(run, manifest)


def entry(*place: str | int, value: Any) -> Edit:
    """Set an entry of the manifest."""

    def edit(run: Path) -> None:
        manifest = manifest_of(run)
        inner: Any = manifest
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        write_manifest(run, manifest)

    return edit


def both(*edits: Edit) -> Edit:
    """Several edits, one after the other."""

    def edit(run: Path) -> None:
        for one in edits:
            one(run)

    return edit


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table with the settings of its run, so that nothing but its rows shows that it was written again."""
    level = 1 if path.stem in ("orders", "readings", "postings", "intervals") else None
    place = table.schema.get_field_index("interval_start")
    if place >= 0:  # Parquet has no seconds: they are read as milliseconds
        table = table.set_column(
            place, "interval_start", table["interval_start"].cast(pa.timestamp("s", tz="UTC"))
        )
    pq.write_table(table, path, compression="zstd", compression_level=level)


def column(name: str, field: str, change: Callable[[list[Any]], list[Any]]) -> Edit:
    """Change the values of a column of a table."""

    def edit(run: Path) -> None:
        path = run / f"{name}.parquet"
        table = pq.read_table(path)
        place = table.schema.get_field_index(field)
        values = pa.array(change(table[field].to_pylist()), pa_type(table.schema.field(field).type))
        if pa.types.is_dictionary(table.schema.field(field).type):
            values = values.dictionary_encode()
        write_table(path, table.set_column(place, table.schema.field(field), values))

    return edit


def pa_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a column, whether they are held in a dictionary or not."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def cell(name: str, field: str, row: int, by: Any = 1) -> Edit:
    """Add to one cell of a table; one that is empty becomes what is added."""

    def change(values: list[Any]) -> list[Any]:
        values[row] = by if values[row] is None else values[row] + by
        return values

    return column(name, field, change)


def rows(name: str, change: Callable[[pa.Table], pa.Table]) -> Edit:
    """Change a table as a whole."""

    def edit(run: Path) -> None:
        path = run / f"{name}.parquet"
        write_table(path, change(pq.read_table(path)))

    return edit


def sql(statement: str, values: Sequence[Any] = ()) -> Edit:
    """Execute a statement on the chain file."""

    def edit(run: Path) -> None:
        with closing(sqlite3.connect(run / CHAIN)) as connection, connection:
            connection.execute(statement, values)

    return edit


def forged_checkpoint(height: int, data: bytes) -> Edit:
    """A row among the checkpoints, whose checksum holds."""
    return sql(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?)", (height, data, hashlib.sha256(data).digest())
    )


def trim_certificates(run: Path) -> None:
    """Leave a bare quorum of signatures in every certificate."""
    with ChainStore.open(run / CHAIN, read_only=True) as store:
        count = len(store.genesis.authorities)
        trimmed = [(encode(trim_cert(cert, count)), cert.height) for _, cert in store.blocks()]
    with closing(sqlite3.connect(run / CHAIN)) as connection, connection:
        connection.executemany("UPDATE blocks SET cert = ? WHERE height = ?", trimmed)


def certificates(run: Path) -> list[int]:
    """Number of signatures in each certificate."""
    with closing(sqlite3.connect(run / CHAIN)) as connection:
        found = connection.execute("SELECT cert FROM blocks ORDER BY height").fetchall()
    return [len(decode_cert(row[0]).signatures) for row in found]


def put(name: str, content: bytes | str) -> Edit:
    """Write a file of the folder, perhaps in a folder within it."""

    def edit(run: Path) -> None:
        path = run / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return edit


def linked(name: str) -> Edit:
    """Move a file or folder out of the run and leave a link to it."""

    def edit(run: Path) -> None:
        elsewhere = run.parent / f"{run.name}-{name}"
        (run / name).rename(elsewhere)
        (run / name).symlink_to(elsewhere)

    return edit
