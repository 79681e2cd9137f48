"""What peers send wrong is refused, counted by peer and code, and stops nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from p2p.blocks import domains
from p2p.blocks.block import (
    PRECOMMIT,
    PREVOTE,
    make_cert,
    sign_tx,
    vote_bytes,
)
from p2p.consensus.evidence import check_evidence
from p2p.consensus.types import Status
from p2p.roles.replica.blobs import BLOB_PROTOCOL, BlobQuery
from p2p.roles.replica.peers import (
    COMMIT,
    CONSENSUS_PROTOCOL,
    EVIDENCE,
    MAX_FRAME_MESSAGES,
    TX,
    Commit,
    pack,
)
from p2p.roles.validator.config import ValidatorConfig
from p2p.roles.validator.intake import Rates
from p2p.transports.base import RequestRefused
from p2p.wire.codec import encode
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import START, authorities
from tests.kits.hostile_kit import BYZANTINE, byzantine, goes_on, proposal, vote
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import CONFIG, STRANGER, Town, in_town, make_tx, now_ms


def corrupt(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


WRONG = {
    "nothing": (lambda town: b"", "malformed"),
    "kind": (lambda town: b"\x63abc", "malformed"),
    "garbage": (lambda town: b"\1garbage", "malformed"),
    "non-canonical": (lambda town: b"\1\x96\xcc\x01" + encode(vote(town))[2:], "non_canonical"),
    "oversized vote": (lambda town: b"\1" + bytes(10_000), "too_large"),
    "forged vote": (lambda town: pack(vote(town, 1, key=STRANGER)), "wrong_signature"),
    "other's vote": (lambda town: pack(vote(town, 1, key=authorities(4)[BYZANTINE])), "wrong_signature"),
    "nobody's vote": (
        lambda town: pack(vote(town, 3).__class__(1, 1, 0, None, 9, bytes(64))),
        "out_of_range",
    ),
    "kind of vote": (lambda town: pack(msgspec.structs.replace(vote(town), kind=7)), "out_of_range"),
    "short hash": (lambda town: pack(msgspec.structs.replace(vote(town), block_hash=b"h")), "out_of_range"),
    "huge round": (lambda town: pack(msgspec.structs.replace(vote(town), round=2**40)), "out_of_range"),
    "vote of another chain": (
        lambda town: pack(
            msgspec.structs.replace(
                vote(town),
                signature=authorities(4)[BYZANTINE].sign(
                    domains.SIGN_CONSENSUS, vote_bytes(PREVOTE, b"x" * 32, 1, 0, b"h" * 32)
                ),
            )
        ),
        "wrong_signature",
    ),
    "stale vote": (lambda town: pack(vote(town, height=0)), "stale"),
    "future vote": (lambda town: pack(vote(town, height=900)), "future"),
    "forged proposal": (
        lambda town: pack(msgspec.structs.replace(proposal(town, height=1), signature=bytes(64))),
        "wrong_signature",
    ),
    "proposal out of turn": (
        lambda town: pack(msgspec.structs.replace(proposal(town, height=1), proposer=BYZANTINE)),
        "wrong_signature",
    ),
    "another block under the hash": (
        lambda town: pack(
            msgspec.structs.replace(
                proposal(town, height=1), block=proposal(town, height=1, time_ms=now_ms() + 7).block
            )
        ),
        "invalid_block",
    ),
    "another body under the header": (
        lambda town: pack(proposal(town, height=1, body=(make_tx(town.genesis, 0)[0],))),
        "invalid_block",
    ),
    "block of another builder": (
        lambda town: pack(proposal(town, height=1, header={"proposer_idx": 0})),
        "out_of_range",
    ),
    "block of another chain": (
        lambda town: pack(proposal(town, height=1, header={"chain_id": b"x" * 32})),
        "wrong_chain",
    ),
    "block too large": (
        lambda town: pack(msgspec.structs.replace(proposal(town, height=1), block=bytes(210 * 1024))),
        "too_large",
    ),
    "commit without signatures": (
        lambda town: (
            bytes((COMMIT,))
            + encode(
                Commit(
                    proposal(town, height=1).block,
                    encode(make_cert(1, 0, proposal(town, height=1).block_hash, {}, 4)),
                )
            )
        ),
        "invalid_block",
    ),
    "future commit": (
        lambda town: bytes((COMMIT,)) + encode(Commit(b"", encode(make_cert(77, 0, b"h" * 32, {}, 4)))),
        "future",
    ),
    "unsigned transaction": (
        lambda town: bytes((TX,)) + corrupt(make_tx(town.genesis, 0)[0].raw),
        "tx_signature",
    ),
    "transaction of a stranger": (
        lambda town: (
            bytes((TX,))
            + sign_tx(
                STRANGER, msgspec.structs.replace(make_tx(town.genesis, 0)[0], sender=STRANGER.public_key)
            ).raw
        ),
        "tx_role",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_message_is_refused_with_its_code_and_stops_nothing(tmp_path: Path, what: str) -> None:
    make, code = WRONG[what]

    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:
            await town.send(endpoint, 0, make(town))
            assert town.refused(0, code) == 1
            assert town.endpoints[0].stats.refused.counts[endpoint.peer_id, code] == 1
            await goes_on(town)
            assert town.validators[0].counters()[f"refused_{code}"] >= 1

    in_town(tmp_path, body)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "malformed"),
        (b"\x93\x01", "malformed"),
        (encode((9, b"c" * 32, ())), "wrong_version"),
        (encode((VERSION, b"c" * 32, ())), "wrong_chain"),
    ],
)
def test_a_wrong_frame_is_refused_whole(tmp_path: Path, frame: bytes, code: str) -> None:
    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:
            with pytest.raises(RequestRefused, match=code):
                await endpoint.request(town.endpoints[0].peer_id, CONSENSUS_PROTOCOL, frame)
            with pytest.raises(RequestRefused, match="too_large"):
                await town.send(endpoint, 0, *[b"\1"] * (MAX_FRAME_MESSAGES + 1))
            await goes_on(town)

    in_town(tmp_path, body)


def test_a_stranger_may_not_speak_to_validators_nor_read_blobs(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.settle(0)
        await town.reach(1)
        async with town.network.endpoint(STRANGER) as endpoint:
            with pytest.raises(RequestRefused, match="not_allowed"):
                await town.send(endpoint, 0, pack(Status(1, 0, 0, 0, 0, False)))
            query = encode(BlobQuery(VERSION, town.genesis.chain_id, b"h" * 32, 0))
            with pytest.raises(RequestRefused, match="not_allowed"):
                await endpoint.request(town.endpoints[0].peer_id, BLOB_PROTOCOL, query)

    in_town(tmp_path, body)


def test_replayed_messages_change_nothing(tmp_path: Path) -> None:
    """Every frame of a chain comes once more from a byzantine node, in both directions of time."""

    async def body(town: Town) -> None:
        frames: list[bytes] = []
        hear = town.wire.hear

        def record(data: bytes) -> None:
            frames.append(data)
            hear(data)

        town.wire.hear = record  # type: ignore[method-assign]
        await town.settle(0)
        await town.reach(1)
        heights = [town.height(i) for i in range(4)]
        async with byzantine(town) as endpoint:
            for frame in (*frames, *reversed(frames)):
                for index in (0, 1, 2):
                    await endpoint.request(town.endpoints[index].peer_id, CONSENSUS_PROTOCOL, frame)
            assert [town.height(i) for i in range(4)] == heights
            await goes_on(town, 1)

    in_town(tmp_path, body)


def test_a_flood_from_one_peer_does_not_stop_the_others(tmp_path: Path) -> None:
    """Forged votes as fast as they go: after twenty nothing of that peer is read for a while."""

    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint, trio.open_nursery() as nursery:
            forged = [pack(vote(town, 1, key=STRANGER, block_hash=bytes((i,)) * 32)) for i in range(100)]

            async def flood(index: int) -> None:
                while True:
                    try:
                        await town.send(endpoint, index, *forged)
                    except RequestRefused:
                        await time_passes(0.001)

            for index in (0, 1, 2):
                nursery.start_soon(flood, index)
            for index in range(4):
                await goes_on(town, index)
            assert town.refused(0, "wrong_signature") < 40
            assert town.refused(0, "rate_limited") > 0
            nursery.cancel_scope.cancel()

    in_town(tmp_path, body)


def test_statuses_beyond_a_peers_share_are_not_answered(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.settle(0)
        await town.reach(1)
        async with byzantine(town) as endpoint:
            got = []

            async def count(_peer: str, data: bytes) -> bytes:
                got.append(len(data))
                return b""

            endpoint.serve(CONSENSUS_PROTOCOL, count)
            behind = pack(Status(1, 0, 1, 0, 0, False))
            for _ in range(50):
                await town.send(endpoint, 0, behind)
            await time_passes(0.05)
            assert town.refused(0, "rate_limited") == 40
            assert 1 <= len([size for size in got if size > 500]) <= 2
            await goes_on(town, 1)

    config = ValidatorConfig(timeouts=CONFIG.timeouts, resend_ms=1_000, rates=Rates(statuses=(10, 1)))
    in_town(tmp_path, body, config=config)


def test_a_peer_that_never_answers_blocks_nobody(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.stop(BYZANTINE)
        async with town.network.endpoint(town.keys[BYZANTINE]) as endpoint:

            async def never(_peer: str, _data: bytes) -> bytes:
                await trio.sleep_forever()
                raise AssertionError

            endpoint.serve(CONSENSUS_PROTOCOL, never)
            for index in range(5):
                await goes_on(town, index)

    in_town(tmp_path, body)


def fresh_time(town: Town) -> int:
    return max(now_ms(), town.validators[0].ledger.tip.time_ms + 1)


BAD_BLOCKS = {
    "state root": ({"header": {"state_root": b"s" * 32}}, "invalid_block"),
    "parent": ({"header": {"parent_hash": b"p" * 32}}, "invalid_block"),
    "far future": ({"time_ms": START * 1000 + 9_000_000}, None),
    "before its parent": ({"header": {"time_ms": START * 1000}}, "invalid_block"),
}


@pytest.mark.parametrize("what", BAD_BLOCKS)
def test_a_bad_proposal_gets_no_prevote_and_the_next_round_decides(tmp_path: Path, what: str) -> None:
    changes, code = BAD_BLOCKS[what]

    async def body(town: Town) -> None:
        for index in range(2):
            await town.settle(index)
            await town.reach(index + 1)
        async with byzantine(town) as endpoint:
            bad = proposal(town, height=3, **changes)
            assert bad.proposer == BYZANTINE
            for index in (0, 1, 2):
                await town.send(endpoint, index, pack(bad))
            await goes_on(town, 2)
            assert town.validators[0].rounds[1] == 1
            voted = {said[0] for (_, height, _, _), said in town.wire.signed.items() if height == 3}
            assert not any(bad.block_hash in data for data in voted)
            if code:
                assert town.refused(0, code) >= 1

    in_town(tmp_path, body)


@pytest.mark.parametrize("piece", [b"", b"junk", bytes(2_000)])
def test_evidence_that_proves_nothing_is_counted_and_not_kept(tmp_path: Path, piece: bytes) -> None:
    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:
            await town.send(endpoint, 0, bytes((EVIDENCE,)) + piece)
            assert town.refused(0, "evidence") == 1
            assert len(town.validators[0].evidence) == 0
            await goes_on(town)

    in_town(tmp_path, body)


def test_two_votes_of_one_authority_become_evidence_in_a_block_and_it_is_jailed(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:
            await town.send(endpoint, 0, pack(vote(town)), pack(vote(town, block_hash=b"o" * 32)))
            await town.settle(0, to=(0, 1, 2))
            await town.reach(2, 0, 1, 2)
            pieces = [
                piece for block, _ in town.validators[0].ledger.store.blocks() for piece in block.evidence
            ]
            assert len(pieces) == 1
            offence = check_evidence(pieces[0], town.genesis.authorities, town.genesis.chain_id)
            assert offence.authority == town.keys[BYZANTINE].public_key
            town.agree(0, 1, 2)

    in_town(tmp_path, body)


def test_a_precommit_for_a_later_height_than_the_next_starts_no_round(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:
            for height in range(1, 50):
                await town.send(endpoint, 0, pack(vote(town, height=height, kind=PRECOMMIT)))
            await time_passes(30)
            assert town.height(0) == 0
            assert town.refused(0, "future") == 47
            await goes_on(town)

    in_town(tmp_path, body)
