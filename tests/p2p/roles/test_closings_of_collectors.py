"""Closings at a validator: signed once, never before the gate has ended, for collectors alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2p.batches.closings import Promised, check_closing, decode_closing
from p2p.errors import WrongSignature
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal, JournalDamaged
from p2p.roles.exchange.turns import GateOpen
from p2p.roles.exchange.wire import CLOSING_PROTOCOL, CloseQuery, CloseReply
from p2p.transports.base import Endpoint, RequestRefused, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES, Unreachable
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    VERSION,
    HandedIn,
    OrderMessage,
    ReadingMessage,
    ReceiptCode,
    sign_message,
)
from tests.kits.chain_kit import OPERATOR, START, STEP, authorities, identity
from tests.kits.gateway_kit import operator_on, receipt_in, run, send_batch
from tests.kits.settled_kit import OpenGates
from tests.kits.signed_kit import RIVAL, key_of, keyed_genesis, names, nothing, order, reading, signed

ROUNDS, HOMES = 3, 3
GENESIS = keyed_genesis(HOMES, limits=Limits(rounds=ROUNDS))
ROSTER = names(HOMES)
VALIDATOR = authorities(4)[0]
PEER = peer_id_of(VALIDATOR.public_key)


class Place:
    """A validator that collects, and the endpoint of somebody who asks it."""

    def __init__(self, operator: Operator, gates: OpenGates, asking: Endpoint) -> None:
        self.operator, self.gates, self.asking = operator, gates, asking

    async def submit(self, *messages: HandedIn) -> list[ReceiptCode]:
        """Codes of the receipts for messages."""
        entries = await send_batch(self.asking, PEER, GENESIS, [signed(message) for message in messages])
        found = zip(messages, entries, strict=True)
        return [ReceiptCode(receipt_in(entry, GENESIS, m.household, VALIDATOR).code) for m, entry in found]

    async def close(self, slot: int = 0, wanted: tuple[int, ...] = (), start: int = START) -> CloseReply:
        """Demand a closing."""
        query = encode(CloseQuery(VERSION, GENESIS.chain_id, start, slot, wanted))
        reply = await self.asking.request(PEER, CLOSING_PROTOCOL, query)
        return decode(CloseReply, reply, max_bytes=FRAME_MAX_BYTES)


@asynccontextmanager
async def place(journal: Journal | None = None, asking: Identity = RIVAL) -> AsyncIterator[Place]:
    network, gates = MemoryNetwork(Faults()), OpenGates()
    async with network.endpoint(VALIDATOR) as node, network.endpoint(asking) as other:
        yield Place(operator_on(node, GENESIS, VALIDATOR, gates, journal), gates, other)


def test_no_slot_is_closed_before_its_gate_has_ended() -> None:
    async def body() -> None:
        async with place() as here:
            with pytest.raises(RequestRefused, match="gate_open"):
                await here.close()
            with pytest.raises(GateOpen):
                here.operator.close(START, 0)
            assert await here.submit(order(GENESIS, "house-0")) == [ReceiptCode.ACCEPTED]

    run(body)


def test_a_closing_has_every_promise_of_its_slot() -> None:
    async def body() -> None:
        async with place() as here:
            await here.submit(order(GENESIS, "house-2", 7), nothing(GENESIS, "house-0", 4))
            await here.submit(order(GENESIS, "house-0", 5), reading(GENESIS, "house-1", 9))
            here.gates.ended |= {(START, 0), (START, ROUNDS)}
            reply = await here.close()
            closing = decode_closing(reply.closing)
            check_closing(closing, GENESIS.chain_id)
            assert (closing.validator, closing.interval_start, closing.slot) == (
                VALIDATOR.public_key,
                START,
                0,
            )
            assert closing.promised == (Promised(0, 5), Promised(2, 7))
            assert reply.messages == ()
            assert decode_closing((await here.close(ROUNDS)).closing).promised == (Promised(1, 9),)

    run(body)


def test_nothing_is_promised_in_a_slot_that_is_closed() -> None:
    """Though the gates would let it in: a clock may be set back."""

    async def body() -> None:
        async with place() as here:
            await here.submit(order(GENESIS, "house-0"))
            here.gates.ended.add((START, 0))
            before = await here.close()
            here.gates.ended.clear()
            late = [order(GENESIS, "house-1"), order(GENESIS, "house-0", 2)]
            assert await here.submit(*late) == [ReceiptCode.LATE] * 2
            assert await here.submit(order(GENESIS, "house-0")) == [ReceiptCode.ACCEPTED], (
                "as promised before"
            )
            assert await here.close() == before

    run(body)


def test_a_slot_is_closed_once_also_after_a_restart(tmp_path: Path) -> None:
    closings = []

    async def life() -> None:
        with Journal(tmp_path / "validator.db") as journal:
            async with place(journal) as here:
                codes = await here.submit(order(GENESIS, "house-0"), order(GENESIS, "house-1"))
                here.gates.ended.add((START, 0))
                closings.append((codes, (await here.close()).closing))

    async def restarted() -> None:
        with Journal(tmp_path / "validator.db") as journal:
            async with place(journal) as here:
                codes = await here.submit(order(GENESIS, "house-0"), order(GENESIS, "house-2"))
                closings.append((codes, (await here.close()).closing))

    run(life)
    run(restarted)
    (_, first), (codes, second) = closings
    assert codes == [ReceiptCode.ACCEPTED, ReceiptCode.LATE]
    assert first == second


def test_what_was_promised_before_a_restart_is_in_the_closing_after_it(tmp_path: Path) -> None:
    async def life() -> None:
        with Journal(tmp_path / "validator.db") as journal:
            async with place(journal) as here:
                await here.submit(order(GENESIS, "house-0", 3), order(GENESIS, "house-1"))

    async def restarted() -> None:
        with Journal(tmp_path / "validator.db") as journal:
            async with place(journal) as here:
                here.gates.ended.add((START, 0))
                reply = await here.close(0, (1, 0))
                assert decode_closing(reply.closing).promised == (Promised(0, 3), Promised(1, 1))
                assert reply.messages == (
                    signed(order(GENESIS, "house-1")),
                    signed(order(GENESIS, "house-0", 3)),
                )

    run(life)
    run(restarted)


def test_messages_go_with_a_closing_as_far_as_they_are_wanted_and_here() -> None:
    async def body() -> None:
        async with place() as here:
            await here.submit(order(GENESIS, "house-0"), order(GENESIS, "house-1"))
            here.gates.ended.add((START, 0))
            assert (await here.close(0, (2,))).messages == ()
            assert (await here.close(0, (2, 1))).messages == (signed(order(GENESIS, "house-1")),)
            for wanted in ((-1,), (HOMES,), (0, 99)):
                with pytest.raises(RequestRefused, match="out_of_range"):
                    await here.close(0, wanted)
            for slot in (-1, ROUNDS + 1):
                with pytest.raises(RequestRefused, match="out_of_range"):
                    await here.close(slot)

    run(body)


@pytest.mark.parametrize("asking", [key_of("house-0"), identity("stranger", "0")])
def test_closings_and_messages_are_given_to_collectors_only(asking: Identity) -> None:
    """Messages have the names of their homes."""

    async def body() -> None:
        async with place(asking=asking) as here:
            await here.submit(order(GENESIS, "house-0"))
            here.gates.ended.add((START, 0))
            with pytest.raises(RequestRefused, match="not_allowed"):
                await here.close(0, (0,))

    run(body)


def test_a_collector_that_is_no_validator_closes_nothing_for_others() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(RIVAL) as other:
            operator_on(node, GENESIS, OPERATOR, OpenGates(ended={(START, 0)}))
            query = encode(CloseQuery(VERSION, GENESIS.chain_id, START, 0, ()))
            with pytest.raises(Unreachable, match="does not serve"):
                await other.request(node.peer_id, CLOSING_PROTOCOL, query)

    run(body)


def test_a_validator_promises_a_later_round_only_to_a_home_that_was_in_the_one_before() -> None:
    async def body() -> None:
        async with place() as here:
            await here.submit(order(GENESIS, "house-0"), nothing(GENESIS, "house-1"))
            second = [order(GENESIS, name, number=1) for name in ROSTER]
            accepted, late = ReceiptCode.ACCEPTED, ReceiptCode.LATE
            assert await here.submit(*second) == [accepted, accepted, late]
            third = [order(GENESIS, name, number=2) for name in ROSTER[1:]]
            assert await here.submit(*third) == [accepted, late]
            metered = [reading(GENESIS, name) for name in ROSTER]
            assert await here.submit(*metered) == [accepted] * 3, "readings follow no round"

    run(body)


def test_an_operator_takes_a_later_round_of_a_home_that_was_absent() -> None:
    async def body() -> None:
        network = MemoryNetwork(Faults())
        async with network.endpoint(OPERATOR) as node, network.endpoint(RIVAL) as other:
            operator_on(node, GENESIS)
            message = order(GENESIS, "house-0", number=2)
            (entry,) = await send_batch(other, node.peer_id, GENESIS, [signed(message)])
            assert receipt_in(entry, GENESIS, "house-0").code == ReceiptCode.ACCEPTED

    run(body)


def test_a_validator_that_cannot_write_its_closing_signs_none_and_ends(tmp_path: Path) -> None:
    async def body() -> None:
        with Journal(tmp_path / "validator.db") as journal:
            async with place(journal) as here:
                await here.submit(order(GENESIS, "house-0"))
                here.gates.ended.add((START, 0))
                journal._connection.execute("PRAGMA query_only=ON")
                for _ in range(2):
                    with pytest.raises(RequestRefused, match="handler_failed"):
                        await here.close()
                    journal._connection.execute("PRAGMA query_only=OFF")
                with trio.fail_after(1), pytest.raises(JournalDamaged):
                    await here.operator.run()
                assert journal.given("closing", START, 0) is None

    run(body)


# --- taking over ------------------------------------------------------------------------------------------


def closed_with(here: Place) -> dict[str, int]:
    """Nonce of each home in the first slot."""
    present = here.operator.present(START, 0)
    return {ROSTER[home]: nonce for (_, home), nonce in present.items()}


def test_of_what_is_taken_over_the_newest_message_of_each_home_counts() -> None:
    async def body() -> None:
        async with place() as here:
            await here.submit(order(GENESIS, "house-0", 5))
            assert (await here.operator.collect(START, 0.0)).absent == ROSTER[1:]
            older, newer = order(GENESIS, "house-0", 4), order(GENESIS, "house-0", 6)
            here.operator.take_over(START, 0, [signed(older)])
            assert closed_with(here) == {"house-0": 5}
            here.operator.take_over(START, 0, [signed(newer), signed(nothing(GENESIS, "house-1"))])
            here.operator.take_over(START, 0, [signed(older)])
            assert closed_with(here) == {"house-0": 6, "house-1": 1}
            collected = here.operator.collected(OrderMessage, START, 0)
            assert collected.messages == (newer,)
            assert (collected.nothing, collected.absent) == (("house-1",), ("house-2",))

    run(body)


def test_what_is_of_another_slot_or_interval_is_not_taken_over() -> None:
    async def body() -> None:
        async with place() as here:
            others = [
                order(GENESIS, "house-0", number=1),
                order(GENESIS, "house-0", start=START + STEP),
                reading(GENESIS, "house-0"),
            ]
            here.operator.take_over(START, 0, [signed(message) for message in others])
            assert closed_with(here) == {}
            here.operator.take_over(START, ROUNDS, [signed(message) for message in others])
            assert here.operator.collected(ReadingMessage, START, ROUNDS).messages == (others[-1],)

    run(body)


def test_what_no_home_has_signed_is_not_taken_over() -> None:
    async def body() -> None:
        async with place() as here:
            forged = sign_message(key_of("house-1"), order(GENESIS, "house-0"))
            with pytest.raises(WrongSignature):
                here.operator.take_over(START, 0, [forged])
            assert closed_with(here) == {}

    run(body)
