"""Late readings at a collector: which it keeps, how many, and until when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from p2p.errors import Malformed
from p2p.roles.collector.late import LATE_MAX, LateReadings
from p2p.roles.exchange.wire import LATE_PROTOCOL, HandIn, HandInReply
from p2p.transports.memory import MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.messages import VERSION, ReadingMessage
from tests.kits.roles_kit import CHAIN, OPERATOR, STEP, T0, reading
from tests.kits.validator_kit import STRANGER

MOST_AGE = 200


class Street:
    """A collector of late readings, and somebody who gives it some.

    Attributes:
        newest: Intervals that were settled after the one at T0.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.known: dict[bytes, ReadingMessage] = {}
        self.late: LateReadings

    def age_of(self, start_s: int) -> int:
        return self.newest - (start_s - T0) // STEP

    def read(self, data: bytes) -> ReadingMessage:
        if data not in self.known:
            raise Malformed("not signed by a home")
        return self.known[data]

    def signed(self, household: str, interval: int = 0) -> bytes:
        data = f"{household} {interval}".encode()
        self.known[data] = reading(household, start=T0 + interval * STEP)
        return data


def on_street(body: Callable[[Street, Callable[..., Awaitable[list[bytes]]]], Awaitable[None]]) -> None:
    async def main() -> None:
        network, street = MemoryNetwork(), Street()
        async with network.endpoint(OPERATOR) as collector, network.endpoint(STRANGER) as home:
            street.late = LateReadings(collector, CHAIN, street.read, street.age_of, MOST_AGE)
            peer = await home.connect(f"/memory/p2p/{collector.peer_id}")

            async def give(*messages: bytes) -> list[bytes]:
                frame = encode(HandIn(VERSION, CHAIN, messages))
                reply = await home.request(peer, LATE_PROTOCOL, frame)
                return list(decode(HandInReply, reply).entries)

            await body(street, give)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_readings_are_kept_once_for_each_home_and_interval() -> None:
    async def body(street: Street, give: Callable[..., Awaitable[list[bytes]]]) -> None:
        street.newest = 3
        one, other, later = street.signed("h1"), street.signed("h2"), street.signed("h1", 2)
        assert await give(one, b"junk", other, later) == [b"", b"!malformed", b"", b""]
        second = b"h1 another"
        street.known[second] = reading("h1", nonce=2, start=T0)
        assert await give(second) == [b""]
        assert street.late.waiting == {T0: {"h1": one, "h2": other}, T0 + 2 * STEP: {"h1": later}}
        street.late.drop(T0, frozenset({"h1"}))
        assert street.late.waiting == {T0: {"h2": other}, T0 + 2 * STEP: {"h1": later}}
        street.late.drop(T0, frozenset({"h2"}))
        assert list(street.late.waiting) == [T0 + 2 * STEP]

    on_street(body)


def test_a_reading_is_taken_from_the_settlement_of_its_interval_until_that_is_settled_no_more() -> None:
    async def body(street: Street, give: Callable[..., Awaitable[list[bytes]]]) -> None:
        next_one = street.signed("h1", 1)
        assert await give(next_one) == [b"!early"]
        street.newest = 1
        assert await give(next_one) == [b""]
        street.newest = MOST_AGE
        street.late.drop_old()
        assert list(street.late.waiting) == [T0 + STEP]
        assert await give(street.signed("h2"), street.signed("h2", 1)) == [b"!too_late", b""]
        street.newest = MOST_AGE + 1
        street.late.drop_old()
        assert not street.late.waiting

    on_street(body)


def test_a_home_has_a_bounded_number_of_readings_waiting() -> None:
    async def body(street: Street, give: Callable[..., Awaitable[list[bytes]]]) -> None:
        street.newest = LATE_MAX + 5
        answers = await give(*(street.signed("h1", interval) for interval in range(LATE_MAX + 5)))
        assert answers == [b""] * LATE_MAX + [b"!too_many"] * 5
        assert len(street.late.waiting) == LATE_MAX
        assert await give(street.signed("h2", LATE_MAX + 1)) == [b""]
        street.late.drop(T0, frozenset({"h1"}))
        assert await give(street.signed("h1", LATE_MAX)) == [b""]

    on_street(body)


def test_who_waits_learns_of_each_new_reading() -> None:
    async def body(street: Street, give: Callable[..., Awaitable[list[bytes]]]) -> None:
        with trio.move_on_after(10) as waited:
            await street.late.news()
        assert waited.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(street.late.news)
            await trio.testing.wait_all_tasks_blocked()
            await give(street.signed("h1"))

    on_street(body)
