"""The command that shows a run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    AgainstOption,
    CsvOption,
    JsonOption,
    ModuleOption,
    WideOption,
    import_modules,
)


def show(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a comparison.", metavar="RUN|COMPARISON")
    ],
    what: Annotated[
        str,
        typer.Argument(
            help="Of a run: summary, bills, prices, book, block, why, network, shares or grid. Of a comparison:"
            " summary, bills, cells, points or effects.",
            metavar="WHAT",
        ),
    ] = "summary",
    which: Annotated[
        str | None,
        typer.Argument(
            help="An interval (2016-09-19T05:00Z), a block height, or a home; `ac` of the grid; of a comparison, a"
            " mechanism.",
            metavar="WHICH",
        ),
    ] = None,
    against: AgainstOption = None,
    module: ModuleOption = None,
    wide: WideOption = False,
    json: JsonOption = False,
    csv: CsvOption = False,
) -> None:
    """Show a run or a comparison: its summary, the bills, the prices, one interval's book, one home's money."""
    from wattswap.cli._comparisons import show_comparison
    from wattswap.cli._runs import show_view
    from wattswap.cli.output import form_of
    from wattswap.errors import UsageError
    from wattswap.runs.layout import COMPARISON
    from wattswap.runs.stored import reading

    import_modules(module)
    form = form_of(json, csv, wide)
    with reading(folder):
        if (folder / COMPARISON).is_file():
            show_comparison(folder, what, which, form, against)
        elif against is not None:
            cure = "compare mechanisms with `wattswap compare`"
            raise UsageError.of("--against", "was given for a run", cure)
        else:
            show_view(folder, what, which, form)


COMMANDS.register(Command("show", show, 8))
