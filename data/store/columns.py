"""Readings as files that are mapped into memory: one file a column, so that all processes share its pages.

A set of columns is a folder: energy as int32 where all values of a column fit, else int64, flags as bytes, each file
row by row, (intervals, homes); and `columns.json`, which says what they are, what they were made from, and the SHA-256
of each. A set is written under another name and renamed, so it is whole or absent, and is never changed.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from data.clock import iso_utc
from data.intake.file import sha256_of
from data.readings import BatterySpec, MeterData, QualityArray, Source, of_checked
from market.units import IntArray

ABOUT: Final = "columns.json"
VERSION: Final = 1
ROWS: Final = 1_024
"""Intervals that are converted and written in one go."""
ABANDONED_S: Final = 86_400
"""Age from which an unfinished set belongs to a process that was killed. [s]"""
INT32_MAX: Final = np.iinfo(np.int32).max

_checked: dict[str, str] = {}
"""What this process, or the one that started it, has hashed: a mark of the file and its SHA-256."""


_used: dict[str, str] = {}
_pinned: dict[str, str] = {}
"""Sets of stores by folder: which this process uses, and which the one that started it does."""
_STORE: Final = "store "


def key_of(*parts: object) -> str:
    """The name of the set of columns that follows from these parts."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def checked() -> dict[str, str]:
    """What need not be hashed again, and which versions of stores are used, for a process that takes it by `trust`."""
    return _checked | {f"{_STORE}{store}": key for store, key in _used.items()}


def trust(marks: Mapping[str, str]) -> None:
    """Take over what another process of the same program has hashed, and the versions of stores that it uses."""
    for mark, found in marks.items():
        known, name = (_pinned, mark.removeprefix(_STORE)) if mark.startswith(_STORE) else (_checked, mark)
        known[name] = found


def note_use(store: Path, key: str) -> None:
    """Note which set of a store this process uses."""
    _used[str(store.resolve())] = key


