"""Sealed content: its key is shared among the validators, so that f + 1 of them open it, and fewer see nothing.

Everything in an envelope follows from one key k: the coefficients of the polynomial of its shares (Shamir 1979, over
the prime field of 2^256 - 189, one point a validator), the one-time X25519 key, the pad of each share. The content is
encrypted under k with ChaCha20-Poly1305 (RFC 8439), which does not commit to its key; the hash of k does, and a hash of
each share to that share. A validator decrypts with the X25519 key that belongs to its Ed25519 key (RFC 7748, section
4.1), so it has no second key to prove, to rotate or to lose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_sign_ed25519_pk_to_curve25519,
)
from nacl.exceptions import CryptoError

from p2p.wire.codec import Record
from p2p.wire.identity import Identity

_DOMAIN = b"wattswap/sealing/1\0"
KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16
COMMITMENT_BYTES: Final = 16
TAG_BYTES: Final = 16
LENGTH_BYTES: Final = 2
"""The content's length stands before it, and zeros behind it."""
PRIME: Final = 2**256 - 189
_NONCE = bytes(12)
"""A key encrypts one content: another nonce of the message gives another key."""
_FIELD: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)
"""Coordinates of the points of order 1, 2, 4 and 8 of Curve25519 and its twist, as a number below the field's prime."""


class TooLong(ValueError):
    """Content that does not fit into the size to which a chain pads it."""


class Piece(Record, frozen=True):
    """What an envelope holds for one validator.

    Args:
        commitment: First 16 bytes of the hash of its share.
        masked: The share under a pad that only this validator can compute. [32 bytes]
    """

    commitment: bytes
    masked: bytes


class Envelope(Record, frozen=True):
    """Sealed content.

    Args:
        sealed_to: Digest of the validators that have a piece, see `digest_of`.
        key_hash: Hash of the key k.
        one_time: X25519 public key, of this envelope alone.
        box: The padded content under k.
        pieces: In the order of the validators.
    """

    sealed_to: bytes
    key_hash: bytes
    one_time: bytes
    box: bytes
    pieces: tuple[Piece, ...]


def needed(validators: int) -> int:
    """How many shares give the key: f + 1 of n validators, of which f may be dishonest."""
    return (validators - 1) // 3 + 1


def seal(
    content: bytes, *, key: bytes, context: bytes, validators: Sequence[bytes], padded_bytes: int
) -> Envelope:
    """Seal content to validators.

    Args:
        key: k, 32 bytes that nobody else knows and that seal nothing else, see `key_for`.
        context: What the content belongs to; it opens under no other.
        validators: Their Ed25519 public keys.
        padded_bytes: Size of the content with its length and the zeros behind it; the box has 16 bytes more.

    Raises:
        TooLong: The content does not fit.
    """
    if LENGTH_BYTES + len(content) > padded_bytes:
        room = padded_bytes - LENGTH_BYTES
        raise TooLong(f"{len(content)} bytes to be sealed; this market has room for {room} a message")
    padded = (len(content).to_bytes(LENGTH_BYTES, "big") + content).ljust(padded_bytes, b"\0")
    box = crypto_aead_chacha20poly1305_ietf_encrypt(padded, context, _NONCE, key)
    secret = _hash(b"one-time", key)
    one_time = crypto_scalarmult_base(secret)
    polynomial = _polynomial(key, needed(len(validators)))
    pieces = []
    for place, validator in enumerate(validators):
        share = _value(polynomial, place + 1)
        shared = crypto_scalarmult(secret, crypto_sign_ed25519_pk_to_curve25519(validator))
        masked = _xor(share, _pad(shared, one_time, place, context))
        pieces.append(Piece(_commitment(place, share, context), masked))
    return Envelope(digest_of(validators), hash_of_key(key), one_time, box, tuple(pieces))


def key_for(identity: Identity, sealed_to: bytes, context: bytes, content: bytes) -> bytes:
    """The key of one content; the same for the same one, so that a home that starts again seals the same bytes.

    Args:
        sealed_to: Digest of the validators: those of two sets must not have shares of one key.
    """
    number = int.from_bytes(_hash(b"key", identity.seed, sealed_to, context, content), "big")
    return (number % PRIME).to_bytes(KEY_BYTES, "big")


def is_key(key: bytes, envelope: Envelope) -> bool:
    """Whether bytes are the key that an envelope names; one beyond the field is none, as no shares give it."""
    is_in_field = len(key) == KEY_BYTES and int.from_bytes(key, "big") < PRIME
    return is_in_field and hash_of_key(key) == envelope.key_hash


def can_receive(validator: bytes) -> bool:
    """Whether something can be sealed to a key: one with a part of small order signs, and has no X25519 key."""
    try:
        crypto_sign_ed25519_pk_to_curve25519(validator)
    except CryptoError:
        return False
    return True


