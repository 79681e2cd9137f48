"""Results that an operator announces, and the lines of homes, which are for each home alone."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from p2p.roles.exchange.wire import INCLUSION_PROTOCOL, LINE_PROTOCOL, ask, ask_slot, result_topic
from p2p.roles.household.carrier import NotTaken
from p2p.transports.base import RequestRefused
from p2p.transports.memory import Faults
from p2p.wire.identity import Identity
from tests.kits.roles_kit import (
    CHAIN,
    GENESIS,
    OPERATOR,
    ROSTER,
    STEP,
    T0,
    Street,
    on_street,
    result,
)
from tests.kits.settled_kit import proof_of
from tests.kits.signed_kit import keyed_genesis
from tests.kits.time_kit import time_passes

STRANGER = Identity.from_seed(b"x" * 32)


def test_results_reach_everybody_in_the_order_in_which_they_are_announced() -> None:
    async def body(homes: Street) -> None:
        for height in range(4):
            await homes.announce(result(T0 + height * STEP, height))
            await time_passes(1)
        for received in homes.received.values():
            assert [settled.height for settled in received] == [0, 1, 2, 3]

    on_street(body)


def test_results_that_gossip_lost_are_asked_for() -> None:
    async def body(homes: Street) -> None:
        for height in range(30):
            await homes.announce(result(T0 + height * STEP, height))
        assert sum(node.stats.gossip_received for node in homes.nodes.values()) < 75
        for home in homes.households.values():
            for height in range(30):
                assert (await home.result(T0 + height * STEP)).height == height

    on_street(body, Faults(seed=3, loss=0.3))


def test_a_forged_result_is_dropped_counted_and_the_next_one_received() -> None:
    async def body(homes: Street) -> None:
        async with homes.network.endpoint(STRANGER) as stranger:
            forged = (
                proof_of(keyed_genesis(3)),
                proof_of(GENESIS, T0, 66, OPERATOR, STRANGER),
                result(height=1)[:-1],
                b"garbage",
            )
            for data in forged:
                await stranger.publish(result_topic(CHAIN), data)
            await homes.announce(result(height=1))
            await time_passes(1)
            assert [settled.height for settled in homes.received["h1"]] == [1]
            refused = homes.nodes["h1"].stats.refused.counts
            codes = {"wrong_chain": 1, "bad_proof": 1, "malformed": 2}
            assert refused == {(stranger.peer_id, code): times for code, times in codes.items()}

    on_street(body)


def test_a_household_gets_its_own_line_and_no_other() -> None:
    async def body(homes: Street) -> None:
        lines = []

        async def wait_for_line() -> None:
            lines.append(await homes.households["h2"].line(T0, bytes))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_line)
            await time_passes(2)
            homes.operator.answers.provide_lines(T0, {name: name.encode() for name in ROSTER})
        assert lines == [b"h2"]
        async with homes.network.endpoint(STRANGER) as stranger:
            with pytest.raises(RequestRefused, match="unknown_household"):
                await stranger.request(homes.operator_node.peer_id, LINE_PROTOCOL, ask(CHAIN, T0))
            own, operator = homes.nodes["h1"], homes.operator_node.peer_id
            assert await own.request(operator, LINE_PROTOCOL, ask(CHAIN, T0)) == b"h1"
            with pytest.raises(RequestRefused, match="wrong_chain"):
                await own.request(operator, LINE_PROTOCOL, ask(b"d" * 32, T0))

    on_street(body)


def test_lines_older_than_the_history_are_said_to_be_forgotten() -> None:
    async def body(homes: Street) -> None:
        for number in range(200):
            homes.operator.answers.provide_lines(T0 + number * STEP, {"h1": b"%d" % number})
        one, node, operator = homes.households["h1"], homes.nodes["h1"], homes.operator_node.peer_id
        for number in (199, 8):
            assert await one.line(T0 + number * STEP, bytes) == b"%d" % number
            assert (
                await node.request(operator, LINE_PROTOCOL, ask(CHAIN, T0 + number * STEP)) == b"%d" % number
            )
        with pytest.raises(NotTaken, match="forgotten"):
            await one.line(T0 + 7 * STEP, bytes)
        with pytest.raises(RequestRefused, match="forgotten"):
            await node.request(operator, LINE_PROTOCOL, ask(CHAIN, T0 + 7 * STEP))
        with pytest.raises(NotTaken, match="forgotten"):
            await homes.households["h2"].line(T0 + 199 * STEP, bytes)

    on_street(body)


def test_a_home_with_its_own_key_on_the_connection_asks_for_its_leaves_slot_by_slot() -> None:
    async def body(homes: Street) -> None:
        answers, operator = homes.operator.answers, homes.operator_node.peer_id
        for slot in (0, 1):
            answers.provide_openings(T0, {name: b"%d of %s" % (slot, name.encode()) for name in ROSTER}, slot)
        node = homes.nodes["h2"]

        async def ask_leaf(slot: int, start: int = T0, chain_id: bytes = CHAIN) -> bytes:
            return await node.request(operator, INCLUSION_PROTOCOL, ask_slot(chain_id, start, slot))

        assert [await ask_leaf(slot) for slot in (0, 1)] == [b"0 of h2", b"1 of h2"]
        assert await ask_leaf(0, T0 + STEP) == b"", "not settled yet"
        for slot in (-1, 2):
            with pytest.raises(RequestRefused, match="out_of_range"):
                await ask_leaf(slot)
        with pytest.raises(RequestRefused, match="forgotten"):
            await ask_leaf(0, T0 - STEP)
        with pytest.raises(RequestRefused, match="wrong_chain"):
            await ask_leaf(0, T0, b"d" * 32)
        home = homes.households["h2"]
        assert [await home.inclusion(T0, slot, bytes) for slot in (0, 1)] == [b"0 of h2", b"1 of h2"]
        async with homes.network.endpoint(STRANGER) as stranger:
            await stranger.connect(homes.operator_node.address)
            with pytest.raises(RequestRefused, match="unknown_household"):
                await stranger.request(operator, INCLUSION_PROTOCOL, ask_slot(CHAIN, T0, 0))

    on_street(body)
