"""Small plain meter files, and what a check of them reports."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from data.formats import CheckReport

HEADER = "timestamp,household,import_kwh,export_kwh\n"

START = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp())


def stamp(quarter: int) -> str:
    return datetime.fromtimestamp(START + quarter * 900, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rows(*energies: str, home: str = "a") -> list[str]:
    """One row a quarter hour; each energy is `import,export`."""
    return [f"{stamp(i)},{home},{energy}" for i, energy in enumerate(energies)]


def write(folder: Path, lines: list[str], header: str = HEADER, name: str = "meter.csv") -> Path:
    path = folder / name
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def found(report: CheckReport, code: str) -> list[tuple[str, int | None, str | None]]:
    return [(f.severity, f.line, f.household) for f in report.findings if f.code == code]


TEN = ["0.1,0", "0.2,0", "0,0.3", "0.4,0", "0.1,0", "0.2,0", "0.3,0", "0.1,0", "0.2,0", "0.1,0"]


def bad(row: int, text: str) -> list[str]:
    lines = rows(*TEN)
    lines[row] = text
    return lines
