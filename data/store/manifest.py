"""The manifest of a store: which files count, where every reading came from, and everything that was answered.

`manifest.json` is replaced as a whole, so a reader sees one version of the store. Identity is kept only as a salted
hash: who has the store and a list of possible numbers can test them, one by one, and nobody can read them.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from data.errors import DataError
from data.readings import BatterySpec, Known
from data.store import disk
from data.store.errors import DamagedStore, NewerStore, NoStore
from market.interval import ALLOWED_MINUTES

MANIFEST = "manifest.json"
VERSION = 1
PARTS, LAYERS = "parts", "layers"
_FILE = re.compile(r"(parts|layers)/\d{4,}\.parquet")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Home:
    """A home of a store.

    Args:
        name: Its name.
        minutes: Length of its intervals. [min]
        battery: What it owns, where the source or its owner says so.
        node: Where it is in a grid, by the name of the node.
        pv_w: Peak power of its generator, where its owner says it. [W]
    """

    name: str
    minutes: int
    battery: BatterySpec | None = None
    node: str | None = None
    pv_w: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """An immutable file of readings; what it holds of an interval counts instead of what earlier parts hold.

    Args:
        name: Its place in the store, such as parts/0001.parquet.
        sha256: Of the file.
        rows: Number of its rows.
        homes: Names, in the order of its row groups.
        start_s: Start of its first interval. [s since 1970]
        end_s: End of its last interval. [s since 1970]
        sources: Places in the manifest's list of sources.
    """

    name: str
    sha256: str
    rows: int
    homes: tuple[str, ...]
    start_s: int
    end_s: int
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A repair: an immutable file of what was replaced by what.

    Args:
        name: Its place in the store, such as layers/0002.parquet.
        sha256: Of the file.
        rows: Number of its rows, one for each channel of an interval.
        policy: How the readings were made.
        homes: Whose.
        intervals: How many intervals of homes.
        added_wh: What each channel has more than before. [Wh]
    """

    name: str
    sha256: str
    rows: int
    policy: str
    homes: tuple[str, ...]
    intervals: int
    added_wh: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that was imported.

    Args:
        file: Its name, without folders and without numbers that identify people.
        sha256: Of its content.
        format: Its format.
        homes: Homes that it has readings of.
        rows: Number of its rows.
        answers: What the user answered that the file does not state, by option or name.
        assumed: What the format lays down that the file does not state.
        notes: What was handled, and what was warned of, one sentence each.
        named: Whether the file names its homes.
    """

    file: str
    sha256: str
    format: str
    homes: tuple[str, ...]
    rows: int
    answers: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    named: bool = True


KeptBy = Literal["counter", "stated"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A total to which a repair filled a stretch.

    Args:
        layer: The repair, by the name of its file.
        total: What is filled and read there comes to this.
        by: "counter", as two readings of a counter show, or "stated" by the user.
    """

    layer: str
    total: Known
    by: KeptBy


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done to a store: when (ISO 8601 UTC), by which command, and what, in a sentence."""

    at: str
    command: str
    says: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store consists of; see docs/reference/store.md for the keys of the file.

    Args:
        salt: Of the hashes of `meters`, in hexadecimal digits.
        zone: Zone in which people read times; None where none is known.
        homes: By name, in the order in which they came.
        meters: Home by the salted hash of what identifies it in its files.
        parts: Files of readings, the oldest first.
        layers: Repairs, the oldest first.
        sources: Files that were imported, the oldest first.
        changes: Everything that was done, the oldest first.
        next: Number of the next file; numbers are not used twice.
        known: Energy that counters show over gaps; earlier programs ignore it, so the version of stores stays.
        kept: Totals that repairs kept.
    """

    salt: str
    zone: str | None = None
    homes: Mapping[str, Home] = field(default_factory=dict)
    meters: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    layers: tuple[Layer, ...] = ()
    sources: tuple[Origin, ...] = ()
    changes: tuple[Change, ...] = ()
    next: int = 1
    known: tuple[Known, ...] = ()
    kept: tuple[Kept, ...] = ()

    @property
    def files(self) -> tuple[Part | Layer, ...]:
        """All files that count."""
        return (*self.parts, *self.layers)

    @property
    def sha256(self) -> str:
        """The version of the store: a hash of what is known of homes and of the hashes of all files that count."""
        homes = json.dumps([asdict(home) for home in self.homes.values()], sort_keys=True)
        lines = [f"{one.sha256} {one.name}\n" for one in self.files]
        return hashlib.sha256("".join([homes, *lines]).encode()).hexdigest()

    def hash_of(self, identity: str) -> str:
        """The salted hash of what identifies a home; it takes some milliseconds on purpose."""
        salt = bytes.fromhex(self.salt)
        return hashlib.scrypt(identity.strip().encode(), salt=salt, n=2**11, r=8, p=1, dklen=32).hex()


