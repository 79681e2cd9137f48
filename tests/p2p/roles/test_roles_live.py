"""A star of fourteen trades five intervals: in memory and, marked `live`, over libp2p, in the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.collectors import Collector, Collectors
from p2p.roles.household import Household
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
    ResultMessage,
    order_line,
    sign_message,
)

CHAIN = b"c" * 32
MINUTES = 15
STEP = MINUTES * 60
T0 = 1_700_000_100 // STEP * STEP
INTERVALS = 5
ROSTER = tuple(f"home-{number}" for number in range(13))
OPERATOR = Identity.from_seed(b"o" * 32)

Open = Callable[[Identity], AbstractAsyncContextManager[Endpoint]]


def key_of(household: str) -> Identity:
    return Identity.from_seed(household.encode().ljust(32, b"."))


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
    """What a star heard and said."""

    orders: list[Collected[OrderMessage]] = field(default_factory=list)
    readings: list[Collected[ReadingMessage]] = field(default_factory=list)
    receipts: dict[str, list[ReceiptMessage]] = field(default_factory=dict)
    results: dict[str, list[ResultMessage]] = field(default_factory=dict)
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)


def result(number: int) -> ResultMessage:
    return ResultMessage(
        VERSION,
        CHAIN,
        T0 + number * STEP,
        MINUTES,
        number,
        *[bytes([number]) * 32] * 4,
        None,
        bytes([number]) * 32,
        0,
        OPERATOR.public_key,
    )


async def trade(open_endpoint: Open) -> Log:
    log = Log()
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_endpoint(OPERATOR))
        keys = {name: key_of(name).public_key for name in ROSTER}
        operator = Operator(node, OPERATOR, CHAIN, ROSTER, keys, MINUTES)
        homes: list[Household] = []
        for name in ROSTER:
            endpoint = await stack.enter_async_context(open_endpoint(key_of(name)))
            collectors = Collectors(endpoint, [Collector(OPERATOR.public_key, node.address)])
            homes.append(Household(endpoint, key_of(name), CHAIN, name, collectors, MINUTES))
        async with trio.open_nursery() as nursery:
            for home in homes:
                nursery.start_soon(home.join)
        await operator.wait_for_subscribers(len(ROSTER))

        async def live(home: Household) -> None:
            log.receipts[home.id], log.results[home.id], log.lines[home.id] = [], [], []
            results = home.results(first=T0)
            for number in range(INTERVALS):
                log.receipts[home.id].append(await home.submit(message(home.id, number)))
                log.receipts[home.id].append(await home.send_reading(reading(home.id, number)))
                log.results[home.id].append(await anext(results))
                log.lines[home.id].append(await home.line(T0 + number * STEP))

        async with trio.open_nursery() as nursery:
            for home in homes:
                nursery.start_soon(live, home)
            for number in range(INTERVALS):
                log.orders.append(await operator.collect(T0 + number * STEP, 10.0))
                log.readings.append(await operator.collect_readings(T0 + number * STEP, 10.0))
                operator.provide_lines(T0 + number * STEP, dict.fromkeys(ROSTER, b"%d" % number))
                await operator.announce(result(number))
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


def test_a_star_of_fourteen_acknowledges_every_order_and_tells_everybody_every_result(log: Log) -> None:
    for number, (orders, readings) in enumerate(zip(log.orders, log.readings, strict=True)):
        said = {name: message(name, number) for name in ROSTER}
        wanted = [said[name] for name in ROSTER if isinstance(said[name], OrderMessage)]
        assert orders.signed == tuple(sign_message(key_of(name), said[name]) for name in ROSTER)
        assert orders.messages == tuple(wanted)
        assert len(orders.nothing) == len(ROSTER) - len(wanted) > 0
        assert readings.messages == tuple(reading(name, number) for name in ROSTER)
    for name in ROSTER:
        assert [receipt.code for receipt in log.receipts[name]] == [ReceiptCode.ACCEPTED] * 2 * INTERVALS
        assert log.results[name] == [result(number) for number in range(INTERVALS)]
        assert log.lines[name] == [b"%d" % number for number in range(INTERVALS)]
    assert log.refused == {}
