"""The entries of a Green Button feed, joined: which readings belong to which type and which home."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.findings import FindingLog
from data.formats.espi.feed import COLUMNS, Block, Feed, Resource
from data.intake.raw import FloatArray
from data.readings import QualityArray

_METER_OF_BLOCK = re.compile(r"^(.*/MeterReading/[^/]+)/IntervalBlock(/.*)?$")


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
        quality: Flags.
        bad: Values that are no numbers, by row.
        blocks: Where its readings are in the feed, by block.
    """

    home: str
    service: str
    type: Mapping[str, str]
    number: int
    line: npt.NDArray[np.int32]
    start: FloatArray
    duration: npt.NDArray[np.float32]
    value: FloatArray
    quality: QualityArray
    bad: Mapping[int, str]
    blocks: Sequence[Block]

    def updated_s(self) -> FloatArray:
        """When the block of each reading was issued; 0 where that is not said. [s since 1970]"""
        issued = np.array([block.updated_s for block in self.blocks], dtype=np.float64)
        return np.repeat(issued, [block.end - block.first for block in self.blocks])


def series_of(feed: Feed, log: FindingLog) -> list[Series]:
    """Join the entries of a feed, sorted by home; an error where a type is not known."""
    meters, types, points = (feed.found[name] for name in ("MeterReading", "ReadingType", "UsagePoint"))
    owner, blocks = _blocks_of_meters(feed.blocks, meters)
    number = {key: i for i, key in enumerate(sorted(set(map(_key, types))), start=1)}
    columns = {name: _by_meter(feed.column(name), list(blocks.values())) for name in COLUMNS}
    outside = feed.rows - sum(block.end - block.first for own in blocks.values() for block in own)
    if outside:
        says = f"{outside} readings are in no IntervalBlock, so their meaning is not known"
        log.add("error", "no_reading_type", f"{says}; export the feed again, whole")
    found = []
    for m, (key, meter) in enumerate(owner.items()):
        type_ = _type_of(meter, meters, types)
        if type_ is None:
            says = "the feed does not say the ReadingType of some readings, so neither their unit nor their direction"
            log.add("error", "no_reading_type", f"{says}; export it again, whole")
            continue
        point = _point_of(meter, points)
        series = Series(
            home=_key(point) if point else "UsagePoint",
            service=feed.service.get(point.order if point else -1, ""),
            type=type_.fields,
            number=number[_key(type_)],
            **{name: column[m] for name, column in columns.items()},
            bad=_bad_of(feed.bad, blocks[key]),
            blocks=blocks[key],
        )
        found.append((series.home, key, series))
    return [series for _, _, series in sorted(found, key=lambda item: item[:2])]


def _blocks_of_meters(
    blocks: Sequence[Block], meters: Sequence[Resource]
) -> tuple[dict[str, Resource], dict[str, list[Block]]]:
    """The MeterReadings that have blocks, and the blocks of each, both by what it is known by."""
    by_address = {meter.href: meter for meter in reversed(meters) if meter.href}
    by_target = {address: meter for meter in reversed(meters) for address in meter.related}
    owner: dict[str, Resource] = {}
    found: dict[str, list[Block]] = {}
    for block in blocks:
        meter = _meter_of(block, by_address, by_target) or _last_before(block, meters) or Resource(-1)
        owner.setdefault(_key(meter), meter)
        found.setdefault(_key(meter), []).append(block)
    return owner, found


def _key(resource: Resource) -> str:
    """What a resource is known by: two entries with one address are one resource."""
    return resource.href or f" {resource.order:09}"


def _by_meter(column: npt.NDArray[Any], blocks: Sequence[Sequence[Block]]) -> list[npt.NDArray[Any]]:
    """The part of a column that belongs to each MeterReading: the column itself where one has all of it."""
    if len(blocks) == 1:
        return (
            [column]
            if sum(block.end - block.first for block in blocks[0]) == len(column)
            else [_part(column, blocks[0])]
        )
    return [_part(column, own) for own in blocks]


def _part(column: npt.NDArray[Any], blocks: Sequence[Block]) -> npt.NDArray[Any]:
    return np.concatenate([column[block.first : block.end] for block in blocks])


def _bad_of(bad: Mapping[int, str], blocks: Sequence[Block]) -> dict[int, str]:
    """Values that are no numbers, by the row within these blocks."""
    found: dict[int, str] = {}
    before = 0
    for block in blocks if bad else ():
        inside = [row for row in bad if block.first <= row < block.end]
        found |= {before + row - block.first: bad[row] for row in inside}
        before += block.end - block.first
    return found


def _meter_of(
    block: Block, by_address: Mapping[str, Resource], by_target: Mapping[str, Resource]
) -> Resource | None:
    """The MeterReading of a block by links or by its address, also of one that has no entry in the feed."""
    linked = [by_target[address] for address in block.addresses if address in by_target]
    if linked:
        return linked[0]
    named = [found[1] for found in map(_METER_OF_BLOCK.match, block.addresses) if found]
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


def _last_before(resource: Resource | Block, others: Sequence[Resource]) -> Resource | None:
    before = [other for other in others if other.order < resource.order]
    return before[-1] if before else (others[0] if len(others) == 1 else None)
