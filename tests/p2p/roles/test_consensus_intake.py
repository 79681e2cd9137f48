"""Votes of the next height are checked with the set of then, and what is counted of peers is bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2p.blocks import domains
from p2p.blocks.block import PREVOTE, vote_bytes
from p2p.consensus.core import Core
from p2p.consensus.types import LAN_TIMEOUTS, GotVote, Start, Status, Vote
from p2p.roles.replica.peers import ConsensusFrame, pack
from p2p.roles.validator import intake
from p2p.roles.validator.intake import ConsensusIntake, RateLimited, Rates
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


async def new_intake(**rates: tuple[float, float]) -> ConsensusIntake:
    """Of a validator at a height above which the set changes."""
    core = Core(GENESIS.chain_id, OLD[1].public_key, lambda data: bytes(64), LAN_TIMEOUTS)
    core.handle(Start(None, HEIGHT, keys(OLD), False, 0))
    ledger: Any = SimpleNamespace(
        genesis=GENESIS, height=HEIGHT - 1, validators=keys(OLD), next_validators=keys(NEW)
    )
    return ConsensusIntake(
        core, ledger, Refusals(), now_ms, early_ms=500, late_ms=5_000, rates=Rates(**rates)
    )


def taken(*votes: Vote) -> list[object]:
    """The events of votes in a frame."""

    async def main() -> list[object]:
        return list((await (await new_intake()).read("peer", frame(*map(pack, votes)))).events)

    return trio.run(main)


def frame(*messages: bytes) -> bytes:
    return encode(ConsensusFrame(VERSION, GENESIS.chain_id, messages))


def frames_read(sent: list[bytes], **rates: tuple[float, float]) -> int:
    """How many frames of one message each are read until the peer is over its limit."""

    async def main() -> int:
        found = await new_intake(**rates)
        for number, message in enumerate(sent):
            try:
                await found.read("peer", frame(message))
            except RateLimited:
                assert (await found.read("another peer", frame(message))) is not None
                return number
        return len(sent)

    return trio.run(main, clock=trio.testing.MockClock())


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


def test_a_peer_has_a_number_of_messages() -> None:
    votes = [pack(vote(1, OLD[1], HEIGHT))] * 9
    assert frames_read(votes, messages=(5, 1)) == 5


def test_a_peer_has_a_number_of_wrong_messages() -> None:
    """Each costs a signature; those that are right cost nothing of it."""
    wrong = [pack(vote(0, NEW[0], HEIGHT))] * 9
    assert frames_read(wrong, wrong=(4, 1)) == 4
    assert frames_read([pack(vote(0, OLD[0], HEIGHT))] * 9, wrong=(4, 1)) == 9
    assert frames_read([b"\x63 of no kind"] * 9, wrong=(4, 1)) == 4


def test_a_peer_has_a_number_of_statuses_that_are_answered() -> None:
    async def main() -> None:
        found = await new_intake(statuses=(3, 1))
        status = pack(Status(HEIGHT, 0, 0, 0, 0, False))
        taken = await found.read("peer", frame(*[status] * 9))
        assert len(taken.events) == 3
        assert found._refused.counts["peer", RateLimited.code] == 6

    trio.run(main, clock=trio.testing.MockClock())
