"""What one home may take up of an interval, so that homes that order much in many rounds do not stop the market."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

import wattswap as ws
from market.units import INT64_SAFE
from p2p.batches.blob import MAX_BLOB_BYTES, make_blob
from p2p.roles.collector.intake import Intake, Share, share_of, taken_by
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal, Promise
from p2p.roles.exchange.tape import MAX_ROWS
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode
from p2p.wire.messages import (
    MAX_MESSAGE_BYTES,
    HandedIn,
    Kind,
    Limits,
    OrderLine,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    Signed,
    message_id,
    order_line,
    sign_message,
)
from tests.kits.roles_kit import CHAIN, MINUTES, OPERATOR, ROSTER, T0, key_of, nothing, order, reading
from tests.kits.run_kit import write_street
from wattswap.nodes.interval import next_round, registers
from wattswap.runs.interval import settled_interval
from wattswap.runs.prepare import prepare
from wattswap.runs.rounds import Rounds

ROUNDS, HOMES, ALONE = 64, 80, 10**9
LIMITS = Limits(rounds=ROUNDS)
MOST_WH, MOST_PRICE = LIMITS.max_energy_wh, LIMITS.max_price_micro_per_kwh


def take(intake: Intake, number: int, message: HandedIn, gate_open: bool = False) -> ReceiptCode:
    """Send a message at the gate of a round, opened for it, as a collector takes it."""
    pending = intake.pending[T0, number] if gate_open else intake.open((T0, number), ROSTER)
    signed = sign_message(key_of(message.household), message, LIMITS)
    code = intake.classify(message, signed)
    if code in (ReceiptCode.ACCEPTED, ReceiptCode.REPLACED):
        pending.pin(message, signed, message_id(message), b"")
    return code


def desk(share: Share) -> Intake:
    return Intake(0, (Kind.ORDER, Kind.NOTHING), share)


def close(intake: Intake, number: int) -> None:
    intake.pending[T0, number].closed = True


def many(count: int, energy_wh: int = 1) -> tuple[OrderLine, ...]:
    return (order_line(1, energy_wh, MOST_PRICE),) * count


def test_the_most_that_all_homes_may_order_in_all_rounds_can_be_settled(tmp_path: Path) -> None:
    """Without a share, the book of all rounds of 80 homes passes 2^62 and no collector can settle the interval."""
    street = write_street(tmp_path, homes=HOMES)
    setup = prepare(ws.load(street, overrides=("market.mechanism=continuous", f"market.rounds={ROUNDS}")))
    start_s, i = setup.start_of(10), 10
    share, market = share_of(setup.genesis.params.limits, HOMES), Rounds(setup, i)
    left, ordered_wh = dict.fromkeys(setup.roster, share.energy_wh), 0
    for number in range(ROUNDS):
        messages = []
        for home, name in enumerate(setup.roster):
            energy_wh = min(MOST_WH, left[name])
            left[name] -= energy_wh
            ordered_wh += energy_wh
            if energy_wh:
                lines = (order_line(1 if home % 2 else -1, energy_wh, MOST_PRICE),)
                chain = {"chain_id": setup.genesis.chain_id, "minutes": setup.minutes, "start": start_s}
                messages.append(order(name, number, round=number, **chain))
                messages[-1] = OrderMessage(*_but_last(messages[-1]), lines)
        next_round(setup, start_s, market, tuple(messages))
    book, clearing, _ = market.result()
    imported, exported = registers(setup, book, clearing, ())
    settled = settled_interval(setup, i, book, clearing, imported, exported, {})
    assert settled.traded_wh * 2 == ordered_wh > 0.99 * HOMES * share.energy_wh
    assert HOMES * ROUNDS * MOST_WH * MOST_PRICE > INT64_SAFE, "the share forbids nothing"


def _but_last(message: OrderMessage) -> tuple[object, ...]:
    return tuple(getattr(message, name) for name in message.__struct_fields__[:-1])


@pytest.mark.parametrize("homes", [1, 13, 1_000, 50_000])
def test_the_shares_of_all_homes_fit_together(homes: int) -> None:
    share = share_of(LIMITS, homes)
    assert homes * share.energy_wh * MOST_PRICE * 2 <= INT64_SAFE
    assert homes * share.orders <= MAX_ROWS
    assert homes * (share.data_bytes + 192) <= MAX_BLOB_BYTES


def test_a_thousand_homes_may_still_order_the_most_of_one_message() -> None:
    share = share_of(Limits(), 1_000)
    message = OrderMessage(*_but_last(order("h1")), many(64, MOST_WH // 64))
    assert share.holds(taken_by(message, bytes(MAX_MESSAGE_BYTES)))


@pytest.mark.parametrize(
    ("share", "most"),
    [
        (Share(250, ALONE, ALONE), "energy"),
        (Share(ALONE, 2, ALONE), "orders"),
        (Share(ALONE, ALONE, 500), "bytes"),
    ],
)
def test_beyond_its_share_a_home_is_refused_and_the_rounds_before_stand(share: Share, most: str) -> None:
    intake, one = desk(share), {"energy": many(1, 100), "orders": many(1), "bytes": many(10)}[most]

    def message(number: int) -> OrderMessage:
        return OrderMessage(*_but_last(order("h1", number, round=number)), one)

    codes = []
    for number in range(4):
        codes.append(take(intake, number, message(number)))
        close(intake, number)
    assert codes[:2] == [ReceiptCode.ACCEPTED] * 2
    assert codes[2:] == [ReceiptCode.REFUSED] * 2
    assert "h1" in intake.pending[T0, 1].entries


def test_a_replacement_takes_the_place_of_what_it_replaces() -> None:
    intake = desk(Share(1_000, ALONE, ALONE))
    assert take(intake, 0, order("h1", 1, energy_wh=900)) == ReceiptCode.ACCEPTED
    assert take(intake, 0, order("h1", 2, energy_wh=800), True) == ReceiptCode.REPLACED
    close(intake, 0)
    assert take(intake, 1, order("h1", 3, round=1, energy_wh=100)) == ReceiptCode.ACCEPTED
    assert take(intake, 1, order("h1", 4, round=1, energy_wh=201), True) == ReceiptCode.REFUSED
    assert take(intake, 1, order("h1", 5, round=1, energy_wh=200), True) == ReceiptCode.REPLACED


def test_nothing_takes_room_of_the_blob_only() -> None:
    intake = desk(Share(0, 0, ALONE))
    assert take(intake, 0, nothing("h1")) == ReceiptCode.ACCEPTED


def test_a_signed_message_is_larger_than_its_line_in_a_blob() -> None:
    for message in (order("h1", 2**62), nothing("h1"), OrderMessage(*_but_last(order("h1")), many(64, 9))):
        signed = sign_message(key_of("h1"), message)
        one, none = (make_blob(ROSTER, T0, bytes(32), part) for part in ([signed], []))
        assert len(one) - len(none) <= taken_by(message, signed).data_bytes
    signed = sign_message(key_of("h1"), reading("h1", 2**62))
    assert len(make_blob(ROSTER, T0, bytes(32), [signed])) - len(none) <= 192


def test_each_home_has_a_share_of_its_own() -> None:
    intake = desk(Share(100, ALONE, ALONE))
    assert take(intake, 0, order("h1", energy_wh=100)) == ReceiptCode.ACCEPTED
    assert take(intake, 0, order("h2", energy_wh=100), True) == ReceiptCode.ACCEPTED


def test_a_collector_that_is_started_again_remembers_what_was_taken() -> None:
    async def body() -> None:
        keys = {name: key_of(name).public_key for name in ROSTER}
        journal, before = Journal(None), order("h1", 1, energy_wh=250)
        signed = sign_message(key_of("h1"), before, LIMITS)
        journal.promise(0, T0, [Promise(message_id(before), signed, b"receipt")])
        async with MemoryNetwork(Faults()).endpoint(OPERATOR) as node:
            operator = Operator(node, OPERATOR, CHAIN, ROSTER, keys, MINUTES, journal, LIMITS)
            operator._orders.share = Share(300, ALONE, ALONE)
            await operator.collect(T0, 0.1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(operator.collect, T0, 1.0, 1)
                await trio.testing.wait_all_tasks_blocked()
                for energy_wh, code in ((51, ReceiptCode.REFUSED), (50, ReceiptCode.ACCEPTED)):
                    message = order("h1", 2, round=1, energy_wh=energy_wh)
                    frame = sign_message(key_of("h1"), message, LIMITS)
                    receipt = decode(Signed, await operator._take_order("peer", frame))
                    assert decode(ReceiptMessage, receipt.body).code == code

    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))
