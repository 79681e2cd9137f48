"""Proof of possession: the holder of a new key has its private key, so that no role goes to a foreign public key."""

from __future__ import annotations

from p2p.blocks import domains
from p2p.errors import InvalidTx
from p2p.wire.identity import PUBLIC_KEY_BYTES, Identity, verify

NO_KEY = bytes(PUBLIC_KEY_BYTES)


def prove_possession(new: Identity, chain_id: bytes, old_key: bytes = NO_KEY) -> bytes:
    """Sign that the holder of a new key takes a place: a new one, or that of an old key."""
    return new.sign(domains.SIGN_POSSESSION, chain_id + old_key)


def check_possession(new_key: bytes, proof: bytes, chain_id: bytes, old_key: bytes = NO_KEY) -> None:
    """Raise unless the new key signed that it takes this place.

    Raises:
        InvalidTx: It did not.
    """
    if not verify(new_key, domains.SIGN_POSSESSION, chain_id + old_key, proof):
        raise InvalidTx("key_proof", f"key {new_key.hex()[:16]} did not sign that it takes this place")
