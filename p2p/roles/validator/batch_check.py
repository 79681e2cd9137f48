"""Availability and content of the blob behind a settlement batch.

A validator prevotes no block with a batch that it did not check. The check is a function of the application
that raises.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any, TypeVar

import trio

from p2p.batches.batch import BatchArgs, Step
from p2p.errors import RemoteError
from p2p.roles.replica.blobs import Blobs, fetch_blob
from p2p.transports.base import Transport
from p2p.wire.codec import encode

Closed = tuple[frozenset[bytes], ...]
"""Who has closed each slot of an interval that lacks a message; see `p2p.batches.closings.closers`."""
BatchCheck = Callable[[Step, bytes, bytes | None], Closed]
"""Returns who has closed slots that lack messages; raises a RemoteError where the blob does not lead to the batch, and
`NoBlob` where that takes the blob of the interval before, its last argument, and it is None."""
AgainCheck = Callable[[BatchArgs, bytes, bytes], None]
"""Raises a RemoteError where a later version of an interval does not follow from its blob, or that from the blob of the
version before and more readings."""
Offload = Callable[..., Awaitable[Any]]
"""Runs a function elsewhere: `trio.to_thread.run_sync`."""

MAX_PENDING = 256
BLOBS_PER_INTERVAL = 8
"""Blobs that are fetched for the batches of one sender in an interval; an honest one has a single one."""
PATIENCE_S = 60.0
"""How long peers are asked for a blob. [s]"""
_RETRY_S = 0.25
_RETRY_MAX_S = 4.0
_INTERVALS_KEPT = 4

K = TypeVar("K")
V = TypeVar("V")


class NoBlob(RemoteError):
    """A blob that no peer had; one may have it later."""

    code = "no_blob"


class UnnamedBlob(RemoteError):
    """A batch that names no blob."""

    code = "blob_unnamed"


class BlobQuota(RemoteError):
    """A batch of a sender that has sent too many others for the interval; its blob is not fetched."""

    code = "blob_quota"


class NotCompared(RemoteError):
    """A later version of an interval, where nobody compares it with the version before."""

    code = "not_compared"


def compare_none(args: BatchArgs, blob: bytes, former: bytes) -> None:
    """Refuse each later version of an interval.

    Raises:
        NotCompared: Always.
    """
    raise NotCompared(f"interval {args.interval_start} is settled again, which is not checked here")


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function here: for small blobs, and for tests on a clock that jumps."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


class PendingCheck:
    """The check of one batch.

    Attributes:
        problem: None while under way and when the batch is right.
    """

    def __init__(self) -> None:
        self.problem: RemoteError | None = None
        self._closed: Closed = ()
        self._done = trio.Event()

    def close(self, problem: RemoteError | None, closed: Closed = ()) -> None:
        """End it."""
        self.problem, self._closed = problem, closed
        self._done.set()

    @property
    def is_open(self) -> bool:
        """Whether it is under way."""
        return not self._done.is_set()

    async def wait(self) -> Closed:
        """Wait for the end, and return who has closed the slots that lack messages.

        Raises:
            RemoteError: The batch is wrong, or its blob was not available.
        """
        await self._done.wait()
        if self.problem is not None:
            raise self.problem
        return self._closed


class _Lane:
    """What one sender of batches, or one proposer of blocks, has under way: one blob at a time.

    Attributes:
        open: Number of checks under way.
    """

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.open = 0
        self._names: OrderedDict[int, set[bytes]] = OrderedDict()

    def take(self, name: bytes, interval_start: int) -> None:
        """Count a blob towards the quota of its interval.

        Raises:
            BlobQuota: There have been as many others.
        """
        names = self._names.setdefault(interval_start, set())
        if name not in names and len(names) >= BLOBS_PER_INTERVAL:
            raise BlobQuota(f"{len(names)} other blobs of this sender for interval {interval_start} already")
        names.add(name)
        while len(self._names) > _INTERVALS_KEPT:
            self._names.popitem(last=False)


class BatchChecks:
    """Fetches and checks the blob of each batch once, however many ask.

    A blob is in memory only until it is checked, and on disk only if it is right: each sender has one in memory at
    most, and a number of them an interval.

    Args:
        sources: Peers to ask, best first.
        check_batch: See `BatchCheck`.
        offload: Where checks and hashes run.
        start: Starts a task that lives as long as the node.
        newest: The batch of the last settled interval, None where there is none or it is not known.
        check_again: See `AgainCheck`.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        blobs: Blobs,
        sources: Callable[[], Iterable[str]],
        check_batch: BatchCheck,
        offload: Offload,
        start: Callable[..., None],
        newest: Callable[[], BatchArgs | None],
        check_again: AgainCheck = compare_none,
    ) -> None:
        self._transport = transport
        self._chain_id = chain_id
        self._blobs = blobs
        self._sources = sources
        self._check = check_batch
        self._offload = offload
        self._start = start
        self._newest = newest
        self._check_again = check_again
        self._pending: OrderedDict[tuple[str, bytes], PendingCheck] = OrderedDict()
        self._right: OrderedDict[bytes, Closed] = OrderedDict()
        self._lanes: dict[str, _Lane] = {}

    def of_sender(
        self, args: Step, sender: bytes, first: str | None = None, former: bytes | None = None
    ) -> PendingCheck:
        """Return the check of a batch that somebody sent, within the quota of its sender.

        Args:
            sender: Public key that signed the batch.
            first: Peer to ask first.
            former: Name of the blob of the version before, where the interval is settled again.
        """
        lane = f"sender {sender.hex()}"
        try:
            self._lane(lane).take(args.blob_hash, args.interval_start)
        except BlobQuota as error:
            refused = PendingCheck()
            refused.close(error)
            return refused
        return self._checked(args, lane, first, former)

    def of_block(self, args: Step, sender: bytes, proposer: str, former: bytes | None = None) -> PendingCheck:
        """Return the check of a batch in a proposed block; rounds limit how many there are of a proposer.

        It is that of its sender where nothing else of the sender could delay it.
        """
        lane = f"sender {sender.hex()}"
        known = self._pending.get((lane, _name_of(args, former)))
        if known is not None and known.is_open and self._lane(lane).open == 1:
            return known
        return self._checked(args, f"proposer {proposer}", None, former)

    def _lane(self, name: str) -> _Lane:
        return self._lanes.setdefault(name, _Lane())

    def _checked(self, args: Step, lane: str, first: str | None, former: bytes | None) -> PendingCheck:
        """The check in a lane, started when it is new or its blob was not available before."""
        name = _name_of(args, former)
        if name in self._right:
            found = PendingCheck()
            found.close(None, self._right[name])
            return found
        key = lane, name
        known = self._pending.get(key)
        if known is not None and not isinstance(known.problem, NoBlob):
            return known
        found = self._pending[key] = PendingCheck()
        self._pending.move_to_end(key)
        _drop_oldest(self._pending)
        its_lane = self._lane(lane)
        its_lane.open += 1
        self._start(self._run, found, args, name, its_lane, first, former)
        return found

    async def _run(
        self,
        pending: PendingCheck,
        args: Step,
        name: bytes,
        lane: _Lane,
        first: str | None,
        former: bytes | None,
    ) -> None:
        try:
            closed = await self._find_and_check(args, lane, first, former)
        except RemoteError as error:
            pending.close(error)
        else:
            self._right[name] = closed
            _drop_oldest(self._right)
            pending.close(None, closed)
        finally:
            lane.open -= 1

    async def _find_and_check(
        self, args: Step, lane: _Lane, first: str | None, former: bytes | None
    ) -> Closed:
        if not any(args.blob_hash):
            raise UnnamedBlob("the batch names no blob, so there is nothing to check")
        pause, until = _RETRY_S, trio.current_time() + PATIENCE_S
        blob: bytes | None = None
        while trio.current_time() < until:
            async with lane.lock:
                blob = blob or self._blobs.get(args.blob_hash)
                if blob is None:
                    blob = await self._fetch(args.blob_hash, first, until)
                closed = None if blob is None else await self._check_blob(args, blob, until, former)
                if blob is not None and closed is not None:
                    self._blobs.put(blob, args.interval_start)
                    return closed
            await trio.sleep(pause)
            pause = min(2 * pause, _RETRY_MAX_S)
        raise NoBlob(
            f"nobody had blob {args.blob_hash.hex()[:16]}, or that of the interval before, within {PATIENCE_S:g} s"
        )

    async def _check_blob(self, args: Step, blob: bytes, until: float, former: bytes | None) -> Closed | None:
        """Check a blob; None where that takes the blob of the interval or version before, and nobody has it now."""
        closed: Closed | None = None
        if former is not None:
            version = await self._kept(former, args.interval_start, until)
            if version is None:
                return None
            await self._offload(self._check_again, args, blob, version)
            return ()
        try:
            closed = await self._offload(self._check, args, blob, None)
        except NoBlob:
            before = await self._before(args, until)
            if before is not None:
                closed = await self._offload(self._check, args, blob, before)
        return closed

    async def _before(self, args: Step, until: float) -> bytes | None:
        """The blob of the interval before that of a batch, which this node or others had when it was settled."""
        newest = self._newest()
        if newest is None or newest.interval_start >= args.interval_start:
            return None  # not known here yet, or the interval of the batch has been settled meanwhile
        return await self._kept(newest.blob_hash, newest.interval_start, until)

    async def _kept(self, name: bytes, interval_start: int, until: float) -> bytes | None:
        """A blob that the chain names, and which is kept when it is not here yet."""
        blob = self._blobs.get(name)
        if blob is None:
            blob = await self._fetch(name, None, until)
            if blob is not None:
                self._blobs.put(blob, interval_start)
        return blob

    async def _fetch(self, name: bytes, first: str | None, until: float) -> bytes | None:
        peers = [peer for peer in self._sources() if peer != first]
        blob = None
        with trio.move_on_at(until):
            blob = await fetch_blob(
                self._transport, self._chain_id, name, [first, *peers] if first else peers
            )
        return blob


def _name_of(args: Step, former: bytes | None) -> bytes:
    return sha256(encode(args) + (former or b"")).digest()


def _drop_oldest(known: OrderedDict[K, V]) -> None:
    while len(known) > MAX_PENDING:
        known.popitem(last=False)
