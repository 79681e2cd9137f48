"""What a validator checks before it votes: the whole interval, by recomputing it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from market.errors import MarketError
from p2p.batches.batch import BatchArgs
from p2p.batches.blob import blob_hash, open_blob
from p2p.errors import RemoteError
from wattswap.errors import WattswapError
from wattswap.nodes.interval import Recomputed, recompute
from wattswap.runs.prepare import Setup

KEPT: Final = 8
"""Recomputed intervals to cache: their lines are requested right after."""


class BadBatch(RemoteError):
    """A settlement batch that does not follow from the messages of its interval."""

    code = "bad_batch"


class BatchChecker:
    """Checks batches of one scenario; call it with (batch, blob)."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._kept: OrderedDict[bytes, Recomputed] = OrderedDict()
        # A validator checks an interval in one thread while it announces it in another.
        self._lock = Lock()

    def __call__(self, args: BatchArgs, blob: bytes) -> None:
        """Check a batch against its blob.

        Raises:
            RemoteError: Says what does not follow.
        """
        expected = self.recompute(blob)
        for field in BatchArgs.__struct_fields__:
            if getattr(args, field) != getattr(expected.args, field):
                raise BadBatch(f"{field} does not follow from the messages and rules of the interval")

    def recompute(self, blob: bytes) -> Recomputed:
        """Recompute an interval from its blob, every signature in it checked; the same blob is recomputed once.

        Raises:
            RemoteError: The blob is damaged, badly signed, or breaks a rule of the market.
        """
        with self._lock:
            return self._look_up(blob)

    def _look_up(self, blob: bytes) -> Recomputed:
        name = blob_hash(blob)
        found = self._kept.get(name)
        if found is None:
            content = open_blob(blob, self._setup.genesis, self._setup.member_list)
            if content.solution:
                raise BadBatch("holds a solution, but the clearing is recomputed from the messages")
            try:
                found = recompute(self._setup, content, name)
            except (MarketError, WattswapError) as error:
                raise BadBatch(str(error)) from None
            self._kept[name] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found
