"""The command that writes a new scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    template: Annotated[
        str, typer.Option("--template", "-t", help="See `wattswap list templates`.")
    ] = "street",
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            help="A SimBench grid, as in 1-LV-rural2--2-sw; needs the extra `grids`.",
            metavar="CODE",
        ),
    ] = None,
) -> None:
    """Write a commented scenario to start from, for bundled or own data or any SimBench low-voltage grid."""
    from wattswap.scenario.from_grid import write_grid
    from wattswap.scenario.load import write_new

    for path in write_new(folder, template) if grid is None else write_grid(folder, grid):
        print(path)
    typer.echo(f"Next: wattswap run {folder}", err=True)


COMMANDS.register(Command("new", new, 1))
