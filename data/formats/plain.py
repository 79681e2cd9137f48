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
- Any further `NAME_kwh` column is a sub-meter; an empty cell there means 0 where a home has the whole column
  empty. A column `quality` (measured, estimated, missing) is optional.
- Rows of different homes may be mixed in any order; the rows of one home are in the order of time.
- An absent row and an empty register are MISSING, never a silent zero.
- kWh become whole Wh. Text of up to nine decimals is read exactly, and the remainder below one Wh is carried
  to the next interval of the same home and register, so that any stretch of time sums to the file's energy
  within 1 Wh.
- The column names of the Parquet file are the same; its timestamps may be text or Arrow timestamps.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import numpy as np

from data import clock
from data.errors import MissingFile
from data.findings import FindingLog
from data.formats import _plain_data, _plain_rows
from data.formats._plain_rows import Rows
from data.formats.registry import FileReading, Format, ReadOptions, register, sha256_of
from data.readings import ESTIMATED, MEASURED, MISSING, MeterData, QualityArray
from market.units import BoolArray, Int8Array, IntArray

REQUIRED = ("timestamp", "household", "import_kwh", "export_kwh")
QUALITY = {"": MEASURED, "measured": MEASURED, "estimated": ESTIMATED, "missing": MISSING}
SUFFIXES = (".csv", ".parquet")

_METER = re.compile(r"[a-z][a-z0-9_]*_kwh")
_HEAD_BYTES = 65_536


def sniff(path: Path) -> bool:
    """Tell whether the header names all four required columns."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return False
    try:
        return set(REQUIRED) <= set(_header(path))
    except (OSError, ValueError):
        return False


def read(path: Path, options: ReadOptions) -> FileReading:
    """Read a plain CSV or Parquet file; see the module's docstring."""
    log = FindingLog()
    zone = clock.zone_named(options.zone) if options.zone is not None else None
    rows = _rows_of(path, log)
    if rows is None:
        return FileReading(None, log.findings(), 0, options.zone or "not known")
    table = _plain_rows.grid(rows, zone, options, log)
    where = options.zone if table.local and options.zone else "offsets in the file"
    if table.cells is None or log.has_errors:
        return FileReading(None, log.findings(), rows.count, where)
    answers = {"zone": options.zone} if table.local and options.zone else {}
    data = _plain_data.meter_data(rows, table.cells, sha256_of(path), answers, log)
    _plain_data.check(data, table.cells, options, log)
    return FileReading(None if log.has_errors else data, log.findings(), rows.count, where)


def _rows_of(path: Path, log: FindingLog) -> Rows | None:
    """Read the columns as they stand; None after an error that hides the rows."""
    if path.stat().st_size == 0:
        log.add("error", "empty_file", "the file is empty; export it again")
        return None
    try:
        header = _header(path)
    except ValueError as problem:
        log.add("error", "unreadable", f"{_unreadable(problem)}; save it as UTF-8 CSV or as Parquet")
        return None
    if not _check_header(header, log):
        return None
    rows = _read_parquet(path, log) if path.suffix.lower() == ".parquet" else _read_csv(path, header, log)
    if rows is not None and rows.count == 0:
        log.add("error", "empty_file", "the file has a header but no rows; export it again")
        return None
    return rows


def _header(path: Path) -> list[str]:
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        return [str(name) for name in parquet.read_schema(path).names]
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    line = head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD_BYTES else "ignore").split("\n", 1)[
        0
    ]
    return [name.strip('"') for name in line.rstrip("\r").split(",")]


