"""A gateway carries for many households: nothing is lost, changed or held up by what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
from chain_kit import OPERATOR, START, STEP, identity
from gateway_kit import GATEWAY, Street, collect, result, run, send_batch, street
from signed_kit import MINUTES, RIVAL, key_of, keyed_genesis, names, nothing, order, reading, signed

from p2p.chain.genesis import Genesis
from p2p.codec import decode, encode
from p2p.frames import FRAME_MAX_BYTES
from p2p.identity import Identity
from p2p.memory import Faults
from p2p.messages import (
    VERSION,
    Kind,
    LineQueryMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    open_message,
    sign_message,
)
from p2p.roles.gateway import LINES_MAX, MESSAGES_MAX, NotTaken
from p2p.roles.journal import Journal, JournalDamaged, SignedOtherwise
from p2p.roles.operator import Operator
from p2p.roles.wire import (
    BATCH_MAX,
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    LINES_PROTOCOL,
    RESULT_PROTOCOL,
    HandIn,
    HandInReply,
    result_topic,
)
from p2p.transport import RequestRefused, peer_id_of

OPERATOR_PEER = peer_id_of(OPERATOR.public_key)
STRANGER = identity("stranger", "0")


def question(genesis: Genesis, household: str, signer: Identity | None = None, start: int = START) -> bytes:
    query = LineQueryMessage(VERSION, genesis.chain_id, start, MINUTES, household, 1)
    return sign_message(signer or key_of(household), query)


def receipt_in(entry: bytes, genesis: Genesis, household: str) -> ReceiptMessage:
    keys = {household: key_of(household).public_key}
    opened = open_message(
        entry,
        chain_id=genesis.chain_id,
        kinds=(Kind.RECEIPT,),
        household_keys=keys,
        collector_keys=(OPERATOR.public_key,),
    )
    assert isinstance(opened, ReceiptMessage)
    return opened


# --- receipts ---------------------------------------------------------------------------------------------


def test_200_households_each_get_the_receipt_of_their_own_order() -> None:
    async def body() -> None:
        async with street(200) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household, i) for i, household in enumerate(homes.roster)]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.hand_in(orders))

            collected = await collect(operator, say)
            assert [r.message_id for r in receipts] == [message_id(message) for message in orders]
            assert [r.household for r in receipts] == list(homes.roster)
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}
            assert list(collected.messages) == orders
            assert collected.silent == ()

    run(body)


def test_the_orders_of_200_households_cross_in_few_frames() -> None:
    """One request each would be 200 frames. The first look may come before the gate opens."""

    async def body() -> None:
        async with street(200) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household) for household in homes.roster]
            await collect(operator, partial(homes.hand_in, orders))
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
                receipts = await homes.hand_in([*said, *metered])
            assert [r.message_id for r in receipts] == [message_id(m) for m in (*said, *metered)]
            assert homes.node.stats.frames_sent <= 2

    run(body)


def test_what_comes_early_is_repeated_until_the_gate_opens() -> None:
    async def body() -> None:
        async with street(20) as homes, homes.places[0].on() as operator:
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.hand_in(orders))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                await trio.sleep(7)
                assert receipts == []
                opened_at = trio.current_time()
                collected = await operator.collect(START, 10.0)
            assert trio.current_time() - opened_at <= 1.5
            assert list(collected.messages) == orders
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}

    run(body)


def test_repeating_what_is_early_gets_slower() -> None:
    async def body() -> None:
        async with street(5) as homes, homes.places[0].on():
            with trio.move_on_after(60):
                await homes.hand_in([order(homes.genesis, household) for household in homes.roster])
            assert 50 <= homes.node.stats.frames_sent <= 80

    run(body)


def test_a_replaced_order_counts_and_each_gets_its_receipt() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            first, second = (order(homes.genesis, "house-0", nonce) for nonce in (1, 2))

            async def say() -> None:
                (one,) = await homes.hand_in([first])
                (two,) = await homes.hand_in([second])
                assert (one.code, two.code) == (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED)
                await homes.hand_in([nothing(homes.genesis, "house-1")])

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
                    first, second = await homes.hand_in(messages)
            assert first.message_id == message_id(messages[0])
            assert second.message_id == message_id(messages[1])

    run(body)


def test_a_reading_that_waits_is_answered_though_the_next_interval_has_begun() -> None:
    """A meter may be read late: the order of the next interval must not push its reading out."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            metered = reading(homes.genesis, "house-0")
            following = order(homes.genesis, "house-0", nonce=2, start=START + STEP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(homes.hand_in, [following])

                async def read_meter() -> None:
                    with trio.fail_after(20):
                        (receipt,) = await homes.hand_in([metered])
                    assert receipt.code == ReceiptCode.ACCEPTED

                nursery.start_soon(read_meter)
                await trio.sleep(2)
                nursery.start_soon(
                    homes.gateway.hand_in, order(homes.genesis, "house-0", 3, START + 2 * STEP)
                )
                await trio.sleep(2)
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
            collected = await collect(operator, partial(homes.hand_in, orders), deadline_s=60)
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


def test_a_household_that_is_not_in_the_roster_is_told_so_and_the_others_are_served() -> None:
    async def body() -> None:
        carried = ["house-0", "house-7"]
        async with street(1, carried=carried) as homes, homes.places[0].on() as operator:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(operator.collect, START, 5.0))
                nursery.start_soon(homes.hand_in, [order(homes.genesis, "house-0")])
                with pytest.raises(NotTaken, match="unknown_household"):
                    await homes.gateway.hand_in(order(homes.genesis, "house-7"))
            assert operator.refused.total("unknown_household") == 1

    run(body)


