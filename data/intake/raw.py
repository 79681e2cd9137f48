"""The output of a format: readings as in the file, by line, before placement and rounding.

A parser yields chunks of `RawReadings`; in which order, and how many rows a chunk has, makes no difference. What a
reading means is given by its `Channel` (unit; energy of an interval, mean power or counter) and by the chunk (which end
of the interval a stamp names). The helpers `labels`, `numbers` and `stamps` make columns out of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data import clock
from data.findings import FindingLog
from data.intake.claims import Question
from data.intake.profile import Profile
from data.readings import BatterySpec, Known, QualityArray
from market.units import BoolArray, Int8Array, IntArray

FloatArray = npt.NDArray[np.float64]

DEFAULT_FUSE_W = 43_000
"""Largest plausible power of a home: three phases of 63 A at 230 V. [W]"""

UNITS: dict[str, tuple[int, bool]] = {
    "Wh": (10**6, False),
    "kWh": (10**9, False),
    "MWh": (10**12, False),
    "uW": (1, True),
    "W": (10**6, True),
    "kW": (10**9, True),
    "MW": (10**12, True),
}
"""Micro-Wh of one unit of energy; or micro-W of one unit of mean power, and True."""

SAID_UNITS = ("Wh", "kWh", "MWh", "W", "kW", "MW")
"""Units that a file, or its owner, may name."""

_NUMBER = r"^([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[Nn][Aa][Nn])$"


Kind = Literal["interval", "counter"]
"""What the numbers of a channel are: energy or mean power of each interval, or a meter's counter."""

SaidKind = Literal["energy", "power", "counter"]
"""What the user says that numbers are: energy of each interval, mean power in it, or a meter's counter."""

DateOrder = Literal["dmy", "mdy", "ymd"]
"""Order of day, month and year in a date."""

StampEnd = Literal["start", "end"]
"""Which end of its interval a stamp names."""

OTHER_LOAD = "other load"
"""Channel of the load that no other channel holds; no column of a file can be called so by chance."""

NOT_DEVICES = frozenset(("import", "export", "net", "load", "pv", "battery", OTHER_LOAD))
"""Channels without which the load of a home is not known; any other is a device, a part of the load beside them."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user says about a file.

    Args:
        zone: Time zone of local stamps; asked for where the file needs it.
        minutes: Interval length; found in the file where left out. [min]
        fuse_w: Power above which a metered register is impossible. [W]
        kind: What the numbers are; where left out, what the format says, with a check that they look like it. "power"
            turns columns of energy units into mean power: of kWh into kW.
        unit: Unit of the values, a key of `UNITS`; for a file that does not say it.
        stamp: Which end of its interval a stamp names; for a file that does not say it.
        dates: Order of day, month and year in the dates; for a file in which several are possible.
        encoding: Code page of a text file that is not UTF-8.
        channels: What a column, or a word of a column of registers, holds: a channel as in "import", "export.night"
            (part of a channel), "-net" (sign turned), or "ignore"; by what the file calls it.
        homes: Names of homes, by what the file calls them: a name, or the number of a meter or customer. Several may be
            one home.
        yes: Take proposed answers of confidence `PROPOSED` or more.
        partial: The file may hold a part of its homes, such as their export or production; others hold the rest.
        profile: Shape of a day by which totals of days or months are spread; they are refused without one.
    """

    zone: str | None = None
    minutes: int | None = None
    fuse_w: int = DEFAULT_FUSE_W
    kind: SaidKind | None = None
    unit: str | None = None
    stamp: StampEnd | None = None
    dates: DateOrder | None = None
    encoding: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    homes: Mapping[str, str] = field(default_factory=dict)
    yes: bool = False
    partial: bool = False
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of value in a file.

    Args:
        name: "import" and "export" at the grid, or "net", which is import where it is above 0 and export below; or
            "load" and "pv", gross, from which import and export follow. Any other name is a sub-meter, a part of the
            load; with `OTHER_LOAD` the load is the sum of its parts.
        unit: Key of `UNITS`.
        kind: Energy or mean power of an interval, or a "counter" of energy, read at the instant of the stamp.
        label: What the file calls it, for messages; the name where left out.
        part: Which tariff, phase or inverter it is; the parts of a channel are summed, each counter by itself before.
        read_after: How long after its stamp a counter is read: the length of the interval whose start its stamp names,
            in a source that gives the last reading of each interval. [min]
    """

    name: str
    unit: str = "kWh"
    kind: Kind = "interval"
    label: str = ""
    part: str = ""
    read_after: int = 0

    def __str__(self) -> str:
        return self.label or (f"{self.name}.{self.part}" if self.part else self.name)


def is_device(channel: Channel) -> bool:
    """Whether a channel is a whole device: a part of one says nothing of when the device begins."""
    return channel.name not in NOT_DEVICES and not channel.part


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A column of repeating texts: `texts[code[row]]`."""

    code: IntArray
    texts: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """A column of times.

    Args:
        seconds: Since 1970, UTC or on the local clock as `kind` says. [s]
        kind: `clock.UNREADABLE`, `clock.WITH_OFFSET` (UTC is known) or `clock.LOCAL`.
        text: Text of a row, for messages.
    """

    seconds: IntArray
    kind: Int8Array
    text: Callable[[int], str]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of values.

    Args:
        values: NaN where there is none.
        empty: Empty cells: no reading, which is not zero.
        bad: Cells that are not numbers: row and text.
    """

    values: FloatArray
    empty: BoolArray
    bad: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RawReadings:
    """Rows of a file; every column has one entry per row.

    Args:
        line: Line in the file, the header being line 1.
        meter: Name of the home. Of a local clock's repeated hour, the rows of a home that come second are the second
            pass, so rows of a home are in the order of time.
        stamp: Time of the row.
        values: Columns by channel.
        quality: MEASURED, ESTIMATED or MISSING; all are measured where left out.
        stamp_is: Which end of its interval a stamp names. A counter's stamp is the instant of its reading.
        revision: Of two rows for the same home, time and channels, the one of the higher revision counts.
        minutes: Length of the interval of each row, where the file states it; None where it is found from the stamps.
        omitted: What a row means that is not there, between the first and the last of its home: no reading, or zero
            where the source leaves out rows of zero; "idle" is zero where another part of the channel has a row.
    """

    line: IntArray
    meter: Labels
    stamp: Stamps
    values: Mapping[Channel, Numbers]
    quality: QualityArray | None = None
    stamp_is: StampEnd = "start"
    revision: int = 0
    minutes: IntArray | None = None
    omitted: Literal["missing", "zero", "idle"] = "missing"


@dataclass(frozen=True, slots=True, eq=False)
class GridReadings:
    """Readings on the grid of intervals and homes, not yet rounded; every array has shape (T, H).

    A parser yields one of these instead of `RawReadings` where the file is our own and holds computed profiles:
    there is nothing to place, and the checks for broken meters are left out.

    Args:
        households: Names of the homes.
        start_s: Start of the first interval, UTC. [s since 1970]
        minutes: Interval length. [min]
        energy: Micro-Wh by channel, or micro-W where the channel's unit is one of power. Used as working memory.
        quality: MEASURED, ESTIMATED or MISSING.
        in_wh: Channels whose energy is in whole Wh instead.
    """

    households: tuple[str, ...]
    start_s: int
    minutes: int
    energy: Mapping[Channel, IntArray]
    quality: QualityArray
    in_wh: frozenset[Channel] = frozenset()


class IntakeLog(FindingLog):
    """What is found while a file is read: findings, and what a parser knows beside the readings.

    Attributes:
        rows: Rows of data in the file; counted from the readings where None.
        zone: The clock of the file, where the parser knows it.
        answers: What the user, or a stated default, added that the file does not state.
        notes: Traps of the source that were handled, one sentence each.
        batteries: What the source says that homes own.
        known: What counters show over stretches of which single intervals are not known.
        questions: What the file leaves open; it cannot be read before they are answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Question] = []
        self.rows: int | None = None
        self.zone: str | None = None
        self.answers: dict[str, str] = {}
        self.notes: list[str] = []
        self.batteries: dict[str, BatterySpec | None] = {}
        self.known: list[Known] = []

    def ask(self, question: Question, code: str = "question", line: int | None = None) -> None:
        """Add a question once; the file is not read before it is answered."""
        if question not in self.questions:
            self.questions.append(question)
            self.add("error", code, str(question), line=line)


