"""What a run folder may hold: its files with the hashes of the manifest, no other entry, and no link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from market.files import read_at_most
from p2p.batches.blob import MAX_BLOB_BYTES, blob_hash
from p2p.roles.replica.blobs import blob_file
from wattswap.errors import Problem, VerificationFailed
from wattswap.runs.chain_reader import open_chain, settled, settled_again, stamp
from wattswap.runs.layout import (
    BLOBS,
    IN_PROCESS,
    LIVE,
    LOG,
    MANIFEST,
    MEMBERS,
    NETWORK,
    OMISSIONS,
    REPORT,
    hashed_files,
)
from wattswap.runs.manifest import file_sha256
from wattswap.runs.stored import CURE

FOLDERS = (BLOBS, OMISSIONS)
MOVE = "move it elsewhere"


def check_entries(folder: Path, manifest: dict[str, Any]) -> str:
    """Check that a run folder holds the files that its manifest names, and nothing that belongs to no run.

    Whether the manifest states the driver correctly is checked later.

    Raises:
        VerificationFailed: Names every entry that is missing, has other bytes, is a link, or is not part of a run.
    """
    live, networked = manifest.get("driver") == LIVE, "network" in manifest
    names = hashed_files(LIVE if live and networked else IN_PROCESS)
    known = {*names, MANIFEST, LOG, REPORT}
    if live or networked:
        known |= {MEMBERS, NETWORK, *FOLDERS}
    problems = [
        None if (folder / LOG).exists() else Problem(str(folder / LOG), "is missing", CURE),
        *(_missing_or_changed(folder / name, manifest.get("files", {}).get(name)) for name in names),
        *(_out_of_place(path, known) for path in sorted(folder.iterdir())),
        *(_is_no_file(path) for name in FOLDERS for path in _inside(folder / name)),
    ]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise VerificationFailed(*found)
    return f"{len(names)} files as the manifest names them"


def _missing_or_changed(path: Path, expected: object) -> Problem | None:
    if path.is_symlink():
        return None  # named among the entries
    if not path.is_file():
        return Problem(str(path), "is missing", CURE)
    if file_sha256(path) != expected:
        return Problem(str(path), "is not the file that the manifest names: its bytes have changed", CURE)
    return None


def _out_of_place(path: Path, known: Iterable[str]) -> Problem | None:
    if path.name not in known:
        return Problem(str(path), "is not part of this run", MOVE)
    if path.name in FOLDERS and path.is_dir() and not path.is_symlink():
        return None
    return _is_no_file(path)


def _is_no_file(path: Path) -> Problem | None:
    if path.is_symlink():
        what = "is a link, and its target can change after it was verified"
        return Problem(str(path), what, "put what it leads to in its place")
    return None if path.is_file() else Problem(str(path), "is not a file", MOVE)


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        yield from sorted(folder.iterdir())


def check_blobs(folder: Path) -> str:
    """Check that the blobs of a live run are those of the batches on its chain, each whole, and no other.

    Raises:
        VerificationFailed: Names every blob that is missing, damaged, or belongs to no batch.
    """
    blobs = folder / BLOBS
    if not blobs.is_dir():
        raise VerificationFailed.of(str(blobs), "is missing", CURE)
    with open_chain(folder) as store:
        named = {
            blobs / blob_file(args.interval_start, args.blob_hash): (height, args)
            for height, args in chain(settled(store), settled_again(store))
        }
    problems = []
    for path, (height, args) in named.items():
        if not path.is_file() or blob_hash(read_at_most(path, MAX_BLOB_BYTES)) != args.blob_hash:
            what = f"is missing or damaged: block {height} settles {stamp(args.interval_start)} by it"
            problems.append(Problem(str(path), what, CURE))
    for path in sorted(blobs.iterdir()):
        if path not in named:
            problems.append(Problem(str(path), "belongs to no batch of the chain", MOVE))
    if problems:
        raise VerificationFailed(*problems)
    return f"{len(named)} blobs, whose hashes their blocks carry"
