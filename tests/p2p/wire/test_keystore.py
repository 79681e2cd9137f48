"""The keystore: what goes in comes out with the right secret only, and every other file is named for what it is."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from p2p.errors import KeyFileError
from p2p.wire import keystore
from p2p.wire.identity import Identity
from p2p.wire.keystore import (
    KeystoreDamaged,
    KeystoreExists,
    KeystoreLocked,
    KeystoreReadable,
    KeystoreUnknown,
    Lock,
    open_keystore,
    public_keys,
    write_keystore,
)

KEYS = {"consensus": Identity.from_seed(b"c" * 32), "household/home 1": Identity.from_seed(b"h" * 32)}
SECRET = "correct horse battery"


@pytest.fixture(scope="module")
def by_passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore under a passphrase; look, do not touch."""
    path = tmp_path_factory.mktemp("keys") / "keystore.json"
    write_keystore(path, KEYS, Lock.passphrase(SECRET))
    return path


@pytest.fixture
def by_key_file(tmp_path: Path) -> tuple[Path, Lock]:
    """A keystore under a key file, which costs no stretching."""
    lock = Lock.new_key_file(tmp_path / "unlock.key")
    write_keystore(tmp_path / "keystore.json", KEYS, lock)
    return tmp_path / "keystore.json", lock


def rewritten(path: Path, target: Path, **changes: Any) -> Path:
    """The same keystore with other content and a checksum that fits it."""
    content = json.loads(path.read_text())
    del content["sha256"]
    content |= changes
    plain = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["sha256"] = hashlib.sha256(plain).hexdigest()
    target.touch(0o600)
    target.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    return target


def test_a_passphrase_opens_what_it_closed(by_passphrase: Path) -> None:
    assert open_keystore(by_passphrase, Lock.passphrase(SECRET)) == KEYS