def hash_of_key(key: bytes) -> bytes:
    """The hash by which an envelope names its key."""
    return _hash(b"key-hash", key)


def digest_of(validators: Sequence[bytes]) -> bytes:
    """The name of a set of validators in its order: 16 bytes."""
    return _hash(b"validators", b"".join(validators))[:DIGEST_BYTES]


def shape_problem(envelope: Envelope, padded_bytes: int) -> str | None:
    """Say which part of an envelope has a wrong length, or that its one-time key hides nothing; or None."""
    if len(envelope.sealed_to) != DIGEST_BYTES:
        return f"sealed_to has {len(envelope.sealed_to)} bytes; it must have {DIGEST_BYTES}"
    if (len(envelope.key_hash), len(envelope.one_time)) != (KEY_BYTES, KEY_BYTES):
        return f"key_hash and one_time must have {KEY_BYTES} bytes"
    if len(envelope.box) != padded_bytes + TAG_BYTES:
        return f"box has {len(envelope.box)} bytes; in this market it has {padded_bytes + TAG_BYTES}"
    if any(
        len(one.commitment) != COMMITMENT_BYTES or len(one.masked) != KEY_BYTES for one in envelope.pieces
    ):
        return f"a piece has parts of other than {COMMITMENT_BYTES} and {KEY_BYTES} bytes"
    number = int.from_bytes(envelope.one_time, "little")
    if number >= _FIELD or number in _SMALL_ORDER:
        return "one_time is no point of X25519 that hides anything"
    return None


def open_share(envelope: Envelope, place: int, identity: Identity, context: bytes) -> bytes | None:
    """The share of one validator; None where its piece is junk.

    Args:
        place: Of the validator among those it was sealed to.
    """
    piece = envelope.pieces[place]
    try:
        shared = crypto_scalarmult(identity.exchange_secret, envelope.one_time)
    except CryptoError:  # its one-time key is of small order
        return None
    share = _xor(piece.masked, _pad(shared, envelope.one_time, place, context))
    return share if is_share(envelope, place, share, context) else None


def is_share(envelope: Envelope, place: int, share: bytes, context: bytes) -> bool:
    """Whether a share is the one that the home has committed to."""
    return len(share) == KEY_BYTES and _commitment(place, share, context) == envelope.pieces[place].commitment


def commits_to(envelope: Envelope, key: bytes, context: bytes) -> bool:
    """Whether all shares that a home has committed to are those of a key.

    Else some of them could give this key and others another one, and who opens the envelope would choose.
    """
    polynomial = _polynomial(key, needed(len(envelope.pieces)))
    return all(
        _commitment(place, _value(polynomial, place + 1), context) == piece.commitment
        for place, piece in enumerate(envelope.pieces)
    )


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The key that shares give, of those with the lowest places.

    Args:
        shares: By the place of the validator, at least as many as needed.
    """
    places = sorted(shares)[:threshold]
    total = 0
    for mine in places:
        over, under = 1, 1
        for other in places:
            if other != mine:
                over = over * (other + 1) % PRIME
                under = under * (other - mine) % PRIME
        total += int.from_bytes(shares[mine], "big") * over * pow(under, -1, PRIME)
    return (total % PRIME).to_bytes(KEY_BYTES, "big")


def open_box(envelope: Envelope, key: bytes, context: bytes) -> bytes | None:
    """The content under a key whose hash was compared; None where the box is not under it, or not padded as agreed."""
    try:
        padded = crypto_aead_chacha20poly1305_ietf_decrypt(envelope.box, context, _NONCE, key)
    except CryptoError:
        return None
    length = int.from_bytes(padded[:LENGTH_BYTES], "big")
    content, rest = padded[LENGTH_BYTES : LENGTH_BYTES + length], padded[LENGTH_BYTES + length :]
    return content if len(content) == length and not any(rest) else None


def _polynomial(key: bytes, threshold: int) -> list[int]:
    coefficients = [
        int.from_bytes(_hash(b"coefficient", bytes((i,)), key), "big") for i in range(1, threshold)
    ]
    return [int.from_bytes(key, "big"), *coefficients]


def _value(polynomial: Sequence[int], x: int) -> bytes:
    total = 0
    for coefficient in reversed(polynomial):
        total = (total * x + coefficient) % PRIME
    return total.to_bytes(KEY_BYTES, "big")


def _pad(shared: bytes, one_time: bytes, place: int, context: bytes) -> bytes:
    return _hash(b"pad", shared, one_time, bytes((place,)), context)


def _commitment(place: int, share: bytes, context: bytes) -> bytes:
    return _hash(b"share", share, bytes((place,)), context)[:COMMITMENT_BYTES]


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(KEY_BYTES, "big")


def _hash(what: bytes, *parts: bytes) -> bytes:
    """SHA-256 of parts; all but the last have lengths that `what` fixes."""
    return hashlib.sha256(_DOMAIN + what + b"\0" + b"".join(parts)).digest()
