"""Series of values by time in a CSV: rows, stamps, and the hours of a CityLearn set, whose files have no stamps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import clock
from data.findings import FindingLog
from data.formats import citylearn
from data.intake.file import MeterFile
from data.intake.raw import Stamps
from market.interval import ALLOWED_MINUTES, begins_interval
from market.units import IntArray


def read(path: Path, noun: str, log: FindingLog) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a CSV; errors go to the log.

    Args:
        noun: What a row holds, such as "price".
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = [[cell.strip() for cell in row] for row in csv.reader(file)]
        except (UnicodeDecodeError, csv.Error) as problem:
            log.add("error", "unreadable", f"the file cannot be read ({problem}); save it as UTF-8 CSV")
            return [], []
    while lines and not any(lines[-1]):
        lines.pop()
    if len(lines) < 2:
        log.add("error", "empty_file", f"the file has no {noun}s; export it again")
        return [], []
    for number, row in enumerate(lines[1:], start=2):
        if len(row) != len(lines[0]):
            message = (
                f"the row does not have {len(lines[0])} cells; a decimal comma? Write numbers with a point"
            )
            log.add("error", "wrong_cells", message, line=number)
    return lines[0], lines[1:]


def on_stamps(
    texts: Sequence[str],
    noun: str,
    zone: str | None,
    log: FindingLog,
    lengths: Sequence[int] = ALLOWED_MINUTES,
) -> tuple[int, int] | None:
    """Start of the first interval [s since 1970] and their length [min]; None where the stamps are no regular series.

    Args:
        texts: The stamps, in the order of the rows.
        zone: Time zone of stamps without an offset.
        lengths: Lengths that an interval may have. [min]
    """
    seconds, kind = clock.parse_stamps(texts)
    stamp, line = Stamps(seconds, kind, lambda row: texts[row]), np.arange(2, len(texts) + 2)
    utc = utc_of(stamp, line, zone, log)
    return None if utc is None else regular(utc, stamp, line, noun, log, lengths)


def utc_of(stamp: Stamps, line: IntArray, zone: str | None, log: FindingLog) -> IntArray | None:
    """UTC of each row [s since 1970]; None where a stamp cannot be read, or needs a zone that is not known.

    Args:
        line: Line of each row, for messages.
        zone: Time zone of stamps without an offset.
    """
    for row in np.flatnonzero(stamp.kind == clock.UNREADABLE).tolist():
        message = f"timestamp {stamp.text(row)!r} is not like 2026-06-13T00:00Z"
        log.add("error", "bad_timestamp", message, line=int(line[row]))
    local = stamp.kind == clock.LOCAL
    if local.any() and (stamp.kind == clock.WITH_OFFSET).any():
        message = "some timestamps have a UTC offset and some have none; write all in one way"
        log.add("error", "mixed_zones", message)
    elif local.any() and zone is None:
        message = "timestamps have no UTC offset; name their time zone, e.g. 'Europe/Berlin'"
        log.add("error", "zone_needed", message)
    if log.has_errors:
        return None
    utc = stamp.seconds
    if zone is not None and local.any():
        info = clock.zone_named(zone)
        utc, _, exists = clock.utc_by_row_order(stamp.seconds, np.zeros(len(utc), dtype=np.int64), info)
        for row in np.flatnonzero(~exists).tolist():
            message = f"{stamp.text(row)} does not exist in {zone}; check the zone"
            log.add("error", "impossible_time", message, line=int(line[row]))
    return utc


def regular(
    utc: IntArray,
    stamp: Stamps,
    line: IntArray,
    noun: str,
    log: FindingLog,
    lengths: Sequence[int] = ALLOWED_MINUTES,
) -> tuple[int, int] | None:
    """Start of the first interval [s since 1970] and their length [min]; None where the rows are no regular series.

    Args:
        utc: Start of each row. [s since 1970]
        stamp: Its text, for messages.
        line: Its line.
        noun: What a row holds, such as "price".
        lengths: Lengths that an interval may have. [min]
    """
    minutes = _minutes(utc, noun, log, tuple(lengths))
    if minutes is None:
        return None
    for row in (np.flatnonzero(np.diff(utc) != minutes * 60) + 1).tolist():
        away = (int(utc[row]) - int(utc[row - 1])) // 60
        message = f"{stamp.text(row)} comes {away} minutes after the row before, not {minutes}"
        code = "gap" if away > 0 else "wrong_order"
        log.add("error", code, f"{message}; every interval needs one {noun}", line=int(line[row]))
    return int(utc[0]), minutes


def _minutes(utc: IntArray, noun: str, log: FindingLog, allowed: tuple[int, ...]) -> int | None:
    step = np.diff(utc)
    step = step[step > 0]
    if not len(step):
        log.add(
            "error",
            "interval_length",
            "the file has fewer than two intervals; their length cannot be determined",
        )
        return None
    found, count = np.unique(step, return_counts=True)
    seconds = int(found[np.argmax(count)])
    if seconds % 60 or seconds // 60 not in allowed or not begins_interval(int(utc[0]), seconds // 60):
        message = (
            f"{noun}s come every {seconds / 60:g} minutes from {int(utc[0]) % 86_400} s after midnight UTC"
        )
        log.add("error", "interval_length", f"{message}; give one of {allowed} minutes, on its boundary")
        return None
    return seconds // 60


def beside_citylearn(path: Path) -> bool:
    """Whether a file lies beside the schema.json of a CityLearn set."""
    return citylearn.sniff(MeterFile(path.parent)).confidence > 0


def on_citylearn_hours(
    path: Path, rows: int, noun: str, zone: str | None, log: FindingLog
) -> tuple[int, IntArray] | None:
    """Start of the first hour [s since 1970] and the row of each hour; None where the rows are not those of the set.

    Args:
        rows: Number of rows of the file.
    """
    hours = citylearn.calendar_of(MeterFile(path.parent), zone, log)
    if hours is None:
        return None
    expected = len(hours.row) - int(hours.filled.sum()) + len(hours.dropped)
    if rows != expected:
        log.add(
            "error",
            "wrong_length",
            f"{rows} {noun}s for {expected} hours of the buildings; use the set's file",
        )
        return None
    return hours.start_s, hours.row
