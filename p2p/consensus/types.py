"""What the consensus core takes and gives: messages, their sign-bytes, events, actions, the durable record.

Messages go over the wire and into files, so they are `Record`s. Events and actions never leave the process.
The shell around the core (sockets, clock, disk, keys) checks a message with `check_vote` or
`check_proposal` before it makes an event of it: the core trusts whom a message names as its signer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from p2p.blocks import domains
from p2p.blocks.block import PRECOMMIT, PREVOTE, CommitCertificate, proposer_index, vote_bytes
from p2p.errors import OutOfRange, WrongSignature
from p2p.wire.codec import Record
from p2p.wire.identity import verify

PROPOSAL = 0x20
"""First sign-byte of a proposal; those of votes are `PREVOTE` and `PRECOMMIT`."""

NO_ROUND = -1
RECORD_VERSION = 1
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Limit of one `SignState`: up to three blocks and the votes of a few rounds. [B]"""


class Step(IntEnum):
    """Where a validator is within a round; also the kind of a timer."""

    WAIT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


class Vote(Record, frozen=True):
    """A prevote or precommit.

    Args:
        kind: `PREVOTE` or `PRECOMMIT`.
        block_hash: What is voted for; None for nil.
        validator: Index into the validators of the height.
    """

    kind: int
    height: int
    round: int
    block_hash: bytes | None
    validator: int
    signature: bytes


class Proposal(Record, frozen=True):
    """A block put to the vote. The signature covers height, round, hash and valid round only.

    Args:
        valid_round: Round in which the block got a quorum of prevotes, or -1 for a fresh block.
        proposer: Index into the validators of the height.
        block: Bytes of the block.
        pol: Proof of lock: the quorum of prevotes of `valid_round`; empty for a fresh block.
    """

    height: int
    round: int
    block_hash: bytes
    valid_round: int
    proposer: int
    signature: bytes
    block: bytes
    pol: tuple[Vote, ...]


class Status(Record, frozen=True):
    """Where a validator is and what it holds for its round; unsigned, so it may only cause a resend.

    Args:
        round: -1 while it waits for work.
        prevotes: Bit i is set when it holds a prevote of validator i for this round.
        precommits: The same for precommits.
    """

    height: int
    round: int
    step: int
    prevotes: int
    precommits: int
    has_proposal: bool


Message = Vote | Proposal | Status


class SignState(Record, frozen=True):
    """All that a validator must find again after a crash; durable before anything it signed is sent.

    The step within the round is that of the last own vote in it.

    Args:
        votes: Own votes of this height, of the newest rounds.
        heard: Votes of others for this round and the one before. They justify this round: a node
            that lost them could be the only one that had them, and no other would follow.
        proposal: Own newest proposal of this height, without its block's bytes.
        blocks: (hash, bytes) of the locked, the valid and the proposed block.
    """

    version: int
    height: int
    round: int
    locked_round: int
    locked_hash: bytes | None
    valid_round: int
    valid_hash: bytes | None
    pol: tuple[Vote, ...]
    votes: tuple[Vote, ...]
    heard: tuple[Vote, ...]
    proposal: Proposal | None
    blocks: tuple[tuple[bytes, bytes], ...]


class Timeouts(msgspec.Struct, frozen=True):
    """Lengths of the timers of a round: base + delta * round, never above the cap. [ms]"""

    propose: int = 3_000
    propose_delta: int = 500
    vote: int = 1_000
    vote_delta: int = 500
    cap: int = 15_000

    def length(self, step: Step, round_: int) -> int:
        """Length of a round's timer. [ms]"""
        if step == Step.PROPOSE:
            return min(self.propose + self.propose_delta * round_, self.cap)
        return min(self.vote + self.vote_delta * round_, self.cap)


LAN_TIMEOUTS = Timeouts(propose=300, propose_delta=200, vote=100, vote_delta=100, cap=3_000)


class _Given(msgspec.Struct, frozen=True):
    """Base of events and actions."""


class Start(_Given, frozen=True):
    """The process starts, at the height above its stored chain.

    Args:
        record: Newest durable record, or None where this key never signed.
        due: A block is due now; else the height waits for `Due` or for others to begin.
        sign_from: Sign nothing below this height. A validator that was restored from a backup, or lost
            its record, sets it above any height it could have signed.
    """

    record: SignState | None
    height: int
    validators: tuple[bytes, ...]
    due: bool
    sign_from: int


class NewHeight(_Given, frozen=True):
    """The decided block is durable; the next height may begin."""

    height: int
    validators: tuple[bytes, ...]
    due: bool


class Due(_Given, frozen=True):
    """There is something to put into a block of this height."""

    height: int


class GotVote(_Given, frozen=True):
    """A vote of this height or the next, its signature checked."""

    vote: Vote


class GotProposal(_Given, frozen=True):
    """A proposal, checked: its signature, each vote of its POL, the hash of its block.

    Args:
        timely: The block's time is near our clock. Counts for fresh blocks only.
    """

    proposal: Proposal
    timely: bool


class GotCommit(_Given, frozen=True):
    """A block with a certificate that was checked against the validators of its height."""

    block: bytes
    cert: CommitCertificate


class Timeout(_Given, frozen=True):
    """A timer ran out."""

    step: Step
    height: int
    round: int


