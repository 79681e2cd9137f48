"""Make a failing plan small: leave out act after act, lie after lie and fault after fault while it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from wattswap.simulation.plan import CALM, Plan

Fails = Callable[[Plan], bool]
"""Whether a plan shows the violation that is looked for."""

_HALVES = 8
"""Least length of a list of acts of which halves are left out first."""


def shrink(plan: Plan, fails: Fails, runs_max: int = 200) -> Plan:
    """Return a plan that still fails and of which no single part can be left out.

    Args:
        plan: One that fails.
        fails: Runs a plan.
        runs_max: Most plans that are run.
    """
    left = runs_max
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(plan):
            if left == 0:
                return plan
            left -= 1
            if fails(smaller):
                plan, changed = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with less in them, the boldest first."""
    replace = msgspec.structs.replace
    count = len(plan.acts)
    if count >= _HALVES:
        yield replace(plan, acts=plan.acts[: count // 2])
        yield replace(plan, acts=plan.acts[count // 2 :])
    for i in range(count):
        yield replace(plan, acts=plan.acts[:i] + plan.acts[i + 1 :])
    for i in range(len(plan.lies)):
        yield replace(plan, lies=plan.lies[:i] + plan.lies[i + 1 :])
    if plan.weather != CALM:
        yield replace(plan, weather=CALM)
        for name in ("loss", "duplication", "delay_max_s"):
            usual = getattr(CALM, name)
            if getattr(plan.weather, name) != usual:
                yield replace(plan, weather=replace(plan.weather, **{name: usual}))
    for name in ("compute_s", "frames", "signatures", "own_checks"):
        if getattr(plan, name):
            yield replace(plan, **{name: type(getattr(plan, name))()})
    for i, act in enumerate(plan.acts):
        if len(act.who) > 1:
            for name in act.who:
                fewer = replace(act, who=tuple(other for other in act.who if other != name))
                yield replace(plan, acts=(*plan.acts[:i], fewer, *plan.acts[i + 1 :]))
    shape = plan.shape
    if shape.intervals > plan.calm_after + 1:
        yield replace(plan, shape=replace(shape, intervals=plan.calm_after + 1))
