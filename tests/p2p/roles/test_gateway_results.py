"""Results behind a gateway, and a collector that lies."""

from __future__ import annotations

import pytest
import trio

from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import BATCH_PROTOCOL, RESULT_PROTOCOL, HandInReply, result_topic
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION, ReceiptCode, ReceiptMessage, message_id, sign_message
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import result, run, street
from tests.kits.signed_kit import MINUTES, RIVAL, key_of, keyed_genesis, order
from tests.kits.time_kit import time_passes

STRANGER = identity("stranger", "0")


# --- results ----------------------------------------------------------------------------------------------


def test_gossip_brings_the_result_to_the_gateway_once() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            await operator.wait_for_subscribers(1)
            await operator.announce(result(homes.genesis))
            await time_passes(1)
            assert homes.heard == [result(homes.genesis)]

    run(body)


def test_a_result_that_gossip_lost_is_asked_for() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            async with trio.open_nursery() as nursery:

                async def settle() -> None:
                    await time_passes(3)
                    operator.keep(result(homes.genesis))

                nursery.start_soon(settle)
                assert await homes.gateway.member("house-1").result(START) == result(homes.genesis)
            assert homes.heard == []

    run(body)


@pytest.mark.parametrize("data", [b"", b"noise", sign_message(STRANGER, result(keyed_genesis(2)))])
def test_gossip_that_is_no_result_of_a_collector_is_counted_and_dropped(data: bytes) -> None:
    async def body() -> None:
        async with street(2) as homes, homes.network.endpoint(STRANGER) as node:
            topic = result_topic(homes.genesis.chain_id)
            await node.wait_for_subscribers(topic, 1)
            await node.publish(topic, data)
            await time_passes(1)
            assert homes.heard == []
            assert homes.node.stats.refused.by_peer(node.peer_id) == 1

    run(body)


@pytest.mark.parametrize(("start", "current"), [(START, OPERATOR), (START + STEP, RIVAL)])
def test_only_a_result_of_the_newest_interval_names_the_collector(start: int, current: Identity) -> None:
    """An old one, asked for late, names whom the newer ones have replaced."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            await operator.wait_for_subscribers(1)
            with trio.move_on_after(1):
                await homes.gateway.hand_in(order(homes.genesis, "house-0", start=START + STEP))
            await operator.announce(result(homes.genesis, start, next_collector=RIVAL))
            await time_passes(1)
            assert homes.collectors.current.key == current.public_key

    run(body)


# --- a collector that lies ----


@pytest.mark.parametrize("lie", ["swapped", "short", "long", "noise", "stranger"])
def test_what_is_no_receipt_for_a_message_is_not_taken_for_one(lie: str) -> None:
    """The gateway asks again; once the collector tells the truth, both households are served."""

    async def body() -> None:
        async with street(2) as homes, homes.network.endpoint(OPERATOR) as node:
            keys = {household: key_of(household).public_key for household in homes.roster}
            operator = Operator(node, OPERATOR, homes.genesis.chain_id, homes.roster, keys, MINUTES)
            forged = ReceiptMessage(
                VERSION,
                homes.genesis.chain_id,
                START,
                "house-0",
                message_id(order(homes.genesis, "house-0")),
                ReceiptCode.ACCEPTED,
            )
            truth_at = trio.current_time() + 3

            async def lying(peer: str, frame: bytes) -> bytes:
                reply = await operator._take_batch(peer, frame)
                a, b = decode(HandInReply, reply).entries
                entries = {
                    "swapped": (b, a),
                    "short": (a,),
                    "long": (a, b, b),
                    "noise": (b"noise", b"noise"),
                    "stranger": (sign_message(STRANGER, forged),) * 2,
                }[lie]
                return reply if trio.current_time() >= truth_at else encode(HandInReply(entries))

            node.serve(BATCH_PROTOCOL, lying)
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.hand_in(orders))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(operator.collect, START, 60.0)
                nursery.start_soon(say)
                await time_passes(2.9)
                assert receipts == []
                assert homes.node.stats.refused.by_peer(homes.places[0].address) >= 2
            assert [r.message_id for r in receipts] == [message_id(message) for message in orders]

    run(body)


@pytest.mark.parametrize("lie", ["noise", "another interval", "stranger"])
def test_what_is_no_result_of_the_interval_is_asked_for_again(lie: str) -> None:
    """One bad answer must not end a node that carries for 200 homes."""

    async def body() -> None:
        async with street(1) as homes, homes.network.endpoint(OPERATOR) as node:
            wanted = result(homes.genesis)
            answers = {
                "noise": b"noise",
                "another interval": sign_message(OPERATOR, result(homes.genesis, START - STEP)),
                "stranger": sign_message(STRANGER, wanted),
            }

            async def lying(_peer: str, _frame: bytes) -> bytes:
                return answers[lie] if trio.current_time() < 3 else sign_message(OPERATOR, wanted)

            node.serve(RESULT_PROTOCOL, lying)
            with trio.fail_after(10):
                assert await homes.gateway.result(START) == wanted
            assert homes.node.stats.refused.by_peer(homes.places[0].address) >= 2

    run(body)
