"""Both transports keep the same promises: every test here runs in memory and, marked `live`, over libp2p."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from p2p.errors import WrongChain
from p2p.transports import base as transport_module
from p2p.transports.base import (
    GOSSIP_MAX_BYTES,
    Endpoint,
    FrameTooLarge,
    RequestRefused,
    Subscription,
    UnknownAddress,
    peer_id_of,
)
from p2p.transports.counters import Refusals
from p2p.transports.libp2p import open_libp2p
from p2p.transports.memory import MemoryNetwork
from p2p.wire.frames import FRAME_MAX_BYTES, LinkError, Unreachable
from p2p.wire.identity import Identity
from tests.kits.time_kit import eventually_trio

ECHO = "/test/echo/1"
TOPIC = "/test/topic/1"


@dataclass
class Net:
    """A way to open endpoints, and the clock that goes with it."""

    open: Callable[..., AbstractAsyncContextManager[Endpoint]]
    clock: trio.abc.Clock | None

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def limited() -> None:
            with trio.fail_after(20):
                await main()

        trio.run(limited, clock=self.clock)


@pytest.fixture(params=["memory", pytest.param("libp2p", marks=pytest.mark.live)])
def net(request: pytest.FixtureRequest) -> Net:
    if request.param == "libp2p":
        return Net(open_libp2p, None)
    network = MemoryNetwork()
    return Net(
        lambda identity, port=0: network.endpoint(identity), trio.testing.MockClock(autojump_threshold=0)
    )


def someone(name: str) -> Identity:
    return Identity.from_seed(name.encode().ljust(32, b"."))


async def echo(peer: str, frame: bytes) -> bytes:
    return frame


async def pair(net: Net, stack: AsyncExitStack) -> tuple[Endpoint, Endpoint]:
    """Open a server and a client that is connected to it."""
    server = await stack.enter_async_context(net.open(someone("server")))
    client = await stack.enter_async_context(net.open(someone("client")))
    server.serve(ECHO, echo)
    await client.connect(server.address)
    return server, client


def with_pair(net: Net, body: Callable[[Endpoint, Endpoint], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            await body(*await pair(net, stack))

    net.run(main)


def test_a_peer_is_named_by_its_key_and_the_handler_learns_who_asks(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        async def who(peer: str, frame: bytes) -> bytes:
            return peer.encode() + frame

        server.serve("/test/who/1", who)
        assert server.peer_id == peer_id_of(someone("server").public_key)
        asker = peer_id_of(someone("client").public_key)
        assert await client.request(server.peer_id, "/test/who/1", b"!") == asker.encode() + b"!"

    with_pair(net, body)


def test_requests_in_flight_at_once_share_one_stream_and_get_their_own_replies(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        replies: dict[int, bytes] = {}

        async def one(number: int) -> None:
            replies[number] = await client.request(server.peer_id, ECHO, b"%d" % number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, number)
        assert replies == {number: b"%d" % number for number in range(20)}
        assert client.stats.streams_opened == 1
        assert (client.stats.frames_sent, client.stats.frames_received) == (20, 20)
        assert (
            client.stats.bytes_sent == client.stats.bytes_received == 20 * 9 + sum(map(len, replies.values()))
        )

    with_pair(net, body)


def test_a_frame_at_the_limit_passes_and_one_byte_more_is_not_sent(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        assert len(await client.request(server.peer_id, ECHO, bytes(FRAME_MAX_BYTES))) == FRAME_MAX_BYTES
        with pytest.raises(FrameTooLarge, match="262145 bytes; the limit is 262144"):
            await client.request(server.peer_id, ECHO, bytes(FRAME_MAX_BYTES + 1))
        assert client.stats.frames_sent == 1

    with_pair(net, body)


NO_FRAMES = {
    "one byte too large": (struct.pack(">IIB", FRAME_MAX_BYTES + 6, 1, 0), "too_large"),
    "shorter than its head": (struct.pack(">IIB", 4, 1, 0), "malformed"),
    "unknown kind": (struct.pack(">IIB", 5, 1, 9), "malformed"),
    "a reply unasked": (struct.pack(">IIB", 5, 1, 1), "malformed"),
    "another language": (b"GET / HTTP/1.1\r\n\r\n", "too_large"),
}


def test_a_stream_that_speaks_no_frames_is_told_why_counted_and_ended_and_the_peer_stays(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        for raw, code in NO_FRAMES.values():
            stream = await client._open(server.peer_id, ECHO)
            await stream.send(raw)
            answer = b""
            while chunk := await stream.receive(1024):
                answer += chunk
            assert answer == struct.pack(">IIB", 5 + len(code), 0, 2) + code.encode()
            assert await client.request(server.peer_id, ECHO, b"still here") == b"still here"
        refused = {(client.peer_id, "too_large"): 2, (client.peer_id, "malformed"): 3}
        assert server.stats.refused.counts == refused

    with_pair(net, body)


def test_a_frame_that_begins_and_does_not_end_is_counted_as_stalled(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.wire.frames.STALL_TIMEOUT_S", 0.2)

    async def body(server: Endpoint, client: Endpoint) -> None:
        stream = await client._open(server.peer_id, ECHO)
        await stream.send(struct.pack(">IIB", 100, 1, 0) + b"only this")
        assert (await stream.receive(1024)).endswith(b"stalled")
        assert server.stats.refused.counts == {(client.peer_id, "stalled"): 1}

    with_pair(net, body)


def test_a_handler_that_raises_answers_with_a_code_and_goes_on(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        async def fragile(peer: str, frame: bytes) -> bytes:
            if frame == b"bug":
                raise ZeroDivisionError
            if frame == b"remote":
                raise WrongChain("chain 00; this is chain 01")
            if frame == b"big":
                return bytes(FRAME_MAX_BYTES + 1)
            return b"fine"

        server.serve("/test/fragile/1", fragile)
        for frame, code in (
            (b"bug", "handler_failed"),
            (b"remote", "wrong_chain"),
            (b"big", "reply_too_large"),
        ):
            with pytest.raises(RequestRefused) as refusal:
                await client.request(server.peer_id, "/test/fragile/1", frame)
            assert refusal.value.code == code
            assert server.stats.refused.counts[client.peer_id, code] == 1
        assert await client.request(server.peer_id, "/test/fragile/1", b"") == b"fine"
        assert client.stats.streams_opened == 1

    with_pair(net, body)


def test_a_handler_that_takes_too_long_is_cut_off(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "HANDLER_TIMEOUT_S", 0.2)

    async def body(server: Endpoint, client: Endpoint) -> None:
        async def slow(peer: str, frame: bytes) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

        server.serve("/test/slow/1", slow)
        with pytest.raises(RequestRefused, match="handler_timeout"):
            await client.request(server.peer_id, "/test/slow/1", b"")
        assert await client.request(server.peer_id, ECHO, b"next") == b"next"

    with_pair(net, body)


def test_a_request_given_up_halfway_does_not_disturb_the_next(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        begun, given_up = trio.Event(), trio.Event()

        async def late(peer: str, frame: bytes) -> bytes:
            if frame == b"first":
                begun.set()
                await given_up.wait()
            return frame

        server.serve("/test/late/1", late)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, server.peer_id, "/test/late/1", b"first")
            await begun.wait()
            nursery.cancel_scope.cancel()
        given_up.set()
        assert await client.request(server.peer_id, "/test/late/1", b"second") == b"second"

    with_pair(net, body)


def test_a_protocol_nobody_serves_and_a_peer_nobody_knows_are_unreachable(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        with pytest.raises(Unreachable):
            await client.request(server.peer_id, "/test/nobody/1", b"")
        with pytest.raises(Unreachable):
            await client.request(peer_id_of(someone("stranger").public_key), ECHO, b"")
        with pytest.raises(UnknownAddress):
            await client.connect("somewhere")

    with_pair(net, body)


def test_gossip_reaches_the_others_with_its_author_and_not_its_author(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        own, heard = await server.subscribe(TOPIC), await client.subscribe(TOPIC)
        await server.wait_for_subscribers(TOPIC, 1)
        await server.publish(TOPIC, b"news")
        await server.publish(TOPIC, bytes(GOSSIP_MAX_BYTES))
        message = await heard.receive()
        assert (message.author, message.data) == (server.peer_id, b"news")
        assert len((await heard.receive()).data) == GOSSIP_MAX_BYTES
        await client.wait_for_subscribers(TOPIC, 1)
        await client.publish(TOPIC, b"reply")
        assert (await own.receive()).data == b"reply"

    with_pair(net, body)


def test_gossip_one_byte_over_the_limit_is_not_sent_and_from_a_peer_is_counted(net: Net) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        server._admits = lambda topic, author, data: True  # a peer with other limits
        heard = await client.subscribe(TOPIC)
        await server.wait_for_subscribers(TOPIC, 1)
        with pytest.raises(FrameTooLarge, match="65537 bytes; the limit is 65536"):
            await server.publish(TOPIC, bytes(GOSSIP_MAX_BYTES + 1))
        await server._spread(TOPIC, bytes(GOSSIP_MAX_BYTES + 1))
        await server.publish(TOPIC, b"after")
        assert (await heard.receive()).data == b"after"
        assert client.stats.refused.counts == {(server.peer_id, "too_large"): 1}

    with_pair(net, body)


def test_a_reader_that_sleeps_keeps_the_oldest_messages_and_the_rest_is_counted(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(server: Endpoint, client: Endpoint) -> None:
        monkeypatch.setattr(transport_module, "QUEUE_MAX", 5)
        heard = await client.subscribe(TOPIC)
        await server.wait_for_subscribers(TOPIC, 1)
        for number in range(8):
            await server.publish(TOPIC, b"%d" % number)
        await eventually_trio(lambda: client.stats.gossip_received >= 8, "all eight messages arrive", 15)
        assert heard.dropped == client.stats.gossip_dropped == 3
        assert [(await heard.receive()).data for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

    with_pair(net, body)


def test_a_node_that_returns_with_its_identity_loses_nothing(net: Net) -> None:
    """Its peer's stream is reopened, and its first messages are not taken for old ones."""

    async def main() -> None:
        async with net.open(someone("client")) as client:
            heard = await client.subscribe(TOPIC)
            port = 0
            for life in range(3):
                async with net.open(someone("server"), port=port) as server:
                    server.serve(ECHO, echo)
                    await client.connect(server.address)
                    port = int(server.address.split("/")[4]) if "/tcp/" in server.address else 0
                    back = await server.subscribe(TOPIC)
                    await server.wait_for_subscribers(TOPIC, 1)
                    await client.wait_for_subscribers(TOPIC, 1)
                    assert await ask_until_answered(client, server.peer_id, b"%d" % life) == b"%d" % life
                    for number in range(10):
                        await server.publish(TOPIC, b"%d %d" % (life, number))
                        await client.publish(TOPIC, b"%d %d" % (life, number))
                    expected = [b"%d %d" % (life, number) for number in range(10)]
                    assert await of_this_life(heard, life) == expected
                    assert await of_this_life(back, life) == expected
                with pytest.raises(LinkError):
                    await client.request(server.peer_id, ECHO, b"gone")

    net.run(main)


async def of_this_life(subscription: Subscription, life: int) -> list[bytes]:
    """Ten messages of one life; libp2p hands a node that returns what was said just before as well."""
    heard: list[bytes] = []
    while len(heard) < 10:
        data = (await subscription.receive()).data
        if data.startswith(b"%d " % life):
            heard.append(data)
    return heard


async def ask_until_answered(client: Endpoint, peer: str, frame: bytes) -> bytes:
    async def answer() -> bytes:
        with suppress(LinkError):
            return await client.request(peer, ECHO, frame)
        return b""

    return await eventually_trio(answer, "the server answers", 15)


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_an_error_in_the_block_comes_out_as_itself(net: Net, kind: type[BaseException]) -> None:
    async def main() -> None:
        with pytest.raises(kind, match="mine"):
            async with net.open(someone("server")):
                raise kind("mine")

    net.run(main)


def test_invented_peers_do_not_grow_the_counters_without_end() -> None:
    refused = Refusals()
    for number in range(10_000):
        refused.add(f"peer {number}", "malformed", "x")
    assert len(refused.counts) <= 4097
    assert refused.total("malformed") == 10_000
    assert len(refused.recent) == 100
