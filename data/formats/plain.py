"""The plain format: CSV or Parquet with one row per home and interval.

```
timestamp,household,import_kwh,export_kwh,pv_kwh
2026-06-13T00:00:00Z,house-1,0.263,0,0
2026-06-13T00:00:00Z,house-2,0.088,0,0
2026-06-13T00:15:00Z,house-1,0.190,0,0
```

- `timestamp` is the START of the interval: ISO 8601 with an offset or Z, or local without one, and then the
  user names the zone. Of the hour that the clock shows twice in autumn, rows that come second are the second
  pass.
- A column that ends in `_wh` or `_mwh` holds energy in that unit, one in `_kw` or `_w` the mean power of the interval;
  both become kWh.
- Any further `NAME_kwh` column is a sub-meter; an empty cell there means 0 where a home has the whole column
  empty. A column `quality` (measured, estimated, missing) is optional.
- Rows of different homes may be mixed in any order; the rows of one home are in the order of time.
- An absent row and an empty register are MISSING, never a silent zero.
- kWh become whole Wh. Text of up to nine decimals is read exactly, and the remainder below one Wh is carried
  to the next interval of the same home and register, so that any stretch of time sums to the file's energy
  within 1 Wh.
- A first line `sep=,`, as spreadsheets write it, is no header.
- The column names of the Parquet file are the same; its timestamps may be text or Arrow timestamps.
"""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data import clock
from data.errors import MissingFile
from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import HEAD_BYTES, MeterFile
from data.intake.raw import Channel, Hints, IntakeLog, Labels, RawReadings, Stamps, labels, numbers, stamps
from data.readings import ESTIMATED, MEASURED, MISSING, MeterData, QualityArray
from market.units import BoolArray, IntArray

REQUIRED = ("timestamp", "household", "import_kwh", "export_kwh")
METER_UNITS = {"kwh": "kWh", "wh": "Wh", "mwh": "MWh", "kw": "kW", "w": "W"}
"""Ends of the names of meter columns: energy of the interval, or mean power in it."""
QUALITY = {"": MEASURED, "measured": MEASURED, "estimated": ESTIMATED, "missing": MISSING}
SUFFIXES = (".csv", ".parquet")
FIRST_LINE = 2
"""Line of the first row, the header being line 1."""
BLOCK_BYTES = 1 << 23
BATCH_ROWS = 200_000
"""How much of a file is in memory at a time, as text or as rows."""

_METER = re.compile(r"([a-z][a-z0-9_]*)_(kwh|wh|mwh|kw|w)")
_SEPARATOR_LINE = re.compile(rb'"?sep=,"?\r?\n')


def sniff(file: MeterFile) -> Claim:
    """Whether the header names all four required columns; any other CSV or Parquet file could be meant to be plain."""
    if not file.path.is_file() or file.path.suffix.lower() not in SUFFIXES:
        return NO_CLAIM
    try:
        there = {_register(name) for name in _header(file)}
    except (OSError, ValueError) as problem:
        return Claim(_meant(file), (f"its header cannot be read: {problem}",))
    missing = [name for name in REQUIRED if _register(name) not in there]
    if missing:
        return Claim(_meant(file), (f"without {', '.join(missing)}",))
    return Claim(1.0, (f"the columns {', '.join(REQUIRED)}",))


def _meant(file: MeterFile) -> float:
    """How sure it is that a file which cannot be read as plain is meant to be plain: it names columns of it."""
    line = file.head.split(b"\n", 2)[_lines_above(file) :][0].lower()
    named = sum(name.encode() in line for name in REQUIRED)
    return 0.5 if named > 1 else 0.1 if named or not file.head else 0.0


def parse(file: MeterFile, hints: Hints, log: IntakeLog) -> Iterator[RawReadings]:
    """Read a plain CSV or Parquet file; see the module's docstring."""
    if file.path.is_dir():
        log.add("error", "unreadable", "this is a folder; name the CSV or Parquet file in it")
        return
    try:
        header = _header(file)
    except (OSError, ValueError) as problem:  # a Parquet file that is damaged is an OSError as well
        if isinstance(problem, OSError) and problem.errno:
            raise
        log.add("error", "unreadable", f"{_unreadable(problem)}; save it as UTF-8 CSV or as Parquet")
        return
    if _check_header(header, 1 + _lines_above(file), log):
        power = [name for name, channel in _channels(header).items() if channel.unit in ("kW", "W")]
        if power:
            log.notes.append(f"{', '.join(power)}: mean power, times the length of the interval")
        if file.path.suffix.lower() == ".parquet":
            yield from _read_parquet(file.path, header, log)
        else:
            yield from _read_csv(file.path, header, _lines_above(file), log)


