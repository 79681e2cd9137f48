"""Green Button feeds made of readings, and a second reader of them that shares nothing with the project's."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FLOWS = {"import": 1, "export": 19, "net": 4}
ATOM, ESPI = "{http://www.w3.org/2005/Atom}", "{http://naesb.org/espi}"


@dataclass(frozen=True)
class Meter:
    """One MeterReading.

    Args:
        home: Number of its UsagePoint.
        channel: A key of `FLOWS`.
        start_s: Of the first reading. [s since 1970]
        step_s: Length of each reading. [s]
        wh: Energy by reading; None where there is no reading.
        multiplier: Power of ten that values are written in.
    """

    home: int
    channel: str
    start_s: int
    step_s: int
    wh: tuple[int | None, ...]
    multiplier: int = 0


def entries(meters: Sequence[Meter], block: int = 5, prefix: str = "") -> list[str]:
    """The entries of a feed, in a good order; readings in blocks of some."""
    found = []
    for home in dict.fromkeys(meter.home for meter in meters):
        body = _element(prefix, "ServiceCategory", _element(prefix, "kind", "0"))
        found.append(_entry(prefix, "UsagePoint", body, _point(home), [f"{_point(home)}/MeterReading"]))
    for n, meter in enumerate(meters):
        own = f"{_point(meter.home)}/MeterReading/{n}"
        found.append(_entry(prefix, "MeterReading", "", own, [f"/ReadingType/{n}", f"{own}/IntervalBlock"]))
        fields = {
            "accumulationBehaviour": 4,
            "flowDirection": FLOWS[meter.channel],
            "intervalLength": meter.step_s,
            "powerOfTenMultiplier": meter.multiplier,
            "uom": 72,
        }
        body = "".join(_element(prefix, name, str(value)) for name, value in fields.items())
        found.append(_entry(prefix, "ReadingType", body, f"/ReadingType/{n}", []))
        for first in range(0, len(meter.wh), block):
            body = "".join(
                _reading(prefix, meter, first + i, wh) for i, wh in enumerate(meter.wh[first : first + block])
            )
            blocks = f"{own}/IntervalBlock"
            found.append(_entry(prefix, "IntervalBlock", body, f"{blocks}/{first}", [], blocks))
    return found


def feed(parts: Sequence[str], prefix: str = "") -> str:
    """A feed of entries."""
    declared = f' xmlns:{prefix}="http://naesb.org/espi"' if prefix else ""
    return f'<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom"{declared}>\n{"".join(parts)}</feed>\n'


def second_reading(path: Path) -> Mapping[tuple[str, str], Mapping[int, float]]:
    """Wh by home and channel and start, by a tree and the links of a feed in which every link is there."""
    root = ET.parse(path).getroot()
    kind, home, blocks = {}, {}, defaultdict(list)
    for entry in root.iter(f"{ATOM}entry"):
        links = [(link.get("rel"), link.get("href")) for link in entry.iter(f"{ATOM}link")]
        own = next((href for rel, href in links if rel == "self"), "")
        for type_ in entry.iter(f"{ESPI}ReadingType"):
            kind[own] = {child.tag.removeprefix(ESPI): child.text for child in type_}
        for block in entry.iter(f"{ESPI}IntervalBlock"):
            blocks[str(own).rpartition("/IntervalBlock")[0]].append(block)
        if entry.find(f".//{ESPI}MeterReading") is not None:
            home[own] = next(href for rel, href in links if rel == "related" and "ReadingType" in str(href))
    wh: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    names = {str(flow): name for name, flow in FLOWS.items()}
    for meter, type_of in home.items():
        fields = kind[type_of]
        point = str(meter).rpartition("/MeterReading")[0]
        for block in blocks[str(meter)]:
            for reading in block.iter(f"{ESPI}IntervalReading"):
                start = int(float(reading.findtext(f"{ESPI}timePeriod/{ESPI}start") or "nan"))
                value = float(reading.findtext(f"{ESPI}value") or "nan")
                scale = 10.0 ** int(fields["powerOfTenMultiplier"] or 0)
                wh[point, names[fields["flowDirection"] or ""]][start] = value * scale
    return wh


def _point(home: int) -> str:
    return f"/User/1/UsagePoint/{home:03}"


def _element(prefix: str, name: str, body: str) -> str:
    tag = f"{prefix}:{name}" if prefix else name
    return f"<{tag}>{body}</{tag}>"


def _entry(prefix: str, kind: str, body: str, own: str, related: Sequence[str], up: str = "") -> str:
    tag = f"{prefix}:{kind}" if prefix else kind
    space = "" if prefix else ' xmlns="http://naesb.org/espi"'
    links = [
        f'<link rel="self" href="{own}"/>',
        *(f'<link rel="related" href="{href}"/>' for href in related),
    ]
    links += [f'<link rel="up" href="{up}"/>'] if up else []
    return f"<entry>{''.join(links)}<content><{tag}{space}>{body}</{tag}></content></entry>\n"


def _reading(prefix: str, meter: Meter, number: int, wh: int | None) -> str:
    if wh is None:
        return ""
    start = meter.start_s + number * meter.step_s
    value = wh // 10**meter.multiplier if meter.multiplier >= 0 else wh * 10**-meter.multiplier
    period = _element(prefix, "duration", str(meter.step_s)) + _element(prefix, "start", str(start))
    body = _element(prefix, "timePeriod", period) + _element(prefix, "value", str(value))
    return _element(prefix, "IntervalReading", body) + "\n"
