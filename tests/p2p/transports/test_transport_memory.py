"""The in-memory network: faults that a seed repeats, and names that libp2p would give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.transports.base import is_peer_id, peer_id_of
from p2p.transports.memory import Faults, MemoryEndpoint, MemoryNetwork, PeerIdTaken
from p2p.wire.frames import LinkError
from p2p.wire.identity import Identity
from tests.kits.time_kit import time_passes

ECHO = "/test/echo/1"
TOPIC = "/test/topic/1"
SERVER = Identity.from_seed(b"s" * 32)
CLIENT = Identity.from_seed(b"c" * 32)


def with_pair(faults: Faults, body: Callable[[MemoryEndpoint, MemoryEndpoint], Awaitable[None]]) -> None:
    async def main() -> None:
        network = MemoryNetwork(faults)
        async with network.endpoint(SERVER) as server, network.endpoint(CLIENT) as client:
            await body(server, client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def trace(faults: Faults) -> list[object]:
    """What a client sees of 40 requests and a listener of 40 messages, with times."""
    seen: list[object] = []

    async def body(server: MemoryEndpoint, client: MemoryEndpoint) -> None:
        async def echo(peer: str, frame: bytes) -> bytes:
            seen.append(("asked", frame))
            return frame

        async def listen() -> None:
            async for message in heard:
                times.append((message.data, trio.current_time() - start))

        start, times = trio.current_time(), []
        server.serve(ECHO, echo)
        heard = await client.subscribe(TOPIC)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for number in range(40):
                await server.publish(TOPIC, b"%d" % number)
                try:
                    await client.request(server.peer_id, ECHO, b"%d" % number)
                    seen.append(("answered", trio.current_time() - start))
                except LinkError:
                    seen.append(("lost", trio.current_time() - start))
            await time_passes(10)
            nursery.cancel_scope.cancel()
        seen.append(times)

    with_pair(faults, body)
    return seen


ROUGH = Faults(seed=1, delay_min_s=0.01, delay_max_s=0.5, loss=0.1, duplication=0.2)


def test_a_seed_repeats_every_fault_and_another_seed_does_not() -> None:
    assert trace(ROUGH) == trace(ROUGH)
    assert trace(ROUGH) != trace(
        Faults(2, ROUGH.delay_min_s, ROUGH.delay_max_s, ROUGH.loss, ROUGH.duplication)
    )


def test_a_rough_network_loses_some_requests_and_repeats_some() -> None:
    seen = [entry[0] for entry in trace(ROUGH)[:-1]]
    assert 0 < seen.count("lost") < 20
    assert seen.count("answered") == 40 - seen.count("lost")
    assert seen.count("asked") > seen.count("answered")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_delays_stay_between_their_bounds_whatever_the_seed(seed: int) -> None:
    times = trace(Faults(seed, delay_min_s=1.0, delay_max_s=2.0))[:-1]
    answered = [entry[1] for entry in times if entry[0] == "answered"]
    steps = [after - before for before, after in zip([0.0, *answered], answered, strict=False)]
    assert len(answered) == 40
    assert all(2.0 <= step <= 4.0 for step in steps)


def test_a_request_that_arrives_twice_is_handled_twice_and_answered_once() -> None:
    async def body(server: MemoryEndpoint, client: MemoryEndpoint) -> None:
        handled = []

        async def echo(peer: str, frame: bytes) -> bytes:
            handled.append(frame)
            return frame

        server.serve(ECHO, echo)
        for number in range(100):
            assert await client.request(server.peer_id, ECHO, b"%d" % number) == b"%d" % number
        assert 120 < len(handled) < 180
        assert client.stats.streams_opened == 1

    with_pair(Faults(seed=5, duplication=0.5), body)


def test_messages_without_delay_keep_their_order() -> None:
    async def body(server: MemoryEndpoint, client: MemoryEndpoint) -> None:
        heard = await client.subscribe(TOPIC)
        for number in range(50):
            await server.publish(TOPIC, b"%d" % number)
        assert [(await heard.receive()).data for _ in range(50)] == [b"%d" % number for number in range(50)]

    with_pair(Faults(), body)


def test_one_identity_has_one_endpoint_at_a_time() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        async with network.endpoint(SERVER):
            with pytest.raises(PeerIdTaken):
                async with network.endpoint(SERVER):
                    raise AssertionError
        async with network.endpoint(SERVER) as again:
            assert again.peer_id == peer_id_of(SERVER.public_key)

    trio.run(main)


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.0}, {"duplication": -0.1}, {"delay_min_s": 2.0, "delay_max_s": 1.0}]
)
def test_a_rate_or_delay_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        Faults(**wrong)


def test_the_memory_network_and_the_roles_need_no_libp2p() -> None:
    code = (
        "import sys, p2p.transports.memory, p2p.transports.libp2p, p2p.roles.collector.operator, p2p.roles.household\n"
        "assert 'libp2p' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.live
def test_a_peer_id_is_the_one_libp2p_gives_the_key() -> None:
    from libp2p.crypto.ed25519 import Ed25519PublicKey, create_new_key_pair
    from libp2p.peer.id import ID

    for number in range(20):
        identity = Identity.from_seed(bytes([number]) * 32)
        key_pair = create_new_key_pair(identity.seed)
        assert isinstance(key_pair.public_key, Ed25519PublicKey)
        assert peer_id_of(identity.public_key) == ID.from_pubkey(key_pair.public_key).to_base58()


def test_what_no_key_is_named_by_is_no_peer_id() -> None:
    right = peer_id_of(SERVER.public_key)
    assert is_peer_id(right)
    for wrong in (
        "",
        "xyz",
        right + "x",
        right[:-1],
        right[::-1],
        f"1{right}",
        right.replace("K", "0"),
        right * 99,
    ):
        assert not is_peer_id(wrong)
