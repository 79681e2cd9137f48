"""Reading a database of Home Assistant without leaving a trace beside it, also while it is written to."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from data.findings import FindingLog
from data.intake.file import MeterFile
from data.intake.raw import FloatArray
from market.units import IntArray

WAIT_S = 5.0
WRITE_AHEAD = b"\2\2"
LATEST_S = 253_402_300_799
"""The last second of the year 9999. [s since 1970]"""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One series of the recorder.

    Args:
        id: Its number in the database.
        name: Its statistic_id.
        unit: Of its sum.
    """

    id: int
    name: str
    unit: str


@contextmanager
def opened(file: MeterFile) -> Iterator[sqlite3.Connection]:
    """Open a database to read it.

    One with a write-ahead log is in use where its index is there too, and is read through both, as SQLite does. A log
    without its index was left by a crash or a copy: to read it, SQLite would write an index beside it, so a copy is
    read. A database that wants a log and has none is in use by nobody, and is read as it is.
    """
    log, index = (file.path.with_name(file.name + end) for end in ("-wal", "-shm"))
    if log.exists() and log.stat().st_size and not index.exists():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            shutil.copyfile(file.path, copy)
            shutil.copyfile(log, copy.with_name("copy.db-wal"))
            with closing(_connected(copy, "mode=rw")) as database:
                yield database
        return
    unused = file.head[18:20] == WRITE_AHEAD and not (log.exists() and index.exists())
    with closing(_connected(file.path, "mode=ro&immutable=1" if unused else "mode=ro")) as database:
        yield database


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=WAIT_S)
    database.execute("PRAGMA query_only = ON")
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def statistics(database: sqlite3.Connection, table: str, log: FindingLog) -> list[Statistic]:
    """Return all series that have a sum; an error where this is no database of a recorder."""
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"statistics_meta", table} <= names:
        says = f"there is no table {table} with statistics_meta, as Home Assistant has them from schema 23 (2021) on"
        log.add(
            "error", "unreadable", f"{says}; start a newer Home Assistant once, which converts the database"
        )
        return []
    columns = _columns(database, table)
    if "metadata_id" not in columns or not {"start", "start_ts"} & columns or "sum" not in columns:
        says = f"the table {table} has none of the layouts of schema 23 (2021) or later"
        log.add(
            "error", "unreadable", f"{says}; start a newer Home Assistant once, which converts the database"
        )
        return []
    query = "SELECT id, statistic_id, unit_of_measurement FROM statistics_meta WHERE has_sum ORDER BY id"
    found = []
    for id, name, unit in database.execute(query):
        if not isinstance(id, int):
            raise sqlite3.DataError(f"a statistic has no number, but {str(id)[:40]!r}")
        found.append(Statistic(id, str(name), str(unit)))
    return found


def rows_of(database: sqlite3.Connection, table: str, statistic: Statistic) -> tuple[IntArray, FloatArray]:
    """Starts and sums of a series, by time. [s since 1970; unit of the statistic]"""
    columns = _columns(database, table)
    time = ", ".join(name if name in columns else "NULL" for name in ("start_ts", "start"))
    query = f"SELECT {time}, sum FROM {table} WHERE metadata_id = ?"
    times, sums = [], []
    for start_ts, start, total in database.execute(query, (statistic.id,)):
        times.append(_seconds(start_ts, start))
        sums.append(float(total) if isinstance(total, int | float) else np.nan)
    second, count = np.array(times, dtype=np.int64), np.array(sums, dtype=np.float64)
    order = np.argsort(second, kind="stable")
    return second[order], count[order]


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _seconds(start_ts: object, start: object) -> int:
    """Instant of a row: the number of newer schemas, or the text of older ones."""
    if isinstance(start_ts, int | float):
        if not 0 <= start_ts <= LATEST_S:
            raise sqlite3.DataError(f"a row of the statistics has no time, but {start_ts:g}")
        return round(start_ts)
    try:
        stamp = datetime.fromisoformat(str(start))
    except ValueError:
        raise sqlite3.DataError(f"a row of the statistics has no time, but {str(start)[:40]!r}") from None
    return round((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp())