def _header(file: MeterFile) -> list[str]:
    if file.path.suffix.lower() == ".parquet":
        if file.parquet_schema is not None:
            return [str(name) for name in file.parquet_schema.names]
        from pyarrow import parquet

        return [str(name) for name in parquet.read_schema(file.path).names]  # damaged: says how
    strict = "strict" if len(file.head) < HEAD_BYTES else "ignore"
    line = file.head.decode("utf-8-sig", errors=strict).split("\n", 2)[_lines_above(file) :][0]
    return [name.strip('"') for name in line.rstrip("\r").split(",")]


def _lines_above(file: MeterFile) -> int:
    """Lines above the header: the `sep=,` that spreadsheets understand, or none."""
    head = file.head.removeprefix(codecs.BOM_UTF8).lower()
    return 1 if _SEPARATOR_LINE.match(head) and file.path.suffix.lower() != ".parquet" else 0


def _check_header(header: list[str], line: int, log: IntakeLog) -> bool:
    """Report what is wrong with the column names; True where the rows can be read."""
    good = True
    if len(header) == 1 and ";" in header[0]:
        cure = "write decimal points instead of commas first, then ',' instead of ';', and dates as 2026-10-18 00:00"
        log.add(
            "error",
            "wrong_header",
            f"columns are separated by ';', as some spreadsheets do; {cure}",
            line=line,
        )
        return False
    known = (*REQUIRED, "quality", "pv_kwh", "load_kwh", "heat_pump_kwh", "ev_kwh", "battery_kwh")
    there = [_register(name) for name in header]
    named: set[str] = set()  # what was said to be another column is not said again
    for name in REQUIRED:
        if _register(name) not in there:
            near = difflib.get_close_matches(name, [h for h in header if h not in known], n=1, cutoff=0.5)
            named.update(near)
            hint = f"; {_rename(repr(near[0]), near[0], name)}" if near else ""
            log.add("error", "wrong_header", f"the column {name!r} is missing{hint}", line=line)
            good = False
    for name in header:
        if header.count(name) > 1:
            log.add("error", "wrong_header", f"the column {name!r} is given twice; remove one", line=line)
            return False
        if there.count(_register(name)) > 1:
            log.add(
                "error", "wrong_header", f"{_register(name)!r} is given in two units; remove one", line=line
            )
            return False
        if name in REQUIRED or name == "quality" or name in named or _METER.fullmatch(name):
            continue
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = (
            f"; {_rename('it', name, near[0])}"
            if near
            else "; a sub-meter is named like 'pv_kwh'; remove other columns"
        )
        log.add("error", "unknown_column", f"the column {name!r} is not known{hint}", line=line)
    return good


def _register(name: str) -> str:
    """A meter column's name without its unit; any other name as it is."""
    meter = _METER.fullmatch(name)
    return meter[1] if meter else name


def _rename(it: str, name: str, wanted: str) -> str:
    """What to do about a column that is probably meant as another; its unit is asked for, never assumed."""
    if _METER.fullmatch(name.lower()):
        return f"rename {it} to {name.lower()!r}"
    if not _METER.fullmatch(wanted):
        return f"rename {it} to {wanted!r}"
    units = ", ".join(f"'{_register(wanted)}_{unit}'" for unit in METER_UNITS)
    counter = f"a meter's counter: '{wanted}', and --kind counter"
    return f"say in its name what {name!r} is: {units} (energy of each interval, or mean power; {counter})"


def _channels(names: Iterable[str]) -> dict[str, Channel]:
    found = {name: _METER.fullmatch(name) for name in names}
    return {name: Channel(m[1], METER_UNITS[m[2]], label=name) for name, m in found.items() if m}


