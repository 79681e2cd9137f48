"""The command that shows a run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import CsvOption, JsonOption, ModuleOption, import_modules


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
            help="An interval (2016-09-19T05:00Z), a block height, or a home; of a comparison, a mechanism.",
            metavar="WHICH",
        ),
    ] = None,
    module: ModuleOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
) -> None:
    """Show a run or a comparison: its summary, the bills, the prices, one interval's book, one home's money."""
    from wattswap.cli._comparisons import show_comparison
    from wattswap.cli._runs import show_view
    from wattswap.errors import UsageError
    from wattswap.runs.layout import COMPARISON

    import_modules(module)
    if json and csv:
        raise UsageError.of("--csv", "excludes --json", "keep one of the two")
    show_any = show_comparison if (folder / COMPARISON).is_file() else show_view
    show_any(folder, what, which, "json" if json else "csv" if csv else "text")


COMMANDS.register(Command("show", show, 8))
