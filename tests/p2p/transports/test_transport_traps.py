"""One test for each trap of libp2p that loopback can show; docs/reference/protocol/transport.md numbers them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p.transports.base import Subscription
from p2p.transports.libp2p import Libp2pEndpoint, never_raising, open_libp2p
from p2p.wire.frames import Unreachable
from p2p.wire.identity import Identity
from tests.kits.time_kit import beat, eventually_trio

pytestmark = pytest.mark.live

TOPIC = "/test/topic/1"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(20):
            await main()

    trio.run(limited)


def someone(number: int) -> Identity:
    return Identity.from_seed(bytes([number]) * 32)


async def linked(stack: AsyncExitStack, edges: list[tuple[int, int]]) -> list[Libp2pEndpoint]:
    """Open the nodes that the edges name, join all to TOPIC, and dial each edge."""
    count = 1 + max(max(edge) for edge in edges)
    nodes = [await stack.enter_async_context(open_libp2p(someone(number))) for number in range(count)]
    for node in nodes:
        await node._join(TOPIC)
    async with trio.open_nursery() as nursery:
        for dialling, dialled in edges:
            nursery.start_soon(nodes[dialling].connect, nodes[dialled].address)
    return nodes


async def take(subscription: Subscription, count: int, seconds: float) -> list[bytes]:
    """Up to `count` messages, as many as come in time."""
    heard: list[bytes] = []
    with trio.move_on_after(seconds):
        while len(heard) < count:
            heard.append((await subscription.receive()).data)
    return heard


def test_traps_1_2_3_a_burst_through_a_forwarder_arrives_whole_at_a_reader_that_sleeps() -> None:
    """The defaults keep 10 messages/s of a forwarder, 32 queued to a peer, and 32 for a paused reader."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            author, forwarder, reader = await linked(stack, [(0, 1), (2, 1)])
            heard = await reader.subscribe(TOPIC)
            await forwarder.wait_for_subscribers(TOPIC, 2)
            await author.wait_for_subscribers(TOPIC, 1)
            for number in range(120):
                await author.publish(TOPIC, b"%d" % number)
            await eventually_trio(lambda: reader.stats.gossip_received >= 120, "the whole burst arrives", 15)
            assert await take(heard, 120, 1) == [b"%d" % number for number in range(120)]

    run(main)


def test_trap_5_a_message_over_two_ways_is_delivered_once() -> None:
    """A coroutine as validator delivers it once for each way."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes = await linked(stack, [(0, 1), (0, 2), (1, 3), (2, 3)])
            subscriptions = [await node.subscribe(TOPIC) for node in nodes]
            for node in nodes:
                await node.wait_for_subscribers(TOPIC, 2)
            for number in range(10):
                await nodes[0].publish(TOPIC, b"%d" % number)

            async def listen(subscription: Subscription) -> None:
                heard = await take(subscription, 10, 15)
                heard += await take(subscription, 1, 0.75)  # what came over the other way as well
                assert Counter(heard) == {b"%d" % number: 1 for number in range(10)}

            async with trio.open_nursery() as nursery:
                for subscription in subscriptions[1:]:
                    nursery.start_soon(listen, subscription)

    run(main)


def test_trap_6_a_check_that_raises_refuses_the_message_and_the_host_lives() -> None:
    def broken(author: str, data: bytes) -> bool:
        if data == b"poison":
            raise ZeroDivisionError
        return True

    async def main() -> None:
        async with AsyncExitStack() as stack:
            author, reader = await linked(stack, [(0, 1)])
            reader._pubsub.set_topic_validator(TOPIC, never_raising(broken), False)
            heard = await reader.subscribe(TOPIC)
            await author.wait_for_subscribers(TOPIC, 1)
            for data in (b"before", b"poison", b"after"):
                await author.publish(TOPIC, data)
            assert await take(heard, 2, 2) == [b"before", b"after"]

    run(main)


def test_trap_6_a_peer_that_resets_its_stream_in_the_middle_of_a_request_leaves_the_host_alive() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            server, client = await linked(stack, [(1, 0)])

            begun, reset = trio.Event(), trio.Event()

            async def slow(peer: str, frame: bytes) -> bytes:
                begun.set()
                await reset.wait()
                return frame

            server.serve("/test/slow/1", slow)
            stream: Any = await client._open(server.peer_id, "/test/slow/1")
            await stream.send(b"\0\0\0\6\0\0\0\1\0x")
            await begun.wait()
            await stream._stream.reset()
            reset.set()
            assert await client.request(server.peer_id, "/test/slow/1", b"alive") == b"alive"

    run(main)


def test_traps_7_8_a_node_that_leaves_is_forgotten_and_on_return_heard_from_its_first_message() -> None:
    """Plain shutdown leaves sockets open, and a counter of seconds repeats itself."""

    async def main() -> None:
        async with open_libp2p(someone(0)) as peer:
            heard = await peer.subscribe(TOPIC)
            port = 0
            for life in range(2):
                async with open_libp2p(someone(1), port=port) as node:
                    port = int(node.address.split("/")[4])
                    await node.connect(peer.address)
                    await node.wait_for_subscribers(TOPIC, 1)
                    for number in range(60):
                        await node.publish(TOPIC, b"%d %d" % (life, number))
                    expected = [b"%d %d" % (life, number) for number in range(60)]
                    assert await take(heard, 60, 3) == expected
                await eventually_trio(lambda: not peer.mesh_size(TOPIC), "the node that left is forgotten", 2)

    run(main)


def test_a_node_that_stops_under_traffic_stops_cleanly() -> None:
    """With the services inside `host.run`, a frame in flight at shutdown ends in an ExceptionGroup."""

    async def talk(author: Libp2pEndpoint) -> None:
        async for _ in beat(0.002):
            await author._pubsub.publish(TOPIC, bytes(2000))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            authors = [await stack.enter_async_context(open_libp2p(someone(number))) for number in (1, 2, 3)]
            async with trio.open_nursery() as nursery:
                async with open_libp2p(someone(0)) as reader:
                    heard = await reader.subscribe(TOPIC)
                    for author in authors:
                        await reader.connect(author.address)
                        await author.wait_for_subscribers(TOPIC, 1)
                    for author in authors:
                        nursery.start_soon(talk, author)
                    for _ in range(20):
                        await heard.receive()
                nursery.cancel_scope.cancel()
            for author in authors:
                await eventually_trio(
                    partial(lambda left: not left.mesh_size(TOPIC), author), "the reader is forgotten", 2
                )

    run(main)


def test_a_fault_of_the_library_while_a_node_runs_is_not_hidden() -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with open_libp2p(someone(0)) as node:
            node._pubsub.manager.run_task(broken)
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as group:
        run(main)
    assert group.group_contains(ZeroDivisionError)


def test_traps_9_10_no_node_of_six_fully_connected_ones_is_left_without_a_mesh() -> None:
    """With a heartbeat of 120 s, or a mesh limit below the number of connections, one hears nothing."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes = await linked(stack, list(combinations(range(6), 2)))
            subscriptions = [await node.subscribe(TOPIC) for node in nodes]
            for node in nodes:
                await node.wait_for_subscribers(TOPIC, 4)
            nodes[0]._pubsub.router.mesh[TOPIC].clear()
            with trio.fail_after(3):  # a heartbeat fills it again, and would prune the others
                await nodes[0].wait_for_subscribers(TOPIC, 4)
            assert min(node.mesh_size(TOPIC) for node in nodes) >= 4
            await nodes[3].publish(TOPIC, b"news")
            for node, subscription in zip(nodes, subscriptions, strict=True):
                assert node is nodes[3] or await take(subscription, 1, 3) == [b"news"]

    run(main)


