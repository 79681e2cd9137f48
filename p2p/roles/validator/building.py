"""Building of own blocks from transactions and evidence."""

from __future__ import annotations

from collections.abc import Iterable

from p2p.blocks import block as blocks
from p2p.blocks.block import Block, Tx, proposer_index
from p2p.consensus.evidence import MAX_EVIDENCE, evidence_height
from p2p.consensus.types import BlockBuilt
from p2p.ledger.execution import choose, next_header
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.peers import MAX_PROPOSED_BYTES
from p2p.roles.validator.mempool import Mempool
from p2p.wire.codec import encode

MAX_BODY_BYTES = MAX_PROPOSED_BYTES - 8 * 1024
"""Transactions of a block of ours; header and evidence have the rest. [B]"""
MAX_BLOCK_TXS = 512
MAX_WAITING = 64
"""Pieces of evidence that wait for a block."""


class EvidencePool:
    """Evidence that no block holds yet, each piece once; bounded."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, piece: bytes) -> bool:
        return piece in self._waiting

    def add(self, piece: bytes) -> None:
        """Keep a piece."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[piece] = None

    def drop(self, pieces: Iterable[bytes]) -> None:
        """Remove what a block holds, or may not hold."""
        for piece in pieces:
            self._waiting.pop(piece, None)

    def pieces(self) -> tuple[bytes, ...]:
        """What may go into the next block."""
        return tuple(self._waiting)


def build_block(ledger: Ledger, mempool: Mempool, pool: EvidencePool, round_: int, now_ms: int) -> BlockBuilt:
    """Build a valid block on the tip; what the state refuses is dropped from the pools.

    Args:
        now_ms: The clock; the block is later than its parent even where the clock is not. [ms]
    """
    tip, genesis = ledger.tip, ledger.genesis
    height = tip.height + 1
    proposer = proposer_index(height, round_, len(ledger.validators))
    waiting, pieces = _waiting(mempool), pool.pieces()
    txs, evidence = choose(tip, genesis, waiting, pieces)
    kept = {(tx.sender, tx.nonce) for tx in txs}
    for tx in waiting:
        if (tx.sender, tx.nonce) not in kept:
            mempool.drop(tx)  # left there it would make a block due again and again
    if len(evidence) < MAX_EVIDENCE:  # else some may only have had no room
        pool.drop(piece for piece in pieces if piece not in evidence and evidence_height(piece) < height)
    time_ms = max(now_ms, tip.time_ms + 1)
    block = Block(next_header(tip, genesis, time_ms, proposer, txs, evidence), txs, evidence)
    name = blocks.block_hash(block.header)
    ledger.execute(block, name, signatures=False)
    return BlockBuilt(height, round_, encode(block), name)


def _waiting(mempool: Mempool) -> list[Tx]:
    waiting: list[Tx] = []
    room = MAX_BODY_BYTES
    for tx in mempool.ready():
        room -= len(tx.raw) + 8
        if room < 0 or len(waiting) == MAX_BLOCK_TXS:
            break
        waiting.append(tx)
    return waiting
