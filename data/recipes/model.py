"""A recipe: what a table file says and in which columns, as data; docs/how-to/own-recipe.md explains each part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data.intake.raw import IntakeLog, Kind, StampEnd

CONTRACT = 1

Role = str
"""Our name for a column, a key of `Recipe.columns`."""

BLOCK: Role = "block"
"""The column that `BlockRule` makes, beside those of the file."""


@dataclass(frozen=True, slots=True)
class FileRule:
    """How a table lies in its file.

    Args:
        encoding: Tried after a byte order mark and UTF-8.
        separator: Between cells; found where left out.
        decimal: Decimal sign.
        thousands: Sign between groups of three digits; none where left out.
        header: Names of the columns by position, for a file without a header.
        units_row: Whether the row below the header holds units, which are checked.
        end: Pattern of the first line of a footer.
        skip: Pattern of lines that are no readings.
        sheet: Sheet of a workbook; the first one that has the header where left out.
        nameless: Whether columns without a name may hold something, and are not read.
        folder: Whether a folder of files of this layout, as one for each phase, is read as one.
    """

    encoding: str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    header: tuple[str, ...] = ()
    units_row: bool = False
    end: str | None = None
    skip: str | None = None
    sheet: str | None = None
    nameless: bool = False
    folder: bool = False


@dataclass(frozen=True, slots=True)
class StampRule:
    """When a reading was taken.

    Args:
        column: Roles of the columns that make a time, joined by one space.
        format: Layouts of `datetime.strptime`, or "iso", "epoch_s", "epoch_ms", "excel" (days since 1899-12-30).
        ends: Which end of its interval a stamp names; asked where left out.
        language: Language of the names of months.
        until: Roles of the columns that make the other end, from which the length of each interval follows.
        until_is: What the other end names: the end, or the last day, minute or second of the interval.
        pattern: Where one text has more than a time: a pattern with a group `time`, and `until` for the other end.
        position: Role of a column with the number of the interval in its local day, from 1.
        minutes: Interval length, where the layout fixes it. [min]
        minutes_column: Role of a column with the length of the interval of each row in minutes.
        clock: Clock of stamps without an offset: "local", "standard" (the zone's standard time all year), an offset
            such as "+10:00", or "asked" where nothing says whether it is local or standard time.
    """

    column: tuple[Role, ...]
    format: tuple[str, ...] = ("iso",)
    ends: StampEnd | None = None
    language: str | None = None
    until: tuple[Role, ...] = ()
    until_is: Literal["end", "last_day", "last_minute", "last_second"] = "end"
    pattern: str | None = None
    position: Role | None = None
    minutes: int | None = None
    minutes_column: Role | None = None
    clock: str = "local"


@dataclass(frozen=True, slots=True)
class ValueRule:
    """One column that holds readings; in a wide file all the columns of times.

    Args:
        column: Its role; "" for the columns of times of a wide file.
        unit: Key of `data.intake.raw.UNITS`; asked where neither this nor `unit_column` is there.
        unit_column: Role of the column that holds the unit of each row.
        channel: What it holds, as in "import", "export.night", "-net" or "ignore"; asked where nothing says it.
        by: Role of the column whose words choose the channel.
        channels: Channel of each word.
        kind: Energy or mean power of an interval, or readings of a counter.
        read_after: How long after its stamp a counter is read. [min]
        factor: What a number is multiplied by.
        factor_column: Role of a column that holds a further factor.
        sign: 1, or -1 where the sign of the numbers is turned.
        empty: What an empty cell means; "absent": zero where the row has a reading of another column.
        missing: Words that mean no reading.
        optional: Whether a file may lack the column.
    """

    column: Role = ""
    unit: str | None = None
    unit_column: Role | None = None
    channel: str | None = None
    by: Role | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = "interval"
    read_after: int = 0
    factor: float = 1.0
    factor_column: Role | None = None
    sign: Literal[1, -1] = 1
    empty: Literal["missing", "zero", "absent"] = "missing"
    missing: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class QualityRule:
    """Words of a column of flags.

    Args:
        column: Its role.
        measured, estimated, missing: Words of each kind; "" is an empty cell.
        other: What any other word means; an error where left out.
    """

    column: Role
    measured: tuple[str, ...] = ()
    estimated: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    other: Literal["measured", "estimated", "missing"] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows that show that a file is not of energy.

    Args:
        column: Role of the column that is checked.
        words: What no row may have in it.
        says: Why the file is not read.
        code: Short name of the finding.
    """

    column: Role
    words: tuple[str, ...]
    says: str
    code: str = "refused"


@dataclass(frozen=True, slots=True)
class RowRules:
    """Which rows are read.

    Args:
        omitted: What a row means that is not there; "idle": zero where another part of the channel has a row.
        only: Words by role; rows with other words are not read.
        refuse: Rows that no file of this layout may have.
    """

    omitted: Literal["missing", "zero", "idle"] = "missing"
    only: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    refuse: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class PreambleRule:
    """What a line above the header says.

    Args:
        find: Pattern looked for in each line; groups named unit, zone, minutes, kind or channel give those.
        required: Whether a file without such a line has another layout.
        channels: Channel of each word that the group `channel` finds.
        refuse: Why a file with such a line is not read; it is, where left out.
        code: Short name of the finding of a refused file.
    """

    find: str
    required: bool = False
    channels: Mapping[str, str] = field(default_factory=dict)
    refuse: str | None = None
    code: str = "refused"


@dataclass(frozen=True, slots=True)
class BlockRule:
    """Titles between the rows, of which each says what the rows below it hold.

    Args:
        find: Pattern looked for in each line from the header on; its group `word` is the text of the column `BLOCK`
            in all rows down to the next such line, which is no reading itself.
    """

    find: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A table layout.

    Args:
        title: What people call it.
        about: One sentence for people: stamps, zone, what is summed.
        columns: Headers that the vendor has used, by role; one between slashes is a pattern, whose groups named
            meter, channel, part and unit say what a column holds. A role that nothing uses only has to be there.
        stamp: When a reading was taken.
        values: The columns of readings.
        ignore: Headers of columns that are known and not read.
        country: Two letters, or empty for many.
        source: Where the layout was found: repository, path and commit.
        sample: The first lines of a file.
        meters: What names a home: a "name" that may be kept, an "id" that identifies people, or "none".
        zone: Zone of local stamps; asked where it is needed and left out.
        file: How the table lies in its file.
        times: Pattern of the columns of a wide file, with a group `time` or `position`.
        meter: Role of the column that names the home.
        quality: Flags of rows.
        rows: Which rows are read.
        preamble: What the lines above the header say.
        blocks: Titles between the rows; None for a layout without.
        refuse: Why no file of this layout is read; None for a layout that is.
        code: Short name of the finding of a layout that is not read.
        totals: Whether it is read all the same where the user says how to spread its totals.
    """

    title: str
    about: str
    columns: Mapping[Role, tuple[str, ...]]
    stamp: StampRule
    values: tuple[ValueRule, ...]
    ignore: tuple[str, ...] = ()
    country: str = ""
    source: str = ""
    sample: str = ""
    meters: Literal["name", "id", "none"] = "none"
    zone: str | None = None
    file: FileRule = field(default_factory=FileRule)
    times: str | None = None
    meter: Role | None = None
    quality: QualityRule | None = None
    rows: RowRules = field(default_factory=RowRules)
    preamble: tuple[PreambleRule, ...] = ()
    blocks: BlockRule | None = None
    refuse: str | None = None
    code: str = "refused"
    totals: bool = False


@dataclass(frozen=True, slots=True)
class Holds:
    """What a column holds.

    Args:
        name: Name of the channel; "ignore" for a column that is not read.
        part: Its tariff, phase or inverter.
        sign: -1 where the sign of the numbers is turned.
    """

    name: str
    part: str = ""
    sign: Literal[1, -1] = 1


IGNORE = "ignore"

CHANNELS = ("import", "export", "net", "pv", "load", IGNORE)
"""What a column may be said to hold; any name of a sub-meter can be given too."""

_CHANNEL = re.compile(r"(-?)([a-z][a-z0-9_]{0,63})(?:\.([A-Za-z0-9][\w+-]{0,63}))?")


def holds(text: str) -> Holds | None:
    """Read a channel as recipes and `--channel` write it, such as "import", "export.night", "-net" or "ignore"."""
    found = _CHANNEL.fullmatch(text)
    if not found or (found[2] == IGNORE and found[0] != IGNORE):
        return None
    return Holds(found[2], found[3] or "", -1 if found[1] else 1)


def held_as_it_is(said: str, name: str, log: IntakeLog, line: int | None = None) -> Holds | None:
    """What `--channel` says of a register of a format whose numbers have the right sign; None after an error.

    Args:
        said: The answer.
        name: What the file calls the register.
        log: Where the error goes.
        line: Line of the register.
    """
    held = holds(said)
    if held is not None and held.sign > 0:
        return held
    why = "this format says itself which way energy flows; name the channel without a sign"
    log.add("error", "wrong_answer", f"{name} cannot be {said}: {why}", line=line)
    return None
