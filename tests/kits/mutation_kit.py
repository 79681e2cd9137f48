"""Meter files that are changed in one way each, and which readings of each are right.

A reading of a changed file is right where it is what the changed file says; a file that is asked about or refused is
honest. Any other reading is a silent wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.readings import ESTIMATED, MISSING, MeterData
from market.units import IntArray
from tests.kits.fixture_kit import Fixture

SEPARATORS = (";", "\t", "|", ",")
NUMBER = re.compile(r"^\s*-?\d+([.,]\d+)?\s*$")
FRACTION = re.compile(r"^\s*-?\d+[.,]\d+\s*$")
UNIT = re.compile(r"\b([kM]?Wh?)\b", re.IGNORECASE)
OTHER_UNIT = {"kwh": "MWh", "wh": "kWh", "mwh": "kWh", "kw": "kWh", "w": "Wh"}

Accepts = Callable[[Fixture, MeterData], bool]


@dataclass(frozen=True)
class Mutant:
    """A changed file.

    Args:
        name: What was changed.
        content: All bytes.
        accepts: Whether a reading without errors is what the changed file says.
    """

    name: str
    content: bytes
    accepts: Accepts


def unchanged(fixture: Fixture, data: MeterData) -> bool:
    """The change has no meaning: the reading is that of the file before."""
    homes = tuple(fixture.said["expected"]["homes"])
    numbered = tuple(f"home-{number}" for number in range(1, len(homes) + 1))
    if data.households == numbered or [*map(str.casefold, data.households)] == [*map(str.casefold, homes)]:
        data = replace(data, households=homes)  # energy counts, and not how its home is called
    try:
        fixture.assert_holds(data)
    except AssertionError:
        return False
    return True


def never(_fixture: Fixture, _data: MeterData) -> bool:
    """No reading of it is right."""
    return False


def scaled(factor: float) -> Accepts:
    """Every energy is that many times the energy before, within the rounding of each."""

    def accepts(fixture: Fixture, data: MeterData) -> bool:
        for name, home in _homes(fixture, data):
            for column, wh in home.items():
                if len(wh) != data.intervals:
                    return False
                # What was rounded before the factor was at most 1 Wh in all.
                if not np.allclose(_column(data, column)[:, name], np.array(wh) * factor, atol=1 + factor):
                    return False
        return True

    return accepts


def same_or_missing(fixture: Fixture, data: MeterData) -> bool:
    """Rows were lost: what is left is as before, what is lost is missing, or zero where the format leaves out zeros."""
    start = int(fixture.said["expected"]["start"].timestamp())
    step = fixture.said["expected"]["minutes"] * 60
    if data.minutes * 60 != step or (data.start_s - start) % step:
        return False
    first = (data.start_s - start) // step
    for h, home in _homes(fixture, data):
        for column, wh in home.items():
            for t in range(data.intervals):
                before = wh[first + t] if 0 <= first + t < len(wh) else None
                now = int(_column(data, column)[t, h])
                zero = now == 0 and fixture.said.get("omitted") == "zero"
                lost = zero or data.quality[t, h] == MISSING
                if now != before and not lost:
                    return False
    return True


def swapped(fixture: Fixture, data: MeterData) -> bool:
    """Import and export changed places."""
    return unchanged(fixture, replace(data, import_wh=data.export_wh, export_wh=data.import_wh))


def same_flows(fixture: Fixture, data: MeterData) -> bool:
    """Every interval has the sum of both directions that it had."""
    for h, home in enumerate(fixture.said["expected"]["homes"].values()):
        zeros = [0] * data.intervals
        before = np.array(home.get("import_wh", zeros)) + np.array(home.get("export_wh", zeros))
        if not np.array_equal((data.import_wh + data.export_wh)[:, h], before):
            return False
    return True


def coarser(fixture: Fixture, data: MeterData) -> bool:
    """Counters in longer steps: each has the energy of all steps that it spans."""
    wanted = fixture.said["expected"]
    times, begin_s = data.minutes // wanted["minutes"], int(wanted["start"].timestamp())
    if times < 2 or data.start_s != begin_s:
        return False
    for h, home in enumerate(wanted["homes"].values()):
        for name, energy in (("import_wh", data.import_wh), ("export_wh", data.export_wh)):
            wh = home.get(name, [0] * (data.intervals * times))
            if energy[:, h].tolist() != [sum(wh[t : t + times]) for t in range(0, len(wh), times)]:
                return False
    return True


def estimated(fixture: Fixture, data: MeterData) -> bool:
    """What is other than before is marked as estimated, and no energy is lost by it."""
    wanted = fixture.said["expected"]
    begun = (data.minutes, data.start_s) == (wanted["minutes"], int(wanted["start"].timestamp()))
    for h, home in enumerate(wanted["homes"].values()):
        for name, energy in (("import_wh", data.import_wh), ("export_wh", data.export_wh)):
            now = energy[:, h]
            before = np.array(home.get(name, [0] * data.intervals))
            if not begun or len(before) != len(now) or before.sum() != now.sum():
                return False
            if (data.quality[:, h][before != now] != ESTIMATED).any():
                return False
    return True


def _homes(fixture: Fixture, data: MeterData) -> Iterator[tuple[int, Mapping[str, list[int]]]]:
    homes = fixture.said["expected"]["homes"]
    for h, name in enumerate(data.households):
        home = homes.get(name, {})
        yield h, {column: wh for column, wh in home.items() if column != "quality"}


def _column(data: MeterData, column: str) -> IntArray:
    name = column.removesuffix("_wh")
    if name in ("import", "export"):
        return data.import_wh if name == "import" else data.export_wh
    return data.sub_meters.get(name, np.full_like(data.import_wh, -1))  # a lost column is no column of zeros


@dataclass(frozen=True)
class _Table:
    lines: list[str]
    separator: str
    header: int
    width: int

    def cells(self, line: int) -> list[str]:
        return self.lines[line].split(self.separator)

    def with_line(self, line: int, text: str | None) -> str:
        kept = [*self.lines[:line], *([] if text is None else [text]), *self.lines[line + 1 :]]
        return "\n".join(kept)

    @property
    def rows(self) -> list[int]:
        return [
            i
            for i in range(self.header + 1, len(self.lines))
            if self.lines[i].count(self.separator) + 1 >= self.width and self.lines[i].strip()
        ]


def _table(text: str) -> _Table | None:
    lines = text.replace("\r\n", "\n").split("\n")
    for separator in SEPARATORS:
        counts = [line.count(separator) for line in lines if line.strip()]
        if len(counts) < 4:
            return None
        usual = max(set(counts), key=counts.count)
        if usual >= 1 and counts.count(usual) >= 0.6 * len(counts):
            header = next(i for i, line in enumerate(lines) if line.count(separator) == usual)
            return _Table(lines, separator, header, usual + 1)
    return None


Reads = Callable[[bytes], MeterData | None]


def mutants(fixture: Fixture, reads: Reads) -> Iterator[Mutant]:
    """All changes that can be made to a text file with rows; nothing for other files.

    A fixture with `rows = "registers"` has a row for each register and day, or for each issue of it: without a row it
    is a smaller file and no wrong one.

    Args:
        reads: Reads a changed file, to find a row whose numbers count.
    """
    raw = fixture.path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    table = _table(text)
    if table is None or len(table.rows) < 4 or text.lstrip()[:1] in "<{[/":
        return
    counts = next((row for row in table.rows[1:] if _counts(fixture, table, row, reads)), None)
    yield from _of_bytes(text)
    yield from _of_rows(fixture, table, counts)
    yield from _of_columns(table)
    yield from _of_numbers(table, counts)


def _counts(fixture: Fixture, table: _Table, row: int, reads: Reads) -> bool:
    """Whether other numbers in a row give another reading, or none."""
    data = reads(table.with_line(row, _other_numbers(table, row)).encode())
    return data is None or not unchanged(fixture, data)


def _other_numbers(table: _Table, row: int) -> str:
    """A row whose decimal numbers are others of the same length."""
    cells = [
        re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), cell, count=1)
        if FRACTION.match(_bare(cell))
        else cell
        for cell in table.cells(row)
    ]
    return table.separator.join(cells)


def _of_bytes(text: str) -> Iterator[Mutant]:
    for encoding in ("utf-8-sig", "utf-16", "cp1252", "latin-1", "cp850"):
        try:
            yield Mutant(f"encoded as {encoding}", text.encode(encoding), unchanged)
        except UnicodeEncodeError:
            continue
    yield Mutant(
        "lines end as on Windows", text.replace("\r\n", "\n").replace("\n", "\r\n").encode(), unchanged
    )
    yield Mutant("lines end in CR", text.replace("\r\n", "\n").replace("\n", "\r").encode(), unchanged)
    yield Mutant("blank lines at the end", (text + "\n\n\n").encode(), unchanged)
    yield Mutant(
        "a NUL byte in the middle",
        text.encode()[: len(text) // 2] + b"\0" + text.encode()[len(text) // 2 :],
        unchanged,
    )


def _of_rows(fixture: Fixture, table: _Table, counts: int | None) -> Iterator[Mutant]:
    rows = table.rows
    middle = rows[len(rows) // 2]
    lines = table.lines
    yield Mutant(
        "a row repeated", table.with_line(middle, f"{lines[middle]}\n{lines[middle]}").encode(), unchanged
    )
    lost = {"a row": middle, "the first row": rows[0], "the last row": rows[-1]}
    for name, row in lost.items() if fixture.said.get("rows") != "registers" else ():
        yield Mutant(f"{name} lost", table.with_line(row, None).encode(), same_or_missing)
    yield Mutant(
        "the header repeated below",
        table.with_line(middle, f"{lines[table.header]}\n{lines[middle]}").encode(),
        unchanged,
    )
    for words in ("Total", "Summe", "Gesamt;"):
        footer = table.separator.join([words, *([""] * (table.width - 2)), "12345"])
        yield Mutant(
            f"a footer of {words}", ("\n".join(lines).rstrip("\n") + f"\n{footer}\n").encode(), unchanged
        )
    cut = lines[rows[-1]][: max(1, len(lines[rows[-1]]) // 3)]
    yield Mutant("the last row cut", "\n".join([*lines[: rows[-1]], cut]).encode(), same_or_missing)
    if counts is not None:
        both = f"{_other_numbers(table, counts)}\n{lines[counts]}"
        yield Mutant(
            "a row again with another value", table.with_line(counts, both).encode(), same_or_missing
        )


def _of_columns(table: _Table) -> Iterator[Mutant]:
    names = table.cells(table.header)
    if any(NUMBER.match(_bare(name)) for name in names):
        return  # no header
    order = [*range(1, len(names)), 0]

    def moved(line: str) -> str:
        cells = line.split(table.separator)
        return table.separator.join(cells[i] for i in order) if len(cells) == len(order) else line

    whole = [moved(line) if i >= table.header else line for i, line in enumerate(table.lines)]
    yield Mutant("the first column moved to the end", "\n".join(whole).encode(), unchanged)
    for i, name in enumerate(names):
        renamed = [*names[:i], f"{_bare(name)}x", *names[i + 1 :]]
        text = table.with_line(table.header, table.separator.join(renamed))
        yield Mutant(f"column {i + 1} renamed", text.encode(), unchanged)
        empty = [*names[:i], "", *names[i + 1 :]]
        yield Mutant(
            f"column {i + 1} without a name",
            table.with_line(table.header, table.separator.join(empty)).encode(),
            unchanged,
        )
        unit = UNIT.search(name)
        if unit:
            for other in ("kWh", "Wh", "MWh", "kW", "W", ""):
                if other.lower() != unit[1].lower():
                    changed = [*names[:i], name[: unit.start()] + other + name[unit.end() :], *names[i + 1 :]]
                    text = table.with_line(table.header, table.separator.join(changed))
                    yield Mutant(f"column {i + 1} in {other or 'no unit'}", text.encode(), in_other_unit)
    upper = table.with_line(table.header, table.lines[table.header].upper())
    yield Mutant("the header in capitals", upper.encode(), _but_for_capitals)


def _but_for_capitals(fixture: Fixture, data: MeterData) -> bool:
    """As before, but that a header may hold the names of homes."""
    return unchanged(fixture, replace(data, households=tuple(name.lower() for name in data.households)))


def in_other_unit(fixture: Fixture, data: MeterData) -> bool:
    """Some columns count otherwise now; those read in another unit differ by a power of 10 or by the interval."""
    hour = 60 / data.minutes
    factors = {f * p for f in (1e-6, 1e-3, 1.0, 1e3, 1e6) for p in (1.0, hour, 1 / hour)} - {1.0}
    for h, home in _homes(fixture, data):
        for column, wh in home.items():
            now, before = _column(data, column)[:, h], np.array(wh)
            if len(now) != len(before):
                return False
            if before.sum() == 0 or np.array_equal(now, before):
                continue
            if not any(np.allclose(now, before * f, atol=1 + f) for f in factors):
                return False
    return not unchanged(fixture, data) or not any(
        sum(wh) for _, home in _homes(fixture, data) for wh in home.values()
    )


def _of_numbers(table: _Table, counts: int | None) -> Iterator[Mutant]:
    rows = table.rows

    def each(change: Callable[[str], str], only: set[int] | None = None) -> bytes:
        lines = list(table.lines)
        for row in rows if only is None else only:
            lines[row] = table.separator.join(
                change(cell) if FRACTION.match(_bare(cell)) else cell for cell in table.cells(row)
            )
        return "\n".join(lines).encode()

    if counts is None:
        return
    swap = str.maketrans(".,", ",.")
    if table.separator != ",":
        yield Mutant("the other decimal sign", each(lambda cell: cell.translate(swap)), unchanged)
        yield Mutant(
            "the other decimal sign in one row", each(lambda cell: cell.translate(swap), {counts}), unchanged
        )
    yield Mutant("numbers in quotes", each(lambda cell: f'"{_bare(cell)}"'), unchanged)
    yield Mutant("blanks around numbers", each(lambda cell: f" {cell} "), unchanged)
    yield Mutant("a unit behind numbers", each(lambda cell: f"{cell} MWh"), scaled(1000.0))
    yield Mutant("text in a number", each(lambda cell: f"{cell}?", {counts}), never)
    yield Mutant(
        "a stray minus",
        each(lambda cell: f"-{cell}" if not cell.strip().startswith("-") else cell, {counts}),
        never_but_net,
    )
    yield Mutant("a thousand times in one row", each(lambda cell: f"{cell}e9", {counts}), unchanged)


def never_but_net(fixture: Fixture, data: MeterData) -> bool:
    """A minus is wrong but where values are nets, or the minus stands at a zero or at a value that is not read."""
    return bool(fixture.said.get("signed")) or unchanged(fixture, data)


def _bare(cell: str) -> str:
    return cell.strip().strip('"')
