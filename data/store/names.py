"""Which home each series of imported files is of: by its name, by a hash of its id, or by what the user states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from data.intake.claims import Question
from data.readings import home_id
from data.store.errors import Mismatch
from data.store.incoming import Incoming, Unanswered
from data.store.manifest import Manifest
from data.store.series import HomeSeries, series_of


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """Readings of a home out of one file.

    Args:
        file: Place of the file among those that are imported.
        home: Name of the home in the store.
        series: Its readings.
        hashed: Salted hash of what identifies it; empty where nothing does.
    """

    file: int
    home: str
    series: HomeSeries
    hashed: str = ""


@dataclass
class _Names:
    """Names that are given out, and what is wrong."""

    manifest: Manifest
    taken: set[str]
    meters: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def free(self) -> str:
        number = 1
        while f"home-{number}" in self.taken:
            number += 1
        self.taken.add(f"home-{number}")
        return f"home-{number}"

    def of_identity(self, identity: str, wanted: str | None) -> tuple[str, str]:
        hashed = self.manifest.hash_of(identity)
        known = self.manifest.meters.get(hashed) or self.meters.get(hashed)
        if known is not None and wanted is not None and wanted != known:
            self.problems.append(f"--map {wanted}: this meter is {known} in this store already")
        home = known or wanted or self.free()
        self.taken.add(home)
        self.meters[hashed] = home
        return home, hashed


def assigned(
    files: Sequence[Incoming], manifest: Manifest, given: Mapping[str, str], combine: bool | None
) -> list[Assigned]:
    """Give each series its home.

    Args:
        files: What was read.
        manifest: Of the store that they go into.
        given: Home by what a file calls it: its name, what identifies it, or the name of a file that names none or
            has one home.
        combine: Whether files that name no home are of one home; None where that is not known.

    Raises:
        Unanswered: Whether files that name no home are of one home cannot be known.
        Mismatch: A name is given that fits nothing, or two homes would have one name.
    """
    given = {key: home_id(home) for key, home in given.items()}
    names = _Names(manifest, {*manifest.homes, *given.values()})
    unused = set(given)
    found: list[Assigned] = []
    nameless: list[tuple[int, HomeSeries]] = []
    for place, file in enumerate(files):
        data = file.reading.data
        assert data is not None, "a file with errors is not assigned"
        for one in series_of(data, file.reading.channels):
            if not file.named:
                nameless.append((place, one))
                continue
            if file.identities:
                identity = file.identities[data.households.index(one.home)]
                keys = [identity, one.home]
                if len(data.households) == 1:
                    keys += [str(file.path), file.path.name, file.path.stem]
                key = next((key for key in keys if key in given), None)
                unused.discard(key or "")
                home, hashed = names.of_identity(identity, given.get(key or ""))
                found.append(Assigned(place, home, one, hashed))
            else:
                unused.discard(one.home)
                home = given.get(one.home, one.home)
                names.taken.add(home)
                found.append(Assigned(place, home, one))
    found += _nameless(files, nameless, names, given, unused, combine)
    names.problems += [
        f"--map {key}={given[key]}: no home and no file is called {key}" for key in sorted(unused)
    ]
    if names.problems:
        raise Mismatch(names.problems, "correct --map")
    return sorted(found, key=lambda one: one.file)


def _nameless(
    files: Sequence[Incoming],
    nameless: Sequence[tuple[int, HomeSeries]],
    names: _Names,
    given: Mapping[str, str],
    unused: set[str],
    combine: bool | None,
) -> list[Assigned]:
    """Homes of files that name none: by --map, one for all, or one each where that is plain."""
    found, rest = [], []
    for place, series in nameless:
        path = files[place].path
        key = next((key for key in (str(path), path.name, path.stem) if key in given), None)
        if key is None:
            rest.append((place, series))
        else:
            unused.discard(key)
            found.append(Assigned(place, given[key], series))
    if not rest:
        return found
    there = [home for origin in names.manifest.sources if not origin.named for home in origin.homes]
    known = list(dict.fromkeys(there))
    if combine:
        if len(known) > 1:
            raise Unanswered([_of_which(files[place], known) for place, _ in rest])
        home = known[0] if known else names.free()
        return found + [Assigned(place, home, series) for place, series in rest]
    if combine is None:
        questions = [_of_which(files[place], known) for place, _ in rest] if known else []
        questions = questions or _one_or_many(files, rest)
        if questions:
            raise Unanswered(questions)
    return found + [Assigned(place, names.free(), series) for place, series in rest]


def _of_which(file: Incoming, known: Sequence[str]) -> tuple[str, Question]:
    asks = "the file does not name its home, and the store has homes of such files"
    choices = tuple(f"{file.path.name}={home}" for home in (*known[:20], "NEW-NAME"))
    return str(file.path), Question("--map", asks, choices)


def _one_or_many(
    files: Sequence[Incoming], rest: Sequence[tuple[int, HomeSeries]]
) -> list[tuple[str, Question]]:
    """Ask where files of one format follow each other or repeat readings: of one home, or of one each."""
    by_format: dict[str, list[HomeSeries]] = {}
    for place, series in rest:
        by_format.setdefault(files[place].format.name, []).append(series)
    for group in by_format.values():
        pairs = list(pairwise(sorted(group, key=lambda one: one.start_s)))
        again = any(_read_twice(a, b) for a, b in pairs)
        if again or any(_little_shared(a, b) for a, b in pairs):
            why = "have the same readings where they overlap" if again else "follow each other in time"
            asks = f"{len(group)} files name no home, and some of them {why}: they are of one home, or of one each"
            return [("", Question("--combine or --no-combine", asks))]
    return []


def _little_shared(one: HomeSeries, other: HomeSeries) -> bool:
    """Whether less than half of the shorter one is in the time of the other, as where months share a day."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return 2 * shared < min(one.end_s - one.start_s, other.end_s - other.start_s)


def _read_twice(one: HomeSeries, other: HomeSeries) -> bool:
    """Whether both have the same readings in the time that they share, and not only zeros."""
    if one.step_s != other.step_s or one.phase_s != other.phase_s or set(one.energy) != set(other.energy):
        return False
    start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
    a, b = one.cut(start_s, end_s), other.cut(start_s, end_s)
    equal = all((column == b.energy[name]).all() for name, column in a.energy.items())
    return equal and any(column.any() for column in a.energy.values())
