"""The grid of a sweep: keys of a scenario and their values, as lists, ranges and cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import product
from math import prod

from wattswap.comparison.plan import BASE, Point
from wattswap.errors import InvalidScenario, Problem, UsageError
from wattswap.scenario.load import Scenario

MAX_POINTS = 1_000
CASE = "case"
"""Instead of a key: the values are names of cases; `BASE` is the scenario without one."""
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER}):({_NUMBER}):({_NUMBER})\s*")

Axes = Mapping[str, Sequence[str]]
"""The values of each key, as they are written."""
LoadPoint = Callable[[str | None, list[str], Mapping[str, str]], Scenario]
"""(case, overrides, the option by which each was given) -> scenario."""


def read_axes(texts: Sequence[str]) -> Axes:
    """Read KEY=VALUES, where values are separated by commas and LOW:HIGH:STEP is a range with both ends.

    Raises:
        UsageError: Everything that is wrong with any of them.
    """
    axes: dict[str, list[str]] = {}
    wrong: list[Problem] = []
    for text in texts:
        key, equals, values = text.partition("=")
        listed, where = _values(values), f"--vary {text}"
        if not equals or not key or not all(listed):
            wrong.append(
                Problem(where, "is not KEY=VALUE,VALUE", "write market.k=0,0.5,1 or market.k=0:1:0.5")
            )
        elif (instead := _instead(values, listed)) is not None:
            cure = f"values are separated by commas, without brackets: --vary {key}={instead}"
            wrong.append(Problem(where, "is one value, and not several", cure))
        if key in axes:
            wrong.append(Problem(where, f"varies {key} again", "give all its values at once"))
        axes[key] = [one for value in listed for one in _expanded(where, value, wrong)]
    if not wrong:
        refuse_too_many(axes)
    if wrong:
        raise UsageError(*wrong)
    return axes


def axes_of(vary: Mapping[str, Iterable[object] | str]) -> Axes:
    """The axes of Python values; a text is read as `--vary KEY=TEXT`.

    Raises:
        UsageError: Everything that is wrong with any of them.
    """
    if not vary:
        raise UsageError.of("vary", "names no key", 'give one, as in {"homes.battery_kwh": [0, 10]}')
    texts = [f"{key}={values}" for key, values in vary.items() if isinstance(values, str)]
    read = read_axes(texts)
    axes = {
        key: read[key] if isinstance(values, str) else [_text(value) for value in values]
        for key, values in vary.items()
    }
    empty = [
        Problem(f"vary {key}", "has no values", "give at least one")
        for key, values in axes.items()
        if not values
    ]
    if empty:
        raise UsageError(*empty)
    refuse_too_many(axes)
    return axes


def _text(value: object) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse_too_many(axes: Axes, most: int = MAX_POINTS) -> None:
    """Refuse a grid of more points than anybody can have meant.

    Raises:
        UsageError: With their number.
    """
    count = prod(len(values) for values in axes.values())
    if count > most:
        where = " ".join(f"--vary {key}" for key in axes)
        raise UsageError.of(
            where, f"makes {count} points", f"give at most {most}: fewer values, a larger step"
        )


def points_of(axes: Axes, load: LoadPoint) -> list[Point]:
    """One scenario per combination of values.

    Raises:
        InvalidScenario: Lists what is wrong with any of them, each once.
    """
    points: list[Point] = []
    problems: dict[tuple[str | None, str, str], Problem] = {}
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        texts = {key: f"{key}={value}" for key, value in settings.items()}
        extra = [text for key, text in texts.items() if key != CASE]
        case = settings.get(CASE)
        try:
            loaded = load(None if case == BASE else case, extra, {text: f"--vary {text}" for text in extra})
        except InvalidScenario as invalid:
            for problem in invalid.problems:
                problems.setdefault((problem.key, problem.message, problem.cure), problem)
            continue
        points.append(Point(" ".join(texts.values()), settings, loaded))
    if problems:
        raise InvalidScenario(*problems.values())
    return points


def _expanded(where: str, value: str, wrong: list[Problem]) -> list[str]:
    """The values of a range; any other value is one. What is wrong with a range goes to `wrong`."""
    found = _RANGE.fullmatch(value)
    if not found:
        if re.fullmatch(rf"\s*{_NUMBER}:{_NUMBER}\s*", value):
            wrong.append(
                Problem(where, f"{value.strip()} has no step", f"write {value.strip()}:5 for steps of 5")
            )
        return [value]
    low, high, step = (Decimal(text) for text in found.groups())
    if step <= 0:
        wrong.append(Problem(where, f"has the step {step}", "give a step above 0, as in 0:20:5"))
    elif high < low:
        wrong.append(Problem(where, f"runs backwards from {low} to {high}", f"write {high}:{low}:{step}"))
    elif (high - low) / step >= MAX_POINTS:
        count = int((high - low) / step) + 1
        wrong.append(Problem(where, f"makes {count} points", f"give at most {MAX_POINTS}: a larger step"))
    else:
        return [f"{(low + step * i).normalize():f}" for i in range(int((high - low) / step) + 1)]
    return [value]


def _values(text: str) -> list[str]:
    """Values separated by commas; a comma inside brackets belongs to a list or table, which is one value."""
    return re.split(r",(?![^\[]*\]|[^{]*\})", text)


def _instead(text: str, listed: list[str]) -> str | None:
    """The values as they are to be written, where several were given in another form; None where they are right."""
    if len(listed) > 1:
        return None
    inside = re.fullmatch(r"\s*[\[(](.*)[\])]\s*", text)
    parts = re.split(r"[,;|\s]+", (inside[1] if inside else text).strip())
    numbers = all(re.fullmatch(r"[-+]?[\d.]+", part) for part in parts)
    return ",".join(parts) if numbers and (inside or len(parts) > 1) else None
