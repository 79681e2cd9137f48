"""Nothing unchecked is on a validator's disk, and what waits to be checked is bounded for each sender."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio
import trio.testing

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.blob import blob_hash
from p2p.blocks import domains
from p2p.blocks.block import PREVOTE, vote_bytes
from p2p.consensus.types import Vote
from p2p.roles.replica.blobs import BLOB_PROTOCOL, BlobPiece, BlobQuery, FolderBlobs, serve_blobs
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, pack
from p2p.roles.validator import batch_check
from p2p.roles.validator.batch_check import (
    BLOBS_PER_INTERVAL,
    PATIENCE_S,
    BatchChecks,
    BlobQuota,
    Closed,
    NoBlob,
    PendingCheck,
    inline,
)
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.transports.base import RequestRefused, Transport, peer_id_of
from p2p.transports.memory import MemoryEndpoint, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import OPERATOR, START, make_args, make_genesis
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import STRANGER, MemoryBlobs, Town, blob_of, check_batch, in_town, make_tx

CHAIN = make_genesis().chain_id
BYZANTINE = 3
JUNK_BYTES = 1024 * 1024
MIB = 1024 * 1024
SERVED = 16
"""Junk blobs that are still there when somebody asks for them."""


def args_of(blob: bytes, index: int = 0) -> BatchArgs:
    return msgspec.structs.replace(make_args(index, 5)[1], blob_hash=blob_hash(blob))


@dataclass
class Checker:
    """Checks batches, and measures what it is given at a time."""

    checks: BatchChecks
    blobs: FolderBlobs
    served: MemoryBlobs = field(default_factory=MemoryBlobs)
    checked: list[bytes] = field(default_factory=list)

    def of_sender(self, blob: bytes, sender: bytes = b"a", index: int = 0) -> PendingCheck:
        """Check a batch with this blob, which the source has."""
        self.served.put(blob, START)
        return self.checks.of_sender(args_of(blob, index), sender)


async def code_of(check: PendingCheck) -> str:
    """With which code a check ends; nothing where the batch is right."""
    await check._done.wait()
    return check.problem.code if check.problem else ""


@asynccontextmanager
async def checking(
    folder: Path, serve: Callable[[MemoryEndpoint], None] | None = None
) -> AsyncIterator[Checker]:
    """A checker on a folder, and a source that serves blobs to it."""
    network, blobs = MemoryNetwork(), FolderBlobs(folder)
    async with (
        network.endpoint(OPERATOR) as source,
        network.endpoint(STRANGER) as endpoint,
        trio.open_nursery() as nursery,
    ):

        def check(args: BatchArgs, blob: bytes, _before: bytes | None) -> Closed:
            found.checked.append(blob_hash(blob))
            return check_batch(args, blob)

        transport: Transport = endpoint
        sources = (source.peer_id,)
        start = nursery.start_soon
        checks = BatchChecks(transport, CHAIN, blobs, lambda: sources, check, inline, start, lambda: None)
        found = Checker(checks, blobs)
        if serve is None:
            serve_blobs(source, CHAIN, found.served, lambda _: True)
        else:
            serve(source)
        yield found
        nursery.cancel_scope.cancel()


def with_checker(
    folder: Path,
    body: Callable[[Checker], Awaitable[None]],
    serve: Callable[[MemoryEndpoint], None] | None = None,
) -> None:
    async def main() -> None:
        async with checking(folder, serve) as checker:
            await body(checker)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def on_disk(folder: Path) -> int:
    """Bytes in a folder. [B]"""
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_blob_is_on_disk_once_it_was_checked_right_and_not_before(tmp_path: Path) -> None:
    async def body(checker: Checker) -> None:
        right, wrong = blob_of(0), blob_of(0, good=False)
        assert await code_of(checker.of_sender(wrong)) == "malformed"
        assert not list(tmp_path.iterdir())
        assert await code_of(checker.of_sender(right)) == ""
        assert checker.blobs.get(blob_hash(right)) == right
        assert checker.checked == [blob_hash(wrong), blob_hash(right)]

    with_checker(tmp_path, body)


def test_a_batch_is_checked_once_for_its_sender_and_not_at_all_once_it_was_right(tmp_path: Path) -> None:
    async def body(checker: Checker) -> None:
        wrong, right = blob_of(0, good=False), blob_of(0)
        for _ in range(3):
            assert await code_of(checker.of_sender(wrong)) == "malformed"
            assert await code_of(checker.of_sender(right)) == ""
            assert await code_of(checker.checks.of_block(args_of(right), b"a", "proposer")) == ""
        assert checker.checked == [blob_hash(wrong), blob_hash(right)]

    with_checker(tmp_path, body)


def test_the_checks_that_are_remembered_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_check, "MAX_PENDING", 3)

    async def body(checker: Checker) -> None:
        for index in range(5):
            assert await code_of(checker.of_sender(blob_of(index), index=index)) == ""
            wrong = blob_of(index, good=False)
            assert await code_of(checker.of_sender(wrong, sender=b"b", index=index)) == "malformed"
            assert max(len(checker.checks._pending), len(checker.checks._right)) <= 3
        assert await code_of(checker.of_sender(blob_of(4), sender=b"c", index=4)) == ""
        assert len(checker.checked) == 10

    with_checker(tmp_path, body)


def test_a_sender_has_a_number_of_blobs_an_interval_and_the_next_is_not_fetched(tmp_path: Path) -> None:
    async def body(checker: Checker) -> None:
        for number in range(BLOBS_PER_INTERVAL):
            assert await code_of(checker.of_sender(b"%d" % number)) == "malformed"
        assert await code_of(checker.of_sender(b"more")) == BlobQuota.code
        assert len(checker.checked) == BLOBS_PER_INTERVAL
        assert await code_of(checker.of_sender(b"0")) == "malformed"  # one of those that count already
        assert await code_of(checker.of_sender(b"more", index=1)) == "malformed"  # the next interval
        assert await code_of(checker.of_sender(b"more", sender=b"b")) == "malformed"  # another's
        assert await code_of(checker.checks.of_block(args_of(blob_of(0)), b"a", "p")) == "no_blob"
        checker.served.put(blob_of(0), START)
        assert await code_of(checker.checks.of_block(args_of(blob_of(0)), b"a", "p")) == ""

    with_checker(tmp_path, body)


def test_a_block_waits_for_the_check_of_its_batch_unless_something_else_could_delay_that(
    tmp_path: Path,
) -> None:
    async def body(checker: Checker) -> None:
        first = checker.of_sender(blob_of(0))
        assert checker.checks.of_block(args_of(blob_of(0)), b"a", "p") is first
        assert await code_of(first) == ""
        missing = checker.checks.of_sender(args_of(b"missing"), b"b")
        second = checker.of_sender(blob_of(1), sender=b"b", index=1)
        other = checker.checks.of_block(args_of(blob_of(1), 1), b"b", "p")
        assert other is not second
        assert {await code_of(check) for check in (second, other)} == {""}
        assert missing.is_open

    with_checker(tmp_path, body)


def test_one_blob_of_a_sender_at_a_time_and_a_slow_one_delays_nobody_else(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def trickle(source: MemoryEndpoint) -> None:
        async def one_byte(_peer: str, data: bytes) -> bytes:
            query = decode(BlobQuery, data)
            asked.append(query.blob_hash)
            if query.blob_hash == blob_hash(blob_of(0)):
                return encode(BlobPiece(len(blob_of(0)), blob_of(0)[query.offset : query.offset + 100_000]))
            await time_passes(1)
            return encode(BlobPiece(16 * MIB, b"x"))

        source.serve(BLOB_PROTOCOL, one_byte)

    async def body(checker: Checker) -> None:
        begun = trio.current_time()
        slow = [checker.of_sender(b"%d" % number) for number in range(BLOBS_PER_INTERVAL)]
        assert await code_of(checker.of_sender(blob_of(0), sender=b"b")) == ""
        assert trio.current_time() - begun < 5  # the same peer answers both, one question after the other
        asked.clear()
        await time_passes(8)
        assert (
            len(set(asked)) <= 4
        )  # one after the other, each given up after 3 s; all at once, it would be 8
        assert {await code_of(check) for check in slow} == {NoBlob.code}
        assert trio.current_time() - begun < PATIENCE_S + 5

    with_checker(tmp_path, body, trickle)


# --- a validator under junk (A6) ------------------------------------------------------------------


@dataclass
class Flood:
    """What an authority that sends junk without end has done.

    Attributes:
        asked: How often each validator asked for a blob of it.
        codes: Codes of the answers.
    """

    asked: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)


async def flood(town: Town, byzantine: MemoryEndpoint, key: Identity, lasts_s: float, start_s: int) -> Flood:
    """Submit a batch of 1 MiB of junk every quarter of a second, dated as asked, to three validators."""
    done, random, served = Flood(), Random(1), OrderedDict[bytes, bytes]()

    async def give(peer: str, data: bytes) -> bytes:
        query = decode(BlobQuery, data)
        blob = served.get(query.blob_hash, b"")
        if blob and not query.offset:
            done.asked[peer] = done.asked.get(peer, 0) + 1
        return encode(BlobPiece(len(blob), blob[query.offset : query.offset + 128 * 1024]))

    byzantine.serve(BLOB_PROTOCOL, give)
    ends = trio.current_time() + lasts_s
    while trio.current_time() < ends:
        junk = random.randbytes(JUNK_BYTES)
        served[blob_hash(junk)] = junk
        if len(served) > SERVED:
            served.popitem(last=False)
        args = msgspec.structs.replace(args_of(junk), interval_start=start_s)
        nonce = town.validators[0].ledger.tip.state.nonce(key.public_key) + 1
        tx = batch_tx(key, town.genesis.chain_id, nonce, 1_000, args)
        for index in (0, 1, 2):
            reply = await byzantine.request(town.endpoints[index].peer_id, TX_PROTOCOL, tx.raw)
            code = decode(TxReply, reply).code
            done.codes[code] = done.codes.get(code, 0) + 1
        await time_passes(0.25)
    return done


def under_junk(tmp_path: Path, start_s: int) -> Flood:
    """Let three validators live through a minute of junk; they settle before, during and after it."""
    done = Flood()

    async def body(town: Town) -> None:
        nonlocal done
        await town.settle(0, to=(0, 1, 2))
        await town.reach(1, 0, 1, 2)
        await town.stop(BYZANTINE)
        async with town.network.endpoint(town.keys[BYZANTINE]) as endpoint:

            async def swallow(_peer: str, _data: bytes) -> bytes:
                return b""

            endpoint.serve(CONSENSUS_PROTOCOL, swallow)
            done = await flood(town, endpoint, town.keys[BYZANTINE], 60, start_s)
            for index in (0, 1, 2):
                assert on_disk(town.path(index) / "blobs") < MIB, "junk is on disk"
                assert len(town.validators[index].mempool) == 0
            await town.settle(1, to=(0, 1, 2))
            await town.reach(2, 0, 1, 2)
            town.agree(0, 1, 2)

    in_town(tmp_path, body)
    return done


def test_a_minute_of_junk_blobs_leaves_nothing_on_disk_and_few_are_fetched(tmp_path: Path) -> None:
    done = under_junk(tmp_path, START + 900)
    assert sum(done.codes.values()) > 500
    assert set(done.asked.values()) <= set(range(1, BLOBS_PER_INTERVAL + 1))


def test_junk_dated_ahead_is_not_fetched_at_all(tmp_path: Path) -> None:
    assert not under_junk(tmp_path, START + 900 * 10**6).asked


# --- who is asked, and who may ask -----------------------------------------------------------------


def test_a_stranger_that_passes_a_batch_on_is_not_asked_for_its_blob(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        async with town.network.endpoint(STRANGER) as endpoint:
            asked: list[str] = []

            async def hang(peer: str, _data: bytes) -> bytes:
                asked.append(peer)
                await trio.sleep_forever()
                raise AssertionError

            endpoint.serve(BLOB_PROTOCOL, hang)
            tx, blob = make_tx(town.genesis, 0)
            town.operator_blobs.put(blob, START)
            await endpoint.request(town.endpoints[0].peer_id, TX_PROTOCOL, tx.raw)
            await town.reach(1)
            assert not asked

    in_town(tmp_path, body)


async def reads_blobs(town: Town, endpoint: MemoryEndpoint) -> str:
    """The code with which validator 0 refuses a blob, or nothing."""
    query = encode(BlobQuery(VERSION, town.genesis.chain_id, b"h" * 32, 0))
    try:
        await endpoint.request(town.endpoints[0].peer_id, BLOB_PROTOCOL, query)
    except RequestRefused as error:
        return error.code
    return ""


def test_an_authority_that_was_removed_reads_no_blobs_any_more(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.stop(BYZANTINE)
        key = town.keys[BYZANTINE]
        others = [index for index in range(5) if index != BYZANTINE]
        async with town.network.endpoint(key) as endpoint:

            async def swallow(_peer: str, _data: bytes) -> bytes:
                return b""

            endpoint.serve(CONSENSUS_PROTOCOL, swallow)
            assert await reads_blobs(town, endpoint) == ""
            votes = []
            for name in (b"h" * 32, b"o" * 32):
                data = vote_bytes(PREVOTE, town.genesis.chain_id, 1, 0, name)
                votes.append(
                    pack(Vote(PREVOTE, 1, 0, name, BYZANTINE, key.sign(domains.SIGN_CONSENSUS, data)))
                )
            await town.send(endpoint, 0, *votes)
            for index in range(6):
                await town.settle(index, to=others)
                await town.reach(index + 1, *others)
            assert key.public_key not in town.validators[0].ledger.validators
            assert await reads_blobs(town, endpoint) == "not_allowed"
            assert peer_id_of(OPERATOR.public_key) in town.validators[0]._operators()

    in_town(tmp_path, body, n=5)
