"""Checks of messages from other validators before they reach the core.

Nothing here signs, stores or changes state. A message that breaks a rule ends its frame: an honest peer checks
before it passes anything on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from p2p.blocks.block import MAX_BLOCK_BYTES, MAX_CERT_BYTES, block_hash, decode_block, decode_cert
from p2p.consensus.core import Core
from p2p.consensus.types import (
    NO_ROUND,
    Event,
    GotCommit,
    GotProposal,
    GotVote,
    PeerStatus,
    Proposal,
    Status,
    Vote,
    check_proposal,
    check_vote,
)
from p2p.errors import InvalidBlock, Malformed, OutOfRange, RemoteError, TooLarge
from p2p.roles.replica.ledger import Ledger, check_body
from p2p.roles.replica.peers import (
    COMMIT,
    EVIDENCE,
    MAX_FRAME_MESSAGES,
    MAX_PROPOSED_BYTES,
    PROPOSAL,
    STATUS,
    TX,
    VOTE,
    Commit,
    ConsensusFrame,
)
from p2p.roles.replica.status import check_head
from p2p.transports.counters import Refusals
from p2p.wire.codec import decode
from p2p.wire.frames import FRAME_MAX_BYTES

_YIELD_AFTER = 8
"""Messages with signatures between two turns for other tasks."""
_MAX_METERS = 1_024
_COMMIT_BYTES = MAX_BLOCK_BYTES + MAX_CERT_BYTES + 16
_TX_BYTES = FRAME_MAX_BYTES


class RateLimited(RemoteError):
    """A peer that sends more than its share, or too much that is wrong."""

    code = "rate_limited"


@dataclass(frozen=True, slots=True)
class Rates:
    """What one peer may send, as (burst, per second).

    Args:
        messages: Of all kinds.
        wrong: Messages that break a rule; beyond it nothing of the peer is read for a while.
        statuses: Statuses that are answered; the rest is dropped.
    """

    messages: tuple[float, float] = (4_000, 1_000)
    wrong: tuple[float, float] = (20, 1)
    statuses: tuple[float, float] = (10, 5)


class _Bucket:
    """A token bucket."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left, self._at = burst, trio.current_time()

    def take(self, amount: float, *, at_least: float | None = None) -> bool:
        """Take tokens if enough are available."""
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < (amount if at_least is None else at_least):
            return False
        self._left -= amount
        return True


