"""Command that writes the report of a run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import AgainstOption, JsonOption, ModuleOption, import_modules


def report(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a comparison.", metavar="RUN|COMPARISON")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file; by default report.html in the folder.")
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            help="Interval of the supply and demand curve, as 2016-09-19T05:00Z; by default the one with most trade.",
        ),
    ] = None,
    point: Annotated[
        str | None,
        typer.Option(
            "--point",
            help="The point of a sweep to report in full, as market.k=0.3; by default the first.",
            metavar="POINT",
        ),
    ] = None,
    against: AgainstOption = None,
    asserted: Annotated[
        list[str] | None,
        typer.Option(
            "--assert",
            help="A condition, as saving > 0; several may be given. Exit code 6 if one does not hold.",
            metavar="EXPR",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of a run or a comparison."""
    from datetime import UTC, datetime

    from wattswap.cli.output import print_json
    from wattswap.conditions import broken, read_conditions
    from wattswap.errors import AlreadyExists, CheckFailed
    from wattswap.report.words import verdict
    from wattswap.report.write import story_of, write_report
    from wattswap.runs.chain_reader import parse_interval
    from wattswap.runs.layout import REPORT
    from wattswap.runs.stored import reading

    import_modules(module)
    start = None if interval is None else datetime.fromtimestamp(parse_interval(interval), UTC)
    with reading(folder):
        story = story_of(folder, point, against)
    figures = story.figures
    names = {name for of_one in figures.values() for name in of_one}
    conditions = read_conditions("--assert", asserted or (), figures, names)
    competing = [outcome.label for outcome in story.rivals]
    problems = broken("--assert", conditions, figures, competing, must_hold=True)
    try:
        with reading(folder):
            written = write_report(story, out or folder / REPORT, start, force=force)
    except AlreadyExists as error:
        if not problems:
            raise
        raise CheckFailed(*problems, *error.problems) from None
    if problems:
        raise CheckFailed(*problems)
    if json:
        facts = {"report": str(written), "bytes": written.stat().st_size, "verdict": verdict(story)}
        print_json(facts | {"rests_on": story.basis})
    else:
        print(written)


COMMANDS.register(Command("report", report, 12))
