"""Encrypted keystores: several named keys in one JSON file, opened by a passphrase or by a key file.

The seeds are sealed together with XChaCha20-Poly1305; everything else in the file is authenticated with them. The
file has one form only and carries a checksum, so that a damaged file differs from a wrong passphrase, and public
keys can be read, and trusted to be undamaged, without opening it. A passphrase is stretched with scrypt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from p2p.errors import KeyFileError
from p2p.files import write_new
from p2p.wire.identity import PUBLIC_KEY_BYTES, SEED_BYTES, Identity, load_key_file, save_key_file

FORMAT: Final = "wattswap keystore"
VERSION: Final = 1
MIN_PASSPHRASE: Final = 8
"""Shortest passphrase. [characters]"""
MAX_KEYS: Final = 4096
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
"""More than MAX_KEYS with the longest names need. [B]"""
SCRYPT: Final = {"n": 2**17, "r": 8, "p": 1}
"""128 MiB and about half a second for each guess."""
_SCRYPT_MAX: Final = {"n": 2**18, "r": 8, "p": 4}
_SCRYPT_MIN: Final = {"n": 2**14, "r": 8, "p": 1}
_PASSPHRASE, _KEY_FILE = "scrypt", "key-file"
_DOMAIN: Final = b"wattswap/keystore/1\0"
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 24, 16
_NAME: Final = re.compile(r"\S(.{0,126}\S)?")


class KeystoreExists(KeyFileError):
    """A keystore that would be overwritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "exists already; keys are never overwritten, name another file")


class KeystoreReadable(KeyFileError):
    """A keystore that others than its owner may read."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(path, f"mode is {mode:04o}, so others may read it; run chmod 600 on it")


class KeystoreDamaged(KeyFileError):
    """A keystore whose bytes are not those that were written."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, f"is damaged ({what}); nothing was changed, copy it back from a backup")


class KeystoreUnknown(KeyFileError):
    """A keystore of a version or with a method that this program does not know."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, f"{what}; open it with the version of wattswap that wrote it")


class KeystoreLocked(KeyFileError):
    """A passphrase or key file that does not open the keystore."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What opens a keystore; build it with `passphrase` or `key_file`. The secret is never printed."""

    method: str
    secret: bytes = field(repr=False)

    @classmethod
    def passphrase(cls, text: str) -> Self:
        """Lock with a passphrase; the same characters typed on another keyboard are the same passphrase.

        Raises:
            ValueError: It is shorter than MIN_PASSPHRASE characters.
        """
        if len(text) < MIN_PASSPHRASE:
            raise ValueError(f"a passphrase of {len(text)} characters; use at least {MIN_PASSPHRASE}")
        return cls(_PASSPHRASE, unicodedata.normalize("NFKC", text).encode())

    @classmethod
    def key_file(cls, path: Path) -> Self:
        """Lock with the 32 random bytes of a key file.

        Raises:
            KeyFileError: It cannot be read, is readable by others, or holds something else.
        """
        return cls(_KEY_FILE, load_key_file(path).seed)

    @classmethod
    def new_key_file(cls, path: Path) -> Self:
        """Write a key file with new random bytes, readable by the owner only, and lock with it.

        Raises:
            KeyFileError: The file exists or cannot be written.
        """
        save_key_file(path, Identity.from_seed(secrets.token_bytes(SEED_BYTES)))
        return cls.key_file(path)


def write_keystore(path: Path, keys: Mapping[str, Identity], lock: Lock) -> None:
    """Seal named keys into a new file, readable by the owner only.

    Raises:
        KeystoreExists: The file is there already.
        KeyFileError: It cannot be written.
        ValueError: No keys, too many, or a name that is empty, too long or begins or ends with a blank.
    """
    if not 0 < len(keys) <= MAX_KEYS:
        raise ValueError(f"{len(keys)} keys; a keystore holds 1..{MAX_KEYS}")
    for name in keys:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of a key; use 1..128 characters on one line")
    named = sorted(keys.items())
    kdf: dict[str, Any] = {"method": lock.method, "salt": secrets.token_bytes(_SALT_BYTES).hex()}
    kdf |= SCRYPT if lock.method == _PASSPHRASE else {}
    public = {
        "format": FORMAT,
        "version": VERSION,
        "kdf": kdf,
        "public_keys": {name: identity.public_key.hex() for name, identity in named},
    }
    nonce = secrets.token_bytes(_NONCE_BYTES)
    seeds = b"".join(identity.seed for _, identity in named)
    key = _stretch(lock, kdf)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(seeds, _DOMAIN + _canonical(public), nonce, key)
    _write_new(path, _file_bytes({**public, "nonce": nonce.hex(), "sealed": sealed.hex()}))


