"""The command that runs a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    MechanismOption,
    ModuleOption,
    OutOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    load_scenario,
)
from wattswap.runs.layout import RUNS


def run(
    scenario: ScenarioArgument,
    mechanism: MechanismOption = None,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    module: ModuleOption = None,
    out: OutOption = Path(RUNS),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Run a scenario in this process and keep the results in a folder."""
    from wattswap.cli._summary import print_result
    from wattswap.cli.output import Progress, form_of, print_json, searches_told
    from wattswap.runs import engine
    from wattswap.runs.prepare import prepare

    form = form_of(json, wide=wide)
    loaded = load_scenario(scenario, case, settings, seed, mechanism, module)
    if dry_run:
        setup = prepare(loaded)
        print_json({"homes": len(setup.roster), "intervals": setup.intervals, "scenario": loaded.resolved()})
        return
    with Progress(loaded.market.mechanism, quiet) as progress, searches_told(progress.note, quiet=quiet):
        result = engine.run(loaded, out=out, on_progress=progress)
    print_result(result, form)


COMMANDS.register(Command("run", run, 6))
