"""Operator and households over the in-memory network, on a clock that jumps."""

from __future__ import annotations

import struct
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.roles.collector.intake import Collected
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import (
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    READING_PROTOCOL,
    HandInReply,
)
from p2p.transports.base import RequestRefused
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    NothingMessage,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    open_message,
    sign_message,
)
from tests.kits.keys_kit import home_keys
from tests.kits.roles_kit import (
    CHAIN,
    MINUTES,
    OPERATOR,
    ROSTER,
    STEP,
    T0,
    Street,
    home_at,
    key_of,
    nothing,
    on_street,
    order,
    reading,
    receipt_in,
    street,
)
from tests.kits.settled_kit import OpenGates
from tests.kits.time_kit import time_passes


def test_the_gate_closes_when_everybody_has_spoken_and_lists_orders_in_roster_order() -> None:
    async def body(homes: Street) -> None:
        begun = trio.current_time()
        messages = [order("h3"), nothing("h2"), order("h1", side=-1)]
        says = [lambda m=m: homes.households[m.household].submit(m) for m in messages]
        collected = await homes.collect(*says)
        assert trio.current_time() == begun
        assert collected.messages == (order("h1", side=-1), order("h3"))
        assert collected.signed == tuple(
            sign_message(key_of(m.household), m) for m in sorted(messages, key=lambda m: m.household)
        )
        assert (collected.nothing, collected.absent, collected.refused) == (("h2",), (), {})

    on_street(body)


def test_the_gate_closes_at_the_deadline_and_names_the_silent() -> None:
    async def body(homes: Street) -> None:
        begun = trio.current_time()
        collected = await homes.collect(lambda: homes.households["h2"].submit(order("h2")))
        assert trio.current_time() - begun == 10.0
        assert (collected.messages, collected.absent) == ((order("h2"),), ("h1", "h3"))

    on_street(body)


def test_a_receipt_names_the_order_it_accepts() -> None:
    async def body(homes: Street) -> None:
        receipts = []

        async def say() -> None:
            receipts.append(await homes.households["h1"].submit(order("h1")))

        await homes.collect(say)
        name = message_id(order("h1"))
        assert receipts == [ReceiptMessage(VERSION, CHAIN, T0, "h1", name, ReceiptCode.ACCEPTED)]

    on_street(body)


def test_a_late_order_is_refused_by_receipt_counted_and_changes_nothing() -> None:
    async def body(homes: Street) -> None:
        collected = await homes.collect()
        receipt = await homes.households["h1"].submit(order("h1"))
        assert receipt.code == ReceiptCode.LATE
        assert collected.absent == ROSTER
        assert homes.operator.refused.counts == {(homes.nodes["h1"].peer_id, "late"): 1}
        homes.gates.ended.add((T0 - STEP, 0))
        skipped = await homes.households["h1"].submit(order("h1", start=T0 - STEP))
        assert skipped.code == ReceiptCode.LATE

    on_street(body)


def test_an_accepted_order_that_is_sent_again_after_the_gate_closed_gets_the_same_receipt() -> None:
    async def body(homes: Street) -> None:
        node, signed = homes.nodes["h1"], sign_message(key_of("h1"), order("h1"))
        receipts = []

        async def say() -> None:
            for _ in range(2):
                receipts.append(await node.request(homes.operator_node.peer_id, BID_PROTOCOL, signed))

        await homes.collect(say)
        receipts.append(await node.request(homes.operator_node.peer_id, BID_PROTOCOL, signed))
        assert receipts[0] == receipts[1] == receipts[2]
        assert homes.operator.refused.counts == {}

    on_street(body)


