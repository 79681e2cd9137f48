"""A seed repeats a whole run: again, in another process, under another hash seed; another seed gives another run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio._core import _run as trio_runs

from wattswap.simulation.base import base_of
from wattswap.simulation.plan import Plan, Shape, Weather, draw_plan
from wattswap.simulation.run import simulated
from wattswap.simulation.scheduler import NotRepeatable, pause, run_repeatably

SHORT = Shape(intervals=3)
PRINTS_TRACE = """
import sys
from tests.wattswap.simulation.test_repeatable_runs import trace_of
print(trace_of(int(sys.argv[1])))
"""


def trace_of(seed: int) -> str:
    """Hash of all messages of a drawn run."""
    plan = draw_plan(seed, SHORT, list(base_of(SHORT, False).configs))
    with simulated(plan) as outcome:
        assert outcome.events > 500
        return outcome.trace


def in_another_process(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS_TRACE, str(seed)],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_seed_gives_the_same_trace_again_and_under_two_hash_seeds_and_another_seed_another() -> None:
    here = trace_of(6)
    assert trace_of(6) == here
    assert in_another_process(6, "1") == here
    assert in_another_process(6, "2") == here
    assert trace_of(7) != here


@pytest.mark.parametrize(
    "plan", [Plan(shape=SHORT, frames=True), Plan(shape=SHORT, signatures=True, own_checks=True)]
)
def test_frames_and_real_signatures_repeat_too(plan: Plan) -> None:
    traces = []
    for _ in range(2):
        with simulated(plan) as outcome:
            traces.append(outcome.trace)
    assert traces[0] == traces[1]


def test_signatures_by_hash_are_not_those_of_ed25519() -> None:
    traces = []
    for signatures in (False, True):
        with simulated(Plan(shape=SHORT, signatures=signatures)) as outcome:
            traces.append(outcome.trace)
    assert traces[0] != traces[1]


async def _order_of_tasks() -> list[int]:
    """Order in which tasks run that are ready at the same time, some of them by equal deadlines."""
    order = []

    async def note(number: int) -> None:
        with trio.move_on_after(1.0 + number % 2):
            await trio.sleep_forever()
        order.append(number)
        await trio.lowlevel.checkpoint()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(note, number)
    return order


def test_trio_orders_tasks_by_the_seed_alone() -> None:
    one, again, other = (run_repeatably(_order_of_tasks, seed) for seed in ("1", "1", "2"))
    assert one == again
    assert one != other
    assert sorted(one) == sorted(other)


def test_sleepers_wake_in_time_with_deadlines_between_them() -> None:
    woken = []

    async def deadline(seconds: float) -> None:
        with trio.move_on_after(seconds):
            await trio.sleep_forever()

    async def nap(seconds: float, how: Callable[[float], Awaitable[None]]) -> None:
        await how(seconds)
        woken.append((seconds, trio.current_time()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for seconds, how in ((0.3, pause), (0.2, deadline), (0.1, pause), (0.4, deadline)):
                nursery.start_soon(nap, seconds, how)

    run_repeatably(main, "1")
    assert woken == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]


def test_time_does_not_wait_for_a_sleep_that_was_cancelled() -> None:
    async def main() -> float:
        with trio.move_on_after(0.5) as scope:
            await pause(60.0)
        assert scope.cancelled_caught
        await pause(0.25)
        return trio.current_time()

    assert run_repeatably(main, "1") == 0.75


def test_outside_of_a_repeatable_run_a_sleep_is_one_of_trio() -> None:
    async def main() -> float:
        await pause(3.0)
        return trio.current_time()

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == 3.0


def test_the_switch_of_trio_is_back_where_it_was() -> None:
    before = trio_runs._ALLOW_DETERMINISTIC_SCHEDULING, trio_runs._r, trio_runs.Deadlines.add
    run_repeatably(_order_of_tasks, "1")
    assert before == (trio_runs._ALLOW_DETERMINISTIC_SCHEDULING, trio_runs._r, trio_runs.Deadlines.add)


def test_without_the_switch_of_trio_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trio_runs, "_ALLOW_DETERMINISTIC_SCHEDULING")
    with pytest.raises(NotRepeatable, match="_ALLOW_DETERMINISTIC_SCHEDULING"):
        run_repeatably(_order_of_tasks, "1")


def test_a_fault_of_one_way_leaves_the_faults_of_another_alone() -> None:
    """Shrinking needs it: each way has a generator of its own."""
    from p2p.transports.memory import Faults
    from wattswap.simulation.network import SimulatedNetwork

    faults = Faults(5, 0.001, 0.5, 0.2, 0.2)
    names = {"a": "a", "b": "b", "c": "c"}
    alone, beside = SimulatedNetwork(faults, names=names), SimulatedNetwork(faults, names=names)
    for _ in range(7):
        beside.fate("a", "c", "x")
    assert [alone.fate("a", "b", "x") for _ in range(20)] == [beside.fate("a", "b", "x") for _ in range(20)]


def test_weather_of_a_run_is_as_planned() -> None:
    """Loss shows as more messages than without: the same run is repeated until it is through."""
    with simulated(Plan(shape=SHORT, calm_after=2)) as outcome:
        calm = outcome.events
    with simulated(Plan(shape=SHORT, calm_after=2, weather=Weather(loss=0.2, delay_max_s=0.3))) as outcome:
        assert outcome.events > calm
        assert set(outcome.history.settled) == set(outcome.history.starts())
