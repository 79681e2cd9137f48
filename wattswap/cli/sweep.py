"""The command that compares over a parameter grid."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.compare import (
    ComparisonsOption,
    FailIfOption,
    JobsOption,
    MechanismsOption,
    SeedsOption,
    compare_points,
)
from wattswap.cli.options import (
    AgainstOption,
    CaseOption,
    JsonOption,
    ModuleOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    load_scenario,
)
from wattswap.runs.layout import COMPARISONS

if TYPE_CHECKING:
    from wattswap.comparison.plan import Point


def sweep(
    scenario: ScenarioArgument,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            help="A key and its values, as in market.k=0,0.5,1; several make a grid.",
            metavar="KEY=VALUES",
        ),
    ],
    mechanism: MechanismsOption = None,
    seeds: SeedsOption = 1,
    jobs: JobsOption = 1,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    fail_if: FailIfOption = None,
    against: AgainstOption = None,
    module: ModuleOption = None,
    out: ComparisonsOption = Path(COMPARISONS),
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Compare over a parameter grid: any key of the scenario takes several values."""
    from wattswap.cli.output import form_of

    points = _grid(scenario, case, settings, seed, vary, module)
    compare_points(
        points, mechanism, seeds, jobs, fail_if, against, module, out, quiet, form_of(json, wide=wide)
    )


def _grid(
    scenario: str,
    case: str | None,
    settings: list[str] | None,
    seed: int | None,
    vary: list[str],
    module: list[Path] | None,
) -> list[Point]:
    """One scenario per combination of values.

    Raises:
        InvalidScenario: Lists what is wrong with any of them.
        UsageError: A text that is not KEY=VALUE,...
    """
    from wattswap.comparison.plan import Point
    from wattswap.errors import InvalidScenario, Problem, UsageError

    axes: list[list[tuple[str, str]]] = []
    wrong = []
    for text in vary:
        key, equals, values = text.partition("=")
        listed = _values(values)
        if not equals or not key or not all(listed):
            wrong.append(Problem(f"--vary {text}", "is not KEY=VALUE,VALUE", "write market.k=0,0.5,1"))
        elif (instead := _instead(values, listed)) is not None:
            cure = f"values are separated by commas, without brackets: --vary {key}={instead}"
            wrong.append(Problem(f"--vary {text}", "is one value, and not several", cure))
        if any(axis[0][0] == key for axis in axes):
            wrong.append(Problem(f"--vary {text}", f"varies {key} again", "give all its values at once"))
        axes.append([(key, value) for value in listed])
    if wrong:
        raise UsageError(*wrong)
    points, problems = [], []
    for combination in product(*axes):
        extra = [f"{key}={value}" for key, value in combination]
        try:
            typed = {text: f"--vary {text}" for text in extra}
            loaded = load_scenario(
                scenario, case, [*(settings or []), *extra], seed, module=module, typed=typed
            )
        except InvalidScenario as invalid:
            problems.extend(invalid.problems)
            continue
        points.append(Point(" ".join(extra), dict(combination), loaded))
    if problems:
        raise InvalidScenario(*dict.fromkeys(problems))
    return points


def _values(text: str) -> list[str]:
    """Values separated by commas; a comma inside brackets belongs to a list, which is one value."""
    return re.split(r",(?![^\[]*\])", text)


def _instead(text: str, listed: list[str]) -> str | None:
    """The values as they are to be written, where several were given in another form; None where they are right."""
    if len(listed) > 1:
        return None
    inside = re.fullmatch(r"\s*[\[(](.*)[\])]\s*", text)
    parts = re.split(r"[,;|\s]+", (inside[1] if inside else text).strip())
    numbers = all(re.fullmatch(r"[-+]?[\d.]+", part) for part in parts)
    return ",".join(parts) if numbers and (inside or len(parts) > 1) else None


COMMANDS.register(Command("sweep", sweep, 11))
