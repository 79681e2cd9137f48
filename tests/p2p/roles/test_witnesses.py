"""A home's messages have the promises of f + 1 validators, whatever one of these and the collector do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import BATCH_PROTOCOL, HandInReply
from p2p.roles.household.gateway import Gateway
from p2p.transports.base import Handler
from p2p.wire.codec import decode, encode
from p2p.wire.messages import VERSION, ReceiptCode, ReceiptMessage, message_id, sign_message
from tests.kits.chain_kit import OPERATOR, START, STEP, identity
from tests.kits.gateway_kit import Place, Street, receipt_in, run, street
from tests.kits.signed_kit import names, order, reading, signed
from tests.kits.time_kit import time_passes

STRANGER = identity("stranger", "0")
FAILOVER_S = 3.0


class Watched:
    """A street with four validators that listen, in the order in which the gateway asks them.

    Attributes:
        asked: How many frames each of them was sent.
    """

    def __init__(self, homes: Street, operators: dict[bytes, Operator]) -> None:
        self.homes, self.gateway = homes, homes.gateway
        order_of = {key: number for number, key in enumerate(homes.gateway._witnesses._in_order())}
        self.places = sorted(homes.validators, key=lambda place: order_of[place.identity.public_key])
        self.operators = [operators[place.identity.public_key] for place in self.places]
        self.asked = [0] * len(self.places)
        for number, operator in enumerate(self.operators):
            self.answer(number, operator._take_batch)

    def answer(self, number: int, handler: Handler) -> None:
        """Let a validator answer batches by a handler."""

        async def counted(peer: str, frame: bytes) -> bytes:
            self.asked[number] += 1
            return await handler(peer, frame)

        self.operators[number]._transport.serve(BATCH_PROTOCOL, counted)

    def promised_by(self, household: str = "house-0", start: int = START, slot: int = 0) -> set[int]:
        """Places of the validators whose promise the gateway has, each checked here."""
        given = self.gateway._witnesses.promises(household, slot, start)
        keys = {place.identity.public_key: number for number, place in enumerate(self.places)}
        for key, promise in given.items():
            place = self.places[keys[key]]
            code = receipt_in(promise.receipt, self.homes.genesis, household, place.identity).code
            assert code in (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED)
        return {keys[key] for key in given}

    async def submit(self, nonce: int = 1, passes_s: float = 0.5) -> None:
        """Submit an order of the first home, and let time pass."""
        await self.gateway.submit(order(self.homes.genesis, "house-0", nonce))
        await time_passes(passes_s)


@asynccontextmanager
async def watched(members: int = 1) -> AsyncIterator[Watched]:
    async with street(members, validators=4, failover_s=FAILOVER_S) as homes, AsyncExitStack() as stack:
        await stack.enter_async_context(homes.places[0].on())

        async def on(place: Place) -> Operator:
            return await stack.enter_async_context(place.on())

        yield Watched(homes, {place.identity.public_key: await on(place) for place in homes.validators})


def with_validators(body: Callable[[Watched], Awaitable[None]]) -> None:
    async def main() -> None:
        async with watched() as here:
            await body(here)

    run(main)


def test_f_plus_1_validators_promise_each_message_besides_the_collector() -> None:
    async def body(here: Watched) -> None:
        await here.submit()
        await here.gateway.submit(reading(here.homes.genesis, "house-0"))
        await time_passes(0.5)
        for slot in (0, 1):
            assert here.promised_by(slot=slot) == {0, 1}
            promises = here.gateway.promises("house-0", START, slot)
            assert promises.keys() == {
                OPERATOR.public_key,
                *(place.identity.public_key for place in here.places[:2]),
            }
        assert {promise.message for promise in promises.values()} == {
            signed(reading(here.homes.genesis, "house-0"))
        }
        assert here.asked[2:] == [0, 0], "the others need not know it"
        assert here.promised_by(start=START + STEP) == set()

    with_validators(body)


def test_the_messages_of_many_homes_travel_to_a_validator_in_few_frames() -> None:
    async def main() -> None:
        async with watched(members=150) as here:
            await here.homes.submit([order(here.homes.genesis, name) for name in names(150)])
            await time_passes(0.5)
            assert all(here.promised_by(name) == {0, 1} for name in names(150))
            assert max(here.asked) <= 2

    run(main)


def test_a_message_is_promised_though_no_collector_answers() -> None:
    async def main() -> None:
        async with street(1, validators=4) as homes, AsyncExitStack() as stack:
            for place in homes.validators:
                await stack.enter_async_context(place.on())
            with trio.move_on_after(1):
                await homes.gateway.submit(order(homes.genesis, "house-0"))
            promises = homes.gateway.promises("house-0", START, 0)
            assert len(promises) == 2
            assert OPERATOR.public_key not in promises

    run(main)


def test_nodes_begin_with_different_validators() -> None:
    async def body(here: Watched) -> None:
        keys = [place.identity.public_key for place in here.homes.validators]
        started = []
        for number in range(8):
            witnesses = Gateway(
                here.homes.node,
                {},
                bytes(32),
                here.homes.collectors,
                15,
                lambda data: None,  # type: ignore[arg-type,return-value]
            )._witnesses
            witnesses._first = number
            started.append(keys.index(witnesses._in_order()[0]))
        assert started == [0, 1, 2, 3, 0, 1, 2, 3]

    with_validators(body)


# --- validators that do not promise -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["late", "unread"])
def test_once_one_has_refused_all_others_are_asked(way: str) -> None:
    """One after the other, the gate might end before the last one has the message."""

    async def body(here: Watched) -> None:
        async def refuse(_peer: str, _frame: bytes) -> bytes:
            return encode(HandInReply((b"!not_a_member",)))

        if way == "late":
            here.places[0].gates.ended.add((START, 0))
        else:
            here.answer(0, refuse)
        await here.submit()
        assert here.promised_by() == {1, 2, 3}
        assert here.asked == [1, 1, 1, 1], "a refusal is final"

    with_validators(body)


def test_a_message_that_the_collector_finds_too_late_goes_to_all_validators_at_once() -> None:
    """Its clock may be fast, and those of others too."""

    async def body(here: Watched) -> None:
        here.homes.places[0].gates.ended.add((START, 0))
        here.places[0].gates.ended.add((START, 0))
        here.gateway._witnesses._after_s = FAILOVER_S
        await here.submit()
        assert here.promised_by() == {1, 2, 3}
        assert here.asked == [1, 1, 1, 1]

    with_validators(body)


@pytest.mark.parametrize(("age_s", "wait_s"), [(-1.0, 3.0), (0.0, 3.0), (2.0, 1.0), (3.0, 0.0), (60.0, 0.0)])
def test_a_message_that_comes_late_in_its_gate_is_shown_so_much_sooner(age_s: float, wait_s: float) -> None:
    async def body(here: Watched) -> None:
        witnesses = here.gateway._witnesses
        witnesses._after_s, asked = 3.0, []

        def age(interval_start: int, slot: int) -> float:
            asked.append((interval_start, slot))
            return age_s

        witnesses._gate_age_s = age
        await here.submit(passes_s=max(0.0, wait_s - 0.5))
        assert sum(here.asked) == (0 if wait_s else 2)
        await time_passes(1.0)
        assert here.asked == [1, 1, 0, 0]
        assert asked == [(START, 0)]

    with_validators(body)


def test_one_that_finds_everything_too_early_keeps_no_other_from_promising() -> None:
    async def body(here: Watched) -> None:
        honest = here.operators[0]._take_batch

        async def early(peer: str, frame: bytes) -> bytes:
            await honest(peer, frame)
            message = order(here.homes.genesis, "house-0")
            head = (VERSION, here.homes.genesis.chain_id, START, "house-0", message_id(message))
            receipt = ReceiptMessage(*head, ReceiptCode.EARLY)
            return encode(HandInReply((sign_message(here.places[0].identity, receipt),)))

        here.answer(0, early)
        await here.submit()
        assert here.promised_by() == {1, 2}

    with_validators(body)


def test_a_collector_that_finds_everything_too_early_does_not_hold_a_home_up() -> None:
    async def body(here: Watched) -> None:
        place = here.homes.places[0]

        async def early(_peer: str, _frame: bytes) -> bytes:
            message = order(here.homes.genesis, "house-0")
            head = (VERSION, here.homes.genesis.chain_id, START, "house-0", message_id(message))
            return encode(
                HandInReply((sign_message(place.identity, ReceiptMessage(*head, ReceiptCode.EARLY)),))
            )

        assert place.node is not None
        place.node.serve(BATCH_PROTOCOL, early)
        with trio.fail_after(5 * FAILOVER_S):
            await here.submit()
        assert here.homes.collectors.current.key != place.identity.public_key

    with_validators(body)


def test_a_convicted_validator_is_no_witness() -> None:
    """Of four validators one that is jailed keeps its place, so nobody else takes it away."""

    async def body(here: Watched) -> None:
        here.homes.collectors.convict(here.places[0].identity.public_key)
        await here.submit()
        assert len(here.promised_by()) == 2
        assert here.asked[0] == 0

    with_validators(body)


def test_those_that_do_not_listen_are_passed_over_at_once() -> None:
    async def main() -> None:
        async with street(1, validators=4) as homes, AsyncExitStack() as stack:
            in_order = homes.gateway._witnesses._in_order()
            on = [place for place in homes.validators if place.identity.public_key in in_order[2:]]
            for place in (homes.places[0], *on):
                await stack.enter_async_context(place.on())
            await homes.gateway.submit(order(homes.genesis, "house-0"))
            await time_passes(0.5)
            promises = homes.gateway._witnesses.promises("house-0", 0, START)
            assert promises.keys() == set(in_order[2:])

    run(main)


def test_one_that_is_silent_delays_its_share_for_the_time_of_a_takeover() -> None:
    async def body(here: Watched) -> None:
        async def silent(_peer: str, _frame: bytes) -> bytes:
            await trio.sleep_forever()
            return b""

        here.answer(0, silent)
        await here.submit()
        assert here.promised_by() == {1}
        await time_passes(FAILOVER_S)
        assert here.promised_by() == {1, 2}

    with_validators(body)


def test_one_that_is_silent_delays_its_share_no_longer_than_a_message_waited() -> None:
    """A message is shown when half of its gate has passed: after that, another wait as long is too late."""

    async def body(here: Watched) -> None:
        async def silent(_peer: str, _frame: bytes) -> bytes:
            await trio.sleep_forever()
            return b""

        here.answer(0, silent)
        here.gateway._witnesses._after_s = FAILOVER_S / 6
        await here.submit(passes_s=FAILOVER_S / 6 + 0.5)
        assert here.promised_by() == {1}
        await time_passes(FAILOVER_S / 6)
        assert here.promised_by() == {1, 2}

    with_validators(body)


def forged(homes: Street, signer: int, here: Watched, code: int = ReceiptCode.ACCEPTED) -> bytes:
    """A receipt for the order of the first home by another validator."""
    name = message_id(order(homes.genesis, "house-0"))
    receipt = ReceiptMessage(VERSION, homes.genesis.chain_id, START, "house-0", name, code)
    return sign_message(here.places[signer].identity, receipt)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("noise", "malformed"),
        ("noise in an entry", "malformed"),
        ("none", "malformed"),
        ("two", "malformed"),
        ("by another validator", "wrong_signature"),
        ("by a stranger", "wrong_signature"),
        ("for another message", "wrong_kind"),
    ],
)
def test_what_is_no_receipt_of_it_is_counted_and_it_is_passed_over(answer: str, code: str) -> None:
    async def body(here: Watched) -> None:
        homes = here.homes
        right, other = forged(homes, 0, here), order(homes.genesis, "house-0", 99)
        receipt = ReceiptMessage(
            VERSION, homes.genesis.chain_id, START, "house-0", message_id(other), ReceiptCode.ACCEPTED
        )
        entries = {
            "noise in an entry": (b"noise",),
            "none": (),
            "two": (right, right),
            "by another validator": (forged(homes, 3, here),),
            "by a stranger": (sign_message(STRANGER, receipt),),
            "for another message": (sign_message(here.places[0].identity, receipt),),
        }

        async def wrong(_peer: str, _frame: bytes) -> bytes:
            return b"noise" if answer == "noise" else encode(HandInReply(entries[answer]))

        here.answer(0, wrong)
        await here.submit()
        assert here.promised_by() == {1, 2}
        counts = homes.node.stats.refused
        assert counts.by_peer(here.places[0].address) == counts.total(code) >= 1

    with_validators(body)


def test_with_more_than_f_that_fail_those_are_asked_again_that_come_back() -> None:
    async def body(here: Watched) -> None:
        async def noise(_peer: str, _frame: bytes) -> bytes:
            return b"noise"

        for number in (0, 1, 2):
            here.answer(number, noise)
        await here.submit()
        assert here.promised_by() == {3}
        here.answer(1, here.operators[1]._take_batch)
        await time_passes(5)
        assert here.promised_by() == {1, 3}

    with_validators(body)


def test_what_is_early_is_given_again_to_the_same_validators_until_it_is_not() -> None:
    async def body(here: Watched) -> None:
        for place in here.places:
            place.gates.early.add((START, 0))
        await here.submit(passes_s=6)
        assert here.promised_by() == set()
        assert here.asked[2:] == [0, 0]
        assert min(here.asked[:2]) >= 5
        for place in here.places:
            place.gates.early.clear()
        await time_passes(1.1)
        assert here.promised_by() == {0, 1}
        assert here.homes.node.stats.refused.counts == {}

    with_validators(body)


def test_a_newer_message_is_promised_in_place_of_the_one_before() -> None:
    async def body(here: Watched) -> None:
        await here.submit(1)
        await here.submit(2)
        assert here.promised_by() == {0, 1}
        newest = signed(order(here.homes.genesis, "house-0", 2))
        given = here.gateway._witnesses.promises("house-0", 0, START)
        assert {promise.message for promise in given.values()} == {newest}
        for operator in here.operators[:2]:
            assert operator.present(START, 0) == {(0, 0): 2}

    with_validators(body)


def test_a_promise_of_the_message_before_is_none_of_the_newer_one() -> None:
    """Its answer comes when the newer one has taken its place."""

    async def body(here: Watched) -> None:
        take, replies = here.operators[0]._take_batch, list[ReceiptCode]()

        async def slow(peer: str, frame: bytes) -> bytes:
            reply = await take(peer, frame)
            if not replies:
                await time_passes(2)
            (entry,) = decode(HandInReply, reply).entries
            receipt = receipt_in(entry, here.homes.genesis, "house-0", here.places[0].identity)
            replies.append(ReceiptCode(receipt.code))
            return reply

        here.answer(0, slow)
        await here.submit(1, passes_s=0.2)
        await here.submit(2, passes_s=0.2)
        assert here.promised_by() == {1}
        await time_passes(3)
        assert here.promised_by() == {0, 1}
        assert replies == [ReceiptCode.ACCEPTED, ReceiptCode.REPLACED]

    with_validators(body)
