"""The file of a chain: nothing in it but the tables of a chain, and in these nothing that its blocks do not show."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from market.errors import with_article
from p2p.blocks.block import Block, CommitCertificate, validators_hash
from p2p.blocks.genesis import Genesis
from p2p.databases import UNREADABLE
from p2p.disk import DISK
from p2p.errors import InvalidBlock, RemoteError, StoreError
from p2p.ledger.checkpoint import checkpoint_bytes
from p2p.ledger.execution import advance, check_block, genesis_tip
from p2p.ledger.light import SetChange
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode
from wattswap.errors import VerificationFailed
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.layout import CHAIN
from wattswap.runs.stored import CURE

Object = tuple[str, str, str]
"""Kind, name and SQL of an object of a database."""
FORMATS_AT, ROLLBACK_JOURNAL = slice(18, 20), b"\x01\x01"
"""Bytes of the header with the versions of its format to write and to read, and their values in a closed chain file."""


def check_header(folder: Path) -> None:
    """Refuse a chain file that SQLite would read by a write-ahead log: it would make two files beside it.

    Raises:
        VerificationFailed: It is one.
    """
    path = folder / CHAIN
    with path.open("rb") as file:
        formats = file.read(FORMATS_AT.stop)[FORMATS_AT]
    if formats != ROLLBACK_JOURNAL:
        raise _wrong(path, f"has format versions {formats.hex()} in its header, a closed chain file has 0101")


def check_chain_file(folder: Path, genesis: Genesis) -> None:
    """Check what the blocks of a chain leave open in its file, after the blocks have been verified.

    Raises:
        VerificationFailed: Names the table, row, checkpoint or change of validators that does not belong there.
    """
    path = folder / CHAIN
    try:
        with closing(DISK.connect(path, "ro")) as connection:
            _check_objects(path, connection, genesis)
            _check_meta(path, connection)
            _check_size(path, connection)
            heights = [row[0] for row in connection.execute("SELECT height FROM blocks ORDER BY height")]
            kept = connection.execute("SELECT height, data, checksum FROM checkpoints").fetchall()
            changes = connection.execute("SELECT height, change FROM changes").fetchall()
    except UNREADABLE as error:
        raise _wrong(path, f"cannot be read: {error}") from None
    if heights != list(range(1, len(heights) + 1)):
        raise _wrong(path, "holds a block below the first one")
    try:
        with open_chain(folder) as store:
            if kept:
                _check_checkpoints(path, store, genesis, kept)
            _check_changes(path, store, changes)
    except StoreError as error:
        raise _wrong(path, str(error)) from None


def _wrong(path: Path, what: str) -> VerificationFailed:
    return VerificationFailed.of(str(path), what, CURE)


def _check_objects(path: Path, connection: sqlite3.Connection, genesis: Genesis) -> None:
    """Compare tables and indexes with those of a new chain file."""
    with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
        new = Path(scratch) / CHAIN
        ChainStore.create(new, genesis).close()
        with closing(DISK.connect(new, "ro")) as fresh:
            expected = _objects(fresh)
    found = _objects(connection)
    for kind, name, text in sorted(found ^ expected):
        if (kind, name, text) in found:
            raise _wrong(path, f"holds {with_article(kind)} {name} that is not one of a chain file")
        raise _wrong(path, f"lacks the {kind} {name} of a chain file, or has another one of this name")


def _objects(connection: sqlite3.Connection) -> set[Object]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {(str(kind), str(name), str(text)) for kind, name, text in rows}


def _check_meta(path: Path, connection: sqlite3.Connection) -> None:
    rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    for key in sorted(map(str, rows.keys() - {"schema", "genesis"})):
        raise _wrong(path, f"meta holds a row {key}, which a chain file has not")


def _check_size(path: Path, connection: sqlite3.Connection) -> None:
    """Nothing follows the last page, and no number of another program is in the header."""
    (pages,), (size,), (user,), (application,) = (
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "page_size", "user_version", "application_id")
    )
    if path.stat().st_size != pages * size:
        raise _wrong(path, f"has {path.stat().st_size} bytes, its {pages} pages of {size} bytes have not")
    if user or application:
        raise _wrong(path, "names a user_version or application_id, which a chain file has not")


def _check_checkpoints(
    path: Path, store: ChainStore, genesis: Genesis, kept: Iterable[tuple[int, bytes, bytes]]
) -> None:
    """Execute the chain up to the last checkpoint, and compare each with the state at its height."""
    wanted = {height: (data, checksum) for height, data, checksum in kept}
    tip = genesis_tip(genesis)
    for block, _ in store.blocks(1, max(wanted)):
        try:
            tip = advance(tip, block, *check_block(tip, genesis, block, signatures=False))
        except InvalidBlock as error:
            raise _wrong(path, str(error)) from None
        if tip.height in wanted:
            data = checkpoint_bytes(tip)
            if wanted.pop(tip.height) != (data, sha256(data).digest()):
                raise _wrong(path, f"the checkpoint of height {tip.height} is not the state after its block")
    for height in sorted(wanted):
        raise _wrong(path, f"holds a checkpoint of height {height}, of which it has no block")


def _check_changes(path: Path, store: ChainStore, rows: Iterable[tuple[int, bytes]]) -> None:
    """Compare the changes of the set of validators with those that the blocks announce."""
    wanted = dict(rows)
    for block, cert in _announcing(store):
        height = block.header.height
        if not _is_of(wanted.pop(height, None), block, cert):
            raise _wrong(path, f"the change of validators of height {height} is not the one of its block")
    for height in sorted(wanted):
        raise _wrong(path, f"holds a change of validators of height {height}, which no block announces")


def _announcing(store: ChainStore) -> Iterator[tuple[Block, CommitCertificate]]:
    for block, cert in store.blocks():
        if block.header.next_validators_hash != block.header.validators_hash:
            yield block, cert


def _is_of(row: object, block: Block, cert: CommitCertificate) -> bool:
    """Whether a row is the change that a block announces, with the certificate of the block."""
    if not isinstance(row, bytes):
        return False
    try:
        change = decode(SetChange, row)
    except RemoteError:
        return False
    announced = validators_hash(change.validators) == block.header.next_validators_hash
    return announced and change.header == block.header and change.cert == cert


def compare_certificates(stored: Path, again: Path) -> str | None:
    """Name the first block whose certificate is another in the second run of one process, or None.

    The head does not cover certificates; in one process all validators sign, and Ed25519 has one signature of a text.
    """
    found = []
    for path in (stored, again):
        with closing(DISK.connect(path, "ro")) as connection:
            found.append(connection.execute("SELECT height, cert FROM blocks ORDER BY height").fetchall())
    for (height, cert), (_, other) in zip(*found, strict=True):
        if cert != other:
            return f"the certificate of block {height} is not the one that running it again gives"
    return None
