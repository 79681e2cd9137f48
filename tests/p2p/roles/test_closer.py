"""A collector that lacks messages asks validators to close their slot: a quorum is enough, whatever the others do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from msgspec.structs import replace

from p2p.batches.closings import Closing, Promised, left_out, make_closing
from p2p.blocks.genesis import Genesis
from p2p.roles.collector.closer import ROUND_S, Closer
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import CLOSING_PROTOCOL, CloseQuery, CloseReply
from p2p.transports.base import Endpoint, Handler, peer_id_of
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import HandedIn, ReceiptCode
from tests.kits.chain_kit import START, STEP, authorities, identity
from tests.kits.gateway_kit import operator_on, receipt_in, run, send_batch
from tests.kits.settled_kit import OpenGates
from tests.kits.signed_kit import RIVAL, keyed_genesis, nothing, order, signed
from tests.kits.time_kit import time_passes

HOMES = 6
GENESIS = keyed_genesis(HOMES)
VALIDATORS = authorities(4)
BYZANTINE = VALIDATORS[3]


@dataclass
class Closers:
    """Three validators that follow the rules, a fourth as the test says, and a collector that asks them."""

    operator: Operator
    closer: Closer
    node: Endpoint
    home: Endpoint
    validators: list[Operator] = field(default_factory=list)
    gates: OpenGates = field(default_factory=OpenGates)

    async def submit(self, to: int, *messages: HandedIn) -> None:
        """Give messages to a validator, which promises to include them."""
        peer = peer_id_of(VALIDATORS[to].public_key)
        entries = await send_batch(self.home, peer, GENESIS, [signed(message) for message in messages])
        for message, entry in zip(messages, entries, strict=True):
            receipt = receipt_in(entry, GENESIS, message.household, VALIDATORS[to])
            assert receipt.code == ReceiptCode.ACCEPTED

    async def close(self, within_s: float = 3 * ROUND_S) -> tuple[Closing, ...]:
        """Close the first slot of START, and check what everybody may rely on."""
        self.gates.ended.add((START, 0))
        with trio.fail_after(within_s):
            closings = await self.closer.close(START, 0)
        assert len(closings) >= 3
        assert len({closing.validator for closing in closings}) == len(closings)
        present = self.operator.present(START, 0)
        assert [list(left_out(closing, present)) for closing in closings] == [[]] * len(closings)
        return closings


@asynccontextmanager
async def closers(fourth: Handler | None = None, asking: Identity = RIVAL) -> AsyncIterator[Closers]:
    """Args: fourth: answers demands of closings; None where the fourth validator does not listen."""
    async with AsyncExitStack() as stack:
        network, gates = MemoryNetwork(Faults()), OpenGates()

        async def on(key: Identity) -> Endpoint:
            return await stack.enter_async_context(network.endpoint(key))

        validators = [operator_on(await on(key), GENESIS, key, gates) for key in VALIDATORS[:3]]
        if fourth is not None:
            (await on(BYZANTINE)).serve(CLOSING_PROTOCOL, fourth)
        node = await on(asking) if asking not in VALIDATORS else validators[0]._transport
        operator = operator_on(node, GENESIS, asking, gates) if asking not in VALIDATORS else validators[0]
        keys = tuple(key.public_key for key in VALIDATORS)
        addresses = {key: f"/memory/p2p/{peer_id_of(key)}" for key in keys}
        closer = Closer(node, GENESIS.chain_id, operator, asking.public_key, lambda: keys, addresses)  # type: ignore[arg-type]
        home = await on(identity("gateway", "0"))
        yield Closers(operator, closer, node, home, validators, gates)  # type: ignore[arg-type]


def with_closers(body: Callable[[Closers], Awaitable[None]], fourth: Handler | None = None) -> None:
    async def main() -> None:
        async with closers(fourth) as here:
            await body(here)

    run(main)


def test_a_quorum_closes_a_slot_and_what_each_of_it_promised_is_taken_over() -> None:
    async def body(here: Closers) -> None:
        first, second = order(GENESIS, "house-0"), order(GENESIS, "house-1", 2)
        await here.submit(0, first)
        await here.submit(1, first, order(GENESIS, "house-1", 1))
        await here.submit(2, second, nothing(GENESIS, "house-4"))
        closings = await here.close()
        assert {closing.validator: closing.promised for closing in closings} == {
            VALIDATORS[0].public_key: (Promised(0, 1),),
            VALIDATORS[1].public_key: (Promised(0, 1), Promised(1, 1)),
            VALIDATORS[2].public_key: (Promised(1, 2), Promised(4, 1)),
        }
        assert here.operator.present(START, 0) == {(0, 0): 1, (0, 1): 2, (0, 4): 1}

    with_closers(body)


def test_validators_whose_gates_are_open_are_asked_until_they_have_ended() -> None:
    async def body(here: Closers) -> None:
        async def end() -> None:
            await time_passes(12)
            here.gates.ended.add((START, 0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            closings = await here.closer.close(START, 0)
        assert len(closings) == 3
        assert 12 <= trio.current_time() < 14
        assert here.node.stats.refused.counts == {}, "an open gate is no mistake"

    with_closers(body)


def test_a_closer_that_is_a_validator_closes_its_own_slot_as_well() -> None:
    async def main() -> None:
        async with closers(asking=VALIDATORS[0]) as here:
            await here.submit(0, order(GENESIS, "house-0"))
            # Validators close for operators alone in this kit, so the others must know one that is none.
            for other in here.validators[1:]:
                other._closes_for = lambda _peer: True
            closings = await here.close()
            assert {closing.validator for closing in closings} == {key.public_key for key in VALIDATORS[:3]}
            assert here.operator.present(START, 0) == {(0, 0): 1}

    run(main)


def closing(
    promised: tuple[Promised, ...] = (), key: Identity = BYZANTINE, slot: int = 0, start: int = START
) -> bytes:
    return encode(make_closing(key, GENESIS.chain_id, start, slot, promised))


def reply(data: bytes, *messages: bytes) -> bytes:
    return encode(CloseReply(data, messages))


OTHER_CHAIN: Genesis = keyed_genesis(HOMES, "another street")
FORGED = closing()[:-1] + bytes((closing()[-1] ^ 1,))
WRONG = {
    "noise": (b"noise", "malformed"),
    "no closing": (reply(b""), "malformed"),
    "the key of another": (reply(closing(key=VALIDATORS[0])), "bad_proof"),
    "the key of a stranger": (reply(closing(key=RIVAL)), "bad_proof"),
    "another slot": (reply(closing(slot=1)), "bad_proof"),
    "another interval": (reply(closing(start=START + STEP)), "bad_proof"),
    "another chain": (
        reply(encode(make_closing(BYZANTINE, OTHER_CHAIN.chain_id, START, 0, ()))),
        "wrong_chain",
    ),
    "a forged signature": (reply(FORGED), "wrong_signature"),
    "promises it does not give": (reply(closing((Promised(5, 9),))), "bad_proof"),
    "a home beyond the roster": (reply(closing((Promised(99, 9),))), "bad_proof"),
    "an older message than it promises": (
        reply(closing((Promised(5, 9),)), signed(order(GENESIS, "house-5", 8))),
        "bad_proof",
    ),
    "a message of another length of intervals": (
        reply(closing((Promised(5, 9),)), signed(replace(order(GENESIS, "house-5", 9), minutes=30))),
        "out_of_range",
    ),
    "messages nobody signed": (reply(closing((Promised(5, 9),)), b"noise"), "malformed"),
}


@pytest.mark.parametrize("answer", WRONG)
def test_a_validator_that_answers_wrongly_is_counted_and_the_slot_closed_by_the_others(answer: str) -> None:
    data, code = WRONG[answer]
    asked = 0

    async def wrong(_peer: str, _frame: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return data

    async def body(here: Closers) -> None:
        await here.submit(2, order(GENESIS, "house-0"))
        here.gates.ended.add((START, 0))
        # The third comes late, so that the fourth is asked for certain.
        here.validators[2]._transport.serve(CLOSING_PROTOCOL, slow(here.validators[2]._close_for))
        closings = await here.close()
        assert BYZANTINE.public_key not in {one.validator for one in closings}
        assert asked >= 1
        assert here.node.stats.refused.total(code) >= 1
        assert here.operator.present(START, 0)[0, 0] == 1

    with_closers(body, wrong)


def test_a_validator_with_two_closings_of_a_slot_is_counted_and_the_slot_closed_by_the_others() -> None:
    """It promises a message at first and, when it is asked for it, has promised another."""

    async def two(_peer: str, frame: bytes) -> bytes:
        wanted = decode(CloseQuery, frame).wanted
        return reply(closing((Promised(5, 10 if wanted else 9),)), signed(order(GENESIS, "house-5", 10)))

    async def body(here: Closers) -> None:
        here.validators[2]._transport.serve(CLOSING_PROTOCOL, slow(here.validators[2]._close_for))
        closings = await here.close()
        assert BYZANTINE.public_key not in {one.validator for one in closings}
        assert here.node.stats.refused.total("bad_proof") >= 1
        assert here.operator.present(START, 0) == {}

    with_closers(body, two)


def slow(give: Handler) -> Handler:
    async def late(peer: str, frame: bytes) -> bytes:
        await time_passes(1)
        return await give(peer, frame)

    return late


def test_a_silent_validator_delays_nobody() -> None:
    async def silent(_peer: str, _frame: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    async def body(here: Closers) -> None:
        await here.close(within_s=1)

    with_closers(body, silent)


def test_a_slot_waits_for_a_quorum() -> None:
    """Two of four are none: the collector asks on, and goes on when the third answers."""

    async def body(here: Closers) -> None:
        hold = [True]
        give = here.validators[2]._close_for

        async def held(peer: str, frame: bytes) -> bytes:
            if hold[0]:
                await trio.sleep_forever()
            return await give(peer, frame)

        here.validators[2]._transport.serve(CLOSING_PROTOCOL, held)
        here.gates.ended.add((START, 0))
        with trio.move_on_after(20) as scope:
            await here.closer.close(START, 0)
        assert scope.cancelled_caught
        hold[0] = False
        await here.close()

    with_closers(body)
