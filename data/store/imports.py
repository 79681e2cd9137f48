"""Importing meter files into a store: what they hold, which homes they are of, and what is new in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from data import clock
from data.formats import Format
from data.intake.raw import Hints
from data.readings import Known, whole
from data.store.append import Appended, Counts, Prefer, appended, refuse_conflicts
from data.store.combine import Joined, joined_home
from data.store.errors import Mismatch
from data.store.incoming import Incoming, read_files
from data.store.manifest import Home, Manifest, Origin, new_manifest
from data.store.names import Assigned, assigned
from data.store.read import Content, is_store, read_store
from data.store.rows import HomeRows, placed, rows_of
from data.store.series import HomeSeries
from data.store.unused import foreign_zones, unused
from data.store.write import Writer, making, refuse_taken, writing


@dataclass(frozen=True, slots=True, eq=False)
class ImportedHome:
    """What was imported of a home.

    Args:
        home: Its name.
        new: Whether the store did not have it.
        files: Names of the files that have readings of it.
        how: How several files were joined: "continued", "beside", "summed" or "equal".
        series: What the files hold of it.
        counts: What became of its intervals.
    """

    home: str
    new: bool
    files: tuple[str, ...]
    how: tuple[str, ...]
    series: HomeSeries
    counts: Counts


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """What an import did.

    Args:
        store: The folder.
        made: Whether it was made.
        zone: Zone in which people read its times.
        files: What was read.
        sources: What the manifest keeps of each.
        homes: What became of each home.
    """

    store: Path
    made: bool
    zone: str | None
    files: tuple[Incoming, ...]
    sources: tuple[Origin, ...]
    homes: tuple[ImportedHome, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user states beside the files.

    Args:
        format: Of all files; recognised where left out.
        hints: What they leave open.
        given: Homes by what files call them.
        combine: Whether files of one home are joined, those that name none among them; None where that is not known.
        prefer: Which of two different readings counts.
    """

    format: str | Format | None = None
    hints: Hints = field(default_factory=Hints)
    given: Mapping[str, str] = field(default_factory=dict)
    combine: bool | None = None
    prefer: Prefer | None = None


def import_files(paths: Sequence[Path], out: Path, options: Options) -> Imported:
    """Import files into a store, which is made where it is not there; all or nothing.

    Raises:
        Unreadable: Errors of files, all at once.
        Unanswered: Questions that have to be answered first.
        Mismatch: Readings or names that contradict each other or what the store has.
        StoreExists, NoStore, NewerStore, DamagedStore, BusyStore: As their names say.
    """
    twice = [path for place, path in enumerate(paths) if path in paths[:place]]
    if twice:
        raise Mismatch([f"{path} is named twice" for path in twice], "name each file once")
    exists = is_store(out)
    if not exists:
        refuse_taken(out)
    before = read_store(out, repaired=False) if exists else Content(new_manifest(), ())
    hints = replace(
        options.hints, partial=True
    )  # that each home is whole is checked when all files are joined
    files = read_files(paths, options.format, hints, before.manifest if exists else None)
    _refuse_copies(files)
    if problems := unused(files, hints):
        raise Mismatch(problems, "correct it, or leave it out")
    if problems := foreign_zones(files, hints):
        raise Mismatch(
            problems, "import files of another zone by a command of their own, into the same --out"
        )
    zone = before.manifest.zone or _zone(files, options.hints)
    if not exists:  # hashes need the salt that the store will have
        with making(out, zone) as writer:
            return _into(writer, files, Content(writer.manifest, ()), options, zone, made=True)
    with writing(out) as writer:
        if writer.manifest != before.manifest:
            before = read_store(out, repaired=False)
        return _into(writer, files, before, options, zone, made=False)


def _refuse_copies(files: Sequence[Incoming]) -> None:
    seen: dict[str, Path] = {}
    problems = []
    for file in files:
        assert file.reading.data is not None
        sha256 = file.reading.data.source.sha256
        if sha256 in seen:
            problems.append(f"{file.path} and {seen[sha256]} have the same content")
        seen[sha256] = file.path
    if problems:
        raise Mismatch(problems, "name one of them")


def _zone(files: Sequence[Incoming], hints: Hints) -> str | None:
    """The zone in which people read the times: what the user states, else what formats or files say."""
    zones = [hints.zone]
    for file in files:
        zones.append(file.format.zone)
        zones.append(file.reading.data.source.answers.get("zone") if file.reading.data else None)
    return next((zone for zone in zones if zone), None)