def open_keystore(path: Path, lock: Lock) -> dict[str, Identity]:
    """Return the keys of a keystore by name.

    Raises:
        KeyFileError: One of the classes above; the sentence says what to do.
    """
    content = _read(path)
    kdf = content["kdf"]
    if kdf["method"] != lock.method:
        needed = "a key file" if kdf["method"] == _KEY_FILE else "a passphrase"
        raise KeystoreLocked(path, f"is opened by {needed}; name that in config.toml")
    public = {name: content[name] for name in ("format", "version", "kdf", "public_keys")}
    sealed, nonce = bytes.fromhex(content["sealed"]), bytes.fromhex(content["nonce"])
    try:
        seeds = crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed, _DOMAIN + _canonical(public), nonce, _stretch(lock, kdf)
        )
    except CryptoError:
        what = "key file" if lock.method == _KEY_FILE else "passphrase"
        raise KeystoreLocked(path, f"the {what} is wrong; try the one it was made with") from None
    parts = (seeds[at : at + SEED_BYTES] for at in range(0, len(seeds), SEED_BYTES))
    keys = {name: Identity.from_seed(seed) for name, seed in zip(content["public_keys"], parts, strict=True)}
    if any(identity.public_key.hex() != content["public_keys"][name] for name, identity in keys.items()):
        raise KeystoreDamaged(path, "a public key does not belong to its seed")
    return keys


def public_keys(path: Path) -> dict[str, bytes]:
    """Return the public keys of a keystore by name, without opening it.

    Raises:
        KeyFileError: The file cannot be read, is readable by others, damaged or unknown.
    """
    return {name: bytes.fromhex(key) for name, key in _read(path)["public_keys"].items()}


def _stretch(lock: Lock, kdf: Mapping[str, Any]) -> bytes:
    """The sealing key; the salt makes it another one in every file."""
    salt = bytes.fromhex(kdf["salt"])
    if lock.method == _KEY_FILE:
        return hmac.digest(lock.secret, _DOMAIN + salt, "sha256")
    cost = {name: kdf[name] for name in SCRYPT}
    memory = 128 * cost["r"] * (cost["n"] + cost["p"] + 2)
    return hashlib.scrypt(lock.secret, salt=_DOMAIN + salt, maxmem=memory, dklen=32, **cost)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _file_bytes(content: Mapping[str, Any]) -> bytes:
    checked = {**content, "sha256": hashlib.sha256(_canonical(content)).hexdigest()}
    return json.dumps(checked, sort_keys=True, indent=1).encode("ascii") + b"\n"


def _write_new(path: Path, data: bytes) -> None:
    try:
        write_new(path, data, 0o600)
    except FileExistsError:
        raise KeystoreExists(path) from None
    except OSError as error:
        raise KeyFileError(path, f"cannot be written ({error.strerror}); name another place") from error


def _read(path: Path) -> dict[str, Any]:
    """Read and check everything that can be checked without the secret."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            path, f"cannot be read ({error.strerror}); name the keystore of this node"
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise KeystoreReadable(path, mode)
    try:
        content = json.loads(data.decode("ascii")) if len(data) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        raise KeystoreDamaged(path, "it is not the JSON that was written") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise KeystoreDamaged(path, "it is not a keystore, or its head is gone")
    if content.get("version") != VERSION:
        raise KeystoreUnknown(
            path, f"version {str(content.get('version'))[:20]}; this program reads {VERSION}"
        )
    checksum = content.pop("sha256", None)
    if checksum != hashlib.sha256(_canonical(content)).hexdigest() or _file_bytes(content) != data:
        raise KeystoreDamaged(path, "its checksum does not fit")
    _check_shape(path, content)
    return content


def _check_shape(path: Path, content: dict[str, Any]) -> None:
    """Refuse what fits its checksum but was not written by `write_keystore`, costly parameters first."""
    kdf, keys = content.get("kdf"), content.get("public_keys")
    if not isinstance(kdf, dict) or not isinstance(keys, dict) or not 0 < len(keys) <= MAX_KEYS:
        raise KeystoreDamaged(path, "a table is missing")
    if kdf.get("method") not in (_PASSPHRASE, _KEY_FILE):
        raise KeystoreUnknown(path, f"method {str(kdf.get('method'))[:20]!r} is not known")
    if kdf["method"] == _PASSPHRASE:
        for name in SCRYPT:
            value, low, high = kdf.get(name), _SCRYPT_MIN[name], _SCRYPT_MAX[name]
            if type(value) is not int or not low <= value <= high or value & (value - 1):
                what = f"scrypt with {name} = {str(value)[:20]} is outside {low}..{high}"
                raise KeystoreUnknown(path, what)
    sizes = [(kdf.get("salt"), _SALT_BYTES), (content.get("nonce"), _NONCE_BYTES)]
    sizes += [(content.get("sealed"), SEED_BYTES * len(keys) + _TAG_BYTES)]
    sizes += [(key, PUBLIC_KEY_BYTES) for key in keys.values()]
    if not all(_is_hex(text, size) for text, size in sizes):
        raise KeystoreDamaged(path, "a field has another length")


def _is_hex(text: object, size: int) -> bool:
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text) is not None