def test_late_orders_get_a_receipt_that_says_so() -> None:
    async def body() -> None:
        async with street(3) as homes, homes.places[0].on() as operator:
            await operator.collect(START, 1.0)
            receipts = await homes.hand_in([order(homes.genesis, household) for household in homes.roster])
            assert {r.code for r in receipts} == {ReceiptCode.LATE}

    run(body)


def test_a_household_that_is_not_behind_the_gateway_cannot_speak_through_it() -> None:
    async def body() -> None:
        async with street(2, carried=["house-0"]) as homes:
            with pytest.raises(KeyError):
                await homes.gateway.hand_in(order(homes.genesis, "house-1"))

    run(body)


# --- lines ------------------------------------------------------------------------------------------------


def lines_of(homes: Street) -> dict[str, bytes]:
    return {household: b"line of " + household.encode() for household in homes.roster}


def test_each_household_gets_its_own_line() -> None:
    async def body() -> None:
        async with street(150) as homes, homes.places[0].on() as operator:
            operator.provide_lines(START, lines_of(homes))
            got: dict[str, bytes] = {}

            async def want(household: str) -> None:
                got[household] = await homes.gateway.member(household).line(START)

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
                    await trio.sleep(5)
                    operator.provide_lines(START, lines_of(homes))

                nursery.start_soon(provide)
                assert await homes.gateway.ask(LINES_PROTOCOL, "house-0", START) == b"line of house-0"
            assert 5 <= trio.current_time() <= 7

    run(body)


def test_a_line_that_is_forgotten_is_refused() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            operator.provide_lines(START, lines_of(homes))
            with pytest.raises(NotTaken, match="forgotten"):
                await homes.gateway.ask(LINES_PROTOCOL, "house-0", START - STEP)

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
            operator.provide_lines(START, lines_of(homes))
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


# --- results ----------------------------------------------------------------------------------------------


def test_gossip_brings_the_result_to_the_gateway_once() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            await operator.wait_for_audience(1)
            await operator.announce(result(homes.genesis))
            await trio.sleep(1)
            assert homes.heard == [result(homes.genesis)]

    run(body)


def test_a_result_that_gossip_lost_is_asked_for() -> None:
    async def body() -> None:
        async with street(2) as homes, homes.places[0].on() as operator:
            async with trio.open_nursery() as nursery:

                async def settle() -> None:
                    await trio.sleep(3)
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
            await node.wait_for_audience(topic, 1)
            await node.publish(topic, data)
            await trio.sleep(1)
            assert homes.heard == []
            assert homes.node.stats.refused.by_peer(node.peer_id) == 1

    run(body)


