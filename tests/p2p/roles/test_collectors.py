"""Who is asked next: everybody who lost a collector walks down the same list and meets again at the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.roles.exchange.collectors import Collector, Collectors
from p2p.transports.base import RequestRefused
from p2p.wire.frames import LinkError, NoReply, StreamLost, Unreachable
from tests.kits.gateway_kit import run
from tests.kits.sample_kit import some
from tests.kits.time_kit import time_passes

FAILOVER_S = 3.0


def named(prefix: str, count: int) -> list[Collector]:
    return [Collector(f"{prefix}{i}".encode().ljust(32, b"."), f"{prefix}{i}") for i in range(count)]


@dataclass
class Line:
    """A transport whose peers are away, silent or refusing as the test says; every other one echoes."""

    away: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    breaking: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)

    async def connect(self, address: str) -> str:
        await trio.lowlevel.checkpoint()
        self.dialled.append(address)
        if address in self.away:
            raise Unreachable(f"nobody at {address}")
        return f"peer {address}"

    async def request(self, peer: str, protocol: str, frame: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        address = peer.removeprefix("peer ")
        self.asked.append(address)
        if address in self.away:
            raise Unreachable(f"nobody at {address}")
        if address in self.breaking:
            raise StreamLost("the stream broke")
        if address in self.silent:
            await trio.sleep_forever()
        if address in self.refusing:
            raise RequestRefused(peer, protocol, "out_of_range")
        return frame + b" by " + address.encode()


def follow(ways: Collectors, key: bytes, height: int) -> None:
    """Take the result of the interval in hand, one a block."""
    ways.name(key, height, interval_start=height * 900, current_start=height * 900)


def collectors(
    line: Line, operators: Sequence[Collector], authorities: Sequence[Collector] = ()
) -> Collectors:
    return Collectors(line, operators, authorities, failover_s=FAILOVER_S)  # type: ignore[arg-type]


async def fail_over(ways: Collectors) -> str:
    """Ask until another one is current; return its address."""
    before = ways.current
    deadline = trio.current_time() + 5 * FAILOVER_S
    while ways.current == before:
        assert trio.current_time() < deadline, f"nobody after {before.address}"
        with pytest.raises(LinkError):
            await ways.request("p", b"f")
        await time_passes(0.5)
    return ways.current.address


async def walk(ways: Collectors, steps: int) -> list[str]:
    return [ways.current.address, *[await fail_over(ways) for _ in range(steps)]]


def on_line(body: Callable[[Line], Awaitable[None]], **faults: set[str]) -> None:
    async def main() -> None:
        await body(Line(**faults))

    run(main)


def everybody(operators: int, authorities: int) -> set[str]:
    return {one.address for one in (*named("o", operators), *named("a", authorities))}


# --- the order --------------------------------------------------------------------------------------------


@settings(max_examples=some(40, 13), deadline=None)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(0, 40))
def test_operators_come_first_and_then_the_authorities_from_the_proposer_of_the_next_block(
    operators: int, authorities: int, height: int
) -> None:
    """The oracle counts: after block `height`, authority (height + 1 + i) mod n is the i-th to step in."""

    async def body(line: Line) -> None:
        ways = collectors(line, named("o", operators), named("a", authorities))
        follow(ways, b"nobody".ljust(32), height)
        expected = [f"o{i}" for i in range(operators)]
        expected += [f"a{(height + 1 + i) % authorities}" for i in range(authorities)]
        assert await walk(ways, len(expected)) == [*expected, "o0"]

    on_line(body, away=everybody(operators, authorities))


def test_two_households_that_lost_their_collector_at_different_times_meet_again() -> None:
    async def body(line: Line) -> None:
        early, late = (collectors(line, named("o", 2), named("a", 4)) for _ in range(2))
        for ways in (early, late):
            follow(ways, named("o", 1)[0].key, 6)
        await fail_over(early)
        await fail_over(early)
        await time_passes(100)
        await fail_over(late)
        await fail_over(late)
        assert early.current == late.current == named("a", 4)[3]

    on_line(body, away={"o0", "o1"})


def test_an_operator_that_is_an_authority_as_well_hides_nobody_behind_it() -> None:
    """It is in the list once: seeking it from the front would lead back to those before it for ever."""

    async def body(line: Line) -> None:
        both, *others = named("a", 4)
        ways = collectors(line, [both], [others[0], both, others[1], others[2]])
        follow(ways, both.key, 3)
        assert await walk(ways, 4) == ["a0", "a1", "a2", "a3", "a0"]

    on_line(body, away=everybody(0, 4))


def test_a_lone_collector_stays_the_one_that_is_asked() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 1))
        for _ in range(10):
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            await time_passes(1)
        line.away.clear()
        assert await ways.request("p", b"f") == b"f by o0"

    on_line(body, away={"o0"})


def test_every_key_of_the_list_may_sign_receipts_and_results() -> None:
    ways = collectors(Line(), named("o", 2), named("a", 4))
    assert ways.keys == {one.key for one in (*named("o", 2), *named("a", 4))}


# --- when a collector counts as lost ----------------------------------------------------------------------


def test_one_failure_changes_nothing() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o0"

    on_line(body, away={"o0"})


@pytest.mark.parametrize(("wait_s", "asked"), [(2.9, "o0"), (3.0, "o1"), (3.1, "o1")])
def test_the_next_is_asked_once_the_failing_has_lasted(wait_s: float, asked: str) -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        for pause in (wait_s, 0):
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            await time_passes(pause)
        assert ways.current.address == asked

    on_line(body, away={"o0"})


def test_an_answer_between_two_failures_ends_the_failing() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        for breaking in ({"o0"}, set(), {"o0"}):
            line.breaking = breaking
            with contextlib.suppress(StreamLost):
                await ways.request("p", b"f")
            await time_passes(2)
        assert ways.current.address == "o0"

    on_line(body)


def test_a_refusal_is_an_answer() -> None:
    """A collector that refuses is there: a failure long before and one after it are two short ones."""

    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        for way, error in (("breaking", StreamLost), ("refusing", RequestRefused), ("breaking", StreamLost)):
            line.breaking, line.refusing = set(), set()
            setattr(line, way, {"o0"})
            with pytest.raises(error):
                await ways.request("p", b"f")
            await time_passes(2)
        assert ways.current.address == "o0"

    on_line(body)


def test_refusals_alone_never_lead_to_the_next() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        for _ in range(20):
            with pytest.raises(RequestRefused):
                await ways.request("p", b"f")
            await time_passes(1)
        assert ways.current.address == "o0"

    on_line(body, refusing={"o0"})


def test_a_silent_collector_is_left_within_two_patiences() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        while ways.current.address == "o0":
            with pytest.raises(NoReply, match="within 3 s"):
                await ways.request("p", b"f")
        assert trio.current_time() <= 2 * FAILOVER_S

    on_line(body, silent={"o0"})


def test_many_requests_that_fail_at_once_go_one_step_only() -> None:
    """A hundred homes behind a gateway lose the same collector; they must not walk past the next one."""

    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 3))

        async def ask() -> None:
            with pytest.raises(NoReply):
                await ways.request("p", b"f")

        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(ask)
        assert ways.current.address == "o1"

    on_line(body, silent={"o0", "o1", "o2"})


def test_the_failing_of_the_next_is_counted_anew() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 3))
        await fail_over(ways)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o1"

    on_line(body, away={"o0", "o1", "o2"})


def test_a_collector_that_cannot_be_joined_is_left_as_well() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        while ways.current.address == "o0":
            with pytest.raises(Unreachable):
                await ways.reach()
            await time_passes(0.5)
        assert await ways.reach() == "peer o1"

    on_line(body, away={"o0"})


def test_a_collector_is_dialled_once() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 1))
        for _ in range(5):
            await ways.request("p", b"f")
        assert line.dialled == ["o0"]

    on_line(body)


# --- what results say -------------------------------------------------------------------------------------


@pytest.mark.parametrize("named_one", ["o1", "a2"])
def test_a_result_names_whom_to_ask_next(named_one: str) -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2), named("a", 4))
        (one,) = [one for one in (*named("o", 2), *named("a", 4)) if one.address == named_one]
        follow(ways, one.key, 1)
        assert await ways.request("p", b"f") == b"f by " + named_one.encode()

    on_line(body)


def test_a_result_that_names_a_stranger_changes_nobody() -> None:
    ways = collectors(Line(), named("o", 2), named("a", 4))
    follow(ways, b"stranger".ljust(32), 1)
    assert ways.current.address == "o0"


def test_the_one_that_comes_back_is_asked_again_when_a_result_names_it() -> None:
    """The operator was away; the validator that replaced it names it in the result once it is there again."""

    async def body(line: Line) -> None:
        operators, authorities = named("o", 1), named("a", 4)
        ways = collectors(line, operators, authorities)
        follow(ways, operators[0].key, 7)
        assert await fail_over(ways) == "a0"
        line.away.clear()
        assert await ways.request("p", b"f") == b"f by a0"
        follow(ways, operators[0].key, 8)
        assert await ways.request("p", b"f") == b"f by o0"

    on_line(body, away={"o0"})


def test_an_old_result_does_not_lead_back_to_one_that_failed_after_it() -> None:
    async def body(line: Line) -> None:
        operators, authorities = named("o", 1), named("a", 4)
        ways = collectors(line, operators, authorities)
        follow(ways, operators[0].key, 8)
        assert await fail_over(ways) == "a1"
        for old in (7, 8):
            follow(ways, operators[0].key, old)
            assert ways.current.address == "a1"

    on_line(body, away={"o0"})


def test_a_result_that_is_dated_ahead_is_not_followed_and_makes_no_other_old() -> None:
    """A validator may sign one for any interval, at any height."""
    ways = collectors(Line(), named("o", 2), named("a", 4))
    ways.name(named("a", 4)[3].key, 2**40, interval_start=900 * 2**30, current_start=900)
    assert ways.current.address == "o0"
    ways.name(named("o", 2)[1].key, 1, interval_start=900, current_start=900)
    assert ways.current.address == "o1"


def test_a_result_at_a_far_height_counts_for_its_own_interval_alone() -> None:
    ways = collectors(Line(), named("o", 2), named("a", 4))
    ways.name(named("a", 4)[3].key, 2**40, interval_start=900, current_start=900)
    assert ways.current.address == "a3"
    ways.name(named("o", 2)[1].key, 2, interval_start=1_800, current_start=1_800)
    assert ways.current.address == "o1"


def test_the_one_that_comes_back_does_not_pay_for_its_old_failures() -> None:
    async def body(line: Line) -> None:
        operators = named("o", 2)
        ways = collectors(line, operators)
        await fail_over(ways)
        follow(ways, operators[0].key, 1)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o0"

    on_line(body, away={"o0"})


def test_a_result_that_confirms_the_current_one_does_not_hide_its_failing() -> None:
    """Results may come by gossip of others while our own way to the collector is broken."""

    async def body(line: Line) -> None:
        operators = named("o", 2)
        ways = collectors(line, operators)
        for height in range(10):
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            if ways.current.address == "o1":
                break
            follow(ways, operators[0].key, height)
            await time_passes(1)
        assert ways.current.address == "o1"

    on_line(body, away={"o0"})


def test_an_answer_that_comes_after_the_change_does_not_count_for_the_new_one() -> None:
    """A request to the old one fails after a result named the new one: the new one did not fail."""

    async def body(line: Line) -> None:
        operators = named("o", 3)
        ways = collectors(line, operators)

        async def ask() -> None:
            with pytest.raises(NoReply):
                await ways.request("p", b"f")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await time_passes(1)
            follow(ways, operators[1].key, 1)
        line.away.add("o1")
        await time_passes(5)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o1"

    on_line(body, silent={"o0"})


def test_a_late_answer_of_the_old_one_does_not_hide_that_the_new_one_fails() -> None:
    async def body(line: Line) -> None:
        operators = named("o", 3)
        ways = collectors(line, operators)
        go_on = trio.Event()
        plain = line.request

        async def held(peer: str, protocol: str, frame: bytes) -> bytes:
            if peer == "peer o0":
                await go_on.wait()
            return await plain(peer, protocol, frame)

        line.request = held  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ways.request, "p", b"f")
            await time_passes(0.1)
            follow(ways, operators[1].key, 1)
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            await time_passes(1)
            go_on.set()
        await time_passes(2.5)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o2"

    on_line(body, away={"o1"})


def test_an_older_height_does_not_turn_the_order_back() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 1), named("a", 4))
        follow(ways, named("o", 1)[0].key, 6)
        follow(ways, named("o", 1)[0].key, 3)
        assert await fail_over(ways) == "a3"

    on_line(body, away={"o0"})
