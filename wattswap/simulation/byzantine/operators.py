"""Lies of an operator towards homes: orders and readings left out, refusals, and junk for answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

import msgspec

from p2p.errors import OutOfRange, RemoteError
from p2p.roles.collector.intake import Collected, M
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    INCLUSION_PROTOCOL,
    INCLUSIONS_PROTOCOL,
    LINE_PROTOCOL,
    LINES_PROTOCOL,
    READING_PROTOCOL,
    REFUSED_MARK,
    HandIn,
    HandInReply,
)
from p2p.transports.base import Handler, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import (
    PROMISES,
    VERSION,
    HandedIn,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    Signed,
    household_of,
    message_id,
    sign_message,
)
from wattswap.simulation.byzantine.behaviour import Behaviour
from wattswap.simulation.truth import opened

Ask = Callable[[], Awaitable[bytes]]
"""The honest answer to a message."""


class AtTheDesk(Behaviour):
    """Answers what its victims submit by itself, alone or in a gateway's batch."""

    async def answer(self, message: HandedIn, data: bytes, honest: Ask) -> bytes:
        """The answer to a message, of which `data` are the signed bytes; a RemoteError goes back as its code."""
        return await honest()

    def handler(self, protocol: str, honest: Handler) -> Handler:
        if protocol in (BID_PROTOCOL, READING_PROTOCOL):
            return partial(self._take, honest)
        return partial(self._take_batch, honest) if protocol == BATCH_PROTOCOL else honest

    async def _take(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        message = self._for_me(frame)
        if message is None:
            return await honest(peer, frame)
        return await self.answer(message, frame, partial(honest, peer, frame))

    async def _take_batch(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        batch = decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES)

        async def honestly(*messages: bytes) -> tuple[bytes, ...]:
            reply = await honest(peer, encode(msgspec.structs.replace(batch, messages=messages)))
            return decode(HandInReply, reply, max_bytes=FRAME_MAX_BYTES).entries

        async def alone(data: bytes) -> bytes:
            return (await honestly(data))[0]

        others = iter(await honestly(*(data for data in batch.messages if self._for_me(data) is None)))
        entries = []
        for data in batch.messages:
            message = self._for_me(data)
            try:
                entries.append(
                    next(others)
                    if message is None
                    else await self.answer(message, data, partial(alone, data))
                )
            except RemoteError as error:
                entries.append(REFUSED_MARK + error.code.encode())
        return encode(HandInReply(tuple(entries)))

    def _for_me(self, data: bytes) -> HandedIn | None:
        """A message of a victim, once the lie has begun."""
        message = opened(data) if self.has_begun else None
        return message if isinstance(message, HandedIn) and message.household in self.victims else None

    def receipt(self, message: HandedIn, code: ReceiptCode, name: bytes) -> bytes:
        """A receipt of this collector."""
        head = (VERSION, self.chain_id, message.interval_start, message.household)
        return sign_message(self.identity, ReceiptMessage(*head, name, code))


class Refuses(AtTheDesk):
    """Refuses a home's messages as if they were out of range."""

    async def answer(self, message: HandedIn, data: bytes, honest: Ask) -> bytes:
        self.told(self.is_open(message.interval_start))
        raise OutOfRange("refused")


class Late(AtTheDesk):
    """Says that a message is late while the gate is open, and does not take it."""

    async def answer(self, message: HandedIn, data: bytes, honest: Ask) -> bytes:
        self.told(self.is_open(message.interval_start))
        return self.receipt(message, ReceiptCode.LATE, message_id(message))


class JunkReceipt(AtTheDesk):
    """Gives no receipt for a message, but something else, and does not take it.

    Args:
        junk: "bytes" (random ones), "other" (a receipt for another message), "signature" (a wrong one).
    """

    def __init__(self, *arguments: Any, junk: str) -> None:
        super().__init__(*arguments)
        self._junk = junk

    async def answer(self, message: HandedIn, data: bytes, honest: Ask) -> bytes:
        self.told(self.is_open(message.interval_start))
        if self._junk == "bytes":
            return self.random.randbytes(200)
        if self._junk == "other":
            return self.receipt(message, ReceiptCode.ACCEPTED, self.random.randbytes(32))
        signed = decode(Signed, self.receipt(message, ReceiptCode.ACCEPTED, message_id(message)))
        return encode(msgspec.structs.replace(signed, signature=self.random.randbytes(len(signed.signature))))


class Relays(AtTheDesk):
    """Has a validator give the receipt for a message, and does not take it itself."""

    async def speak(self, transport: Transport) -> None:
        self._transport = transport

    async def answer(self, message: HandedIn, data: bytes, honest: Ask) -> bytes:
        protocol = READING_PROTOCOL if isinstance(message, ReadingMessage) else BID_PROTOCOL
        other = await self._transport.connect(self.address(self.base.of_role("validator")[0]))
        reply = await self._transport.request(other, protocol, data)
        receipt = opened(reply)
        self.told(isinstance(receipt, ReceiptMessage) and receipt.code in PROMISES)
        return reply


class JunkProof(Behaviour):
    """Damages proofs: one byte of every answer.

    Args:
        protocols: On which: one for homes, and the one for gateways.
    """

    def __init__(self, *arguments: Any, protocols: tuple[str, str]) -> None:
        super().__init__(*arguments)
        self._alone, self._together = protocols

    def handler(self, protocol: str, honest: Handler) -> Handler:
        if protocol == self._alone:
            return partial(self._give, honest)
        return partial(self._give_many, honest) if protocol == self._together else honest

    async def _give(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        reply = await honest(peer, frame)
        homes = self.base.configs[self.base.names[peer]].households if peer in self.base.names else ()
        return self._damaged(reply) if self.victims.intersection(homes) else reply

    async def _give_many(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        asked = decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages
        entries = decode(HandInReply, await honest(peer, frame), max_bytes=FRAME_MAX_BYTES).entries
        lies = [
            self._damaged(entry) if household_of(data) in self.victims else entry
            for data, entry in zip(asked, entries, strict=True)
        ]
        return encode(HandInReply(tuple(lies)))

    def _damaged(self, proof: bytes) -> bytes:
        if not proof or proof.startswith(REFUSED_MARK) or not self.has_begun:
            return proof
        self.told()
        place = self.random.randrange(len(proof))
        return proof[:place] + bytes((proof[place] ^ 1,)) + proof[place + 1 :]


class Drops(Behaviour):
    """Gives receipts, and leaves the messages out of its batch.

    Args:
        what: "orders" or "readings".
    """

    def __init__(self, *arguments: Any, what: str) -> None:
        super().__init__(*arguments)
        self._what = what

    def collector(self, operator: Operator) -> Operator:
        return cast(Operator, _Forgetful(operator, self._what, self.without))

    def without(self, collected: Collected[M]) -> Collected[M]:
        """What was collected, without the victims."""
        names = {data: household_of(data) for data in collected.signed}
        dropped = self.victims.intersection(names.values()) if self.has_begun else frozenset[str]()
        self.told(len(dropped))
        return replace(
            collected,
            messages=tuple(message for message in collected.messages if message.household not in dropped),
            signed=tuple(data for data in collected.signed if names[data] not in dropped),
            nothing=tuple(home for home in collected.nothing if home not in dropped),
        )


class _Forgetful:
    """A collecting role that loses some of what it has collected."""

    def __init__(self, honest: Operator, what: str, without: Callable[[Any], Any]) -> None:
        self._honest, self._what, self._without = honest, what, without

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    async def collect(self, *arguments: Any) -> Any:
        collected = await self._honest.collect(*arguments)
        return self._without(collected) if self._what == "orders" else collected

    async def collect_sealed(self, *arguments: Any) -> Any:
        collected = await self._honest.collect_sealed(*arguments)
        return self._without(collected) if self._what == "orders" else collected

    async def collect_readings(self, *arguments: Any) -> Any:
        collected = await self._honest.collect_readings(*arguments)
        return self._without(collected) if self._what == "readings" else collected


OF_OPERATORS: Final[Mapping[str, Callable[..., Behaviour]]] = {
    "drop_order": partial(Drops, what="orders"),
    "drop_reading": partial(Drops, what="readings"),
    "refuse": Refuses,
    "late": Late,
    "junk_receipt_bytes": partial(JunkReceipt, junk="bytes"),
    "junk_receipt_other": partial(JunkReceipt, junk="other"),
    "junk_receipt_signature": partial(JunkReceipt, junk="signature"),
    "relayed_receipt": Relays,
    "junk_line": partial(JunkProof, protocols=(LINE_PROTOCOL, LINES_PROTOCOL)),
    "junk_inclusion": partial(JunkProof, protocols=(INCLUSION_PROTOCOL, INCLUSIONS_PROTOCOL)),
}
