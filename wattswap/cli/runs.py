"""Commands around a run: run, resume, show, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli.options import (
    CaseOption,
    CsvOption,
    JsonOption,
    MechanismOption,
    ModuleOption,
    OutOption,
    QuietOption,
    RunArgument,
    ScenarioArgument,
    SeedOption,
    SetOption,
    import_module_file,
    load_scenario,
)

if TYPE_CHECKING:
    from wattswap.runs.folder import RunFolder


def run(
    scenario: ScenarioArgument,
    mechanism: MechanismOption = None,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    module: ModuleOption = None,
    out: OutOption = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Run a scenario in this process and keep the results in a folder."""
    from wattswap.cli.output import Progress, print_json
    from wattswap.runs import engine
    from wattswap.runs.prepare import prepare

    import_module_file(module)
    loaded = load_scenario(scenario, case, settings, seed, mechanism)
    if dry_run:
        setup = prepare(loaded)
        print_json({"homes": len(setup.roster), "intervals": setup.intervals, "scenario": loaded.resolved()})
        return
    progress = Progress(loaded.market.mechanism, quiet)
    _print_result(engine.run(loaded, out=out, on_progress=progress), json)


def resume(
    run: RunArgument, module: ModuleOption = None, quiet: QuietOption = False, json: JsonOption = False
) -> None:
    """Continue a run that was interrupted or killed; the hashes are those of an uninterrupted one."""
    from wattswap.cli.output import Progress
    from wattswap.runs import engine

    import_module_file(module)
    _print_result(engine.resume(run, on_progress=Progress("resumed", quiet)), json)


def _print_result(result: RunFolder, json: bool) -> None:
    from wattswap.cli.output import print_json, print_run

    if json:
        print_json({"run": str(result.path), **result.metrics})
    else:
        print_run(result)


def show(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a comparison.", metavar="RUN|COMPARISON")
    ],
    what: Annotated[
        str,
        typer.Argument(
            help="Of a run: summary, bills, prices, book, block, why, network or shares. Of a comparison: summary,"
            " bills or cells.",
            metavar="WHAT",
        ),
    ] = "summary",
    which: Annotated[
        str | None,
        typer.Argument(
            help="An interval (2016-09-19T05:00Z), a block height, or a household; of a comparison, a mechanism.",
            metavar="WHICH",
        ),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
) -> None:
    """Look into a run or a comparison: its summary, the bills, the prices, one interval's book, one home's money."""
    from wattswap.cli.comparison_tables import show_comparison
    from wattswap.cli.views import show_view
    from wattswap.errors import UsageError
    from wattswap.runs.layout import COMPARISON

    if json and csv:
        raise UsageError.of("--csv", "stands beside --json", "give one of them")
    show_any = show_comparison if (folder / COMPARISON).is_file() else show_view
    show_any(folder, what, which, "json" if json else "csv" if csv else "text")


def verify(
    run: RunArgument, module: ModuleOption = None, quiet: QuietOption = False, json: JsonOption = False
) -> None:
    """Prove a run or a comparison: what is stored against itself, then all of it again from the scenario."""
    from wattswap.cli.output import Progress, note, print_json
    from wattswap.comparison.store import ABOUT
    from wattswap.verification import verify_run

    import_module_file(module)
    if (run / ABOUT).is_file():
        _verify_comparison(run, json)
        return

    report = verify_run(run, on_progress=Progress("once more", quiet))
    if json:
        print_json(report)
        return
    for check, detail in report["checks"].items():
        print(f"{'--' if detail.startswith('left out') else 'ok'}  {check:<10} {detail}")
    note("Verified: everything marked ok was computed again from the files and holds.")


def _verify_comparison(folder: Path, json: bool) -> None:
    from wattswap.cli.output import note, print_json
    from wattswap.comparison.runner import verify as verify_comparison

    report = verify_comparison(folder)
    if json:
        print_json(report)
        return
    print(
        f"ok  cells      {report['cells']} worked out again from the scenario, every bill and interval equal"
    )
    note("Verified: everything but the times was computed again and holds.")


def add_commands(app: typer.Typer) -> None:
    """Hang these commands into the command line."""
    for command in (run, resume, show, verify):
        app.command()(command)
