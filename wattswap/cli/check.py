"""Commands that test declared properties: check mechanism."""

from __future__ import annotations

from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, import_modules
from wattswap.errors import ExitCode, UsageError

app = typer.Typer(help="Test a mechanism against its declared properties.", no_args_is_help=True)


@app.callback()
def check() -> None:
    """Test a mechanism against its declared properties."""


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
    from wattswap.selection import choice_of

    import_modules(module)
    choice = choice_of(name, name)
    if choice.mechanism.promises.needs_grid:
        raise UsageError.of(name, "needs a grid, and the random books have none")
    verdict = check_mechanism(choice.mechanism, books, seed, choice.values())
    elsewhere = Finding("same_elsewhere", SAYS, True, 0)
    if verdict.sound:
        elsewhere = same_elsewhere(choice, books, seed, module or ())
    verdict = replace(verdict, findings=(*verdict.findings, elsewhere))
    result = as_result(choice, verdict, books, seed)
    if json:
        print_json(result)
    else:
        print("\n".join(lines(result)))
    if not result["holds"]:
        raise typer.Exit(int(ExitCode.CHECK_FAILED))


COMMANDS.register(Command("check", app, 2))
