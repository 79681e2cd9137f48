"""A gateway carries for many households: nothing is lost, changed or held up by what is beside it."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from p2p.blocks.genesis import Genesis
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.exchange.wire import LINES_PROTOCOL
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.member import Member
from p2p.transports.base import peer_id_of
from p2p.transports.memory import Faults
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    LineQueryMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    sign_message,
)
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import GATEWAY, Street, collect, receipt_in, run, send_batch, street
from tests.kits.signed_kit import MINUTES, key_of, keyed_genesis, nothing, order, reading, signed
from tests.kits.time_kit import time_passes

OPERATOR_PEER = peer_id_of(OPERATOR.public_key)
STRANGER = identity("stranger", "0")


def question(genesis: Genesis, household: str, signer: Identity | None = None, start: int = START) -> bytes:
    query = LineQueryMessage(VERSION, genesis.chain_id, start, MINUTES, household, 1, 0)
    return sign_message(signer or key_of(household), query)


# --- receipts ---------------------------------------------------------------------------------------------


def test_200_households_each_get_the_receipt_of_their_own_order() -> None:
    async def body() -> None:
        async with street(200) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household, i) for i, household in enumerate(homes.roster)]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.submit(orders))

            collected = await collect(operator, say)
            assert [r.message_id for r in receipts] == [message_id(message) for message in orders]
            assert [r.household for r in receipts] == list(homes.roster)
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}
            assert list(collected.messages) == orders
            assert collected.absent == ()

    run(body)


def test_the_orders_of_200_households_cross_in_few_frames() -> None:
    """One request each would be 200 frames."""

    async def body() -> None:
        async with street(200) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household) for household in homes.roster]
            await collect(operator, partial(homes.submit, orders))
            assert homes.node.stats.frames_sent <= 2

    run(body)


def test_orders_nothings_and_readings_share_a_frame() -> None:
    async def body() -> None:
        async with street(3) as homes, homes.places[0].on() as operator:
            genesis = homes.genesis
            said = [order(genesis, "house-0"), nothing(genesis, "house-1"), order(genesis, "house-2")]
            metered = [reading(genesis, household) for household in homes.roster]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(operator.collect, START, 10.0)
                nursery.start_soon(operator.collect_readings, START, 10.0)
                receipts = await homes.submit([*said, *metered])
            assert [r.message_id for r in receipts] == [message_id(m) for m in (*said, *metered)]
            assert homes.node.stats.frames_sent <= 2

    run(body)


def test_what_comes_early_is_repeated_until_the_gate_opens() -> None:
    async def body() -> None:
        async with street(20) as homes, homes.places[0].on() as operator:
            homes.places[0].gates.early.add((START, 0))
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.submit(orders))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                await time_passes(2)
                assert receipts == []
                opened_at = trio.current_time()
                homes.places[0].gates.early.clear()
                collected = await operator.collect(START, 10.0)
            assert trio.current_time() - opened_at <= 1.5
            assert list(collected.messages) == orders
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}
            assert operator.refused.counts == {}, "early is no refusal"

    run(body)


def test_a_message_by_a_key_that_the_collector_does_not_know_yet_is_repeated_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            homes.places[0].gates.early.add((START, 0))
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.submit([order(homes.genesis, "house-0")]))

            async with trio.open_nursery() as nursery:
                with monkeypatch.context() as patch:
                    patch.setattr(HomeKeys, "key_of", lambda *_: STRANGER.public_key)
                    nursery.start_soon(say)
                    await time_passes(2)
                    assert operator.refused.total("early") > 1
                homes.places[0].gates.early.clear()
                await operator.collect(START, 10.0)
            assert [receipt.code for receipt in receipts] == [ReceiptCode.ACCEPTED]

    run(body)


def test_repeating_what_is_early_gets_slower() -> None:
    async def body() -> None:
        async with street(5) as homes, homes.places[0].on():
            homes.places[0].gates.early.add((START, 0))
            with trio.move_on_after(60):
                await homes.submit([order(homes.genesis, household) for household in homes.roster])
            # In between it asks the other collector, which is off: one that says "early" keeps nobody waiting.
            assert 10 <= homes.node.stats.frames_sent <= 80

    run(body)


def test_a_replaced_order_counts_and_each_gets_its_receipt() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            first, second = (order(homes.genesis, "house-0", nonce) for nonce in (1, 2))

            async def say() -> None:
                (one,) = await homes.submit([first])
                (two,) = await homes.submit([second])
                assert (one.code, two.code) == (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED)
                await homes.submit([nothing(homes.genesis, "house-1")])

            assert list((await collect(operator, say)).messages) == [second]

    run(body)


def test_an_order_that_is_replaced_before_its_receipt_came_is_answered_as_well() -> None:
    """Whoever waits for the first receipt would wait for ever."""

    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            messages = [order(homes.genesis, "house-0", nonce) for nonce in (1, 2)]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(operator.collect, START, 5.0))
                with trio.fail_after(5):
                    first, second = await homes.submit(messages)
            assert first.message_id == message_id(messages[0])
            assert second.message_id == message_id(messages[1])

    run(body)


def test_a_reading_that_waits_is_answered_though_the_next_interval_has_begun() -> None:
    """A meter may be read late: the order of the next interval must not push its reading out."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            gates, metered = homes.places[0].gates, reading(homes.genesis, "house-0")
            gates.early |= {(START, 1), (START + STEP, 0), (START + 2 * STEP, 0)}
            following = order(homes.genesis, "house-0", nonce=2, start=START + STEP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(homes.submit, [following])

                async def read_meter() -> None:
                    with trio.fail_after(20):
                        (receipt,) = await homes.submit([metered])
                    assert receipt.code == ReceiptCode.ACCEPTED

                nursery.start_soon(read_meter)
                await time_passes(2)
                nursery.start_soon(homes.gateway.submit, order(homes.genesis, "house-0", 3, START + 2 * STEP))
                await time_passes(2)
                gates.early.remove((START, 1))
                collected = await operator.collect_readings(START, 5.0)
                assert list(collected.messages) == [metered]
                nursery.cancel_scope.cancel()

    run(body)


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_a_lossy_line_changes_nothing(loss: float) -> None:
    async def body() -> None:
        faults = Faults(seed=5, delay_max_s=0.05, loss=loss, duplication=0.2)
        async with street(50, faults=faults) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household) for household in homes.roster]
            collected = await collect(operator, partial(homes.submit, orders), deadline_s=60)
            assert list(collected.messages) == orders

    run(body)


