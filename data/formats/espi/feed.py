"""The entries of a Green Button feed, joined: which readings belong to which type and which home."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

import numpy as np

from data.findings import FindingLog
from data.intake.raw import FloatArray
from data.intake.xml import Seen, read_xml
from market.units import IntArray

TYPE_FIELDS = frozenset(
    "accumulationBehaviour commodity dataQualifier flowDirection intervalLength kind powerOfTenMultiplier uom".split()
)
LEAVES = TYPE_FIELDS | {"start", "duration", "value", "quality", "updated"}
ROWS_HELD_AS_TEXT = 1 << 16

_HOST = re.compile(r"^https?://[^/]*")
_METER_OF_BLOCK = re.compile(r"^(.*/MeterReading/[^/]+)/IntervalBlock(/.*)?$")


@dataclass(slots=True, eq=False)
class Resource:
    """A UsagePoint, MeterReading, ReadingType or IntervalBlock of a feed.

    Args:
        order: Its number in the feed, from 0.
        links: Targets of the links of its entry, by relation.
        fields: Texts of its leaves.
        rows: First and last row of its readings, the last excluded.
        updated: When its entry was issued.
    """

    order: int
    links: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    rows: tuple[int, int] = (0, 0)
    updated: str = ""

    @property
    def href(self) -> str:
        """Its own address, "" where it has none."""
        return (self.links.get("self") or [""])[0]

    @property
    def related(self) -> list[str]:
        """Addresses that its entry leads to."""
        return self.links.get("related", [])


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The readings of one MeterReading, as in the file.

    Args:
        home: Address of its UsagePoint, or what is known in its place; it identifies people.
        service: `kind` of the service of the UsagePoint, "" where it is not said.
        type: Fields of its ReadingType.
        number: Of its ReadingType, from 1, in the order of their addresses.
        line: Where each reading ends.
        start: Since 1970; NaN where there is none. [s]
        duration: NaN where it is not said. [s]
        value: NaN where there is none.
        bad: Values that are no numbers, by row.
        quality: Codes by row, where there are any.
        updated: When the block of each reading was issued; 0 where that is not said. [s since 1970]
    """

    home: str
    service: str
    type: Mapping[str, str]
    number: int
    line: IntArray
    start: FloatArray
    duration: FloatArray
    value: FloatArray
    bad: Mapping[int, str]
    quality: Mapping[int, Sequence[str]]
    updated: FloatArray


