"""Sign-bytes, the shell's checks of real signatures, and the wire form of the consensus messages."""

from __future__ import annotations

from functools import partial

import pytest

from p2p.blocks import domains
from p2p.blocks.block import PRECOMMIT, PREVOTE, check_cert
from p2p.consensus.core import Core
from p2p.consensus.types import (
    LAN_TIMEOUTS,
    NO_ROUND,
    BlockBuilt,
    BlockChecked,
    Decide,
    GotProposal,
    GotVote,
    Proposal,
    Start,
    Status,
    Vote,
    check_proposal,
    check_vote,
    proposal_bytes,
    signed_bytes,
)
from p2p.consensus.votes import SignGuard
from p2p.errors import Malformed, OutOfRange, WrongSignature
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from tests.sim.kit import CHAIN_ID, A, messages, name

KEYS = [Identity.from_seed(bytes((i + 1,)) * 32) for i in range(4)]
VALIDATORS = tuple(key.public_key for key in KEYS)


def signed_vote(kind: int, who: int, round_: int, block: bytes | None, signer: int | None = None) -> Vote:
    empty = Vote(kind, 1, round_, name(block), who, b"")
    key = KEYS[who if signer is None else signer]
    return Vote(
        kind, 1, round_, name(block), who, key.sign(domains.SIGN_CONSENSUS, signed_bytes(empty, CHAIN_ID))
    )


def signed_proposal(
    round_: int, who: int, valid_round: int = NO_ROUND, pol: tuple[Vote, ...] = ()
) -> Proposal:
    block_hash = name(A) or b""
    data = proposal_bytes(CHAIN_ID, 1, round_, block_hash, valid_round)
    return Proposal(
        1, round_, block_hash, valid_round, who, KEYS[who].sign(domains.SIGN_CONSENSUS, data), A, pol
    )


def test_the_bytes_of_a_proposal_have_their_fixed_places() -> None:
    data = proposal_bytes(CHAIN_ID, 5, 2, bytes([7]) * 32, -1)
    assert data == (
        b"\x20"
        + CHAIN_ID
        + (5).to_bytes(8, "big")
        + (2).to_bytes(4, "big")
        + b"\1"
        + bytes([7]) * 32
        + b"\xff" * 4
    )


@pytest.mark.parametrize("block", [A, None])
@pytest.mark.parametrize("kind", [PREVOTE, PRECOMMIT])
def test_a_signed_vote_passes(kind: int, block: bytes | None) -> None:
    check_vote(signed_vote(kind, 2, 3, block), VALIDATORS, CHAIN_ID)


def test_a_vote_under_another_name_chain_or_content_is_refused() -> None:
    good = signed_vote(PREVOTE, 2, 3, A)
    with pytest.raises(WrongSignature, match="validator 1"):
        check_vote(signed_vote(PREVOTE, 1, 3, A, signer=2), VALIDATORS, CHAIN_ID)
    with pytest.raises(WrongSignature):
        check_vote(good, VALIDATORS, bytes(32))
    for changed in (
        Vote(PRECOMMIT, 1, 3, good.block_hash, 2, good.signature),
        Vote(PREVOTE, 2, 3, good.block_hash, 2, good.signature),
        Vote(PREVOTE, 1, 4, good.block_hash, 2, good.signature),
        Vote(PREVOTE, 1, 3, None, 2, good.signature),
    ):
        with pytest.raises(WrongSignature):
            check_vote(changed, VALIDATORS, CHAIN_ID)


@pytest.mark.parametrize(
    "vote",
    [
        Vote(3, 1, 0, None, 0, bytes(64)),
        Vote(PREVOTE, 1, 0, b"short", 0, bytes(64)),
        Vote(PREVOTE, 1, -1, None, 0, bytes(64)),
        Vote(PREVOTE, 1, 2**31, None, 0, bytes(64)),
        Vote(PREVOTE, -1, 0, None, 0, bytes(64)),
        Vote(PREVOTE, 1, 0, None, 4, bytes(64)),
        Vote(PREVOTE, 1, 0, None, -1, bytes(64)),
    ],
)
def test_a_vote_that_cannot_be_is_out_of_range(vote: Vote) -> None:
    with pytest.raises(OutOfRange):
        check_vote(vote, VALIDATORS, CHAIN_ID)


def test_a_signed_proposal_with_a_signed_proof_passes() -> None:
    check_proposal(signed_proposal(0, 1), VALIDATORS, CHAIN_ID)
    proof = tuple(signed_vote(PREVOTE, i, 0, A) for i in (0, 1, 3))
    check_proposal(signed_proposal(1, 2, 0, proof), VALIDATORS, CHAIN_ID)


def test_one_forged_vote_in_the_proof_is_enough_to_refuse() -> None:
    proof = (signed_vote(PREVOTE, 0, 0, A), signed_vote(PREVOTE, 1, 0, A, signer=2))
    with pytest.raises(WrongSignature, match="validator 1"):
        check_proposal(signed_proposal(1, 2, 0, proof), VALIDATORS, CHAIN_ID)


def test_a_proposal_out_of_turn_or_with_an_impossible_valid_round_is_refused() -> None:
    with pytest.raises(WrongSignature, match="turn of 1"):
        check_proposal(signed_proposal(0, 2), VALIDATORS, CHAIN_ID)
    for valid_round in (1, 2, -2):
        with pytest.raises(OutOfRange):
            check_proposal(signed_proposal(1, 2, valid_round), VALIDATORS, CHAIN_ID)
    proof = tuple(signed_vote(PREVOTE, 0, 0, A) for _ in range(5))
    with pytest.raises(OutOfRange):
        check_proposal(signed_proposal(1, 2, 0, proof), VALIDATORS, CHAIN_ID)


def test_messages_survive_the_wire() -> None:
    proof = tuple(signed_vote(PREVOTE, i, 0, A) for i in (0, 1, 3))
    for message in (proof[0], signed_vote(PRECOMMIT, 0, 0, None), signed_proposal(1, 2, 0, proof)):
        assert decode(type(message), encode(message)) == message
    status = Status(4, -1, 0, 0b101, 0, False)
    assert decode(Status, encode(status)) == status
    with pytest.raises(Malformed):
        decode(Vote, encode(status))


def test_four_cores_with_real_keys_make_a_certificate_that_verifies() -> None:
    cores = []
    for key in KEYS:
        guard = SignGuard(CHAIN_ID, partial(key.sign, domains.SIGN_CONSENSUS), None)
        cores.append(Core(CHAIN_ID, key.public_key, guard.sign, LAN_TIMEOUTS))
    for core in cores:
        core.handle(Start(None, 1, VALIDATORS, True, 0))
    waiting = messages(cores[1].handle(BlockBuilt(1, 0, A, name(A) or b"")))
    decided = []
    while waiting:
        message = waiting.pop(0)
        for core in cores:
            if isinstance(message, Vote):
                check_vote(message, VALIDATORS, CHAIN_ID)
                actions = core.handle(GotVote(message))
            else:
                check_proposal(message, VALIDATORS, CHAIN_ID)
                actions = core.handle(GotProposal(message, True))
                actions = [*actions, *core.handle(BlockChecked(message.block_hash, True))]
            waiting += messages(actions)
            decided += [action for action in actions if isinstance(action, Decide)]
    assert len(decided) == 4
    for one in decided:
        check_cert(one.cert, VALIDATORS, CHAIN_ID)
