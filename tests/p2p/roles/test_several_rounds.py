"""Markets of several rounds: one gate after the other, what is early, late or none, and a collector that takes over."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from p2p.roles.exchange.journal import Journal
from p2p.transports.base import RequestRefused
from p2p.wire.messages import (
    NothingMessage,
    OrderMessage,
    ReceiptCode,
    message_id,
    sign_message,
)
from tests.kits.roles_kit import (
    OPERATOR,
    STEP,
    T0,
    key_of,
    nothing,
    order,
    reading,
    receipt_in,
)
from tests.kits.rounds_kit import (
    ANY,
    RIVAL,
    ROSTER,
    ROUNDS,
    operator_on,
    run,
    send,
    street,
)
from tests.kits.time_kit import time_passes

# --- gates ------------------------------------------------------------------------------------------------


def test_each_round_has_a_gate_and_only_its_own_messages() -> None:
    async def body() -> None:
        async with street() as here:
            operator, found = await here.operator(), []

            async def live(name: str) -> None:
                home = here.homes[name]
                for number in range(ROUNDS):
                    # The second home orders in the second round only.
                    is_order = name == "h1" or number == 1
                    message = (
                        order(name, 7 + number, round=number)
                        if is_order
                        else nothing(name, 7 + number, T0, number)
                    )
                    assert (await home.submit(message)).code == ReceiptCode.ACCEPTED

            async with trio.open_nursery() as nursery:
                for name in ROSTER:
                    nursery.start_soon(live, name)
                for number in range(ROUNDS):
                    found.append(await operator.collect(T0, 10.0, number))
            assert [[m.household for m in one.messages] for one in found] == [["h1"], ["h1", "h2"], ["h1"]]
            assert [one.nothing for one in found] == [("h2",), (), ("h2",)]
            assert [{m.round for m in one.messages} for one in found] == [{0}, {1}, {2}]
            assert not any(one.absent for one in found)

    run(body)


def test_a_message_for_another_round_is_early_late_or_out_of_range() -> None:
    async def body() -> None:
        async with street() as here:
            operator, codes = await here.operator(), {}
            here.gates.early |= {(T0, 2), (T0 + STEP, 0)}

            async def attack() -> None:
                await trio.testing.wait_all_tasks_blocked()
                for what, message in {
                    "past": order("h1", 1, round=0),
                    "future": order("h1", 9, round=2),
                    "next interval": order("h1", 9, start=T0 + STEP, round=0),
                    "mine": order("h1", 5, round=1),
                    "twice": order("h1", 5, round=1, energy_wh=9),
                    "lower": order("h1", 4, round=1),
                    "higher": nothing("h1", 6, T0, 1),
                    "third": order("h1", 7, round=1),
                }.items():
                    codes[what] = (await send(here, message)).code
                for number in (3, 63):
                    with pytest.raises(RequestRefused, match="out_of_range"):
                        await send(here, order("h1", 9, round=number))

            await operator.collect(T0, 1.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(attack)
                collected = await operator.collect(T0, 1.0, 1)
            assert codes == {
                "past": ReceiptCode.LATE,
                "future": ReceiptCode.EARLY,
                "next interval": ReceiptCode.EARLY,
                "mine": ReceiptCode.ACCEPTED,
                "twice": ReceiptCode.DUPLICATE,
                "lower": ReceiptCode.STALE_NONCE,
                "higher": ReceiptCode.REPLACED,
                "third": ReceiptCode.REFUSED,
            }
            assert (collected.messages, collected.nothing) == ((), ("h1",))

    run(body)


@pytest.mark.parametrize(
    ("not_awaited", "closes_s"), [((), 2.0), (("h2",), 2.0), (("h1",), 1.0), (("h1", "h2"), 0.0)]
)
def test_a_gate_that_waits_for_some_homes_takes_the_messages_of_the_others_until_then(
    not_awaited: tuple[str, ...], closes_s: float
) -> None:
    async def body() -> None:
        async with street() as here:
            operator = await here.operator()

            async def say(message: OrderMessage | NothingMessage, after_s: float) -> None:
                await time_passes(after_s)
                await send(here, message, message.household)

            begun = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, order("h2", 5), 1.0)
                nursery.start_soon(say, nothing("h1", 5), 2.0)
                collected = await operator.collect(T0, 9.0, not_awaited=not_awaited)
                took_s = trio.current_time() - begun
            assert took_s == pytest.approx(closes_s, abs=0.1)
            assert collected.messages == ((order("h2", 5),) if closes_s >= 1 else ())
            assert collected.nothing == (("h1",) if closes_s >= 2 else ())
            assert collected.absent == {2.0: (), 1.0: ("h1",), 0.0: ROSTER}[closes_s]

    run(body)


def test_what_is_sent_after_the_interval_is_settled_is_late_though_its_gates_are_open() -> None:
    """Also where this collector has collected nothing of it, because another one has settled the interval."""

    async def body() -> None:
        async with street() as here:
            operator = await here.operator()
            sent = (order("h1", 5), nothing("h1", 6, T0, ROUNDS - 1), reading("h1"))
            assert (await send(here, sent[0])).code == ReceiptCode.ACCEPTED
            operator.end_interval(T0)
            assert (await send(here, sent[0])).code == ReceiptCode.ACCEPTED, "as promised before"
            assert (await send(here, order("h1", 7))).code == ReceiptCode.LATE
            for message in sent[1:]:
                assert (await send(here, message)).code == ReceiptCode.LATE
            assert (await send(here, order("h1", 9, start=T0 + STEP))).code == ReceiptCode.ACCEPTED

    run(body)


def test_whoever_waits_for_messages_of_an_interval_goes_on_when_it_is_settled() -> None:
    async def body() -> None:
        async with street() as here:
            operator = await here.operator()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(operator.collect, T0, 100.0)
                nursery.start_soon(operator.complete, T0)
                await time_passes(1)
                operator.end_interval(T0)
            assert trio.current_time() == 1

    run(body)


def test_an_interval_is_complete_with_the_messages_of_all_homes_in_all_slots() -> None:
    async def body() -> None:
        async with street() as here:
            operator = await here.operator()
            sent = [order(name, number, round=number) for number in range(ROUNDS) for name in ROSTER]
            for message in (*sent, reading("h1")):
                await send(here, message, message.household)
            with trio.move_on_after(1) as scope:
                await operator.complete(T0)
            assert scope.cancelled_caught, "a reading is missing"
            await send(here, reading("h2"), "h2")
            with trio.fail_after(0.1):
                await operator.complete(T0)

    run(body)


def test_a_collector_that_was_killed_between_rounds_keeps_what_it_promised_in_each(tmp_path: Path) -> None:
    async def body() -> None:
        async with street() as here:
            with Journal(tmp_path / "journal.db") as journal:
                async with here.network.endpoint(OPERATOR) as node:
                    operator = operator_on(node, OPERATOR, here.gates, journal)

                    async def say(number: int) -> None:
                        await trio.testing.wait_all_tasks_blocked()
                        await send(here, order("h1", 5 + number, round=number))

                    for number in (0, 1):
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(say, number)
                            if number == 0:
                                await operator.collect(T0, 1.0)
                            else:  # killed while the gate is open
                                nursery.start_soon(operator.collect, T0, 9.0, 1)
                                await time_passes(0.5)
                                nursery.cancel_scope.cancel()
            with Journal(tmp_path / "journal.db") as journal:
                async with here.network.endpoint(OPERATOR) as node:
                    operator = operator_on(node, OPERATOR, here.gates, journal)
                    first = await operator.collect(T0, 1.0)
                    assert first.messages == (order("h1", 5, round=0),)
                    late = await send(here, nothing("h1", 9, T0, 0))
                    assert late.code == ReceiptCode.LATE, "the gate was closed before"
                    second = await operator.collect(T0, 1.0, 1)
                    assert second.messages == (order("h1", 6, round=1),)

    run(body)


def test_a_collector_that_takes_over_receives_the_messages_of_all_rounds() -> None:
    async def body() -> None:
        async with street() as here:
            second = await here.operator(RIVAL)
            said = [order("h1", 5 + number, round=number) for number in range(ROUNDS)]
            home = here.homes["h1"]
            async with here.network.endpoint(OPERATOR) as node:
                first = operator_on(node, OPERATOR, here.gates)
                for number in (0, 1):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(home.submit, said[number])
                        await first.collect(T0, 1.0, number)
            found = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(home.submit, said[2])
                for number in range(ROUNDS):
                    found.append(await second.collect(T0, 5.0, number))
            assert [one.messages for one in found] == [(message,) for message in said]
            for number in range(ROUNDS):
                promise = home.promises(T0, number)[RIVAL.public_key]
                assert receipt_in(promise.receipt, "h1", RIVAL).message_id == message_id(said[number])
                assert promise.message == sign_message(key_of("h1"), said[number], ANY)

    run(body)
