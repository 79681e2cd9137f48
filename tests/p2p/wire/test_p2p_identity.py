"""Keys, signatures and key files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p.errors import KeyFileError
from p2p.wire.identity import Identity, derive_seed, load_key_file, save_key_file, verify

ALICE = Identity.from_seed(bytes(range(32)))


def test_rfc_8032_test_1_gives_its_public_key_and_signature() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = Identity.from_seed(seed)
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"", b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_a_signature_holds_for_its_key_domain_and_data_only() -> None:
    signature = ALICE.sign(b"order\0", b"data")
    bob = Identity.from_seed(bytes(32))
    assert verify(ALICE.public_key, b"order\0", b"data", signature)
    assert not verify(bob.public_key, b"order\0", b"data", signature)
    assert not verify(ALICE.public_key, b"vote\0", b"data", signature)
    assert not verify(ALICE.public_key, b"order\0", b"date", signature)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_false_and_never_raises(length: int) -> None:
    assert not verify(ALICE.public_key, b"d\0", b"", bytes(length))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_a_public_key_that_is_none_is_false_and_never_raises(key: bytes) -> None:
    assert not verify(key, b"d\0", b"x", ALICE.sign(b"d\0", b"x"))


def test_derived_seeds_are_reproducible_and_differ_by_role_name_and_split() -> None:
    seeds = [
        derive_seed(b"master", "ab", "c"),
        derive_seed(b"master", "a", "bc"),
        derive_seed(b"master", "abc", ""),
        derive_seed(b"other", "ab", "c"),
    ]
    assert len(set(seeds)) == 4
    assert derive_seed(b"master", "ab", "c") == seeds[0]


def test_the_secret_half_is_not_in_the_repr() -> None:
    assert ALICE.seed.hex() not in repr(ALICE)
    assert repr(ALICE.seed) not in repr(ALICE)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes; Ed25519 needs 32"):
        Identity.from_seed(bytes(31))


def test_a_key_file_reads_back_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    save_key_file(path, ALICE)
    assert load_key_file(path) == ALICE
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    save_key_file(path, ALICE)
    with pytest.raises(KeyFileError, match="never overwritten"):
        save_key_file(path, Identity.from_seed(bytes(32)))
    assert load_key_file(path) == ALICE


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "0 characters"),
        (b"ab" * 31, "62 characters"),
        (b"ab" * 33, "66 characters"),
        (b"zz" * 32, "hexadecimal"),
        (b"ab " * 21 + b"a", "hexadecimal"),
        (b"\xff" * 64, "hexadecimal"),
        (b"ab" * 32 + b"\n\n", "65 characters"),
        (b"ab" * 5_000, "is no key file: more than 64 characters"),
        (b'{"format": "wattswap keystore"}', "name the folder of its node"),
    ],
)
def test_a_bad_key_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=what) as caught:
        load_key_file(path)
    assert "bad.key" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "open.key"
    save_key_file(path, ALICE)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key_file(path)


def test_a_file_that_is_no_key_is_not_answered_with_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "genesis.bin"
    path.write_bytes(bytes(500))
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="is no key file") as caught:
        load_key_file(path)
    assert "chmod" not in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"none\.key: cannot be read"):
        load_key_file(tmp_path / "none.key")
    with pytest.raises(KeyFileError, match="cannot be written"):
        save_key_file(tmp_path / "no folder" / "none.key", ALICE)