# --- what is refused --------------------------------------------------------------------------------------


def test_a_message_that_is_refused_unread_spoils_none_of_the_others() -> None:
    async def body() -> None:
        async with (
            street(3) as homes,
            homes.places[0].on() as operator,
            homes.network.endpoint(STRANGER) as node,
        ):
            genesis = homes.genesis
            elsewhere = keyed_genesis(3, name="another street")
            batch = [
                signed(order(genesis, "house-0")),
                b"not a message",
                signed(order(elsewhere, "house-1")),
                sign_message(key_of("house-2"), order(genesis, "house-1")),
                sign_message(key_of("house-9"), order(genesis, "house-9")),
                question(genesis, "house-0"),
                b"",
                signed(order(genesis, "house-2")),
            ]
            entries: list[bytes] = []

            async def say() -> None:
                entries.extend(await send_batch(node, OPERATOR_PEER, genesis, batch))

            collected = await collect(operator, say)
            assert entries[1:7] == [
                b"!malformed",
                b"!wrong_chain",
                b"!wrong_signature",
                b"!unknown_household",
                b"!wrong_kind",
                b"!malformed",
            ]
            for place, household in ((0, "house-0"), (7, "house-2")):
                assert receipt_in(entries[place], genesis, household).code == ReceiptCode.ACCEPTED
            assert [m.household for m in collected.messages] == ["house-0", "house-2"]

    run(body)