def test_a_key_file_opens_what_it_closed_in_another_place(by_key_file: tuple[Path, Lock]) -> None:
    path, lock = by_key_file
    moved = path.rename(path.with_name("moved.json"))
    key = path.with_name("unlock.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert open_keystore(moved, lock) == open_keystore(moved, Lock.key_file(key)) == KEYS


def test_a_wrong_passphrase_is_said_to_be_wrong(by_passphrase: Path) -> None:
    with pytest.raises(KeystoreLocked, match="the passphrase is wrong"):
        open_keystore(by_passphrase, Lock.passphrase(SECRET + "!"))


def test_another_key_file_does_not_open_it(by_key_file: tuple[Path, Lock]) -> None:
    path, _ = by_key_file
    with pytest.raises(KeystoreLocked, match="the key file is wrong"):
        open_keystore(path, Lock.new_key_file(path.with_name("other.key")))


def test_the_other_way_of_opening_is_named(by_key_file: tuple[Path, Lock]) -> None:
    with pytest.raises(KeystoreLocked, match="opened by a key file"):
        open_keystore(by_key_file[0], Lock.passphrase(SECRET))


def test_public_keys_are_read_without_the_secret(by_passphrase: Path) -> None:
    assert public_keys(by_passphrase) == {name: key.public_key for name, key in KEYS.items()}


def test_the_file_is_its_owners_and_shows_no_secret(by_passphrase: Path) -> None:
    assert stat.S_IMODE(by_passphrase.stat().st_mode) == 0o600
    text = by_passphrase.read_text()
    assert not [key for key in KEYS.values() if key.seed.hex() in text]
    assert SECRET not in text
    assert SECRET not in repr(Lock.passphrase(SECRET))


def test_two_keystores_of_the_same_keys_have_nothing_secret_in_common(by_key_file: tuple[Path, Lock]) -> None:
    path, lock = by_key_file
    write_keystore(path.with_name("second.json"), KEYS, lock)
    first, second = (json.loads(p.read_text()) for p in (path, path.with_name("second.json")))
    assert first["public_keys"] == second["public_keys"]
    assert not [name for name in ("nonce", "sealed", "sha256") if first[name] == second[name]]
    assert first["kdf"]["salt"] != second["kdf"]["salt"]


def test_a_keystore_is_never_overwritten(by_key_file: tuple[Path, Lock]) -> None:
    path, lock = by_key_file
    before = path.read_bytes()
    with pytest.raises(KeystoreExists, match="never overwritten"):
        write_keystore(path, KEYS, lock)
    assert path.read_bytes() == before


def test_every_flipped_bit_is_found_without_the_secret(by_key_file: tuple[Path, Lock]) -> None:
    path, _ = by_key_file
    good = path.read_bytes()
    for at in range(len(good)):
        for bit in (0, 5):  # bit 5 turns a into A, which reads as the same hexadecimal digit
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
            with pytest.raises((KeystoreDamaged, KeystoreUnknown)):
                public_keys(path)


@pytest.mark.parametrize("cut", [0, 1, 40, 400, -2, -1])
def test_a_cut_file_is_damaged(by_key_file: tuple[Path, Lock], cut: int) -> None:
    path, lock = by_key_file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(KeystoreDamaged, match="backup"):
        open_keystore(path, lock)


def test_a_public_key_exchanged_by_somebody_who_mends_the_checksum_is_found_on_opening(
    by_key_file: tuple[Path, Lock], tmp_path: Path
) -> None:
    path, lock = by_key_file
    keys = dict.fromkeys(KEYS, Identity.from_seed(b"x" * 32).public_key.hex())
    forged = rewritten(path, tmp_path / "forged.json", public_keys=keys)
    with pytest.raises(KeystoreLocked):
        open_keystore(forged, lock)


@pytest.mark.skipif(os.name != "posix", reason="file modes are of posix")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_keystore_that_others_may_read_is_refused(by_key_file: tuple[Path, Lock], mode: int) -> None:
    path, lock = by_key_file
    path.chmod(mode)
    with pytest.raises(KeystoreReadable, match="chmod 600"):
        open_keystore(path, lock)


def test_an_unknown_version_names_what_this_program_reads(
    by_key_file: tuple[Path, Lock], tmp_path: Path
) -> None:
    newer = rewritten(by_key_file[0], tmp_path / "newer.json", version=2)
    with pytest.raises(KeystoreUnknown, match="version 2; this program reads 1"):
        public_keys(newer)


@pytest.mark.parametrize(
    "changes", [{"n": 2**30}, {"n": 2**17 + 1}, {"r": 2**20}, {"p": 64}, {"n": 2}, {"n": "many"}, {"p": True}]
)
def test_costs_that_would_exhaust_the_memory_or_protect_nothing_are_refused_unspent(
    by_passphrase: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(keystore, "_stretch", lambda *_: pytest.fail("the parameters were used"))
    kdf = json.loads(by_passphrase.read_text())["kdf"] | changes
    bomb = rewritten(by_passphrase, tmp_path / "bomb.json", kdf=kdf)
    with pytest.raises(KeystoreUnknown, match="scrypt"):
        open_keystore(bomb, Lock.passphrase(SECRET))


def test_the_stretching_is_scrypt_at_the_stated_cost(by_passphrase: Path) -> None:
    kdf = json.loads(by_passphrase.read_text())["kdf"]
    assert (kdf["method"], kdf["n"], kdf["r"], kdf["p"]) == ("scrypt", 131072, 8, 1)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot be read \(No such file"):
        public_keys(tmp_path / "none.json")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        Lock.passphrase("1234567")


@pytest.mark.parametrize(
    "keys", [{}, {"": KEYS["consensus"]}, {" a": KEYS["consensus"]}, {"a\nb": KEYS["consensus"]}]
)
def test_no_keys_or_no_names_write_nothing(tmp_path: Path, keys: dict[str, Identity]) -> None:
    lock = Lock.new_key_file(tmp_path / "unlock.key")
    with pytest.raises(ValueError, match="key"):
        write_keystore(tmp_path / "keystore.json", keys, lock)
    assert not (tmp_path / "keystore.json").exists()


def test_the_most_keys_with_the_longest_names_come_back(tmp_path: Path) -> None:
    lock = Lock.new_key_file(tmp_path / "unlock.key")
    keys = {f"{i:04d}" + "\N{GRINNING FACE}" * 124: KEYS["consensus"] for i in range(keystore.MAX_KEYS)}
    write_keystore(tmp_path / "keystore.json", keys, lock)
    assert open_keystore(tmp_path / "keystore.json", lock) == keys