def test_a_peer_that_was_down_is_reached_as_soon_as_it_is_up() -> None:
    """By default it is not dialled for a minute after a dial that failed."""

    async def main() -> None:
        async with open_libp2p(someone(0)) as node:
            async with open_libp2p(someone(1)) as other:
                address = other.address
            with pytest.raises(Unreachable):
                await node.connect(address)
            async with open_libp2p(someone(1), port=int(address.split("/")[4])) as again:
                assert await node.connect(address) == again.peer_id

    run(main)


def test_a_connection_without_noise_is_refused() -> None:
    """The library's default host also accepts plain text."""

    async def main() -> None:
        from libp2p import new_host
        from libp2p.crypto.ed25519 import create_new_key_pair
        from libp2p.peer.peerinfo import info_from_p2p_addr
        from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
        from multiaddr import Multiaddr

        key_pair = create_new_key_pair(bytes(32))
        plain = new_host(key_pair=key_pair, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(key_pair)})
        async with open_libp2p(someone(0)) as node, plain.run([]):
            with pytest.raises(Exception, match=r"."), trio.fail_after(3):
                await plain.connect(info_from_p2p_addr(Multiaddr(node.address)))
            assert not plain.get_connected_peers()
            await plain.close()

    run(main)


QUIET = """
import sys
import trio
from p2p.transports.libp2p import open_libp2p
from p2p.wire.frames import Unreachable
from p2p.wire.identity import Identity

async def main():
    async with open_libp2p(Identity.from_seed(b"a" * 32)) as gone:
        address = gone.address
    async with open_libp2p(Identity.from_seed(b"b" * 32)) as node:
        for _ in range(3):
            try:
                await node.connect(address)
            except Unreachable:
                print("unreachable")
    import logging
    import libp2p.network.connection.swarm_connection as connection
    exec(compile("logging.warning('of the library')", connection.__file__, "exec"))
    logging.getLogger("of.ours").warning("ours")

trio.run(main)
"""


@pytest.mark.parametrize("asked", ["", "ERROR"])
def test_the_library_logs_nothing_unless_it_is_asked_to(asked: str, tmp_path: Path) -> None:
    """It has an error for every attempt to reach a peer that is down, and sets its level as it is imported."""
    wanted = {"LIBP2P_DEBUG": asked, "LIBP2P_DEBUG_FILE": str(tmp_path / "log"), "PYTHONWARNINGS": "ignore"}
    environment = os.environ | wanted
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout == 3 * "unreachable\n"
    if asked:
        assert "Failed to open TCP stream" in done.stderr
        assert "of the library" in done.stderr
    else:
        assert done.stderr == "WARNING:of.ours:ours\n"
