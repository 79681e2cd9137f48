"""Second readers of tables: each as simple as its layout allows, written from the layout, sharing nothing with ours.

Each gives what a text holds by home, register and start in UTC: the energy of the interval [Wh] and its flag, measured,
estimated or missing (m, e, x). Rows of a local clock that shows an hour twice are told apart by their order.
"""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

Found = dict[tuple[str, str, datetime], tuple[Decimal, str]]
Rows = list[list[str]]

KILO, MISSING = 1000, (Decimal(), "x")


def rows_of(text: str, separator: str = ",") -> Rows:
    return [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=separator) if row]


def number(text: str) -> Decimal:
    return Decimal(text.strip().replace(",", "."))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


class InOrder:
    """Local times of one register in the order of the file: an hour that comes again is of the second pass."""

    def __init__(self, zone: str) -> None:
        self._zone, self._last, self._second = ZoneInfo(zone), datetime.min, False

    def utc(self, local: datetime) -> datetime:
        first, again = (local.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        twice = first.utcoffset() != again.utcoffset()
        self._second = twice and (self._second or local <= self._last)
        self._last = local
        return (again if self._second else first).astimezone(UTC)


def fluvius(text: str) -> Found:
    """Stacked registers of two tariffs; a time of the hour that comes twice stands in pairs."""
    found: Found = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for date, time, _, _, ean, _, _, register, volume, _, state, _ in rows_of(text, ";")[1:]:
        flow = "import" if register.startswith("Offtake") else "export"
        fold = seen[date, time, flow]
        seen[date, time, flow] += 1
        local = datetime.strptime(f"{date} {time}", "%d/%m/%Y %H:%M:%S")
        start = local.replace(tzinfo=ZoneInfo("Europe/Brussels"), fold=fold).astimezone(UTC)
        flag = "e" if state == "Estimated" else "m"
        found[ean, flow, start] = (KILO * number(volume), flag) if volume else MISSING
    return found


def fluvius_open_data(text: str) -> Found:
    """The Z is wrong: the clock is that of Brussels, and times of the hour that comes twice stand in pairs."""
    found: Found = {}
    seen: Counter[tuple[str, str]] = Counter()
    for home, _, stamp, taken, given, *_ in rows_of(text)[1:]:
        local = datetime.fromisoformat(stamp.removesuffix("Z"))
        start = local.replace(tzinfo=ZoneInfo("Europe/Brussels"), fold=seen[home, stamp]).astimezone(UTC)
        seen[home, stamp] += 1
        found[home, "import", start] = (KILO * number(taken), "m")
        found[home, "export", start] = (KILO * number(given), "m")
    return found


def octopus(text: str) -> Found:
    return {("", "import", utc(row[-2].strip())): (KILO * number(row[0]), "m") for row in rows_of(text)[1:]}


def low_carbon_london(text: str) -> Found:
    """Stamps are said to be ends, and in UTC."""
    found: Found = {}
    for home, _, stamp, kwh in rows_of(text)[1:]:
        start = datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC) - timedelta(minutes=30)
        found[home, "import", start] = MISSING if kwh.strip() == "Null" else (KILO * number(kwh), "m")
    return found


def ausgrid(text: str) -> Found:
    """Load and production are gross: their difference crosses the meter. Summer time is not tried."""
    gross: dict[tuple[str, datetime], Decimal] = {}
    flags: dict[tuple[str, datetime], str] = {}
    for home, _, _, category, day, *cells in rows_of(text)[2:]:
        midnight = (
            datetime.strptime(day, "%d/%m/%Y").replace(tzinfo=ZoneInfo("Australia/Sydney")).astimezone(UTC)
        )
        for i, cell in enumerate(cells[:48]):
            at = home, midnight + timedelta(minutes=30 * i)
            gross[at] = gross.get(at, Decimal()) + KILO * number(cell) * (-1 if category == "GG" else 1)
            flags[at] = "e" if cells[48] == "NA" or flags.get(at) == "e" else "m"
    found: Found = {}
    for (home, start), wh in gross.items():
        found[home, "import", start] = (max(wh, Decimal()), flags[home, start])
        found[home, "export", start] = (max(-wh, Decimal()), flags[home, start])
    return found


def enel_distribuzione(text: str) -> Found:
    """A day in spring has no cells between 02:00 and 03:00."""
    head, *rows = rows_of(text, ";")
    found: Found = {}
    for day, *cells in rows:
        for title, cell in zip(head[1:], cells, strict=True):
            local = datetime.strptime(f"{day} {title[:5]}", "%d/%m/%Y %H:%M").replace(
                tzinfo=ZoneInfo("Europe/Rome")
            )
            if local.astimezone(UTC).astimezone(ZoneInfo("Europe/Rome")).hour == local.hour:
                found["", "import", local.astimezone(UTC)] = (KILO * number(cell), "m") if cell else MISSING
    return found


