"""The command that writes a new scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    template: Annotated[
        str, typer.Option("--template", "-t", help="See `wattswap list templates`.")
    ] = "street",
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            help="A SimBench grid, as in 1-LV-rural2--2-sw (needs the extra `grids`); with --from-data the"
            " file of a grid with nodes of its homes, as `wattswap grid import` writes it.",
            metavar="CODE|FILE",
        ),
    ] = None,
    from_data: Annotated[
        Path | None,
        typer.Option(
            "--from-data", help="A store of imported meter data; the scenario runs it.", metavar="STORE"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a commented scenario to start from, for bundled or own data or any SimBench low-voltage grid."""
    from wattswap.cli._data_assemble import grid_places
    from wattswap.cli.output import naming_written, note, print_json
    from wattswap.scenario.from_grid import write_grid
    from wattswap.scenario.from_store import write_from_store
    from wattswap.scenario.load import write_new

    if from_data is not None:
        written = write_from_store(folder, from_data, None if grid is None else grid_places(Path(grid)))
    else:
        written = write_new(folder, template) if grid is None else write_grid(folder, grid)
    with naming_written(folder):
        if json:
            print_json({"folder": str(folder), "written": [str(path) for path in written]})
            return
        for path in written:
            print(path)
    note(f"Next: wattswap run {folder}")


COMMANDS.register(Command("new", new, 1))
