"""What honest faults have shown, each with its plan, and that it shows again without its cure."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from p2p.roles.household.witnesses import Witnesses
from wattswap.simulation.base import base_of
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Act, Kind, Plan, Shape, Weather, read_plan
from wattswap.simulation.run import simulated
from wattswap.simulation.shrink import shrink

PLANS = Path(__file__).with_name("plans")


def violated(plan: Plan) -> set[str]:
    """Names of the oracles that a run violates."""
    with simulated(plan) as outcome:
        return {one.oracle for one in judge(outcome.history)}


# --- stored plans of what was found ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "two_collectors",
        "operator_named_again",
        "silent_witness",
        "reading_of_nothing",
        "fast_clocks",
        "fast_clock_and_lie",
    ],
)
def test_what_was_found_is_not_found_again(name: str) -> None:
    """Order and reading at two collectors ended a home; an old result led one back to a dead operator; a witness
    that was silent until the gate had closed left four homes with one promise; a reading of nothing that was left out
    was taken for a loss, though the line of its home is the same without it; validators whose clocks are fast refused
    one after the other, until the gate of the last one had ended too."""
    assert violated(read_plan(PLANS / f"{name}.json")) == set()


def test_a_failing_plan_is_shrunk_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its witnesses a home is lost with the operator that has its order."""
    monkeypatch.setattr(Witnesses, "show", lambda *_: None)
    needed = Act("gone", ("operator-0",), number=1, after_s=0.06)
    more = (
        Act("slow", ("home-03",), number=2, for_s=2.0, amount=3.0),
        Act("slow", ("home-05",), number=2, for_s=1.0, amount=2.0),
    )
    runs = []

    def fails(plan: Plan) -> bool:
        runs.append(plan)
        return "shut_out" in violated(plan)

    plan = Plan(seed=5, shape=Shape(intervals=4), calm_after=3, acts=(*more, needed))
    assert fails(plan)
    small = shrink(plan, fails)
    assert [act.kind for act in small.acts] == ["gone"]
    assert len(runs) <= 16


# --- the operator gone for good, homes restarted before they have lived -------------------------------


def operator_gone_and_homes_restarted(seed: int, shape: Shape, *, at_once: bool) -> Plan:
    """The plan of a seed.

    Args:
        at_once: Between a settlement and the last home's word that it has lived the interval; else at any time.
    """
    random = Random(f"operator gone|{seed}")
    homes = tuple(base_of(shape, False).of_role("household", "gateway"))
    number = random.randrange(4)
    most_s = 0.4 if at_once else shape.pace_s
    on = "settled" if at_once else "opening"
    gone_s, down_s = (round(random.uniform(0, most_s), 4) for _ in range(2))
    acts = (
        Act("gone", ("operator-0",), on, number, gone_s),
        Act("crash", homes, on, number, down_s, for_s=round(random.uniform(0.05, 1.0), 3)),
    )
    return Plan(seed=seed, shape=shape, acts=acts)


@pytest.mark.parametrize("gateways", [0, 2])
def test_the_market_goes_on_when_the_operator_is_gone_and_homes_begin_again(gateways: int) -> None:
    shape = Shape(gateways=gateways)
    for seed in range(3):
        assert violated(operator_gone_and_homes_restarted(seed, shape, at_once=True)) == set(), seed


@pytest.mark.slow
@pytest.mark.parametrize(("at_once", "seeds"), [(True, range(100, 300)), (False, range(300, 350))])
def test_every_later_interval_is_settled(at_once: bool, seeds: range) -> None:
    """200 moments between a settlement and the last home that has lived the interval, and 50 at any time."""
    failed = {
        seed: found
        for seed in seeds
        if (
            found := violated(
                operator_gone_and_homes_restarted(seed, Shape(gateways=2 * (seed % 2)), at_once=at_once)
            )
        )
    }
    assert not failed


@pytest.mark.slow
def test_no_home_ends_at_delays_of_up_to_a_second() -> None:
    """200 seeds in which order and reading of a home may be taken by two collectors."""
    weather = Weather(delay_max_s=1.0, loss=0.05)
    failed = {
        seed: found
        for seed in range(200)
        if (found := violated(Plan(seed=seed, weather=weather)) & {"no_node_ends"})
    }
    assert not failed


@pytest.mark.slow
def test_nobody_accepted_is_left_out_when_the_operator_dies_within_the_gate() -> None:
    """200 seeds: whom f + 1 validators have promised is settled, whatever the operator had and took with it."""
    failed = {}
    for seed in range(200):
        random = Random(f"dies within the gate|{seed}")
        after_s = round(random.uniform(0.0, random.choice((0.1, 0.5, 3.5))), 4)
        acts = (Act("gone", ("operator-0",), number=random.randrange(4), after_s=after_s),)
        found = violated(Plan(seed=seed, acts=acts))
        if found:
            failed[seed] = found
    assert not failed


@pytest.mark.parametrize(("kind", "down_s"), [("restart", 22.0), ("power", 35.0)])
def test_after_an_outage_every_home_has_its_reading_in_each_interval(kind: Kind, down_s: float) -> None:
    """All validators and the operator are down while intervals 2 to 4 open: nobody takes orders, and readings later."""
    shape = Shape(intervals=9)
    down = tuple(base_of(shape, False).of_role("validator", "operator"))
    acts = (Act(kind, down, "settled", 1, after_s=0.5, for_s=down_s),)
    with simulated(Plan(seed=3, shape=shape, acts=acts, calm_after=7)) as outcome:
        history = outcome.history
        found = [history.settled[start_s].content for start_s in history.starts()]
        assert [len(content.readings) for content in found] == [len(history.setup.roster)] * 9
        ordered = [bool(content.orders or content.nothings) for content in found]
        assert (ordered[:3], ordered[5:]) == ([True, True, False], [True] * 4)
        assert judge(history) == []
