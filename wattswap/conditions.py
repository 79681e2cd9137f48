"""Conditions on figures in words of the command line: `saving < 10`, `mcafee.homes_worse_off == 0`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from wattswap.errors import Problem, UsageError, suggest

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(r"(?:(?P<label>\S+)\.)?(?P<metric>\w+)\s*(?P<sign>[<>]=?|[=!]=)\s*(?P<number>[^\s=]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Args:
        text: As it was given.
        label: Whose figure; None for that of every mechanism that competes.
        metric: Name of the figure.
        sign: A sign of comparison.
        number: What the figure is compared with.
    """

    text: str
    label: str | None
    metric: str
    sign: str
    number: float

    def holds(self, value: float) -> bool:
        """Whether it holds for a figure."""
        return _COMPARE[self.sign](value, self.number)


def read_conditions(
    option: str, texts: Sequence[str], labels: Collection[str], metrics: Collection[str]
) -> list[Condition]:
    """Read conditions, all mistakes at once.

    Args:
        option: The option of the command line, for messages.
        texts: What was given to it.
        labels: Mechanisms that there are.
        metrics: Figures that there are.

    Raises:
        UsageError: A text that is no condition, or names a figure or mechanism that there is not.
    """
    read = [_read(f"{option} {text}", text.strip(), labels, metrics) for text in texts]
    problems = [found for found in read if isinstance(found, Problem)]
    if problems:
        raise UsageError(*problems)
    return [found for found in read if isinstance(found, Condition)]


def _read(where: str, text: str, labels: Collection[str], metrics: Collection[str]) -> Condition | Problem:
    form = _FORM.fullmatch(text)
    number = _number(form["number"]) if form else None
    if form is None or number is None:
        return Problem(where, "is no condition", "write METRIC < NUMBER or MECHANISM.METRIC < NUMBER")
    if form["label"] is not None and form["label"] not in labels:
        return Problem(where, f"no mechanism {form['label']!r} is compared", suggest(form["label"], labels))
    if form["metric"] not in metrics:
        return Problem(where, f"no figure {form['metric']!r}", suggest(form["metric"], sorted(metrics)))
    return Condition(text, form["label"], form["metric"], form["sign"], number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None
