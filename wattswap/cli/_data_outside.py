"""Price and weather files through the commands of meter data: check one, or convert it to the plain file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from data.outside import OutsideSeries

ColumnOption = Annotated[
    str | None, typer.Option("--column", help="Which price, of a file with prices of several areas.")
]


def is_outside(path: Path) -> bool:
    """Whether a file is one of prices or weather, and no meter file."""
    from data.formats import claims_on
    from data.intake.claims import RECOGNISED
    from data.intake.file import MeterFile
    from data.outside import recognised

    file = MeterFile(path)
    if not path.is_file() or recognised(file) is None:
        return False
    return all(claim.confidence < RECOGNISED for claim in claims_on(file).values())


def check(path: Path, column: str | None, zone: str | None, json: bool) -> None:
    """Report what a price or weather file holds."""
    from data.outside import read
    from wattswap.cli.output import print_json

    series = read(path, column, zone)
    if json:
        print_json(_as_json(path, series))
    else:
        _print(series, zone)


def convert(files: Sequence[Path], out: Path, column: str | None, zone: str | None, json: bool) -> None:
    """Write a price or weather file as the plain one.

    Raises:
        UsageError: Several files, or what is there already.
    """
    from data.errors import MissingFile
    from data.outside import plain_text, read
    from p2p.files import write_new
    from wattswap.cli.output import print_json
    from wattswap.errors import AlreadyExists, UsageError

    if len(files) > 1:
        cure = "give one at a time, and meter files apart"
        raise UsageError.of(
            "data import", f"{files[0]} holds prices or weather, and there are other files", cure
        )
    series = read(files[0], column, zone)
    try:
        write_new(out, plain_text(series, files[0]).encode())
    except FileExistsError:
        raise AlreadyExists.of(str(out), "exists already", "name another file with --out") from None
    except FileNotFoundError:
        raise MissingFile(out.parent) from None
    if json:
        print_json({**_as_json(files[0], series), "out": str(out)})
    else:
        _print(series, zone)
        print(out)


def _as_json(path: Path, series: OutsideSeries) -> dict[str, Any]:
    from data.clock import iso_utc
    from data.outside import summary

    return {
        "file": str(path),
        "holds": series.holds,
        "format": series.format,
        "typical": series.typical,
        "minutes": series.minutes,
        "intervals": series.intervals,
        "first": None if series.typical else iso_utc(series.start_s),
        "end": None if series.typical else iso_utc(series.end_s),
        "values": summary(series),
        "ok": True,
    }


def _print(series: OutsideSeries, zone: str | None) -> None:
    from data.clock import iso_utc, shown, zone_named
    from data.outside import PRICE, summary
    from wattswap.cli.tables import ONE_LINE, wrapped

    info = zone_named(zone) if zone else None
    span = "a typical year: the same hours in every year"
    if not series.typical:
        first, end = (shown(at, info) if info else iso_utc(at) for at in (series.start_s, series.end_s))
        span = f"{first} to {end}"
    facts = {"holds": "prices" if series.holds == "price" else "weather", "format": series.format}
    facts |= {"step": f"{series.minutes} min", "span": span, "rows": f"{series.intervals:,}"}
    names = {PRICE: "per kWh"}
    for name, value in summary(series).items():
        text = f"{value['least']:.4g} to {value['largest']:.4g}, mean {value['mean']:.4g}"
        facts[names.get(name, name)] = text
    for name, text in facts.items():
        print(wrapped(f"{name:<10} {text}", 11, ONE_LINE))
