"""Meter files into a store, and its readings out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from market.errors import counted
from wattswap.cli import _data_outside
from wattswap.cli._data_options import (
    ChannelOption,
    DatesOption,
    EncodingOption,
    FormatOption,
    FuseOption,
    HomeOption,
    KindOption,
    ProfileOption,
    RecipeOption,
    StampOption,
    StoreArgument,
    UnitOption,
    YesOption,
    ZoneOption,
    format_of,
    hints_of,
    pairs,
)
from wattswap.cli._data_words import SHOWN
from wattswap.cli.options import JsonOption, ModuleOption, import_modules

if TYPE_CHECKING:
    from data.store.imports import Imported, ImportedHome

HOW = {
    "continued": "one after the other in time",
    "beside": "channels beside each other",
    "summed": "summed, interval by interval",
    "equal": "the same readings, counted once",
}
"""How files of one home were joined, in words."""


def import_files(
    files: Annotated[
        list[Path], typer.Argument(help="Meter files, of one home or of many.", metavar="FILE...")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The store; made where it is not there, else appended to.", metavar="STORE"
        ),
    ],
    format: FormatOption = None,
    zone: ZoneOption = None,
    unit: UnitOption = None,
    stamp: StampOption = None,
    kind: KindOption = None,
    dates: DatesOption = None,
    encoding: EncodingOption = None,
    channel: ChannelOption = None,
    map: Annotated[
        list[str] | None,
        typer.Option("--map", help="Name of a home, by its id, its name or its file.", metavar="ID=HOME"),
    ] = None,
    combine: Annotated[
        bool | None,
        typer.Option("--combine/--no-combine", help="Whether files that name no home are of one home."),
    ] = None,
    prefer: Annotated[
        Literal["new", "old"] | None, typer.Option("--prefer", help="Which of two different readings counts.")
    ] = None,
    recipe: RecipeOption = None,
    profile: ProfileOption = None,
    yes: YesOption = False,
    fuse_kw: FuseOption = 43.0,
    column: _data_outside.ColumnOption = None,
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """Import meter files into a store: all of them, or none where anything is wrong or open.

    A price or weather file becomes a plain one.
    """
    from data.errors import DataError
    from data.store.imports import Options
    from data.store.imports import import_files as import_all
    from wattswap.cli._data_words import as_problems
    from wattswap.cli.output import print_json

    import_modules(module)
    if format is None and recipe is None and any(_data_outside.is_outside(path) for path in files):
        _data_outside.convert(files, out, column, zone, json)
        return
    hints = hints_of(
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
    options = Options(format_of(recipe, format), hints, pairs("--map", map), combine, prefer)
    try:
        found = import_all(files, out, options)
    except DataError as error:
        if json:
            raise as_problems(error) from None
        raise
    if json:
        print_json(_as_json(found))
    else:
        _print_imported(found)


def _as_json(found: Imported) -> dict[str, Any]:
    from dataclasses import asdict

    from data.clock import iso_utc

    files = [
        {
            **asdict(source),
            "earlier_answers": dict(file.earlier),
            "findings": [asdict(finding) for finding in file.reading.findings],
        }
        for file, source in zip(found.files, found.sources, strict=True)
    ]
    homes = [
        {
            "home": one.home,
            "is_new": one.new,
            "files": list(one.files),
            "joined": list(one.how),
            "minutes": one.series.minutes,
            "start": iso_utc(one.series.start_s),
            "end": iso_utc(one.series.end_s),
            "energy_wh": {name: int(column.sum()) for name, column in one.series.energy.items()},
            "intervals": asdict(one.counts),
        }
        for one in found.homes
    ]
    return {"store": str(found.store), "made": found.made, "zone": found.zone, "files": files, "homes": homes}


def _print_imported(found: Imported) -> None:
    import pandas as pd

    from data.findings import by_cause
    from wattswap.cli._data_words import span, table_of
    from wattswap.cli.tables import wrapped

    count = len(found.homes)
    what = "made" if found.made else "appended to"
    print(wrapped(f"{found.store} {what}: {counted(len(found.files), 'file')} of {counted(count, 'home')}"))
    for file, source in zip(found.files, found.sources, strict=True):
        of = f" of {', '.join(source.homes)}" if len(source.homes) <= 5 else f" of {len(source.homes)} homes"
        print(wrapped(f"  {source.file}: {source.format}, {counted(source.rows, 'row')}{of}", 4))
        by = ", as its head shows" if source.format == "generic" else ", as the format lays down"
        for name, answer in source.answers.items():
            before = ", as it was answered before" if name in file.earlier else ""
            own = source.assumed.get(name)
            other = by if own == answer else f" (the format itself: {own})" if own else ""
            print(wrapped(f"    {name}: {answer}{other}{before}", 6))
        for name, value in source.assumed.items():
            if name not in source.answers:
                print(wrapped(f"    {name}: {value}{by}", 6))
        notes = [note for note in source.notes if "warnings when read" not in note]  # those follow one by one
        for text in (*notes, *by_cause(file.reading.findings)):
            print(wrapped(f"    {text}", 6))
    for one in found.homes:
        if one.how:
            joined = ", ".join(HOW[how] for how in one.how)
            print(wrapped(f"  {one.home}: {counted(len(one.files), 'file')}, {joined}", 4))
    rows = pd.DataFrame({one.home: _row(one) for one in found.homes}).T
    rows.index.name = "home"
    first = min(one.series.start_s for one in found.homes)
    last = max(one.series.end_s for one in found.homes)
    print()
    table_of(span(first, last, found.zone), rows)


def _row(one: ImportedHome) -> dict[str, object]:
    """What became of a home's intervals; energy in kWh."""
    counts = one.counts
    row: dict[str, object] = {"min": one.series.minutes}
    row |= {
        f"{name} kWh": f"{int(column.sum()) / 1000:.3f}"
        for name, column in one.series.energy.items()
        if name in SHOWN
    }
    return row | {
        "new": counts.new,
        "equal": counts.equal,
        "now measured": counts.measured,
        "kept": counts.kept,
        "preferred": counts.preferred,
    }


