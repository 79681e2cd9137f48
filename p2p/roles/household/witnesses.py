"""The validators to which a node gives the messages of its homes besides the collector: f + 1 for each message.

What f + 1 validators have promised binds whoever settles the interval, see `p2p.batches.closings`: it does not matter
then what the collector does with the message, or whether it lives to do anything. They get it once a part of the gate
is over: an interval for which all homes have spoken is settled by then, and no batch can lack a message before the gate
ends. What is given later than that, or is refused by anybody, they get at once, and after a refusal all of them: the
gate may end by the clocks of some before there is time to ask another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

import trio

from p2p.errors import Malformed, RemoteError
from p2p.roles.exchange.wire import BATCH_PROTOCOL, EARLY_ENTRY, REFUSED_MARK, HandIn, HandInReply
from p2p.roles.household.collectors import Collector, Collectors
from p2p.roles.household.frames import AGAIN_MAX_S, AGAIN_MIN_S, MESSAGES_MAX, in_frames
from p2p.transports.base import RequestRefused
from p2p.transports.counters import Refusals
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError
from p2p.wire.messages import PROMISES, VERSION, ReceiptCode, ReceiptMessage

PATIENCE_S: Final = 10.0
"""How long a validator may take to answer; after the time of a takeover others are asked besides. [s]"""
FAILED_S: Final = 1.0
"""How long a validator that failed comes last, behind those that did not. [s]"""

ReadReceipt = Callable[[bytes, bytes, bytes], ReceiptMessage]
"""(reply, id of the message, key of who must have signed) -> the receipt; raises a RemoteError for anything else."""


GateAge = Callable[[int, int], float]
"""(start of an interval, slot) -> how long the gate for such messages has been open, by the own clock. [s]"""


class Promise(NamedTuple):
    """A receipt that promises to include a message, and the message; signed bytes of both."""

    receipt: bytes
    message: bytes


@dataclass(slots=True, eq=False)
class _Shown:
    """One message on its way to validators.

    Args:
        at_s: When it is shown, with all others that are there then; on trio's clock. [s]

    Attributes:
        promises: Receipts by the keys of those who promised.
        refused: Keys of those who will not take it, the collector's among them.
        is_due: Whether it is to be shown now: not before its time, and not when its interval is settled.
    """

    interval_start: int
    name: bytes
    data: bytes
    at_s: float
    is_due: bool = False
    promises: dict[bytes, bytes] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)


class Witnesses:
    """Gives messages to validators while `run` runs.

    Args:
        chain_id: 32 bytes of the chain.
        collectors: Who the validators are, and where.
        read_receipt: See `ReadReceipt`.
        gather_s: How long the first message waits for others. [s]
        after_s: How long after it was given, or after its gate opened where that is sooner, a message is shown. [s]
        gate_age_s: See `GateAge`.
        first: Which validator is asked first, so that nodes do not all ask the same ones.
    """

    def __init__(
        self,
        chain_id: bytes,
        collectors: Collectors,
        read_receipt: ReadReceipt,
        refused: Refusals,
        *,
        gather_s: float,
        after_s: float,
        gate_age_s: GateAge,
        first: int,
    ) -> None:
        self._chain_id, self._collectors = chain_id, collectors
        self._read, self._refused = read_receipt, refused
        self._gather_s, self._after_s, self._first = gather_s, after_s, first
        self._gate_age_s = gate_age_s
        self._shown: dict[tuple[str, int], _Shown] = {}
        self._failed: dict[bytes, float] = {}
        self._news = trio.Event()

    def show(self, household: str, slot: int, interval_start: int, name: bytes, data: bytes) -> None:
        """Give a message of a home to validators, in place of the one before it of the same slot."""
        known = self._shown.get((household, slot))
        if known is None or known.name != name:
            wait_s = self._after_s - max(0.0, self._gate_age_s(interval_start, slot))
            at_s = trio.current_time() + max(0.0, wait_s)
            self._shown[household, slot] = _Shown(interval_start, name, data, at_s)
            self._wake()

    def show_now(self, household: str, slot: int, key: bytes) -> None:
        """Show the newest message of a home in a slot at once, and to all: the collector of this key has refused it."""
        shown = self._shown.get((household, slot))
        if shown is not None and key not in shown.promises:
            shown.refused.add(key)
            shown.at_s = min(shown.at_s, trio.current_time())
            self._wake()

    def end(self, interval_start: int) -> None:
        """Show no message of an interval any more: it is settled."""
        for shown in self._shown.values():
            if shown.interval_start <= interval_start:
                shown.at_s, shown.is_due = inf, False

    def promises(self, household: str, slot: int, interval_start: int) -> dict[bytes, Promise]:
        """What validators have promised about the newest message of a home in a slot, by their keys."""
        shown = self._shown.get((household, slot))
        if shown is None or shown.interval_start != interval_start:
            return {}
        return {key: Promise(receipt, shown.data) for key, receipt in shown.promises.items()}

    async def run(self) -> None:
        """Give what there is to give, until cancelled; each validator is asked by a task of its own."""
        async with trio.open_nursery() as nursery:
            asked = set[bytes]()
            while True:
                news = self._news
                for one in self._collectors.validators:
                    if one.key not in asked:
                        asked.add(one.key)
                        nursery.start_soon(self._serve, one, nursery)
                with trio.move_on_at(min((shown.at_s for shown in self._shown.values()), default=inf)):
                    await news.wait()
                self._make_due()

    def _make_due(self) -> None:
        """Show all messages that are there once the first of them is to be shown: they go together."""
        if any(shown.at_s <= trio.current_time() for shown in self._shown.values()):
            for shown in self._shown.values():
                if shown.at_s < inf:
                    shown.at_s, shown.is_due = inf, True
            self._wake()

    async def _serve(self, one: Collector, nursery: trio.Nursery) -> None:
        """Give to one validator what it is to have."""
        pause_s = AGAIN_MIN_S
        while True:
            news, due = self._news, list(self._due(one))
            if not due:
                await self._wait(news)
                await trio.sleep(self._gather_s)
                continue
            slow = trio.CancelScope()
            nursery.start_soon(self._note_slow, one, slow)
            try:
                again = await self._give(one, due)
                if not again:
                    self._failed.pop(one.key, None)
            except (LinkError, RequestRefused):
                again = self._fail(one)
            except RemoteError as error:
                self._refused.add(one.address, error.code, error.detail)
                again = self._fail(one)
            finally:
                slow.cancel()
            if again:
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, AGAIN_MAX_S)
            else:
                pause_s = AGAIN_MIN_S

    async def _note_slow(self, one: Collector, scope: trio.CancelScope) -> None:
        """Let another one have the messages too, where this one takes long; its answer may still come."""
        with scope:
            # No longer than it waited itself: else the gate ends before another one has the message.
            await trio.sleep(min(self._collectors.failover_s, self._after_s or inf))
            self._fail(one)

    async def _wait(self, news: trio.Event) -> None:
        """Wait until something is new, or until one that failed may be asked again."""
        left_s = max(self._failed.values(), default=0.0) - trio.current_time()
        if left_s <= 0:
            await news.wait()
            return
        with trio.move_on_after(left_s):
            await news.wait()

    def _due(self, one: Collector) -> Iterator[_Shown]:
        """The messages that a validator is to have and has not."""
        order, wanted = self._in_order(), self._collectors.witnesses
        for shown in self._shown.values():
            if not shown.is_due or one.key in shown.promises or len(shown.promises) >= wanted:
                continue
            free = [key for key in order if key not in shown.promises and key not in shown.refused]
            if one.key in (free if shown.refused else free[: wanted - len(shown.promises)]):
                yield shown

    def _in_order(self) -> list[bytes]:
        """The validators, beginning with another one at each node; those that have just failed come last."""
        keys = [one.key for one in self._collectors.validators]
        turn = self._first % len(keys) if keys else 0
        now = trio.current_time()
        return sorted((*keys[turn:], *keys[:turn]), key=lambda key: self._failed.get(key, 0.0) > now)

    def _fail(self, one: Collector) -> bool:
        """Let others be asked first for a while; True, as it must be asked again."""
        self._failed[one.key] = trio.current_time() + FAILED_S
        self._wake()
        return True

    async def _give(self, one: Collector, due: Sequence[_Shown]) -> bool:
        """Send messages to a validator; True where some came too early and must be sent again."""
        again = False
        for part in in_frames(due, MESSAGES_MAX):
            frame = encode(HandIn(VERSION, self._chain_id, tuple(shown.data for shown in part)))
            reply = await self._collectors.request_of(one, BATCH_PROTOCOL, frame, PATIENCE_S)
            entries = decode(HandInReply, reply, max_bytes=FRAME_MAX_BYTES).entries
            if len(entries) != len(part):
                raise Malformed(f"{len(entries)} entries for {len(part)} messages")
            for shown, entry in zip(part, entries, strict=True):
                again = self._take(one, shown, entry) or again
        return again

    def _take(self, one: Collector, shown: _Shown, entry: bytes) -> bool:
        refused = entry.startswith(REFUSED_MARK)
        code = None if refused else self._read(entry, shown.name, one.key).code
        if code == ReceiptCode.EARLY or entry == EARLY_ENTRY:
            # Where another one has taken it already, it comes last; it is asked again in any case.
            return self._fail(one) if shown.promises else True
        if code in PROMISES:
            shown.promises[one.key] = entry
        else:
            shown.refused.add(one.key)
        self._wake()
        return False

    def _wake(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()
