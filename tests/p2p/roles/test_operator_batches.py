"""Batches at the collector: the same as one message after the other, written once, and bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.batches.blob import make_blob, open_blob
from p2p.blocks.members import ALWAYS
from p2p.roles.collector.intake import HISTORY_INTERVALS
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.exchange.wire import (
    BATCH_MAX,
    BATCH_PROTOCOL,
    BID_PROTOCOL,
    LINES_PROTOCOL,
    READING_PROTOCOL,
    HandIn,
)
from p2p.transports.base import Endpoint, RequestRefused, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import encode
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    LineQueryMessage,
    ReadingMessage,
    ReceiptCode,
    sign_message,
)
from tests.kits import gateway_kit
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import collect, receipt_in, run, send_batch
from tests.kits.keys_kit import home_keys
from tests.kits.sample_kit import some
from tests.kits.settled_kit import OpenGates
from tests.kits.signed_kit import (
    MINUTES,
    homes,
    key_of,
    keyed_genesis,
    names,
    nothing,
    order,
    reading,
    signed,
)

MEMBERS = 3
GENESIS = keyed_genesis(MEMBERS)
ROSTER = names(MEMBERS)
KEYS = homes(len(ROSTER)).by_id
PEER = peer_id_of(OPERATOR.public_key)
SENDER = identity("sender", "0")


def operator_on(node: Endpoint, journal: Journal | None = None) -> Operator:
    return gateway_kit.operator_on(node, GENESIS, journal=journal)


async def receive(batches: list[list[HandedIn]], *, singly: bool) -> tuple[list[bytes], object, object]:
    """Hand messages in while both gates of START are open; return receipts, orders and readings."""
    network, entries = MemoryNetwork(Faults()), []
    async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
        operator = operator_on(node)
        closed: dict[str, object] = {}

        async def orders() -> None:
            closed["orders"] = await operator.collect(START, 1.0)

        async def readings() -> None:
            closed["readings"] = await operator.collect_readings(START, 1.0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(orders)
            nursery.start_soon(readings)
            await trio.testing.wait_all_tasks_blocked()
            for batch in batches:
                if not singly:
                    entries += await send_batch(sender, PEER, GENESIS, [signed(m) for m in batch])
                    continue
                for message in batch:
                    way = READING_PROTOCOL if isinstance(message, ReadingMessage) else BID_PROTOCOL
                    entries.append(await sender.request(PEER, way, signed(message)))
    return entries, closed["orders"].signed, closed["readings"].signed  # type: ignore[attr-defined]


messages = st.builds(
    lambda make, household, nonce, later: make(GENESIS, household, nonce, START + later * STEP),
    st.sampled_from([order, nothing, reading]),
    st.sampled_from(ROSTER[:2]),  # the third is silent, so that the gates stay open
    st.integers(0, 3),
    st.sampled_from([0, 0, 0, 1, -1]),
)


@settings(max_examples=some(40, 13), deadline=None)
@given(st.lists(st.lists(messages, max_size=6), max_size=3))
def test_a_batch_gets_the_receipts_that_its_messages_would_get_one_by_one(
    batches: list[list[HandedIn]],
) -> None:
    async def body() -> None:
        assert await receive(batches, singly=False) == await receive(batches, singly=True)

    run(body)


def test_a_message_that_occurs_twice_in_a_batch_gets_the_same_receipt_twice() -> None:
    async def body() -> None:
        message = order(GENESIS, "house-0")
        entries, signed_orders, _ = await receive([[message, message]], singly=False)
        assert entries[0] == entries[1]
        assert receipt_in(entries[0], GENESIS, "house-0").code == ReceiptCode.ACCEPTED
        assert signed_orders == (signed(message),)

    run(body)


def test_both_messages_of_a_household_in_one_batch_are_classified_in_their_order() -> None:
    async def body() -> None:
        first, second = order(GENESIS, "house-0", 1), order(GENESIS, "house-0", 2)
        entries, signed_orders, _ = await receive([[first, second]], singly=False)
        codes = [receipt_in(entry, GENESIS, "house-0").code for entry in entries]
        assert codes == [ReceiptCode.ACCEPTED, ReceiptCode.REPLACED]
        assert signed_orders == (signed(second),)

    run(body)


def test_the_promises_of_a_batch_are_one_commit_a_slot(tmp_path: Path) -> None:
    statements: list[str] = []

    async def body() -> None:
        network = MemoryNetwork(Faults())
        with Journal(tmp_path / "journal.db") as journal:
            async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
                operator = operator_on(node, journal)

                async def say() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    journal._connection.set_trace_callback(statements.append)
                    await send_batch(
                        sender, PEER, GENESIS, [signed(order(GENESIS, name)) for name in ROSTER[:2]]
                    )
                    journal._connection.set_trace_callback(None)
                    assert len(journal.promises(START, 0)) == 2

                await collect(operator, say, deadline_s=1.0)

    run(body)
    assert statements.count("COMMIT") == 1


def test_what_promises_nothing_writes_nothing(tmp_path: Path) -> None:
    statements: list[str] = []

    async def body() -> None:
        network = MemoryNetwork(Faults())
        with Journal(tmp_path / "journal.db") as journal:
            async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
                gates = OpenGates(early={(START, 0)})
                gateway_kit.operator_on(node, GENESIS, OPERATOR, gates, journal)
                journal._connection.set_trace_callback(statements.append)
                await send_batch(sender, PEER, GENESIS, [signed(order(GENESIS, "house-0"))])
                journal._connection.set_trace_callback(None)

    run(body)
    assert not [statement for statement in statements if statement.startswith(("INSERT", "COMMIT"))]


def test_a_batch_that_is_cut_short_promises_nothing() -> None:
    """A handler that takes too long is cancelled; nothing of its batch may stay behind without a receipt."""

    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node:
            operator = operator_on(node)
            frame = encode(HandIn(VERSION, GENESIS.chain_id, (signed(order(GENESIS, "house-0")),) * 64))

            async def say() -> None:
                await trio.testing.wait_all_tasks_blocked()
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(operator._take_batch, "peer", frame)
                        await trio.lowlevel.checkpoint()
                        await trio.lowlevel.checkpoint()
                        scope.cancel()

            collected = await collect(operator, say, deadline_s=1.0)
            assert collected.signed == ()
            assert collected.absent == ROSTER

    run(body)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "malformed"),
        (b"\x93\x01", "malformed"),
        (encode(HandIn(1, GENESIS.chain_id, ())), "wrong_version"),
        (encode(HandIn(VERSION, b"x" * 32, ())), "wrong_chain"),
        (encode(HandIn(VERSION, GENESIS.chain_id, (b"",) * (BATCH_MAX + 1))), "out_of_range"),
        (encode(HandIn(VERSION, GENESIS.chain_id, ()))[:1] + b"\xcc" + b"\x01\xc4", "malformed"),
    ],
)
@pytest.mark.parametrize("protocol", [BATCH_PROTOCOL, LINES_PROTOCOL])
def test_a_frame_that_is_no_batch_is_refused_whole(protocol: str, frame: bytes, code: str) -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            operator = operator_on(node)
            with pytest.raises(RequestRefused, match=code):
                await sender.request(PEER, protocol, frame)
            assert operator.refused.total(code) == 1

    run(body)


@pytest.mark.parametrize(("energy_wh", "taken"), [(100, True), (101, False)])
def test_nothing_is_promised_that_the_limits_of_the_chain_keep_out_of_a_blob(
    energy_wh: int, taken: bool
) -> None:
    """Whoever checks the batch reads the blob with these limits: one order beyond them would spoil all."""
    genesis = keyed_genesis(1, limits=Limits(100, 1_000_000, 0))
    keys = homes(1).by_id

    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            head = (OPERATOR, genesis.chain_id, names(1), home_keys(keys), MINUTES, OpenGates())
            operator = Operator(node, *head, limits=genesis.params.limits)
            entries: list[bytes] = []

            async def say() -> None:
                message = signed(order(genesis, "house-0", energy_wh=energy_wh))
                entries.extend(await send_batch(sender, PEER, genesis, [message]))

            collected = await collect(operator, say, deadline_s=1.0)
            assert (entries == [b"!out_of_range"]) is not taken
            blob = make_blob(names(1), START, bytes(32), collected.signed)
            assert len(open_blob(blob, genesis, homes(1)).orders) == taken

    run(body)


def test_what_is_refused_in_a_batch_is_counted_by_the_peer_that_sent_it() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            operator = operator_on(node)
            await send_batch(sender, PEER, GENESIS, [b"noise", b"noise", signed(order(GENESIS, "house-0"))])
            assert operator.refused.counts == {(sender.peer_id, "malformed"): 2}

    run(body)


@pytest.mark.parametrize("step", [-STEP, STEP])
def test_orders_for_other_intervals_do_not_fill_the_memory(step: int) -> None:
    """Gates let few intervals in; should they let in more, what is kept is bounded."""

    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            operator, start = operator_on(node), START + 1_000 * STEP
            far = [signed(order(GENESIS, "house-0", 1, start + i * step)) for i in range(1, 500)]
            await send_batch(sender, PEER, GENESIS, far)
            assert len(operator._intake.pending) <= HISTORY_INTERVALS

    run(body)


def test_what_is_early_is_not_kept() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            gates = OpenGates(early={(START + i * STEP, 0) for i in range(1, 500)})
            operator = gateway_kit.operator_on(node, GENESIS, OPERATOR, gates)
            far = [signed(order(GENESIS, "house-0", 1, START + i * STEP)) for i in range(1, 500)]
            entries = await send_batch(sender, PEER, GENESIS, far)
            codes = {receipt_in(entry, GENESIS, "house-0").code for entry in entries}
            assert codes == {ReceiptCode.EARLY}
            assert operator._intake.pending == {}

    run(body)


def test_lines_of_several_intervals_share_a_frame() -> None:
    """Ready, not ready and forgotten, each by its own entry."""

    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            operator = operator_on(node)
            operator.answers.provide_lines(START, {"house-0": b"line"})
            entries = await send_batch(
                sender,
                PEER,
                GENESIS,
                [
                    sign_message(
                        key_of(household),
                        LineQueryMessage(VERSION, GENESIS.chain_id, start, MINUTES, household, 1, 0),
                    )
                    for household, start in [
                        ("house-0", START),
                        ("house-0", START + STEP),
                        ("house-0", START - STEP),
                        ("house-1", START),
                    ]
                ],
                LINES_PROTOCOL,
            )
            assert entries == (b"line", b"", b"!forgotten", b"!forgotten")

    run(body)


def test_a_reading_above_the_connection_of_its_home_is_as_if_it_had_not_been_sent() -> None:
    """The true reading that follows is taken: nothing was promised of the other."""
    members = homes(MEMBERS)

    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            head = (OPERATOR, GENESIS.chain_id, ROSTER, home_keys(KEYS), MINUTES, OpenGates())
            operator = Operator(node, *head, check_reading=members.check_reading)
            true = [reading(GENESIS, name) for name in ROSTER]
            false = msgspec.structs.replace(true[0], nonce=true[0].nonce + 1, export_wh=10_751)
            said = [signed(message) for message in (false, *true)]
            entries = await send_batch(sender, PEER, GENESIS, said)
            assert entries[0] == b"!above_capacity"
            found = await operator.collect_readings(START, 1.0)
            assert list(found.messages) == true
            assert node.stats.refused.counts[peer_id_of(SENDER.public_key), "above_capacity"] == 1

    run(body)


def test_a_gate_waits_for_members_alone_and_refuses_the_others() -> None:
    """A home that joins in the next interval is neither absent from this one nor taken in it."""
    terms = (ALWAYS, ALWAYS, (START + STEP, START + 2 * STEP))
    late = replace(homes(MEMBERS), terms=terms)

    async def body() -> None:
        network, clock = MemoryNetwork(Faults()), trio.current_time
        async with network.endpoint(OPERATOR) as node, network.endpoint(SENDER) as sender:
            head = (OPERATOR, GENESIS.chain_id, ROSTER, home_keys(KEYS), MINUTES, OpenGates())
            operator = Operator(node, *head, check_term=late.check_term)
            entries: list[bytes] = []

            async def say() -> None:
                messages = [signed(order(GENESIS, name)) for name in reversed(ROSTER)]
                entries.extend(await send_batch(sender, PEER, GENESIS, messages))

            begun = clock()
            collected = await collect(operator, say, deadline_s=100.0)
            assert clock() - begun < 1.0
            assert entries[0] == b"!not_a_member"
            assert (collected.absent, [m.household for m in collected.messages]) == ((), list(ROSTER[:2]))

    run(body)
