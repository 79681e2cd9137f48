"""Floods from outside against real nodes: silent sockets (A5), strangers without end, and junk gossip (A7).

The gateway that comes late, and the home behind the operator, are what must not suffer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2p.errors import P2PError
from p2p.roles.exchange.gossip import results_check
from p2p.roles.exchange.wire import result_topic
from p2p.transports.admission import Places, Rank
from p2p.transports.base import peer_id_of
from p2p.transports.libp2p import INVALID_MAX, Libp2pEndpoint, open_libp2p
from p2p.wire.frames import Unreachable
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION, ResultMessage, sign_message
from tests.kits.time_kit import eventually_trio

pytestmark = pytest.mark.live

SOCKETS = 620
MIB = 1024 * 1024
ECHO = "/test/echo/1"
CHAIN = b"c" * 32
TOPIC = result_topic(CHAIN)
FLOOD = """
import socket, sys, time
port, count, says = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
def opened():
    while True:
        try:
            one = socket.create_connection(("127.0.0.1", port), timeout=1)
            if says:
                one.sendall(says)
            return one
        except OSError:
            time.sleep(0.01)
held = []
while True:
    begun, old, held = time.monotonic(), held, []
    for _ in range(count):
        held.append(opened())
        if old:
            old.pop().close()
    time.sleep(max(0, 5 - (time.monotonic() - begun)))
