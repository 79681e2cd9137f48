"""Looks for readings in bytes, in every form in which a node could store or send a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from p2p.transports.memory import MemoryEndpoint, MemoryNetwork

_TEXT = re.compile(rb"(?<![0-9A-Fa-f.])([0-9]+(?:\.[0-9]+)?)(?![0-9A-Fa-f])")
_PREFIXES = (0xCE, 0xD2)
"""Before a number of 4 bytes in MessagePack."""
SMALLEST_WH = 70_000
"""Smaller numbers have fewer bytes, and would be found by chance. [Wh]"""


def readings_in(data: bytes, readings_wh: Iterable[int]) -> set[int]:
    """Which readings are in some bytes. [Wh]

    As text in Wh and kWh, as MessagePack, as floats of 8 bytes in Wh and kWh, as integers of 8 bytes, and as integers
    of 4 bytes beside another reading, as columns have them.
    """
    wanted = np.unique(np.array(list(readings_wh), dtype=np.int64))
    assert wanted[0] >= SMALLEST_WH
    assert wanted[-1] < 2**31
    texts = {str(wh).encode(): wh for wh in wanted.tolist()}
    texts |= {f"{wh / 1_000:.3f}".rstrip("0").rstrip(".").encode(): wh for wh in wanted.tolist()}
    texts |= {f"{wh / 1_000:.3f}".encode(): wh for wh in wanted.tolist()}
    found = {texts[text] for text in _TEXT.findall(data) if text in texts}
    raw = np.frombuffer(data, dtype=np.uint8)
    big = _windows(data, ">u4").astype(np.int64)
    marked = np.isin(raw[: max(len(big) - 1, 0)], _PREFIXES)  # the byte before each number
    found |= set(big[1:][marked & np.isin(big[1:], wanted)].tolist())
    for kind in ("<i8", ">i8"):
        whole = _windows(data, kind)
        found |= set(whole[np.isin(whole, wanted)].tolist())
    for kind in ("<f8", ">f8"):
        floats = _windows(data, kind)
        with np.errstate(invalid="ignore", over="ignore"):
            for scale in (1.0, 1_000.0):
                near = np.where(np.abs(floats) < 2.0**31, np.round(floats * scale), 0).astype(np.int64)
                exact = (near / scale == floats) & np.isin(near, wanted)
                found |= set(near[exact].tolist())
    small = _windows(data, "<u4").astype(np.int64)
    known = np.isin(small, wanted)
    beside = known[:-4] & known[4:]
    found |= set(small[:-4][beside].tolist()) | set(small[4:][beside].tolist())
    return found


def readings_below(folder: Path, readings_wh: Iterable[int]) -> set[int]:
    """Which readings any file below a folder has. [Wh]"""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return readings_in(b"\0\0\0\0\0\0\0\0".join(path.read_bytes() for path in files), readings_wh)


def _windows(data: bytes, kind: str) -> np.ndarray:
    """The number that begins at each byte."""
    width = np.dtype(kind).itemsize
    raw = np.frombuffer(data, dtype=np.uint8)
    if len(raw) < width:
        return np.empty(0, dtype=kind)
    rows = np.lib.stride_tricks.sliding_window_view(raw, width)
    return np.ascontiguousarray(rows).view(kind)[:, 0]


class RecordingNetwork(MemoryNetwork):
    """A network that keeps all bytes that each endpoint receives: frames of its streams, and gossip.

    Attributes:
        received: By peer id, what came over each stream, and each gossip message.
    """

    received: dict[str, list[bytearray]]

    def __init__(self) -> None:
        super().__init__()
        self.received = {}

    def make(self, peer_id: str, nursery: object) -> MemoryEndpoint:
        """An endpoint that records."""
        return _RecordingEndpoint(peer_id, self, nursery)  # type: ignore[arg-type]

    def bytes_of(self, peer_id: str) -> bytes:
        """Everything that an endpoint has received."""
        return b"\0\0\0\0\0\0\0\0".join(map(bytes, self.received.get(peer_id, [])))


class _Recorded:
    """The receiving end of a stream, which keeps what it returns."""

    def __init__(self, incoming: object, kept: bytearray) -> None:
        self._incoming, self._kept = incoming, kept

    async def receive(self) -> bytes:
        data: bytes = await self._incoming.receive()  # type: ignore[attr-defined]
        self._kept += data
        return data

    def close(self) -> None:
        self._incoming.close()  # type: ignore[attr-defined]


class _RecordingEndpoint(MemoryEndpoint):
    def _log(self) -> bytearray:
        assert isinstance(self._network, RecordingNetwork)
        kept = bytearray()
        self._network.received.setdefault(self.peer_id, []).append(kept)
        return kept

    def _keep(self, stream: object) -> None:
        stream.incoming = _Recorded(stream.incoming, self._log())  # type: ignore[attr-defined]
        super()._keep(stream)  # type: ignore[arg-type]

    def _arrive(self, topic: str, author: str, data: bytes) -> None:
        self._log().extend(data)
        super()._arrive(topic, author, data)
