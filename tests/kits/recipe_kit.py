"""Recipes for tests, and what they make of a text or a workbook."""

from __future__ import annotations

from pathlib import Path

from data.formats import FileReading, Format, read
from data.formats.tables import format_of
from data.intake.raw import Hints
from data.recipes.toml import recipe_from_toml

SIMPLE = """
contract = 1
title = "t"
about = "a"
{top}
[file]
{file}
[columns]
time = "time"
energy = "energy"
{columns}
[stamp]
column = "time"
is = "start"
{stamp}
[[value]]
column = "energy"
unit = "kWh"
channel = "import"
{value}
"""

UTC = Hints(zone="UTC")


def own(**parts: str) -> Format:
    """The simple recipe, with lines added to its tables; `instead` replaces all of it."""
    lines = {"top": "", "file": "", "columns": "", "stamp": "", "value": ""} | parts
    return format_of("own", recipe_from_toml(lines.pop("instead", SIMPLE).format_map(lines)))


def given(path: Path, content: str | bytes) -> Path:
    """Write a file as it stands."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def imported(reading: FileReading, home: int = 0) -> list[int]:
    """Energy taken by a home. [Wh]"""
    assert reading.data is not None, [str(finding) for finding in reading.findings]
    column: list[int] = reading.data.import_wh[:, home].tolist()
    return column


def codes(reading: FileReading) -> set[str]:
    """Codes of all errors."""
    return {finding.code for finding in reading.findings if finding.severity == "error"}


def try_text(path: Path, content: str | bytes, format: Format, hints: Hints = UTC) -> FileReading:
    """Read a text by a recipe."""
    return read(given(path, content), format, hints)
