"""A validator that runs a program of its own, and what it can sign."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from p2p.blocks import domains
from p2p.blocks.block import (
    PREVOTE,
    Block,
    block_hash,
    proposer_index,
    vote_bytes,
)
from p2p.consensus.types import Proposal, Vote, proposal_bytes
from p2p.ledger.execution import next_header
from p2p.roles.replica.peers import (
    CONSENSUS_PROTOCOL,
    pack,
)
from p2p.transports.memory import MemoryEndpoint
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import authorities
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import Town, now_ms

BYZANTINE = 3


@asynccontextmanager
async def byzantine(town: Town) -> AsyncIterator[MemoryEndpoint]:
    """Authority 3 runs a program of its own."""
    await town.stop(BYZANTINE)
    async with town.network.endpoint(town.keys[BYZANTINE]) as endpoint:

        async def swallow(_peer: str, _data: bytes) -> bytes:
            return b""

        endpoint.serve(CONSENSUS_PROTOCOL, swallow)
        yield endpoint


async def goes_on(town: Town, index: int = 0) -> None:
    await town.settle(index, to=(0, 1, 2))
    await town.reach(index + 1, 0, 1, 2)
    town.agree(0, 1, 2)


def vote(
    town: Town, who: int = BYZANTINE, *, height: int = 1, key: Identity | None = None, **changes: object
) -> Vote:
    fields = {"kind": PREVOTE, "round": 0, "block_hash": b"h" * 32} | changes
    data = vote_bytes(fields["kind"], town.genesis.chain_id, height, fields["round"], fields["block_hash"])  # type: ignore[arg-type]
    signature = (key or authorities(4)[who]).sign(domains.SIGN_CONSENSUS, data)
    return Vote(height=height, validator=who, signature=signature, **fields)  # type: ignore[arg-type]


def proposal(town: Town, *, height: int, **changes: object) -> Proposal:
    """A fresh proposal of whoever has its turn in round 0, on the tip of validator 0."""
    ledger = town.validators[0].ledger
    who = proposer_index(height, 0, 4)
    txs = changes.pop("txs", ())
    time_ms = changes.pop("time_ms", max(now_ms(), ledger.tip.time_ms + 1))
    header = next_header(ledger.tip, town.genesis, time_ms, who, txs)  # type: ignore[arg-type]
    header = msgspec.structs.replace(header, **changes.pop("header", {}))  # type: ignore[arg-type]
    block = Block(header, changes.pop("body", txs), ())  # type: ignore[arg-type]
    name = block_hash(header)
    data = proposal_bytes(town.genesis.chain_id, height, 0, name, -1)
    signature = authorities(4)[who].sign(domains.SIGN_CONSENSUS, data)
    made = Proposal(height, 0, name, -1, who, signature, encode(block), ())
    return msgspec.structs.replace(made, **changes)


async def offer(town: Town, endpoint: MemoryEndpoint, bad: Proposal) -> None:
    """Offer a block of height 3 to the honest validators, none of whom votes for it."""
    for index in (0, 1, 2):
        await town.send(endpoint, index, pack(bad))
    await time_passes(1)
    voted = {said[0] for (_, height, _, _), said in town.wire.signed.items() if height == 3}
    assert not any(bad.block_hash in data for data in voted)
