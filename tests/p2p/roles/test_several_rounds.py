"""Markets of several rounds: one gate after the other, what is early, late or none, and a collector that takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing

from market.rounds import Tape
from p2p.errors import OutOfRange
from p2p.roles.collector.gateway import Gateway, NotTaken
from p2p.roles.collector.intake import CollectionOrder
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.collectors import Collector, Collectors
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.tape import PAGE_ROWS, TAPE_PROTOCOL, TapeQuery, make_pages
from p2p.roles.exchange.wire import BID_PROTOCOL, POSITION_PROTOCOL, READING_PROTOCOL, ask_round
from p2p.roles.household import Household
from p2p.transports.base import Endpoint, RequestRefused, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import encode
from p2p.wire.frames import StreamLost
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    Kind,
    Limits,
    NothingMessage,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    sign_message,
)
from tests.kits.roles_kit import CHAIN, MINUTES, OPERATOR, STEP, T0, key_of, nothing, order, reading
from tests.kits.time_kit import time_passes

ROSTER = ("h1", "h2")
ROUNDS = 3
LIMITS = Limits(rounds=ROUNDS)
ANY = Limits(rounds=64)
RIVAL = Identity.from_seed(b"r" * 32)
STRANGER = Identity.from_seed(b"s" * 32)


@dataclass
class Street:
    """Two homes with nodes of their own and the addresses of two collectors."""

    network: MemoryNetwork
    stack: AsyncExitStack
    homes: dict[str, Household] = field(default_factory=dict)

    async def operator(self, identity: Identity = OPERATOR, journal: Journal | None = None) -> Operator:
        return operator_on(await self.node(identity), identity, journal)

    async def node(self, identity: Identity) -> Endpoint:
        """An endpoint that is open as long as the street."""
        return await self.stack.enter_async_context(self.network.endpoint(identity))


def operator_on(node: Endpoint, identity: Identity, journal: Journal | None = None) -> Operator:
    keys = {name: key_of(name).public_key for name in ROSTER}
    return Operator(node, identity, CHAIN, ROSTER, keys, MINUTES, journal, LIMITS)


def address(identity: Identity) -> str:
    return f"/memory/p2p/{peer_id_of(identity.public_key)}"


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        found = Street(MemoryNetwork(Faults()), stack)
        for name in ROSTER:
            node = await stack.enter_async_context(found.network.endpoint(key_of(name)))
            both = [Collector(one.public_key, address(one)) for one in (OPERATOR, RIVAL)]
            ways = Collectors(node, both, failover_s=1.0)
            home = Household(node, key_of(name), CHAIN, name, ways, MINUTES, limits=LIMITS, homes=len(ROSTER))
            found.homes[name] = home
        yield found


def run(body: Callable[[], Awaitable[None]]) -> None:
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


def tape(rows: int, number: int = 0) -> Tape:
    """A made-up tape whose last orders came in a round."""
    counted = np.arange(rows, dtype=np.int64)
    return Tape(
        round_of=counted * (number + 1) // max(rows, 1),
        side=np.where(counted % 2, 1, -1).astype(np.int8),
        energy_wh=counted + 2,
        limit_micro_per_kwh=-counted,
        accepted_wh=counted,
        price_micro_per_kwh=counted * 3,
        took=counted % 3 == 0,
    )


def same(one: Tape, other: Tape) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("round_of", "side", "energy_wh", "limit_micro_per_kwh", "accepted_wh", "took")
    )


async def hand_over(street_: Street, message: HandedIn, household: str = "h1") -> ReceiptMessage:
    """Send a message of a home as it is, without its patience; return the receipt."""
    home = street_.homes[household]
    signed = sign_message(key_of(household), message, ANY)
    protocol = READING_PROTOCOL if isinstance(message, ReadingMessage) else BID_PROTOCOL
    peer = await home._transport.connect(address(OPERATOR))
    try:
        reply = await home._transport.request(peer, protocol, signed)
    except StreamLost:  # of a collector that was started again
        reply = await home._transport.request(peer, protocol, signed)
    found = home._open(reply, Kind.RECEIPT)
    assert isinstance(found, ReceiptMessage)
    return found


# --- gates ------------------------------------------------------------------------------------------------


def test_each_round_has_a_gate_and_only_its_own_messages() -> None:
    async def body() -> None:
        async with street() as here:
            operator, found = await here.operator(), []

            async def live(name: str) -> None:
                home = here.homes[name]
                await home.join()
                for number in range(ROUNDS):
                    # The second home orders in the second round only.
                    is_order = name == "h1" or number == 1
                    message = (
                        order(name, 7 + number, round=number)
                        if is_order
                        else nothing(name, 7 + number, T0, number)
                    )
                    assert (await home.submit(message)).code == ReceiptCode.ACCEPTED

            async with trio.open_nursery() as nursery:
                for name in ROSTER:
                    nursery.start_soon(live, name)
                for number in range(ROUNDS):
                    found.append(await operator.collect(T0, 10.0, number))
            assert [[m.household for m in one.messages] for one in found] == [["h1"], ["h1", "h2"], ["h1"]]
            assert [one.nothing for one in found] == [("h2",), (), ("h2",)]
            assert [{m.round for m in one.messages} for one in found] == [{0}, {1}, {2}]
            assert not any(one.absent for one in found)

    run(body)


def test_a_message_for_another_round_is_early_late_or_out_of_range() -> None:
    async def body() -> None:
        async with street() as here:
            operator, codes = await here.operator(), {}

            async def attack() -> None:
                await trio.testing.wait_all_tasks_blocked()
                for what, message in {
                    "past": order("h1", 1, round=0),
                    "future": order("h1", 9, round=2),
                    "next interval": order("h1", 9, start=T0 + STEP, round=0),
                    "mine": order("h1", 5, round=1),
                    "twice": order("h1", 5, round=1, energy_wh=9),
                    "lower": order("h1", 4, round=1),
                    "higher": nothing("h1", 6, T0, 1),
                    "third": order("h1", 7, round=1),
                }.items():
                    codes[what] = (await hand_over(here, message)).code
                for number in (3, 63):
                    with pytest.raises(RequestRefused, match="out_of_range"):
                        await hand_over(here, order("h1", 9, round=number))

            await operator.collect(T0, 1.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(attack)
                collected = await operator.collect(T0, 1.0, 1)
            assert codes == {
                "past": ReceiptCode.LATE,
                "future": ReceiptCode.EARLY,
                "next interval": ReceiptCode.EARLY,
                "mine": ReceiptCode.ACCEPTED,
                "twice": ReceiptCode.DUPLICATE,
                "lower": ReceiptCode.STALE_NONCE,
                "higher": ReceiptCode.REPLACED,
                "third": ReceiptCode.REFUSED,
            }
            assert (collected.messages, collected.nothing) == ((), ("h1",))

    run(body)


@pytest.mark.parametrize(
    ("not_awaited", "closes_s"), [((), 2.0), (("h2",), 2.0), (("h1",), 1.0), (("h1", "h2"), 0.0)]
)
def test_a_gate_that_waits_for_some_homes_takes_the_messages_of_the_others_until_then(
    not_awaited: tuple[str, ...], closes_s: float
) -> None:
    async def body() -> None:
        async with street() as here:
            operator = await here.operator()

            async def say(message: OrderMessage | NothingMessage, after_s: float) -> None:
                await time_passes(after_s)
                await hand_over(here, message, message.household)

            begun = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, order("h2", 5), 1.0)
                nursery.start_soon(say, nothing("h1", 5), 2.0)
                collected = await operator.collect(T0, 9.0, not_awaited=not_awaited)
                took_s = trio.current_time() - begun
            assert took_s == pytest.approx(closes_s, abs=0.1)
            assert collected.messages == ((order("h2", 5),) if closes_s >= 1 else ())
            assert collected.nothing == (("h1",) if closes_s >= 2 else ())
            assert collected.absent == {2.0: (), 1.0: ("h1",), 0.0: ROSTER}[closes_s]

    run(body)


def test_what_is_sent_after_the_rounds_or_the_interval_have_ended_is_late_and_not_early() -> None:
    """Also where this collector has opened no gate of it, because another one has settled the interval."""

    async def body() -> None:
        async with street() as here:
            operator = await here.operator()

            async def codes() -> list[ReceiptCode]:
                later = order("h1", 9, start=T0 + STEP)
                sent = (order("h1", 5), nothing("h1", 6, T0, ROUNDS - 1), reading("h1"), later)
                return [(await hand_over(here, message)).code for message in sent]

            early, late = ReceiptCode.EARLY, ReceiptCode.LATE
            assert await codes() == [early, early, early, early]
            operator.end_rounds(T0)
            assert await codes() == [late, late, early, early]
            operator.end_interval(T0)
            assert await codes() == [late, late, late, early]
            with pytest.raises(CollectionOrder, match="never goes back"):
                await operator.collect(T0, 0.1, ROUNDS - 1)
            await operator.collect(T0 + STEP, 0.1)

    run(body)


def test_gates_open_in_their_order_only() -> None:
    async def body() -> None:
        async with street() as here:
            operator = await here.operator()
            await operator.collect(T0, 0.1, 1)
            for number in (0, 1):
                with pytest.raises(CollectionOrder, match="never goes back"):
                    await operator.collect(T0, 0.1, number)
            await operator.collect(T0, 0.1, 2)
            await operator.collect(T0 + STEP, 0.1)

    run(body)


def test_a_collector_that_was_killed_between_rounds_keeps_what_it_promised_in_each(tmp_path: Path) -> None:
    async def body() -> None:
        async with street() as here:
            with Journal(tmp_path / "journal.db") as journal:
                async with here.network.endpoint(OPERATOR) as node:
                    operator = operator_on(node, OPERATOR, journal)

                    async def say(number: int) -> None:
                        await trio.testing.wait_all_tasks_blocked()
                        await hand_over(here, order("h1", 5 + number, round=number))

                    for number in (0, 1):
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(say, number)
                            if number == 0:
                                await operator.collect(T0, 1.0)
                            else:  # killed while the gate is open
                                nursery.start_soon(operator.collect, T0, 9.0, 1)
                                await time_passes(0.5)
                                nursery.cancel_scope.cancel()
            with Journal(tmp_path / "journal.db") as journal:
                async with here.network.endpoint(OPERATOR) as node:
                    operator = operator_on(node, OPERATOR, journal)
                    first = await operator.collect(T0, 1.0)
                    assert first.messages == (order("h1", 5, round=0),)
                    late = await hand_over(here, nothing("h1", 9, T0, 0))
                    assert late.code == ReceiptCode.LATE, "the gate was closed before"
                    second = await operator.collect(T0, 1.0, 1)
                    assert second.messages == (order("h1", 6, round=1),)

    run(body)


def test_a_collector_that_takes_over_receives_the_messages_of_all_rounds() -> None:
    async def body() -> None:
        async with street() as here:
            second = await here.operator(RIVAL)
            said = [order("h1", 5 + number, round=number) for number in range(ROUNDS)]
            home = here.homes["h1"]
            async with here.network.endpoint(OPERATOR) as node:
                first = operator_on(node, OPERATOR)
                await home.join()
                for number in (0, 1):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(home.submit, said[number])
                        await first.collect(T0, 1.0, number)
            found = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(home.submit, said[2])
                for number in range(ROUNDS):
                    found.append(await second.collect(T0, 5.0, number))
            assert [one.messages for one in found] == [(message,) for message in said]
            for number in range(ROUNDS):
                promise = home.promise(T0, number)
                assert promise is not None
                receipt = home._open(promise[0], Kind.RECEIPT)
                assert isinstance(receipt, ReceiptMessage)
                assert (receipt.message_id, promise[1]) == (
                    message_id(said[number]),
                    sign_message(key_of("h1"), said[number], ANY),
                )

    run(body)


# --- position and tape ------------------------------------------------------------------------------------


def test_positions_and_tapes_are_asked_for_by_round() -> None:
    async def body() -> None:
        async with street() as here:
            operator, home = await here.operator(), here.homes["h1"]
            await home.join()
            operator.provide_positions(T0, {"h1": b"first"})
            operator.provide_positions(T0, {"h1": b"second"}, 1)
            assert [await home.position(T0, number) for number in (0, 1)] == [b"first", b"second"]
            peer = await home._transport.connect(address(OPERATOR))
            assert await home._transport.request(peer, POSITION_PROTOCOL, ask_round(CHAIN, T0, 2)) == b""
            operator.provide_tape(T0, 0, make_pages(CHAIN, T0, 0, tape(5)))
            operator.provide_tape(T0, 1, make_pages(CHAIN, T0, 1, tape(9, 1)))
            assert same(await home.tape(T0, 0), tape(5))
            assert same(await home.tape(T0, 1), tape(9, 1))
            for number in (-1, 3):
                for protocol, question in (
                    (POSITION_PROTOCOL, ask_round(CHAIN, T0, number)),
                    (TAPE_PROTOCOL, encode(TapeQuery(VERSION, CHAIN, T0, number, 0))),
                ):
                    with pytest.raises(RequestRefused, match="out_of_range"):
                        await home._transport.request(peer, protocol, question)

    run(body)


def test_anybody_may_ask_for_a_tape_and_nobody_waits_for_one_that_has_gone() -> None:
    async def body() -> None:
        async with street() as here:
            node = await here.node(STRANGER)
            operator = await here.operator()
            pages = make_pages(CHAIN, T0, 0, tape(3))
            operator.provide_tape(T0, 0, pages)
            peer = await node.connect(address(OPERATOR))

            async def ask(start: int, number: int, page: int = 0) -> bytes:
                query = TapeQuery(VERSION, CHAIN, start, number, page)
                return await node.request(peer, TAPE_PROTOCOL, encode(query))

            assert await ask(T0, 0) == pages[0]
            assert await ask(T0, 1) == b"", "its gate is open"
            for page in (-1, 1):
                with pytest.raises(RequestRefused, match="forgotten"):
                    await ask(T0, 0, page)
            operator.end_rounds(T0)  # settled by another collector
            assert await ask(T0, 0) == pages[0]
            for number in (1, 2):
                with pytest.raises(RequestRefused, match="forgotten"):
                    await ask(T0, number)
            for later in (1, 2, 3):
                for number in range(ROUNDS):
                    operator.provide_tape(T0 + later * STEP, number, pages)
            with pytest.raises(RequestRefused, match="forgotten"):
                await ask(T0, 0)
            assert len(operator._tapes) == 2 * ROUNDS

    run(body)


def test_a_long_tape_comes_in_pages_and_a_gateway_asks_for_it_once() -> None:
    async def body() -> None:
        rows = PAGE_ROWS + 7
        homes = tuple(f"g{i}" for i in range(70))
        async with street() as here:
            node = await here.node(STRANGER)
            operator = await here.operator()
            asked: list[bytes] = []
            give = operator._give_tape

            async def counted(peer: str, frame: bytes) -> bytes:
                asked.append(frame)
                return await give(peer, frame)

            operator._transport.serve(TAPE_PROTOCOL, counted)
            ways = Collectors(node, [Collector(OPERATOR.public_key, address(OPERATOR))])
            keys = {name: key_of(name) for name in homes}
            gateway = Gateway(node, keys, CHAIN, ways, MINUTES, limits=LIMITS, homes=len(homes))
            pages = make_pages(CHAIN, T0, 1, tape(rows, 1))
            assert len(pages) == 2
            operator.provide_tape(T0, 1, pages)
            found: list[Tape] = []

            async def one(name: str) -> None:
                found.append(await gateway.member(name).tape(T0, 1))

            async with trio.open_nursery() as nursery:
                for name in homes:
                    nursery.start_soon(one, name)
            assert len(found) == len(homes)
            assert all(same(each, tape(rows, 1)) for each in found)
            assert len(asked) == 2
            operator.end_rounds(T0 + STEP)
            with pytest.raises(NotTaken, match="forgotten"):
                await gateway.member("g0").tape(T0 + STEP, 0)

    run(body)


@pytest.mark.parametrize("through_a_gateway", [False, True])
def test_a_false_tape_is_refused_and_nothing_waits_for_it(through_a_gateway: bool) -> None:
    """Of two pages the second states another total."""

    async def body() -> None:
        async with street() as here:
            node = await here.node(STRANGER)
            operator, rows = await here.operator(), PAGE_ROWS + 7
            pages = make_pages(CHAIN, T0, 0, tape(rows))
            others = make_pages(CHAIN, T0, 0, tape(rows + PAGE_ROWS))
            operator.provide_tape(T0, 0, (pages[0], others[1]))
            ways = Collectors(node, [Collector(OPERATOR.public_key, address(OPERATOR))])
            client: Household | Gateway
            if through_a_gateway:
                client = Gateway(node, {}, CHAIN, ways, MINUTES, limits=LIMITS, homes=500)
            else:
                args = (node, STRANGER, CHAIN, "h9", ways, MINUTES)
                client = Household(*args, limits=LIMITS, homes=500)
                await client.join()
            for _ in range(2):
                with pytest.raises(OutOfRange, match="8199 rows, on its first page of 4103"):
                    await client.tape(T0, 0)

    run(body)


def test_a_home_in_a_market_of_one_round_asks_for_no_tape() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as other:
            keys = {name: key_of(name).public_key for name in ROSTER}
            Operator(node, OPERATOR, CHAIN, ROSTER, keys, MINUTES)
            peer = await other.connect(node.address)
            with pytest.raises(RequestRefused, match="out_of_range"):
                await other.request(peer, TAPE_PROTOCOL, encode(TapeQuery(VERSION, CHAIN, T0, 0, 0)))

    run(body)
