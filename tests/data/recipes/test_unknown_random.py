"""Drawn tables of no known format are read right, asked about or refused; with every answer given they are right."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data.formats import FORMATS, FileReading, read
from data.intake.raw import Hints
from data.readings import MeterData

TABLES = 150
NAMES = {
    "import": (
        "Netzbezug",
        "Grid import",
        "Afname",
        "Energia prelevata dalla rete",
        "Consumption",
        "Verbrauch",
        "Wert",
    ),
    "export": (
        "Netzeinspeisung",
        "Grid export",
        "Injectie",
        "Energia immessa in rete",
        "Feed-in",
        "Production",
    ),
    "ignore": ("Kosten (EUR)", "Temperatura", "Voltage (V)", "Gas (m3)", "Blindarbeit (kvarh)"),
}
WH_OF_ONE = {"kWh": 1000.0, "Wh": 1.0, "W": 0.25, "kW": 250.0, None: 1000.0}
"""Energy in a quarter of an hour; a table that names no unit has kWh. [Wh]"""


@dataclass(frozen=True)
class Drawn:
    """A table, what it holds and all that could be asked of it."""

    path: Path
    energy: dict[str, list[int]]
    start: datetime
    answers: Hints

    def agrees(self, data: MeterData) -> bool:
        """Whether every integer and the first interval are right."""
        given = self.energy["export"] or [0] * data.intervals
        taken, there = data.import_wh[:, 0].tolist(), data.export_wh[:, 0].tolist()
        return (taken, there, data.start_s) == (self.energy["import"], given, int(self.start.timestamp()))

    def reading(self, hints: Hints) -> FileReading:
        return read(self.path, FORMATS.get("generic"), hints)


def drawn(folder: Path, seed: int) -> Drawn:
    rng = random.Random(seed)
    separator, decimal = rng.choice(";\t|,"), rng.choice(".,")
    unit, form = rng.choice(list(WH_OF_ONE)), rng.choice((" ({})", " [{}]", "_{}"))
    kinds = [
        "import",
        *(["export"] if rng.random() < 0.7 else []),
        *(["ignore"] if rng.random() < 0.5 else []),
    ]
    rng.shuffle(kinds)
    header = {
        kind: rng.choice(NAMES[kind]) + (form.format(unit) if unit and kind != "ignore" else "")
        for kind in kinds
    }
    layout, dates = rng.choice(
        (("%d.%m.%Y", "dmy"), ("%d/%m/%Y", "dmy"), ("%m/%d/%Y", "mdy"), ("%Y-%m-%d", None))
    )
    start = datetime(2026, rng.choice((1, 2, 6)), rng.choice((1, 5, 13, 20)), tzinfo=UTC)
    ends = rng.random() < 0.5
    energy: dict[str, list[int]] = {"import": [], "export": []}
    rows = [["Zeit", *header.values()]]
    for t in range(rng.choice((8, 40, 200))):
        stamp = start + timedelta(minutes=15 * (t + ends))
        row = [stamp.strftime(f"{layout} %H:%M")]
        for kind in kinds:
            wh = 0 if kind == "export" and rng.random() < 0.5 else rng.randrange(1, 900)
            energy.setdefault(kind, []).append(wh)
            row.append(f"{wh / WH_OF_ONE[unit]:.6f}".rstrip("0").rstrip(".").replace(".", decimal))
        rows.append(row)
    path = folder / f"meter-{seed}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    answers = Hints(
        zone="UTC",
        stamp="end" if ends else "start",
        kind="power" if unit in ("W", "kW") else "energy",
        unit="kWh",
        dates=dates,  # type: ignore[arg-type]
        channels={header[kind]: kind for kind in kinds},
    )
    return Drawn(path, energy, start, answers)


def test_no_table_is_misread_and_every_one_is_read_with_its_answers(tmp_path: Path) -> None:
    count = {"right": 0, "asked": 0, "refused": 0, "wrong": 0}
    for seed in range(TABLES):
        table = drawn(tmp_path, seed)
        few = Hints(zone="UTC", stamp=table.answers.stamp, yes=seed % 2 == 0)
        reading = table.reading(few)
        if reading.data is not None:
            count["right" if table.agrees(reading.data) else "wrong"] += 1
        else:
            count["asked" if reading.questions else "refused"] += 1
        answered = table.reading(table.answers)
        assert answered.data is not None, (seed, [str(finding) for finding in answered.findings])
        assert table.agrees(answered.data), seed
        without = table.reading(replace(table.answers, zone=None))
        assert without.data is None, seed
    print(count)
    assert count["wrong"] == 0
    assert count["right"] > 0 < count["asked"]