def pinned(store: Path) -> str | None:
    """The set of a store that the process which started this one uses, whatever the store has become since."""
    return _pinned.get(str(store.resolve()))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, computed once while it stays the same file of the same size and time."""
    mark = _mark(path)
    if mark not in _checked:
        found = sha256_of(path)
        if _mark(path) != mark:  # written to meanwhile
            return found
        _checked[mark] = found
    return _checked[mark]


def _mark(path: Path) -> str:
    about = path.stat()
    return f"{path.resolve()} {about.st_dev} {about.st_ino} {about.st_size} {about.st_mtime_ns}"


def open(folder: Path, key: str) -> MeterData | None:
    """Map a set of columns into memory, read-only.

    The files are hashed once by the first process of a program; see `trust`.

    Returns:
        The readings; None where there is no such set, or where it is damaged or of another version.
    """
    where = folder / key
    try:
        about = json.loads((where / ABOUT).read_bytes())
        if about["version"] != VERSION or about["sha256"] != _sha256_of(about):
            return None
        intervals, homes = shape = _shape(about)
        arrays = {name: _mapped(where, entry, shape) for name, entry in about["columns"].items()}
        energy = {name: array for name, array in arrays.items() if name != "quality"}
        if arrays["quality"].dtype != np.uint8 or any(a.dtype == np.uint8 for a in energy.values()):
            return None
        batteries = tuple(None if one is None else BatterySpec(**one) for one in about["batteries"])
        if len(about["homes"]) != homes or len(batteries) != homes or not intervals:
            return None
        source = Source(**{**about["source"], "notes": tuple(about["source"]["notes"])})
        return of_checked(
            tuple(about["homes"]),
            about["start_s"],
            about["minutes"],
            energy.pop("import_wh"),
            energy.pop("export_wh"),
            cast(QualityArray, arrays["quality"]),
            {name.removeprefix("sub_meters."): array for name, array in energy.items()},
            batteries,
            source,
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _shape(about: Mapping[str, Any]) -> tuple[int, int]:
    intervals, homes = about["shape"]
    return int(intervals), int(homes)


def _mapped(where: Path, entry: Mapping[str, str], shape: tuple[int, int]) -> IntArray:
    """One column.

    Raises:
        OSError, ValueError, LookupError, TypeError: It is not what the entry says.
    """
    path, dtype = where / entry["file"], np.dtype(entry["dtype"])
    if path.parent != where or dtype.str not in ("<i4", "<i8", "|u1"):
        raise ValueError(f"{path} is no column")
    if path.stat().st_size != shape[0] * shape[1] * dtype.itemsize or file_sha256(path) != entry["sha256"]:
        raise ValueError(f"{path} is damaged")
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    array: IntArray = np.frombuffer(pages, dtype=dtype).reshape(shape)
    return array


def write(
    folder: Path, key: str, data: MeterData, made_from: Mapping[str, str] | None = None, *, keep: int = 0
) -> MeterData | None:
    """Write a set of columns and map it; one that is there already is taken if it is whole.

    Args:
        folder: Where sets of columns are; made if it is missing.
        key: Name of the set; it has to follow from all that the readings depend on.
        data: The readings.
        made_from: Name and hash of the source. Sets that were made from a source of the same name with another hash
            are removed; processes that have mapped them keep their pages.
        keep: How many of those, the newest, stay.

    Returns:
        The readings as they are mapped; None where the disk has no room or may not be written.
    """
    there = open(folder, key)
    if there is not None:
        return there
    own = folder / f".{key}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        if shutil.disk_usage(folder).free < 2 * data.import_wh.size * 8 * (2 + len(data.sub_meters)):
            return None
        own.mkdir()
        about = _about(own, data, dict(made_from or {}))
        (own / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _put(own, folder / key)
        if made_from is not None:
            _remove_outdated(folder, key, made_from, keep)
    except OSError:
        return open(folder, key)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return open(folder, key)


def _about(own: Path, data: MeterData, made_from: dict[str, str]) -> dict[str, Any]:
    columns = {"import_wh": data.import_wh, "export_wh": data.export_wh}
    columns |= {f"sub_meters.{name}": energy for name, energy in data.sub_meters.items()}
    about = {
        "version": VERSION,
        "shape": list(data.import_wh.shape),
        "start": iso_utc(data.start_s),
        "start_s": data.start_s,
        "minutes": data.minutes,
        "homes": list(data.households),
        "batteries": [None if battery is None else asdict(battery) for battery in data.batteries],
        "source": {**asdict(data.source), "answers": dict(data.source.answers)},
        "made_from": made_from,
        "columns": {
            name: _written(own / f"column-{number}.bin", energy, _dtype_of(energy))
            for number, (name, energy) in enumerate(columns.items())
        }
        | {"quality": _written(own / "quality.bin", data.quality, np.dtype("|u1"))},
    }
    return {**about, "sha256": _sha256_of(about)}


def _sha256_of(about: Mapping[str, Any]) -> str:
    """Hash of the description of a set of columns."""
    said = {name: value for name, value in about.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _blocks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    for row in range(0, len(array), ROWS):
        yield array[row : row + ROWS]


def _dtype_of(energy: IntArray) -> np.dtype[Any]:
    fits = energy.dtype == np.int32 or all(
        int(block.max(initial=0)) <= INT32_MAX for block in _blocks(energy)
    )
    return np.dtype("<i4" if fits else "<i8")


def _written(path: Path, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> dict[str, str]:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in _blocks(array):
            data = np.ascontiguousarray(block, dtype=dtype).data.cast("B")
            file.write(data)
            digest.update(data)
    _checked[_mark(path)] = digest.hexdigest()
    return {"file": path.name, "dtype": dtype.str, "sha256": digest.hexdigest()}


def _put(own: Path, where: Path) -> None:
    """Give a set its name; a damaged one makes room, one that another process has made meanwhile stays."""
    if where.exists():
        if open(where.parent, where.name) is not None:
            return
        damaged = own.with_name(own.name + ".damaged")
        os.rename(where, damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    os.rename(own, where)
    for (
        path
    ) in where.iterdir():  # the same files under another name: what was hashed while they were written holds
        old = _mark(path).replace(str(where.resolve()), str(own.resolve()), 1)
        if old in _checked:
            _checked[_mark(path)] = _checked.pop(old)


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left."""
    for path in folder.glob(".*.*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)


def _remove_outdated(folder: Path, key: str, made_from: Mapping[str, str], keep: int) -> None:
    """Remove sets that were made from an earlier state of the same source, but for the newest."""
    outdated: list[tuple[int, Path]] = []
    for path in folder.iterdir():
        if path.name == key or path.name.startswith("."):
            continue
        try:
            other = json.loads((path / ABOUT).read_bytes())["made_from"]
        except (OSError, ValueError, LookupError):
            continue
        if other.get("name") == made_from.get("name") and other != dict(made_from):
            with suppress(FileNotFoundError):  # another process removes it
                outdated.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(outdated)[: max(len(outdated) - keep, 0)]:
        shutil.rmtree(path, ignore_errors=True)


def release(data: MeterData) -> None:
    """Give back the pages of mapped readings that this process has touched; they are mapped again where it reads them.

    So a process that walks through years of readings holds those of some days, whatever the others hold.
    """
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    for array in (data.import_wh, data.export_wh, data.quality, *data.sub_meters.values()):
        pages: object = array
        while isinstance(pages, np.ndarray):
            pages = pages.base
        if isinstance(pages, mmap.mmap):
            pages.madvise(mmap.MADV_DONTNEED)