def test_an_early_order_waits_for_its_gate() -> None:
    async def body(homes: Street) -> None:
        receipts = []
        homes.gates.early.add((T0, 0))

        async def early() -> None:
            receipts.append(await homes.households["h1"].submit(order("h1")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(early)
            await time_passes(3)
            assert receipts == []
            homes.gates.early.clear()
            collected = await homes.operator.collect(T0, 10.0)
        assert [receipt.code for receipt in receipts] == [ReceiptCode.ACCEPTED]
        assert collected.messages == (order("h1"),)
        assert homes.operator.refused.counts == {}

    on_street(body)


@pytest.mark.parametrize(
    ("second", "code", "kept"),
    [
        (order("h1", nonce=2, energy_wh=999), ReceiptCode.REPLACED, 999),
        (nothing("h1", nonce=2), ReceiptCode.REPLACED, None),
        (order("h1", nonce=1, energy_wh=999), ReceiptCode.DUPLICATE, 250),
        (order("h1", nonce=0, energy_wh=999), ReceiptCode.STALE_NONCE, 250),
    ],
    ids=["higher nonce", "withdrawn", "same nonce", "lower nonce"],
)
def test_a_second_message_replaces_the_first_only_with_a_higher_nonce(
    second: OrderMessage | NothingMessage, code: ReceiptCode, kept: int | None
) -> None:
    """By raw frames: a household of ours refuses to sign two messages under one nonce."""

    async def body(homes: Street) -> None:
        codes = []

        async def say() -> None:
            node, operator = homes.nodes["h1"], homes.operator_node.peer_id
            for message in (order("h1"), second):
                data = await node.request(operator, BID_PROTOCOL, sign_message(key_of("h1"), message))
                codes.append(receipt_in(data, "h1").code)

        collected = await homes.collect(say)
        assert codes == [ReceiptCode.ACCEPTED, code]
        assert [message.orders[0].energy_wh for message in collected.messages] == (
            [] if kept is None else [kept]
        )

    on_street(body)


def test_a_second_replacement_is_refused() -> None:
    async def body(homes: Street) -> None:
        codes = []

        async def say() -> None:
            for nonce in (1, 2, 3):
                codes.append((await homes.households["h1"].submit(order("h1", nonce=nonce))).code)

        collected = await homes.collect(say)
        assert codes == [ReceiptCode.ACCEPTED, ReceiptCode.REPLACED, ReceiptCode.REFUSED]
        assert collected.messages == (order("h1", nonce=2),)

    on_street(body)


def signed_by(identity: Identity, message: OrderMessage) -> bytes:
    return sign_message(identity, message)


STRANGER = Identity.from_seed(b"x" * 32)
BAD_FRAMES = {
    "wrong_signature": signed_by(STRANGER, order("h1")),
    "unknown_household": signed_by(STRANGER, order("h9")),
    "wrong_chain": signed_by(key_of("h1"), order("h1", chain_id=b"d" * 32)),
    "out_of_range": signed_by(key_of("h1"), order("h1", minutes=5)),
    "wrong_kind": sign_message(key_of("h1"), reading("h1")),
    "wrong_version": signed_by(key_of("h1"), order("h1", version=1)),
    "malformed": b"\x00garbage\xff",
    "too_large": bytes(4097),
    "non_canonical": signed_by(key_of("h1"), order("h1")).replace(b"\x94\x01", b"\x94\xcc\x01", 1),
}


@pytest.mark.parametrize("code", BAD_FRAMES)
def test_a_bad_message_is_answered_with_its_code_counted_named_and_disturbs_nobody(code: str) -> None:
    async def body(homes: Street) -> None:
        async with homes.network.endpoint(STRANGER) as stranger:
            await stranger.connect(homes.operator_node.address)

            async def attack() -> None:
                for _ in range(3):
                    with pytest.raises(RequestRefused) as refusal:
                        await stranger.request(homes.operator_node.peer_id, BID_PROTOCOL, BAD_FRAMES[code])
                    assert refusal.value.code == code

            says = [lambda m=m: homes.households[m.household].submit(m) for m in map(order, ROSTER)]
            await attack()
            collected = await homes.collect(attack, *says)
            assert collected.messages == tuple(map(order, ROSTER))
            assert collected.refused.keys() <= {(stranger.peer_id, code)}
            assert homes.operator.refused.counts == {(stranger.peer_id, code): 6}
            peer, named, detail = homes.operator.refused.recent[-1]
            assert (peer, named) == (stranger.peer_id, code)
            assert detail

    on_street(body)


def test_a_frame_that_is_too_large_is_counted_and_disturbs_nobody() -> None:
    async def body(homes: Street) -> None:
        async with homes.network.endpoint(STRANGER) as stranger:
            stream = await stranger._open(homes.operator_node.peer_id, BID_PROTOCOL)
            await stream.send(struct.pack(">IIB", FRAME_MAX_BYTES + 6, 1, 0) + bytes(1000))
            collected = await homes.collect(
                *[lambda m=m: homes.households[m.household].submit(m) for m in map(order, ROSTER)]
            )
            assert collected.absent == ()
            assert homes.operator.refused.counts == {(stranger.peer_id, "too_large"): 1}

    on_street(body)


def test_an_order_may_come_through_somebody_elses_connection() -> None:
    """The signature is inside, so that a gateway can carry the orders of many homes."""

    async def body(homes: Street) -> None:
        gateway, operator = homes.nodes["h1"], homes.operator_node.peer_id

        async def carry() -> None:
            for message in map(order, ROSTER):
                await gateway.request(
                    operator, BID_PROTOCOL, sign_message(key_of(message.household), message)
                )

        collected = await homes.collect(carry)
        assert collected.messages == tuple(map(order, ROSTER))

    on_street(body)


def test_a_gate_that_has_closed_gives_the_same_again_at_once_and_takes_nothing() -> None:
    async def body(homes: Street) -> None:
        before = await homes.collect(lambda: homes.households["h1"].submit(order("h1")))
        begun = trio.current_time()
        assert (await homes.households["h2"].submit(order("h2"))).code == ReceiptCode.LATE
        again = await homes.operator.collect(T0, 10.0)
        assert trio.current_time() == begun
        assert (again.signed, again.absent) == (before.signed, ("h2", "h3"))

    on_street(body)


def test_readings_are_collected_beside_the_orders_of_the_next_interval() -> None:
    async def body(homes: Street) -> None:
        receipts = []

        async def say(name: str) -> None:
            receipts.append((await homes.households[name].submit(reading(name))).code)
            receipts.append((await homes.households[name].submit(order(name, start=T0 + STEP))).code)

        async def meter() -> None:
            collected = await homes.operator.collect_readings(T0, 10.0)
            assert collected.messages == tuple(map(reading, ROSTER))

        await homes.collect(meter, *[lambda name=name: say(name) for name in ROSTER], start=T0 + STEP)
        assert receipts == [ReceiptCode.ACCEPTED] * 6

    on_street(body)


def test_an_operator_that_is_away_for_a_while_is_waited_for() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        keys = {name: key_of(name).public_key for name in ROSTER}
        async with network.endpoint(key_of("h1")) as node:
            address = "/memory/p2p/" + (await peer_of_operator(network))
            one = home_at(node, "h1", address)
            receipts: list[ReceiptMessage] = []
            gates = OpenGates(early={(T0, 0), (T0 + STEP, 0)})

            async def say() -> None:
                receipts.append(await one.submit(order("h1")))
                receipts.append(await one.submit(order("h1", start=T0 + STEP)))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.gateway.run)
                nursery.start_soon(say)
                for start in (T0, T0 + STEP):
                    await time_passes(5)
                    async with network.endpoint(OPERATOR) as operator_node:
                        operator = Operator(
                            operator_node, OPERATOR, CHAIN, ROSTER, home_keys(keys), MINUTES, gates
                        )
                        gates.early.remove((start, 0))
                        assert (await operator.collect(start, 4.0)).messages == (order("h1", start=start),)
                nursery.cancel_scope.cancel()
            assert [receipt.code for receipt in receipts] == [ReceiptCode.ACCEPTED] * 2

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def peer_of_operator(network: MemoryNetwork) -> str:
    async with network.endpoint(OPERATOR) as node:
        return node.peer_id


def test_a_receipt_by_another_key_is_counted_and_the_collector_asked_again() -> None:
    async def body(homes: Street) -> None:
        name, take = message_id(order("h1")), homes.operator._take_batch

        async def forge(peer: str, frame: bytes) -> bytes:
            if trio.current_time() >= 3:
                return await take(peer, frame)
            forged = ReceiptMessage(VERSION, CHAIN, T0, "h1", name, ReceiptCode.ACCEPTED)
            return encode(HandInReply((sign_message(STRANGER, forged),)))

        homes.operator_node.serve(BATCH_PROTOCOL, forge)
        receipt = await homes.households["h1"].submit(order("h1"))
        assert trio.current_time() >= 3
        assert receipt.code == ReceiptCode.ACCEPTED
        assert homes.nodes["h1"].stats.refused.total("wrong_signature") >= 2
        given = homes.households["h1"].promises(T0, 0)
        assert [receipt_in(promise.receipt, "h1") for promise in given.values()] == [receipt]
        assert given.keys() == {OPERATOR.public_key}

    on_street(body)


def test_a_household_speaks_only_for_itself() -> None:
    async def body(homes: Street) -> None:
        with pytest.raises(KeyError, match="h2"):
            await homes.households["h1"].submit(order("h2"))

    on_street(body)


def test_a_home_with_its_own_key_on_the_connection_gives_readings_singly() -> None:
    """For peers with another program: the messages of our own go in batches."""

    async def body(homes: Street) -> None:
        node, operator = homes.nodes["h1"], homes.operator_node.peer_id
        data = await node.request(operator, READING_PROTOCOL, sign_message(key_of("h1"), reading("h1")))
        assert receipt_in(data, "h1").message_id == message_id(reading("h1"))
        with pytest.raises(RequestRefused, match="wrong_kind"):
            await node.request(operator, READING_PROTOCOL, sign_message(key_of("h1"), order("h1")))
        collected = await homes.operator.collect_readings(T0, 0.1)
        assert collected.messages == (reading("h1"),)

    on_street(body)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_collected_does_not_depend_on_the_order_of_arrival(seed: int) -> None:
    """Delays, losses, repetitions and the order of starting differ; the book is the same, byte for byte."""
    roster = tuple(f"h{number}" for number in range(8))
    expected = tuple(sign_message(key_of(name), order(name, nonce=2)) for name in roster)

    async def main() -> None:
        rough = Faults(seed, delay_max_s=0.4, loss=0.1, duplication=0.1)
        async with street(roster, rough) as homes:

            async def say(name: str) -> None:
                await homes.households[name].submit(order(name, nonce=1))
                await homes.households[name].submit(order(name, nonce=2))

            names = list(roster)
            Random(seed).shuffle(names)
            collected: list[Collected[OrderMessage]] = []

            async def gate() -> None:
                collected.append(await homes.operator.collect(T0, 25.0))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(gate)
                for name in names[1:]:
                    nursery.start_soon(say, name)
                await time_passes(15)  # the gate closes with the last first word, so one waits for the others
                await homes.households[names[0]].submit(order(names[0], nonce=2))
            assert collected[0].signed == expected
            for data in collected[0].signed:
                open_message(data, chain_id=CHAIN, kinds=(1,), key_of=homes.operator._keys.key_of)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
