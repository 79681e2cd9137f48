"""Commands on meter data: check, and the list of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattswap.cli import _data_assemble, _data_outside, _data_repair, _data_show, _data_sniff, _data_store
from wattswap.cli._data_options import (
    ChannelOption,
    DatesOption,
    EncodingOption,
    FormatOption,
    FuseOption,
    KindOption,
    ProfileOption,
    RecipeOption,
    StampOption,
    UnitOption,
    YesOption,
    ZoneOption,
    format_of,
    hints_of,
)
from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, import_modules
from wattswap.errors import ExitCode

if TYPE_CHECKING:
    from data.formats import CheckReport

app = typer.Typer(help="Check, import, repair and show meter data.", no_args_is_help=True)


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A meter file or folder.", metavar="FILE")],
    format: FormatOption = None,
    zone: ZoneOption = None,
    fuse_kw: FuseOption = 43.0,
    kind: KindOption = None,
    recipe: RecipeOption = None,
    unit: UnitOption = None,
    stamp: StampOption = None,
    dates: DatesOption = None,
    encoding: EncodingOption = None,
    channel: ChannelOption = None,
    profile: ProfileOption = None,
    yes: YesOption = False,
    column: _data_outside.ColumnOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Report what a file of readings, prices or weather holds and its errors, line by line."""
    from dataclasses import asdict

    from data.formats import check as check_file
    from data.store.checks import check_store
    from data.store.read import is_store
    from market.errors import counted
    from wattswap.cli.output import note, print_json

    import_modules(module)
    if format is None and recipe is None and _data_outside.is_outside(path):
        _data_outside.check(path, column, zone, json)
        return
    answers = hints_of(
        zone=zone,
        fuse_kw=fuse_kw,
        kind=kind,
        unit=unit,
        stamp=stamp,
        dates=dates,
        encoding=encoding,
        channel=channel,
        yes=yes,
        profile=profile,
    )
    stored = check_store(path, answers) if is_store(path) else None
    report = stored[0] if stored else check_file(path, format=format_of(recipe, format), answers=answers)
    if json:
        homes = [_data_show.as_json(one) for one in stored[1]] if stored else []
        print_json({**asdict(report), "ok": report.ok, **({"homes": homes} if stored else {})})
    else:
        _print_report(report)
        if stored:
            _data_show.print_checked(path.name, stored)
        errors = sum(finding.count for finding in report.findings if finding.severity == "error")
        if errors:
            note(f"{path}: {counted(errors, 'error')}; correct the lines named above. Warnings may stay.")
    if not report.ok:
        raise typer.Exit(int(ExitCode.INVALID))


def _print_report(report: CheckReport) -> None:
    from data.errors import LISTED
    from data.findings import by_cause
    from wattswap.cli._data_words import span_of
    from wattswap.cli.tables import ONE_LINE, wrapped

    span = "unknown"
    if report.first is not None and report.last is not None:
        span = span_of(report.first, report.last, report.local_zone)
    step = "unknown" if report.minutes is None else f"{report.minutes} min"
    facts = {
        "format": report.format,
        "unit": report.unit,
        "zone": report.zone,
        "step": step,
        "span": span,
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
