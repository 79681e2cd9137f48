"""What a Green Button feed holds, collected while it is read: its entries with their links, and readings as columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from data.findings import FindingLog
from data.intake.raw import FloatArray
from data.intake.xml import Seen, read_xml
from data.readings import ESTIMATED, MEASURED, MISSING

TYPE_FIELDS = frozenset(
    "accumulationBehaviour commodity dataQualifier flowDirection intervalLength kind powerOfTenMultiplier uom".split()
)
LEAVES = TYPE_FIELDS | {"start", "duration", "value", "quality", "updated"}
QUALITY = {
    **dict.fromkeys(
        ("", "0", "14", "17", "18", "19"), MEASURED
    ),  # valid, raw, validated, verified, for billing
    **dict.fromkeys(("12", "15"), MISSING),  # a forecast; what other weather would have led to
}
"""Codes of ReadingQuality; all others are of values that were edited, estimated or derived, or that are in doubt."""
ROWS_HELD_AS_TEXT = 1 << 16
COLUMNS = {
    "line": np.int32,
    "start": np.float64,
    "duration": np.float32,
    "value": np.float64,
    "quality": np.uint8,
}

_HOST = re.compile(r"^https?://[^/]*")

Texts = tuple[int, str | None, str | None, str | None, int]


@dataclass(slots=True, eq=False)
class Resource:
    """A UsagePoint, MeterReading or ReadingType of a feed.

    Args:
        order: Its number in the feed, from 0.
        links: Targets of the links of its entry, by relation.
        fields: Texts of its leaves.
    """

    order: int
    links: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def href(self) -> str:
        """Its own address, "" where it has none."""
        return (self.links.get("self") or [""])[0]

    @property
    def related(self) -> list[str]:
        """Addresses that its entry leads to."""
        return self.links.get("related", [])


@dataclass(slots=True, eq=False)
class Block:
    """An IntervalBlock; a feed may have some hundred thousand.

    Args:
        order: Its number in the feed.
        first: Its first row.
        end: The row after its last.
        addresses: Its own, and that of the collection in which it lies.
        updated_s: When its entry was issued; 0 where that is not said. [s since 1970]
    """

    order: int
    first: int
    end: int
    addresses: tuple[str, ...] = ()
    updated_s: float = 0.0


class Feed:
    """Collects what a feed holds.

    Attributes:
        found: UsagePoints, MeterReadings and ReadingTypes, in their order.
        blocks: The blocks of readings.
        service: `kind` of the service of a UsagePoint, by its order.
        bad: Values that are no numbers, by row.
        rows: Number of readings.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[Resource]] = {"UsagePoint": [], "MeterReading": [], "ReadingType": []}
        self.blocks: list[Block] = []
        self.service: dict[int, str] = {}
        self.bad: dict[int, str] = {}
        self._parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in COLUMNS}
        self._texts: list[Texts] = []
        self.rows = self._order = 0
        self._quality = MEASURED
        self._entry: list[Resource | Block] = []
        self._links: dict[str, list[str]] = {}
        self._updated = ""

    def read(self, source: BinaryIO, log: FindingLog) -> bool:
        """Read a document; False after an error that ends it."""
        opened = {name: self._opener(name) for name in self.found}
        opened |= {
            "entry": self._open_entry,
            "link": self._link,
            "content": self._content,
            "IntervalBlock": self._open_block,
        }
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

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of all readings, a key of `COLUMNS`; it can be taken once."""
        return np.concatenate(self._parts.pop(name))

    def _opener(self, name: str) -> Callable[[Mapping[str, str], Seen], None]:
        def open_resource(_attributes: Mapping[str, str], seen: Seen) -> None:
            seen.clear()
            resource = Resource(self._next())
            self.found[name].append(resource)
            self._entry.append(resource)

        return open_resource

    def _next(self) -> int:
        self._order += 1
        return self._order - 1

    def _open_entry(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        seen.clear()
        self._entry, self._links, self._updated = [], {}, ""

    def _link(self, attributes: Mapping[str, str], _seen: Seen) -> None:
        address = _HOST.sub("", attributes.get("href", "")).rstrip("/")
        self._links.setdefault(attributes.get("rel", ""), []).append(address)

    def _content(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        self._updated = seen.get("updated", "")

    def _open_block(self, _attributes: Mapping[str, str], seen: Seen) -> None:
        seen.clear()
        block = Block(self._next(), self.rows, self.rows)
        self.blocks.append(block)
        self._entry.append(block)

    def _close_block(self, _seen: Seen, _line: int) -> None:
        self.blocks[-1].end = self.rows

    def _close_entry(self, seen: Seen, _line: int) -> None:
        for one in self._entry:
            if isinstance(one, Resource):
                one.links = self._links
            else:
                one.addresses = (*self._links.get("self", [])[:1], *self._links.get("up", []))
                one.updated_s = _seconds(seen.get("updated") or self._updated)
        self._entry, self._links = [], {}

    def _close_service(self, seen: Seen, _line: int) -> None:
        points = self.found["UsagePoint"]
        self.service[points[-1].order if points else -1] = seen.get("kind", "").strip()

    def _close_type(self, seen: Seen, _line: int) -> None:
        fields = {name: text.strip() for name, text in seen.items() if name in TYPE_FIELDS}
        self.found["ReadingType"][-1].fields = fields

    def _close_quality(self, seen: Seen, _line: int) -> None:
        self._quality = max(self._quality, QUALITY.get(seen.pop("quality", "").strip(), ESTIMATED))

    def _close_reading(self, seen: Seen, line: int) -> None:
        self._texts.append((line, seen.get("start"), seen.get("duration"), seen.get("value"), self._quality))
        seen.clear()
        self._quality = MEASURED
        self.rows += 1
        if len(self._texts) == ROWS_HELD_AS_TEXT:
            self._flush()

    def _flush(self) -> None:
        first = self.rows - len(self._texts)
        texts = zip(*self._texts, strict=True) if self._texts else ((),) * len(COLUMNS)
        line, start, duration, value, quality = texts
        self._texts = []
        bad: dict[int, str] = {}
        columns = line, _floats(start, {}), _floats(duration, {}), _floats(value, bad), quality
        self.bad |= {first + row: text for row, text in bad.items()}
        for (name, dtype), column in zip(COLUMNS.items(), columns, strict=True):
            self._parts[name].append(np.array(column, dtype=dtype))


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


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp.strip()).timestamp() if stamp.strip() else 0.0
    except (ValueError, OverflowError):
        return 0.0
