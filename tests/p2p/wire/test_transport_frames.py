"""Frames survive any way a stream cuts them; anything else on the stream is named."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.errors import Malformed, RemoteError, TooLarge
from p2p.wire.frames import FRAME_MAX_BYTES, Frame, FrameKind, FrameReader, StreamLost
from tests.kits.sample_kit import some


class Pieces:
    """A stream that hands out given pieces and then ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def receive(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""

    async def send(self, data: bytes) -> None:
        raise AssertionError

    async def close(self) -> None:
        raise AssertionError


def read_all(pieces: list[bytes]) -> list[Frame]:
    async def main() -> list[Frame]:
        reader, frames = FrameReader(Pieces(pieces)), []
        while (frame := await reader.read()) is not None:
            frames.append(frame)
        return frames

    return trio.run(main)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 2**32 - 1), st.sampled_from(FrameKind), st.binary(max_size=300)),
    max_size=5,
)


@settings(max_examples=some(60, 20), deadline=None)
@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=8))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], places: list[int]) -> None:
    data = b"".join(frame.pack() for frame in frames)
    assert len(data) == sum(map(len, frames))
    assert read_all(cut(data, places)) == frames


@settings(max_examples=some(60, 20), deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_frames_or_a_named_fault(data: bytes) -> None:
    try:
        frames = read_all([data])
    except (RemoteError, StreamLost):
        return
    assert b"".join(frame.pack() for frame in frames) == data


def test_a_length_beyond_the_limit_is_refused_before_the_rest_has_come() -> None:
    with pytest.raises(TooLarge, match="262150 bytes; the limit is 262149"):
        read_all([(FRAME_MAX_BYTES + 6).to_bytes(4, "big")])


def test_a_length_below_the_head_is_malformed() -> None:
    with pytest.raises(Malformed, match="a frame of 4 bytes; its head alone has 5"):
        read_all([(4).to_bytes(4, "big")])


def test_a_stream_that_ends_inside_a_frame_is_lost() -> None:
    with pytest.raises(StreamLost):
        read_all([Frame(1, FrameKind.REPLY, b"abc").pack()[:-1]])
