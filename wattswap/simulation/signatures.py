"""Signatures by hash, which anybody could forge: for runs that look for other things than forgeries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha512
from typing import Any

from nacl.exceptions import BadSignatureError

from p2p.wire import identity

_SIGNATURE_BYTES = 64


@contextmanager
def by_hash() -> Iterator[None]:
    """Sign and verify with a hash of key and message instead of Ed25519, in the whole process."""
    module: Any = identity
    before = module.crypto_sign, module.crypto_sign_open
    module.crypto_sign, module.crypto_sign_open = _sign, _open
    try:
        yield
    finally:
        module.crypto_sign, module.crypto_sign_open = before


def _sign(message: bytes, secret: bytes) -> bytes:
    return _hash(secret[32:], message) + message


def _open(signed: bytes, public_key: bytes) -> bytes:
    message = signed[_SIGNATURE_BYTES:]
    if signed[:_SIGNATURE_BYTES] != _hash(public_key, message):
        raise BadSignatureError("Signature was forged or corrupt")
    return message


def _hash(public_key: bytes, message: bytes) -> bytes:
    # Key and domain are part of it: a confusion of either is found with these, too.
    return sha512(public_key + message).digest()
