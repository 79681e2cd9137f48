"""From placed rows of the plain format to meter data, and the checks of these data by line."""

from __future__ import annotations

import numpy as np

from data import clock
from data.findings import FindingLog, runs
from data.formats._plain_rows import Cells, Rows
from data.formats.registry import ReadOptions
from data.plausibility import check_homes, check_power
from data.readings import MEASURED, MISSING, MeterData, Source, carry_round
from market.units import BoolArray, IntArray

MICRO_WH_PER_KWH = 1_000_000_000
MICRO_WH_PER_WH = 1_000_000

REGISTERS = ("import_kwh", "export_kwh")

CUMULATIVE_STEPS = 24
"""Values that never fall and rise this often are a meter's counter, not energy per interval."""


def meter_data(rows: Rows, cells: Cells, sha256: str, answers: dict[str, str], log: FindingLog) -> MeterData:
    """Build the data from rows that passed every check."""
    shape = (cells.intervals, len(cells.households))
    quality = np.full(shape, MISSING, dtype=np.uint8)
    quality.ravel()[cells.cell] = MEASURED if rows.quality is None else rows.quality[cells.row]
    flagged = np.zeros(rows.count, dtype=np.bool_) if rows.quality is None else rows.quality == MISSING
    for name in rows.values:
        blank = _empty_cells(rows, name) & ~flagged
        _report_empty(rows, name, blank, log)
        quality.ravel()[cells.cell[blank[cells.row]]] = MISSING
    energy = {name: _energy(rows, cells, name, shape) for name in rows.values}
    return MeterData(
        households=cells.households,
        start_s=cells.start_s,
        minutes=cells.minutes,
        import_wh=energy.pop("import_kwh"),
        export_wh=energy.pop("export_kwh"),
        quality=quality,
        sub_meters={name.removesuffix("_kwh"): column for name, column in energy.items()},
        batteries=(None,) * len(cells.households),
        source=Source("plain", sha256, answers),
    )


def _empty_cells(rows: Rows, name: str) -> BoolArray:
    """Return the cells of a column that lack a reading; a home with a whole sub-meter empty has none."""
    blank = rows.empty[name]
    if name in REGISTERS or not blank.any():
        return blank
    owner = np.zeros(len(rows.homes), dtype=np.bool_)
    owner[rows.home[~blank]] = True
    return blank & owner[rows.home]


def _report_empty(rows: Rows, name: str, blank: BoolArray, log: FindingLog) -> None:
    log.add_rows(
        "warning",
        "empty",
        np.flatnonzero(blank),
        rows.describe(lambda _row: f"{name} is empty; the interval is marked as missing"),
    )


def _energy(rows: Rows, cells: Cells, name: str, shape: tuple[int, int]) -> IntArray:
    kwh = np.nan_to_num(rows.values[name][cells.row], nan=0.0)
    energy = np.zeros(shape, dtype=np.int64)
    # Two roundings of 2^-53 each on a value below 10^4 kWh: far less than half a micro-Wh, so rint is exact.
    energy.ravel()[cells.cell] = np.rint(kwh * MICRO_WH_PER_KWH).astype(np.int64)
    return carry_round(energy, MICRO_WH_PER_WH)


def check(data: MeterData, cells: Cells, options: ReadOptions, log: FindingLog) -> None:
    """Report gaps, impossible power, counters taken for intervals, jumps and broken homes."""
    present = np.zeros(data.import_wh.shape, dtype=np.bool_)
    present.ravel()[cells.cell] = True
    if not present.all():
        _check_gaps(data, cells, present, log)
    for name, energy in (("import_kwh", data.import_wh), ("export_kwh", data.export_wh)):
        check_power(log, name, energy, cells.line_of, data, options.fuse_w)
        step = np.diff(energy, axis=0)
        counter = (step >= 0).all(axis=0) & ((step > 0).sum(axis=0) >= CUMULATIVE_STEPS)
        for h in np.flatnonzero(counter).tolist():
            log.add(
                "error",
                "cumulative",
                f"{name} never falls: these are meter counters; give the energy of each interval instead",
                household=data.households[h],
            )
    check_homes(log, data)


def _check_gaps(data: MeterData, cells: Cells, present: BoolArray, log: FindingLog) -> None:
    homes = len(data.households)
    gaps: list[tuple[int, int, int]] = []
    for h in np.flatnonzero(~present.all(axis=0)).tolist():
        start, end = runs(~present[:, h])
        gaps += [(h, *gap) for gap in zip(start.tolist(), end.tolist(), strict=True)]

    def describe(number: int) -> tuple[int, str, str]:
        h, start, end = gaps[number]
        # The line after the gap; the last line before it where the home ends early.
        line = cells.line_of((end if end < data.intervals else start - 1) * homes + h)
        since = clock.iso_utc(data.start_s + start * data.minutes * 60)
        return (
            line,
            data.households[h],
            f"{end - start} intervals from {since} have no row; they count as missing",
        )

    log.add_rows("warning", "gap", np.arange(len(gaps)), describe)