def labels(column: Any) -> Labels:
    """Make a column of trimmed texts, out of a list or an Arrow column."""
    import pyarrow as pa

    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else pa.array(column, pa.string())
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.combine_chunks()
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    given = chunk.dictionary.to_numpy(zero_copy_only=False).tolist()
    texts = [str(text).strip() if text is not None else "" for text in given]
    if not chunk.null_count and len(set(texts)) == len(
        texts
    ):  # no two texts are one, so codes stay as they are
        return Labels(chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64), texts)
    place: dict[str, int] = {}
    merged = np.array([place.setdefault(text, len(place)) for text in texts], dtype=np.int64)
    if chunk.null_count:
        merged = np.append(merged, place.setdefault("", len(place)))
        codes = chunk.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    else:
        codes = chunk.indices.to_numpy(zero_copy_only=False)
    return Labels(merged[codes], list(place))


def numbers(column: Any) -> Numbers:
    """Make a column of values, out of a list of texts (empty for no reading) or an Arrow column of texts or numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column)])
    bad: dict[int, str] = {}
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        fine = pc.match_substring_regex(trimmed, _NUMBER)
        filled = pc.fill_null(pc.and_not(pc.fill_null(pc.invert(fine), True), pc.equal(trimmed, "")), True)
        for row in np.flatnonzero(filled.to_numpy(zero_copy_only=False)).tolist():
            bad[row] = str(trimmed[row].as_py())
        column = pc.cast(pc.if_else(fine, trimmed, pa.scalar(None, pa.string())), pa.float64())
        empty = pc.equal(trimmed, "").to_numpy(zero_copy_only=False)
    else:
        column = pc.cast(column, pa.float64())
        if not column.null_count:
            values = column.to_numpy(zero_copy_only=False)
            return Numbers(values, np.zeros(len(values), dtype=np.bool_))
        empty = column.is_null().to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return Numbers(values, empty, bad)


def stamps(column: Labels, layout: str | None = None) -> Stamps:
    """Read times: ISO 8601, or in a layout of `datetime.strptime` such as "%d/%m/%Y %H:%M"."""
    seconds, kind = clock.parse_stamps(column.texts, layout)
    alike = len(kind) > 0 and (kind == kind[0]).all()
    kinds = np.full(len(column.code), kind[0], dtype=np.int8) if alike else kind[column.code]
    return Stamps(seconds[column.code], kinds, lambda row: column.texts[column.code[row]])


def exact_stamps(seconds: IntArray) -> Stamps:
    """Make a column of instants. [s since 1970, UTC]"""
    kind = np.full(len(seconds), clock.WITH_OFFSET, dtype=np.int8)
    return Stamps(seconds, kind, lambda row: clock.iso_utc(int(seconds[row])))
