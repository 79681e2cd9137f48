"""Floods from outside against real nodes: silent sockets (A5), strangers without end, and junk gossip (A7).

The gateway that comes late, and the home behind the operator, are what must not suffer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

import wattswap as ws
from p2p.disk import Disk
from p2p.errors import P2PError
from p2p.roles.exchange.wire import result_topic
from p2p.transports.admission import Places, Rank
from p2p.transports.base import peer_id_of
from p2p.transports.libp2p import INVALID_MAX, Libp2pEndpoint, open_libp2p
from p2p.wire.frames import Unreachable
from p2p.wire.identity import Identity
from tests.kits.known_kit import FolderChain, identity_of
from tests.kits.run_kit import write_street
from tests.kits.time_kit import eventually_trio
from wattswap.nodes.known import TRUSTED_FILE, Known
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes

pytestmark = pytest.mark.live

SOCKETS = 620
MIB = 1024 * 1024
ECHO = "/test/echo/1"
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


@dataclass(frozen=True)
class Market:
    """A chain of two results by its operator, and what nodes of it know."""

    topic: str
    operator: Identity
    validator: Identity
    results: tuple[bytes, bytes]
    known: Callable[[], Known]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("admission")
    scenario = ws.load(write_street(folder / "street"))
    made = init_nodes(scenario, folder / "nodes", NetworkSpec(0), KeyPlan())
    configs = {config.name: config for config in made}
    chain, config = FolderChain(configs), configs["home-1"]
    operator, numbers = identity_of(configs["operator-0"], chain.setup), count()

    def known() -> Known:
        return Known(config, chain.setup, config.folder / f"{next(numbers)}-{TRUSTED_FILE}", Disk())

    results = chain.settle(operator), chain.settle(operator)
    return Market(result_topic(chain.genesis.chain_id), operator, chain.keys["validator-0"], results, known)


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


async def operator_between(
    stack: AsyncExitStack, market: Market, sender: Identity
) -> tuple[Libp2pEndpoint, Libp2pEndpoint, Libp2pEndpoint]:
    """An operator, a home and somebody else that both know nobody but the operator."""
    operator, home, stranger = [
        await stack.enter_async_context(open_libp2p(identity)) for identity in (market.operator, HOME, sender)
    ]
    for node in (operator, home):
        node.check_gossip(market.topic, market.known().check_gossip)
    for node in (home, stranger):
        await node.connect(operator.address)
    for node in (operator, home, stranger):
        await node.subscribe(market.topic)
    for node in (operator, home, stranger):
        await node.wait_for_subscribers(market.topic, 2 if node is operator else 1)
    return operator, home, stranger


@pytest.mark.parametrize("mib", [16, pytest.param(84, marks=pytest.mark.slow)])
def test_junk_gossip_goes_no_further_and_results_still_do(mib: int, market: Market) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            operator, home, stranger = await operator_between(stack, market, someone(3))
            received = await home.subscribe(market.topic)
            relay, junk = Relay(operator), Random(1).randbytes(60 * 1024)
            for number in range(1, mib * MIB // len(junk) + 2):
                await stranger._pubsub.publish(market.topic, junk)
                # The library drops what it cannot send at once.
                due = (number - 16) * len(junk)
                await eventually_trio(partial(relay.has, due), "junk arrives", 10, 0.002)
            print(
                f"{relay.arrived / 2**20:.1f} MiB of junk came, {relay.passed_on / 2**20:.1f} MiB passed on"
            )
            assert relay.passed_on == 0
            assert relay.arrived > 0.9 * mib * MIB
            assert not home.stats.refused.counts
            refused = operator.stats.refused.counts[stranger.peer_id, "wrong_signature"]
            assert INVALID_MAX <= refused < relay.arrived / len(junk) / 2, "most of it was not even read"
            await operator.publish(market.topic, market.results[0])
            assert (await received.receive()).data == market.results[0]

    run(main)


@pytest.mark.parametrize(
    ("is_validator", "expected"),
    [(False, {"wrong_signature": 3}), (True, {"wrong_signature": 1, "malformed": 2})],
)
def test_only_results_that_their_collector_sends_itself_are_passed_on(
    is_validator: bool, expected: dict[str, int], market: Market
) -> None:
    """What a stranger sends is not even read."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            sender = market.validator if is_validator else someone(3)
            operator, home, other = await operator_between(stack, market, sender)
            received = await home.subscribe(market.topic)
            relay, (by_operator, newest) = Relay(operator), market.results
            wrong = [by_operator, b"", by_operator[:-1]]
            for data in wrong:
                await other.publish(market.topic, data)
            refused = operator.stats.refused
            await eventually_trio(lambda: sum(refused.counts.values()) == len(wrong), "all are refused", 10)
            assert dict(refused.counts) == {(other.peer_id, code): count for code, count in expected.items()}
            assert relay.passed_on == 0
            await operator.publish(market.topic, newest)
            assert (await received.receive()).data == newest
            assert home.stats.gossip_received == 1

    run(main)
