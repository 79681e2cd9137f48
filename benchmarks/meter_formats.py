"""Readers of meter formats (Green Button, NEM12, EIEP3, MSCONS, P1 logs): CPU of the parser and of the whole intake.

Beside each stands the least that reads the same text: a loop that splits it and makes numbers of the values. `faster`
is how many times less CPU the parser takes than that loop, the median of rounds in which the readers take turns.

Usage: python -m benchmarks.meter_formats [--json] [--memory] [CASE ...]; `--memory` reads Green Button feeds of three
sizes, up to about one GB, each in a process of its own, and states the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.feeds import feed
from benchmarks.meter_memory import in_own_process
from data import formats
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings

ROUNDS = 5
BEGIN = datetime(2021, 10, 1)
MEMORY_DAYS = (48_000, 96_000, 192_000)
SPACE = "{http://naesb.org/espi}"


@dataclass(frozen=True, slots=True)
class Case:
    """A file to be read.

    Args:
        lines: Yields its text.
        bare: Reads the text at the least, and returns how many values it found.
        kind: What the numbers are, where they have to be said not to be a counter; None for the counters of telegrams,
            of which the parser takes no more than it needs.
    """

    lines: Callable[[], Iterator[str]]
    bare: Callable[[Path], int]
    kind: formats.SaidKind | None = "energy"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the cases that are named, or all, and print a table or one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("case", nargs="*", choices=[*CASES, []], default=[])
    options.add_argument("--json", action="store_true")
    options.add_argument("--memory", action="store_true")
    given = options.parse_args(arguments)
    if given.memory:
        found = {f"espi, {days:,} days": peak_of(days) for days in MEMORY_DAYS}
    else:
        found = {name: measured(CASES[name]) for name in given.case or CASES}
    if given.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(f"{name:34} " + "  ".join(f"{key} {value:,.2f}" for key, value in row.items()), flush=True)


def measured(case: Case) -> dict[str, float]:
    """Seconds of CPU, the least of several rounds that take turns."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(case.lines(), folder)
        rows = parsed(path)
        if case.kind is not None and case.bare(path) != rows:
            raise SystemExit(f"the readers disagree: {case.bare(path)} values, and {rows} rows")
        times: dict[str, list[float]] = {}
        readers = (
            ("bare_s", case.bare),
            ("parse_s", parsed),
            ("whole_s", lambda path: formats.load(path, kind=case.kind).intervals),
        )
        for _ in range(ROUNDS):
            for name, work in readers:
                begin = time.process_time()
                work(path)
                times.setdefault(name, []).append(time.process_time() - begin)
        faster = median(b / p for b, p in zip(times["bare_s"], times["parse_s"], strict=True))
        least = {name: min(taken) for name, taken in times.items()}
        return {"MB": path.stat().st_size / 1e6, "rows": rows, **least, "faster": faster}


