"""Plans of the runs in which mutants are looked for, each of a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from wattswap.simulation.base import base_of
from wattswap.simulation.plan import CALM, Act, Lie, Plan, Shape, Weather, draw_plan

SHORT = Shape(intervals=4)
"""Enough for what shows without faults."""


def quiet(seed: int) -> Plan:
    """No faults."""
    return Plan(seed=seed, shape=SHORT, calm_after=1)


def drawn(seed: int) -> Plan:
    """The faults that the sweep draws."""
    shape = Shape()
    return draw_plan(seed, shape, list(base_of(shape, False).configs))


def slow_and_lossy(seed: int) -> Plan:
    """Delays of up to a second, one message in twenty lost."""
    return Plan(seed=seed, weather=Weather(delay_max_s=1.0, loss=0.05))


def restarts(
    *names: str, at_most_s: float, for_s: float = 0.3, slow: bool = False, intervals: int = 5
) -> Callable[[int], Plan]:
    """Plans in which nodes crash soon after the second opening, and come back.

    Args:
        at_most_s: Latest moment after the opening.
        for_s: How long they are away at most.
        slow: Whether messages take long.
        intervals: Of the run.
    """

    def plan(seed: int) -> Plan:
        random = Random(f"mutant|{seed}")
        after_s, away_s = round(random.uniform(0.0, at_most_s), 4), round(random.uniform(for_s / 6, for_s), 4)
        acts = (Act("crash", names, "opening", 1, after_s, away_s),)
        weather = Weather(delay_max_s=0.3) if slow else CALM
        return Plan(seed=seed, shape=Shape(intervals=intervals), weather=weather, calm_after=2, acts=acts)

    return plan


def crashes_while_voting(seed: int) -> Plan:
    """Two of the four validators crash, each before a write of its own, and come back at once."""
    random = Random(f"mutant|{seed}")
    first = random.randint(81, 160)
    acts = tuple(
        Act("crash", (f"validator-{i}",), "write", first + random.randint(0, 2), for_s=0.05) for i in range(2)
    )
    return Plan(
        seed=seed, shape=Shape(intervals=5), weather=Weather(delay_max_s=0.3), calm_after=4, acts=acts
    )


def operator_gone(seed: int) -> Plan:
    """The operator is gone for good at the second opening."""
    return Plan(
        seed=seed, shape=Shape(intervals=5), calm_after=2, acts=(Act("gone", ("operator-0",), number=1),)
    )


def late_operator(seed: int) -> Plan:
    """The operator says LATE to one home in each interval."""
    return Plan(seed=seed, shape=SHORT, calm_after=1, lies=(Lie("late", "operator-0", "home-02"),))


def validators_crash(seed: int) -> Plan:
    """All validators crash after they have promised, and come back at once; the operator says LATE to one home."""
    random = Random(f"mutant|{seed}")
    acts = tuple(
        Act("crash", (f"validator-{i}",), number=1, after_s=random.uniform(0.4, 2.0), for_s=0.05)
        for i in range(4)
    )
    late = Lie("late", "operator-0", "home-02")
    return Plan(seed=seed, shape=SHORT, calm_after=2, acts=acts, lies=(late,))


def late_home(seed: int) -> Plan:
    """A home whose clock is so slow that its orders come after the gate, and the operator lies to another one."""
    late = Lie("late", "operator-0", "home-02")
    acts = (Act("skew", ("home-05",), amount=-5.0),)
    return Plan(seed=seed, shape=SHORT, calm_after=1, acts=acts, lies=(late,))