class _Meters:
    def __init__(self, rates: Rates) -> None:
        self.messages = _Bucket(*rates.messages)
        self.wrong = _Bucket(*rates.wrong)
        self.statuses = _Bucket(*rates.statuses)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a frame came to: events for the core, transactions and evidence for the pools, not checked yet."""

    events: list[Event]
    txs: list[bytes]
    evidence: list[bytes]


class ConsensusIntake:
    """Reads frames of /wattswap/consensus/1.

    Args:
        core: Asked for its height and what it knows; never changed.
        now_ms: The clock. [ms since 1970, UTC]
        early_ms: How far ahead of our clock the time of a fresh block may be. [ms]
        late_ms: How far behind. [ms]
    """

    def __init__(
        self,
        core: Core,
        ledger: Ledger,
        refused: Refusals,
        now_ms: Callable[[], int],
        *,
        early_ms: int,
        late_ms: int,
        rates: Rates,
    ) -> None:
        self._core = core
        self._ledger = ledger
        self._chain_id = ledger.genesis.chain_id
        self._refused = refused
        self._now_ms = now_ms
        self._early_ms, self._late_ms = early_ms, late_ms
        self._rates = rates
        self._meters: dict[str, _Meters] = {}

    async def read(self, peer: str, data: bytes) -> Taken:
        """Check a frame. What was right before the first wrong message counts.

        Raises:
            RemoteError: The frame is none of ours, or the peer is over its limits.
        """
        meters = self._meters_of(peer)
        if not meters.wrong.take(0, at_least=1):
            raise RateLimited("too many wrong messages; wait")
        try:
            frame = decode(ConsensusFrame, data, max_bytes=FRAME_MAX_BYTES)
            check_head(frame.version, frame.chain_id, self._chain_id)
            if len(frame.messages) > MAX_FRAME_MESSAGES:
                raise TooLarge(f"{len(frame.messages)} messages in a frame; at most {MAX_FRAME_MESSAGES}")
        except RemoteError:
            meters.wrong.take(1)
            raise
        if not meters.messages.take(max(1, len(frame.messages))):
            raise RateLimited("too many messages; wait")
        taken = Taken([], [], [])
        try:
            for i, message in enumerate(frame.messages, start=1):
                self._read_one(peer, message, taken, meters)
                if i % _YIELD_AFTER == 0:
                    await trio.lowlevel.checkpoint()
        except RemoteError as error:
            meters.wrong.take(1)
            self._refused.add(peer, error.code, error.detail)
        return taken

    def may_ask(self, peer: str) -> bool:
        """Count one more message of a peer; False where it is over its limit."""
        return self._meters_of(peer).messages.take(1)

    def _meters_of(self, peer: str) -> _Meters:
        meters = self._meters.get(peer)
        if meters is None:
            if len(self._meters) >= _MAX_METERS:
                self._meters.pop(next(iter(self._meters)))
            meters = self._meters[peer] = _Meters(self._rates)
        return meters

    def _read_one(self, peer: str, message: bytes, taken: Taken, meters: _Meters) -> None:
        kind, body = message[:1], message[1:]
        if kind == bytes((VOTE,)):
            taken.events.extend(self._vote(peer, body))
        elif kind == bytes((PROPOSAL,)):
            taken.events.extend(self._proposal(peer, body))
        elif kind == bytes((STATUS,)):
            status = decode(Status, body, max_bytes=256)
            if meters.statuses.take(1):
                taken.events.append(PeerStatus(peer, status))
            else:
                self._refused.add(peer, RateLimited.code, "a status too many")
        elif kind == bytes((COMMIT,)):
            taken.events.extend(self._commit(peer, body))
        elif kind == bytes((TX,)):
            taken.txs.append(body)
        elif kind == bytes((EVIDENCE,)):
            taken.evidence.append(body)
        else:
            raise Malformed(f"a message of kind {kind.hex() or 'none'}")

    def _set_for(self, peer: str, height: int) -> tuple[bytes, ...] | None:
        """Validators of this height or the next; None for heights that are not of interest."""
        here = self._core.height
        if height in (here, here + 1) and here == self._ledger.height + 1:
            return self._ledger.validators if height == here else self._ledger.next_validators
        if height != here:
            code = "stale" if height < here else "future"
            self._refused.add(peer, code, f"a message of height {height} at height {here}")
        return None

    def _vote(self, peer: str, body: bytes) -> Iterable[Event]:
        vote = decode(Vote, body, max_bytes=512)
        if self._core.knows(vote):
            return ()
        validators = self._set_for(peer, vote.height)
        if validators is None:
            return ()
        check_vote(vote, validators, self._chain_id)
        return (GotVote(vote),)

    def _proposal(self, peer: str, body: bytes) -> Iterable[Event]:
        proposal = decode(Proposal, body, max_bytes=FRAME_MAX_BYTES)
        validators = self._set_for(peer, proposal.height)
        if validators is None:
            return ()
        held = self._core.proposals.get(proposal.round, ()) if proposal.height == self._core.height else ()
        if any(proposal == known.proposal for known in held):
            return ()
        if len(proposal.block) > MAX_PROPOSED_BYTES:
            raise TooLarge(f"a block of {len(proposal.block)} bytes; the limit is {MAX_PROPOSED_BYTES}")
        check_proposal(proposal, validators, self._chain_id)
        block = decode_block(proposal.block, self._chain_id)
        header = block.header
        if block_hash(header) != proposal.block_hash or header.height != proposal.height:
            raise InvalidBlock(header.height, "header", "it is not the block that was proposed")
        check_body(block)
        if proposal.valid_round == NO_ROUND and header.proposer_idx != proposal.proposer:
            raise OutOfRange(
                f"a fresh block of validator {header.proposer_idx} proposed by {proposal.proposer}"
            )
        age = self._now_ms() - header.time_ms
        return (GotProposal(proposal, -self._early_ms <= age <= self._late_ms),)

    def _commit(self, peer: str, body: bytes) -> Iterable[Event]:
        commit = decode(Commit, body, max_bytes=_COMMIT_BYTES)
        height = decode_cert(commit.cert).height
        if height != self._ledger.height + 1 or self._core.height != height:
            self._refused.add(peer, "stale" if height <= self._ledger.height else "future", f"block {height}")
            return ()
        _, cert = self._ledger.check_certified(commit.block, commit.cert)
        return (GotCommit(commit.block, cert),)