def _check_header(header: list[str], log: FindingLog) -> bool:
    """Report what is wrong with the column names; True where the rows can be read."""
    good = True
    if len(header) == 1 and ";" in header[0]:
        cure = "write decimal points instead of commas first, then ',' instead of ';', and dates as 2026-10-18 00:00"
        log.add(
            "error", "wrong_header", f"columns are separated by ';', as some spreadsheets do; {cure}", line=1
        )
        return False
    known = (*REQUIRED, "quality", "pv_kwh", "load_kwh", "heat_pump_kwh", "ev_kwh", "battery_kwh")
    for name in REQUIRED:
        if name not in header:
            near = difflib.get_close_matches(name, [h for h in header if h not in known], n=1, cutoff=0.5)
            hint = f"; rename {near[0]!r}?" if near else ""
            log.add("error", "wrong_header", f"the column {name!r} is missing{hint}", line=1)
            good = False
    for name in header:
        if header.count(name) > 1:
            log.add("error", "wrong_header", f"the column {name!r} stands there twice; remove one", line=1)
            return False
        if name in REQUIRED or name == "quality" or _METER.fullmatch(name):
            continue
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = (
            f"; rename it to {near[0]!r}"
            if near
            else "; a sub-meter is named like 'pv_kwh'; remove other columns"
        )
        log.add("error", "unknown_column", f"the column {name!r} is not known{hint}", line=1)
    return good


def _meters(names: list[str]) -> list[str]:
    return [name for name in names if _METER.fullmatch(name)]


def _read_csv(path: Path, header: list[str], log: FindingLog) -> Rows | None:
    import pyarrow as pa

    category = pa.dictionary(pa.int32(), pa.string())
    text_types = {"timestamp": category, "household": category, "quality": category}
    try:
        table, lines = _parse_csv(path, header, text_types, log)
    except pa.ArrowInvalid as problem:
        log.add("error", "unreadable", f"{_unreadable(problem)}; save it as UTF-8 CSV with one header")
        return None
    values, empty, bad = {}, {}, {}
    for name in _meters(header):
        values[name], empty[name], bad[name] = _numbers(table.column(name))
        table = table.drop_columns([name])
    stamp_code, stamps = _codes(table.column("timestamp"))
    home_code, homes = _codes(table.column("household"))
    blank = (stamp_code == _index(stamps, "")) & (home_code == _index(homes, ""))
    for name in values:
        blank &= empty[name]
    seconds, kind = clock.parse_stamps(stamps)
    rows = Rows(
        line=lines,
        stamp_s=seconds[stamp_code],
        stamp_kind=kind[stamp_code],
        stamp_text=lambda row: stamps[stamp_code[row]],
        home=home_code,
        homes=homes,
        values=values,
        empty=empty,
        bad=bad,
        quality=_quality(table.column("quality"), lines, log) if "quality" in header else None,
    )
    return rows.take(~blank) if blank.any() else rows


def _parse_csv(path: Path, header: list[str], types: dict[str, Any], log: FindingLog) -> tuple[Any, IntArray]:
    """Return the table and each row's line; meter columns are numbers, or text where a cell is no number."""
    import pyarrow as pa
    from pyarrow import csv

    skipped: list[int] = []

    def wrong_width(row: Any) -> str:
        skipped.append(int(row.number))
        return "skip"

    def parse(numbers: Any) -> Any:
        skipped.clear()
        columns = {name: types.get(name, numbers) for name in header}
        return csv.read_csv(
            path,
            # One thread: only then does a skipped row know its number.
            read_options=csv.ReadOptions(
                use_threads=False, block_size=1 << 24, column_names=header, skip_rows=1
            ),
            parse_options=csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=wrong_width),
            convert_options=csv.ConvertOptions(
                column_types=columns, null_values=[""], strings_can_be_null=False
            ),
        )

    try:
        table = parse(pa.float64())
    except pa.ArrowInvalid:
        table = parse(pa.string())
    gaps = np.array(skipped, dtype=np.int64)
    lines = np.arange(2, len(table) + len(gaps) + 2, dtype=np.int64)
    if len(gaps):
        lines = np.delete(lines, gaps - 2)
        message = f"the row does not have {len(header)} cells; a decimal comma? Write numbers with a point"
        log.add_rows("error", "wrong_cells", gaps, lambda line: (line, None, message))
    return table, lines


def _unreadable(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError) or "UTF8" in str(problem):
        return "the file is not UTF-8, often it is Windows-1252"
    return f"the file cannot be read ({problem})"


