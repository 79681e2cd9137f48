"""What a node has on its way to the collector: messages until they have a receipt, questions until they are answered.

Everything it sends is idempotent by content, so a lost stream means: wait, and send the same bytes again. An answer
that is wrong is no answer: it is counted, and the next collector is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from p2p.errors import Malformed, RemoteError
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    EARLY_ENTRY,
    INCLUSIONS_PROTOCOL,
    LINES_PROTOCOL,
    POSITIONS_PROTOCOL,
    REFUSED_MARK,
    HandIn,
    HandInReply,
)
from p2p.roles.household.collectors import Collector, Collectors
from p2p.roles.household.frames import (
    AGAIN_MAX_S,
    AGAIN_MIN_S,
    MESSAGES_MAX,
    RESULT_AGAIN_S,
    in_frames,
)
from p2p.transports.base import RequestRefused
from p2p.transports.counters import Refusals
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError
from p2p.wire.messages import VERSION

LINES_MAX: Final = 64
"""Lines of a frame: a proof of 25 validators has about 2.5 kB."""
QUESTIONS: Final = (POSITIONS_PROTOCOL, LINES_PROTOCOL, INCLUSIONS_PROTOCOL)

Read = Callable[[bytes, Collector], object | None]
"""(entry of a reply, who gave it) -> the answer, or None where it comes later; raises a RemoteError for a wrong one."""


class NotTaken(RemoteError):
    """What every collector refuses, with the code of the last one."""

    code = "not_taken"


@dataclass(slots=True, eq=False)
class Item:
    """One message or question on its way.

    Args:
        read: See `Read`.
        patient_until: When what has no answer, or comes too early, goes to another collector. [s of trio's clock]

    Attributes:
        collector: Who has answered it.
        answer: What came back; a refusal as its error.
        refused: Who has refused it.
    """

    interval_start: int
    protocol: str
    data: bytes
    read: Read
    patient_until: float = float("inf")
    collector: bytes = b""
    answer: object | None = None
    refused: set[bytes] = field(default_factory=set)
    done: trio.Event = field(default_factory=trio.Event)

    def close(self, collector: bytes, answer: object) -> None:
        """End it with an answer."""
        self.collector, self.answer = collector, answer
        self.done.set()


class Carrier:
    """Carries to the current collector while `run` runs.

    Args:
        chain_id: 32 bytes of the chain.
        gather_s: How long the first of a batch waits for others. [s]
    """

    def __init__(
        self, chain_id: bytes, collectors: Collectors, refused: Refusals, *, gather_s: float
    ) -> None:
        self._chain_id, self._collectors = chain_id, collectors
        self._refused, self._gather_s = refused, gather_s
        self._messages: dict[Hashable, Item] = {}
        self._overtaken: list[Item] = []
        self._questions: list[Item] = []
        self._work = trio.Event()

    async def submit(self, key: Hashable, item: Item) -> object:
        """Carry a message, in place of the one before of the same key, and return its answer.

        It is sent to each collector that takes over, until one of a later interval is in its place.

        Raises:
            NotTaken: The collector refused it unread.
        """
        before = self._messages.get(key)
        if before is not None:
            self._overtaken.append(before)
        self._messages[key] = item
        return await self._wait(item)

    async def ask(self, item: Item) -> object:
        """Carry a question, and return its answer.

        Raises:
            NotTaken: No collector has it.
        """
        self._questions.append(item)
        return await self._wait(item)

    def drop_before(self, interval_start: int) -> None:
        """Send no message of an earlier interval to those who take over."""
        old = {key: item for key, item in self._messages.items() if item.interval_start < interval_start}
        self._overtaken += old.values()
        for key in old:
            del self._messages[key]

    def wake(self) -> None:
        """Look again what is to be sent: a collector that was unreachable must receive everything."""
        self._work.set()

    async def run(self) -> None:
        """Carry until cancelled."""
        pause_s = AGAIN_MIN_S
        while True:
            await self._work.wait()
            self._work = trio.Event()
            await trio.sleep(self._gather_s)
            if await self._carry_all():
                pause_s = AGAIN_MIN_S
            else:
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, AGAIN_MAX_S)
                self._work.set()

    async def _wait(self, item: Item) -> object:
        self._work.set()
        await item.done.wait()
        if isinstance(item.answer, RemoteError):
            raise item.answer
        return item.answer

    async def _carry_all(self) -> bool:
        """Send what the current collector has not got; False where something must be sent again."""
        collector = self._collectors.current.key
        # Somebody waits for each answer, though a later message took the place of his.
        self._overtaken = [item for item in self._overtaken if not item.done.is_set()]
        self._questions = [item for item in self._questions if not item.done.is_set()]
        messages = [*self._overtaken, *(m for m in self._messages.values() if m.collector != collector)]
        try:
            whole = await self._carry(BATCH_PROTOCOL, messages, MESSAGES_MAX)
            for protocol in QUESTIONS:
                asked = [item for item in self._questions if item.protocol == protocol]
                whole = await self._carry(protocol, asked, LINES_MAX) and whole
            return whole
        except LinkError:
            return False

    async def _carry(self, protocol: str, items: Sequence[Item], most: int) -> bool:
        whole = True
        for part in in_frames(items, most):
            one = self._collectors.current  # which a result may have changed during the last request
            frame = encode(HandIn(VERSION, self._chain_id, tuple(item.data for item in part)))
            try:
                reply = decode(
                    HandInReply, await self._collectors.request(protocol, frame), max_bytes=FRAME_MAX_BYTES
                )
                if len(reply.entries) != len(part):
                    raise Malformed(f"{len(reply.entries)} entries for {len(part)} messages")
                for item, entry in zip(part, reply.entries, strict=True):
                    whole = self._take(item, entry, one) and whole
            except RequestRefused:  # it is in trouble with itself, or says so
                self._collectors.distrust(one)
                return False
            except RemoteError as error:
                self._refused.add(one.address, error.code, error.detail)
                self._collectors.distrust(one)
                return False
        return whole

    def _take(self, item: Item, entry: bytes, one: Collector) -> bool:
        if entry == EARLY_ENTRY:
            return self._later(item, one)
        if not entry.startswith(REFUSED_MARK):
            try:
                answer = item.read(entry, one)
            except RemoteError as error:
                if item.protocol != POSITIONS_PROTOCOL:  # all others exist somewhere: it is asked for again
                    raise
                self._refused.add(one.address, error.code, error.detail)
                return self._refuse(item, one, error.code)
            if answer is None:
                return self._later(item, one)
            item.close(one.key, answer)
            return True
        return self._refuse(item, one, entry[1:].decode("ascii", "replace"))

    def _later(self, item: Item, one: Collector) -> bool:
        """Ask again; another collector, where this one has had its time."""
        if (now := trio.current_time()) > item.patient_until:
            item.patient_until = now + RESULT_AGAIN_S
            self._collectors.distrust(one)  # it may be behind, or collect nothing
        return False

    def _refuse(self, item: Item, one: Collector, code: str) -> bool:
        """Note that a collector has no answer that is right; whether that ends the item, as no other has one."""
        item.refused.add(one.key)
        if item.protocol == BATCH_PROTOCOL or item.refused.issuperset(self._collectors.line):
            item.close(one.key, NotTaken(f"{one.address} refused it: {code}"))
            return True
        self._collectors.distrust(one)  # somebody else may have it
        return False
