"""From placed rows to meter data: empty cells, counters, rounding with carried remainders, the two registers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from data.findings import FindingLog
from data.intake.counters import falls_to_zero
from data.intake.place import Cells, Placed
from data.intake.raw import OTHER_LOAD, UNITS, Channel, GridReadings, Numbers
from data.intake.rows import Rows
from data.readings import (
    MEASURED,
    MISSING,
    BatterySpec,
    MeterData,
    QualityArray,
    Source,
    carry_round,
    home_id,
)
from market.units import BoolArray, IntArray

MICRO = 10**6
NOT_LOAD = ("import", "export", "pv", "battery")


def on_grid(placed: Placed, log: FindingLog) -> GridReadings:
    """Turn rows that passed every check into columns over intervals and homes."""
    quality = np.zeros(placed.shape, dtype=np.uint8)
    energy: dict[Channel, IntArray] = {}
    for cells in placed.cells:
        flags = _quality(cells, placed, log)
        for channel, column in cells.rows.values.items():
            energy[channel] = _energy(cells, channel, column, placed.shape)
        counters = [channel for channel in cells.rows.values if channel.kind == "counter"]
        if counters:
            fell = [_difference(cells, channel, energy[channel], flags, placed, log) for channel in counters]
            flags[:-1] = np.maximum(flags[:-1], flags[1:])
            flags[:-1][np.logical_or.reduce(fell)] = MISSING
            flags[-1, cells.homes(len(placed.households))] = MISSING
        np.maximum(quality, flags, out=quality)
    if all(channel.kind == "counter" for channel in energy):  # the last reading only ends an interval
        energy = {channel: column[:-1].copy() for channel, column in energy.items()}
        quality = quality[:-1].copy()
        if not len(quality):
            log.add(
                "error", "interval_length", "one reading of a counter gives no interval; give a longer file"
            )
    return GridReadings(placed.households, placed.start_s, placed.minutes, energy, quality)


def _quality(cells: Cells, placed: Placed, log: FindingLog) -> QualityArray:
    """Flag each cell; a home that has no row with these channels has no such meter, and misses nothing."""
    rows = cells.rows
    quality = np.full(placed.shape, MISSING, dtype=np.uint8)
    quality[:, ~cells.homes(len(placed.households))] = MEASURED
    quality.ravel()[cells.cell] = MEASURED if rows.quality is None else rows.quality[cells.row]
    flagged = np.zeros(rows.count, dtype=np.bool_) if rows.quality is None else rows.quality == MISSING
    for channel, column in rows.values.items():
        blank = _empty_cells(cells, channel, column) & ~flagged
        _report_empty(rows, channel, blank, log)
        quality.ravel()[cells.cell[blank[cells.row]]] = MISSING
    return quality


def _report_empty(rows: Rows, channel: Channel, blank: BoolArray, log: FindingLog) -> None:
    message = f"{channel} is empty; the interval is marked as missing"
    log.add_rows("warning", "empty", np.flatnonzero(blank), rows.describe(lambda _row: message))


def _empty_cells(cells: Cells, channel: Channel, column: Numbers) -> BoolArray:
    """Return the cells of a column that lack a reading; a home with a whole sub-meter empty has none."""
    if channel.name in ("import", "export") or not column.empty.any():
        return column.empty
    owner = np.zeros(len(cells.rows.homes), dtype=np.bool_)
    owner[cells.rows.home[~column.empty]] = True
    return column.empty & owner[cells.rows.home]


def _energy(cells: Cells, channel: Channel, column: Numbers, shape: tuple[int, int]) -> IntArray:
    """Return micro-Wh, or micro-W, by cell."""
    amount = np.nan_to_num(column.values[cells.row], nan=0.0)
    energy = np.zeros(shape, dtype=np.int64)
    # Two roundings of 2^-53 each on a value below 10^4 kWh: far less than half a micro-Wh, so rint is exact.
    energy.ravel()[cells.cell] = np.rint(amount * UNITS[channel.unit][0]).astype(np.int64)
    return energy


def _difference(
    cells: Cells, channel: Channel, energy: IntArray, flags: QualityArray, placed: Placed, log: FindingLog
) -> BoolArray:
    """Turn the readings of a counter into the energy of each interval, in place; the last row becomes 0.

    An interval counts where both of its ends were read. A counter that begins at 0 again and again shows what went
    through it since. Another one that falls was changed or reset: how much went through it is not known.

    Returns:
        The intervals in which it was changed, shape (T - 1, H).
    """
    homes = len(placed.households)
    read = (flags[1:] != MISSING) & (flags[:-1] != MISSING)
    step = np.where(read, np.diff(energy, axis=0), 0)
    again = falls_to_zero(energy) & read
    again &= again.sum(axis=0) > 1
    if again.any():
        times, owners = int(again.sum()), int(again.any(axis=0).sum())
        message = f"{channel} begins at 0 again {times} times in {owners} homes; it counts from 0 there"
        log.add("warning", "counter_reset", message)
    step = np.where(again, energy[1:], step)
    fell = step < 0

    def describe(cell: int) -> tuple[int, str, str]:
        t, h = divmod(cell, homes)
        now, before = (int(energy[row, h]) / UNITS[channel.unit][0] for row in (t + 1, t))
        fact = f"{channel} falls from {before:g} to {now:g} {channel.unit}: the meter was changed or reset"
        return cells.line_of(cell + homes), placed.households[h], f"{fact}; the interval counts as missing"

    log.add_rows("warning", "counter_fell", np.flatnonzero(fell), describe)
    energy[:-1] = np.where(fell, 0, step)
    energy[-1] = 0
    return fell


def registers_of(channels: Iterable[str]) -> frozenset[str]:
    """Registers at the grid that a file has: as they are, or as its net or gross energy gives them."""
    names = set(channels)
    both = "net" in names or (bool(names & {"load", OTHER_LOAD}) and "import" not in names)
    return frozenset(("import", "export") if both else names & {"import", "export"})


def meter_data(grid: GridReadings, source: Source, batteries: Mapping[str, BatterySpec | None]) -> MeterData:
    """Round to whole Wh, and compute what the meter at the grid shows where a source has gross meters only.

    What is left below one Wh is carried to the next interval of the same home and channel, so energies of any stretch
    of time are right within 1 Wh.
    """
    wh: dict[str, IntArray] = {}
    for name, (amount, per_wh) in _summed(grid).items():
        wh[name] = carry_round(amount, per_wh)
    if OTHER_LOAD in wh:
        load = wh.pop(OTHER_LOAD)
        for name, part in wh.items():
            if name not in NOT_LOAD:
                load += part
        wh = {"load": load, **wh}
    owned = {home_id(name): battery for name, battery in batteries.items()}
    if "import" not in wh and "load" in wh:
        net = wh["load"] - wh["pv"] if "pv" in wh else wh["load"]
        wh |= {"import": np.maximum(net, 0), "export": np.maximum(-net, 0)}
    nothing = np.zeros(grid.quality.shape, dtype=np.int64)
    return MeterData(
        households=grid.households,
        start_s=grid.start_s,
        minutes=grid.minutes,
        import_wh=wh.pop("import", nothing),
        export_wh=wh.pop("export", nothing.copy()),
        quality=grid.quality,
        sub_meters=wh,
        batteries=tuple(owned.get(home_id(name)) for name in grid.households),
        source=source,
    )


def _summed(grid: GridReadings) -> dict[str, tuple[IntArray, int]]:
    """Amounts by the name of a channel, and how many make a Wh: parts are summed, and a net is split by its sign."""
    amounts: dict[str, tuple[IntArray, int]] = {}

    def add(name: str, amount: IntArray, per_wh: int) -> None:
        there, of_there = amounts.get(name, (None, per_wh))
        if there is None:
            amounts[name] = amount, per_wh
        elif of_there == per_wh:
            amounts[name] = there + amount, per_wh
        else:  # energy and mean power of one channel: both in micro-Wh
            amounts[name] = there * MICRO // of_there + amount * MICRO // per_wh, MICRO

    for channel, amount in grid.energy.items():
        add(channel.name, amount, MICRO * 60 // grid.minutes if UNITS[channel.unit][1] else MICRO)
    if "net" in amounts:
        net, per_wh = amounts.pop("net")
        add("import", np.maximum(net, 0), per_wh)
        add("export", np.maximum(-net, 0), per_wh)
    return amounts
