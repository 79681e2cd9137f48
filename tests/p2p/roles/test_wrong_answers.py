"""No answer ends a home's node: whatever a collector or gossip brings is counted, and another collector is asked."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio

from p2p.ledger.modules.evidence import OMISSION
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    CLOSINGS_PROTOCOL,
    EVIDENCE_PROTOCOL,
    LINES_PROTOCOL,
    RESULT_PROTOCOL,
    Accusation,
    Closings,
    HandInReply,
    result_topic,
)
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.gateway import ACCUSE_AGAIN_S
from p2p.roles.household.member import Member
from p2p.roles.validator.accuser import NotQueued
from p2p.wire.codec import decode, encode
from p2p.wire.messages import ReceiptCode, message_id
from tests.fuzz.mutate import mutated
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import Place, Street, operator_on, run, street
from tests.kits.settled_kit import proof_of, settled
from tests.kits.signed_kit import RIVAL, order
from tests.kits.time_kit import time_passes

SEED = 11
STRANGER = identity("stranger", "0")


def on_street(body: Callable[[Street], Awaitable[None]], validators: int = 0) -> None:
    async def main() -> None:
        async with street(1, validators=validators) as homes:
            await body(homes)

    run(main)


class Byzantine:
    """Replies with mutated bytes a number of times, and rightly from then on.

    Attributes:
        wrong: How many replies were not right.
        empty: How many of them were empty.
    """

    def __init__(self, times: int, *others: bytes) -> None:
        self.rng, self.left, self.others = random.Random(SEED), times, others
        self.wrong = self.empty = 0

    def reply(self, right: bytes) -> bytes:
        """What it sends in place of the right reply."""
        if not self.left:
            return right
        self.left -= 1
        sent = mutated(self.rng, right, *self.others)
        self.wrong += sent != right
        self.empty += not sent
        return sent


def test_4000_mutated_results_are_counted_one_by_one_and_the_right_one_is_taken() -> None:
    async def body(homes: Street) -> None:
        right, times = proof_of(homes.genesis), 4_000
        byzantine = Byzantine(times, proof_of(homes.genesis, START + STEP, 2))

        async def answer(_peer: str, _frame: bytes) -> bytes:
            return byzantine.reply(right)

        async with homes.places[0].on(), homes.places[1].on():
            for place in homes.places:
                assert place.node is not None
                place.node.serve(RESULT_PROTOCOL, answer)
            while byzantine.left:
                homes.gateway._results.clear()  # else a result that is known is asked for no more
                assert await homes.gateway.result(START) == settled(homes.genesis, right)
            assert byzantine.wrong > times * 9 // 10
            counts = homes.node.stats.refused
            counted = sum(counts.by_peer(place.address) for place in homes.places)
            assert counted == byzantine.wrong - byzantine.empty, "an empty reply is: not yet"

    on_street(body)


def test_4000_mutated_gossip_messages_are_counted_one_by_one_and_the_right_one_is_taken() -> None:
    async def body(homes: Street) -> None:
        right, times = proof_of(homes.genesis), 4_000
        byzantine, topic = Byzantine(times), result_topic(homes.genesis.chain_id)
        async with homes.network.endpoint(STRANGER) as stranger:
            await stranger.wait_for_subscribers(topic, 1)
            equal = 0
            while byzantine.left:
                sent = byzantine.reply(right)
                equal += sent == right
                await stranger.publish(topic, sent)
                if byzantine.left % 100 == 0:
                    await time_passes(0.1)
            assert homes.received == [settled(homes.genesis, right)] * equal
            assert homes.node.stats.refused.by_peer(stranger.peer_id) == times - equal
        async with homes.places[0].on():
            await homes.places[0].announce(right)
            await time_passes(0.1)
        assert len(homes.received) == equal + 1

    on_street(body)


def test_2000_mutated_replies_to_a_message_are_counted_and_its_receipt_is_taken() -> None:
    async def body(homes: Street) -> None:
        byzantine, refused, codes = Byzantine(2_000), 0, set[int]()
        async with homes.network.endpoint(OPERATOR) as node, homes.network.endpoint(RIVAL) as other:
            operators = operator_on(node, homes.genesis), operator_on(other, homes.genesis, RIVAL)
            for endpoint, operator in zip((node, other), operators, strict=True):

                async def answer(peer: str, frame: bytes, take: object = operator._take_batch) -> bytes:
                    return byzantine.reply(await take(peer, frame))  # type: ignore[operator]

                endpoint.serve(BATCH_PROTOCOL, answer)
            nonce = 0
            while byzantine.left:
                nonce += 1
                message = order(homes.genesis, "house-0", nonce, START + nonce * STEP)
                try:
                    receipt = await homes.gateway.submit(message)
                except NotTaken:  # a spoiled entry may begin with the mark of a refusal
                    refused += 1
                    continue
                assert receipt.message_id == message_id(message)
                codes.add(receipt.code)
            assert codes == {ReceiptCode.ACCEPTED}
            counts = homes.node.stats.refused
            counted = sum(counts.by_peer(place.address) for place in homes.places)
            assert counted == byzantine.wrong - refused > 1_000

    on_street(body)


@pytest.mark.parametrize("protocol", [LINES_PROTOCOL, CLOSINGS_PROTOCOL])
def test_wrong_answers_to_questions_are_counted_and_the_next_collector_is_asked(protocol: str) -> None:
    async def body(homes: Street) -> None:
        rng, rights = (
            random.Random(SEED),
            {
                LINES_PROTOCOL: encode(HandInReply((b"line of house-0",))),
                CLOSINGS_PROTOCOL: encode(Closings(())),
            },
        )

        async def noise(_peer: str, _frame: bytes) -> bytes:
            return b"\xff" + rng.randbytes(20)

        async def right(_peer: str, _frame: bytes) -> bytes:
            return rights[protocol]

        async with homes.places[0].on(), homes.places[1].on():
            first, second = (place.node for place in homes.places)
            assert first is not None
            assert second is not None
            first.serve(protocol, noise)
            second.serve(protocol, right)
            home = Member(homes.gateway, "house-0")
            with trio.fail_after(2):
                if protocol == LINES_PROTOCOL:
                    assert await home.line(START, bytes) == b"line of house-0"
                else:
                    assert await home.closings(START, 0, lambda closings: None) == ()
            assert homes.node.stats.refused.counts == {(homes.places[0].address, "malformed"): 1}

    on_street(body)


def test_a_home_is_settled_through_another_collector_while_one_sends_noise_only() -> None:
    async def body(homes: Street) -> None:
        async def noise(_peer: str, _frame: bytes) -> bytes:
            return b"noise"

        async with homes.places[0].on(), homes.places[1].on() as other:
            assert homes.places[0].node is not None
            for protocol in (BATCH_PROTOCOL, RESULT_PROTOCOL, LINES_PROTOCOL):
                homes.places[0].node.serve(protocol, noise)
            home = Member(homes.gateway, "house-0")
            for number in range(3):
                start = START + number * STEP
                receipt = await home.submit(order(homes.genesis, "house-0", number, start))
                assert receipt.code == ReceiptCode.ACCEPTED
                proof = proof_of(homes.genesis, start, number + 1, OPERATOR, RIVAL)
                other.answers.provide_result(start, proof)
                other.answers.provide_lines(start, {"house-0": b"line %d" % number})
                # Each result names the one that sends noise again.
                assert (await home.result(start)).height == number + 1
                assert await home.line(start, bytes) == b"line %d" % number
            assert homes.node.stats.refused.by_peer(homes.places[0].address) >= 3

    on_street(body)


# --- distrust and conviction --------------------------------------------------------------------------------


async def asked_of(place: Place, homes: Street, number: int) -> int:
    """How many batches a collector is sent while the home submits an order."""
    asked = 0
    assert place.node is not None
    handler = place.node._handlers[BATCH_PROTOCOL]

    async def counted(peer: str, frame: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return await handler(peer, frame)

    place.node.serve(BATCH_PROTOCOL, counted)
    await homes.gateway.submit(order(homes.genesis, "house-0", number, START + number * STEP))
    place.node.serve(BATCH_PROTOCOL, handler)
    return asked


def test_distrust_ends_with_the_next_settled_interval() -> None:
    async def body(homes: Street) -> None:
        first = homes.places[0]
        async with first.on() as operator, homes.places[1].on() as other:
            operator.answers.provide_result(START, b"noise")
            other.answers.provide_result(START, proof_of(homes.genesis, START, 1, RIVAL, RIVAL))
            await homes.gateway.result(START)
            assert homes.collectors.current.key == RIVAL.public_key
            assert await asked_of(first, homes, 1) == 0
            await homes.places[1].announce(proof_of(homes.genesis, START + STEP, 2, OPERATOR, RIVAL))
            await time_passes(0.1)
            assert homes.collectors.current.key == OPERATOR.public_key
            assert await asked_of(first, homes, 2) == 1

    on_street(body)


def test_a_convicted_collector_is_never_asked_again_and_validators_have_the_proof() -> None:
    async def body(homes: Street) -> None:
        received: list[Accusation] = []

        full = [2]

        async def note(_peer: str, frame: bytes) -> bytes:
            if full[0]:
                full[0] -= 1
                raise NotQueued("no room")
            received.append(decode(Accusation, frame))
            return b""

        first = homes.places[0]
        async with first.on(), homes.places[1].on(), trio.open_nursery() as nursery:
            assert await asked_of(first, homes, 1) == 1
            opened = [await nursery.start(listening, place) for place in homes.validators[:3]]
            for node in opened[1:]:
                node.serve(EVIDENCE_PROTOCOL, note)
            await Member(homes.gateway, "house-0").accuse(OMISSION, b"a proof", OPERATOR.public_key)
            assert received == [], "one takes no proofs, the others have no room"
            await time_passes(2 * ACCUSE_AGAIN_S)
            nursery.cancel_scope.cancel()
            assert [(one.method, one.proof) for one in received] == [(OMISSION, b"a proof")] * 2
        async with first.on(), homes.places[1].on():
            assert homes.collectors.current.key == RIVAL.public_key
            for number in (2, 3):
                assert await asked_of(first, homes, number) == 0
                proof = proof_of(homes.genesis, START + number * STEP, number, OPERATOR, RIVAL)
                await homes.places[1].announce(proof)
                await time_passes(0.1)
                assert homes.collectors.current.key == RIVAL.public_key, "though it is named"

    on_street(body, validators=4)


async def listening(place: Place, task_status: trio.TaskStatus[object]) -> None:
    async with place.network.endpoint(place.identity) as node:
        task_status.started(node)
        await trio.sleep_forever()
