"""Writing into a store: new immutable files first, then a manifest that names them, in one rename.

A process that is killed anywhere leaves the store as it was; what it had begun is not named and is removed by the next
writer. A reader that opened the manifest before keeps its version, or reads the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from data.readings import Known
from data.store import disk
from data.store.errors import StoreExists
from data.store.layers import Patch, write_layer
from data.store.manifest import (
    LAYERS,
    MANIFEST,
    PARTS,
    Home,
    Kept,
    KeptBy,
    Layer,
    Manifest,
    Origin,
    change,
    new_manifest,
    read_manifest,
    with_known,
    write_manifest,
)
from data.store.parts import write_part
from data.store.rows import HomeRows, rows_of
from data.store.series import HomeSeries
from market.files import naming

OURS = {MANIFEST, MANIFEST + disk.PARTIAL, PARTS, LAYERS, disk.LOCK}
"""What the folder of a store holds before its first manifest is written."""


class Writer:
    """A store that only this process writes into.

    Attributes:
        path: The folder.
        manifest: The version that was written last.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    def append(
        self,
        rows: Sequence[HomeRows],
        homes: Sequence[Home],
        says: str,
        *,
        meters: Mapping[str, str] | None = None,
        sources: Sequence[Origin] = (),
        zone: str | None = None,
        known: Sequence[Known] = (),
        command: str = "import",
    ) -> None:
        """Add readings, which count instead of what is there for the same homes, intervals and channels.

        Args:
            rows: At least one row each; nothing is written where there are none.
            homes: Homes that are new, or of which something else is known now.
            says: What is done, in a sentence.
            meters: Home by the salted hash of what identifies it.
            sources: Where the readings came from.
            zone: Zone in which people read times, where the store has none yet.
            known: Energy that counters show over gaps.
            command: What did it.
        """
        before = self.manifest
        by_name = {**before.homes, **{home.name: home for home in homes}}
        first = len(before.sources)
        parts = before.parts
        if rows:
            minutes = {name: home.minutes for name, home in by_name.items()}
            origins = tuple(range(first, first + len(sources)))
            parts = (*parts, write_part(self.path, before.next, rows, minutes, origins))
        self._commit(
            replace(
                before,
                zone=before.zone or zone,
                homes=by_name,
                meters={**before.meters, **(meters or {})},
                parts=parts,
                sources=(*before.sources, *sources),
                changes=(*before.changes, change(command, says)),
                next=before.next + bool(rows),
                known=with_known(before.known, known),
            )
        )

    def repair(
        self, patches: Sequence[Patch], policy: str, says: str, totals: Sequence[tuple[Known, KeptBy]] = ()
    ) -> Layer:
        """Lay a repair over the readings.

        Args:
            patches: What is replaced.
            policy: How the readings were made.
            says: What is done, in a sentence.
            totals: To which stretches are filled, and who says so.
        """
        before = self.manifest
        layer = write_layer(self.path, before.next, patches, policy)
        changes = (*before.changes, change("repair", says))
        layers = (*before.layers, layer)
        kept = (*before.kept, *(Kept(layer.name, total, by) for total, by in totals))
        self._commit(replace(before, layers=layers, changes=changes, next=before.next + 1, kept=kept))
        return layer

    def undo(self, says: str) -> Layer:
        """Take the last repair away; there has to be one."""
        before = self.manifest
        *layers, last = before.layers
        kept = tuple(one for one in before.kept if one.layer != last.name)
        changes = (*before.changes, change("undo", says))
        self._commit(replace(before, layers=tuple(layers), changes=changes, kept=kept))
        return last

    def _commit(self, manifest: Manifest) -> None:
        write_manifest(self.path, manifest)
        self.manifest = manifest


@contextmanager
def writing(path: Path, wait_s: float = disk.WAIT_S) -> Iterator[Writer]:
    """Open a store for writing; what killed writers left is removed.

    Raises:
        NoStore, NewerStore, DamagedStore: As their names say.
        BusyStore: Another process writes.
        OSError: The folder cannot be written.
    """
    read_manifest(path)  # before anything is written into a folder that is none
    with disk.writer_lock(path, wait_s):
        manifest = read_manifest(path)
        _clean(path, manifest)
        yield Writer(path, manifest)


@contextmanager
def making(path: Path, zone: str | None = None, salt: str | None = None) -> Iterator[Writer]:
    """Make a store; where its first readings are not written, nothing is left of it.

    A folder that a killed process had begun is taken over.

    Args:
        path: The folder.
        zone: Zone in which people read its times.
        salt: Of the hashes of meters, where it takes over those of another store.

    Raises:
        StoreExists: Something else is there.
        OSError: It cannot be written.
    """
    refuse_taken(path)
    made = _made_folders(path)
    try:
        with naming(path):
            (path / PARTS).mkdir(exist_ok=True)
            (path / LAYERS).mkdir(exist_ok=True)
        with disk.writer_lock(path):
            if (path / MANIFEST).exists():
                raise StoreExists(path, "was made by another process just now")
            manifest = new_manifest(zone, salt)
            _clean(path, manifest)
            yield Writer(path, manifest)
            if not (path / MANIFEST).is_file():
                write_manifest(path, manifest)
    except StoreExists:
        raise
    except BaseException:
        if not (path / MANIFEST).exists():
            _remove(path, made)
        raise


def is_begun(path: Path) -> bool:
    """Whether a folder holds nothing but what a writer that was killed may have begun, and is no store."""
    return path.is_dir() and {one.name for one in path.iterdir()} <= OURS - {MANIFEST}


def refuse_taken(path: Path) -> None:
    """Refuse a place at which no store can be made.

    Raises:
        StoreExists: Something is there.
    """
    if path.exists() and not is_begun(path):
        raise StoreExists(path)


def _made_folders(path: Path) -> list[Path]:
    """Make a folder and those above it; return those that were not there."""
    made = [one for one in (path, *path.parents) if not one.exists()]
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)
    return made


def _remove(path: Path, made: Sequence[Path]) -> None:
    for folder in (path / PARTS, path / LAYERS):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (disk.LOCK, MANIFEST + disk.PARTIAL):
        (path / name).unlink(missing_ok=True)
    for folder in made:
        with suppress(OSError):
            os.rmdir(folder)


def _clean(path: Path, manifest: Manifest) -> None:
    """Remove files that no manifest names: begun by a writer that was killed, or taken away since."""
    named = {one.name for one in manifest.files}
    for folder in (PARTS, LAYERS):
        for file in sorted((path / folder).glob("*.parquet*")):
            if f"{folder}/{file.name}" not in named:
                file.unlink(missing_ok=True)
    (path / (MANIFEST + disk.PARTIAL)).unlink(missing_ok=True)


def rows_of_all(series: Sequence[HomeSeries]) -> list[HomeRows]:
    """All intervals of all homes, as rows to append."""
    return [rows for one in series for rows in rows_of(one)]