def _read_csv(path: Path, header: list[str], above: int, log: IntakeLog) -> Iterator[RawReadings]:
    """The rows of a CSV file, a block at a time."""
    import pyarrow as pa

    skipped: list[int] = []
    try:
        for table, lines in _blocks(path, header, above, skipped):
            yield _csv_rows(table, lines, header, log)
    except pa.ArrowInvalid as problem:
        log.add("error", "unreadable", f"{_unreadable(problem)}; save it as UTF-8 CSV with one header")
        return
    message = f"the row does not have {len(header)} cells; a decimal comma? Write numbers with a point"
    log.add_rows(
        "error", "wrong_cells", np.array(skipped, dtype=np.int64), lambda line: (line, None, message)
    )


def _csv_rows(table: Any, lines: IntArray, header: list[str], log: IntakeLog) -> RawReadings:
    import pyarrow as pa

    channels = _channels(header)
    home, when = labels(table.column("household")), labels(table.column("timestamp"))
    blank = _is_empty(home) & _is_empty(when) if "" in home.texts and "" in when.texts else None
    if blank is not None and blank.any():  # blank lines are no rows, but count as lines
        for name in channels:
            blank &= numbers(table.column(name)).empty
        if "quality" in header:
            blank &= _is_empty(labels(table.column("quality")))
        table, lines = table.filter(pa.array(~blank)), lines[~blank]
        home, when = labels(table.column("household")), labels(table.column("timestamp"))
    return RawReadings(
        line=lines,
        meter=home,
        stamp=stamps(when),
        values={channel: numbers(table.column(name)) for name, channel in channels.items()},
        quality=_quality(table.column("quality"), lines, log) if "quality" in header else None,
    )


def _blocks(path: Path, header: list[str], above: int, skipped: list[int]) -> Iterator[tuple[Any, IntArray]]:
    """Tables of rows and the line of each; meter columns are numbers, or text from a block on that holds another cell.

    Args:
        path: The file.
        header: Names of its columns.
        above: Lines above the header.
        skipped: Takes the lines of rows with another number of cells, which are left out.

    Raises:
        ArrowInvalid: The file cannot be read as CSV.
    """
    import pyarrow as pa

    done = 0
    for numbers_are in (pa.float64(), pa.string()):
        at, past, line = 0, 0, FIRST_LINE + above
        skipped.clear()
        try:
            for batch in _opened(path, header, above, numbers_are, skipped):
                lines = _lines(line, len(batch), skipped[past:])
                line = int(lines[-1]) + 1 if len(lines) else line
                past += sum(one < line for one in skipped[past:])
                at += len(batch)
                new = min(at - done, len(batch))  # none of a block that was read as numbers
                if new > 0:
                    yield pa.Table.from_batches([batch.slice(len(batch) - new)]), lines[-new:]
                    done += new
            return
        except pa.ArrowInvalid:
            if numbers_are == pa.string():
                raise


def _lines(first: int, rows: int, skipped: list[int]) -> IntArray:
    """The lines of rows from a line on, between which some were skipped."""
    lines = np.arange(first, first + rows + len(skipped), dtype=np.int64)
    return np.setdiff1d(lines, np.array(skipped, dtype=np.int64))[:rows] if skipped else lines


def _opened(path: Path, header: list[str], above: int, numbers_are: Any, skipped: list[int]) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    def wrong_width(row: Any) -> str:
        skipped.append(int(row.number))
        return "skip"

    text = pa.dictionary(pa.int32(), pa.string())
    columns = dict.fromkeys(header, numbers_are) | dict.fromkeys(("timestamp", "household"), text)
    if "quality" in header:
        columns["quality"] = text
    return csv.open_csv(
        path,
        # One thread: only then does a skipped row know its number.
        read_options=csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=header, skip_rows=1 + above
        ),
        parse_options=csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=wrong_width),
        convert_options=csv.ConvertOptions(column_types=columns, null_values=[""], strings_can_be_null=False),
    )


def _unreadable(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError) or "UTF8" in str(problem):
        return "the file is not UTF-8, often it is Windows-1252"
    return f"the file cannot be read ({problem})"


def _is_empty(column: Labels) -> BoolArray:
    return np.array([text == "" for text in column.texts], dtype=np.bool_)[column.code]


