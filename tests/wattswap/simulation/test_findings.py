"""What honest faults have shown, each with its plan, and that it shows again without its cure."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.collectors import Collectors
from p2p.roles.household import Household
from p2p.wire.messages import signer_of
from wattswap.simulation.base import base_of
from wattswap.simulation.oracles import UNTIL_TURNS, judge
from wattswap.simulation.plan import Act, Plan, Shape, Weather, plan_json, read_plan
from wattswap.simulation.run import simulated
from wattswap.simulation.shrink import shrink

PLANS = Path(__file__).with_name("plans")


def violated(plan: Plan) -> set[str]:
    """Names of the oracles that a run violates, without those that are open."""
    with simulated(plan) as outcome:
        return {one.oracle for one in judge(outcome.history)} - UNTIL_TURNS


# --- order and reading at two collectors ------------------------------------------------------------

TWO_COLLECTORS = read_plan(PLANS / "two_collectors.json")


def believe_the_collector_of_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As homes did: who took the order is taken for who took the reading."""
    right = Household.reading_taken_by

    def wrong(home: Household, interval_start: int) -> frozenset[bytes]:
        promise = home.promise(interval_start)
        taken = promise is not None and right(home, interval_start)
        return frozenset({signer_of(promise[0])}) if promise is not None and taken else frozenset()

    monkeypatch.setattr(Household, "reading_taken_by", wrong)


def test_no_home_ends_whose_order_and_reading_two_collectors_took() -> None:
    assert violated(TWO_COLLECTORS) == set()


def test_a_home_ended_that_took_the_collector_of_its_order_for_that_of_its_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    believe_the_collector_of_the_order(monkeypatch)
    assert violated(TWO_COLLECTORS) == {"no_node_ends"}


def test_a_failing_plan_is_shrunk_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    believe_the_collector_of_the_order(monkeypatch)
    needed = TWO_COLLECTORS.acts
    more = (Act("slow", ("home-03",), number=2, for_s=2.0, amount=3.0), Act("skew", ("home-04",), amount=0.2))
    runs = []

    def fails(plan: Plan) -> bool:
        runs.append(plan)
        return "no_node_ends" in violated(plan)

    small = shrink(Plan(**{**_fields(TWO_COLLECTORS), "acts": (*more, *needed)}), fails)
    assert plan_json(small) == plan_json(TWO_COLLECTORS)
    assert len(runs) <= 12


def _fields(plan: Plan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in plan.__struct_fields__}


# --- an old result names a collector that has failed since -----------------------------------------------

NAMED_AGAIN = read_plan(PLANS / "operator_named_again.json")


def test_a_home_that_catches_up_does_not_go_back_to_whom_an_old_result_names() -> None:
    assert violated(NAMED_AGAIN) == set()


def test_a_home_was_late_that_followed_each_old_result(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Collectors.name

    def wrong(ways: Collectors, key: bytes, height: int, interval_start: int, current_start: int) -> None:
        if interval_start >= current_start:
            ways._followed = -1  # as if no later one were known
            right(ways, key, height, 0, 0)

    monkeypatch.setattr(Collectors, "name", wrong)
    assert violated(NAMED_AGAIN) == {"takes_part"}


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


def test_the_market_stood_when_a_settled_interval_was_early_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Operator, "end_interval", lambda *_: None)
    shape = Shape(gateways=2)
    assert violated(operator_gone_and_homes_restarted(1, shape, at_once=True)) == {"liveness"}


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
