"""A gateway whose collector fails, or that is started again; its limits, and floods."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from market.orders import MAX_ORDERS
from p2p.roles.exchange.journal import Journal, JournalDamaged, SignedOtherwise
from p2p.roles.exchange.wire import BATCH_MAX, BATCH_PROTOCOL, BID_PROTOCOL, HandIn, HandInReply
from p2p.roles.household.carrier import LINES_MAX
from p2p.roles.household.frames import MESSAGES_MAX
from p2p.roles.household.member import Member
from p2p.transports.base import RequestRefused, peer_id_of
from p2p.transports.memory import Faults
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import VERSION, ReceiptCode, ReceiptMessage, message_id, order_line, sign_message
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import collect, operator_on, run, send_batch, street
from tests.kits.settled_kit import proof_of
from tests.kits.signed_kit import RIVAL, key_of, keyed_genesis, names, order, signed
from tests.kits.time_kit import time_passes

OPERATOR_PEER = peer_id_of(OPERATOR.public_key)
STRANGER = identity("stranger", "0")


# --- failover and restart ---------------------------------------------------------------------------------


def test_after_a_failover_everything_is_submitted_again_unasked() -> None:
    """The households have their receipts and only wait for the result; the first collector is gone with its book."""

    async def body() -> None:
        async with street(200) as homes, homes.places[1].on() as second:
            orders = [order(homes.genesis, household) for household in homes.roster]
            async with homes.places[0].on() as first:
                await collect(first, partial(homes.submit, orders))
            gone_at = trio.current_time()

            async def settle() -> None:
                collected = await second.collect(START, 60.0)
                assert list(collected.messages) == orders
                second.answers.provide_result(START, proof_of(homes.genesis, next_collector=RIVAL))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle)
                for household in homes.roster[:20]:
                    nursery.start_soon(Member(homes.gateway, household).result, START)
            assert trio.current_time() - gone_at < 10
            assert homes.collectors.current.key == RIVAL.public_key

    run(body)


def test_orders_that_had_no_receipt_when_the_collector_died_get_one_of_the_next() -> None:
    async def body() -> None:
        async with street(30) as homes, homes.places[1].on() as second:
            orders = [order(homes.genesis, household) for household in homes.roster]
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.submit(orders))

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
                operator = operator_on(node, homes.genesis)

                async def note(peer: str, frame: bytes) -> bytes:
                    said.append(decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages)
                    return await operator._take_batch(peer, frame)

                node.serve(BATCH_PROTOCOL, note)

                async def say() -> None:
                    orders = [order(homes.genesis, household) for household in homes.roster]
                    receipts.append(await homes.submit(orders))

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
                await collect(operator, partial(homes.gateway.submit, said))

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
                        await homes.gateway.submit(said)
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
                    receipts.extend(await homes.submit(orders[:12]))
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
                    said = partial(homes.submit, [order(genesis, "house-0")])
                    before = await collect(operator, said, deadline_s=2)
            with Journal(tmp_path / "operator.db") as place.journal:
                async with place.on() as operator:
                    after = await operator.collect(START, 10.0)
                    (late,) = await homes.submit([order(genesis, "house-1")])
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
                    assert journal.promises(START, 0) == []

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
            operator = operator_on(node, homes.genesis)

            async def note(peer: str, frame: bytes) -> bytes:
                sizes.append(len(decode(HandIn, frame, max_bytes=FRAME_MAX_BYTES).messages))
                return await operator._take_batch(peer, frame)

            node.serve(BATCH_PROTOCOL, note)
            orders = [order(homes.genesis, household) for household in homes.roster]
            collected = await collect(operator, partial(homes.submit, orders))
            assert len(collected.messages) == 600

    run(body)
    assert max(sizes) <= MESSAGES_MAX


def test_homes_with_as_many_orders_as_a_message_takes_are_carried_in_more_frames() -> None:
    """256 such messages are longer than a frame."""
    steps = tuple(order_line(1, 10_000 + i, 900_000_000 - i, 900_000) for i in range(MAX_ORDERS))
    sizes: list[int] = []

    async def body() -> None:
        async with street(MESSAGES_MAX) as homes, homes.network.endpoint(OPERATOR) as node:
            operator = operator_on(node, homes.genesis)

            async def note(peer: str, frame: bytes) -> bytes:
                sizes.append(len(frame))
                return await operator._take_batch(peer, frame)

            node.serve(BATCH_PROTOCOL, note)
            orders = [replace(order(homes.genesis, household), orders=steps) for household in homes.roster]
            assert sum(len(signed(message)) for message in orders) > FRAME_MAX_BYTES
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                receipts.extend(await homes.submit(orders))

            collected = await collect(operator, say)
            assert [receipt.message_id for receipt in receipts] == [message_id(message) for message in orders]
            assert collected.messages == tuple(orders)

    run(body)
    assert max(sizes) <= FRAME_MAX_BYTES
    assert len(sizes) == 2


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
                await time_passes(0.1)
                begun = trio.current_time()
                receipts = await homes.submit([order(genesis, household) for household in names(20)[1:]])
                assert trio.current_time() - begun < 0.5
                nursery.cancel_scope.cancel()
            assert {r.code for r in receipts} == {ReceiptCode.ACCEPTED}

    run(body)
