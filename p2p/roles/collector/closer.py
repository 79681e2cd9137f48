"""Closing a slot that lacks messages: a quorum of validators signs what it has promised, and gives what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import trio

from p2p.batches.closings import Closing, Promised, check_closing, decode_closing, left_out
from p2p.blocks.block import quorum
from p2p.errors import BadProof, RemoteError
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import CLOSING_PROTOCOL, CloseQuery, CloseReply
from p2p.transports.base import PEER_FAILED, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, NoReply
from p2p.wire.messages import VERSION

ASK_S: Final = 2.0
"""How long a validator may take to answer. [s]"""
AGAIN_S: Final = 0.05
AGAIN_MAX_S: Final = 1.0
"""Pause before a validator is asked again whose gate is open, or which did not answer; doubled up to the second. [s]"""
ROUND_S: Final = 5.0
"""After so long the validators of now are looked up again. [s]"""
WANTED_MAX: Final = 256
"""Homes whose messages are asked for at a time."""


class Closer:
    """Asks validators to close slots for a collector.

    Args:
        chain_id: 32 bytes of the chain.
        operator: The collecting role, which takes what is missing.
        own_key: Public key of this node.
        validators: Public keys of the validators of now.
        addresses: Where each listens, by key.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        operator: Operator,
        own_key: bytes,
        validators: Callable[[], tuple[bytes, ...]],
        addresses: Mapping[bytes, str],
    ) -> None:
        self._transport, self._chain_id, self._operator = transport, chain_id, operator
        self._own_key, self._validators, self._addresses = own_key, validators, addresses

    async def close(self, interval_start: int, slot: int) -> tuple[Closing, ...]:
        """Return closings of a quorum; all that they promise is with the collecting role then."""
        while True:
            validators = self._validators()
            found = await self._ask_all(validators, interval_start, slot)
            if len(found) >= quorum(len(validators)):
                return tuple(found.values())
            await trio.sleep(AGAIN_S)

    async def _ask_all(
        self, validators: tuple[bytes, ...], interval_start: int, slot: int
    ) -> dict[bytes, Closing]:
        """Ask all validators at once; return what came when a quorum has closed the slot, or the time is over."""
        found: dict[bytes, Closing] = {}

        async def obtain(key: bytes) -> None:
            found[key] = await self._obtain(key, interval_start, slot)
            if len(found) >= quorum(len(validators)):
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + ROUND_S
            for key in validators:
                if key == self._own_key or key in self._addresses:
                    nursery.start_soon(obtain, key)
        return found

    async def _obtain(self, key: bytes, interval_start: int, slot: int) -> Closing:
        """Ask a validator until it has closed a slot."""
        pause_s = AGAIN_S
        while True:
            try:
                if key == self._own_key:
                    return self._operator.close(interval_start, slot)
                return await self._of(key, interval_start, slot)
            except PEER_FAILED:
                pass
            except RemoteError as error:
                if key != self._own_key:
                    self._transport.stats.refused.add(self._addresses[key], error.code, error.detail)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    async def _of(self, key: bytes, interval_start: int, slot: int) -> Closing:
        """The closing of a validator, and the messages that it promises and this collector lacks.

        Raises:
            RemoteError: It is none, or promises what it does not give.
        """
        closing, _ = await self._ask(key, interval_start, slot, ())
        if closing.validator != key or (closing.interval_start, closing.slot) != (interval_start, slot):
            raise BadProof("a closing of another validator, interval or slot")
        check_closing(closing, self._chain_id)
        while missing := self._missing(closing):
            wanted = tuple(one.participant for one in missing[:WANTED_MAX])
            again, messages = await self._ask(key, interval_start, slot, wanted)
            if again != closing:
                raise BadProof("a validator with two closings of one slot")
            self._operator.take_over(interval_start, slot, messages)
            if len(self._missing(closing)) == len(missing):
                raise BadProof("a closing promises messages that its validator does not give")
        return closing

    def _missing(self, closing: Closing) -> list[Promised]:
        present = self._operator.present(closing.interval_start, closing.slot)
        return list(left_out(closing, present))

    async def _ask(
        self, key: bytes, interval_start: int, slot: int, wanted: tuple[int, ...]
    ) -> tuple[Closing, tuple[bytes, ...]]:
        query = encode(CloseQuery(VERSION, self._chain_id, interval_start, slot, wanted))
        with trio.move_on_after(ASK_S):
            peer = await self._transport.connect(self._addresses[key])
            reply = await self._transport.request(peer, CLOSING_PROTOCOL, query)
            found = decode(CloseReply, reply, max_bytes=FRAME_MAX_BYTES)
            return decode_closing(found.closing), found.messages
        raise NoReply(f"no closing of the validator at {self._addresses[key]} within {ASK_S:g} s")
