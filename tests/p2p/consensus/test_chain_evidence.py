"""Evidence convicts who signed two messages, and nobody else."""

from __future__ import annotations

import random
from hashlib import sha512

import msgspec
import nacl.bindings as nacl
import pytest

from p2p.blocks.block import PRECOMMIT, PREVOTE, vote_bytes
from p2p.blocks.domains import SIGN_CONSENSUS
from p2p.consensus.evidence import MAX_EVIDENCE_BYTES, Pair, check_evidence, evidence_height, make_evidence
from p2p.consensus.types import PROPOSAL, check_vote
from p2p.errors import RemoteError
from p2p.wire.codec import encode
from tests.kits.chain_kit import authorities, flip
from tests.kits.evidence_kit import proposal, vote

CHAIN = bytes(range(32))
KEYS = authorities(4)
SET = tuple(key.public_key for key in KEYS)
A, B = b"a" * 32, b"b" * 32


@pytest.mark.parametrize("kind", [PREVOTE, PRECOMMIT])
@pytest.mark.parametrize("other", [B, None])
def test_two_votes_for_different_blocks_convict(kind: int, other: bytes | None) -> None:
    first, second = (vote(KEYS[2], 2, CHAIN, 9, 1, value, kind) for value in (A, other))
    data = make_evidence(first, second)
    assert data == make_evidence(second, first)
    offence = check_evidence(data, SET, CHAIN)
    assert (offence.authority, offence.height, offence.round, offence.kind) == (SET[2], 9, 1, kind)
    assert evidence_height(data) == 9


@pytest.mark.parametrize(("block_hash", "valid_round"), [(B, -1), (A, 0)])
def test_two_proposals_of_one_round_convict(block_hash: bytes, valid_round: int) -> None:
    first = proposal(KEYS[3], 3, CHAIN, 9, 2, A)
    data = make_evidence(first, proposal(KEYS[3], 3, CHAIN, 9, 2, block_hash, valid_round))
    assert check_evidence(data, SET, CHAIN).kind == PROPOSAL
    assert b"the block" not in data
    assert len(data) < MAX_EVIDENCE_BYTES


FIRST = vote(KEYS[2], 2, CHAIN, 9, 1, A)


@pytest.mark.parametrize(
    "second",
    [
        vote(KEYS[1], 1, CHAIN, 9, 1, B),
        vote(KEYS[2], 2, CHAIN, 10, 1, B),
        vote(KEYS[2], 2, CHAIN, 9, 2, B),
        vote(KEYS[2], 2, CHAIN, 9, 1, B, PRECOMMIT),
        vote(KEYS[2], 2, bytes(32), 9, 1, B),
        vote(KEYS[1], 2, CHAIN, 9, 1, B),
        vote(KEYS[2], 4, CHAIN, 9, 1, B),
        msgspec.structs.replace(FIRST, signature=bytes(64)),
    ],
)
def test_messages_that_an_honest_authority_may_have_signed_do_not_convict(second: object) -> None:
    with pytest.raises(RemoteError):
        check_evidence(make_evidence(FIRST, second), SET, CHAIN)


def test_one_message_twice_does_not_convict() -> None:
    with pytest.raises(RemoteError, match="ascending"):
        check_evidence(make_evidence(FIRST, FIRST), SET, CHAIN)


def sign_with_nonce(seed: bytes, message: bytes, nonce: bytes) -> bytes:
    """RFC 8032 with a nonce of choice: the holder of a key can sign one message in many ways."""
    half = sha512(seed).digest()[:32]
    secret = bytes([half[0] & 248]) + half[1:31] + bytes([half[31] & 63 | 64])
    commitment = nacl.crypto_scalarmult_ed25519_base_noclamp(nonce)
    public = nacl.crypto_sign_seed_keypair(seed)[0]
    challenge = nacl.crypto_core_ed25519_scalar_reduce(sha512(commitment + public + message).digest())
    reduced = nacl.crypto_core_ed25519_scalar_reduce(secret + bytes(32))
    product = nacl.crypto_core_ed25519_scalar_mul(challenge, reduced)
    return commitment + nacl.crypto_core_ed25519_scalar_add(product, nonce)


def test_two_signatures_of_one_vote_do_not_convict() -> None:
    message = SIGN_CONSENSUS + vote_bytes(PREVOTE, CHAIN, 9, 1, A)
    other = sign_with_nonce(KEYS[2].seed, message, b"\x07" + bytes(31))
    second = msgspec.structs.replace(FIRST, signature=other)
    check_vote(second, SET, CHAIN)
    assert other != FIRST.signature
    with pytest.raises(RemoteError, match="evidence of two equal messages"):
        check_evidence(make_evidence(FIRST, second), SET, CHAIN)


def test_a_proposal_with_its_block_is_no_evidence() -> None:
    """The same conviction in many bytes would let a block be filled with one offence."""
    pair = sorted(encode(proposal(KEYS[3], 3, CHAIN, 9, 2, value)) for value in (A, B))
    with pytest.raises(RemoteError, match="carries the block"):
        check_evidence(encode(Pair(PROPOSAL, *pair)), SET, CHAIN)


@pytest.mark.parametrize("kind", [0, PRECOMMIT, PROPOSAL])
def test_evidence_under_a_wrong_kind_is_refused(kind: int) -> None:
    pair = sorted(encode(vote(KEYS[2], 2, CHAIN, 9, 1, value)) for value in (A, B))
    with pytest.raises(RemoteError):
        check_evidence(encode(Pair(kind, *pair)), SET, CHAIN)


def test_a_flipped_bit_anywhere_acquits() -> None:
    data = make_evidence(FIRST, vote(KEYS[2], 2, CHAIN, 9, 1, B))
    choose = random.Random(1)
    for position in range(len(data)):
        with pytest.raises(RemoteError):
            check_evidence(flip(data, position * 8 + choose.randrange(8)), SET, CHAIN)
