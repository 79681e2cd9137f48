"""Meter files of XML, JSON, market messages, telegrams and workbooks that are changed in one way each.

The counts and checksums that a message keeps of itself are corrected after a change, lest they alone refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from python_calamine import CalamineWorkbook

from data.readings import MeterData
from tests.kits.fixture_kit import Fixture
from tests.kits.mutation_kit import (
    Accepts,
    Mutant,
    Reads,
    coarser,
    estimated,
    in_other_unit,
    never,
    never_but_net,
    same_flows,
    same_or_missing,
    scaled,
    swapped,
    unchanged,
)
from tests.kits.workbook_kit import Cell, write_xlsx

Change = tuple[str, str, str | Callable[[re.Match[str]], str], Accepts]
"""Name, pattern, what takes its place everywhere, and which reading is right."""


@dataclass(frozen=True)
class Layout:
    """Where a kind of file has its readings, as patterns; the value and the time are the group "it" in a record.

    Args:
        record: One reading, or one telegram of them.
        value: A number in it.
        time: Its time; a change moves it by a minute.
        block: Several records that belong together.
        changes: Changes of the whole file.
        mend: Corrects what a file says about itself.
        stamp: How a time is written, for `strptime`; seconds since 1970 where left out.
        decimals: Whether a value may be written with decimals.
    """

    record: str
    value: str
    time: str
    block: str
    changes: Sequence[Change] = ()
    mend: Callable[[str], str] = lambda text: text
    stamp: str = ""


def none_wrong(fixture: Fixture, data: MeterData) -> bool:
    """All as before, or less of it, in longer steps or by interpolation, which is marked."""
    return any(accepts(fixture, data) for accepts in (unchanged, same_or_missing, coarser, estimated))


def by_interval(fixture: Fixture, data: MeterData) -> bool:
    """What was energy is mean power now: an hour is a part of it."""
    return scaled(data.minutes / 60)(fixture, data)


def either(*accepted: Accepts) -> Accepts:
    """One of several readings is right."""
    return lambda fixture, data: any(accepts(fixture, data) for accepts in accepted)


def exchanged(a: str, b: str) -> Callable[[re.Match[str]], str]:
    """Replaces each of two texts by the other."""
    return lambda match: match[0].replace(a, "\0").replace(b, a).replace("\0", b)


def _espi_scale(match: re.Match[str]) -> str:
    return f"{match[1]}{int(match[2]) + 3}<"


ESPI = Layout(
    record=r"<(?:\w+:)?IntervalReading\b.*?</(?:\w+:)?IntervalReading>\s*",
    value=r"[<:]value>(?P<it>-?\d+)<",
    time=r"[<:]start>(?P<it>\d+)",
    block=r"<(?:\w+:)?IntervalBlock\b.*?</(?:\w+:)?IntervalBlock>\s*",
    changes=(
        ("unit W", r"(uom>)72<", r"\g<1>38<", by_interval),
        ("unit therm", r"(uom>)(72|38)<", r"\g<1>169<", never),
        ("unit VArh", r"(uom>)(72|38)<", r"\g<1>73<", never),
        ("no unit", r"<(?:\w+:)?uom>\d+</(?:\w+:)?uom>", "", never),
        ("times a thousand", r"(powerOfTenMultiplier>)(-?\d+)<", _espi_scale, scaled(1000.0)),
        ("directions swapped", r"flowDirection>(?:1|19)<", exchanged(">1<", ">19<"), swapped),
        ("no direction", r"<(?:\w+:)?flowDirection>\d+</(?:\w+:)?flowDirection>", "", never),
        ("a direction that is none", r"(flowDirection>)\d+<", r"\g<1>7<", never),
        ("gas", r"(commodity>)1<", r"\g<1>7<", never),
        ("only the last of a day", r"(accumulationBehaviour>)\d+<", r"\g<1>2<", never),
        ("written in UTF-16", r"encoding=\"UTF-8\"", 'encoding="UTF-16"', unchanged),
    ),
)


def _shorter(match: re.Match[str]) -> str:
    return match[0].replace(">60<", ">30<").replace(">15<", ">30<")


SDAT = Layout(
    record=r"<rsm:Observation>.*?</rsm:Observation>\s*",
    value=r"Volume>(?P<it>[\d.]+)<",
    time=r"<rsm:Interval>\s*<rsm:StartDateTime>(?P<it>[^<]+)Z<",
    stamp="%Y-%m-%dT%H:%M:%S",
    block=r"<rsm:MeteringData>.*?</rsm:MeteringData>\s*",
    changes=(
        ("unit MWh", "KWH", "MWH", scaled(1000.0)),
        ("unit Wh", "KWH", "WH", scaled(0.001)),
        ("unit kW", "KWH", "KWT", by_interval),
        ("unit kVArh", "KWH", "KVR", never),
        ("no unit", r"<rsm:MeasureUnit>KWH</rsm:MeasureUnit>", "", never),
        ("directions swapped", "ConsumptionMeteringPoint", "ProductionMeteringPoint", either(swapped, never)),
        ("another length", r"<rsm:Resolution>\d+</rsm:Resolution>", _shorter, never),
        ("another product", "8716867000030", "8716867000139", never),
    ),
)
SOLAREDGE = Layout(
    record=r'\{\s*"date": "[^"]*"[^{}]*\},\s*',
    value=r'"value": (?P<it>\d+)',
    time=r'"date": "(?P<it>\d{4}-\d\d-\d\d \d\d:\d\d)',
    stamp="%Y-%m-%d %H:%M",
    block=r'\{\s*"type": "[^"]*",\s*"values": \[[^]]*\]\s*\},\s*',
    changes=(
        ("unit kWh", '"unit": "Wh"', '"unit": "kWh"', scaled(1000.0)),
        ("unit W", '"unit": "Wh"', '"unit": "W"', by_interval),
        ("unit h", '"unit": "Wh"', '"unit": "h"', never),
        ("another length", r'"HOUR"|"QUARTER_OF_AN_HOUR"', exchanged("HOUR", "QUARTER_OF_AN_HOUR"), never),
        ("days", r'"HOUR"|"QUARTER_OF_AN_HOUR"', '"DAY"', never),
        ("directions swapped", '"type": "(FeedIn|Purchased)"', exchanged("FeedIn", "Purchased"), swapped),
    ),
)
GIVENERGY = Layout(
    record=r'"\d+": \{\s*"start_time".*?\}\s*\},\s*|\n  \{\s*"time".*?\n  \},',
    value=r'"(?:3|import)": (?P<it>[\d.]+)',
    time=r'time": "(?P<it>\d{4}-\d\d-\d\d[ T]\d\d:\d\d)',
    stamp="",
    block=r"(?!)",
    changes=(("import and export swapped", '"(import|export)"', exchanged("import", "export"), swapped),),
)


def _row_count(text: str) -> str:
    """The header of an EIEP3 file says how many rows follow."""
    head, *rest = text.split("\n")
    cells = head.split(",")
    cells[9] = str(sum(line.startswith("DET") for line in rest))
    return "\n".join([",".join(cells), *rest])


EIEP3 = Layout(
    record=r"(?<=\n)DET,[^\n]*\n",
    value=r"(?:[^,]*,){6}(?P<it>[\d.]+)",
    time=r"(?:[^,]*,){5}(?P<it>\d+)",
    stamp="position",
    block=r"(?:DET,[^\n]*\n){4,8}",
    mend=_row_count,
    changes=(
        ("directions swapped", r"(?m),[XI],\w*$", exchanged(",X", ",I"), swapped),
        ("no direction", r"(?m),[XI](,\w*)$", r",\1", never),
        ("a direction that is none", r"(?m),[XI](,\w*)$", r",Z\1", never),
        ("dates with the month first", r",(\d\d)/(\d\d)/(\d{4}),(?=\d+,[\dn])", r",\2/\1/\3,", never),
        ("another version", r"(ICPHH),[\d.]+", r"\1,12.0", unchanged),
        ("no header", r"^HDR[^\n]*\n", "", never),
    ),
)


def _segment_count(text: str) -> str:
    """The end of a message says how many segments it has."""
    start, _, rest = text.partition("UNH+")
    body, end, tail = rest.partition("UNT+")
    count = len(re.findall(r"(?<!\?)'", body)) + 1
    return start + "UNH+" + body + end + re.sub(r"^\d+", str(count), tail) if end else text


MSCONS = Layout(
    record=r"QTY\+[^']*'\s*DTM\+163[^']*'\s*DTM\+164[^']*'\s*",
    value=r"QTY\+\w+:(?P<it>[\d.,]+)",
    time=r"DTM\+163:(?P<it>\d{12})",
    stamp="%Y%m%d%H%M",
    block=r"LIN\+.*?(?=LIN|LOC|UNT)",
    mend=_segment_count,
    changes=(
        ("unit MWh", r"(QTY\+\w+:[\d.,]+)'", r"\1:MWH'", either(scaled(1000.0), in_other_unit)),
        ("unit kVArh", r"(QTY\+\w+:[\d.,]+)(:KWH|:KWT)?'", r"\1:KVR'", never),
        ("directions swapped", r":[12]\.(29|5)\.0", exchanged(":1.", ":2."), swapped),
        ("a reactive register", r":[12]\.(29|5)\.0", r":3.\1.0", never),
        ("without an offset", r"(DTM\+16[34]:\d{12})\?\+\d\d(:303)", r"\1\2", never),
        ("another kind of time", r":303'", ":203'", unchanged),
        ("a gas meter", r":[12]\.(29|5)\.0", ":7-20:99.33.17", never),
    ),
)


def _crc(telegram: re.Match[str]) -> str:
    crc = 0
    for byte in telegram[1].encode("latin-1"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return f"{telegram[1]}{crc:04X}"


def _checksums(text: str) -> str:
    return re.sub(r"(?s)(/[^!]*!)[0-9A-F]{4}", _crc, text)


P1 = Layout(
    record=r"/[^!]*![0-9A-F]*\s*",
    value=r"1-0:1\.8\.1\((?P<it>[\d.]+)\*",
    time=r"0-0:1\.0\.0\((?P<it>\d{10})",
    stamp="%y%m%d%H%M",
    block=r"(?:/[^!]*![0-9A-F]*\s*){2}",
    mend=_checksums,
    changes=(
        ("unit Wh", r"\*kWh", "*Wh", scaled(0.001)),
        ("unit MWh", r"\*kWh", "*MWh", scaled(1000.0)),
        ("unit kVArh", r"\*kWh", "*kvarh", never),
        ("directions swapped", r"1-0:[12]\.8\.", exchanged(":1.8.", ":2.8."), swapped),
        ("without the season", r"(0-0:1\.0\.0\(\d{12})[SW]", r"\1", never),
        # Winter all year is the clock of some countries; summer in winter is that of none.
        ("summer in winter", r"(0-0:1\.0\.0\(\d{12})W", r"\1S", never),
    ),
)
NEM12 = Layout(
    record=r"(?<=\n)300,[^\n]*\n",
    value=r"300,\d{8},(?:[^,\n]*,){21}(?P<it>[\d.]+)",
    time=r"(?!)",  # another day is another file
    block=r"(?<=\n)200,.*?(?=\n200|\n900)\n",
    changes=(
        ("unit MWh", r"(?m)^(200,.*),kWh,", r"\1,MWh,", either(scaled(1000.0), in_other_unit)),
        ("unit Wh", r"(?m)^(200,.*),kWh,(?![\s\S]*,Wh,)", r"\1,Wh,", scaled(0.001)),
        ("unit kVArh", r"(?m)^(200,.*),k?Wh,", r"\1,kVArh,", never),
        ("another length", r"(?m)^(200,.*,k?Wh),30,", r"\1,15,", never),
        ("directions swapped", r"(?m)^200,.*$", exchanged("E1", "B1"), same_flows),
        ("a range moved", r"(?m)^400,1,", "400,2,", never),
        ("a range too long", r"(?m)^(400,\d+),4\d,", r"\1,49,", never),
        ("no end", r"\n900[^\n]*", "", unchanged),
    ),
)

LAYOUTS = {
    "espi": ESPI,
    "sdat": SDAT,
    "solaredge": SOLAREDGE,
    "givenergy": GIVENERGY,
    "eiep3": EIEP3,
    "mscons": MSCONS,
    "dsmr_p1": P1,
    "nem12": NEM12,
}


def structured_mutants(fixture: Fixture, reads: Reads) -> Iterator[Mutant]:
    """All changes that can be made to a file of one of `LAYOUTS` or to a workbook; nothing for other files.

    Args:
        reads: Reads a changed file, to find a record whose numbers count.
    """
    if fixture.path.suffix == ".xlsx":
        yield from _of_workbook(fixture, reads)
        return
    layout = LAYOUTS.get(fixture.said.get("format", ""))
    if layout is None:
        return
    raw = fixture.path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        text, encoding = raw.decode("latin-1").replace("\r\n", "\n"), "latin-1"
    encoding = encoding.removesuffix("-sig")

    def mutant(name: str, changed: str, accepts: Accepts) -> Mutant:
        return Mutant(name, layout.mend(changed).encode(encoding), accepts)

    for name, pattern, instead, accepts in layout.changes:
        changed = re.sub(pattern, instead, text)
        if changed != text:
            yield mutant(name, changed, either(unchanged, accepts) if _is_partial(fixture) else accepts)
    yield from _of_records(fixture, layout, text, reads, mutant)
    for tenth in range(1, 10):
        cut = text[: len(text) * tenth // 10].encode(encoding)
        yield Mutant(f"cut off after {tenth} tenths", cut, none_wrong)
    for code in ("utf-8-sig", "utf-16", "cp1252"):
        yield Mutant(f"encoded as {code}", text.encode(code, "replace"), unchanged)
    middle = len(text) // 2
    yield Mutant(
        "a NUL byte in the middle", (text[:middle] + "\0" + text[middle:]).encode(encoding), none_wrong
    )


def _is_partial(fixture: Fixture) -> bool:
    """Whether the user said what the file says here, so that the change has no meaning."""
    return bool(fixture.hints.channels or fixture.hints.unit or fixture.hints.zone)


def _of_records(
    fixture: Fixture,
    layout: Layout,
    text: str,
    reads: Reads,
    mutant: Callable[[str, str, Accepts], Mutant],
) -> Iterator[Mutant]:
    found = [m for m in re.finditer(layout.record, text, re.DOTALL) if re.search(layout.value, m[0])]

    def counts(match: re.Match[str]) -> bool:
        other = _with_group(match[0], layout.value, _other_digit)
        data = reads(layout.mend(_put(text, match, other)).encode())
        return data is None or not unchanged(fixture, data)

    inner = [m for m in found[1:-1] if counts(m)] or [m for m in found if counts(m)]
    if not inner:
        return
    match = inner[len(inner) // 2]
    record = match[0]
    other = _with_group(record, layout.value, _other_digit)
    yield mutant("a record repeated", _put(text, match, record + record), unchanged)
    yield mutant("a record again with another value", _put(text, match, other + record), none_wrong)
    if fixture.said.get("rows") != "registers":
        yield mutant("a record lost", _put(text, match, ""), none_wrong)
    if len(found) > 2 and len(fixture.said["expected"]["homes"]) == 1:
        last, first = found[-1], found[0]
        swapped_rows = text[: first.start()] + last[0] + text[first.end() : last.start()] + first[0]
        if _same_block(layout, text, first, last):
            yield mutant(
                "the first and the last changed places", swapped_rows + text[last.end() :], none_wrong
            )
    for name, change, accepts in (
        ("a minus", lambda value: f"-{value}", never_but_net),
        ("text in a number", lambda value: f"{value}?", none_wrong),
        ("a thousand million times", lambda value: f"{value}e9", never_but_net),
        ("the other decimal sign", lambda value: value.translate(str.maketrans(".,", ",.")), none_wrong),
        ("a number that is none", lambda _value: "NaN", none_wrong),
        ("an empty value", lambda _value: "", none_wrong),
    ):
        changed = _put(text, match, _with_group(record, layout.value, change))
        if changed != text:
            yield mutant(name, changed, accepts)
    late = _with_group(record, layout.time, lambda time: _moved(layout.stamp, time))
    if late == record and re.search(layout.time, text):
        yield mutant(
            "the begin moved", _with_group(text, layout.time, lambda t: _moved(layout.stamp, t)), never
        )
    elif late != record:
        yield mutant("a time moved by a minute", _put(text, match, late), none_wrong)
    for block in re.finditer(layout.block, text, re.DOTALL):
        if block.start() <= match.start() < block.end():
            changed = block[0].replace(record, other)
            yield mutant("a block repeated", _put(text, block, block[0] + block[0]), unchanged)
            yield mutant(
                "a block again with another value", _put(text, block, block[0] + changed), same_or_missing
            )


def _same_block(layout: Layout, text: str, first: re.Match[str], last: re.Match[str]) -> bool:
    between = text[first.start() : last.end()]
    return len(re.findall(r"IntervalBlock|MeteringData|\"type\"|LIN\+|LOC\+|\n200,", between)) == 0


def _put(text: str, match: re.Match[str], instead: str) -> str:
    return text[: match.start()] + instead + text[match.end() :]


def _with_group(text: str, pattern: str, change: Callable[[str], str]) -> str:
    found = re.search(pattern, text)
    return (
        text if found is None else text[: found.start("it")] + change(found["it"]) + text[found.end("it") :]
    )


def _other_digit(value: str) -> str:
    """The same number with another last digit."""
    return value[:-1] + str((int(value[-1]) + 1) % 10)


def _moved(stamp: str, time: str) -> str:
    """A minute later; a position later where times are positions."""
    if stamp == "position":
        return str(int(time) + 1)
    if time.isdigit() and not stamp:
        return str(int(time) + 60)
    form = stamp or time[:10].replace(time[:10], f"%Y-%m-%d{time[10]}%H:%M")
    return (datetime.strptime(time, form) + timedelta(minutes=1)).strftime(form)


Rows = list[list[Cell]]


def _of_workbook(fixture: Fixture, reads: Reads) -> Iterator[Mutant]:
    """The rows of the first sheet, below the row that has the most texts."""
    book = CalamineWorkbook.from_path(fixture.path)
    name = book.sheet_names[0]
    rows: Rows = [
        [_cell(c) for c in row] for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    ]
    texts = [sum(isinstance(c, str) and not re.search(r"\d{2}", c) for c in row) for row in rows]
    header = max(range(len(rows)), key=lambda r: (texts[r], r))
    body = range(header + 1, len(rows))

    def mutant(what: str, changed: Rows, accepts: Accepts) -> Mutant:
        with TemporaryDirectory() as folder:
            return Mutant(what, write_xlsx(Path(folder) / "a.xlsx", {name: changed}).read_bytes(), accepts)

    def cell(r: int, c: int, value: Cell) -> Rows:
        return [
            [value if (i, k) == (r, c) else old for k, old in enumerate(row)] for i, row in enumerate(rows)
        ]

    middle = body[len(body) // 2]
    yield mutant("the same cells", rows, unchanged)
    yield mutant("a row repeated", [*rows[: middle + 1], *rows[middle:]], unchanged)
    yield mutant("a row lost", [*rows[:middle], *rows[middle + 1 :]], none_wrong)
    yield mutant("rows backwards", [*rows[: header + 1], *rows[:header:-1]], unchanged)
    yield mutant("the header again", [*rows[:middle], rows[header], *rows[middle:]], unchanged)
    yield mutant("a row of totals", [*rows, ["Total", *[12_345.0] * (len(rows[header]) - 1)]], unchanged)
    for c, title in enumerate(rows[header]):
        if isinstance(title, str) and title:
            yield mutant(f"column {c + 1} renamed", cell(header, c, f"{title}x"), unchanged)
            for unit in ("kWh", "kW", "W", "MWh"):
                changed = re.sub(r"(?i)k?Wh?(?=\W|$)|Kwh$", unit, title, count=1)
                if changed.lower() != title.lower():
                    yield mutant(f"column {c + 1} in {unit}", cell(header, c, changed), in_other_unit)
    for c in range(len(rows[header])):
        value = rows[middle][c]
        if not isinstance(value, float):
            continue
        other = mutant("", cell(middle, c, value + 0.5), never)
        data = reads(other.content)
        if data is not None and unchanged(fixture, data):
            continue  # a column that is not read
        for what, instead, accepts in (
            ("a number as text", f"{value!r}", unchanged),
            ("a number as text with a comma", f"{value!r}".replace(".", ","), unchanged),
            ("text in a number", f"{value!r}?", never),
            ("a minus", -value - 1, never_but_net),
            ("an empty cell", None, none_wrong),
        ):
            yield mutant(f"{what} in column {c + 1}", cell(middle, c, instead), accepts)
        again = cell(middle, c, value + 0.5)
        yield mutant(
            f"a row again with another value in column {c + 1}",
            [*again[: middle + 1], *rows[middle:]],
            same_or_missing,
        )
    for tenth in range(1, 10):
        raw = fixture.path.read_bytes()
        yield Mutant(f"cut off after {tenth} tenths", raw[: len(raw) * tenth // 10], none_wrong)


def _cell(value: object) -> Cell:
    if isinstance(value, datetime | str | float):
        return None if value == "" else value
    return datetime(value.year, value.month, value.day)  # type: ignore[attr-defined]
