"""Meter formats, one parser a file; and loading or checking a file of any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from data import clock
from data.errors import AmbiguousFile, InvalidMeterFile, UnrecognisedFile
from data.findings import Finding, errors_of
from data.intake.assemble import meter_data, on_grid, registers_of
from data.intake.checks import check as check_data
from data.intake.claims import NO_CLAIM, RECOGNISED, Claim, Question, claims_of
from data.intake.counters import as_said
from data.intake.file import MeterFile, require
from data.intake.join import joined
from data.intake.known import known_of
from data.intake.names import MeterNames, Names
from data.intake.place import Placed, place
from data.intake.raw import DEFAULT_FUSE_W, OTHER_LOAD, GridReadings, Hints, IntakeLog, RawReadings, SaidKind
from data.intake.rows import rows_of
from data.intake.spill import Spilled, gathered, placed_in_groups
from data.intake.strangers import stranger
from data.readings import ESTIMATED, MISSING, Known, MeterData, Source
from market.registry import Registry


def _asks_nothing(_file: MeterFile, _hints: Hints) -> tuple[Question, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Format:
    """A meter format.

    Args:
        name: Unique, lower case.
        summary: One sentence for people: layout, stamp, zone.
        unit: Unit and kind of the values in the file.
        sniff: How sure it is that a file has this format, and why; reads `file.head` and `file.name`, or
            for a folder the files in it, and no more.
        parse: Yields the readings of a file in chunks, or a single `GridReadings` or `MeterData`. What is wrong
            goes into the log, by line; a parser raises nothing for a bad file, and yields nothing if the rows cannot be
            identified.
        zone: Zone of the file's local stamps, where the format fixes it; else the user has to give it.
        asks: What a file of this format leaves open and `Hints` does not answer, from its head.
        meters: What names a home in the file: a "name" that may be kept; an "id" that identifies people, such as the
            number of a meter or a customer, which leaves no trace in stores and messages: homes are called home-1,
            home-2, ..; or "none" in a file of one home, whose rows have the label "".
        sample: First lines of such a file, for docs/reference/formats.md.
        source: Where the layout is documented or was found: a standard and clause, or repository, path and commit.
    """

    name: str
    summary: str
    unit: str
    sniff: Callable[[MeterFile], Claim]
    parse: Callable[[MeterFile, Hints, IntakeLog], Iterator[RawReadings | GridReadings | MeterData]]
    zone: str | None = None
    asks: Callable[[MeterFile, Hints], tuple[Question, ...]] = _asks_nothing
    meters: MeterNames = "name"
    sample: str = ""
    source: str = ""


PLAIN, GENERIC = "plain", "generic"
"""The format that people write themselves, and the one of tables that no other format knows."""

FORMATS: Registry[Format] = Registry(
    "meter format",
    # The store registers itself here from a room above: it is found by its name, and this room does not import it.
    folders=("data.formats", "data.store.format"),
    group="wattswap.formats",
    item=Format,
    contract=3,
)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found.

    Args:
        format: Name of the format.
        unit: Unit and kind of the values in the file.
        zone: The clock of the file.
        local_zone: Zone in which people read its times; None where none is known.
        minutes: Interval length; None where errors hide it. [min]
        first: Start of the first interval, ISO 8601 UTC; None where errors hide it.
        last: Start of the last interval, the same.
        households: Ids of the homes; empty if errors hide them.
        rows: Rows of data in the file.
        findings: Errors first, then warnings, by line.
        estimated_share: Share of home-intervals marked as estimated, 0..1.
        missing_share: Share of home-intervals without a reading, 0..1.
        notes: Traps of the source that the reader handled, one sentence each.
    """

    format: str
    unit: str
    zone: str
    local_zone: str | None
    minutes: int | None
    first: str | None
    last: str | None
    households: tuple[str, ...]
    rows: int
    findings: tuple[Finding, ...]
    estimated_share: float
    missing_share: float
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the file can be loaded: warnings are allowed, errors are not."""
        return not errors_of(self.findings)


@dataclass(frozen=True, slots=True)
class FileReading:
    """What reading a file gave.

    Args:
        data: The readings; None where errors prevent it.
        findings: Everything noticed, errors first.
        rows: Rows of data in the file.
        zone: The clock of the file, in words or as a zone name.
        questions: What has to be answered before it can be read.
        ids: What the file calls the homes of `data`, in their order. For whoever adds to a store, which keeps no more
            of it than a salted hash: never to be shown.
        channels: Registers that the file has: in `data` the energy of any other register is 0, and not metered.
        known: Energy that counters show over gaps of `data`.
    """

    data: MeterData | None
    findings: tuple[Finding, ...]
    rows: int
    zone: str
    questions: tuple[Question, ...] = ()
    ids: tuple[str, ...] = field(default=(), repr=False)
    channels: frozenset[str] = frozenset(("import", "export"))
    known: tuple[Known, ...] = ()


def recognise(path: Path) -> Format:
    """Return the format that is surest of a path.

    Raises:
        MissingFile, SpecialFile: Nothing is there, or a pipe or a device.
        AmbiguousFile: Several formats are equally sure.
        UnrecognisedFile: No format claims it.
    """
    require(path)
    file = MeterFile(path)
    if file.head and (why := stranger(file)):
        raise UnrecognisedFile(path, FORMATS.all(), why)
    claims = claims_on(file)
    best = max(claim.confidence for claim in claims.values())
    names = [name for name, claim in claims.items() if claim.confidence == best]
    if best == 0:
        raise UnrecognisedFile(path, claims, "; ".join(claims.get(GENERIC, NO_CLAIM).why))
    if best < RECOGNISED and names != [PLAIN] and claims.get(GENERIC, NO_CLAIM).confidence:
        return FORMATS.get(GENERIC)  # a layout that is almost known is not read as if it were
    if len(names) > 1:
        raise AmbiguousFile(path, names)
    return FORMATS.get(names[0])


def claims_on(file: MeterFile) -> dict[str, Claim]:
    """What every format makes of a file, by name; the file is opened once for all."""
    return claims_of(FORMATS, file)


def read(path: Path, format: Format, hints: Hints, room: Path | None = None) -> FileReading:
    """Read a path; everything that is wrong with it is in the findings.

    Args:
        path: File or folder.
        format: Its format.
        hints: What the user says about it.
        room: Folder for temporary files, which a file of many rows needs; that of the system where left out.

    Raises:
        MissingFile, SpecialFile, UnknownZone: As their names say.
    """
    require(path)
    names = Names(format.meters, hints.homes)
    reading = _read(MeterFile(path), format, hints, names, room)
    data = reading.data
    if data is not None:
        notes = tuple(map(names.hide_in, data.source.notes))
        answers = {names.hide_in(asked): answer for asked, answer in data.source.answers.items()}
        if (notes, answers) != (
            data.source.notes,
            data.source.answers,
        ):  # else mapped readings would be checked again
            data = replace(data, source=replace(data.source, notes=notes, answers=answers))
    return replace(
        reading,
        data=data,
        findings=tuple(map(names.hide, reading.findings)),
        ids=names.ids_of(data.households) if data is not None else (),
    )


def _read(file: MeterFile, format: Format, hints: Hints, names: Names, room: Path | None) -> FileReading:
    log, path = IntakeLog(), file.path
    zone = hints.zone or format.zone
    if zone is not None:
        clock.zone_named(zone)
    if path.is_file() and not path.stat().st_size:
        log.add("error", "empty_file", "the file is empty; export it again")
        return _unread(log, zone)
    with FORMATS.held(format):
        for question in format.asks(file, hints):
            log.ask(question)
        if log.questions:
            return _unread(log, zone)
        if hints.kind is not None:
            log.answers["kind"] = hints.kind
        chunks = format.parse(file, hints, log)
        first = next(chunks, None)
        if first is None:
            if not log.has_errors:
                log.add("error", "empty_file", "the file has a header but no rows; export it again")
            return _unread(log, log.zone or zone)
        if isinstance(first, MeterData):
            return FileReading(first, log.findings(), log.rows or 0, log.zone or "not known")
        if isinstance(first, GridReadings):
            return _finished(file, format, hints, log, [(first, None)], log.zone or "not known")
        raw = gathered(_meant(chain([first], chunks), hints, names, log), room)
        if isinstance(raw, Spilled):
            return _read_in_groups(file, format, hints, log, raw, zone)
        tables = rows_of(raw)
    if not tables:
        log.add("error", "empty_file", "the file has a header but no rows; export it again")
        return _unread(log, zone)
    log.rows = log.rows or sum(rows.count for rows in tables)
    info, parts = clock.zone_named(zone) if zone else None, []
    with FORMATS.held(format):
        grids, local = place(tables, info, hints, log)
        if not log.has_errors:
            parts = [(on_grid(placed, log), placed) for placed in grids]
    if local and zone:
        log.answers.setdefault("zone", zone)
    where = log.zone or (zone if local and zone else "offsets in the file")
    if not parts or log.has_errors:
        return _unread(log, where)
    return _finished(file, format, hints, log, parts, where, tables[0].homes if tables else ())


def _meant(
    chunks: Iterable[RawReadings | GridReadings | MeterData], hints: Hints, names: Names, log: IntakeLog
) -> Iterator[RawReadings]:
    """The rows of a file with the names of their homes, read as the user says."""
    for chunk in chunks:
        if isinstance(chunk, RawReadings):
            named = names.of(chunk)
            yield named if hints.kind is None else as_said(named, hints.kind, log)


def _read_in_groups(
    file: MeterFile, format: Format, hints: Hints, log: IntakeLog, spilled: Spilled, zone: str | None
) -> FileReading:
    """Place the homes of a file of many rows group by group; see `_finished`."""
    log.rows = log.rows or spilled.rows
    info = clock.zone_named(zone) if zone else None
    found = placed_in_groups(spilled, info, hints, log, log.batteries)
    if found.local and zone:
        log.answers.setdefault("zone", zone)
    where = log.zone or (zone if found.local and zone else "offsets in the file")
    if found.data is None:
        return _unread(log, where)
    data = replace(found.data, source=Source(format.name, file.sha256(), log.answers, tuple(log.notes)))
    reading = _concluded(data, found.given, hints, log, log.rows, where)
    return _of_channels(reading, found.channels, log)


def _unread(log: IntakeLog, zone: str | None) -> FileReading:
    return FileReading(None, log.findings(), log.rows or 0, zone or "not known", tuple(log.questions))


def _finished(
    file: MeterFile,
    format: Format,
    hints: Hints,
    log: IntakeLog,
    parts: Sequence[tuple[GridReadings, Placed | None]],
    where: str,
    homes: Sequence[str] = (),
) -> FileReading:
    """Round the readings, check those that were placed by us, and keep a summary of the warnings with them.

    Args:
        parts: Homes of one step each; mostly all homes.
        homes: Ids of all homes, in the order of the file.
    """
    rows = log.rows or len(parts[0][0].quality)
    channels = {channel.name for grid, _ in parts for channel in grid.energy}
    if not hints.partial and not channels & {"import", "load", OTHER_LOAD, "net"}:
        log.add(
            "error", "no_register", "the file holds no import and no load; choose the export that has them"
        )
    if log.has_errors:
        return _unread(log, where)
    source = Source(format.name, file.sha256(), log.answers, tuple(log.notes))
    found = []
    for grid, placed in parts:
        data = meter_data(grid, source, log.batteries)
        if placed is not None:
            check_data(data, placed, hints, log)
        found.append(data)
    data = found[0]
    if len(found) > 1:
        data, note = joined(found, homes)
        data = replace(data, source=replace(source, notes=(*source.notes, note)))
    given = {m for _, placed in parts if placed is not None for m in placed.given}
    return _of_channels(_concluded(data, given, hints, log, rows, where), channels, log)


def _of_channels(reading: FileReading, channels: set[str], log: IntakeLog) -> FileReading:
    """A reading with what the channels of its file say beside the energy."""
    known = known_of(log.known, reading.data, channels) if reading.data is not None else ()
    return replace(reading, channels=registers_of(channels), known=known)


def _concluded(
    data: MeterData, given: set[int], hints: Hints, log: IntakeLog, rows: int, where: str
) -> FileReading:
    """The readings with a summary of the warnings, unless there are errors.

    Args:
        given: Lengths of the intervals in the file. [min]
    """
    if hints.minutes is not None and hints.minutes not in {data.minutes, *given} and not log.has_errors:
        message = f"the intervals are {data.minutes} minutes, not {hints.minutes}; correct `minutes`"
        log.add("error", "interval_length", message)
    findings = log.findings()
    if errors_of(findings):
        return _unread(log, where)
    if findings:
        warned = ", ".join(sorted({finding.code for finding in findings}))
        notes = (*data.source.notes, f"warnings when read: {warned}")
        data = replace(data, source=replace(data.source, notes=notes))
    return FileReading(data, findings, rows, where)


def _chosen(path: str | Path, format: str | Format | None, hints: Hints) -> tuple[Path, Format, FileReading]:
    where = Path(path)
    chosen = FORMATS.get(format) if isinstance(format, str) else format or recognise(where)
    return where, chosen, read(where, chosen, hints)


def load(
    path: str | Path,
    *,
    format: str | Format | None = None,
    zone: str | None = None,
    minutes: int | None = None,
    fuse_w: int = DEFAULT_FUSE_W,
    kind: SaidKind | None = None,
) -> MeterData:
    """Load meter data of any registered format.

    Args:
        path: File or folder.
        format: The format or its name; recognised from the content where left out.
        zone: Time zone of local stamps, e.g. "Europe/Berlin"; only needed if the file does not say.
        minutes: Interval length; found in the file where left out, compared with it where given. [min]
        fuse_w: Power above which a metered register is impossible. [W]
        kind: What the numbers are, "energy", "power" or "counter", where they do not look like what they are.

    Raises:
        InvalidMeterFile: Holds every error by line.
        MissingFile, SpecialFile, UnknownName, UnrecognisedFile, AmbiguousFile, UnknownZone: As their names say.
    """
    where, _, reading = _chosen(path, format, Hints(zone, minutes, fuse_w, kind))
    if reading.data is None:
        raise InvalidMeterFile(where, errors_of(reading.findings))
    return reading.data


def check(
    path: str | Path,
    *,
    format: str | Format | None = None,
    zone: str | None = None,
    minutes: int | None = None,
    fuse_w: int = DEFAULT_FUSE_W,
    kind: SaidKind | None = None,
    answers: Hints | None = None,
) -> CheckReport:
    """Read a file with the code and the arguments of `load`, and report instead of raising.

    Args:
        path, format, zone, minutes, fuse_w, kind: As in `load`.
        answers: All that the user says of the file, in the place of these.

    Raises:
        MissingFile, SpecialFile, UnknownName, UnrecognisedFile, AmbiguousFile, UnknownZone: There is nothing to check.
    """
    said = answers or Hints(zone, minutes, fuse_w, kind)
    _, chosen, reading = _chosen(path, format, said)
    data = reading.data
    return CheckReport(
        format=chosen.name,
        unit=chosen.unit,
        zone=reading.zone,
        local_zone=said.zone or chosen.zone or (data.source.answers.get("zone") if data else None),
        minutes=data.minutes if data else None,
        first=clock.iso_utc(data.start_s) if data else None,
        last=clock.iso_utc(data.end_s - data.minutes * 60) if data else None,
        households=data.households if data else (),
        rows=reading.rows,
        findings=reading.findings,
        estimated_share=float(np.mean(data.quality == ESTIMATED)) if data else 0.0,
        missing_share=float(np.mean(data.quality == MISSING)) if data else 0.0,
        notes=data.source.notes if data else (),
    )
