"""Who is asked next: everybody who lost a collector walks down the same list and meets again at the next one."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.transports.base import RequestRefused
from p2p.wire.frames import NoReply, StreamLost, Unreachable
from tests.kits.line_kit import FAILOVER_S, Line, collectors, everybody, fail_over, named, on_line, walk
from tests.kits.sample_kit import some
from tests.kits.time_kit import time_passes

# --- the order --------------------------------------------------------------------------------------------


@settings(max_examples=some(40, 13), deadline=None)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(0, 40))
def test_operators_come_first_and_then_the_validators_from_another_one_in_each_interval(
    operators: int, authorities: int, height: int
) -> None:
    """The oracle counts: for interval `height`, validator (height + i) mod n is the i-th that is asked."""

    async def body(line: Line) -> None:
        ways = collectors(line, named("o", operators), named("a", authorities))
        ways.name(b"nobody".ljust(32), height, height)
        expected = [f"o{i}" for i in range(operators)]
        expected += [f"a{(height + i) % authorities}" for i in range(authorities)]
        assert await walk(ways, len(expected)) == [*expected, "o0"]

    on_line(body, away=everybody(operators, authorities))


def test_two_households_that_lost_their_collector_at_different_times_meet_again() -> None:
    async def body(line: Line) -> None:
        early, late = (collectors(line, named("o", 2), named("a", 4)) for _ in range(2))
        for ways in (early, late):
            ways.name(named("o", 1)[0].key, 6, 6)
        await fail_over(early)
        await fail_over(early)
        await time_passes(100)
        await fail_over(late)
        await fail_over(late)
        assert early.current == late.current == named("a", 4)[2]

    on_line(body, away={"o0", "o1"})


def test_an_operator_that_is_an_authority_as_well_hides_nobody_behind_it() -> None:
    """It is in the list once: seeking it from the front would lead back to those before it for ever."""

    async def body(line: Line) -> None:
        both, *others = named("a", 4)
        ways = collectors(line, [both], [others[0], both, others[1], others[2]])
        ways.name(both.key, 3, 3)
        assert await walk(ways, 4) == ["a0", "a3", "a1", "a2", "a0"]

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
        await ways.reach()
        assert line.dialled[-1] == "o1"

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
        ways.name(one.key, 1, 1)
        assert await ways.request("p", b"f") == b"f by " + named_one.encode()

    on_line(body)


def test_a_result_that_names_a_stranger_changes_nobody() -> None:
    ways = collectors(Line(), named("o", 2), named("a", 4))
    ways.name(b"stranger".ljust(32), 1, 1)
    assert ways.current.address == "o0"


def test_the_one_that_comes_back_is_asked_again_when_a_result_names_it() -> None:
    """The operator was away; the validator that replaced it names it in the result once it is there again."""

    async def body(line: Line) -> None:
        operators, authorities = named("o", 1), named("a", 4)
        ways = collectors(line, operators, authorities)
        ways.name(operators[0].key, 7, 7)
        assert await fail_over(ways) == "a3"
        line.away.clear()
        assert await ways.request("p", b"f") == b"f by a3"
        ways.name(operators[0].key, 8, 8)
        assert await ways.request("p", b"f") == b"f by o0"

    on_line(body, away={"o0"})


def test_an_old_result_does_not_lead_back_to_one_that_failed_after_it() -> None:
    async def body(line: Line) -> None:
        operators, authorities = named("o", 1), named("a", 4)
        ways = collectors(line, operators, authorities)
        ways.name(operators[0].key, 8, 8)
        assert await fail_over(ways) == "a0"
        for old in (7, 8):
            ways.name(operators[0].key, old, old)
            assert ways.current.address == "a0"

    on_line(body, away={"o0"})


def test_the_one_that_comes_back_does_not_pay_for_its_old_failures() -> None:
    async def body(line: Line) -> None:
        operators = named("o", 2)
        ways = collectors(line, operators)
        await fail_over(ways)
        ways.name(operators[0].key, 1, 1)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o0"

    on_line(body, away={"o0"})


def test_a_result_that_confirms_the_current_one_does_not_hide_its_failing() -> None:
    """Results may come by gossip of others while our own way to the collector is broken."""

    async def body(line: Line) -> None:
        operators = named("o", 2)
        ways = collectors(line, operators)
        for height in range(1, 10):
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            if ways.current.address == "o1":
                break
            ways.name(operators[0].key, height, height)
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
            ways.name(operators[1].key, 1, 1)
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
            ways.name(operators[1].key, 1, 1)
            with pytest.raises(Unreachable):
                await ways.request("p", b"f")
            await time_passes(1)
            go_on.set()
        await time_passes(2.5)
        with pytest.raises(Unreachable):
            await ways.request("p", b"f")
        assert ways.current.address == "o0", "the line begins with whom the result named"

    on_line(body, away={"o1"})


def test_an_older_height_does_not_turn_the_order_back() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 1), named("a", 4))
        ways.name(named("o", 1)[0].key, 6, 6)
        ways.name(named("o", 1)[0].key, 3, 3)
        assert await fail_over(ways) == "a2"

    on_line(body, away={"o0"})
