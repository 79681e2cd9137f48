"""Commands that test a mechanism against its promises, and the market of a scenario against its homes."""

from __future__ import annotations

from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    MechanismOption,
    ModuleOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    import_modules,
    load_scenario,
)
from wattswap.errors import ExitCode, UsageError

ROUNDS = 2

app = typer.Typer(help="Test a mechanism, or the market of a scenario.", no_args_is_help=True)


@app.callback()
def check() -> None:
    """Test a mechanism, or the market of a scenario."""


@app.command()
def mechanism(
    name: Annotated[
        str, typer.Argument(help="A mechanism, as NAME or NAME:parameter=value,...", metavar="NAME")
    ],
    books: Annotated[int, typer.Option("--books", min=1, help="Number of random books.")] = 500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the books.")] = 0,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Property-test a mechanism on random order books; report declared and undeclared properties."""
    from dataclasses import replace

    from market.checking.check import Finding, check_mechanism
    from wattswap.check.other_process import SAYS, same_elsewhere
    from wattswap.check.verdicts import as_result, lines
    from wattswap.cli.output import print_json
    from wattswap.cli.tables import ONE_LINE, screen_width, wrapped
    from wattswap.selection import choice_of

    import_modules(module)
    choice = choice_of(name, name)
    if runs := [p.name for p in choice.mechanism.parameters if p.run_only and p.name in choice.params]:
        cure = "leave it out: what is tested is a single case"
        raise UsageError.of(name, f"{runs[0]} is a parameter of runs", cure)
    verdict = check_mechanism(choice.mechanism, books, seed, choice.values())
    elsewhere = Finding("same_elsewhere", SAYS, True, 0)
    if verdict.sound:
        elsewhere = same_elsewhere(choice, books, seed, module or ())
    verdict = replace(verdict, findings=(*verdict.findings, elsewhere))
    result = as_result(choice, verdict, books, seed)
    if json:
        print_json(result)
    else:
        # A case is one line of JSON, to be copied whole.
        found = lines(result, screen_width(ONE_LINE))
        print("\n".join(text if text.startswith("{") else wrapped(text, 8, ONE_LINE) for text in found))
    if not result["holds"]:
        raise typer.Exit(int(ExitCode.CHECK_FAILED))


@app.command()
def market(
    scenario: ScenarioArgument,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    mechanism: MechanismOption = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, help="Most rounds of best responses; 0 tries none.")
    ] = ROUNDS,
    module: ModuleOption = None,
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Test whether homes gain by other orders than their own; exit code 6 if it pays too well."""
    from wattswap.check.market import check_market
    from wattswap.cli._market import print_market
    from wattswap.cli.output import form_of, note, print_json
    from wattswap.runs.prepare import prepare

    form = form_of(json, wide=wide)
    setup = prepare(load_scenario(scenario, case, settings, seed, mechanism, module))

    def on_progress(what: str, done: int, steps: int) -> None:
        if not quiet:
            note(f"{done}/{steps} {what}")

    result = check_market(setup, on_progress, rounds=rounds)
    if json:
        print_json(result)
    else:
        print_market(result, setup.scenario.currency, form)
    if not result["holds"]:
        raise typer.Exit(int(ExitCode.CHECK_FAILED))


COMMANDS.register(Command("check", app, 2))