@pytest.mark.parametrize(("start", "current"), [(START, OPERATOR), (START + STEP, RIVAL)])
def test_only_a_result_of_the_newest_interval_names_the_collector(start: int, current: Identity) -> None:
    """An old one, asked for late, names whom the newer ones have replaced."""

    async def body() -> None:
        async with street(1) as homes, homes.places[0].on() as operator:
            await operator.wait_for_audience(1)
            with trio.move_on_after(1):
                await homes.gateway.hand_in(order(homes.genesis, "house-0", start=START + STEP))
            await operator.announce(result(homes.genesis, start, next_collector=RIVAL))
            await trio.sleep(1)
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
                await trio.sleep(2.9)
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


# --- failover and restart ---------------------------------------------------------------------------------


def test_after_a_failover_everything_is_handed_in_again_unasked() -> None:
    """The households have their receipts and only wait for the result; the first collector is gone with its book."""

    async def body() -> None:
        async with street(200) as homes, homes.places[1].on() as second:
            orders = [order(homes.genesis, household) for household in homes.roster]
            async with homes.places[0].on() as first:
                await collect(first, partial(homes.hand_in, orders))
            gone_at = trio.current_time()

            async def settle() -> None:
                collected = await second.collect(START, 60.0)
                assert list(collected.messages) == orders
                second.keep(result(homes.genesis, next_collector=RIVAL))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle)
                for household in homes.roster[:20]:
                    nursery.start_soon(homes.gateway.member(household).result, START)
            assert trio.current_time() - gone_at < 10
            assert homes.collectors.current.key == RIVAL.public_key

    run(body)


def test_orders_that_had_no_receipt_when_the_collector_died_get_one_of_the_next() -> None:
    async def body() -> None:
        async with street(30) as homes, homes.places[1].on() as second:
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.hand_in(orders))

            collected = await collect(second, say, deadline_s=60)
            assert list(collected.messages) == orders
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}

    run(body)


def test_a_gateway_that_is_restarted_says_the_same_bytes(tmp_path: Path) -> None:
    said: list[tuple[bytes, ...]] = []
    receipts: list[list[ReceiptMessage]] = []

    async def life() -> None:
        with Journal(tmp_path / "gateway.db") as journal:
            async with street(10, journal=journal) as homes, homes.network.endpoint(OPERATOR) as node:
                operator = Operator(
                    node,
                    OPERATOR,
                    homes.genesis.chain_id,
                    homes.roster,
                    {household: key_of(household).public_key for household in homes.roster},
                    MINUTES,
                )

                async def note(peer: str, frame: bytes) -> bytes:
                    said.append(decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages)
                    return await operator._take_batch(peer, frame)

                node.serve(BATCH_PROTOCOL, note)

                async def say() -> None:
                    orders = [order(homes.genesis, household) for household in homes.roster]
                    receipts.append(await homes.hand_in(orders))

                await collect(operator, say)

    run(life)
    run(life)
    assert set(said[0]) == set(said[-1])  # trio wakes the households in random order
    assert receipts[0] == receipts[1]


def test_a_restarted_gateway_signs_nothing_else_under_the_same_nonce(tmp_path: Path) -> None:
    async def life(energy_wh: int) -> None:
        with Journal(tmp_path / "gateway.db") as journal:
            async with street(1, journal=journal) as homes, homes.places[0].on() as operator:
                said = order(homes.genesis, "house-0", energy_wh=energy_wh)
                await collect(operator, partial(homes.gateway.hand_in, said))

    run(partial(life, 250))
    with pytest.raises(BaseExceptionGroup) as caught:
        run(partial(life, 251))
    assert caught.group_contains(SignedOtherwise)