def export(
    store: StoreArgument,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            help="FILE.csv or FILE.parquet; duckdb:FILE#TABLE; postgresql://USER@HOST/DATABASE#TABLE.",
            metavar="OUT",
        ),
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write the readings of a store as a plain file, or as a new table of a database."""
    from data.store.export import without_password, write_duckdb, write_plain, write_postgres
    from data.store.read import read_store
    from wattswap.cli.output import note, print_json
    from wattswap.errors import UsageError

    content = read_store(store, home)
    target, _, table = out.rpartition("#")
    is_table = out.startswith(("duckdb:", "postgres:", "postgresql:"))
    if is_table and not (target and table):
        raise UsageError.of("--out", f"{out!r} names no table", "write duckdb:FILE#TABLE")
    if not content.series:
        raise UsageError.of("--home", f"{store} has no readings of these homes", "name others")
    if out.startswith("duckdb:"):
        rows = write_duckdb(content.series, Path(target.removeprefix("duckdb:")), table)
    elif is_table:
        rows = write_postgres(content.series, target, table)
    else:
        rows = write_plain(content.series, Path(out))
    where = without_password(out) if is_table else out
    notes = _left_out(content)
    if json:
        homes = [one.home for one in content.series]
        print_json({"store": str(store), "out": where, "rows": rows, "homes": homes, "notes": notes})
        return
    print(where)
    note(f"{rows:,} rows of {counted(len(content.series), 'home')}")
    for text in notes:
        note(text)


def _left_out(content: Any) -> list[str]:
    """What a plain file has no column for."""
    notes = []
    facts = [home.name for home in content.manifest.homes.values() if home.battery or home.node or home.pv_w]
    if facts:
        notes.append(
            f"batteries, nodes and sizes have no column and are left out, of {counted(len(facts), 'home')}"
        )
    steps = sorted({one.minutes for one in content.series})
    if len(steps) > 1:
        notes.append(
            f"homes read in different steps ({', '.join(map(str, steps))} minutes); whoever reads them in one file sums"
            " them to the longest"
        )
    return notes
