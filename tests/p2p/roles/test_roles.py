"""Operator and households over the in-memory network, on a clock that jumps."""

from __future__ import annotations

import struct
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.errors import InvalidMessage, WrongSignature
from p2p.roles.collector.intake import Collected, CollectionOrder
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import BID_PROTOCOL, LINE_PROTOCOL, ask, result_topic
from p2p.roles.household import NotAcknowledged, NotJoined
from p2p.transports.base import RequestRefused
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.identity import Identity
from p2p.wire.messages import (
    VERSION,
    Kind,
    NothingMessage,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    message_id,
    open_message,
    sign_message,
)
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
    result,
    street,
)
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

        async def early() -> None:
            receipts.append(await homes.households["h1"].submit(order("h1")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(early)
            await time_passes(3)
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
                receipt = homes.households["h1"]._open(data, Kind.RECEIPT)
                codes.append(receipt.code)

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


def test_intervals_are_collected_one_at_a_time_and_forward_only() -> None:
    async def body(homes: Street) -> None:
        async def too_soon() -> None:
            with pytest.raises(CollectionOrder, match="still open"):
                await homes.operator.collect(T0 + STEP, 1.0)

        await homes.collect(too_soon)
        for start in (T0, T0 - STEP):
            with pytest.raises(CollectionOrder, match="never goes back"):
                await homes.operator.collect(start, 1.0)
        assert (await homes.operator.collect(T0 + STEP, 1.0)).absent == ROSTER

    on_street(body)


def test_readings_are_collected_beside_the_orders_of_the_next_interval() -> None:
    async def body(homes: Street) -> None:
        receipts = []

        async def say(name: str) -> None:
            receipts.append((await homes.households[name].send_reading(reading(name))).code)
            receipts.append((await homes.households[name].submit(order(name, start=T0 + STEP))).code)

        async def meter() -> None:
            collected = await homes.operator.collect_readings(T0, 10.0)
            assert collected.messages == tuple(map(reading, ROSTER))

        await homes.collect(meter, *[lambda name=name: say(name) for name in ROSTER], start=T0 + STEP)
        assert receipts == [ReceiptCode.ACCEPTED] * 6

    on_street(body)


def test_an_operator_needs_the_key_of_every_household() -> None:
    async def main() -> None:
        async with MemoryNetwork().endpoint(OPERATOR) as node:
            with pytest.raises(ValueError, match="no public key for h2, h3"):
                Operator(node, OPERATOR, CHAIN, ROSTER, {"h1": key_of("h1").public_key}, MINUTES)

    trio.run(main)


def test_results_reach_everybody_once_and_in_order() -> None:
    async def body(homes: Street) -> None:
        streams = [home.results() for home in homes.households.values()]
        for height in range(3):
            await homes.operator.announce(result(T0 + height * STEP, height))
        await homes.operator.announce(result(T0, 0))
        await homes.operator.announce(result(T0 + 3 * STEP, 3))
        for stream in streams:
            assert [(await anext(stream)).height for _ in range(4)] == [0, 1, 2, 3]

    on_street(body)


def test_results_that_gossip_lost_are_asked_for() -> None:
    async def body(homes: Street) -> None:
        for height in range(30):
            if height != 7:  # an interval that was skipped
                await homes.operator.announce(result(T0 + height * STEP, height))
        expected = [height for height in range(30) if height != 7]
        for home in homes.households.values():
            heard = []
            with trio.move_on_after(100):
                async for message in home.results(first=T0):
                    heard.append(message.height)
            assert heard == expected[: len(heard)]
            assert len(heard) > 15
            assert (await home.result(T0 + 29 * STEP)).height == 29
        assert sum(node.stats.gossip_received for node in homes.nodes.values()) < 75

    on_street(body, Faults(seed=3, loss=0.3))


def test_a_forged_result_is_dropped_counted_and_the_next_one_heard() -> None:
    async def body(homes: Street) -> None:
        async with homes.network.endpoint(STRANGER) as stranger:
            stream = homes.households["h1"].results()
            await stranger.publish(result_topic(CHAIN), sign_message(STRANGER, result(height=66)))
            await stranger.publish(result_topic(CHAIN), b"garbage")
            await homes.operator.announce(result(height=1))
            assert (await anext(stream)).height == 1
            refused = homes.households["h1"].refused.counts
            assert refused == {(stranger.peer_id, "wrong_signature"): 1, (stranger.peer_id, "malformed"): 1}

    on_street(body)


def test_a_household_gets_its_own_line_and_no_other() -> None:
    async def body(homes: Street) -> None:
        lines = []

        async def wait_for_line() -> None:
            lines.append(await homes.households["h2"].line(T0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_line)
            await time_passes(2)
            homes.operator.provide_lines(T0, {name: name.encode() for name in ROSTER})
        assert lines == [b"h2"]
        async with homes.network.endpoint(STRANGER) as stranger:
            with pytest.raises(RequestRefused, match="unknown_household"):
                await stranger.request(homes.operator_node.peer_id, LINE_PROTOCOL, ask(CHAIN, T0))
            with pytest.raises(RequestRefused, match="wrong_chain"):
                await homes.nodes["h1"].request(
                    homes.operator_node.peer_id, LINE_PROTOCOL, ask(b"d" * 32, T0)
                )

    on_street(body)


def test_lines_older_than_the_history_are_said_to_be_forgotten() -> None:
    async def body(homes: Street) -> None:
        for number in range(200):
            homes.operator.provide_lines(T0 + number * STEP, {"h1": b"%d" % number})
        assert await homes.households["h1"].line(T0 + 199 * STEP) == b"199"
        assert await homes.households["h1"].line(T0 + 8 * STEP) == b"8"
        with pytest.raises(RequestRefused, match="forgotten"):
            await homes.households["h1"].line(T0 + 7 * STEP)
        with pytest.raises(RequestRefused, match="forgotten"):
            await homes.households["h2"].line(T0 + 199 * STEP)

    on_street(body)


def test_an_operator_that_is_away_for_a_while_is_waited_for() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        keys = {name: key_of(name).public_key for name in ROSTER}
        async with network.endpoint(key_of("h1")) as node:
            address = "/memory/p2p/" + (await peer_of_operator(network))
            one = home_at(node, "h1", address)
            receipts: list[ReceiptMessage] = []

            async def say() -> None:
                await one.join()
                receipts.append(await one.submit(order("h1")))
                receipts.append(await one.submit(order("h1", start=T0 + STEP)))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                for start in (T0, T0 + STEP):
                    await time_passes(5)
                    async with network.endpoint(OPERATOR) as operator_node:
                        operator = Operator(operator_node, OPERATOR, CHAIN, ROSTER, keys, MINUTES)
                        assert (await operator.collect(start, 4.0)).messages == (order("h1", start=start),)
            assert [receipt.code for receipt in receipts] == [ReceiptCode.ACCEPTED] * 2

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def peer_of_operator(network: MemoryNetwork) -> str:
    async with network.endpoint(OPERATOR) as node:
        return node.peer_id


def test_a_household_gives_up_when_its_patience_ends_and_says_why() -> None:
    async def body(homes: Street) -> None:
        begun = trio.current_time()
        with pytest.raises(NotAcknowledged, match=r"h1, OrderMessage of .* within 5 s; last: not yet"):
            await homes.households["h1"].submit(order("h1"), patience_s=5.0)
        assert trio.current_time() - begun == 5.0

    on_street(body)


def test_a_receipt_by_another_key_is_not_believed() -> None:
    async def body(homes: Street) -> None:
        async def lie(peer: str, frame: bytes) -> bytes:
            name = message_id(order("h1"))
            return sign_message(
                STRANGER, ReceiptMessage(VERSION, CHAIN, T0, "h1", name, ReceiptCode.ACCEPTED)
            )

        homes.operator_node.serve(BID_PROTOCOL, lie)
        with pytest.raises(WrongSignature):
            await homes.households["h1"].submit(order("h1"))

    on_street(body)


def test_a_household_speaks_only_for_itself_and_only_after_joining() -> None:
    async def body(homes: Street) -> None:
        with pytest.raises(InvalidMessage, match="'h2'; this is home 'h1'"):
            await homes.households["h1"].submit(order("h2"))
        alone = home_at(homes.nodes["h1"], "h1", "nowhere")
        with pytest.raises(NotJoined):
            await alone.submit(order("h1"))

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
                open_message(data, chain_id=CHAIN, kinds=(1,), household_keys=homes.operator._keys)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