def new_manifest(zone: str | None = None, salt: str | None = None) -> Manifest:
    """The manifest of an empty store."""
    return Manifest(salt=salt or secrets.token_hex(16), zone=zone)


def change(command: str, says: str) -> Change:
    """A change that is made now."""
    return Change(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), command, says)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a store, durably."""
    content = {"store_version": VERSION, **asdict(manifest)}
    content["homes"] = list(content["homes"].values())
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    disk.write_whole(folder / MANIFEST, lambda path: _write(path, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store.

    Raises:
        NoStore: The folder is none.
        NewerStore: A later version has written it.
        DamagedStore: The file is not as it was written.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise NoStore(folder, "it has no manifest.json" if folder.is_dir() else "it is no folder")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise DamagedStore(folder, f"its manifest.json cannot be read ({problem})") from None
    if not isinstance(content, dict) or not isinstance(content.get("store_version"), int):
        raise NoStore(folder, "its manifest.json is of something else")
    version = content.pop("store_version")
    if version > VERSION:
        raise NewerStore(folder, version, VERSION)
    try:
        return _manifest(content)
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as problem:
        raise DamagedStore(
            folder, f"its manifest.json is damaged ({type(problem).__name__}: {problem})"
        ) from None


def _manifest(content: dict[str, Any]) -> Manifest:
    homes = [_home(home) for home in content["homes"]]
    manifest = Manifest(
        salt=str(content["salt"]),
        zone=None if content["zone"] is None else str(content["zone"]),
        homes={home.name: home for home in homes},
        meters={str(key): str(home) for key, home in content["meters"].items()},
        parts=tuple(_file(Part, part) for part in content["parts"]),
        layers=tuple(_file(Layer, layer) for layer in content["layers"]),
        sources=tuple(Origin(**_tuples(source)) for source in content["sources"]),
        changes=tuple(Change(**one) for one in content["changes"]),
        next=int(content["next"]),
        known=tuple(_known(one) for one in content.get("known", ())),
        kept=tuple(Kept(**{**one, "total": _known(one["total"])}) for one in content.get("kept", ())),
    )
    bytes.fromhex(manifest.salt)
    named = {home for one in manifest.files for home in one.homes}
    if unknown := sorted(named - set(manifest.homes)):
        raise ValueError(f"a file holds home {unknown[0]!r}, and the list of homes does not")
    return manifest


def _known(content: dict[str, Any]) -> Known:
    one = Known(**content)
    if not (one.start_s < one.end_s and one.wh >= 0):
        raise ValueError(f"{one} is no energy of a stretch of time")
    return one


def with_known(known: Sequence[Known], more: Sequence[Known]) -> tuple[Known, ...]:
    """Totals by stretch, of which those that came last count."""
    return tuple({replace(one, wh=0): one for one in (*known, *more)}.values())


T = TypeVar("T", "Part", "Layer")


def _home(content: dict[str, Any]) -> Home:
    battery = content.get("battery")
    home = Home(**{**content, "battery": None if battery is None else BatterySpec(**battery)})
    if not isinstance(home.name, str) or home.minutes not in ALLOWED_MINUTES:
        raise ValueError(f"home {home.name!r} has intervals of {home.minutes!r} minutes")
    return home


def _file(kind: type[T], content: dict[str, Any]) -> T:
    one = kind(**_tuples(content))
    # Names are compared with what this version writes, so that no manifest can name a file outside of the store.
    if not _FILE.fullmatch(one.name) or not _HASH.fullmatch(one.sha256):
        raise ValueError(f"{one.name!r} with the hash {one.sha256!r} is no file of a store")
    return one


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
