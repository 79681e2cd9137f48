"""Importing and recognising meter files, beside the least that a library needs for the same, in one run and in turn.

`csv`: a plain long CSV of a year in quarters of an hour, imported with every check and written into a store; beside it
the same read by hand with pyarrow (stamps to int64, kWh to whole Wh, scattered into intervals and homes).
`xlsx`: a year of one home in a workbook, read for the first time, with every check; beside it
python-calamine's bare read of its rows.
`sniff`: recognising each of these files, and any that are named, after the start of the program.

Usage: python -m benchmarks.meter_speed [--json] [--rows N] [--by-home] [--rounds N] [PART ...] [--files FILE ...]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.meter_memory import DAYS, FUSE_W, by_hand, write_csv

TARGETS = {"csv": 0.7, "xlsx": 0.5, "sniff": 0.3}
ROWS, ROUNDS = 3_504_000, 9
PARTS = ("csv", "xlsx", "sniff")
RECIPE = """contract = 1
title = "Workbook of the benchmark"
about = "Stamps start their intervals, in UTC."
country = ""
source = "unverified: written by the benchmark"
sample = '''time,energy'''
meters = "none"
zone = "Etc/UTC"
[columns]
time = ["time"]
energy = ["energy"]
[stamp]
column = "time"
format = ["iso", "%Y-%m-%d %H:%M:%S"]
is = "start"
[[value]]
column = "energy"
unit = "kWh"
channel = "import"
"""
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_MEMBERS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels"'
    ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1"'
    f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Data" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
    '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are named, and print each as it comes."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.meter_speed", description=__doc__)
    options.add_argument("part", nargs="*", choices=[*PARTS, []], default=[])
    options.add_argument("--rows", type=int, default=ROWS, help="of the CSV, as whole homes")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument(
        "--by-home", action="store_true", help="rows of the CSV ordered by home, not by time"
    )
    options.add_argument("--files", type=Path, nargs="*", default=[], help="further files to recognise")
    options.add_argument("--json", action="store_true", help="print one JSON object a line")
    given = options.parse_args(arguments)
    parts = given.part or PARTS
    with tempfile.TemporaryDirectory(prefix="wattswap-bench-") as name:
        csv, book, recipe = (Path(name) / one for one in ("long.csv", "year.xlsx", "bench.toml"))
        write_csv(csv, max(round(given.rows / (DAYS * 96)), 1), by_home=given.by_home)
        write_workbook(book)
        recipe.write_text(RECIPE, encoding="utf-8")
        rows: list[dict[str, Any]] = []
        if "csv" in parts:
            rows.append(_compared("csv", by_hand, importer(Path(name)), csv, given.rounds))
        if "xlsx" in parts:
            rows.append(_compared("xlsx", bare_workbook, workbook_reader(recipe), book, given.rounds))
        if "sniff" in parts:
            rows += [sniffed(path, given.rounds) for path in (csv, book, *given.files)]
        for row in rows:
            text = "  ".join(
                f"{key} {one:,.3f}" if isinstance(one, float) else str(one) for key, one in row.items()
            )
            print(json.dumps(row) if given.json else text, flush=True)


def _compared(
    what: str, yardstick: Callable[[Path], int], ours: Callable[[Path], int], path: Path, rounds: int
) -> dict[str, Any]:
    """CPU time of both, after a first read of each, in alternation; which of them is first changes every round.

    The system's share is stated apart, for it is mostly spent on clearing fresh memory and swings by several times
    within minutes; `speed` is the ratio of the medians of the whole, `speed_user` that of the programs' own time.
    """
    if yardstick(path) != ours(path):
        raise SystemExit(f"{what}: the readers disagree")
    readers = {"yardstick": yardstick, "ours": ours}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for number in range(rounds):
        for name in sorted(readers, reverse=number % 2 == 0):
            times[name].append(_cpu_s(readers[name], path))
    whole = {name: median(user + system for user, system in taken) for name, taken in times.items()}
    own = {name: median(user for user, _ in taken) for name, taken in times.items()}
    found: dict[str, Any] = {"part": what}
    for name in readers:
        found |= {f"{name}_s": whole[name], f"{name}_user_s": own[name]}
    speeds = {name: one["yardstick"] / one["ours"] for name, one in (("speed", whole), ("speed_user", own))}
    return {**found, **speeds, "target": TARGETS[what]}


def _cpu_s(read: Callable[[Path], int], path: Path) -> tuple[float, float]:
    """CPU time of a read by the program and by the system for it. [s]"""
    begun = resource.getrusage(resource.RUSAGE_SELF)
    read(path)
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return ended.ru_utime - begun.ru_utime, ended.ru_stime - begun.ru_stime


def importer(folder: Path) -> Callable[[Path], int]:
    """What imports a file into a new store in a folder, and returns the import of all homes. [Wh]"""
    from data.intake.raw import Hints
    from data.store.imports import Options, import_files

    def run(path: Path) -> int:
        store = folder / "store"
        done = import_files([path], store, Options(hints=Hints(fuse_w=FUSE_W)))
        total = sum(home.series.total_wh("import") for home in done.homes)
        shutil.rmtree(store)
        return total

    return run


def workbook_reader(recipe: Path) -> Callable[[Path], int]:
    """What reads a workbook with a recipe and every check, and returns the number of its rows."""
    from data.formats import read
    from data.formats.tables import format_of
    from data.intake.raw import Hints
    from data.recipes.toml import recipe_from_toml

    format = format_of("bench", recipe_from_toml(recipe.read_text(encoding="utf-8")))

    def run(path: Path) -> int:
        os.utime(path)  # else what an earlier round found out would be used again
        reading = read(path, format, Hints())
        if reading.data is None:
            raise SystemExit(f"the workbook is not read: {reading.findings[:3]}")
        return reading.rows

    return run


def bare_workbook(path: Path) -> int:
    """The rows of a workbook, by python-calamine alone; without its header."""
    import python_calamine

    book = python_calamine.load_workbook(str(path))
    return len(book.get_sheet_by_name("Data").to_python(skip_empty_area=False)) - 1


def sniffed(path: Path, rounds: int) -> dict[str, Any]:
    """Seconds to recognise a file, the slowest of the rounds after the first, which imports what all formats need."""
    from data.sniffing import sniff

    found = sniff(path)
    walls = []
    for _ in range(rounds):
        begun = time.perf_counter()
        sniff(path)
        walls.append(time.perf_counter() - begun)
    said = found.format or "unknown"
    return {
        "part": "sniff",
        "file": path.name,
        "format": said,
        "median_s": median(walls),
        "most_s": max(walls),
    }


def write_workbook(path: Path) -> None:
    """Write a year of quarter hours of one home, as a spreadsheet keeps them: a date and a number."""
    first, origin = datetime(2025, 1, 1, tzinfo=UTC), datetime(1899, 12, 30, tzinfo=UTC)
    lines = ['<row r="1"><c r="A1" t="inlineStr"><is><t>time</t></is></c>']
    lines += ['<c r="B1" t="inlineStr"><is><t>energy</t></is></c></row>']
    for row in range(DAYS * 96):
        days = (first + timedelta(minutes=15 * row) - origin).total_seconds() / 86_400
        kwh = (row * 7_919 % 900) / 1_000
        cells = f'<c r="A{row + 2}" s="1"><v>{days!r}</v></c><c r="B{row + 2}"><v>{kwh!r}</v></c>'
        lines.append(f'<row r="{row + 2}">{cells}</row>')
    sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**_MEMBERS, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>{text}')


if __name__ == "__main__":
    main()
