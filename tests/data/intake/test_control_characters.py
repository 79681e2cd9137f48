"""A name that a terminal would obey is refused where the data are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.formats import check


def findings_of(name: str, folder: Path) -> list[str]:
    rows = ["timestamp,household,import_kwh,export_kwh"]
    rows += [f"2026-06-01T{hour:02}:00Z,{name},0.1,0" for hour in range(4)]
    path = folder / "meter.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [str(finding) for finding in check(path).findings if finding.code == "control_character"]


@pytest.mark.parametrize("name", ["\x1b]0;pwn\x07h", "a\x9b31m", "a\u202eb"])
def test_a_control_character_in_a_name_is_an_error_and_shown_escaped(name: str, tmp_path: Path) -> None:
    (told,) = findings_of(name, tmp_path)
    assert told.startswith("error")
    assert told.isprintable()


@pytest.mark.parametrize("name", ["Müller 2", "home-1", "家", "Ω/3"])
def test_letters_of_any_language_are_names(name: str, tmp_path: Path) -> None:
    assert findings_of(name, tmp_path) == []
