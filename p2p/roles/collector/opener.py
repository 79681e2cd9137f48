"""A collector's part in opening orders: it asks the validators for their shares until every envelope is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import trio

from p2p.batches.closed_orders import ClosedOrders, JunkWord, Opened, check_junk, find_keys
from p2p.errors import BadProof, RemoteError
from p2p.roles.exchange.wire import OPENING_PROTOCOL, OpenQuery, OpenReply
from p2p.transports.base import PEER_FAILED, Transport
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, NoReply
from p2p.wire.messages import VERSION
from p2p.wire.sealed import sealing_context
from p2p.wire.sealing import is_share, needed

ASK_S: Final = 2.0
"""How long a validator may take to answer. [s]"""
AGAIN_S: Final = 0.02
AGAIN_MAX_S: Final = 1.0
"""Pause before a validator is asked again; doubled up to the second. [s]"""

Answer = tuple[int, tuple[bytes, ...], JunkWord | None]
"""Place of a validator, its shares in order, empty for junk, and its word about that."""


class Opener:
    """Asks validators for their shares for a collector.

    Args:
        chain_id: 32 bytes of the chain.
        own_key: Public key of this node.
        addresses: Where each validator listens, by key.
        own_answer: The answer of this node, where it is a validator.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        own_key: bytes,
        addresses: Mapping[bytes, str],
        own_answer: Callable[[int, bytes], bytes] | None,
    ) -> None:
        self._transport, self._chain_id, self._own_key = transport, chain_id, own_key
        self._addresses, self._own_answer = addresses, own_answer

    async def open(self, closed: ClosedOrders) -> Opened:
        """Return what opens closed orders that the chain has taken."""
        if not closed.openable:
            return Opened((), (), ())
        while True:
            found = await self._ask_all(closed)
            if found is not None:
                return found
            await trio.sleep(AGAIN_MAX_S)  # too few validators are known here, or can open

    async def _ask_all(self, closed: ClosedOrders) -> Opened | None:
        """Ask each validator until it answers; None where all have, and an envelope is not decided."""
        answers: list[Answer] = []
        found: Opened | None = None

        async def obtain(place: int, key: bytes) -> None:
            nonlocal found
            answers.append(await self._obtain(closed, place, key))
            if found is None and len(answers) >= needed(len(closed.validators)):
                found = find_keys(closed, answers)
                if found is not None:
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for place, key in enumerate(closed.validators):
                if key in self._addresses or key == self._own_key:
                    nursery.start_soon(obtain, place, key)
        return found

    async def _obtain(self, closed: ClosedOrders, place: int, key: bytes) -> Answer:
        """Ask a validator until it answers rightly."""
        pause_s = AGAIN_S
        while True:
            try:
                return self._read(closed, place, key, await self._ask(closed, key))
            except PEER_FAILED:
                pass
            except RemoteError as error:
                if key != self._own_key:
                    self._transport.stats.refused.add(self._addresses[key], error.code, error.detail)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    async def _ask(self, closed: ClosedOrders, key: bytes) -> bytes:
        if key == self._own_key and self._own_answer is not None:
            await trio.lowlevel.checkpoint()
            return self._own_answer(closed.interval_start, closed.name)
        query = encode(OpenQuery(VERSION, self._chain_id, closed.interval_start, closed.name))
        with trio.move_on_after(ASK_S):
            peer = await self._transport.connect(self._addresses[key])
            return await self._transport.request(peer, OPENING_PROTOCOL, query)
        raise NoReply(f"no shares of the validator at {self._addresses[key]} within {ASK_S:g} s")

    def _read(self, closed: ClosedOrders, place: int, key: bytes, reply: bytes) -> Answer:
        """Check an answer.

        Raises:
            RemoteError: A share is not the one that the home has committed to, or the word is not about those without.
        """
        found = decode(OpenReply, reply, max_bytes=FRAME_MAX_BYTES)
        if len(found.shares) != len(closed.openable):
            raise BadProof(f"{len(found.shares)} shares of {len(closed.openable)} envelopes")
        junk = []
        for number, share in zip(closed.openable, found.shares, strict=True):
            message = closed.messages[number]
            if not share:
                junk.append(number)
            elif not is_share(message.envelope, place, share, sealing_context(message)):
                raise BadProof(f"a share of envelope {number} that its home has not committed to")
        if not junk:
            return place, found.shares, None
        word = decode(JunkWord, found.word)
        check_junk(word, self._chain_id, closed)
        if word.validator != key or word.places != tuple(junk):
            raise BadProof("a word of another validator, or about other envelopes than it has no share of")
        return place, found.shares, word
