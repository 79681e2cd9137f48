"""Votes of the next height are checked with the set of then, and what is counted of peers is bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2p.blocks import domains
from p2p.blocks.block import PREVOTE, vote_bytes
from p2p.consensus.core import Core
from p2p.consensus.types import LAN_TIMEOUTS, GotVote, Start, Vote
from p2p.roles.replica.peers import ConsensusFrame, pack
from p2p.roles.validator import intake
from p2p.roles.validator.intake import ConsensusIntake, Rates
from p2p.transports.counters import Refusals
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import authorities, make_genesis
from tests.kits.validator_kit import now_ms

GENESIS = make_genesis()
OLD = authorities(4)
NEW = [*OLD[1:], *authorities(5)[4:]]
"""The set from the next height on: the first validator has left, and a fifth one has joined."""
HEIGHT = 7


def keys(validators: list[Identity]) -> tuple[bytes, ...]:
    return tuple(key.public_key for key in validators)


def vote(who: int, key: Identity, height: int) -> Vote:
    data = vote_bytes(PREVOTE, GENESIS.chain_id, height, 0, None)
    return Vote(PREVOTE, height, 0, None, who, key.sign(domains.SIGN_CONSENSUS, data))


async def new_intake() -> ConsensusIntake:
    """Of a validator at a height above which the set changes."""
    core = Core(GENESIS.chain_id, OLD[1].public_key, lambda data: bytes(64), LAN_TIMEOUTS)
    core.handle(Start(None, HEIGHT, keys(OLD), False, 0))
    ledger: Any = SimpleNamespace(
        genesis=GENESIS, height=HEIGHT - 1, validators=keys(OLD), next_validators=keys(NEW)
    )
    return ConsensusIntake(core, ledger, Refusals(), now_ms, early_ms=500, late_ms=5_000, rates=Rates())


def taken(*votes: Vote) -> list[object]:
    """The events of votes in a frame."""

    async def main() -> list[object]:
        frame = ConsensusFrame(VERSION, GENESIS.chain_id, tuple(pack(one) for one in votes))
        return list((await (await new_intake()).read("peer", encode(frame))).events)

    return trio.run(main)


@pytest.mark.parametrize("who", range(4))
def test_votes_of_a_height_are_those_of_its_validators(who: int) -> None:
    now, later = vote(who, OLD[who], HEIGHT), vote(who, NEW[who], HEIGHT + 1)
    assert taken(now, later) == [GotVote(now), GotVote(later)]


@pytest.mark.parametrize("who", range(4))
def test_votes_of_the_next_height_by_the_set_of_now_are_refused(who: int) -> None:
    assert not taken(vote(who, OLD[who], HEIGHT + 1))
    assert not taken(vote(who, NEW[who], HEIGHT))


def test_votes_of_other_heights_are_of_no_interest() -> None:
    assert not taken(vote(1, OLD[1], HEIGHT - 1), vote(1, NEW[1], HEIGHT + 2))


def test_peers_that_are_counted_are_bounded() -> None:
    async def main() -> None:
        found = await new_intake()
        for number in range(intake._MAX_METERS + 10):
            assert found.may_ask(f"peer {number}")
        assert len(found._meters) == intake._MAX_METERS
        assert "peer 0" not in found._meters

    trio.run(main)
