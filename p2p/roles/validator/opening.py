"""A validator's part in opening orders: its shares, once the chain has taken the closed orders they belong to."""

from __future__ import annotations

from collections.abc import Callable

from p2p.batches.closed_orders import ClosedOrders, sign_junk
from p2p.errors import NotAllowed, RemoteError
from p2p.ledger.closed import LastClosed
from p2p.roles.exchange.wire import OPENING_PROTOCOL, OpenReply, read_open_query
from p2p.roles.replica.blobs import Blobs
from p2p.transports.base import Transport
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from p2p.wire.sealed import sealing_context
from p2p.wire.sealing import open_share


class NotClosedYet(RemoteError):
    """A question for shares of orders that the chain has not taken as closed, or no longer has as the last ones."""

    code = "not_closed_yet"


class ShareService:
    """Answers collectors that open orders.

    Args:
        chain_id: 32 bytes of the chain.
        identity: Of the validator.
        closed: The orders that the own chain has taken as closed last, in a final block.
        read: Reads closed orders that were checked; raises a RemoteError for anything else.
        is_collector: Whether a peer may ask.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        identity: Identity,
        closed: Callable[[], LastClosed],
        blobs: Blobs,
        read: Callable[[bytes], ClosedOrders],
        is_collector: Callable[[str], bool],
    ) -> None:
        self._chain_id, self._identity, self._closed = chain_id, identity, closed
        self._blobs, self._read, self._is_collector = blobs, read, is_collector
        self._given: tuple[bytes, bytes] = (b"", b"")
        transport.serve(OPENING_PROTOCOL, self._open_for)

    async def _open_for(self, peer: str, frame: bytes) -> bytes:
        if not self._is_collector(peer):
            raise NotAllowed(f"peer {peer} collects nothing here")
        query = read_open_query(frame, self._chain_id)
        return self.answer(query.interval_start, query.name)

    def answer(self, interval_start: int, name: bytes) -> bytes:
        """Return the bytes of an `OpenReply`, computed once.

        Raises:
            NotClosedYet: The own chain has not these orders as the last closed ones.
        """
        if self._closed() != LastClosed(interval_start, name):
            raise NotClosedYet(
                f"orders {name.hex()[:16]} of interval {interval_start} are not the last closed"
            )
        if self._given[0] != name:
            blob = self._blobs.get(name)
            if blob is None:
                raise NotClosedYet(f"orders {name.hex()[:16]} of interval {interval_start} are not here yet")
            self._given = name, self._open(self._read(blob))
        return self._given[1]

    def _open(self, closed: ClosedOrders) -> bytes:
        key = self._identity.public_key
        if key not in closed.validators:
            raise NotClosedYet("the orders are sealed to other validators")
        own, shares, junk = closed.validators.index(key), [], []
        for place in closed.openable:
            message = closed.messages[place]
            share = open_share(message.envelope, own, self._identity, sealing_context(message))
            shares.append(share or b"")
            if share is None:
                junk.append(place)
        word = encode(sign_junk(self._identity, self._chain_id, closed.name, junk)) if junk else b""
        return encode(OpenReply(tuple(shares), word))