class Feed:
    """Collects what a feed holds while it is read; the readings are held as numbers, 36 bytes each."""

    def __init__(self) -> None:
        self.found: dict[str, list[Resource]] = {name: [] for name in _RESOURCES}
        self.service: dict[int, str] = {}
        self.bad: dict[int, str] = {}
        self.quality: dict[int, list[str]] = {}
        self._columns: list[tuple[IntArray, FloatArray, FloatArray, FloatArray]] = []
        self._texts: list[tuple[int, str | None, str | None, str | None]] = []
        self._rows = self._order = 0
        self._entry: list[Resource] = []
        self._links: dict[str, list[str]] = {}
        self._updated = ""
        self._codes: list[str] = []

    def read(self, source: BinaryIO, log: FindingLog) -> bool:
        """Read a document; False after an error that ends it."""
        opened = {name: self._opener(name) for name in _RESOURCES}
        opened |= {"entry": self._open_entry, "link": self._link, "content": self._content}
        closed = {
            "IntervalReading": self._close_reading,
            "ReadingQuality": self._close_quality,
            "interval": lambda seen, _line: seen.clear(),
            "IntervalBlock": self._close_block,
            "ReadingType": self._close_type,
            "ServiceCategory": self._close_service,
            "entry": self._close_entry,
        }
        whole = read_xml(source, LEAVES, opened, closed, log)
        self._flush()
        return whole

    def columns(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """Line, start, duration and value of all readings."""
        line, start, duration, value = (np.concatenate(c) for c in zip(*self._columns, strict=True))
        return line, start, duration, value

    def _opener(self, name: str) -> Callable[[Mapping[str, str], Seen], None]:
        def open_resource(_attributes: Mapping[str, str], seen: Seen) -> None:
            seen.clear()
            resource = Resource(self._order, rows=(self._rows, self._rows))
            self._order += 1
            self.found[name].append(resource)
            self._entry.append(resource)

        return open_resource

    def _open_entry(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        seen.clear()
        self._entry, self._links, self._updated = [], {}, ""

    def _link(self, attributes: Mapping[str, str], _seen: Seen) -> None:
        address = _HOST.sub("", attributes.get("href", "")).rstrip("/")
        self._links.setdefault(attributes.get("rel", ""), []).append(address)

    def _content(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        self._updated = seen.get("updated", "")

    def _close_entry(self, seen: Seen, _line: int) -> None:
        for resource in self._entry:
            resource.links = self._links
            resource.updated = seen.get("updated") or self._updated
        self._entry, self._links = [], {}

    def _close_service(self, seen: Seen, _line: int) -> None:
        self.service[self.found["UsagePoint"][-1].order if self.found["UsagePoint"] else -1] = seen.get(
            "kind", ""
        )

    def _close_type(self, seen: Seen, _line: int) -> None:
        fields = {name: text.strip() for name, text in seen.items() if name in TYPE_FIELDS}
        self.found["ReadingType"][-1].fields = fields

    def _close_block(self, _seen: Seen, _line: int) -> None:
        block = self.found["IntervalBlock"][-1]
        block.rows = (block.rows[0], self._rows)

    def _close_quality(self, seen: Seen, _line: int) -> None:
        self._codes.append(seen.pop("quality", "").strip())

    def _close_reading(self, seen: Seen, line: int) -> None:
        if self._codes:
            self.quality[self._rows], self._codes = self._codes, []
        self._texts.append((line, seen.get("start"), seen.get("duration"), seen.get("value")))
        seen.clear()
        self._rows += 1
        if len(self._texts) == ROWS_HELD_AS_TEXT:
            self._flush()

    def _flush(self) -> None:
        first = self._rows - len(self._texts)
        line, start, duration, value = zip(*self._texts, strict=True) if self._texts else ((), (), (), ())
        self._texts = []
        bad: dict[int, str] = {}
        columns = _floats(start, {}), _floats(duration, {}), _floats(value, bad)
        self.bad |= {first + row: text for row, text in bad.items()}
        self._columns.append((np.array(line, dtype=np.int64), *columns))


def _floats(texts: Sequence[str | None], bad: dict[int, str]) -> FloatArray:
    """Numbers; NaN for no text, and for a text that is no number, which goes into `bad`."""
    try:
        return np.array(list(map(float, texts)), dtype=np.float64)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        try:
            values[row] = float(text) if text is not None and text.strip() else np.nan
        except ValueError:
            bad[row] = text or ""
    return values


_RESOURCES = ("UsagePoint", "MeterReading", "ReadingType", "IntervalBlock")


def series_of(feed: Feed, log: FindingLog) -> list[Series]:
    """Join the entries of a feed, sorted by home; an error where a type is not known."""
    meters, types, points = (feed.found[name] for name in ("MeterReading", "ReadingType", "UsagePoint"))
    by_address = {meter.href: meter for meter in reversed(meters) if meter.href}
    by_target = {address: meter for meter in reversed(meters) for address in meter.related}
    blocks: dict[str, list[Resource]] = {}
    owner: dict[str, Resource] = {}
    for block in feed.found["IntervalBlock"]:
        meter = _meter_of(block, by_address, by_target) or _last_before(block, meters) or Resource(-1)
        owner.setdefault(_key(meter), meter)
        blocks.setdefault(_key(meter), []).append(block)
    number = {key: i for i, key in enumerate(sorted(set(map(_key, types))), start=1)}
    found, columns = [], feed.columns()
    for key, meter in owner.items():
        type_ = _type_of(meter, meters, types)
        if type_ is None:
            says = "the feed does not say the ReadingType of some readings, so neither their unit nor their direction"
            log.add("error", "no_reading_type", f"{says}; export it again, whole")
            continue
        point = _point_of(meter, points)
        home = _key(point) if point else "UsagePoint"
        service = feed.service.get(point.order if point else -1, "")
        series = _series(home, service, type_, number[_key(type_)], blocks[key], feed, columns)
        found.append((home, key, series))
    return [series for _, _, series in sorted(found, key=lambda item: item[:2])]


def _key(resource: Resource) -> str:
    """What a resource is known by: two entries with one address are one resource."""
    return resource.href or f" {resource.order:09}"


def _series(
    home: str,
    service: str,
    type_: Resource,
    number: int,
    blocks: Sequence[Resource],
    feed: Feed,
    columns: tuple[IntArray, FloatArray, FloatArray, FloatArray],
) -> Series:
    spans = [np.arange(*block.rows) for block in blocks]
    rows = np.concatenate(spans)
    row_of = {row: i for i, row in enumerate(rows.tolist())} if feed.bad or feed.quality else {}
    issued = [_seconds(block.updated) for block in blocks]
    line, start, duration, value = columns
    return Series(
        home=home,
        service=service,
        type=type_.fields,
        number=number,
        line=line[rows],
        start=start[rows],
        duration=duration[rows],
        value=value[rows],
        bad={row_of[row]: text for row, text in feed.bad.items() if row in row_of},
        quality={row_of[row]: codes for row, codes in feed.quality.items() if row in row_of},
        updated=np.repeat(np.array(issued), [len(span) for span in spans]),
    )


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp.strip()).timestamp() if stamp.strip() else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _meter_of(
    block: Resource, by_address: Mapping[str, Resource], by_target: Mapping[str, Resource]
) -> Resource | None:
    """The MeterReading of a block by links or by its address, also of one that has no entry in the feed."""
    addresses = [block.href, *block.links.get("up", [])]
    linked = [by_target[address] for address in addresses if address in by_target]
    if linked:
        return linked[0]
    named = [found[1] for found in map(_METER_OF_BLOCK.match, addresses) if found]
    if named:
        return by_address.get(named[0]) or Resource(block.order, {"self": [named[0]]})
    return None


def _type_of(meter: Resource, meters: Sequence[Resource], types: Sequence[Resource]) -> Resource | None:
    linked = [type_ for type_ in types if type_.href and type_.href in meter.related]
    if linked:
        return linked[-1]
    if any("/ReadingType/" in address for address in meter.related):
        return None  # it names one that the feed does not have
    if len({tuple(sorted(type_.fields.items())) for type_ in types}) == 1:
        return types[0]
    later = min((m.order for m in meters if m.order > meter.order), default=1 << 60)
    return next((t for t in types if meter.order < t.order < later), None) or _last_before(meter, types)


def _point_of(meter: Resource, points: Sequence[Resource]) -> Resource | None:
    for point in points:
        if {meter.href, *meter.links.get("up", [])} & set(point.related) - {""}:
            return point
        if point.href and meter.href.startswith(f"{point.href}/"):
            return point
    if len({point.href for point in points}) == 1 and points[0].href:
        return points[0]
    return _last_before(meter, points)


def _last_before(resource: Resource, others: Sequence[Resource]) -> Resource | None:
    before = [other for other in others if other.order < resource.order]
    return before[-1] if before else (others[0] if len(others) == 1 else None)