def _quality(column: Any, lines: IntArray, log: IntakeLog) -> QualityArray:
    flag = labels(column)
    codes, texts = flag.code, flag.texts
    unknown = np.array([text.lower() not in QUALITY for text in texts])

    def describe(row: int) -> tuple[int, None, str]:
        text = texts[codes[row]]
        return int(lines[row]), None, f"quality {text!r} is not one of measured, estimated, missing"

    log.add_rows("error", "unknown_quality", np.flatnonzero(unknown[codes]), describe)
    return np.array([QUALITY.get(text.lower(), MISSING) for text in texts], dtype=np.uint8)[codes]


def _read_parquet(path: Path, header: list[str], log: IntakeLog) -> Iterator[RawReadings]:
    """The rows of a Parquet file, some at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    row = 1
    for batch in _batches(path, log):
        table = pa.Table.from_batches([batch])
        lines = np.arange(row, row + len(table), dtype=np.int64)
        row += len(table)
        home_column = table.column("household")
        if not pa.types.is_dictionary(home_column.type):
            home_column = pc.cast(home_column, pa.string())
        values = {}
        for name, channel in _channels(header).items():
            try:
                values[channel] = numbers(table.column(name))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                what = f"the column {name!r} holds {table.column(name).type}; store numbers"
                log.add("error", "unreadable", what)
                return
        stamp = _parquet_stamps(table.column("timestamp"))
        quality = _quality(table.column("quality"), lines, log) if "quality" in header else None
        yield RawReadings(lines, labels(home_column), stamp, values, quality)


def _batches(path: Path, log: IntakeLog) -> Iterator[Any]:
    """Record batches of a Parquet file, until one is damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)
    except (pa.ArrowException, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno:  # of the disk
            raise
        log.add("error", "unreadable", f"the Parquet file is damaged ({problem}); export it again")


def _parquet_stamps(column: Any) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(column.type):
        return stamps(labels(column))
    whole = pc.cast(column, pa.timestamp("s", column.type.tz), safe=False)
    exact = pc.fill_null(pc.equal(pc.cast(whole, column.type), column), False).to_numpy(zero_copy_only=False)
    seconds = pc.fill_null(pc.cast(whole, pa.int64()), 0).to_numpy(zero_copy_only=False)
    stated = clock.LOCAL if column.type.tz is None else clock.WITH_OFFSET
    kind = np.where(exact, stated, clock.UNREADABLE).astype(np.int8)
    return Stamps(seconds, kind, lambda row: str(column[row].as_py()))


def write(data: MeterData, path: Path) -> None:
    """Write data as a plain CSV or Parquet file, by the suffix; reading it back gives the same readings.

    Batteries and the source have no column in this format and are left out.

    Raises:
        MissingFile: The folder does not exist.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    if not path.parent.is_dir():
        raise MissingFile(path.parent)
    steps = np.datetime64(data.start_s, "s") + np.arange(data.intervals) * np.timedelta64(
        data.minutes * 60, "s"
    )
    stamps = pa.array([f"{step}Z" for step in steps.astype(str)])
    homes = len(data.households)

    def category(index: IntArray | QualityArray, texts: Any) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), texts).cast(pa.string())

    columns = {
        "timestamp": category(np.repeat(np.arange(data.intervals), homes), stamps),
        "household": category(np.tile(np.arange(homes), data.intervals), pa.array(data.households)),
        "import_kwh": pa.array(data.import_wh.ravel() / 1000),
        "export_kwh": pa.array(data.export_wh.ravel() / 1000),
        **{
            f"{name}_kwh": pa.array(energy.ravel() / 1000) for name, energy in sorted(data.sub_meters.items())
        },
        "quality": category(data.quality.ravel(), pa.array(["measured", "estimated", "missing"])),
    }
    table = pa.table(columns)
    if path.suffix.lower() == ".parquet":
        parquet.write_table(table, path, compression="zstd")
    else:
        csv.write_csv(table, path, csv.WriteOptions(quoting_style="needed"))


FORMATS.register(
    Format(
        name="plain",
        summary="CSV or Parquet `timestamp,household,import_kwh,export_kwh[,..]`; stamps start the interval",
        unit="kWh per interval; Wh, MWh, mean kW or W where a column's name says so",
        sniff=sniff,
        parse=parse,
        sample="timestamp,household,import_kwh,export_kwh\n2026-06-13T00:00:00Z,house-1,0.263,0\n",
        source="docs/reference/meter-files.md",
    )
)
