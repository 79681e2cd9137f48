"""Commands that hold something to what it promises: mechanism."""

from __future__ import annotations

from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, import_modules
from wattswap.errors import ExitCode, UsageError

app = typer.Typer(help="Hold something to what it promises.", no_args_is_help=True)


@app.callback()
def check() -> None:
    """Hold something to what it promises."""


@app.command()
def mechanism(
    name: Annotated[
        str, typer.Argument(help="A clearing rule, as NAME or NAME:parameter=value,...", metavar="NAME")
    ],
    books: Annotated[int, typer.Option("--books", min=1, help="How many random books.")] = 500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the books.")] = 0,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Clear random books by a rule, and tell what holds of what it promises and of what it does not."""
    from dataclasses import replace

    from market.checking.check import Finding, check_mechanism
    from wattswap.check.other_process import SAYS, same_elsewhere
    from wattswap.check.verdicts import as_result, lines
    from wattswap.cli.output import print_json
    from wattswap.selection import choice_of

    import_modules(module)
    choice = choice_of(name, name)
    if choice.mechanism.promises.needs_grid:
        raise UsageError.of(name, "uses a grid, and the random books have none")
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
