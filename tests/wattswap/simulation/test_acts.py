"""Each kind of act does what its sentence says: runs with it beside the run without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import pytest
import trio

from p2p.roles.exchange.wire import BATCH_PROTOCOL
from p2p.roles.validator.config import ValidatorConfig
from p2p.wire.messages import ReadingMessage
from wattswap.nodes import roles
from wattswap.nodes.stats import STATS
from wattswap.simulation.acts import ACTS
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import START_MS, Act, Plan, Shape, Weather
from wattswap.simulation.run import simulated
from wattswap.simulation.town import Town

WHO, HOME = "validator-1", "home-03"
OPENING_S, CALM_S = 3.0, 13.0
BEGIN_S, FOR_S = 4.2, 6.0
UNDER_WAY_S = 0.11
"""What has left before an act may still arrive: there and back. [s]"""


class Line(NamedTuple):
    """A message of a run."""

    at_s: float
    kind: str
    sender: str
    receiver: str
    channel: str


class Ran(NamedTuple):
    """What a test asks about a run.

    Args:
        spoken: When a home first sent its order of an interval, by home and interval. [s after the begin]
        writes: When a node has written what. [s after the begin]
        stats: Lines that each node has written about its intervals.
    """

    lines: tuple[Line, ...]
    acted: tuple[tuple[float, Act], ...]
    spoken: dict[tuple[str, int], float]
    stats: dict[str, bytes]
    writes: tuple[tuple[float, str, str], ...]
    violated: frozenset[str]

    def promised(self, who: str, until_s: float) -> bool:
        """Whether a node has written down a promise by a moment."""
        return any(
            at_s < until_s and (name, what) == (who, "INSERT journal.db") for at_s, name, what in self.writes
        )


@cache
def ran(*acts: Act) -> Ran:
    """Run two intervals, of which the second opens with the calm; every message takes 50 ms.

    Validators send statuses five times as often as usual, so that one with nothing to decide speaks each second.
    """
    weather = Weather(delay_min_s=0.05, delay_max_s=0.05)
    plan = Plan(seed=3, shape=Shape(intervals=2), weather=weather, calm_after=1, acts=acts)
    writes: list[tuple[float, str, str]] = []
    right = Town.before_write

    def before_write(town: Town, name: str, number: int, what: str) -> None:
        right(town, name, number, what)
        writes.append((trio.current_time(), name, what))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Town, "before_write", before_write)
        patch.setattr(roles, "ValidatorConfig", partial(ValidatorConfig, resend_ms=200))
        return _read(plan, writes)


def _read(plan: Plan, writes: list[tuple[float, str, str]]) -> Ran:
    with simulated(plan, with_lines=True) as outcome:
        history = outcome.history
        index_of = history.setup.index_of
        spoken = {
            (one.message.household, index_of(one.message.interval_start)): one.at_s
            for one in history.truth.spoken.values()
            if not isinstance(one.message, ReadingMessage)
        }
        stats = {
            name: (folder / STATS).read_bytes()
            for name, folder in history.folders.items()
            if (folder / STATS).exists()
        }
        violated = frozenset(one.oracle for one in judge(history))
        lines = tuple(Line(float(at), *rest[:4]) for at, *rest in (line.split() for line in outcome.lines))
        return Ran(lines, tuple(history.acted), spoken, stats, tuple(writes), violated)


def act(kind: str, who: str = WHO, **more: object) -> Act:
    """An act one second after the first opening."""
    return Act(kind, (who,), **{"after_s": BEGIN_S - OPENING_S, "for_s": FOR_S} | more)  # type: ignore[arg-type]


def arrived(found: Ran, sender: str = "", receiver: str = "", *, until_s: float = FOR_S) -> Iterator[Line]:
    """What came from or to a node while an act lasted."""
    for line in found.lines:
        is_then = BEGIN_S + UNDER_WAY_S < line.at_s < BEGIN_S + until_s
        is_theirs = sender in ("", line.sender) and receiver in ("", line.receiver)
        if line.kind in ("reply", "arrival") and is_then and is_theirs:
            yield line


def asked(found: Ran, sender: str, begin_s: float, end_s: float) -> int:
    """Requests of a node between two moments."""
    return sum(
        line.kind == "ask" and line.sender == sender and begin_s < line.at_s < end_s for line in found.lines
    )


def test_every_kind_is_tested_here() -> None:
    """ "rotate" is in `test_rotation`."""
    assert set(ACTS) - {"rotate"} == {
        *("crash", "power", "restart", "gone", "hang", "cut", "one_way", "slow", "skew", "jump", "full")
    }


def test_without_acts_the_node_speaks_all_the_time() -> None:
    assert asked(ran(), WHO, BEGIN_S, BEGIN_S + FOR_S) > 10
    assert any(arrived(ran(), WHO))
    assert any(arrived(ran(), "", WHO))


@pytest.mark.parametrize("kind", ["crash", "power", "restart"])
def test_a_node_that_is_down_says_nothing_and_comes_back(kind: str) -> None:
    found = ran(act(kind))
    assert [at_s for at_s, _ in found.acted] == [BEGIN_S]
    assert asked(found, WHO, BEGIN_S, BEGIN_S + FOR_S) == 0
    assert not list(arrived(found, WHO))
    assert asked(found, WHO, BEGIN_S + FOR_S, CALM_S) > 5
    assert not found.violated


def test_a_node_crashes_before_a_write_of_its_disk() -> None:
    """The first 40 make its files; the 46th is a vote in the first interval."""
    found = ran(Act("crash", (WHO,), "write", 46, for_s=5.0))
    ((at_s, _),) = found.acted
    assert OPENING_S < at_s < OPENING_S + 1.0
    assert asked(found, WHO, at_s, at_s + 5.0) == 0
    assert asked(ran(), WHO, at_s, at_s + 5.0) > 10
    assert asked(found, WHO, at_s + 5.0, CALM_S) > 5


def test_power_takes_what_is_not_synced_and_a_crash_does_not() -> None:
    """A node writes lines about its intervals without a sync, and lives an interval again whose line is lost."""
    crash, power = (ran(act(kind, HOME, for_s=0.5)) for kind in ("crash", "power"))
    first_line_at_s = [
        json.loads(found.stats[HOME].splitlines()[0])["at"] - START_MS / 1_000 for found in (crash, power)
    ]
    assert first_line_at_s[0] < BEGIN_S < first_line_at_s[1]  # lived again: its line was lost
    for found in (crash, power):
        assert found.stats[HOME].count(b'"lived"') == 2
        assert not found.violated


def test_a_node_that_is_gone_never_comes_back() -> None:
    found = ran(act("gone"))
    assert asked(found, WHO, BEGIN_S, 100.0) == 0
    assert not found.violated


def test_nothing_goes_to_or_from_a_node_that_hangs() -> None:
    found = ran(act("hang"))
    assert not list(arrived(found, WHO))
    assert not list(arrived(found, "", WHO))
    assert asked(found, WHO, BEGIN_S + FOR_S, CALM_S) > 5


def test_a_cut_is_both_ways_and_one_way_is_one() -> None:
    """Orders do not reach an operator that is cut off; one that reaches nobody gets them and cannot answer."""
    cut, one_way = (ran(Act(kind, ("operator-0",), after_s=0.12, for_s=FOR_S)) for kind in ("cut", "one_way"))
    answers = [[line for line in found.lines if line.channel == BATCH_PROTOCOL] for found in (cut, one_way)]
    for lines in answers:
        early = [line for line in lines if line.at_s < OPENING_S + FOR_S and line.kind == "reply"]
        assert not any(line.sender == "operator-0" for line in early)
    assert not cut.promised("operator-0", OPENING_S + 2.0)
    assert one_way.promised("operator-0", OPENING_S + 2.0)


def test_messages_of_a_slow_node_take_longer() -> None:
    """A question and its answer take 0.1 s, and 20 times that on slow ways."""

    def fastest_s(found: Ran) -> float:
        asks = [line.at_s for line in found.lines if line.kind == "ask" and line.sender == WHO]
        replies = [
            line.at_s
            for line in found.lines
            if line.kind == "reply" and line.receiver == WHO and BEGIN_S + 2.2 < line.at_s < BEGIN_S + FOR_S
        ]
        return min(reply - max(ask for ask in asks if ask < reply - 1e-6) for reply in replies)

    assert len(list(arrived(ran(act("slow", amount=20.0)), WHO))) < len(list(arrived(ran(), WHO))) / 2
    assert fastest_s(ran()) < 0.11


@pytest.mark.parametrize("ahead_s", [1.5, -1.5])
def test_a_home_whose_clock_is_wrong_speaks_early_or_late(ahead_s: float) -> None:
    usual, found = ran(), ran(Act("skew", (HOME,), amount=ahead_s))
    assert found.spoken[HOME, 0] == pytest.approx(usual.spoken[HOME, 0] - ahead_s, abs=0.2)
    assert found.spoken["home-04", 0] == pytest.approx(usual.spoken["home-04", 0], abs=0.01)


def test_a_clock_that_jumps_is_right_before_and_right_again_in_the_calm() -> None:
    usual, found = ran(), ran(act("jump", HOME, after_s=0.05, amount=1.5))
    assert found.spoken[HOME, 0] == usual.spoken[HOME, 0]
    assert found.spoken[HOME, 1] < usual.spoken[HOME, 1] - 1.0


def test_a_node_without_room_ends_and_begins_again_with_room() -> None:
    """It ends at its first write: the operator when it writes down a promise."""
    found = ran(Act("full", ("operator-0",), after_s=0.0, for_s=FOR_S))
    assert asked(found, "operator-0", OPENING_S + 1.0, OPENING_S + FOR_S) == 0
    assert asked(ran(), "operator-0", OPENING_S + 1.0, OPENING_S + FOR_S) > 0
    assert asked(found, "operator-0", OPENING_S + FOR_S, 100.0) > 0
    assert not found.violated
