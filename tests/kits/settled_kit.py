"""Proofs of settled intervals that a test asks for, and gates that it opens and ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from p2p.batches.batch import batch_tx
from p2p.blocks import block as blocks
from p2p.blocks.block import Block, CommitCertificate, Header
from p2p.blocks.genesis import Genesis
from p2p.ledger.light import SettledInterval, check_batch_proof, make_batch_proof
from p2p.roles.collector.intake import Gate
from p2p.roles.exchange.turns import GateOpen
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import ReceiptCode
from tests.kits.chain_kit import OPERATOR, START, STEP, certify, make_args


def settled_block(
    genesis: Genesis,
    start: int = START,
    height: int = 1,
    next_collector: Identity = OPERATOR,
    sender: Identity = OPERATOR,
) -> tuple[Block, CommitCertificate]:
    """A block of made-up content that settles an interval, signed by the validators of the genesis."""
    _, made = make_args(0, max(genesis.members, 2))
    args = msgspec.structs.replace(made, interval_start=start, next_collector=next_collector.public_key)
    txs, count = (batch_tx(sender, genesis.chain_id, height, 2**40, args),), len(genesis.authorities)
    validators = blocks.validators_hash(genesis.authorities)
    header = Header(
        version=blocks.VERSION,
        chain_id=genesis.chain_id,
        height=height,
        time_ms=1_000 * (start + STEP),
        parent_hash=bytes(32),
        proposer_idx=blocks.proposer_index(height, 0, count),
        validators_hash=validators,
        next_validators_hash=validators,
        params_hash=bytes(32),
        tx_root=blocks.tx_root(txs),
        evidence_root=blocks.evidence_root(()),
        state_root=bytes(32),
        receipts_root=bytes(32),
    )
    return Block(header, txs, ()), certify(header, count)


def proof_of(
    genesis: Genesis,
    start: int = START,
    height: int = 1,
    next_collector: Identity = OPERATOR,
    sender: Identity = OPERATOR,
) -> bytes:
    """The proof that an interval is settled in the block of a height."""
    block, cert = settled_block(genesis, start, height, next_collector, sender)
    return encode(make_batch_proof(block, cert, genesis))


def settled(genesis: Genesis, proof: bytes) -> SettledInterval:
    """What a proof shows."""
    return check_batch_proof(proof, genesis)


@dataclass
class OpenGates:
    """Gates as a test says; each one is open of which it says nothing.

    Attributes:
        early: Gates that have not opened.
        ended: Gates whose time is over; such a gate can be closed.
    """

    early: set[Gate] = field(default_factory=set)
    ended: set[Gate] = field(default_factory=set)

    def refusal(self, interval_start: int, slot: int) -> ReceiptCode | None:
        if (interval_start, slot) in self.early:
            return ReceiptCode.EARLY
        return ReceiptCode.LATE if (interval_start, slot) in self.ended else None

    def check_closed(self, interval_start: int, slot: int) -> None:
        if (interval_start, slot) not in self.ended:
            raise GateOpen(f"slot {slot} of interval {interval_start} is open")
