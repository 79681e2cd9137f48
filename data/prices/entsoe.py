"""ENTSO-E day-ahead prices, a Publication_MarketDocument of type A44: currency/MWh by bidding zone.

Curve type A03 leaves out positions whose price is that of the one before, to the end of the period; under A01 every
position must be there. Resolutions of an hour and of a quarter of an hour may stand side by side, and Germany and
Austria have a second sequence, that of another auction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from data.errors import MissingPackage
from data.intake.claims import NO_CLAIM, Claim
from data.intake.file import MeterFile
from data.intake.raw import IntakeLog, exact_stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import PriceRows, chosen

RESOLUTIONS = {"PT15M": 15, "PT30M": 30, "PT60M": 60, "PT1H": 60}
PER_KWH = {"MWH": Decimal(1000), "KWH": Decimal(1)}


@dataclass(frozen=True, slots=True)
class _Period:
    area: str
    sequence: str
    start_s: int
    minutes: int
    texts: tuple[str, ...]
    per_kwh: Decimal

    @property
    def end_s(self) -> int:
        return self.start_s + len(self.texts) * self.minutes * 60


def sniff(file: MeterFile) -> Claim:
    """Whether the root element is a market document and its type is that of prices."""
    text = file.head.decode("utf-8-sig", "replace")
    if "Publication_MarketDocument" not in text[:2_000] or "<type>A44</type>" not in text:
        return NO_CLAIM
    return Claim(1.0, ("a Publication_MarketDocument of type A44",))


def parse(file: MeterFile, column: str | None, log: IntakeLog) -> PriceRows | None:
    """Read one bidding zone, and of overlapping series one resolution and sequence."""
    periods = list(_periods(file, log))
    if not periods and not log.has_errors:
        log.add("error", "empty_file", "the document has no period with prices")
    if log.has_errors:
        return None
    names = _names(periods)
    name = chosen(column, names, log)
    if name is None:
        return None
    kept = sorted((p for p, own in zip(periods, names, strict=True) if own == name), key=lambda p: p.start_s)
    minutes = np.concatenate([np.full(len(p.texts), p.minutes, dtype=np.int64) for p in kept])
    starts = [p.start_s + np.arange(len(p.texts)) * p.minutes * 60 for p in kept]
    if len({p.per_kwh for p in kept}) > 1:
        log.add("error", "unreadable", "prices per MWh and per kWh in one series")
        return None
    return PriceRows(
        line=np.arange(1, len(minutes) + 1),
        stamp=exact_stamps(np.concatenate(starts)),
        texts=[text for p in kept for text in p.texts],
        name=name,
        per_kwh=kept[0].per_kwh,
        minutes=minutes,
    )


def _names(periods: list[_Period]) -> list[str]:
    """The zone of each period; with its resolution and sequence where several of one zone overlap."""
    found = []
    for one in periods:
        others = [p for p in periods if p.area == one.area and p is not one]
        beside = [p for p in others if p.start_s < one.end_s and one.start_s < p.end_s]
        name = one.area
        if any(p.minutes != one.minutes for p in beside):
            name += f" {one.minutes} min"
        if any(p.sequence != one.sequence for p in beside):
            name += f" sequence {one.sequence}"
        found.append(name)
    return found


def _periods(file: MeterFile, log: IntakeLog) -> Iterator[_Period]:
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError:
        raise MissingPackage(
            "XML files need the package defusedxml: pip install 'wattswap[meters]'"
        ) from None
    try:
        root = fromstring(file.path.read_bytes())
    except (ParseError, DefusedXmlException, ValueError) as problem:
        log.add("error", "unreadable", f"the document cannot be read ({problem}); download it again")
        return
    for node in root.iter():
        node.tag = node.tag.split("}")[-1]
    for number, one in enumerate(root.iter("TimeSeries"), start=1):
        for period in one.iter("Period"):
            found = _period(one, period, f"series {number}", log)
            if found is not None:
                yield found


def _period(one: Any, period: Any, where: str, log: IntakeLog) -> _Period | None:
    area, unit = one.findtext("in_Domain.mRID") or "", one.findtext("price_Measure_Unit.name") or ""
    curve, resolution = one.findtext("curveType") or "A01", period.findtext("resolution") or ""
    if unit not in PER_KWH or resolution not in RESOLUTIONS or curve not in ("A01", "A03"):
        message = (
            f"{where}: unit {unit!r}, resolution {resolution!r}, curve type {curve!r} are not known together"
        )
        log.add("error", "unreadable", message)
        return None
    try:
        start, end = (
            int(datetime.fromisoformat(period.findtext(f"timeInterval/{name}") or "").timestamp())
            for name in ("start", "end")
        )
        points = {int(p.findtext("position")): p.findtext("price.amount") or "" for p in period.iter("Point")}
    except (TypeError, ValueError):
        log.add("error", "unreadable", f"{where}: a start, an end or a position cannot be read")
        return None
    minutes = RESOLUTIONS[resolution]
    count = (end - start) // (minutes * 60)
    if not points or min(points) != 1 or max(points) > count or (end - start) % (minutes * 60):
        log.add("error", "gap", f"{where}: its positions do not fit the period of {count} prices")
        return None
    texts, price = [], ""
    for position in range(1, count + 1):
        if position not in points and curve == "A01":
            message = f"{where}: position {position} has no price, and curve type A01 leaves out none"
            log.add("error", "gap", message)
            return None
        price = points.get(position, price)
        texts.append(price)
    sequence = one.findtext("classificationSequence_AttributeInstanceComponent.position") or "1"
    return _Period(area, sequence, start, minutes, tuple(texts), PER_KWH[unit])


PRICE_FORMATS.register(
    PriceFormat(
        name="entsoe",
        summary="ENTSO-E day-ahead prices, document type A44: currency/MWh by bidding zone, UTC",
        sniff=sniff,
        parse=parse,
        sample='<Publication_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3">\n'
        "  <type>A44</type>\n",
        source="ENTSO-E Transparency Platform, IEC 62325-351 publication document",
    )
)
