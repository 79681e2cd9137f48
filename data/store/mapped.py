"""A store's readings as columns in it, made on first use: a run maps them, and all its processes share their pages.

Columns are of one version of a store, so whoever appends leaves a run that has begun with another version as it is: its
pages stay, and its processes open the version that the first of them has opened (see `columns.trust`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from data.readings import MeterData, Source
from data.store import beside, columns
from data.store.manifest import Manifest

FOLDER: Final = "columns"
KEPT: Final = 1
"""Sets of earlier versions that stay for processes of a run that has begun with them."""


def opened(store: Path, manifest: Manifest, source: Source) -> MeterData | None:
    """Map the columns of a version of a store; None where there are none.

    Args:
        store: The folder.
        manifest: Its version; a process of a run that has begun with another one gets that one.
        source: Where its readings come from.
    """
    key = _key(manifest, source)
    for one in (columns.pinned(store), key):
        for folder in _places(store):
            if one is not None and (data := columns.open(folder, one)) is not None:
                columns.note_use(store, one)
                return data
    return None


def kept(store: Path, manifest: Manifest, source: Source, data: MeterData) -> MeterData:
    """Write the columns of a version of a store where they are worth it, and map them; else return what is given."""
    if data.import_wh.size < beside.LEAST_READINGS:
        return data
    key = _key(manifest, source)
    made_from = {"name": str(store.resolve()), "sha256": manifest.sha256}
    for folder in _places(store):
        mapped = columns.write(folder, key, data, made_from, keep=KEPT)
        if mapped is not None:
            columns.note_use(store, key)
            return mapped
    return data


def _key(manifest: Manifest, source: Source) -> str:
    about = {**asdict(source), "answers": dict(source.answers)}
    return columns.key_of("store", manifest.sha256, about, beside.code_sha256())


def _places(store: Path) -> list[Path]:
    """In the store, else where it may not be written in the user's cache folder."""
    return [store / FOLDER, *beside.cache_folders()]
