"""A check that takes the blob of the interval before: it is found here, fetched from others, or waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio
import trio.testing

from p2p.batches.batch import BatchArgs
from p2p.batches.blob import blob_hash
from p2p.errors import Malformed
from p2p.roles.replica.blobs import FolderBlobs, serve_blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.validator.batch_check import (
    PATIENCE_S,
    BatchChecks,
    Closed,
    NoBlob,
    PendingCheck,
    compare_none,
    inline,
)
from p2p.transports.memory import MemoryNetwork
from tests.kits.chain_kit import OPERATOR, START, STEP, make_args, make_genesis
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import STRANGER, MemoryBlobs, Town, in_town

CHAIN = make_genesis().chain_id
BEFORE, MISSED = b"the interval before", b"the missed interval"


def args_of(blob: bytes, index: int) -> BatchArgs:
    return msgspec.structs.replace(make_args(index, 5)[1], blob_hash=blob_hash(blob))


@dataclass
class Checking:
    """Checks a batch whose blob says nothing without the one before.

    Attributes:
        newest: The batch of the last settled interval.
        given: What each check was given as the blob before.
    """

    blobs: FolderBlobs
    served: MemoryBlobs = field(default_factory=MemoryBlobs)
    newest: BatchArgs | None = field(default_factory=lambda: args_of(BEFORE, 0))
    given: list[bytes | None] = field(default_factory=list)
    checks: BatchChecks = field(init=False)

    def check(self, _args: BatchArgs, blob: bytes, before: bytes | None) -> Closed:
        """Represents the rules of what applies."""
        self.given.append(before)
        if before is None:
            raise NoBlob("the one before is not here")
        if (before, blob) != (BEFORE, MISSED):
            raise Malformed("does not follow")
        return ()

    def check_again(self, _args: BatchArgs, blob: bytes, former: bytes) -> None:
        """Represents the rules of later versions."""
        self.given.append(former)
        if (former, blob) != (BEFORE, MISSED):
            raise Malformed("does not follow")

    def begin_again(self, blob: bytes = MISSED, former: bytes = BEFORE) -> PendingCheck:
        """Begin the check of a later version."""
        self.served.put(blob, START + STEP)
        return self.checks.of_sender(args_of(blob, 1), b"a", former=blob_hash(former))

    def begin(self, blob: bytes = MISSED) -> PendingCheck:
        """Begin the check of a blob that the source has."""
        self.served.put(blob, START + STEP)
        return self.checks.of_sender(args_of(blob, 1), b"a")


@asynccontextmanager
async def checking(folder: Path) -> AsyncIterator[Checking]:
    network, found = MemoryNetwork(), Checking(FolderBlobs(folder))
    async with (
        network.endpoint(OPERATOR) as source,
        network.endpoint(STRANGER) as endpoint,
        trio.open_nursery() as nursery,
    ):
        sources = (source.peer_id,)
        found.checks = BatchChecks(
            endpoint,
            CHAIN,
            found.blobs,
            lambda: sources,
            found.check,
            inline,
            nursery.start_soon,
            lambda: found.newest,
            found.check_again,
        )
        serve_blobs(source, CHAIN, found.served, lambda _: True)
        yield found
        nursery.cancel_scope.cancel()


def with_checks(folder: Path, body: Callable[[Checking], Awaitable[None]]) -> None:
    async def main() -> None:
        async with checking(folder) as found:
            await body(found)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def code_of(check: PendingCheck) -> str:
    """With which code a check ends; nothing where the batch is right."""
    await check._done.wait()
    return check.problem.code if check.problem else ""


def test_the_blob_before_is_the_one_that_is_here(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        found.blobs.put(BEFORE, START)
        assert await code_of(found.begin()) == ""
        assert found.given == [None, BEFORE]
        assert found.blobs.get(blob_hash(MISSED)) == MISSED

    with_checks(tmp_path, body)


def test_it_is_fetched_and_kept_where_it_is_not_here(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        found.served.put(BEFORE, START)
        assert await code_of(found.begin(b"another")) == "malformed"
        assert found.blobs.get(blob_hash(BEFORE)) == BEFORE
        assert found.blobs.get(blob_hash(b"another")) is None
        assert await code_of(found.begin()) == ""

    with_checks(tmp_path, body)


def test_a_check_waits_until_somebody_has_it(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        check = found.begin()
        await time_passes(PATIENCE_S / 4)
        assert check.is_open
        assert found.blobs.get(blob_hash(MISSED)) is None, "what is not checked is not on the disk"
        found.served.put(BEFORE, START)
        assert await code_of(check) == ""

    with_checks(tmp_path, body)


def test_one_that_nobody_has_ends_as_a_missing_blob_does_and_may_be_there_later(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        begun = trio.current_time()
        assert await code_of(found.begin()) == NoBlob.code
        assert PATIENCE_S <= trio.current_time() - begun < PATIENCE_S + 10
        found.served.put(BEFORE, START)
        assert await code_of(found.begin()) == ""

    with_checks(tmp_path, body)


def test_the_blob_of_the_interval_itself_is_not_the_one_before(tmp_path: Path) -> None:
    """Where another batch has settled it meanwhile, or this node does not know what is settled."""

    async def body(found: Checking) -> None:
        found.blobs.put(BEFORE, START)
        for newest in (args_of(BEFORE, 1), args_of(BEFORE, 2), None):
            found.newest = newest
            assert await code_of(found.begin()) == NoBlob.code
        assert set(found.given) == {None}

    with_checks(tmp_path, body)


def test_a_chain_that_is_opened_again_knows_its_newest_batch(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        ledger, known = town.validators[0].ledger, list[int]()
        for index in (0, 1):
            known.append(_newest_start(ledger))
            await town.settle(index)
            await ledger.wait_height(index + 1)
        known.append(_newest_start(ledger))
        assert known == [-1, START, START + STEP]
        assert Ledger(ledger.store, ledger.genesis).newest_batch == ledger.newest_batch

    in_town(tmp_path, body)


def _newest_start(ledger: Ledger) -> int:
    return -1 if ledger.newest_batch is None else ledger.newest_batch.interval_start


def test_a_later_version_is_checked_against_the_version_before_it(tmp_path: Path) -> None:
    """It lacks no message that the first one did not lack, so nobody has to have closed anything."""

    async def body(found: Checking) -> None:
        check = found.begin_again()
        await time_passes(PATIENCE_S / 4)
        assert check.is_open
        found.served.put(BEFORE, START)
        assert await code_of(check) == ""
        assert await check.wait() == ()
        assert found.given == [BEFORE]
        found.served.put(b"another before", START)
        assert await code_of(found.begin_again(former=b"another before")) == "malformed"
        assert await code_of(found.begin_again(b"another")) == "malformed"

    with_checks(tmp_path, body)


def test_that_a_batch_is_right_says_nothing_of_it_as_a_later_version(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        found.blobs.put(BEFORE, START)
        found.blobs.put(b"another", START)
        assert await code_of(found.begin()) == ""
        assert await code_of(found.begin_again(former=b"another")) == "malformed"

    with_checks(tmp_path, body)


def test_where_nobody_compares_versions_each_later_one_is_refused(tmp_path: Path) -> None:
    async def body(found: Checking) -> None:
        found.blobs.put(BEFORE, START)
        found.checks._check_again = compare_none
        assert await code_of(found.begin_again()) == "not_compared"

    with_checks(tmp_path, body)
