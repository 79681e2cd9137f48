"""Positions and tapes of rounds: who may ask for them, when they are there, and false ones."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from market.rounds import Tape
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.tape import PAGE_ROWS, TAPE_PROTOCOL, TapeQuery, make_pages
from p2p.roles.exchange.wire import POSITION_PROTOCOL, ask_slot
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.member import Member
from p2p.transports.base import RequestRefused
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import encode
from p2p.wire.messages import (
    VERSION,
)
from tests.kits.keys_kit import home_keys
from tests.kits.roles_kit import (
    CHAIN,
    MINUTES,
    OPERATOR,
    STEP,
    T0,
    key_of,
)
from tests.kits.rounds_kit import (
    RIVAL,
    ROSTER,
    ROUNDS,
    STRANGER,
    address,
    gateway_on,
    run,
    same,
    street,
    tape,
)
from tests.kits.settled_kit import OpenGates


def test_positions_and_tapes_are_asked_for_by_round() -> None:
    async def body() -> None:
        async with street() as here:
            operator, home = await here.operator(), here.homes["h1"]
            operator.answers.provide_positions(T0, {"h1": b"first"})
            operator.answers.provide_positions(T0, {"h1": b"second"}, 1)
            assert [await home.position(T0, number, bytes) for number in (0, 1)] == [b"first", b"second"]
            node = here.nodes["h1"]
            peer = await node.connect(address(OPERATOR))
            assert await node.request(peer, POSITION_PROTOCOL, ask_slot(CHAIN, T0, 1)) == b"second"
            assert await node.request(peer, POSITION_PROTOCOL, ask_slot(CHAIN, T0, 2)) == b""
            with pytest.raises(RequestRefused, match="forgotten"):
                await here.nodes["h2"].request(peer, POSITION_PROTOCOL, ask_slot(CHAIN, T0, 1))
            stranger = await here.node(STRANGER)
            await stranger.connect(address(OPERATOR))
            with pytest.raises(RequestRefused, match="unknown_household"):
                await stranger.request(peer, POSITION_PROTOCOL, ask_slot(CHAIN, T0, 1))
            operator.answers.provide_tape(T0, 0, make_pages(CHAIN, T0, 0, tape(5)))
            operator.answers.provide_tape(T0, 1, make_pages(CHAIN, T0, 1, tape(9, 1)))
            assert same(await home.tape(T0, 0), tape(5))
            assert same(await home.tape(T0, 1), tape(9, 1))
            for number in (-1, 3):
                for protocol, question in (
                    (POSITION_PROTOCOL, ask_slot(CHAIN, T0, number)),
                    (TAPE_PROTOCOL, encode(TapeQuery(VERSION, CHAIN, T0, number, 0))),
                ):
                    with pytest.raises(RequestRefused, match="out_of_range"):
                        await node.request(peer, protocol, question)

    run(body)


def test_anybody_may_ask_for_a_tape_and_nobody_waits_for_one_that_has_gone() -> None:
    async def body() -> None:
        async with street() as here:
            node = await here.node(STRANGER)
            operator = await here.operator()
            pages = make_pages(CHAIN, T0, 0, tape(3))
            operator.answers.provide_tape(T0, 0, pages)
            peer = await node.connect(address(OPERATOR))

            async def ask(start: int, number: int, page: int = 0) -> bytes:
                query = TapeQuery(VERSION, CHAIN, start, number, page)
                return await node.request(peer, TAPE_PROTOCOL, encode(query))

            assert await ask(T0, 0) == pages[0]
            assert await ask(T0, 1) == b"", "its gate is open"
            for page in (-1, 1):
                with pytest.raises(RequestRefused, match="forgotten"):
                    await ask(T0, 0, page)
            operator.answers.end_rounds(T0)  # settled by another collector
            assert await ask(T0, 0) == pages[0]
            for number in (1, 2):
                with pytest.raises(RequestRefused, match="forgotten"):
                    await ask(T0, number)
            for later in (1, 2, 3):
                for number in range(ROUNDS):
                    operator.answers.provide_tape(T0 + later * STEP, number, pages)
            with pytest.raises(RequestRefused, match="forgotten"):
                await ask(T0, 0)
            assert len(operator.answers._tapes) == 2 * ROUNDS

    run(body)


def test_a_long_tape_comes_in_pages_and_a_gateway_asks_for_it_once() -> None:
    async def body() -> None:
        rows = PAGE_ROWS + 7
        homes = tuple(f"g{i}" for i in range(70))
        async with street() as here:
            node = await here.node(STRANGER)
            operator = await here.operator()
            asked: list[bytes] = []
            give = operator.answers._give_tape

            async def counted(peer: str, frame: bytes) -> bytes:
                asked.append(frame)
                return await give(peer, frame)

            operator._transport.serve(TAPE_PROTOCOL, counted)
            gateway = gateway_on(node, homes, OPERATOR, homes=len(homes))
            pages = make_pages(CHAIN, T0, 1, tape(rows, 1))
            assert len(pages) == 2
            operator.answers.provide_tape(T0, 1, pages)
            found: list[Tape] = []

            async def one(name: str) -> None:
                found.append(await Member(gateway, name).tape(T0, 1))

            async with trio.open_nursery() as nursery:
                for name in homes:
                    nursery.start_soon(one, name)
            assert len(found) == len(homes)
            assert all(same(each, tape(rows, 1)) for each in found)
            assert len(asked) == 2
            operator.answers.end_rounds(T0 + STEP)
            with pytest.raises(NotTaken, match="forgotten"):
                await Member(gateway, "g0").tape(T0 + STEP, 0)

    run(body)


def test_a_false_tape_is_counted_and_asked_of_the_next_collector() -> None:
    """Of two pages the second states another total."""

    async def body() -> None:
        async with street() as here:
            node = await here.node(STRANGER)
            operator, other, rows = await here.operator(), await here.operator(RIVAL), PAGE_ROWS + 7
            pages = make_pages(CHAIN, T0, 0, tape(rows))
            others = make_pages(CHAIN, T0, 0, tape(rows + PAGE_ROWS))
            operator.answers.provide_tape(T0, 0, (pages[0], others[1]))
            other.answers.provide_tape(T0, 0, pages)
            gateway = gateway_on(node, ("h1",), OPERATOR, RIVAL, homes=500)
            assert same(await Member(gateway, "h1").tape(T0, 0), tape(rows))
            assert node.stats.refused.counts == {(address(OPERATOR), "out_of_range"): 1}
            assert "8199 rows, on its first page of 4103" in node.stats.refused.recent[-1][2]

    run(body)


def test_a_home_in_a_market_of_one_round_asks_for_no_tape() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as other:
            keys = {name: key_of(name).public_key for name in ROSTER}
            Operator(node, OPERATOR, CHAIN, ROSTER, home_keys(keys), MINUTES, OpenGates())
            peer = await other.connect(node.address)
            with pytest.raises(RequestRefused, match="out_of_range"):
                await other.request(peer, TAPE_PROTOCOL, encode(TapeQuery(VERSION, CHAIN, T0, 0, 0)))

    run(body)


def test_a_question_about_the_far_future_wakes_no_collector() -> None:
    """Anybody may ask for tapes: it would begin to collect at once in every interval until then."""

    async def body() -> None:
        async with street() as here:
            far = T0 + 1_000 * STEP
            stranger, operator = await here.node(STRANGER), await here.operator()
            operator._gates = OpenGates(early={(far, 0)})
            peer = await stranger.connect(address(OPERATOR))
            question = encode(TapeQuery(VERSION, CHAIN, far, 0, 0))
            assert await stranger.request(peer, TAPE_PROTOCOL, question) == b""
            with trio.move_on_after(1) as scope:
                await operator.questioned(T0)
            assert scope.cancelled_caught
            await stranger.request(peer, TAPE_PROTOCOL, encode(TapeQuery(VERSION, CHAIN, T0, 0, 0)))
            with trio.fail_after(1):
                await operator.questioned(T0)

    run(body)
