"""Putting proofs against collectors and validators on the chain: those of homes, and two batches that were seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from p2p.batches.batch import BatchArgs
from p2p.batches.closings import MAX_BROKEN_BYTES
from p2p.batches.receipts import MAX_OMISSION_BYTES
from p2p.blocks.block import MAX_TX_BYTES, Tx, make_tx
from p2p.errors import NotAllowed, OutOfRange, RemoteError, TooLarge
from p2p.ledger.modules import evidence
from p2p.ledger.modules.evidence import ProofArgs, TwoBatchesArgs
from p2p.ledger.state import apply
from p2p.roles.exchange.wire import EVIDENCE_PROTOCOL, NOT_QUEUED, read_accusation
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.intake import RateLimited
from p2p.roles.validator.mempool import MAX_PER_SENDER, NonceTaken, TxReply
from p2p.transports.base import Transport
from p2p.wire.codec import Record
from p2p.wire.identity import Identity

LIFETIME: Final = 100
"""Heights for which an accusation stays valid."""
WRONG_MAX: Final = 4
"""Proofs of a peer that prove nothing, in an interval; beyond it none of its proofs is checked."""
PEERS_MAX: Final = 1_024
SEEN_MAX: Final = 64
"""Batches of the interval that is settled next that are compared with later ones."""


class NotQueued(RemoteError):
    """The proof holds, and the transaction of it finds no room now; show it again."""

    code = NOT_QUEUED


class Accuser:
    """Accuses as a validator.

    Args:
        identity: Key of the validator.
        submit: Puts a transaction into the own mempool.
        may_accuse: Whether proofs of a peer are checked.
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        ledger: Ledger,
        submit: Callable[[bytes], TxReply],
        may_accuse: Callable[[str], bool],
    ) -> None:
        self._identity, self._ledger, self._submit = identity, ledger, submit
        self._may_accuse = may_accuse
        self._refused = transport.stats.refused
        self._wrong: Counter[str] = Counter()
        self._seen: dict[bytes, Tx] = {}
        self._accused: set[bytes] = set()
        self._interval = -1
        transport.serve(EVIDENCE_PROTOCOL, self._take)

    def compare(self, tx: Tx, args: BatchArgs) -> None:
        """Compare a batch with the first one of its sender: two different ones of an interval convict it."""
        self._begin_interval()
        first = self._seen.get(tx.sender)
        if first is None:
            if len(self._seen) < SEEN_MAX:
                self._seen[tx.sender] = tx
            return
        # It may be the same batch, its key be convicted already, or this node be no validator now.
        with suppress(RemoteError):
            culprit, _ = evidence.check_two_batches(first, tx, self._ledger.genesis.chain_id)
            self._accuse(culprit, evidence.TWO_BATCHES, TwoBatchesArgs(first, tx))

    async def _take(self, peer: str, frame: bytes) -> bytes:
        """Check a proof and put it on the chain; one that proves nothing, or nothing new, counts against its sender."""
        self._begin_interval()
        if not self._may_accuse(peer):
            raise NotAllowed(f"peer {peer} is no member")
        if self._wrong[peer] >= WRONG_MAX or (len(self._wrong) >= PEERS_MAX and peer not in self._wrong):
            raise RateLimited("too many proofs that prove nothing")
        genesis = self._ledger.genesis
        try:
            sent = read_accusation(frame, genesis.chain_id, max(MAX_OMISSION_BYTES, MAX_BROKEN_BYTES) + 1_024)
            check = evidence.PROOFS.get(sent.method)
            if check is None:
                raise OutOfRange(f"no proof of {sent.method[:32]!r}; there are {', '.join(evidence.PROOFS)}")
            culprit, _ = check(sent.proof, genesis, self._ledger.tip.state.home_key)
            self._accuse(culprit, sent.method, ProofArgs(sent.proof))
        except NotQueued:
            raise
        except RemoteError:
            self._wrong[peer] += 1
            raise
        return b""

    def _accuse(self, culprit: bytes, method: str, args: Record) -> None:
        """Submit a transaction, unless one against this key was submitted in this interval.

        Raises:
            InvalidTx: The chain would refuse it: the key is convicted already, or this node is no validator now.
            TooLarge: With full entries a batch fills a transaction: such a proof is for people.
            NotQueued: There is no room for it now.
        """
        if culprit in self._accused:
            return
        tip, genesis = self._ledger.tip, self._ledger.genesis
        first, until = tip.state.nonce(self._identity.public_key) + 1, tip.height + LIFETIME
        # Others of this node may wait for a block: a batch, or what accuses somebody else.
        for nonce in range(first, first + MAX_PER_SENDER):
            tx = make_tx(self._identity, genesis.chain_id, nonce, until, evidence.NAME, method, args)
            if len(tx.raw) > MAX_TX_BYTES:
                raise TooLarge(f"a transaction of {len(tx.raw)} bytes; the limit is {MAX_TX_BYTES}")
            if nonce == first:
                apply(tip.state, tx, tip.height + 1, genesis)
            reply = self._submit(tx.raw)
            if not reply.code:
                self._accused.add(culprit)
                return
            if reply.code != NonceTaken.code:
                raise NotQueued(f"{reply.code}: {reply.detail}")
        raise NotQueued(f"{MAX_PER_SENDER} transactions of this validator wait already")

    def _begin_interval(self) -> None:
        last = self._ledger.tip.state.settled.last_interval_start
        if last != self._interval:
            self._interval = last
            self._wrong.clear()
            self._seen.clear()
            self._accused.clear()