def homewizard(text: str) -> Found:
    """Counters of two tariffs each way; an interval counts where both of its ends are there."""
    order, read = InOrder("Europe/Amsterdam"), []
    for stamp, *registers in rows_of(text)[1:]:
        t1, t2, back1, back2 = map(number, registers)
        read.append((order.utc(datetime.fromisoformat(stamp)), t1 + t2, back1 + back2))
    found: Found = {}
    for (start, taken, given), (end, taken_then, given_then) in pairwise(read):
        if end - start == timedelta(minutes=15):
            found["", "import", start] = (KILO * (taken_then - taken), "m")
            found["", "export", start] = (KILO * (given_then - given), "m")
    return found


def dsmr_reader(text: str) -> Found:
    found: Found = {}
    for stamp, t1, t2, back1, back2, _gas in rows_of(text)[1:]:
        found["", "import", utc(stamp)] = (KILO * (number(t1) + number(t2)), "m")
        found["", "export", utc(stamp)] = (KILO * (number(back1) + number(back2)), "m")
    return found


def e_redes(content: bytes) -> Found:
    """A workbook without its library: mean kW of a quarter hour, named by its end."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows = [["".join(cell.itertext()) for cell in row.iter(f"{space}c")] for row in sheet.iter(f"{space}row")]
    order, found = InOrder("Europe/Lisbon"), Found()
    for home, day, time, kw, state in (row for row in rows if len(row) == 5 and row[1][:2] == "20"):
        end = order.utc(datetime.strptime(f"{day} {time}", "%Y/%m/%d %H:%M"))
        flag = "e" if state == "Estimada" else "m"
        found[home, "import", end - timedelta(minutes=15)] = (KILO * number(kw) / 4, flag)
    return found


def enphase(text: str) -> Found:
    order, found = InOrder("America/New_York"), Found()
    for stamp, _produced, _consumed, exported, imported in rows_of(text)[1:]:
        start = order.utc(datetime.strptime(stamp, "%m/%d/%Y %H:%M"))
        found["", "import", start] = (number(imported), "m")
        found["", "export", start] = (number(exported), "m")
    return found


def datadis(text: str) -> Found:
    """Hours are named by their end, 01:00 to 24:00."""
    order, found = InOrder("Europe/Madrid"), Found()
    for home, day, hour, taken, method, given, *_ in rows_of(text, ";")[1:]:
        end = datetime.strptime(day, "%Y/%m/%d") + timedelta(hours=int(hour[:2]))
        start = order.utc(end) - timedelta(hours=1)
        flag = "e" if method == "Estimada" else "m"
        found[home, "import", start] = (KILO * number(taken), flag)
        found[home, "export", start] = (KILO * number(given), flag)
    return found


def eloverblik(text: str) -> Found:
    orders = {"D07": InOrder("Europe/Copenhagen"), "D06": InOrder("Europe/Copenhagen")}
    found: Found = {}
    for home, begin, _, amount, _, quality, _, code, _ in rows_of(text, ";")[1:]:
        start = orders[code].utc(datetime.strptime(begin, "%d-%m-%Y %H:%M:%S"))
        flag = "e" if quality == "Estimeret" else "m"
        found[home, "import" if code == "D07" else "export", start] = (KILO * number(amount), flag)
    return found


def enedis(text: str) -> Found:
    """Mean watts of half hours, each named by its start as the user says; a row may come again."""
    found: Found = {}
    for stamp, watts in (row for row in rows_of(text, ";") if len(row) == 2 and row[0][:2] == "20"):
        found["", "import", utc(stamp)] = (number(watts) / 2, "m") if watts else MISSING
    return found


def solaredge(text: str) -> Found:
    """Each date ends in the name and the offset of its clock; null is missing."""
    registers = {"Purchased": "import", "FeedIn": "export"}
    return {
        ("", registers[meter["type"]], utc(f"{row['date'][:19]}{row['date'][-5:]}")): (
            MISSING if row["value"] is None else (Decimal(str(row["value"])), "m")
        )
        for meter in json.loads(text)["energyDetails"]["meters"]
        if meter["type"] in registers
        for row in meter["values"]
    }


def homes_of(found: Iterable[tuple[str, str, datetime]]) -> list[str]:
    """Homes in the order of the file."""
    return list(dict.fromkeys(home for home, _, _ in found))
