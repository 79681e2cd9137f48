"""Lies of a home, or of a gateway in the name of its homes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import trio
from msgspec.structs import replace

from p2p.blocks.members import energy_at
from p2p.errors import AboveCapacity, RemoteError, WrongSignature
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    EARLY_ENTRY,
    LATE_PROTOCOL,
    READING_PROTOCOL,
    REFUSED_MARK,
    HandIn,
    HandInReply,
)
from p2p.transports.base import PEER_FAILED, RequestRefused, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, StreamLost
from p2p.wire.identity import Identity
from p2p.wire.messages import PROMISES, ReadingMessage, ReceiptCode, ReceiptMessage, sign_message
from wattswap.nodes.config import household_key, meter_key
from wattswap.simulation.byzantine.behaviour import Behaviour
from wattswap.simulation.truth import opened

HANDING_IN: Final = (BID_PROTOCOL, READING_PROTOCOL, BATCH_PROTOCOL)
AGAIN_S: Final = 0.05
"""Pause before a reading that came too early is sent again. [s]"""


class WakesAuthorities(Behaviour):
    """Gives its orders and readings to every validator, and not to the operator, which then waits for it in vain."""

    async def request(self, transport: Transport, peer: str, protocol: str, frame: bytes) -> bytes:
        if protocol not in HANDING_IN or not self.has_begun:
            return await transport.request(peer, protocol, frame)
        replies: list[bytes] = []

        async def ask(name: str) -> None:
            try:
                other = await transport.connect(self.address(name))
                replies.append(await transport.request(other, protocol, frame))
            except (RemoteError, *PEER_FAILED):
                return

        async with trio.open_nursery() as nursery:
            for name in self.base.of_role("validator"):
                nursery.start_soon(ask, name)
        if not replies:
            raise StreamLost("no validator answers")
        codes = {reply: _codes(_entries(protocol, reply)) for reply in replies}
        self.told(sum(any(code in PROMISES for code in found) for found in codes.values()))
        # The first that is not too early counts, as an answer of the operator would.
        return next((reply for reply in replies if ReceiptCode.EARLY not in codes[reply]), replies[0])


class FalseReading(Behaviour):
    """Reports that its meter gave more than its connection can: first just above it, then the most that a chain takes.

    It then submits its true reading: the answer "duplicate" lets its own program expect no line for that.

    Attributes:
        refusal: The code with which a false reading is refused.
    """

    refusal = AboveCapacity.code

    async def request(self, transport: Transport, peer: str, protocol: str, frame: bytes) -> bytes:
        for claim in self._lies(protocol, frame) if self.has_begun else ():
            false = encode(HandIn(*self._head(frame), (claim,))) if protocol == BATCH_PROTOCOL else claim
            await self._submit(transport, peer, protocol, false)
        return await transport.request(peer, protocol, frame)

    async def _submit(self, transport: Transport, peer: str, protocol: str, false: bytes) -> None:
        """Send a false reading until it is no longer too early; a refusal is an answer to it, too."""
        while True:
            try:
                entries = _entries(protocol, await transport.request(peer, protocol, false))
            except RequestRefused as error:
                entries = [REFUSED_MARK + error.code.encode()]
            codes = _codes(entries)
            refused = REFUSED_MARK + self.refusal.encode() in entries
            self.told(sum(code in PROMISES for code in codes) or refused)
            if ReceiptCode.EARLY not in codes and EARLY_ENTRY not in entries:
                return
            await trio.sleep(AGAIN_S)

    def _lies(self, protocol: str, frame: bytes) -> list[bytes]:
        if protocol == READING_PROTOCOL:
            messages: tuple[bytes, ...] = (frame,)
        elif protocol == BATCH_PROTOCOL:
            messages = decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages
        else:
            return []
        readings = [message for data in messages if isinstance(message := opened(data), ReadingMessage)]
        return [
            sign_message(self.signer(true.household), replace(true, import_wh=0, export_wh=false_wh))
            for true in readings
            for false_wh in self.claims(true)
        ]

    def signer(self, household: str) -> Identity:
        """Who signs: the meter, where it has a key."""
        keys = self.base.keys[self.lie.who]
        return keys.get(meter_key(household)) or keys[household_key(household)]

    def claims(self, true: ReadingMessage) -> tuple[int, ...]:
        """Just above the connection of the home, and far above it. [Wh]"""
        return self.capacity_wh(true) + 1, self.setup.genesis.params.max_energy_wh

    def capacity_wh(self, true: ReadingMessage) -> int:
        """The most that the connection of the home can give in the interval. [Wh]"""
        members = self.setup.member_list
        export_w = members.records[members.ids.index(true.household)].export_capacity_w
        return energy_at(export_w, true.minutes)

    @staticmethod
    def _head(frame: bytes) -> tuple[int, bytes]:
        batch = decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES)
        return batch.version, batch.chain_id


class FalseWithinCapacity(FalseReading):
    """Reports that its meter gave all that its connection can, which nobody can know to be false."""

    def claims(self, true: ReadingMessage) -> tuple[int, ...]:
        """See `FalseReading`."""
        return (self.capacity_wh(true),)


class OwnReading(FalseWithinCapacity):
    """Reports with its own key, though its meter has one, that its meter gave all that its connection can."""

    refusal = WrongSignature.code

    def claims(self, true: ReadingMessage) -> tuple[int, ...]:
        """See `FalseReading`; nothing for a home that may sign its readings."""
        has_meter = meter_key(true.household) in self.base.keys[self.lie.who]
        return super().claims(true) if has_meter else ()

    def signer(self, household: str) -> Identity:
        """See `FalseReading`."""
        return self.base.keys[self.lie.who][household_key(household)]


class Silent(Behaviour):
    """Orders, and gives none of its readings to anybody, in time or late: it would pay for what it trades alone."""

    async def request(self, transport: Transport, peer: str, protocol: str, frame: bytes) -> bytes:
        if protocol not in (BATCH_PROTOCOL, LATE_PROTOCOL) or not self.has_begun:
            return await transport.request(peer, protocol, frame)
        batch = decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES)
        said = [data for data in batch.messages if not isinstance(opened(data), ReadingMessage)]
        self.told(len(batch.messages) - len(said))
        answers: Iterator[bytes] = iter(())
        if said:
            head = batch.version, batch.chain_id
            reply = await transport.request(peer, protocol, encode(HandIn(*head, tuple(said))))
            answers = iter(decode(HandInReply, reply, max_bytes=FRAME_MAX_BYTES).entries)
        kept = REFUSED_MARK + b"withheld"
        return encode(HandInReply(tuple(next(answers) if data in said else kept for data in batch.messages)))


def _entries(protocol: str, reply: bytes) -> list[bytes]:
    """The answer to each message of a request."""
    if protocol != BATCH_PROTOCOL:
        return [reply]
    return list(decode(HandInReply, reply, max_bytes=FRAME_MAX_BYTES).entries)


def _codes(entries: Sequence[bytes]) -> list[int]:
    """Codes of the receipts among answers."""
    return [receipt.code for entry in entries if isinstance(receipt := opened(entry), ReceiptMessage)]


OF_HOMES: Final[Mapping[str, Callable[..., Behaviour]]] = {
    "wake_authorities": WakesAuthorities,
    "false_reading": FalseReading,
    "false_within": FalseWithinCapacity,
    "own_reading": OwnReading,
    "silent": Silent,
}
