"""Readers of meter formats, each beside the least that a library needs for the same, in one run and in turn.

`espi`: a Green Button feed of hours in blocks of a day, read into columns of rows as the intake takes them; beside it a
loop over `defusedxml.ElementTree.iterparse` that takes the same numbers and clears what it has seen.
`espi-memory`: peak of the resident memory of a process that reads feeds of three sizes, up to about one GB.

Usage: python -m benchmarks.meter_formats [--json] [PART ...]; without a part `espi`, which takes half a minute.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from data.formats import FORMATS
from data.intake.file import MeterFile
from data.intake.raw import Hints, IntakeLog, RawReadings

DAYS = 3_650
ROUNDS = 7
MEMORY_DAYS = (48_000, 96_000, 192_000)
START_S = 1_293_868_800
SPACE = "{http://naesb.org/espi}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are named, and print a table or one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("part", nargs="*", choices=[*PARTS, []], default=[])
    options.add_argument("--json", action="store_true")
    given = options.parse_args(arguments)
    found = {part: PARTS[part]() for part in given.part or ["espi"]}
    if given.json:
        print(json.dumps(found))
        return
    for part, rows in found.items():
        for row in rows:
            print(
                f"{part:12} " + "  ".join(f"{name} {value:,.2f}" for name, value in row.items()), flush=True
            )


def espi() -> list[dict[str, float]]:
    """Seconds of both readers, and how many times faster ours is: the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.xml"
        write_feed(path, DAYS)
        times: dict[Callable[[Path], float], list[float]] = {ours: [], bare: []}
        sums = set()
        for _ in range(ROUNDS):
            for reader, taken in times.items():
                begin = time.perf_counter()
                sums.add(reader(path))
                taken.append(time.perf_counter() - begin)
        if len(sums) > 1:
            raise SystemExit(f"the readers disagree: {sorted(sums)}")
        ratios = [b / a for a, b in zip(times[ours], times[bare], strict=True)]
        row = {"MB": path.stat().st_size / 1e6, "ours_s": min(times[ours]), "iterparse_s": min(times[bare])}
        return [{**row, "times_faster": median(ratios)}]


def espi_memory() -> list[dict[str, float]]:
    """MB of feeds, and of the resident memory at its peak of a process that read nothing else."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for days in MEMORY_DAYS:
            path = Path(folder) / "feed.xml"
            write_feed(path, days)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                peak_mb = process.submit(peak_of, path).result()
            rows.append({"MB": path.stat().st_size / 1e6, "peak_MB": peak_mb})
    return rows


PARTS: dict[str, Callable[[], list[dict[str, float]]]] = {"espi": espi, "espi-memory": espi_memory}


def peak_of(path: Path) -> float:
    """Read a feed, and return the peak of this process. [MB]"""
    ours(path)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def ours(path: Path) -> float:
    """Sum of the values, by the project's reader."""
    log, total = IntakeLog(), 0.0
    for chunk in FORMATS.get("espi").parse(MeterFile(path), Hints(), log):
        assert isinstance(chunk, RawReadings)
        total += sum(float(column.values.sum()) for column in chunk.values.values())
    return total


def bare(path: Path) -> float:
    """Sum of the values, by a loop over the elements; start and duration of each reading are taken as well."""
    from defusedxml.ElementTree import iterparse

    rows: list[tuple[int, int, float]] = []
    for _, element in iterparse(path, forbid_dtd=True):
        if element.tag == f"{SPACE}IntervalReading":
            period: Any = element.find(f"{SPACE}timePeriod")
            start, duration = period.find(f"{SPACE}start").text, period.find(f"{SPACE}duration").text
            rows.append((int(start), int(duration), float(element.find(f"{SPACE}value").text)))
            element.clear()
    return sum(value for _, _, value in rows)


def write_feed(path: Path, days: int, homes: int = 1) -> None:
    """Write a feed of homes, indented as utilities do, a day in each block."""
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n')
        for home in range(1, homes + 1):
            own = f"/User/1/UsagePoint/{home}"
            file.write(
                f'<entry><link rel="self" href="{own}"/><link rel="related" href="{own}/MeterReading"/><content>'
                '<UsagePoint xmlns="http://naesb.org/espi"><ServiceCategory><kind>0</kind></ServiceCategory>'
                f'</UsagePoint></content></entry>\n<entry><link rel="self" href="{own}/MeterReading/1"/>'
                '<link rel="related" href="/ReadingType/1"/>'
                '<content><MeterReading xmlns="http://naesb.org/espi"/></content></entry>\n'
            )
        file.write(
            '<entry><link rel="self" href="/ReadingType/1"/><content><ReadingType xmlns="http://naesb.org/espi">'
            "<accumulationBehaviour>4</accumulationBehaviour><flowDirection>1</flowDirection>"
            "<intervalLength>3600</intervalLength><powerOfTenMultiplier>0</powerOfTenMultiplier><uom>72</uom>"
            "</ReadingType></content></entry>\n"
        )
        for home in range(1, homes + 1):
            for day in range(days):
                file.write(_block(f"/User/1/UsagePoint/{home}", day))
        file.write("</feed>\n")


def _block(own: str, day: int) -> str:
    readings = "".join(
        "        <IntervalReading>\n          <timePeriod>\n            <duration>3600</duration>\n"
        f"            <start>{START_S + (day * 24 + hour) * 3600}</start>\n          </timePeriod>\n"
        f"          <value>{(day * 7 + hour * 31) % 2_000}</value>\n        </IntervalReading>\n"
        for hour in range(24)
    )
    return (
        f'  <entry>\n    <link rel="self" href="{own}/MeterReading/1/IntervalBlock/{day}"/>\n'
        f'    <link rel="up" href="{own}/MeterReading/1/IntervalBlock"/>\n    <content>\n'
        '      <IntervalBlock xmlns="http://naesb.org/espi">\n'
        "        <interval>\n          <duration>86400</duration>\n"
        f"          <start>{START_S + day * 86_400}</start>\n        </interval>\n{readings}"
        "      </IntervalBlock>\n    </content>\n    <updated>2026-01-05T00:00:00Z</updated>\n  </entry>\n"
    )


if __name__ == "__main__":
    main()
