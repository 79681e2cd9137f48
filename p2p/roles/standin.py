"""The name of a blob, until `p2p.chain.blob` brings it."""

from __future__ import annotations

from hashlib import sha256


def blob_hash(data: bytes) -> bytes:
    """Name of a blob."""
    return sha256(b"wattswap/blob/1\0" + data).digest()