def test_a_gateway_forgets_what_it_signed_long_ago(tmp_path: Path) -> None:
    """192 intervals are kept, as the collector keeps results; more would grow the journal for ever."""

    async def body() -> None:
        with Journal(tmp_path / "gateway.db") as journal:
            async with street(1, journal=journal) as homes:
                for i in (0, 192, 193):
                    said = order(homes.genesis, "house-0", start=START + i * STEP)
                    with trio.move_on_after(0):
                        await homes.gateway.hand_in(said)
            kept = journal._connection.execute("SELECT interval_start FROM signed ORDER BY 1").fetchall()
            assert [start for (start,) in kept] == [START + 192 * STEP, START + 193 * STEP]

    run(body)


# --- the collector behind it ------------------------------------------------------------------------------


def test_a_restarted_collector_keeps_the_promises_it_gave(tmp_path: Path) -> None:
    async def body() -> None:
        async with street(20) as homes:
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []
            with Journal(tmp_path / "operator.db") as homes.places[0].journal:
                async with homes.places[0].on() as operator, trio.open_nursery() as nursery:
                    nursery.start_soon(operator.collect, START, 60.0)
                    await trio.testing.wait_all_tasks_blocked()
                    receipts.extend(await homes.hand_in(orders[:12]))
                    nursery.cancel_scope.cancel()
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}
            with Journal(tmp_path / "operator.db") as homes.places[0].journal:
                async with homes.places[0].on() as operator:
                    collected = await operator.collect(START, 1.0)
            assert list(collected.messages) == orders[:12]

    run(body)


def test_a_collector_that_is_restarted_after_its_gate_closed_promises_nothing_more(tmp_path: Path) -> None:
    """Its batch may be under way without a late order; a receipt for that one would convict it."""

    async def body() -> None:
        async with street(2) as homes:
            genesis, place = homes.genesis, homes.places[0]
            with Journal(tmp_path / "operator.db") as place.journal:
                async with place.on() as operator:
                    said = partial(homes.hand_in, [order(genesis, "house-0")])
                    before = await collect(operator, said, deadline_s=2)
            with Journal(tmp_path / "operator.db") as place.journal:
                async with place.on() as operator:
                    after = await operator.collect(START, 10.0)
                    (late,) = await homes.hand_in([order(genesis, "house-1")])
            assert late.code == ReceiptCode.LATE
            assert after.signed == before.signed

    run(body)


def test_no_receipt_leaves_a_collector_that_cannot_write_it_down(tmp_path: Path) -> None:
    """Not even when the same messages come again, and there is room again: the interval is lost for this one."""

    async def body() -> None:
        async with street(2) as homes, homes.network.endpoint(STRANGER) as node:
            with Journal(tmp_path / "operator.db") as journal:
                homes.places[0].journal = journal
                async with homes.places[0].on() as operator:
                    batch = [signed(order(homes.genesis, "house-0"))]

                    async def say() -> None:
                        await trio.testing.wait_all_tasks_blocked()
                        journal._connection.execute("PRAGMA query_only=ON")
                        with pytest.raises(RequestRefused, match="handler_failed"):
                            await send_batch(node, OPERATOR_PEER, homes.genesis, batch)
                        journal._connection.execute("PRAGMA query_only=OFF")
                        with pytest.raises(RequestRefused, match="handler_failed"):
                            await send_batch(node, OPERATOR_PEER, homes.genesis, batch)
                        with pytest.raises(RequestRefused, match="handler_failed"):
                            await node.request(OPERATOR_PEER, BID_PROTOCOL, batch[0])

                    with pytest.raises(BaseExceptionGroup) as caught:
                        await collect(operator, say)
                    assert caught.group_contains(JournalDamaged)
                    assert journal.promises(0, START) == []

    run(body)


# --- limits -----------------------------------------------------------------------------------------------


def test_a_batch_holds_512_messages_and_no_more() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on(), homes.network.endpoint(STRANGER) as node:
            message = signed(order(homes.genesis, "house-0"))
            full = await send_batch(node, OPERATOR_PEER, homes.genesis, [message] * BATCH_MAX)
            assert len(full) == BATCH_MAX == 512
            with pytest.raises(RequestRefused, match="out_of_range"):
                await send_batch(node, OPERATOR_PEER, homes.genesis, [message] * (BATCH_MAX + 1))

    run(body)


