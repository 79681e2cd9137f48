"""Interval blobs: what a settlement batch was computed from, by content hash, kept for some intervals.

A blob holds orders and readings of homes: it is served only to the peers that check batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import trio

from p2p.batches.blob import blob_hash
from p2p.disk import DISK, Disk
from p2p.errors import Malformed, NotAllowed, RemoteError, StoreError, TooLarge
from p2p.roles.replica.status import check_head
from p2p.transports.base import PEER_FAILED, Transport
from p2p.wire.codec import Record, decode, encode
from p2p.wire.messages import VERSION

BLOB_PROTOCOL = "/wattswap/blob/1"
PIECE_BYTES = 128 * 1024
MAX_BLOB_BYTES = 16 * 1024 * 1024
PIECE_TIMEOUT_S = 3.0
"""A peer that takes longer for a piece is left for the next. [s]"""

SLOWEST_BYTES_PER_S = 1024 * 1024
"""A peer that sends fewer for longer than PIECE_TIMEOUT_S is left, too."""

_HASH_BYTES = 32
_SUFFIX = ".blob"


class WrongBlob(RemoteError):
    """Bytes that are not the blob that was asked for."""

    code = "wrong_blob"


class BlobQuery(Record, frozen=True):
    """Asks for a piece of a blob.

    Args:
        offset: First byte of the piece. [B]
    """

    version: int
    chain_id: bytes
    blob_hash: bytes
    offset: int


class BlobPiece(Record, frozen=True):
    """A piece of a blob.

    Args:
        total: Size of the blob, 0 where it is not here. [B]
    """

    total: int
    data: bytes


class Blobs(Protocol):
    """Where blobs are kept."""

    def get(self, name: bytes) -> bytes | None:
        """Return a blob, or None where it is not here."""

    def put(self, data: bytes, interval_start: int) -> bytes:
        """Keep a blob, durably, and return its hash."""

    def forget_before(self, interval_start: int) -> None:
        """Drop the blobs of intervals that began earlier. [s]"""


def blob_file(interval_start: int, name: bytes) -> str:
    """Name of the file of a blob.

    Args:
        interval_start: Of its interval. [s since 1970, UTC]
        name: Its hash.
    """
    return f"{interval_start}-{name.hex()}{_SUFFIX}"


class FolderBlobs:
    """Blobs as files of these names in a folder; a file is written atomically.

    Args:
        folder: Made when it is missing.
        disk: Where it is written.

    Raises:
        StoreError: The folder cannot be used.
    """

    def __init__(self, folder: Path, disk: Disk = DISK) -> None:
        self._folder, self._disk = folder, disk
        self._files: dict[bytes, Path] = {}
        try:
            disk.make_folder(folder)
            for path in folder.iterdir():
                if path.suffix == _SUFFIX and len(name := path.stem.partition("-")[2]) == 2 * _HASH_BYTES:
                    self._files[bytes.fromhex(name)] = path
                elif path.suffix == ".partial":
                    disk.remove(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"blob folder {folder} cannot be used: {error}") from None

    def get(self, name: bytes) -> bytes | None:
        path = self._files.get(name)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if blob_hash(data) != name:  # damaged: as good as not here, and fetched again
            del self._files[name]
            return None
        return data

    def put(self, data: bytes, interval_start: int) -> bytes:
        """See `Blobs`.

        Raises:
            StoreError: It could not be written; nothing is left of it.
        """
        name = blob_hash(data)
        if name in self._files:
            return name
        path = self._folder / blob_file(interval_start, name)
        try:
            self._disk.write_whole(path, data)
        except OSError as error:
            raise StoreError(
                f"blob {path} cannot be written ({error.strerror}); nothing was changed"
            ) from None
        self._files[name] = path
        return name

    def forget_before(self, interval_start: int) -> None:
        for name, path in list(self._files.items()):
            if int(path.stem.partition("-")[0]) < interval_start:
                self._disk.remove(path)
                del self._files[name]


def serve_blobs(transport: Transport, chain_id: bytes, blobs: Blobs, may_read: Callable[[str], bool]) -> None:
    """Answer on blob/1 to the peers that `may_read`."""

    async def handle(peer: str, data: bytes) -> bytes:
        query = decode(BlobQuery, data, max_bytes=256)
        check_head(query.version, query.chain_id, chain_id)
        if not may_read(peer):
            raise NotAllowed(f"peer {peer} is not among those that check batches")
        blob = blobs.get(query.blob_hash)
        if blob is None:
            return encode(BlobPiece(0, b""))
        if not 0 <= query.offset <= len(blob):
            raise Malformed(f"offset {query.offset} of a blob of {len(blob)} bytes")
        return encode(BlobPiece(len(blob), blob[query.offset : query.offset + PIECE_BYTES]))

    transport.serve(BLOB_PROTOCOL, handle)


async def fetch_blob(
    transport: Transport, chain_id: bytes, name: bytes, peers: Iterable[str]
) -> bytes | None:
    """Ask peers for a blob, one after the other, until one has it; None where no peer does.

    A peer that sends something else is counted in `stats.refused` and left.
    """
    for peer in peers:
        try:
            data = await _fetch_from(transport, chain_id, name, peer)
            if data is None:
                continue
            if blob_hash(data) != name:
                raise WrongBlob(f"{len(data)} bytes that do not hash to {name.hex()[:16]}")
        except RemoteError as error:
            transport.stats.refused.add(peer, error.code, error.detail)
        except PEER_FAILED:  # out of reach, or it refuses
            continue
        else:
            return data
    return None


async def _fetch_from(transport: Transport, chain_id: bytes, name: bytes, peer: str) -> bytes | None:
    data = bytearray()
    begun = trio.current_time()
    while True:
        with trio.move_on_after(PIECE_TIMEOUT_S) as patience:
            patience.deadline = min(
                patience.deadline, begun + PIECE_TIMEOUT_S + len(data) / SLOWEST_BYTES_PER_S
            )
            query = encode(BlobQuery(VERSION, chain_id, name, len(data)))
            reply = await transport.request(peer, BLOB_PROTOCOL, query)
        if patience.cancelled_caught:
            return None
        piece = decode(BlobPiece, reply, max_bytes=PIECE_BYTES + 64)
        if piece.total > MAX_BLOB_BYTES:
            raise TooLarge(f"a blob of {piece.total} bytes; the limit is {MAX_BLOB_BYTES}")
        if piece.total <= 0:
            return None
        data += piece.data
        if len(data) >= piece.total:
            return bytes(data)
        if not piece.data:
            raise WrongBlob(f"a blob that ends after {len(data)} of {piece.total} bytes")
