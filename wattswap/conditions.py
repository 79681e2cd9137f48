"""Conditions on metrics, as on the command line: `saving < 10`, `mcafee.homes_worse_off == 0`.

One grammar with two polarities: `--fail-if` gives what must not hold, `--assert` what must hold. A missing
figure fails both.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
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
_CURE = 'write METRIC < NUMBER or MECHANISM.METRIC < NUMBER, as in "saving < 10" or "mcafee.traded_kwh > 0"'
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
    """Read conditions, all errors at once.

    Args:
        option: The option of the command line, for messages.
        texts: What was given to it.
        labels: Known mechanisms.
        metrics: Known figures.

    Raises:
        UsageError: A text that is not a condition, or names an unknown figure or mechanism.
    """
    read = [_read(f"{option} {text}", text.strip(), labels, metrics) for text in texts]
    problems = [found for found in read if isinstance(found, Problem)]
    if problems:
        raise UsageError(*problems)
    return [found for found in read if isinstance(found, Condition)]


def broken(
    option: str,
    conditions: Sequence[Condition],
    figures: Mapping[str, Mapping[str, float | int | None]],
    competing: Sequence[str],
    *,
    must_hold: bool,
    where: str = "",
) -> list[Problem]:
    """One sentence for each figure that breaks a condition.

    Args:
        option: The option of the command line, for messages.
        conditions: What was asked.
        figures: Metrics by name of each label.
        competing: Whose figures a condition without a label means.
        must_hold: Whether a condition says what must be (True) or what must not be.
        where: What the figures are of, for messages, such as a point of a sweep.
    """
    problems = []
    for condition in conditions:
        for label in [condition.label] if condition.label else competing:
            value = figures[label].get(condition.metric)
            name, option_text = f"{condition.metric} of {label}{where}", f"{option} {condition.text}"
            if value is None or value != value:
                problems.append(Problem(option_text, f"{name} does not exist"))
            elif condition.holds(value) != must_hold:
                problems.append(Problem(option_text, f"{name} is {value:.10g}"))
    return problems


def _read(where: str, text: str, labels: Collection[str], metrics: Collection[str]) -> Condition | Problem:
    form = _FORM.fullmatch(text)
    number = _number(form["number"]) if form else None
    if form is None or number is None:
        return Problem(where, "is not a condition", _CURE)
    if form["label"] is not None and form["label"] not in labels:
        return Problem(where, f"no mechanism {form['label']!r} is here", suggest(form["label"], labels))
    if form["metric"] not in metrics:
        return Problem(where, f"no figure {form['metric']!r}", suggest(form["metric"], sorted(metrics)))
    return Condition(text, form["label"], form["metric"], form["sign"], number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number else None