def _into(
    writer: Writer,
    files: Sequence[Incoming],
    before: Content,
    options: Options,
    zone: str | None,
    *,
    made: bool,
) -> Imported:
    """Compare and write, while no other process does."""
    info = clock.zone_named(zone) if zone else None
    series = assigned(files, writer.manifest, options.given, options.combine)
    done: list[ImportedHome] = []
    rows: list[HomeRows] = []
    found: list[Appended] = []
    problems: list[str] = []
    for home in dict.fromkeys(one.home for one in series):
        own = [one for one in series if one.home == home]
        try:
            joined, result = _home(before.one(home), own, options, info)
        except Mismatch as error:
            problems += [f"{problem}; {error.cure}" for problem in error.problems]
            continue
        if not {"import", "load"} & {*joined.series.energy, *_channels(before.one(home))}:
            has = ", ".join(sorted(joined.series.energy))
            cure = "add the file that has its import, and join both with --map or --combine"
            problems.append(f"home {home} has {has} and neither import nor load; {cure}")
        rows += result.rows
        found.append(result)
        names = tuple(dict.fromkeys(files[part.file].shown_name for part in own))
        is_new = home not in before.manifest.homes
        done.append(ImportedHome(home, is_new, names, joined.how, joined.series, result.counts))
    if problems:
        raise Mismatch(problems, "nothing was imported")
    refuse_conflicts(found)
    origins = [
        file.origin([one.home for one in series if one.file == place]) for place, file in enumerate(files)
    ]
    homes = [_facts(one, before.manifest, files) for one in done]
    meters = {one.hashed: one.home for one in series if one.hashed}
    known = _known(files, series, done)
    writer.append(rows, homes, _says(done), meters=meters, sources=origins, zone=zone, known=known)
    return Imported(writer.path, made, writer.manifest.zone, tuple(files), tuple(origins), tuple(done))


def _known(
    files: Sequence[Incoming], series: Sequence[Assigned], done: Sequence[ImportedHome]
) -> list[Known]:
    """What counters show over gaps; of a home that is summed from files one of them says nothing of the whole."""
    summed = {one.home for one in done if "summed" in one.how}
    return [
        replace(one, home=part.home)
        for part in series
        if part.home not in summed
        for one in files[part.file].reading.known
        if one.home == part.series.home
    ]


def _channels(series: HomeSeries | None) -> set[str]:
    return set() if series is None else set(series.energy)


def _home(
    old: HomeSeries | None, own: Sequence[Assigned], options: Options, zone: ZoneInfo | None
) -> tuple[Joined, Appended]:
    """Join what files hold of a home, and compare it with what the store has."""
    parts = [replace(one.series, home=one.home) for one in own]
    if options.combine:  # sums may need more than int32
        parts = [
            replace(one, energy={name: whole(column) for name, column in one.energy.items()}) for one in parts
        ]
        joined = joined_home(parts)
        return Joined(joined.series, joined.how), appended(old, joined.series, options.prefer, zone)
    total, compared = parts[0], []
    for part in parts[1:]:
        compared.append(appended(total, part, options.prefer, zone))
        total = placed([*rows_of(total), *compared[-1].rows], total.minutes)
    result = appended(old, total, options.prefer, zone)
    kinds = {frozenset(part.energy) for part in parts}
    how = ("beside",) * (len(kinds) > 1) + ("continued",) * (len(parts) > len(kinds))
    return Joined(total, how), _with(result, compared)


def _with(result: Appended, compared: Sequence[Appended]) -> Appended:
    """The comparison with the store, and what was found between the files."""
    counts = result.counts
    for one in compared:
        counts = replace(
            counts,
            equal=counts.equal + one.counts.equal,
            measured=counts.measured + one.counts.measured,
            kept=counts.kept + one.counts.kept,
            preferred=counts.preferred + one.counts.preferred,
        )
    every = [*compared, result]
    return replace(
        result,
        counts=counts,
        conflicts=tuple(sentence for one in every for sentence in one.conflicts),
        conflict_count=sum(one.conflict_count for one in every),
    )


def _facts(one: ImportedHome, before: Manifest, files: Sequence[Incoming]) -> Home:
    """What the manifest says of a home; a battery that a source names counts where none is known."""
    known = before.homes.get(one.home) or Home(one.home, one.series.minutes)
    for file in files:
        data = file.reading.data
        if data is not None and known.battery is None and one.home in data.households:
            known = replace(known, battery=data.batteries[data.households.index(one.home)])
    return known


def _says(done: Sequence[ImportedHome]) -> str:
    """One sentence for the list of changes."""
    counts = [one.counts for one in done]
    new = sum(one.new for one in counts)
    better = sum(one.measured for one in counts)
    homes = f"{len(done)} home{'' if len(done) == 1 else 's'}"
    return f"{new} new intervals of {homes}" + (f", {better} measured instead of estimated" if better else "")