def _numbers(column: Any) -> tuple[np.ndarray[Any, np.dtype[np.float64]], BoolArray, dict[int, str]]:
    """Return values (NaN where there is none), which cells are empty, and the cells that are no numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bad: dict[int, str] = {}
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        fine = pc.match_substring_regex(trimmed, r"^([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[Nn][Aa][Nn])$")
        filled = pc.fill_null(pc.and_not(pc.fill_null(pc.invert(fine), True), pc.equal(trimmed, "")), True)
        for row in np.flatnonzero(filled.to_numpy(zero_copy_only=False)).tolist():
            bad[row] = str(trimmed[row].as_py())
        column = pc.cast(pc.if_else(fine, trimmed, pa.scalar(None, pa.string())), pa.float64())
        empty = pc.equal(trimmed, "").to_numpy(zero_copy_only=False)
    else:
        column = pc.cast(column, pa.float64())
        empty = column.is_null().to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return values, empty, bad


def _codes(column: Any) -> tuple[IntArray, list[str]]:
    """Return the index of each row into the distinct trimmed texts, and those texts."""
    import pyarrow as pa

    chunk = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.combine_chunks()
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    texts = [str(text).strip() if text is not None else "" for text in chunk.dictionary.to_pylist()]
    place: dict[str, int] = {}
    merged = np.array([place.setdefault(text, len(place)) for text in texts], dtype=np.int64)
    if chunk.null_count:
        merged = np.append(merged, place.setdefault("", len(place)))
        codes = chunk.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    else:
        codes = chunk.indices.to_numpy(zero_copy_only=False)
    return merged[codes], list(place)


def _index(texts: list[str], text: str) -> int:
    return texts.index(text) if text in texts else -1


def _quality(column: Any, lines: IntArray, log: FindingLog) -> QualityArray:
    codes, texts = _codes(column)
    unknown = np.array([text.lower() not in QUALITY for text in texts])

    def describe(row: int) -> tuple[int, None, str]:
        text = texts[codes[row]]
        return int(lines[row]), None, f"quality {text!r} is not one of measured, estimated, missing"

    log.add_rows("error", "unknown_quality", np.flatnonzero(unknown[codes]), describe)
    return np.array([QUALITY.get(text.lower(), MISSING) for text in texts], dtype=np.uint8)[codes]


def _read_parquet(path: Path, log: FindingLog) -> Rows | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(path)
    lines = np.arange(1, len(table) + 1, dtype=np.int64)
    seconds, kind, text = _parquet_stamps(table.column("timestamp"))
    home_column = table.column("household")
    if not pa.types.is_dictionary(home_column.type):
        home_column = pc.cast(home_column, pa.string())
    home_code, homes = _codes(home_column)
    values, empty, bad = {}, {}, {}
    for name in _meters(table.column_names):
        try:
            values[name], empty[name], bad[name] = _numbers(table.column(name))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            log.add(
                "error", "unreadable", f"the column {name!r} holds {table.column(name).type}; store numbers"
            )
            return None
    quality = _quality(table.column("quality"), lines, log) if "quality" in table.column_names else None
    return Rows(lines, seconds, kind, text, home_code, homes, values, empty, bad, quality)


def _parquet_stamps(column: Any) -> tuple[IntArray, Int8Array, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(column.type):
        codes, texts = _codes(column)
        seconds, kind = clock.parse_stamps(texts)
        return seconds[codes], kind[codes], lambda row: texts[codes[row]]
    whole = pc.cast(column, pa.timestamp("s", column.type.tz), safe=False)
    exact = pc.fill_null(pc.equal(pc.cast(whole, column.type), column), False).to_numpy(zero_copy_only=False)
    seconds = pc.fill_null(pc.cast(whole, pa.int64()), 0).to_numpy(zero_copy_only=False)
    stated = clock.LOCAL if column.type.tz is None else clock.WITH_OFFSET
    kind = np.where(exact, stated, clock.UNREADABLE).astype(np.int8)
    return seconds, kind, lambda row: str(column[row].as_py())


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


FORMAT = register(
    Format(
        name="plain",
        describe="CSV or Parquet timestamp,household,import_kwh,export_kwh[,..]; stamps start the interval",
        unit="kWh per interval",
        sniff=sniff,
        read=read,
    )
)
