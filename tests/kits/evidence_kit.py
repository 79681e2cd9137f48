"""Votes and proposals signed by anybody."""

from __future__ import annotations

from p2p.blocks import domains
from p2p.blocks.block import PREVOTE, vote_bytes
from p2p.consensus.types import Proposal, Vote, proposal_bytes
from p2p.wire.identity import Identity


def vote(
    key: Identity,
    index: int,
    chain_id: bytes,
    height: int,
    round_: int,
    block_hash: bytes | None,
    kind: int = PREVOTE,
) -> Vote:
    data = vote_bytes(kind, chain_id, height, round_, block_hash)
    return Vote(kind, height, round_, block_hash, index, key.sign(domains.SIGN_CONSENSUS, data))


def proposal(
    key: Identity,
    index: int,
    chain_id: bytes,
    height: int,
    round_: int,
    block_hash: bytes,
    valid_round: int = -1,
) -> Proposal:
    data = proposal_bytes(chain_id, height, round_, block_hash, valid_round)
    signature = key.sign(domains.SIGN_CONSENSUS, data)
    return Proposal(height, round_, block_hash, valid_round, index, signature, b"the block", ())
