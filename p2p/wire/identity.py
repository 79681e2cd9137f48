"""Ed25519 identities: keys from seeds, domain-separated signatures, key files.

PyNaCl is the one verifier everywhere: libraries differ on small-order and non-canonical points, and two
validators must never disagree about a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nacl.bindings import (
    crypto_sign,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from p2p.errors import KeyFileError
from p2p.files import write_new

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_SEED_DOMAIN = b"wattswap/seed/1\0"


@dataclass(frozen=True, slots=True)
class Identity:
    """A signing key; build it with `from_seed`. The secret half is never printed."""

    public_key: bytes
    _secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """Return the identity of a 32-byte seed.

        Raises:
            ValueError: The seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes; Ed25519 needs {SEED_BYTES}")
        public_key, secret = crypto_sign_seed_keypair(seed)
        return cls(public_key, secret)

    @property
    def seed(self) -> bytes:
        """The 32 bytes this identity came from, for a key file or a transport with its own key type."""
        return self._secret[:SEED_BYTES]

    @property
    def exchange_secret(self) -> bytes:
        """The X25519 secret that belongs to this key, for what is sealed to its public half."""
        return bytes(crypto_sign_ed25519_sk_to_curve25519(self._secret))

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Return the 64-byte signature of `domain || data`; every domain ends with a zero byte."""
        return crypto_sign(domain + data, self._secret)[:SIGNATURE_BYTES]


def verify(public_key: bytes, domain: bytes, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is by `public_key` over `domain || data`; False for wrong lengths too."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + domain + data, public_key)
    except CryptoError:
        return False
    return True


def derive_seed(master: bytes, role: str, name: str) -> bytes:
    """Derive the 32-byte seed of one role and name from a master secret (HMAC-SHA256).

    The lengths are part of the input, so that ("ab", "c") and ("a", "bc") get different seeds.
    """
    parts = [part.encode() for part in (role, name)]
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(master, _SEED_DOMAIN + info, hashlib.sha256().name)


def save_key_file(path: Path, identity: Identity) -> None:
    """Write the seed as 64 hexadecimal characters, readable by the owner only.

    Raises:
        KeyFileError: The file exists (a key is never overwritten) or cannot be written.
    """
    try:
        write_new(path, f"{identity.seed.hex()}\n".encode("ascii"), 0o600)
    except FileExistsError:
        raise KeyFileError(path, "exists already; a key is never overwritten, name another file") from None
    except OSError as error:
        raise KeyFileError(path, f"cannot be written ({error.strerror})") from error


def load_key_file(path: Path) -> Identity:
    """Read a key file that `save_key_file` wrote.

    Raises:
        KeyFileError: Missing, readable by others, or not 64 hexadecimal characters.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4 * SEED_BYTES)
    except OSError as error:
        raise KeyFileError(
            path, f"cannot be read ({error.strerror}); name the file that holds the key"
        ) from error
    seed = _seed_of(path, text)
    # After its content: of a file that is no key, chmod would change nothing for the better.
    if os.name == "posix" and mode & 0o077:
        raise KeyFileError(path, f"mode is {mode:04o}, so others may read it; run chmod 600 on it")
    return Identity.from_seed(seed)


def _seed_of(path: Path, text: bytes) -> bytes:
    """The seed that a key file holds."""
    if text.lstrip().startswith(b"{"):
        raise KeyFileError(path, "is JSON, as a keystore is, and no key file; name the folder of its node")
    line = text.removesuffix(b"\n")
    if len(line) != 2 * SEED_BYTES:
        count = (
            f"{len(line)} characters"
            if len(text) <= 3 * SEED_BYTES
            else f"more than {2 * SEED_BYTES} characters"
        )
        raise KeyFileError(path, f"is no key file: {count}; a key is {2 * SEED_BYTES} hexadecimal characters")
    try:
        seed = bytes.fromhex(line.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:  # fromhex skips blanks
        what = f"a key is {2 * SEED_BYTES} hexadecimal characters, nothing else"
        raise KeyFileError(path, f"is no key file: {what}")
    return seed
