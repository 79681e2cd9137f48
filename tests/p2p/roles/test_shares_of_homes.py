"""What one home may take up of an interval, so that homes that order much in many rounds do not stop the market."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

import wattswap as ws
from market.units import INT64_SAFE
from p2p.batches.blob import MAX_BLOB_BYTES, make_blob
from p2p.roles.collector.intake import CLOSINGS_BYTES, Intake, Pending, Share, share_of, taken_by
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.tape import MAX_ROWS
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.codec import decode
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    MAX_MESSAGE_BYTES,
    PROMISES,
    HandedIn,
    OrderLine,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    Signed,
    message_id,
    order_line,
    sign_message,
)
from tests.kits.keys_kit import home_keys
from tests.kits.roles_kit import CHAIN, MINUTES, OPERATOR, ROSTER, T0, key_of, nothing, order, reading
from tests.kits.run_kit import write_street
from tests.kits.settled_kit import OpenGates
from wattswap.nodes.interval import next_round, registers
from wattswap.runs.interval import settled_interval
from wattswap.runs.prepare import prepare
from wattswap.runs.rounds import Rounds

ROUNDS, HOMES, ALONE = 64, 80, 10**9
LIMITS = Limits(rounds=ROUNDS)
MOST_WH, MOST_PRICE = LIMITS.max_energy_wh, LIMITS.max_price_micro_per_kwh


def take(intake: Intake, message: HandedIn) -> ReceiptCode:
    """Send a message at the gate of its round, as a collector takes it."""
    gate = intake.gate_of(message)
    if gate not in intake.pending:
        intake.add(Pending(gate))
    pending, signed = intake.pending[gate], sign_message(key_of(message.household), message, LIMITS)
    code = intake.classify(pending, message, signed)
    if code in PROMISES:
        pending.pin(message, signed, message_id(message), b"")
    return code


def intake_of(share: Share) -> Intake:
    return Intake(share, ROUNDS)


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
    imported, exported, deemed = registers(setup, i, book, clearing, ())
    settled = settled_interval(setup, i, book, clearing, imported, exported, {}, deemed=deemed)
    assert settled.traded_wh * 2 == ordered_wh > 0.99 * HOMES * share.energy_wh
    assert HOMES * ROUNDS * MOST_WH * MOST_PRICE > INT64_SAFE, "the share forbids nothing"


def _but_last(message: OrderMessage) -> tuple[object, ...]:
    return tuple(getattr(message, name) for name in message.__struct_fields__[:-1])


@pytest.mark.parametrize("homes", [1, 13, 150, 1_000])
def test_the_shares_of_all_homes_in_all_rounds_fit_together(homes: int) -> None:
    share = share_of(LIMITS, homes)
    assert homes * ROUNDS * share.energy_wh * MOST_PRICE * 2 <= INT64_SAFE
    assert homes * ROUNDS * share.orders <= MAX_ROWS
    assert homes * ROUNDS * (share.data_bytes + 192) + CLOSINGS_BYTES <= MAX_BLOB_BYTES


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
def test_beyond_its_share_a_home_is_refused_and_the_rounds_before_and_after_stand(
    share: Share, most: str
) -> None:
    intake = intake_of(share)
    fitting, beyond = {
        "energy": (many(1, 250), many(1, 251)),
        "orders": (many(2), many(3)),
        "bytes": (many(10), many(60)),
    }[most]

    def message(number: int, lines: tuple[OrderLine, ...]) -> OrderMessage:
        return OrderMessage(*_but_last(order("h1", number, round=number)), lines)

    lines = (fitting, fitting, beyond, fitting)
    codes = [take(intake, message(number, one)) for number, one in enumerate(lines)]
    accepted = ReceiptCode.ACCEPTED
    assert codes == [accepted, accepted, ReceiptCode.REFUSED, accepted]
    assert "h1" in intake.pending[T0, 1].entries
    assert "h1" not in intake.pending[T0, 2].entries


def test_a_replacement_takes_the_place_of_what_it_replaces() -> None:
    intake = intake_of(Share(1_000, ALONE, ALONE))
    assert take(intake, order("h1", 1, energy_wh=900)) == ReceiptCode.ACCEPTED
    assert take(intake, order("h1", 2, energy_wh=1_001)) == ReceiptCode.REFUSED
    assert take(intake, order("h1", 3, energy_wh=1_000)) == ReceiptCode.REPLACED


def test_a_reading_takes_no_share() -> None:
    assert take(intake_of(Share(0, 0, 0)), reading("h1")) == ReceiptCode.ACCEPTED


def test_nothing_takes_room_of_the_blob_only() -> None:
    intake = intake_of(Share(0, 0, ALONE))
    assert take(intake, nothing("h1")) == ReceiptCode.ACCEPTED


def test_a_signed_message_is_larger_than_its_line_in_a_blob() -> None:
    for message in (order("h1", 2**62), nothing("h1"), OrderMessage(*_but_last(order("h1")), many(64, 9))):
        signed = sign_message(key_of("h1"), message)
        one, none = (make_blob(ROSTER, T0, bytes(32), part) for part in ([signed], []))
        assert len(one) - len(none) <= taken_by(message, signed).data_bytes
    signed = sign_message(key_of("h1"), reading("h1", 2**62))
    assert len(make_blob(ROSTER, T0, bytes(32), [signed])) - len(none) <= 192


def test_each_home_has_a_share_of_its_own() -> None:
    intake = intake_of(Share(100, ALONE, ALONE))
    assert take(intake, order("h1", energy_wh=100)) == ReceiptCode.ACCEPTED
    assert take(intake, order("h2", energy_wh=100)) == ReceiptCode.ACCEPTED


def test_a_collector_refuses_what_is_beyond_the_share_of_a_round_and_no_message_counts_in_another() -> None:
    async def body() -> None:
        keys = {name: key_of(name).public_key for name in ROSTER}
        async with MemoryNetwork(Faults()).endpoint(OPERATOR) as node:
            head = (OPERATOR, CHAIN, ROSTER, home_keys(keys), MINUTES, OpenGates())
            operator = Operator(node, *head, limits=LIMITS)
            operator._intake.share = Share(300, ALONE, ALONE)
            for number, energy_wh, code in (
                (0, 300, ReceiptCode.ACCEPTED),
                (1, 301, ReceiptCode.REFUSED),
                (1, 300, ReceiptCode.ACCEPTED),
            ):
                message = order("h1", energy_wh, round=number, energy_wh=energy_wh)
                frame = sign_message(key_of("h1"), message, LIMITS)
                receipt = decode(Signed, await operator._take_order("peer", frame))
                assert decode(ReceiptMessage, receipt.body).code == code

    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))
