"""Reading a store: one version of it, also while another process appends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UnknownHousehold
from data.readings import MeterData, Source, home_id
from data.store import mapped
from data.store.errors import DamagedStore
from data.store.layers import patched, read_layer
from data.store.manifest import MANIFEST, Manifest, read_manifest
from data.store.parts import read_part
from data.store.rows import HomeRows, placed, whole
from data.store.series import HomeSeries, narrowed, on_one_grid

FORMAT = "store"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a store.

    Args:
        manifest: What it consists of.
        series: Readings of each home.
    """

    manifest: Manifest
    series: tuple[HomeSeries, ...]

    def one(self, home: str) -> HomeSeries | None:
        """The readings of a home; None where it has none."""
        return next((one for one in self.series if one.home == home), None)


def is_store(path: Path) -> bool:
    """Whether a path looks like a store, whole or damaged."""
    return path.is_dir() and (path / MANIFEST).is_file()


def read_store(path: Path, homes: Collection[str] | None = None, *, repaired: bool = True) -> Content:
    """Read the homes of a store, each on its own step and span.

    Args:
        path: The folder.
        homes: Names of those wanted; all where left out.
        repaired: Whether repairs count; without them it is what was imported, and channels may be absent.

    Raises:
        NoStore, NewerStore, DamagedStore: As their names say.
        UnknownHousehold: A home that it does not have.
    """
    return _read_store(path, homes, repaired=repaired, narrow=False)


def _read_store(path: Path, homes: Collection[str] | None, *, repaired: bool, narrow: bool) -> Content:
    """See `read_store`; where `narrow`, energy is int32 where it fits and no repair is to be laid over it."""
    for last in range(_TRIES):
        manifest = read_manifest(path)
        wanted = _known(manifest, homes)
        try:
            return Content(manifest, _series(path, manifest, wanted, repaired=repaired, narrow=narrow))
        except DamagedStore:
            # A writer removes files that no longer count: then the manifest is another one by now.
            if read_manifest(path) == manifest or last == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def _known(manifest: Manifest, homes: Collection[str] | None) -> Sequence[str]:
    if homes is None:
        return list(manifest.homes)
    names = [home_id(home) for home in homes]
    for name in names:
        if name not in manifest.homes:
            raise UnknownHousehold(name, manifest.homes)
    return names


def _series(
    path: Path, manifest: Manifest, homes: Sequence[str], *, repaired: bool, narrow: bool
) -> tuple[HomeSeries, ...]:
    rows: dict[str, list[HomeRows]] = {home: [] for home in homes}
    last = {home: number for number, part in enumerate(manifest.parts) for home in part.homes}
    found: dict[str, HomeSeries] = {}
    for number, part in enumerate(manifest.parts):
        if not rows.keys().isdisjoint(part.homes):
            for one in read_part(path, part, rows):
                rows[one.home].append(one)
            # A home is joined as soon as all of it is there: its rows have a time each, which takes much memory.
            for home in {home for home in part.homes if home in rows and last[home] == number}:
                if parts := rows.pop(home):
                    found[home] = _joined(parts, manifest, repaired=repaired, narrow=narrow)
    series = {home: found[home] for home in homes if home in found}
    if not repaired:
        return tuple(series.values())
    for layer in manifest.layers:
        for patch in read_layer(path, layer):
            if patch.home in series:
                series[patch.home] = patched(series[patch.home], patch)
    return tuple(series.values())


def _joined(parts: Sequence[HomeRows], manifest: Manifest, *, repaired: bool, narrow: bool) -> HomeSeries:
    one = placed(parts, manifest.homes[parts[0].home].minutes)
    one = whole(one) if repaired else one
    return narrowed(one) if narrow and not manifest.layers else one


def load_store(path: Path | str, homes: Collection[str] | None = None) -> MeterData:
    """Load the homes of a store in the window of all of them, summed to the longest step.

    What lies outside of a home's own span is MISSING, as for a file whose homes join and leave.

    Args:
        path: The folder.
        homes: Names of those wanted, in this order; all where left out.

    Raises:
        NoStore, NewerStore, DamagedStore: As their names say.
        UnknownHousehold: A home that it does not have.
        Mismatch: The store is empty, or intervals of one length do not begin together.
    """
    store = Path(path)
    if homes is not None:
        return meter_data_of(read_store(store, homes))
    manifest = read_manifest(store)
    if (data := mapped.opened(store, manifest, source_of(manifest))) is not None:
        return data
    content = _read_store(store, None, repaired=True, narrow=True)
    data = meter_data_of(content)
    return mapped.kept(store, content.manifest, source_of(content.manifest), data)


def meter_data_of(content: Content) -> MeterData:
    """The readings of a version of a store on one grid; see `load_store`."""
    batteries = {home.name: home.battery for home in content.manifest.homes.values()}
    return on_one_grid(content.series, source_of(content.manifest), batteries)


def source_of(manifest: Manifest) -> Source:
    """Where the readings of a store come from."""
    answers = {} if manifest.zone is None else {"zone": manifest.zone}
    formats = sorted({origin.format for origin in manifest.sources})
    files, plural = len(manifest.sources), "" if len(manifest.sources) == 1 else "s"
    notes = [f"{files} imported file{plural} of {', '.join(formats)}"]
    if manifest.layers:
        intervals = sum(layer.intervals for layer in manifest.layers)
        policies = ", ".join(dict.fromkeys(layer.policy for layer in manifest.layers))
        notes.append(
            f"{intervals} interval{' was' if intervals == 1 else 's were'} repaired ({policies}), estimated"
        )
    return Source(FORMAT, manifest.sha256, answers, tuple(notes))
