"""Blocks of one's own, and what is put into them besides transactions: evidence."""

from __future__ import annotations

from p2p.chain import block as blocks
from p2p.chain.block import Block, Tx, proposer_index
from p2p.chain.consensus_types import BlockBuilt, Evidence
from p2p.chain.evidence import MAX_EVIDENCE, make_evidence
from p2p.chain.execution import next_header
from p2p.codec import encode
from p2p.errors import InvalidBlock
from p2p.roles.ledger import Ledger
from p2p.roles.mempool import Mempool

MAX_BODY_BYTES = 192 * 1024
"""Transactions and evidence of a block of ours: with the proposal around it, it must fit into a frame. [B]"""
MAX_BLOCK_TXS = 512
_FIELD = "txs["


class EvidencePool:
    """Evidence that no block holds yet, each piece once; bounded."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, evidence: Evidence) -> None:
        """Keep a piece."""
        data = make_evidence(evidence.first, evidence.second)
        if len(self._waiting) < MAX_EVIDENCE:
            self._waiting[data] = None

    def drop(self, pieces: tuple[bytes, ...]) -> None:
        """Forget what a block holds, or refuses to hold."""
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
    time_ms = max(now_ms, tip.time_ms + 1)
    while True:
        txs, evidence = _choose(mempool), pool.pieces()
        block = Block(next_header(tip, genesis, time_ms, proposer, txs, evidence), txs, evidence)
        name = blocks.block_hash(block.header)
        try:
            ledger.execute(block, name, signatures=False)
        except InvalidBlock as error:
            if error.field.startswith(_FIELD):
                mempool.drop(txs[int(error.field.removeprefix(_FIELD).removesuffix("]"))])
            elif evidence:
                pool.drop(evidence)
            else:
                raise
            continue
        return BlockBuilt(height, round_, encode(block), name)


def _choose(mempool: Mempool) -> tuple[Tx, ...]:
    chosen: list[Tx] = []
    room = MAX_BODY_BYTES
    for tx in mempool.ready():
        room -= len(tx.raw) + 8
        if room < 0 or len(chosen) == MAX_BLOCK_TXS:
            break
        chosen.append(tx)
    return tuple(chosen)