class BlockBuilt(_Given, frozen=True):
    """Answer to `BuildBlock`: a valid block of ours."""

    height: int
    round: int
    block: bytes
    block_hash: bytes


class BlockChecked(_Given, frozen=True):
    """Answer to `CheckBlock`."""

    block_hash: bytes
    ok: bool


class ResendTick(_Given, frozen=True):
    """The resend period is over."""


class PeerStatus(_Given, frozen=True):
    """A status that this peer sent."""

    peer: str
    status: Status


Event = (
    GotVote
    | GotProposal
    | PeerStatus
    | Timeout
    | ResendTick
    | BlockChecked
    | BlockBuilt
    | GotCommit
    | NewHeight
    | Due
    | Start
)


class Persist(_Given, frozen=True):
    """Make this record durable before any later action of the list."""

    record: SignState


class Broadcast(_Given, frozen=True):
    """Send to every other validator."""

    message: Message


class SendTo(_Given, frozen=True):
    """Send to one peer."""

    peer: str
    message: Vote | Proposal


class SendCommit(_Given, frozen=True):
    """Send a peer that is behind the stored block and certificate of this height, and what follows."""

    peer: str
    height: int


class Sync(_Given, frozen=True):
    """Others are ahead: fetch blocks and certificates from this height on."""

    height: int


class SetTimer(_Given, frozen=True):
    """Submit `Timeout(step, height, round)` after this time. [ms]"""

    step: Step
    height: int
    round: int
    ms: int


class BuildBlock(_Given, frozen=True):
    """Build a block; answer with `BlockBuilt`, at any time or never."""

    height: int
    round: int


class CheckBlock(_Given, frozen=True):
    """Check a block against the state; answer with `BlockChecked`."""

    block_hash: bytes
    block: bytes


class Decide(_Given, frozen=True):
    """Execute the block and store it with its certificate, durably; then submit `NewHeight`."""

    block: bytes
    cert: CommitCertificate


class Evidence(_Given, frozen=True):
    """Two messages that one honest validator cannot both have signed."""

    first: Vote | Proposal
    second: Vote | Proposal


Action = (
    Persist | Broadcast | SendTo | SendCommit | Sync | SetTimer | BuildBlock | CheckBlock | Decide | Evidence
)


def proposal_bytes(chain_id: bytes, height: int, round_: int, block_hash: bytes, valid_round: int) -> bytes:
    """Return what a proposal signs under `domains.SIGN_CONSENSUS`: a vote's bytes and the valid round."""
    return vote_bytes(PROPOSAL, chain_id, height, round_, block_hash) + valid_round.to_bytes(
        4, "big", signed=True
    )


def signed_bytes(message: Vote | Proposal, chain_id: bytes) -> bytes:
    """Return the sign-bytes of a message."""
    if isinstance(message, Vote):
        return vote_bytes(message.kind, chain_id, message.height, message.round, message.block_hash)
    return proposal_bytes(chain_id, message.height, message.round, message.block_hash, message.valid_round)


def check_vote(vote: Vote, validators: Sequence[bytes], chain_id: bytes) -> None:
    """Raise unless the validator it names signed this vote.

    Raises:
        OutOfRange: A field that no vote can have.
        WrongSignature: The signature does not verify.
    """
    if vote.kind not in (PREVOTE, PRECOMMIT):
        raise OutOfRange(f"a vote of kind {vote.kind}; there are {PREVOTE} and {PRECOMMIT}")
    if vote.block_hash is not None and len(vote.block_hash) != 32:
        raise OutOfRange(f"a vote for a hash of {len(vote.block_hash)} bytes")
    _check_signer(vote, vote.validator, validators, chain_id)


def check_proposal(proposal: Proposal, validators: Sequence[bytes], chain_id: bytes) -> None:
    """Raise unless it was this validator's turn and it signed, and every vote of the POL is genuine.

    The core checks whether the POL is a quorum for this block; the shell, which decodes the block, checks its hash.

    Raises:
        OutOfRange: A field that no proposal can have.
        WrongSignature: The signature of the proposal or of a vote does not verify.
    """
    n = len(validators)
    if len(proposal.block_hash) != 32 or len(proposal.pol) > n:
        raise OutOfRange(f"a proposal with {len(proposal.pol)} votes for {n} validators, or a wrong hash")
    if not NO_ROUND <= proposal.valid_round < max(proposal.round, 0):
        raise OutOfRange(f"valid round {proposal.valid_round} in a proposal of round {proposal.round}")
    _check_signer(proposal, proposal.proposer, validators, chain_id)
    turn = proposer_index(proposal.height, proposal.round, n)
    if proposal.proposer != turn:
        raise WrongSignature(f"validator {proposal.proposer} proposes in the turn of {turn}")
    for vote in proposal.pol:
        check_vote(vote, validators, chain_id)


def _check_signer(
    message: Vote | Proposal, signer: int, validators: Sequence[bytes], chain_id: bytes
) -> None:
    if not (0 <= message.round < 2**31 and message.height >= 0):
        raise OutOfRange(f"height {message.height}, round {message.round}")
    if not 0 <= signer < len(validators):
        raise OutOfRange(f"validator {signer} of {len(validators)}")
    data = signed_bytes(message, chain_id)
    if not verify(validators[signer], domains.SIGN_CONSENSUS, data, message.signature):
        raise WrongSignature(
            f"height {message.height}, round {message.round}: the signature of validator {signer} does not verify"
        )
