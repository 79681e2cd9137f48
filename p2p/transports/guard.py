"""`Admission` at the sockets of py-libp2p: its TCP listener and its Noise handshake ask it about each connection.

Import it inside functions only: it imports libp2p, which takes most of a second.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.tcp.tcp import TCP

from p2p.errors import RemoteError
from p2p.transports.admission import HANDSHAKE_S, Admission, HandshakeTimeout, Inbound

LINGER_S: Final = HANDSHAKE_S + 1.0
"""How long the library may take to give up a connection that has ended; its own limit is HANDSHAKE_S. [s]"""


class _GuardedStream(TrioTCPStream):  # type: ignore[misc]
    """An accepted socket that is counted as a connection from outside, and knows when it has ended."""

    def __init__(self, stream: trio.SocketStream, admission: Admission) -> None:
        super().__init__(stream)
        self.admission = admission
        address = self.get_remote_address()
        self.inbound: Inbound = admission.register(address[0] if address else "unknown", stream.socket.close)
        self.ended = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        try:
            data: bytes = await super().read(n)
        except Exception:
            self.ended.set()
            raise
        if not data and n != 0:
            self.ended.set()
        return data

    async def close(self) -> None:
        self.ended.set()
        await super().close()

    async def has_spoken(self) -> bool:
        """Wait for the first byte, and leave it where it is; False where the connection ends without one."""
        try:
            return bool(await self.stream.socket.recv(1, socket.MSG_PEEK))
        except (OSError, trio.ClosedResourceError):
            return False


class GuardedTcp(TCP):  # type: ignore[misc]
    """TCP whose accepted connections the library sees once they have said something.

    The library counts an accepted connection from the first packet until the node stops, even if it was closed long
    before. Here it is given up when it ends.
    """

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self._admission = admission

    def create_listener(self, handler_function: Callable[[Any], Awaitable[None]]) -> Any:
        """A listener whose connections are counted before the library sees them."""

        async def accept(accepted: TrioTCPStream) -> None:
            stream = _GuardedStream(accepted.stream, self._admission)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_limit_handshake, stream)
                    if await stream.has_spoken():
                        stream.inbound.spoke = True
                        nursery.start_soon(_give_up, stream, nursery.cancel_scope)
                        await handler_function(stream)
                    nursery.cancel_scope.cancel()
            finally:
                self._admission.gone(stream.inbound)
                stream.stream.socket.close()

        return super().create_listener(accept)


async def _limit_handshake(stream: _GuardedStream) -> None:
    """End a connection that has not proven its key in time.

    Its socket is closed, not its task cancelled: the library then releases what it holds for it.
    """
    await trio.sleep(HANDSHAKE_S)
    if stream.inbound.peer is None:
        reason = HandshakeTimeout(f"no key proven within {HANDSHAKE_S:g} s")
        stream.admission.end(stream.inbound, reason)


async def _give_up(stream: _GuardedStream, scope: trio.CancelScope) -> None:
    """End the library's task of a connection some time after the connection."""
    await stream.ended.wait()
    await trio.sleep(LINGER_S)
    scope.cancel()


class GuardedNoise(NoiseTransport):  # type: ignore[misc]
    """Noise that lets in only those for whom there is a place."""

    async def secure_inbound(self, conn: Any) -> Any:
        """Prove the keys of both ends, and find a place for the other one.

        Raises:
            HandshakeFailure: It proved no key, or there is no place for it.
        """
        secured = await super().secure_inbound(conn)
        stream: _GuardedStream = conn.stream
        try:
            stream.admission.enter(stream.inbound, secured.get_remote_peer().to_base58())
        except RemoteError as error:
            await secured.close()
            raise HandshakeFailure(str(error)) from None
        return secured
