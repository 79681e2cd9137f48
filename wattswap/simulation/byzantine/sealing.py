"""Lies about sealed orders: envelopes that cannot be opened, and shares that are withheld, false or called junk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from p2p.batches.closed_orders import sign_junk
from p2p.roles.exchange.wire import OPENING_PROTOCOL, OpenReply, read_open_query
from p2p.roles.validator.opening import NotClosedYet
from p2p.transports.base import Handler
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import SealedMessage
from p2p.wire.sealing import KEY_BYTES
from wattswap.simulation.byzantine.behaviour import Behaviour


class JunkEnvelope(Behaviour):
    """Sends envelopes that some validators cannot open, or nobody, as it pleases.

    Args:
        junk: "pieces" that hold no share for some validators; a "hash" of another key; a "box" under another key.
    """

    def __init__(self, *arguments: Any, junk: str) -> None:
        super().__init__(*arguments)
        self._junk = junk

    def envelope(self, sealed: SealedMessage) -> SealedMessage:
        if not self.has_begun:
            return sealed
        self.told()
        envelope = sealed.envelope
        if self._junk == "hash":
            return replace(sealed, envelope=replace(envelope, key_hash=self.random.randbytes(KEY_BYTES)))
        if self._junk == "box":
            return replace(sealed, envelope=replace(envelope, box=self.random.randbytes(len(envelope.box))))
        count = self.random.randint(1, len(envelope.pieces))
        chosen = set(self.random.sample(range(len(envelope.pieces)), count))
        pieces = tuple(
            replace(piece, masked=self.random.randbytes(KEY_BYTES)) if place in chosen else piece
            for place, piece in enumerate(envelope.pieces)
        )
        return replace(sealed, envelope=replace(envelope, pieces=pieces))


class Shares(Behaviour):
    """Answers who opens orders with other than its shares.

    Args:
        how: "withheld", "false", or called "junk" over its signature.
    """

    def __init__(self, *arguments: Any, how: str) -> None:
        super().__init__(*arguments)
        self._how = how

    def handler(self, protocol: str, honest: Handler) -> Handler:
        return partial(self._open, honest) if protocol == OPENING_PROTOCOL else honest

    async def _open(self, honest: Handler, peer: str, frame: bytes) -> bytes:
        reply = await honest(peer, frame)
        if not self.has_begun:
            return reply
        self.told()
        if self._how == "withheld":
            raise NotClosedYet("withheld")
        count = len(decode(OpenReply, reply, max_bytes=FRAME_MAX_BYTES).shares)
        if self._how == "false":
            return encode(OpenReply(tuple(self.random.randbytes(KEY_BYTES) for _ in range(count)), b""))
        name = read_open_query(frame, self.chain_id).name
        word = sign_junk(self.identity, self.chain_id, name, range(count))
        return encode(OpenReply((b"",) * count, encode(word)))


JUNK_OF_HOMES: Final[Mapping[str, Callable[..., Behaviour]]] = {
    "junk_pieces": partial(JunkEnvelope, junk="pieces"),
    "junk_key_hash": partial(JunkEnvelope, junk="hash"),
    "junk_box": partial(JunkEnvelope, junk="box"),
}
SHARES_OF_AUTHORITIES: Final[Mapping[str, Callable[..., Behaviour]]] = {
    "withhold_shares": partial(Shares, how="withheld"),
    "false_shares": partial(Shares, how="false"),
    "call_junk": partial(Shares, how="junk"),
}
