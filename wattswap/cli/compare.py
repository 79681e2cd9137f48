"""Commands that compare clearing rules: compare, sweep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    ModuleOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    import_module_file,
    load_scenario,
)

if TYPE_CHECKING:
    from wattswap.comparison.plan import Point

MechanismsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mechanism",
        "-m",
        help="A clearing rule, as NAME or NAME:parameter=value,...; may be given several times. Left out: all of them.",
    ),
]
SeedsOption = Annotated[int, typer.Option("--seeds", help="How many seeds, from the scenario's own upwards.")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", help="Processes at once.")]
ComparisonsOption = Annotated[
    Path, typer.Option("--out", help="Folder under which the comparison's folder is made or extended.")
]
FailIfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        help='Exit with code 6 where this holds, as in "saving < 10" or "mcafee.allocative_efficiency < 0.9".',
        metavar="CONDITION",
    ),
]


AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        help="Print what each saves against this one, paired by seed, with its interval.",
        metavar="NAME",
    ),
]


def compare(
    scenario: ScenarioArgument,
    mechanism: MechanismsOption = None,
    seeds: SeedsOption = 1,
    jobs: JobsOption = 1,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    fail_if: FailIfOption = None,
    against: AgainstOption = None,
    module: ModuleOption = None,
    out: ComparisonsOption = Path("comparisons"),
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Take the same homes through several clearing rules, between no market and the most welfare there is."""
    from wattswap.comparison.plan import BASE, Point

    import_module_file(module)
    loaded = load_scenario(scenario, case, settings, seed)
    _compare([Point(BASE, {}, loaded)], mechanism, seeds, jobs, fail_if, against, module, out, quiet, json)


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
    out: ComparisonsOption = Path("comparisons"),
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Compare over a grid: any key of the scenario takes several values."""
    import_module_file(module)
    points = _grid(scenario, case, settings, seed, vary)
    _compare(points, mechanism, seeds, jobs, fail_if, against, module, out, quiet, json)


def _compare(
    points: Sequence[Point],
    mechanisms: list[str] | None,
    seeds: int,
    jobs: int,
    fail_if: list[str] | None,
    against: str | None,
    module: Path | None,
    out: Path,
    quiet: bool,
    json: bool,
) -> None:
    from wattswap.cli.comparison_view import CellProgress, comparison_facts, print_comparison
    from wattswap.cli.output import note, print_json
    from wattswap.comparison import runner
    from wattswap.comparison.choices import read_choices
    from wattswap.comparison.conditions import METRICS, failures
    from wattswap.comparison.plan import make_plan
    from wattswap.comparison.result import ComparisonFolder
    from wattswap.conditions import read_conditions
    from wattswap.errors import CheckFailed, ExitCode, UsageError, suggest

    _refuse_axes(points)
    first = points[0].scenario
    choices = read_choices(mechanisms or [])
    labels = [choice.label for choice in choices]
    conditions = read_conditions("--fail-if", fail_if or [], labels, METRICS)
    if against is not None and against not in labels:
        raise UsageError.of("--against", f"{against!r} is not compared", suggest(against, labels))
    plan = make_plan(points, choices, range(first.seed, first.seed + seeds), module)
    if plan.points[0].scenario is not first and not quiet:
        note(
            "Untraded energy is settled with the retailer, because the scenario does not set market.imbalance."
        )
    with CellProgress(plan, quiet) as progress:
        folder = runner.compare(plan, out, jobs=jobs, on_cell=progress)
    result = ComparisonFolder(folder, labels, plan.seeds)
    failed = failures(result, conditions)
    try:
        if json:
            facts = comparison_facts(result, against)
            print_json(facts | {"failed": [str(problem) for problem in failed]})
        else:
            print_comparison(result, against)
    finally:  # also where the reader of a pipe has seen enough
        if failed and json:
            raise typer.Exit(int(ExitCode.CHECK_FAILED))
        if failed:
            raise CheckFailed(*failed)


def _refuse_axes(points: Sequence[Point]) -> None:
    """Refuse settings that a comparison makes by itself.

    Raises:
        UsageError: Names the option to use instead.
    """
    from wattswap.errors import Problem, UsageError

    varied = set(points[0].settings)
    given = varied | {text.partition("=")[0].strip() for text in points[0].scenario.source.overrides}
    options = {key: "-m NAME" for key in given if key == "market.mechanism"}
    options |= {key: "-m NAME:parameter=value" for key in given if key.startswith("market.params")}
    options |= {key: "--seed and --seeds" for key in varied if key == "seed"}
    wrong = [
        Problem(key, "is what a comparison varies by itself", f"use {option}")
        for key, option in sorted(options.items())
    ]
    if wrong:
        raise UsageError(*wrong)


def _grid(
    scenario: str, case: str | None, settings: list[str] | None, seed: int | None, vary: list[str]
) -> list[Point]:
    """One scenario per combination of values.

    Raises:
        InvalidScenario: Lists what is wrong with any of them.
        UsageError: A text that names no key and values.
    """
    from wattswap.comparison.plan import Point
    from wattswap.errors import InvalidScenario, Problem, UsageError

    axes: list[list[tuple[str, str]]] = []
    wrong = []
    for text in vary:
        key, equals, values = text.partition("=")
        if not equals or not key or not all(values.split(",")):
            wrong.append(Problem(f"--vary {text}", "is not KEY=VALUE,VALUE", "write market.k=0,0.5,1"))
        if any(axis[0][0] == key for axis in axes):
            wrong.append(Problem(f"--vary {text}", f"varies {key} again", "give all its values at once"))
        axes.append([(key, value) for value in values.split(",")])
    if wrong:
        raise UsageError(*wrong)
    points, problems = [], []
    for combination in product(*axes):
        extra = [f"{key}={value}" for key, value in combination]
        try:
            loaded = load_scenario(scenario, case, [*(settings or []), *extra], seed)
        except InvalidScenario as invalid:
            problems.extend(invalid.problems)
            continue
        points.append(Point(" ".join(extra), dict(combination), loaded))
    if problems:
        raise InvalidScenario(*dict.fromkeys(problems))
    return points


def add_commands(app: typer.Typer) -> None:
    """Hang these commands into the command line."""
    for command in (compare, sweep):
        app.command()(command)
