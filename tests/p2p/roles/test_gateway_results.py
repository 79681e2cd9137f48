"""Results behind a gateway, and a collector that gives wrong answers."""

from __future__ import annotations

import pytest
import trio

from p2p.roles.exchange.wire import BATCH_PROTOCOL, HandInReply, result_topic
from p2p.roles.household.member import Member
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION, ReceiptCode, ReceiptMessage, message_id, sign_message
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import operator_on, run, street
from tests.kits.settled_kit import proof_of, settled
from tests.kits.signed_kit import RIVAL, keyed_genesis, order
from tests.kits.time_kit import time_passes

STRANGER = identity("stranger", "0")


# --- results ----------------------------------------------------------------------------------------------


def test_gossip_brings_the_result_to_the_gateway_once() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on():
            proof = proof_of(homes.genesis)
            await homes.places[0].announce(proof)
            await time_passes(1)
            assert homes.received == [settled(homes.genesis, proof)]

    run(body)


def test_a_result_that_gossip_lost_is_asked_for() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            proof = proof_of(homes.genesis)
            async with trio.open_nursery() as nursery:

                async def settle() -> None:
                    await time_passes(3)
                    operator.answers.provide_result(START, proof)

                nursery.start_soon(settle)
                found = await Member(homes.gateway, "house-1").result(START)
            assert found == settled(homes.genesis, proof)
            assert homes.received == []

    run(body)


def test_a_collector_that_has_no_result_for_long_is_passed_over() -> None:
    """It may be behind, or only answer so."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on(), homes.places[1].on() as other:
            other.answers.provide_result(START, proof_of(homes.genesis))
            assert (await homes.gateway.result(START)).interval_start == START
            assert 5 < trio.current_time() < 8

    run(body)


@pytest.mark.parametrize("data", [b"", b"noise", proof_of(keyed_genesis(2, "another street"))])
def test_gossip_that_is_no_proof_is_counted_and_dropped(data: bytes) -> None:
    async def body() -> None:
        async with street(2) as homes, homes.network.endpoint(STRANGER) as node:
            topic = result_topic(homes.genesis.chain_id)
            await node.wait_for_subscribers(topic, 1)
            await node.publish(topic, data)
            await time_passes(1)
            assert homes.received == []
            assert homes.node.stats.refused.by_peer(node.peer_id) == 1

    run(body)


@pytest.mark.parametrize(("height", "current"), [(2, OPERATOR), (3, OPERATOR), (4, RIVAL)])
def test_only_a_result_of_the_newest_block_names_the_collector(height: int, current: Identity) -> None:
    """An old one, asked for late, names whom the newer ones have replaced."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            await homes.places[0].announce(proof_of(homes.genesis, START + STEP, 3))
            await time_passes(1)
            operator.answers.provide_result(START, proof_of(homes.genesis, START, height, RIVAL))
            assert (await homes.gateway.result(START)).height == height
            assert homes.collectors.current.key == current.public_key

    run(body)


# --- wrong answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["swapped", "short", "long", "noise", "stranger"])
def test_what_is_no_receipt_for_a_message_is_counted_and_the_next_collector_asked(answer: str) -> None:
    async def body() -> None:
        async with (
            street(2) as homes,
            homes.places[1].on() as other,
            homes.network.endpoint(OPERATOR) as node,
        ):
            operator = operator_on(node, homes.genesis)
            forged = ReceiptMessage(
                VERSION,
                homes.genesis.chain_id,
                START,
                "house-0",
                message_id(order(homes.genesis, "house-0")),
                ReceiptCode.ACCEPTED,
            )

            async def wrong(peer: str, frame: bytes) -> bytes:
                a, b = decode(HandInReply, await operator._take_batch(peer, frame)).entries
                entries = {
                    "swapped": (b, a),
                    "short": (a,),
                    "long": (a, b, b),
                    "noise": (b"noise", b"noise"),
                    "stranger": (sign_message(STRANGER, forged),) * 2,
                }[answer]
                return encode(HandInReply(entries))

            node.serve(BATCH_PROTOCOL, wrong)
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts = await homes.submit(orders)
            assert [r.message_id for r in receipts] == [message_id(message) for message in orders]
            assert trio.current_time() < 2
            assert homes.node.stats.refused.by_peer(homes.places[0].address) == 1
            assert (await other.collect(START, 0.0)).messages == tuple(orders)
            for household in homes.roster:
                assert homes.gateway.promises(household, START, 0).keys() == {RIVAL.public_key}

    run(body)


@pytest.mark.parametrize("answer", ["swapped", "noise"])
def test_a_collector_that_is_alone_is_asked_again_until_its_answers_are_right(answer: str) -> None:
    async def body() -> None:
        async with street(2) as homes, homes.network.endpoint(OPERATOR) as node:
            operator = operator_on(node, homes.genesis)

            async def wrong(peer: str, frame: bytes) -> bytes:
                reply = await operator._take_batch(peer, frame)
                a, b = decode(HandInReply, reply).entries
                entries = (b, a) if answer == "swapped" else (b"noise",) * 2
                return reply if trio.current_time() >= 8 else encode(HandInReply(entries))

            node.serve(BATCH_PROTOCOL, wrong)
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts = await homes.submit(orders)
            assert 8 <= trio.current_time() < 20
            assert [r.message_id for r in receipts] == [message_id(message) for message in orders]
            assert homes.node.stats.refused.by_peer(homes.places[0].address) >= 2

    run(body)


@pytest.mark.parametrize("answer", ["noise", "another interval", "another chain"])
def test_what_is_no_result_of_the_interval_is_counted_and_the_next_collector_asked(answer: str) -> None:
    """One bad answer must not end a node that carries for 200 homes."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as first, homes.places[1].on() as second:
            wanted = proof_of(homes.genesis)
            answers = {
                "noise": b"noise",
                "another interval": proof_of(homes.genesis, START - STEP),
                "another chain": proof_of(keyed_genesis(1, "another street")),
            }
            first.answers.provide_result(START, answers[answer])
            second.answers.provide_result(START, wanted)
            with trio.fail_after(2):
                assert await homes.gateway.result(START) == settled(homes.genesis, wanted)
            assert homes.node.stats.refused.by_peer(homes.places[0].address) == 1

    run(body)
