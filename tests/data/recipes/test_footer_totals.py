"""A total below a table that the rows contradict is told with both numbers; what may be another total is not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from data.formats import read as read_file
from data.formats import recognise
from data.intake.raw import Hints

ROWS = [(8 * h + q // 15) % 9 + 1 for h in range(8) for q in (0, 15, 30, 45)]
"""Tenths of a kWh, of quarter hours."""
SUM = Decimal(sum(ROWS)) / 10
HINTS = Hints(stamp="start", channels={"Import (kWh)": "import"}, kind="energy")


def told(
    folder: Path, footer: str, separator: str = ",", rows: list[int] = ROWS
) -> list[tuple[int | None, str]]:
    path = folder / "any.csv"
    lines = [f"Time{separator}Import (kWh)"]
    for n, tenths in enumerate(rows):
        value = f"0.{tenths}" if separator == "," else f"0,{tenths}"
        lines.append(f"2026-06-01T{n // 4:02}:{n % 4 * 15:02}:00Z{separator}{value}")
    path.write_text("\n".join([*lines, footer, ""]))
    reading = read_file(path, recognise(path), HINTS)
    assert reading.data is not None, reading.findings
    assert int(reading.data.import_wh.sum()) == 100 * sum(rows)
    return [(f.line, f.message) for f in reading.findings if f.code == "footer_total"]


@pytest.mark.parametrize("label", ["Total", "Total:", "Totaal", "Summe", "Total kWh", "Total (kWh)"])
def test_a_total_that_contradicts_the_rows_is_told_with_both_numbers(label: str, tmp_path: Path) -> None:
    ((line, message),) = told(tmp_path, f"{label},{SUM + 5}")
    assert line == 34
    assert f"is {SUM + 5} kWh" in message
    assert f"add up to {SUM} kWh" in message


def test_a_total_with_a_decimal_comma_or_a_unit_is_compared(tmp_path: Path) -> None:
    assert told(tmp_path, f"Total;{SUM + 5}".replace(".", ","), ";")
    assert not told(tmp_path, f"Total;{SUM}".replace(".", ","), ";")
    assert told(tmp_path, f"Total,{SUM + 5} kWh")


@pytest.mark.parametrize(
    "footer",
    [
        f"Total,{SUM}",
        f"Total,{int(SUM)}",
        f"Total,{SUM + 1}",  # the rows are rounded to 0.1 each
        f"Total,{(SUM + 5) / 1000} MWh",
        f"Total MWh,{SUM + 5}",
        f"Total EUR,{SUM + 5}",
        f"Total cost,{SUM + 5}",
        f"Total 2025,{SUM + 5}",
        f"Total of the year before,{SUM + 5}",
        f"Total,{SUM + 5}\nTotal,7",
        f"Mean,{SUM + 5}",
        "Total,",
        "Total,n/a",
        f"Printed on,{SUM + 5}",
    ],
)
def test_what_may_be_another_total_is_not_compared(footer: str, tmp_path: Path) -> None:
    assert told(tmp_path, footer) == []