def peak_of(days: int) -> dict[str, float]:
    """MB of a feed, and of the resident memory at its peak of a process that reads nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(feed(days), folder)
        return {"MB": path.stat().st_size / 1e6, "peak_MB": in_own_process(parsed, path)["peak_mb"]}


def written(text: Iterator[str], folder: str) -> Path:
    """A file of a text that may be larger than the memory."""
    path = Path(folder) / "readings.txt"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(text)
    return path


def parsed(path: Path) -> int:
    """Run the parser alone, and return its rows."""
    log = IntakeLog()
    chunks = formats.recognise(path).parse(MeterFile(path), Hints(), log)
    return sum(len(chunk.line) for chunk in chunks if isinstance(chunk, RawReadings))


def feed_bare(path: Path) -> int:
    """Take start, duration and value of each element, and clear what was seen."""
    from defusedxml.ElementTree import iterparse

    rows: list[tuple[int, int, float]] = []
    for _, element in iterparse(path, forbid_dtd=True):
        if element.tag == f"{SPACE}IntervalReading":
            period: Any = element.find(f"{SPACE}timePeriod")
            start, duration = period.find(f"{SPACE}start").text, period.find(f"{SPACE}duration").text
            rows.append((int(start), int(duration), float(element.find(f"{SPACE}value").text)))
            element.clear()
    return len(rows)


def nem12() -> Iterator[str]:
    """One NMI, three years of five minutes."""
    yield "100,NEM12,202410010000,MDP1,RET1\n200,NMI1234567,E1,E1,E1,,S1,kWh,5,\n"
    for d in range(3 * 365):
        day = BEGIN + timedelta(days=d)
        values = ",".join(f"{(i * 37 + d) % 200 / 1000:.3f}" for i in range(288))
        yield f"300,{day:%Y%m%d},{values},A,,,{day:%Y%m%d}235900,\n"
    yield "900\n"


def nem12_bare(path: Path) -> int:
    """Split each row and make numbers of its values."""
    count = 0
    with path.open() as file:
        for line in file:
            if line.startswith("300"):
                count += len(list(map(float, line.split(",")[2:290])))
    return count


def eiep3() -> Iterator[str]:
    """Twenty ICPs, half a year of half hours."""
    days = [BEGIN + timedelta(days=30 + d) for d in range(150)]
    yield f"HDR,ICPHH,11.0,A,B,C,25/10/2019,10:04:24,1,{20 * len(days) * 48},201910,E,R\n"
    for icp in range(20):
        for day in days:
            for period in range(48):
                kwh = f"{(period * 37 + day.day) % 900 / 1000:.3f}"
                yield f"DET,{icp:010d}AAAAA,M1,F,{day:%d/%m/%Y},{period + 1},{kwh},,,X,\n"


def eiep3_bare(path: Path) -> int:
    """Split each row and make a number of its value."""
    with path.open() as file:
        return len([float(line.split(",")[6]) for line in file if line.startswith("DET")])


def mscons() -> Iterator[str]:
    """Four locations, a year of quarter hours, on one line."""
    yield "UNA:+.? 'UNB+UNOC:3'UNH+1+MSCONS:D:04B:UN:2.4c'"
    count = 2
    for place in range(4):
        yield f"LOC+172+DE{place:031d}'LIN+1'PIA+5+1-1?:1.29.0:SRW'"
        count += 3 + 3 * 35_040
        for i in range(35_040):
            start, end = (BEGIN + timedelta(minutes=15 * k) for k in (i, i + 1))
            yield f"QTY+220:{i * 37 % 900 / 1000:.3f}'DTM+163:{start:%Y%m%d%H%M}?+00:303'"
            yield f"DTM+164:{end:%Y%m%d%H%M}?+00:303'"
    yield f"UNT+{count}+1'UNZ+1+R'"


def mscons_bare(path: Path) -> int:
    """Split into segments and make a number of each quantity."""
    parts = path.read_text().split("'")
    return len([float(part[8:]) for part in parts if part.startswith("QTY")])


def p1() -> Iterator[str]:
    """A week of telegrams every ten seconds."""
    for i in range(7 * 8_640):
        local = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=10 * i)
        yield (
            f"/ISk5\\2MT382-1000\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0({local:%y%m%d%H%M%S}W)\r\n0-0:96.1.1(4B38)\r\n"
            f"1-0:1.8.1({1000 + i / 1000:010.3f}*kWh)\r\n1-0:1.8.2(000002.399*kWh)\r\n1-0:2.8.1(000002.444*kWh)\r\n"
            "1-0:2.8.2(000000.000*kWh)\r\n0-0:96.14.0(0002)\r\n1-0:1.7.0(00.244*kW)\r\n1-0:2.7.0(00.000*kW)\r\n"
            "0-1:24.2.1(170102161005W)(00000.107*m3)\r\n!\r\n"
        )


def p1_bare(path: Path) -> int:
    """Find the registers of each telegram and make numbers of them."""
    with path.open() as file:
        return len([float(line[10:20]) for line in file if line.startswith(("1-0:1.8.", "1-0:2.8."))])


CASES = {
    "espi, 1 home x 10 years of hours": Case(feed, feed_bare),
    "nem12, 1 NMI x 3 years x 5 min": Case(nem12, nem12_bare),
    "eiep3, 20 ICPs x 150 days": Case(eiep3, eiep3_bare),
    "mscons, 4 locations x 1 year": Case(mscons, mscons_bare),
    "dsmr_p1, 1 week every 10 s": Case(p1, p1_bare, None),
}

if __name__ == "__main__":
    main()
