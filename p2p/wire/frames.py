"""Frames on a byte stream, and the ways a stream can fail.

A frame: 4 bytes big-endian length of what follows, 4 bytes request id, 1 byte kind, payload. A reply repeats
the id of its request; an error frame carries a code instead of a reply.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import trio

from p2p.errors import Malformed, P2PError, RemoteError, TooLarge

FRAME_MAX_BYTES: Final = 256 * 1024
"""Largest payload of a frame. [B]"""
STALL_TIMEOUT_S: Final = 5.0
"""How long the rest of a frame may take once its first byte has come. [s]"""

_HEAD: Final = struct.Struct(">IIB")
_LENGTH_BYTES: Final = 4
_OVERHEAD: Final = _HEAD.size - _LENGTH_BYTES
_READ_BYTES: Final = 64 * 1024
_KINDS: Final = frozenset({0, 1, 2})


class LinkError(P2PError):
    """The way to a peer failed; whether the request arrived is unknown, so repeat only what is idempotent."""


class Unreachable(LinkError):
    """No stream to the peer could be opened."""


class StreamLost(LinkError):
    """The stream ended before the reply."""


class NoReply(LinkError):
    """The reply did not come in time."""


class Stalled(RemoteError):
    """A frame that began and did not end."""

    code = "stalled"


class FrameKind(IntEnum):
    """The kind byte of a frame."""

    REQUEST = 0
    REPLY = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame off a stream."""

    request_id: int
    kind: FrameKind
    payload: bytes

    def __len__(self) -> int:
        """Bytes on the wire."""
        return _HEAD.size + len(self.payload)

    def pack(self) -> bytes:
        """The bytes on the wire."""
        return _HEAD.pack(_OVERHEAD + len(self.payload), self.request_id, self.kind) + self.payload


class ByteStream(Protocol):
    """An ordered, reliable stream of bytes to one authenticated peer. Every failure is a LinkError."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""

    async def receive(self, max_bytes: int) -> bytes:
        """Return some bytes, b"" at the end."""

    async def close(self) -> None:
        """Close both directions; never raises."""


class FrameReader:
    """Cuts a byte stream into frames; reads far ahead, because every read costs libp2p a window update."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self) -> Frame | None:
        """Return the next frame, None at a clean end.

        Raises:
            TooLarge: The announced length is beyond the limit; nothing of the frame was kept.
            Malformed: No such frame.
            Stalled: The rest of a frame did not come.
            StreamLost: The stream ended inside a frame.
        """
        if not self._buffer and not await self._more():
            return None
        if len(self._buffer) < self._end():  # mostly a frame comes whole
            with trio.move_on_after(STALL_TIMEOUT_S) as scope:
                await self._fill()
            if scope.cancelled_caught:
                raise Stalled(f"{len(self._buffer)} bytes of a frame and no more for {STALL_TIMEOUT_S:g} s")
        return self._cut()

    def _end(self) -> int:
        """Where the first frame ends, or the length in front of it while that is not there."""
        if len(self._buffer) < _LENGTH_BYTES:
            return _LENGTH_BYTES
        length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if length > FRAME_MAX_BYTES + _OVERHEAD:
            raise TooLarge(f"a frame of {length} bytes; the limit is {FRAME_MAX_BYTES + _OVERHEAD}")
        if length < _OVERHEAD:
            raise Malformed(f"a frame of {length} bytes; its head alone has {_OVERHEAD}")
        return _LENGTH_BYTES + length

    def _cut(self) -> Frame:
        end = self._end()
        _, request_id, kind = _HEAD.unpack_from(self._buffer)
        payload = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        if kind not in _KINDS:
            raise Malformed(f"a frame of kind {kind}")
        return Frame(request_id, FrameKind(kind), payload)

    async def _fill(self) -> None:
        while len(self._buffer) < self._end():
            if not await self._more():
                raise StreamLost("the stream ended inside a frame")

    async def _more(self) -> bool:
        chunk = await self._stream.receive(_READ_BYTES)
        self._buffer += chunk
        return bool(chunk)
