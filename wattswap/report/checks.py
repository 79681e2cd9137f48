"""Conditions on a report's figures, as `--assert` gives them: `saving > 0`, `mcafee.homes_worse_off == 0`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wattswap.errors import CheckFailed, Problem, UsageError, suggest
from wattswap.report.story import Outcome, Story

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"(?:(?P<who>\S+)\.)?(?P<metric>\w+)\s*(?P<how><=|>=|==|!=|<|>)\s*(?P<value>[^\s=]+)")
_CURE = "write it as saving > 0, or as uniform_price.homes_worse_off == 0 for one mechanism"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Args:
        text: As it was given.
        who: Label of a mechanism; None for every mechanism, without the reference and the bound.
        metric: Name of a figure.
        how: A sign of comparison.
        value: What the figure is compared with.
    """

    text: str
    who: str | None
    metric: str
    how: str
    value: float


def parse_checks(texts: Sequence[str], story: Story) -> list[Check]:
    """Read conditions, all mistakes at once.

    Raises:
        UsageError: A condition cannot be read, or names a figure or mechanism that the report does not have.
    """
    checks, problems = [], []
    for text in texts:
        try:
            checks.append(_parse(text, story))
        except UsageError as error:
            problems += error.problems
    if problems:
        raise UsageError(*problems)
    return checks


def hold(checks: Sequence[Check], story: Story) -> None:
    """Hold the mean of each figure against its condition; a figure that does not exist meets none.

    Raises:
        CheckFailed: Names every condition that does not hold, and the value that was found.
    """
    problems = []
    for check in checks:
        for outcome in _meant(check, story):
            value = outcome.value(check.metric)
            if value is None:
                problems.append(Problem(f"--assert {check.text}", f"{outcome.label} has no {check.metric}"))
            elif not _COMPARE[check.how](value, check.value):
                found = f"{check.metric} of {outcome.label} is {value:.10g}"
                problems.append(Problem(f"--assert {check.text}", found))
    if problems:
        raise CheckFailed(*problems)


def _parse(text: str, story: Story) -> Check:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise UsageError.of("--assert", f"{text!r} is no condition", _CURE)
    who, metric = form["who"], form["metric"]
    labels = [o.label for o in story.outcomes]
    if who is not None and who not in labels:
        raise UsageError.of("--assert", f"no mechanism {who!r} in this report", suggest(who, labels))
    known = sorted({name for o in story.outcomes for name in o.metrics})
    if metric not in known:
        raise UsageError.of("--assert", f"no figure {metric!r}", suggest(metric, known))
    try:
        value = float(form["value"])
    except ValueError:
        raise UsageError.of("--assert", f"{form['value']!r} is no number", _CURE) from None
    return Check(text, who, metric, form["how"], value)


def _meant(check: Check, story: Story) -> Sequence[Outcome]:
    return story.rivals if check.who is None else (story.outcome(check.who),)
