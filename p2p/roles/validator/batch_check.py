"""Availability and content of the blob behind a settlement batch.

A validator prevotes no block with a batch that it did not check. The check is a function of the application
that raises.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any

import trio

from p2p.batches.batch import BatchArgs
from p2p.errors import RemoteError
from p2p.roles.replica.blobs import Blobs, fetch_blob
from p2p.transports.base import Transport
from p2p.wire.codec import encode

BatchCheck = Callable[[BatchArgs, bytes], None]
"""Raises a RemoteError where the blob does not lead to the batch."""
Offload = Callable[..., Awaitable[Any]]
"""Runs a function elsewhere: `trio.to_thread.run_sync`."""

MAX_PENDING = 256
PATIENCE_S = 60.0
"""How long peers are asked for a blob. [s]"""
_RETRY_S = 0.25
_RETRY_MAX_S = 4.0


class NoBlob(RemoteError):
    """A blob that no peer had; one may have it later."""

    code = "no_blob"


class UnnamedBlob(RemoteError):
    """A batch that names no blob."""

    code = "blob_unnamed"


class NotInTurn(RemoteError):
    """A batch of another interval than the one that follows the last settled one."""

    code = "not_in_turn"


NextInterval = Callable[[int], int]
"""Start of the interval after the one that starts here; of the first one, for -1. [s]"""


def check_turn(batches: Iterable[BatchArgs], last_start: int, following: NextInterval) -> None:
    """Raise unless batches settle interval after interval, so that nobody passes over those of others.

    Args:
        last_start: Start of the last settled interval, or -1. [s]

    Raises:
        NotInTurn: One does not follow.
    """
    for args in batches:
        due, last_start = following(last_start), args.interval_start
        if args.interval_start != due:
            raise NotInTurn(f"a batch of interval {args.interval_start}; the next is {due}")


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
        self._done = trio.Event()

    def close(self, problem: RemoteError | None) -> None:
        """End it."""
        self.problem = problem
        self._done.set()

    async def wait(self) -> None:
        """Wait for the end.

        Raises:
            RemoteError: The batch is wrong, or its blob was not available.
        """
        await self._done.wait()
        if self.problem is not None:
            raise self.problem


class BatchChecks:
    """Fetches and checks the blob of each batch once, however many ask.

    Args:
        sources: Peers to ask, best first.
        check_batch: See `BatchCheck`.
        offload: Where checks and hashes run.
        start: Starts a task that lives as long as the node.
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
    ) -> None:
        self._transport = transport
        self._chain_id = chain_id
        self._blobs = blobs
        self._sources = sources
        self._check = check_batch
        self._offload = offload
        self._start = start
        self._pending: OrderedDict[bytes, PendingCheck] = OrderedDict()

    def check(self, args: BatchArgs, first: str | None = None) -> PendingCheck:
        """Return the check of a batch, started when it is new or its blob was not available before.

        Args:
            first: Peer to ask first.
        """
        key = sha256(encode(args)).digest()
        found = self._pending.get(key)
        if found is None or isinstance(found.problem, NoBlob):
            found = self._pending[key] = PendingCheck()
            self._pending.move_to_end(key)
            while len(self._pending) > MAX_PENDING:
                self._pending.popitem(last=False)
            self._start(self._run, found, args, first)
        return found

    async def _run(self, pending: PendingCheck, args: BatchArgs, first: str | None) -> None:
        try:
            blob = await self._find(args.blob_hash, args.interval_start, first)
            await self._offload(self._check, args, blob)
        except RemoteError as error:
            pending.close(error)
        else:
            pending.close(None)

    async def _find(self, name: bytes, interval_start: int, first: str | None) -> bytes:
        if not any(name):
            raise UnnamedBlob("the batch names no blob, so there is nothing to check")
        pause = _RETRY_S
        with trio.move_on_after(PATIENCE_S):
            while True:
                blob = self._blobs.get(name)
                if blob is not None:
                    return blob
                peers = [peer for peer in self._sources() if peer != first]
                blob = await fetch_blob(
                    self._transport, self._chain_id, name, [first, *peers] if first else peers
                )
                if blob is not None:
                    self._blobs.put(blob, interval_start)
                    return blob
                await trio.sleep(pause)
                pause = min(2 * pause, _RETRY_MAX_S)
        raise NoBlob(f"nobody had blob {name.hex()[:16]} within {PATIENCE_S:g} s")
