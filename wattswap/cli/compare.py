"""The command that compares mechanisms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
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
    from wattswap.cli.output import Form
    from wattswap.comparison.plan import Point

MechanismsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mechanism",
        "-m",
        help="A mechanism, as NAME or NAME:parameter=value,...; may be given several times. Default: all of them.",
    ),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", help="Number of seeds, from the scenario's own upwards.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", help="Number of processes.")]
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
ResampleOption = Annotated[
    str | None,
    typer.Option(
        "--resample",
        help="What the 95 % intervals cover: `weeks` draws the whole weeks of the run again, which costs nothing;"
        " `homes` or `homes:N` draws the homes again, 20 or N times, each a new market for every cell.",
        metavar="weeks|homes[:N]",
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
    resample: ResampleOption = None,
    module: ModuleOption = None,
    out: ComparisonsOption = Path(COMPARISONS),
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Compare mechanisms on the same homes, bracketed by the no-market baseline and the welfare optimum."""
    from wattswap.cli.output import form_of
    from wattswap.comparison.plan import BASE, Point

    form = form_of(json, wide=wide)
    loaded = load_scenario(scenario, case, settings, seed, module=module)
    compare_points(
        [Point(BASE, {}, loaded)],
        mechanism,
        seeds,
        jobs,
        fail_if,
        against,
        module,
        out,
        quiet,
        form,
        resample,
    )


def compare_points(
    points: Sequence[Point],
    mechanisms: list[str] | None,
    seeds: int,
    jobs: int,
    fail_if: list[str] | None,
    against: str | None,
    module: list[Path] | None,
    out: Path,
    quiet: bool,
    form: Form,
    resample: str | None,
) -> None:
    """Compare the points, print the comparison, and fail where a condition holds."""
    from market.metrics.table import METRICS
    from wattswap.cli._comparisons import CellProgress, comparison_facts, print_comparison, print_head
    from wattswap.cli._points import print_points, runs_ahead
    from wattswap.cli.output import note, print_json
    from wattswap.comparison import runner
    from wattswap.comparison.again import drawn_plan
    from wattswap.comparison.plan import make_plan
    from wattswap.comparison.points import Figures
    from wattswap.comparison.resample import read_resample
    from wattswap.comparison.result import ComparisonFolder
    from wattswap.conditions import broken, read_conditions
    from wattswap.errors import CheckFailed, ExitCode, UsageError, suggest
    from wattswap.selection import read_choices

    if seeds < 1:
        raise UsageError.of("--seeds", f"is {seeds}, the number of seeds to compare over", "give at least 1")
    _refuse_axes(points)
    first = points[0].scenario
    choices = read_choices(mechanisms or [])
    labels = [choice.label for choice in choices]
    conditions = read_conditions("--fail-if", fail_if or [], labels, METRICS.all())
    if against is not None and against not in labels:
        raise UsageError.of("--against", f"{against!r} is not compared", suggest(against, labels))
    asked = read_resample(resample)
    plan = make_plan(points, choices, range(first.seed, first.seed + seeds), module or ())
    again = drawn_plan(plan, asked)
    market = first.market
    if not quiet and market.quantities == "ordered" and "imbalance" not in market.model_fields_set:
        note(
            f"Homes net what a mechanism leaves untraded (imbalance {market.imbalance});"
            " --set market.imbalance=retailer compares the mechanisms alone."
        )
    if not quiet and (len(points) > 1 or again is not None):
        note(runs_ahead(plan, again))
    results = []
    for one in [plan, *([again] if again is not None else [])]:
        with CellProgress(one, quiet) as progress:
            folder = runner.compare(one, out, jobs=jobs, on_cell=progress)
        results.append(ComparisonFolder(folder, labels, plan.seeds))
    result, figures = results[0], Figures(results[0], asked, *results[1:])
    competing = [label for label in result.mechanisms if label not in (result.reference, result.bound)]
    failed = [
        problem
        for point in result.points
        for problem in broken(
            "--fail-if",
            conditions,
            result.figures(point),
            competing,
            must_hold=False,
            where="" if len(result.points) == 1 else f" at {point}",
        )
    ]
    try:
        if form == "json":
            facts = comparison_facts(result, against, figures)
            print_json(facts | {"failed": [str(problem) for problem in failed]})
        else:
            if len(points) == 1:
                print_comparison(result, form, against)
            else:
                print_head(result)
            if len(points) > 1 or asked is not None:
                print_points(figures, form, against)
    finally:  # also if the reader of a pipe has closed it
        if failed and form == "json":
            raise typer.Exit(int(ExitCode.CHECK_FAILED))
        if failed:
            raise CheckFailed(*failed)


def _refuse_axes(points: Sequence[Point]) -> None:
    """Refuse settings that a comparison varies by itself.

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


COMMANDS.register(Command("compare", compare, 10))