def test_a_household_that_is_not_in_the_roster_is_answered_so_and_the_others_are_served() -> None:
    async def body() -> None:
        carried = ["house-0", "house-7"]
        async with street(1, carried=carried) as homes, homes.places[0].on() as operator:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(operator.collect, START, 5.0))
                nursery.start_soon(homes.submit, [order(homes.genesis, "house-0")])
                with pytest.raises(NotTaken, match="unknown_household"):
                    await homes.gateway.submit(order(homes.genesis, "house-7"))
            assert operator.refused.total("unknown_household") == 1

    run(body)


def test_late_orders_get_a_receipt_that_says_so() -> None:
    async def body() -> None:
        async with street(3) as homes, homes.places[0].on() as operator:
            await operator.collect(START, 1.0)
            receipts = await homes.submit([order(homes.genesis, household) for household in homes.roster])
            assert {r.code for r in receipts} == {ReceiptCode.LATE}

    run(body)


def test_a_household_that_is_not_behind_the_gateway_cannot_speak_through_it() -> None:
    async def body() -> None:
        async with street(2, carried=["house-0"]) as homes:
            with pytest.raises(KeyError):
                await homes.gateway.submit(order(homes.genesis, "house-1"))

    run(body)


# --- lines ------------------------------------------------------------------------------------------------


def lines_of(homes: Street) -> dict[str, bytes]:
    return {household: b"line of " + household.encode() for household in homes.roster}


def test_each_household_gets_its_own_line() -> None:
    async def body() -> None:
        async with street(150) as homes, homes.places[0].on() as operator:
            operator.answers.provide_lines(START, lines_of(homes))
            got: dict[str, bytes] = {}

            async def want(household: str) -> None:
                got[household] = await Member(homes.gateway, household).line(START, bytes)

            async with trio.open_nursery() as nursery:
                for household in homes.roster:
                    nursery.start_soon(want, household)
            assert got == lines_of(homes)

    run(body)


def test_a_line_that_is_not_ready_is_waited_for() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            async with trio.open_nursery() as nursery:

                async def provide() -> None:
                    await time_passes(5)
                    operator.answers.provide_lines(START, lines_of(homes))

                nursery.start_soon(provide)
                assert await Member(homes.gateway, "house-0").line(START, bytes) == b"line of house-0"
            assert 5 <= trio.current_time() <= 7

    run(body)


def test_a_line_that_every_collector_has_forgotten_is_refused() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as first, homes.places[1].on() as second:
            for operator in (first, second):
                operator.answers.provide_lines(START, lines_of(homes))
            with pytest.raises(NotTaken, match="forgotten"):
                await Member(homes.gateway, "house-0").line(START - STEP, bytes)

    run(body)


def test_a_line_that_one_collector_has_forgotten_is_asked_of_the_next() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as first, homes.places[1].on() as second:
            first.answers.provide_lines(START + STEP, lines_of(homes))
            second.answers.provide_lines(START, lines_of(homes))
            assert await Member(homes.gateway, "house-0").line(START, bytes) == b"line of house-0"

    run(body)


def test_only_a_question_signed_by_the_household_gets_its_line() -> None:
    """The gateway's own key, and the key of another household it carries, get nothing."""

    async def body() -> None:
        async with (
            street(2) as homes,
            homes.places[0].on() as operator,
            homes.network.endpoint(STRANGER) as node,
        ):
            genesis = homes.genesis
            operator.answers.provide_lines(START, lines_of(homes))
            asked = [
                question(genesis, "house-0"),
                question(genesis, "house-0", key_of("house-1")),
                question(genesis, "house-0", GATEWAY),
                question(keyed_genesis(2, name="another street"), "house-0"),
                signed(order(genesis, "house-0")),
                question(genesis, "house-1"),
            ]
            entries = await send_batch(node, OPERATOR_PEER, genesis, asked, LINES_PROTOCOL)
            assert entries == (
                b"line of house-0",
                b"!wrong_signature",
                b"!wrong_signature",
                b"!wrong_chain",
                b"!wrong_kind",
                b"line of house-1",
            )

    run(body)
