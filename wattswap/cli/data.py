"""Commands on meter data: check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wattswap.cli import _data_assemble, _data_outside, _data_repair, _data_show, _data_sniff, _data_store
from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, import_modules
from wattswap.errors import ExitCode

if TYPE_CHECKING:
    from data.formats import CheckReport, Format

app = typer.Typer(help="Check, import, repair and show meter data.", no_args_is_help=True)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A meter file or folder.", metavar="FILE")],
    format: Annotated[str | None, typer.Option("--format", help="Format; default: recognised.")] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Time zone of local stamps, as in Europe/Berlin.")
    ] = None,
    fuse_kw: Annotated[
        float, typer.Option("--fuse-kw", min=0.1, help="Mean power above which a reading is impossible.")
    ] = 43.0,
    kind: Annotated[
        Literal["energy", "power", "counter"] | None,
        typer.Option("--kind", help="What the numbers are, where they do not look like it."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A recipe of your own that describes the file.")
    ] = None,
    unit: _data_sniff.UnitOption = None,
    stamp: _data_sniff.StampOption = None,
    dates: _data_sniff.DatesOption = None,
    encoding: _data_sniff.EncodingOption = None,
    channel: _data_sniff.ChannelOption = None,
    yes: _data_sniff.YesOption = False,
    column: _data_outside.ColumnOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Report what a file of readings, prices or weather holds and its errors, line by line."""
    from dataclasses import asdict

    from data.formats import check as check_file
    from data.intake.raw import Hints
    from wattswap.cli.output import note, print_json

    import_modules(module)
    if format is None and recipe is None and _data_outside.is_outside(path):
        _data_outside.check(path, column, zone, json)
        return
    chosen = _recipe(recipe, format) if recipe is not None else format
    answers = Hints(
        zone=zone,
        fuse_w=round(fuse_kw * 1_000),
        kind=kind,
        unit=unit,
        stamp=stamp,
        dates=dates,
        encoding=encoding,
        channels=_data_sniff.channels_of(channel),
        yes=yes,
    )
    stored = _data_store.check(path, answers)
    report = stored[0] if stored else check_file(path, format=chosen, answers=answers)
    if json:
        homes = [_data_show.as_json(one) for one in stored[1]] if stored else []
        print_json({**asdict(report), "ok": report.ok, **({"homes": homes} if stored else {})})
    else:
        _print_report(report)
        if stored:
            _data_show.print_checked(path.name, stored)
        errors = sum(finding.count for finding in report.findings if finding.severity == "error")
        if errors:
            note(f"{path}: {errors} errors; correct the lines named above. Warnings may stay.")
    if not report.ok:
        raise typer.Exit(int(ExitCode.INVALID))


def _recipe(recipe: Path, format: str | None) -> Format:
    """The format that a recipe of the user describes."""
    from data.formats.tables import format_of_file
    from wattswap.errors import UsageError

    if format is not None:
        raise UsageError.of("data check", "--format and --recipe name two formats", "leave one of them out")
    return format_of_file(recipe)


def _print_report(report: CheckReport) -> None:
    from data.errors import LISTED
    from data.findings import by_cause
    from wattswap.cli.tables import ONE_LINE, wrapped

    step = "unknown" if report.minutes is None else f"{report.minutes} min"
    facts = {
        "format": report.format,
        "unit": report.unit,
        "zone": report.zone,
        "step": step,
        "span": _span(report),
        "homes": f"{len(report.households)}: {', '.join(report.households[:12])}"
        + (", ..." if len(report.households) > 12 else ""),
        "rows": report.rows,
        "estimated": f"{100 * report.estimated_share:.2f} %",
        "missing": f"{100 * report.missing_share:.2f} %",
    }
    for name, value in [*facts.items(), *(("note", text) for text in report.notes)]:
        print(wrapped(f"{name:<10} {value}", 11, ONE_LINE))
    causes = by_cause(report.findings)
    for line in causes[:LISTED]:
        print(wrapped(line, 2, ONE_LINE))
    if len(causes) > LISTED:
        print(wrapped(f"and {len(causes) - LISTED} more; --json lists them", 2, ONE_LINE))


def _span(report: CheckReport) -> str:
    """First and last interval in local time, or in UTC where no zone is known."""
    from wattswap.scenario.basis import moment

    if report.first is None or report.last is None:
        return "unknown"
    zone = report.local_zone or "UTC"
    known = zone if report.local_zone else "UTC: no zone is known, and --zone names one"
    return f"{moment(report.first, zone)} to {moment(report.last, zone)} ({known})"


app.command("import")(_data_store.import_files)
app.command()(_data_store.export)
app.command()(_data_show.show)
app.command()(_data_repair.repair)
app.command()(_data_repair.undo)
app.command()(_data_repair.resample)
app.command()(_data_assemble.assemble)
app.command()(_data_sniff.sniff)
app.command()(_data_sniff.recipe)

COMMANDS.register(Command("data", app, 1))
