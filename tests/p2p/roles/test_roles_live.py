"""A star of fourteen trades five intervals: in memory and, marked `live`, over libp2p, in the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from p2p.ledger.light import SettledInterval
from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import result_topic
from p2p.roles.household.member import Member
from p2p.transports.base import Endpoint
from p2p.transports.libp2p import open_libp2p
from p2p.transports.memory import MemoryNetwork
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    order_line,
    sign_message,
)
from tests.kits.keys_kit import home_keys
from tests.kits.roles_kit import MINUTES, OPERATOR, STEP, T0, genesis_of, home_at, key_of
from tests.kits.settled_kit import OpenGates, proof_of, settled
from tests.kits.time_kit import eventually_trio

INTERVALS = 5
ROSTER = tuple(f"home-{number}" for number in range(13))
GENESIS = genesis_of(ROSTER)
CHAIN = GENESIS.chain_id

Open = Callable[[Identity], AbstractAsyncContextManager[Endpoint]]


def message(household: str, number: int) -> OrderMessage | NothingMessage:
    index, start = ROSTER.index(household), T0 + number * STEP
    if (index + number) % 6 == 5:
        return NothingMessage(VERSION, CHAIN, start, MINUTES, household, number, 0)
    side, energy_wh, limit = (1 if index % 2 else -1), 100 + index, 200_000 + 1_000 * index
    return OrderMessage(
        VERSION, CHAIN, start, MINUTES, household, number, 0, (order_line(side, energy_wh, limit),)
    )


def reading(household: str, number: int) -> ReadingMessage:
    return ReadingMessage(VERSION, CHAIN, T0 + number * STEP, MINUTES, household, number, 7 * number, 0, 0)


@dataclass
class Log:
    """What a star received and sent."""

    orders: list[Collected[OrderMessage]] = field(default_factory=list)
    readings: list[Collected[ReadingMessage]] = field(default_factory=list)
    receipts: dict[str, list[ReceiptMessage]] = field(default_factory=dict)
    results: dict[str, list[SettledInterval]] = field(default_factory=dict)
    gossip: dict[str, list[SettledInterval]] = field(default_factory=dict)
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)


def result(number: int) -> bytes:
    return proof_of(GENESIS, T0 + number * STEP, number + 1, OPERATOR, OPERATOR)


async def trade(open_endpoint: Open) -> Log:
    log = Log()
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_endpoint(OPERATOR))
        keys = {name: key_of(name).public_key for name in ROSTER}
        operator = Operator(node, OPERATOR, CHAIN, ROSTER, home_keys(keys), MINUTES, OpenGates())
        homes: list[Member] = []
        for name in ROSTER:
            endpoint = await stack.enter_async_context(open_endpoint(key_of(name)))
            await endpoint.connect(node.address)
            received = log.gossip.setdefault(name, [])

            async def receive(one: SettledInterval, received: list[SettledInterval] = received) -> None:
                received.append(one)

            homes.append(home_at(endpoint, name, node.address, receive, GENESIS))
        # The last to be entered: endpoints close after its scope was cancelled, not within it.
        nursery = await stack.enter_async_context(trio.open_nursery())
        for home in homes:
            nursery.start_soon(home.gateway.run)
        await node.wait_for_subscribers(result_topic(CHAIN), len(ROSTER))

        async def live(home: Member) -> None:
            log.receipts[home.id], log.results[home.id], log.lines[home.id] = [], [], []
            for number in range(INTERVALS):
                start = T0 + number * STEP
                log.receipts[home.id].append(await home.submit(message(home.id, number)))
                log.receipts[home.id].append(await home.submit(reading(home.id, number)))
                log.results[home.id].append(await home.result(start))
                log.lines[home.id].append(await home.line(start, bytes))

        async with trio.open_nursery() as living:
            for home in homes:
                living.start_soon(live, home)
            for number in range(INTERVALS):
                start = T0 + number * STEP
                log.orders.append(await operator.collect(start, 10.0))
                log.readings.append(await operator.collect_readings(start, 10.0))
                operator.answers.provide_lines(start, dict.fromkeys(ROSTER, b"%d" % number))
                operator.answers.provide_result(start, result(number))
                await node.publish(result_topic(CHAIN), result(number))
        await eventually_trio(
            lambda: all(len(log.gossip[name]) == INTERVALS for name in ROSTER), "gossip reaches everybody", 20
        )
        nursery.cancel_scope.cancel()
        log.refused = dict(operator.refused.counts)
    return log


@pytest.fixture(params=["memory", pytest.param("libp2p", marks=pytest.mark.live)])
def log(request: pytest.FixtureRequest) -> Log:
    async def limited(open_endpoint: Open) -> Log:
        with trio.fail_after(60):
            return await trade(open_endpoint)

    if request.param == "libp2p":
        return trio.run(limited, open_libp2p)
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(limited, MemoryNetwork().endpoint, clock=clock)


def test_a_star_of_fourteen_acknowledges_every_order_and_everybody_receives_every_result(log: Log) -> None:
    for number, (orders, readings) in enumerate(zip(log.orders, log.readings, strict=True)):
        said = {name: message(name, number) for name in ROSTER}
        orders_of = [said[name] for name in ROSTER if isinstance(said[name], OrderMessage)]
        assert orders.signed == tuple(sign_message(key_of(name), said[name]) for name in ROSTER)
        assert orders.messages == tuple(orders_of)
        assert len(orders.nothing) == len(ROSTER) - len(orders_of) > 0
        assert readings.messages == tuple(reading(name, number) for name in ROSTER)
    for name in ROSTER:
        assert [receipt.code for receipt in log.receipts[name]] == [ReceiptCode.ACCEPTED] * 2 * INTERVALS
        wanted = [settled(GENESIS, result(number)) for number in range(INTERVALS)]
        assert log.results[name] == log.gossip[name] == wanted
        assert log.lines[name] == [b"%d" % number for number in range(INTERVALS)]
    assert log.refused == {}
