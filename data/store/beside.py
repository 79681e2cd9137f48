"""Meter files with their readings as columns beside them, made on first use, so that a large file is read once.

From `LEAST_READINGS` home-intervals on, columns are written to `.wattswap-columns` beside the file or folder, else,
where that may not be written, to the user's cache folder; without room in both the readings stay in memory. They are
made again where the file, the options it is read with, or the code that reads it has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from data import formats
from data.errors import MissingFile
from data.readings import MeterData
from data.store import columns

LEAST_READINGS: Final = 2_000_000
"""Home-intervals from which columns are worth their room: 60 homes for a year in quarters of an hour."""
LEAST_BYTES: Final = 1_000_000
"""Size of a file or folder below which it cannot hold so many. [byte]"""
FOLDER: Final = ".wattswap-columns"
STORE: Final = "store"
"""The format whose columns are in its own folder, see `data.store.mapped`."""
_TOP: Final = Path(__file__).resolve().parents[1]


def load(path: str | Path, *, format: str | None = None, **options: Any) -> MeterData:
    """Load meter data as `data.formats.load` does, with the same arguments and errors, by way of columns beside it."""
    where = Path(path)
    if not where.exists():
        raise MissingFile(where)
    chosen = formats.recognise(where) if format is None else formats.FORMATS.get(format)
    keeps_its_own = chosen.name == STORE
    if keeps_its_own or not formats.FORMATS.is_ours(chosen) or _size(where) < LEAST_BYTES:
        return formats.load(where, format=chosen.name, **options)
    source = _sha256(where)
    said = {name: _content(value) for name, value in sorted(options.items()) if value is not None}
    key = columns.key_of(source, chosen.name, said, code_sha256())
    places = list(_places(where))
    for folder in places:
        if (kept := columns.open(folder, key)) is not None:
            return kept
    data = formats.load(where, format=chosen.name, **options)
    if data.import_wh.size < LEAST_READINGS or not _is_of(data, where, source):
        return data
    made_from = {"name": where.name, "sha256": source}
    for folder in places:
        if _ready(folder) and (kept := columns.write(folder, key, data, made_from)) is not None:
            return kept
    return data


def _is_of(data: MeterData, where: Path, source: str) -> bool:
    """Whether readings are those of a source, which may have been written to while it was read."""
    if (
        where.is_file()
    ):  # another hash too where the format has read files beside it, whose changes would not be seen
        return data.source.sha256 == source == _sha256(where)
    return source == _sha256(where)


def _files(where: Path) -> list[Path]:
    if where.is_file():
        return [where]
    return sorted(path for path in where.rglob("*") if path.is_file() and FOLDER not in path.parts)


def _size(where: Path) -> int:
    return sum(path.stat().st_size for path in _files(where))


def _sha256(where: Path) -> str:
    """Hash of a file; of a folder that of the sorted lines `sha256 name` of all files in it."""
    if where.is_file():
        return columns.file_sha256(where)
    lines = [f"{columns.file_sha256(path)} {path.relative_to(where).as_posix()}\n" for path in _files(where)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _content(value: Any) -> Any:
    """What the readings depend on of an option: of a file that is named its content."""
    return columns.file_sha256(value) if isinstance(value, Path) and value.is_file() else value


@cache
def code_sha256() -> str:
    """SHA-256 over the code that reads meter files, so that columns of an earlier reader are not used."""
    paths = sorted(path for path in _TOP.rglob("*") if path.suffix in (".py", ".toml"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(_TOP)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _places(where: Path) -> Iterator[Path]:
    """Folders where columns of a file can be, the first that can be written being used."""
    yield where.resolve().parent / FOLDER
    yield from cache_folders()


def cache_folders() -> Iterator[Path]:
    """The folder of columns in the user's cache folder, where there is one."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(cache_home) if Path(cache_home).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no home
        return
    yield base / "wattswap" / "columns"


def _ready(folder: Path) -> bool:
    """Make a folder that Git leaves out by itself."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")
    except OSError:
        return False
    return True