def test_an_empty_batch_is_answered_with_an_empty_reply() -> None:
    async def body() -> None:
        async with street(1) as homes, homes.places[0].on(), homes.network.endpoint(STRANGER) as node:
            assert await send_batch(node, OPERATOR_PEER, homes.genesis, []) == ()

    run(body)


def test_a_gateway_of_600_households_stays_below_its_limit_a_frame() -> None:
    sizes: list[int] = []

    async def body() -> None:
        async with street(600) as homes, homes.network.endpoint(OPERATOR) as node:
            keys: Mapping[str, bytes] = {name: key_of(name).public_key for name in homes.roster}
            operator = Operator(node, OPERATOR, homes.genesis.chain_id, homes.roster, keys, MINUTES)

            async def note(peer: str, frame: bytes) -> bytes:
                sizes.append(len(decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages))
                return await operator._take_batch(peer, frame)

            node.serve(BATCH_PROTOCOL, note)
            orders = [order(homes.genesis, household) for household in homes.roster]
            collected = await collect(operator, partial(homes.hand_in, orders))
            assert len(collected.messages) == 600

    run(body)
    assert max(sizes) <= MESSAGES_MAX


def test_the_largest_batches_fit_into_a_frame() -> None:
    """Longest ids and numbers; a collector takes twice what a gateway sends, and must be able to answer that."""
    genesis = keyed_genesis(1)
    household, far = "h" * 64, 2**36 // STEP * STEP
    largest = order(genesis, household, nonce=2**63 - 1, start=far, energy_wh=1_000_000)
    message = sign_message(key_of(household), largest)
    receipt = sign_message(
        OPERATOR, ReceiptMessage(VERSION, genesis.chain_id, far, household, bytes(32), ReceiptCode.REFUSED)
    )
    assert len(encode(HandIn(VERSION, genesis.chain_id, (message,) * BATCH_MAX))) <= FRAME_MAX_BYTES
    assert len(encode(HandInReply((receipt,) * BATCH_MAX))) <= FRAME_MAX_BYTES
    assert len(encode(HandInReply((bytes(3_500),) * LINES_MAX))) <= FRAME_MAX_BYTES


# --- floods -----------------------------------------------------------------------------------------------


def test_a_household_is_answered_before_a_full_batch_that_came_first() -> None:
    """The collector breathes between signatures: one frame of 512 messages does not hold the others up."""
    answered: list[str] = []

    async def body() -> None:
        async with (
            street(2) as homes,
            homes.places[0].on(),
            homes.network.endpoint(STRANGER) as flooder,
            homes.network.endpoint(key_of("house-1")) as home,
        ):
            batch = [signed(order(homes.genesis, "house-0", nonce)) for nonce in range(BATCH_MAX)]

            async def flood() -> None:
                await send_batch(flooder, OPERATOR_PEER, homes.genesis, batch)
                answered.append("flooder")

            async def speak() -> None:
                await home.request(OPERATOR_PEER, BID_PROTOCOL, signed(order(homes.genesis, "house-1")))
                answered.append("home")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                for _ in range(8):
                    await trio.lowlevel.checkpoint()
                nursery.start_soon(speak)

    run(body)
    assert answered == ["home", "flooder"]


def test_a_flood_of_full_batches_does_not_keep_a_gateway_from_being_served() -> None:
    async def body() -> None:
        faults = Faults(seed=1, delay_min_s=0.005, delay_max_s=0.01)
        async with (
            street(20, carried=names(20)[1:], faults=faults) as homes,
            homes.places[0].on() as operator,
            homes.network.endpoint(STRANGER) as flooder,
        ):
            genesis = homes.genesis
            batch = [signed(order(genesis, "house-0", nonce)) for nonce in range(BATCH_MAX)]

            async def flood() -> None:
                while True:
                    await send_batch(flooder, OPERATOR_PEER, genesis, batch)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(operator.collect, START, 30.0)
                nursery.start_soon(flood)
                await trio.sleep(0.1)
                begun = trio.current_time()
                receipts = await homes.hand_in([order(genesis, household) for household in names(20)[1:]])
                assert trio.current_time() - begun < 0.5
                nursery.cancel_scope.cancel()
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}

    run(body)
