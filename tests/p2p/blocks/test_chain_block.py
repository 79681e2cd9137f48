"""Certificates, sign-bytes, hashes and the genesis."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from p2p.batches.batch import batch_tx
from p2p.blocks import domains
from p2p.blocks.block import (
    PRECOMMIT,
    PREVOTE,
    CommitCertificate,
    check_cert,
    check_tx_signature,
    make_cert,
    proposer_index,
    quorum,
    signers,
    trim_cert,
    vote_bytes,
)
from p2p.blocks.genesis import Genesis, Params, decode_genesis, make_params, read_genesis, write_genesis
from p2p.errors import BadCertificate, GenesisError, WrongSignature
from p2p.wire.codec import encode
from p2p.wire.limits import Limits
from tests.kits.chain_kit import OPERATOR, authorities, flip, make_args, make_genesis

HASH = bytes(range(32))
GENESIS = make_genesis(7)
CHAIN = GENESIS.chain_id


def with_limits(**limits: object) -> Params:
    return make_params("EUR", 15, limits=Limits(**limits))  # type: ignore[arg-type]


def cert_by(who: list[int], n: int = 7, *, chain_id: bytes = CHAIN, round_: int = 2) -> CommitCertificate:
    keys, data = authorities(n), vote_bytes(PRECOMMIT, chain_id, 9, round_, HASH)
    signatures = {i: keys[i].sign(domains.SIGN_CONSENSUS, data) for i in who}
    return make_cert(9, round_, HASH, signatures, n)


@pytest.mark.parametrize(
    ("n", "q"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (13, 9), (25, 17)]
)
def test_the_quorum_is_the_documented_number(n: int, q: int) -> None:
    assert quorum(n) == q


@pytest.mark.parametrize("n", range(1, 26))
def test_two_quorums_share_more_than_can_be_faulty_and_the_honest_reach_one(n: int) -> None:
    faulty = (n - 1) // 3
    assert 2 * quorum(n) - n >= faulty + 1
    assert n - faulty >= quorum(n)


def test_the_proposer_goes_round() -> None:
    assert [proposer_index(height, 0, 3) for height in range(1, 5)] == [1, 2, 0, 1]
    assert proposer_index(5, 2, 3) == proposer_index(7, 0, 3)


def test_sign_bytes_are_those_of_the_specification() -> None:
    expected = (
        b"wattswap/cons/1\0"
        + b"\x02"
        + CHAIN
        + (9).to_bytes(8, "big")
        + (2).to_bytes(4, "big")
        + b"\x01"
        + HASH
    )
    assert domains.SIGN_CONSENSUS + vote_bytes(PRECOMMIT, CHAIN, 9, 2, HASH) == expected
    nil = vote_bytes(PREVOTE, CHAIN, 9, 2, None)
    assert nil[0] == 1
    assert nil[-33:] == bytes(33)
    assert len(nil) == len(expected) - 16


def test_no_two_domains_are_equal_or_prefixes_of_one_another_when_signed() -> None:
    names = [name for name in vars(domains) if name.isupper()]
    values = [getattr(domains, name) for name in names]
    assert len(set(values)) == len(values)
    signed = [getattr(domains, name) for name in names if name.startswith("SIGN_")]
    assert all(value.endswith(b"\0") and value.count(b"\0") == 1 for value in signed)


def test_a_quorum_of_signatures_is_enough_and_one_less_is_not() -> None:
    check_cert(cert_by([0, 2, 3, 5, 6]), GENESIS.authorities, CHAIN)
    with pytest.raises(BadCertificate, match="4 of 7 validators signed, 5 must"):
        check_cert(cert_by([0, 2, 3, 5]), GENESIS.authorities, CHAIN)


def test_a_flipped_bit_anywhere_in_a_certificate_is_found() -> None:
    """Every signature counts, also those beyond the quorum."""
    cert = cert_by([0, 1, 2, 3, 5, 6])
    for field, size in (("block_hash", 32), ("bitmap", 1), ("signatures", 6 * 64)):
        value = getattr(cert, field)
        assert len(value) == size
        for bit in range(0, size * 8, 3):
            with pytest.raises(BadCertificate):
                check_cert(
                    msgspec.structs.replace(cert, **{field: flip(value, bit)}), GENESIS.authorities, CHAIN
                )


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 8},
        {"round": 1},
        {"round": -1},
        {"round": 2**32},
        {"height": -1},
        {"bitmap": b"\x7f\0"},
        {"bitmap": b""},
        {"bitmap": b"\xff"},
        {"signatures": b""},
        {"block_hash": b""},
    ],
)
def test_a_certificate_changed_in_any_field_is_refused(changes: dict[str, object]) -> None:
    cert = msgspec.structs.replace(cert_by(list(range(7))), **changes)
    with pytest.raises(BadCertificate):
        check_cert(cert, GENESIS.authorities, CHAIN)


def test_a_certificate_of_another_chain_or_set_is_refused() -> None:
    with pytest.raises(BadCertificate):
        check_cert(cert_by(list(range(7)), chain_id=bytes(32)), GENESIS.authorities, CHAIN)
    with pytest.raises(BadCertificate, match="validator 0"):
        check_cert(cert_by(list(range(7))), GENESIS.authorities[::-1], CHAIN)


def test_signatures_under_swapped_bits_are_refused() -> None:
    cert = cert_by([0, 1, 2, 3, 4])
    swapped = msgspec.structs.replace(cert, bitmap=bytes([0b0101111]))
    with pytest.raises(BadCertificate, match="validator 5"):
        check_cert(swapped, GENESIS.authorities, CHAIN)


def test_a_trimmed_certificate_keeps_exactly_a_quorum() -> None:
    trimmed = trim_cert(cert_by([0, 1, 2, 4, 5, 6]), 7)
    assert signers(trimmed) == [0, 1, 2, 4, 5]
    check_cert(trimmed, GENESIS.authorities, CHAIN)


def test_a_transaction_signature_covers_every_field() -> None:
    tx = batch_tx(OPERATOR, CHAIN, 1, 100, make_args(0)[1])
    check_tx_signature(tx)
    for name in tx.__struct_fields__:
        value = getattr(tx, name)
        other = value + 1 if isinstance(value, int) else flip(value, 3) if isinstance(value, bytes) else "x"
        with pytest.raises(WrongSignature):
            check_tx_signature(msgspec.structs.replace(tx, **{name: other}))


def test_the_chain_id_is_the_hash_of_the_genesis_file(tmp_path: Path) -> None:
    path = tmp_path / "genesis.bin"
    write_genesis(path, GENESIS)
    assert sha256(path.read_bytes()).digest() == GENESIS.chain_id
    assert read_genesis(path) == GENESIS
    assert [file.name for file in tmp_path.iterdir()] == ["genesis.bin"]


def test_every_field_of_the_genesis_changes_the_chain_id() -> None:
    others = [
        make_genesis(6),
        make_genesis(7, members=4),
        make_genesis(7, name="other"),
        msgspec.structs.replace(GENESIS, time_ms=GENESIS.time_ms + 1),
        msgspec.structs.replace(GENESIS, authorities=GENESIS.authorities[::-1]),
        msgspec.structs.replace(GENESIS, params=msgspec.structs.replace(GENESIS.params, rules_hash=HASH)),
    ]
    assert len({genesis.chain_id for genesis in [GENESIS, *others]}) == len(others) + 1


def test_a_flipped_bit_in_a_genesis_file_gives_another_chain_or_an_error(tmp_path: Path) -> None:
    data = encode(GENESIS)
    path, named = tmp_path / "genesis.bin", False
    for bit in range(0, len(data) * 8, 5):
        path.write_bytes(flip(data, bit))
        try:
            chain_id = read_genesis(path).chain_id
        except GenesisError as error:
            chain_id = None
            named = "genesis.bin" in str(error)
        assert named if chain_id is None else chain_id != GENESIS.chain_id


def test_every_problem_of_a_genesis_is_listed_at_once() -> None:
    key = GENESIS.operator
    params = msgspec.structs.replace(GENESIS.params, minutes=7, currency="", rules_hash=b"", order_kinds=(7,))
    bad = Genesis(1, "", -1, params, (key, key), (b"short",), b"", -1, ("", "retailer"), ("b", "a"))
    with pytest.raises(GenesisError) as caught:
        decode_genesis(encode(bad))
    assert len(caught.value.problems) == 15
    with pytest.raises(GenesisError, match=r"26 validators; there must be 4\.\.25, or 1"):
        decode_genesis(encode(make_genesis(26)))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"members": 2**32}, "members is 4294967296"),
        ({"accounts": ("grid", "grid")}, "accounts must be"),
        ({"accounts": ("market_operator",)}, "accounts must be"),
        ({"accounts": tuple(f"a{i}" for i in range(17))}, "at most 16 names"),
        ({"modules": ("b", "a")}, "modules must be"),
        ({"modules": ("a", "a")}, "modules must be"),
        ({"modules": tuple(f"m{i:02}" for i in range(33))}, "at most 32 names"),
        ({"modules": ("x" * 65,)}, "must have 1..64 bytes"),
        ({"version": 0}, "version 0; this program supports 7"),
        ({"version": -1}, "version -1; this program supports 7"),
        ({"version": 200}, "version 200; this program supports 7"),
        ({"version": 6}, "a chain of format 6; this program reads format 7"),
        ({"version": 8}, "a chain of format 8; this program reads format 7"),
        ({"params": with_limits(rounds=0)}, r"params.rounds is 0; it must be 1..64"),
        ({"params": with_limits(rounds=65)}, r"params.rounds is 65; it must be 1..64"),
        (
            {"params": with_limits(rounds=2, order_kinds=(0, 4))},
            "a market of several rounds takes simple orders, or those of a horizon",
        ),
    ],
)
def test_a_genesis_that_no_chain_can_start_from_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(GenesisError, match=problem):
        decode_genesis(encode(msgspec.structs.replace(GENESIS, **changes)))


@pytest.mark.parametrize(
    "data", [b"", b"\x9a", b"\x9b\x08", b"\x91\x7f", b"\x9b\x08" + bytes(70_000), b"\xff" * 9]
)
def test_bytes_of_a_later_format_or_of_none_are_told_apart(data: bytes) -> None:
    sentence = "a chain of format" if len(data) > 1 and data[0] & 0xF0 == 0x90 else "not a Genesis"
    with pytest.raises(GenesisError, match=sentence):
        decode_genesis(data)


def test_the_size_of_a_genesis_does_not_depend_on_the_number_of_homes() -> None:
    sizes = [len(encode(make_genesis(members=n))) for n in (200, 30_000)]
    assert sizes[1] - sizes[0] == 1  # the number of homes itself
    assert sizes[1] < 1_000


def test_a_missing_genesis_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenesisError, match="is a folder; name the file"):
        read_genesis(tmp_path)
    with pytest.raises(GenesisError, match=r"none\.bin: cannot be read .*; name a genesis\.bin"):
        read_genesis(tmp_path / "none.bin")
    (tmp_path / "other.bin").write_bytes(b"other")
    with pytest.raises(GenesisError, match=r"other\.bin: not a Genesis: .*; name a genesis\.bin"):
        read_genesis(tmp_path / "other.bin")
    with pytest.raises(GenesisError, match="cannot be written"):
        write_genesis(tmp_path / "no folder" / "x", GENESIS)


def test_the_parameters_carry_the_limits_of_messages() -> None:
    assert GENESIS.params.limits == Limits()
