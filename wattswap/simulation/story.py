"""A failing run as a short story: its faults and lies, what was violated, and what happened to the victim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from market.errors import counted
from p2p.wire.messages import NothingMessage, ReadingMessage, message_id
from wattswap.simulation.history import History
from wattswap.simulation.oracles import Violation
from wattswap.simulation.plan import Act, Lie, digits

SHOWN: Final = 5
"""Violations of one kind that are shown."""
STEPS: Final = 12
"""Events of the victim that are shown."""

_DONE: Final = {
    "crash": "crashes",
    "power": "loses its power",
    "gone": "is gone for good",
    "restart": "is stopped and started",
    "rotate": "rotates the key of a home",
    "hang": "hangs: it receives and sends nothing",
    "cut": "is cut off from all others",
    "one_way": "reaches nobody",
    "slow": "has a slow network",
    "skew": "has a wrong clock",
    "jump": "has a clock that jumps",
    "full": "has a full disk",
}


def story(history: History, violations: Sequence[Violation]) -> list[str]:
    """A run with violations as sentences, a line each.

    Args:
        violations: At least one; the first names the victim.
    """
    plan = history.plan
    shape, weather = plan.shape, plan.weather
    homes = f"{len(history.setup.roster)} homes" + (
        f" behind {counted(shape.gateways, 'gateway')}" if shape.gateways else ""
    )
    lines = [
        f"seed {plan.seed}: {shape.validators} validators, 1 operator, {homes},"
        f" {counted(shape.intervals, 'interval')} every {digits(shape.pace_s)} s",
        f"  network until {digits(plan.calm_s)} s: {weather.delay_min_s:g} to {weather.delay_max_s:g} s,"
        f" {weather.loss:.0%} lost, {weather.duplication:.0%} twice",
    ]
    lines += [f"  {lie_in_words(lie)}" for lie in plan.lies]
    lines += [
        f"  {at_s:7.2f} s  {act_in_words(act)}" for at_s, act in sorted(history.acted, key=lambda one: one[0])
    ]
    by_oracle: dict[str, list[Violation]] = {}
    for violation in violations:
        by_oracle.setdefault(violation.oracle, []).append(violation)
    for oracle, found in by_oracle.items():
        lines.append(f"violated: {oracle}" + (f", {len(found)} times" if len(found) > 1 else ""))
        lines += [f"  {_place(history, one)}{one.text}" for one in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  ... and {len(found) - SHOWN} more")
    first = violations[0]
    events = list(_events(history, first))
    if events:
        lines.append(f"what happened to {first.who or 'it'}:")
        lines += [f"  {at_s:7.2f} s  {text}" for at_s, text in events[:STEPS]]
        if len(events) > STEPS:
            lines.append(f"  ... and {len(events) - STEPS} more")
    return lines


def act_in_words(act: Act) -> str:
    """An act as a sentence."""
    who = ", ".join(act.who[:4]) + (f" and {len(act.who) - 4} more" if len(act.who) > 4 else "")
    amount = f", by {act.amount:g}" if act.amount else ""
    lasts = f", for {act.for_s:g} s" if act.for_s else ""
    return f"{who} {_DONE[act.kind]}{amount}{lasts}"


def lie_in_words(lie: Lie) -> str:
    """A lie as a sentence."""
    victim = f" to {lie.victim}" if lie.victim else ""
    return f"{lie.who} lies{victim}: {lie.name}, from interval {lie.first} on"


def _place(history: History, violation: Violation) -> str:
    if violation.start_s < 0:
        return ""
    return f"interval {history.setup.index_of(violation.start_s)}: "


def _events(history: History, violation: Violation) -> Iterator[tuple[float, str]]:
    """What a home sent and received in an interval, in the order of time."""
    found = []
    start_s, who = violation.start_s, violation.who
    if start_s >= 0:
        found.append((history.plan.opens_s(history.setup.index_of(start_s)), "the interval opens"))
    for name, spoken in history.truth.spoken.items():
        message = spoken.message
        if (message.interval_start, message.household) != (start_s, who):
            continue
        what = "reading" if isinstance(message, ReadingMessage) else "order"
        if isinstance(message, NothingMessage):
            what = "word that it orders nothing"
        found.append((spoken.at_s, f"{who} sends its {what} to {spoken.collector}"))
        for receipt in history.truth.receipts:
            if receipt.name == name:
                found.append(
                    (receipt.at_s, f"{receipt.collector} answers for the {what}: {receipt.code.name}")
                )
        for refused in history.truth.refused:
            if refused.name == name:
                found.append((refused.at_s, f"{refused.collector} refuses the {what}: {refused.code}"))
    settled = history.settled.get(start_s)
    if settled is not None and settled.at_s is not None:
        there = set() if settled.content is None else {message_id(one) for one in settled.content.orders}
        collector = history.name_of(settled.sender)
        found.append(
            (settled.at_s, f"block {settled.height} settles it: by {collector}, {len(there)} orders")
        )
    return iter(sorted(found))