"""
"""Holds so many sockets open, and every 5 s opens new ones in their place."""
HELLO = b"\x13/multistream/1.0.0\n"
"""What who dials says first."""


def someone(number: int) -> Identity:
    return Identity.from_seed(number.to_bytes(4, "big") * 8)


OPERATOR, HOME = someone(1), someone(2)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(60):
            await main()

    trio.run(limited)


async def echo(_peer: str, data: bytes) -> bytes:
    return data


def port_of(node: Libp2pEndpoint) -> int:
    return int(node.address.split("/")[4])


@contextmanager
def flood(node: Libp2pEndpoint, says: bytes, folder: Path) -> Iterator[None]:
    """Another process that keeps many sockets open to a node."""
    script = folder / "flood.py"
    script.write_text(FLOOD)
    command = [sys.executable, str(script), str(port_of(node)), str(SOCKETS), says.hex()]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def in_after(number: int, operator: Libp2pEndpoint) -> float:
    """Start a gateway, and return after how long the operator answers it. [s]"""
    async with open_libp2p(someone(number)) as gateway:
        begun = trio.current_time()

        async def answered() -> bool:
            try:
                peer = await gateway.connect(operator.address)
                return await gateway.request(peer, ECHO, b"in") == b"in"
            except P2PError:
                return False

        await eventually_trio(answered, "the operator answers", 30)
        return trio.current_time() - begun


@pytest.mark.parametrize(
    ("says", "within_s", "gateways"),
    [
        pytest.param(b"", 5.0, 8, id="silent"),
        pytest.param(HELLO, 10.0, 4, id="greeting", marks=pytest.mark.slow),
    ],
)
def test_a_gateway_that_starts_late_is_in_at_once_though_620_sockets_are_held(
    says: bytes, within_s: float, gateways: int, tmp_path: Path
) -> None:
    """A greeting costs the node more than silence does: it is the beginning of a handshake."""

    async def main() -> None:
        async with open_libp2p(OPERATOR) as operator:
            operator.serve(ECHO, echo)
            admission = operator._admission
            with flood(operator, says, tmp_path):
                await eventually_trio(lambda: admission.waiting >= 200, "the flood", 20)
                times = [await in_after(10 + number, operator) for number in range(gateways)]
            print(f"late gateways in after {max(times):.2f} s at most, of {len(times)}")
            assert max(times) < within_s
            assert admission.refused.counts["127.0.0.1", "handshake_displaced"] > 0
            await eventually_trio(lambda: not admission.waiting and not admission.inside, "all have left", 15)

    run(main)


def test_a_socket_that_says_nothing_is_closed_after_3_s_and_the_node_keeps_nothing_of_it() -> None:
    async def main() -> None:
        async with open_libp2p(OPERATOR) as operator:
            stream = await trio.open_tcp_stream("127.0.0.1", port_of(operator))
            begun = trio.current_time()
            assert await stream.receive_some() == b""
            assert 2.5 < trio.current_time() - begun < 4.5
            assert operator.stats.refused.counts == {("127.0.0.1", "handshake_timeout"): 1}
            await stream.aclose()

    run(main)


def test_connections_that_have_ended_are_not_counted_any_more() -> None:
    """The library counts each until the node stops: as many as it accepts in all, and nobody would get in."""

    async def main() -> None:
        async with open_libp2p(OPERATOR) as operator:
            operator.serve(ECHO, echo)
            for _ in range(5):
                await in_after(2, operator)
            network = operator._host.get_network()
            await eventually_trio(
                lambda: network._inbound_limiter.borrowed_tokens == operator._admission.inside == 0,
                "the library gives the connections up",
                15,
            )

    run(main)


def ranks(members: range) -> Callable[[str], Rank]:
    known = {peer_id_of(someone(number).public_key) for number in members}
    return lambda peer: Rank.MEMBER if peer in known else Rank.STRANGER


def test_strangers_take_their_places_and_members_still_get_in() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            operator = await stack.enter_async_context(open_libp2p(OPERATOR))
            operator.serve(ECHO, echo)
            operator.admit(Places(total=16, kept=2, strangers=2), ranks(range(100, 110)))

            async def enter(number: int) -> Libp2pEndpoint:
                node = await stack.enter_async_context(open_libp2p(someone(number)))
                assert await node.request(await node.connect(operator.address), ECHO, b"in") == b"in"
                return node

            for number in (50, 51):
                await enter(number)
            with pytest.raises(Unreachable):
                await enter(52)
            refused = operator.stats.refused
            assert refused.counts[peer_id_of(someone(52).public_key), "no_place"] >= 1
            assert "places for strangers" in next(
                detail for _, code, detail in refused.recent if code == "no_place"
            )
            for number in (100, 101, 102):
                await enter(number)

    run(main)


# --- gossip (A7) ------------------------------------------------------------------------------------


def result(signer: Identity, start_s: int = 900) -> bytes:
    roots = (b"a" * 32, b"b" * 32, b"c" * 32, b"d" * 32)
    head = (VERSION, CHAIN, start_s, 15, 1)
    return sign_message(signer, ResultMessage(*head, *roots, None, b"e" * 32, 0, signer.public_key))


class Relay:
    """What arrives at a node by gossip and what it passes on. [B]"""

    def __init__(self, node: Libp2pEndpoint) -> None:
        self.arrived, self.passed_on = 0, 0
        pubsub = node._pubsub
        push, publish = pubsub.push_msg, pubsub.router.publish

        async def arrive(forwarder: Any, message: Any) -> None:
            self.arrived += len(message.data)
            await push(forwarder, message)

        async def pass_on(forwarder: Any, message: Any) -> None:
            self.passed_on += len(message.data)
            await publish(forwarder, message)

        pubsub.push_msg, pubsub.router.publish = arrive, pass_on

    def has(self, arrived: int) -> bool:
        """Whether so much has arrived. [B]"""
        return self.arrived >= arrived


async def operator_between(stack: AsyncExitStack) -> tuple[Libp2pEndpoint, Libp2pEndpoint, Libp2pEndpoint]:
    """An operator, a home and a stranger that both know nobody but the operator."""
    operator, home, stranger = [
        await stack.enter_async_context(open_libp2p(identity)) for identity in (OPERATOR, HOME, someone(3))
    ]
    check = results_check(CHAIN, lambda: {OPERATOR.public_key})
    for node in (operator, home):
        node.check_gossip(TOPIC, check)
    for node in (home, stranger):
        await node.connect(operator.address)
    for node in (operator, home, stranger):
        await node.subscribe(TOPIC)
    for node in (operator, home, stranger):
        await node.wait_for_subscribers(TOPIC, 2 if node is operator else 1)
    return operator, home, stranger


@pytest.mark.parametrize("mib", [16, pytest.param(84, marks=pytest.mark.slow)])
def test_junk_gossip_goes_no_further_and_results_still_do(mib: int) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            operator, home, stranger = await operator_between(stack)
            received = await home.subscribe(TOPIC)
            relay, junk = Relay(operator), Random(1).randbytes(60 * 1024)
            for number in range(1, mib * MIB // len(junk) + 2):
                await stranger._pubsub.publish(TOPIC, junk)
                # The library drops what it cannot send at once.
                due = (number - 16) * len(junk)
                await eventually_trio(partial(relay.has, due), "junk arrives", 10, 0.002)
            print(
                f"{relay.arrived / 2**20:.1f} MiB of junk came, {relay.passed_on / 2**20:.1f} MiB passed on"
            )
            assert relay.passed_on == 0
            assert relay.arrived > 0.9 * mib * MIB
            assert not home.stats.refused.counts
            refused = operator.stats.refused.counts[stranger.peer_id, "too_large"]
            assert INVALID_MAX <= refused < relay.arrived / len(junk) / 2, "most of it was not even read"
            await operator.publish(TOPIC, result(OPERATOR))
            assert (await received.receive()).data == result(OPERATOR)

    run(main)


def test_only_results_that_their_collector_sends_itself_are_passed_on() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            operator, home, stranger = await operator_between(stack)
            received = await home.subscribe(TOPIC)
            relay = Relay(operator)
            lies = [result(stranger_key := someone(3)), result(OPERATOR), b"", result(OPERATOR)[:-1]]
            assert peer_id_of(stranger_key.public_key) == stranger.peer_id
            for lie in lies:
                await stranger.publish(TOPIC, lie)
            refused = operator.stats.refused
            await eventually_trio(lambda: sum(refused.counts.values()) == len(lies), "all are refused", 10)
            codes = {
                code: number for (peer, code), number in refused.counts.items() if peer == stranger.peer_id
            }
            assert codes == {"wrong_signature": 2, "malformed": 2}
            assert relay.passed_on == 0
            await operator.publish(TOPIC, result(OPERATOR, 1_800))
            assert (await received.receive()).data == result(OPERATOR, 1_800)
            assert home.stats.gossip_received == 1

    run(main)
