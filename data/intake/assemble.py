"""From placed rows to meter data: empty cells, counters, rounding with carried remainders, the two registers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from data import clock
from data.findings import FindingLog
from data.intake.place import Cells, Placed
from data.intake.raw import (
    NOT_DEVICES,
    OTHER_LOAD,
    UNITS,
    Channel,
    FloatArray,
    GridReadings,
    Numbers,
    is_device,
)
from data.intake.rows import Rows
from data.readings import (
    ESTIMATED,
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
LARGEST_WHOLE_WH = 10**7
DAY_MINUTES = 1440
NOT_LOAD = ("import", "export", "pv", "battery")


def on_grid(placed: Placed, log: FindingLog) -> GridReadings:
    """Turn rows that passed every check into columns over intervals and homes.

    Of rows by home the columns lie in memory home by home, so that checks read the intervals of a home in a row.
    """
    by_home = all(cells.fill_by_home(placed.shape) for cells in placed.cells)
    quality = np.zeros(placed.shape, dtype=np.uint8, order="F" if by_home else "C")
    energy: dict[Channel, IntArray] = {}
    in_wh: set[Channel] = set()
    zero = _zeros(placed)
    for cells in placed.cells:
        flags = _quality(cells, placed, log)
        if cells.rows.omitted:
            flags[zero & ~_rows_there(cells, placed)] = MEASURED
        if cells.rows.idle:
            flags[_other_parts(cells, placed) & ~_rows_there(cells, placed)] = MEASURED
        for channel, column in cells.rows.values.items():
            whole = _whole_wh(cells, channel, column, placed.shape)
            in_wh |= {channel} if whole is not None else set()
            energy[channel] = _energy(cells, channel, column, placed.shape) if whole is None else whole
        np.maximum(quality, flags, out=quality)
    if placed.unknown is not None:
        quality[placed.unknown] = MISSING
    return GridReadings(placed.households, placed.start_s, placed.minutes, energy, quality, frozenset(in_wh))


def _rows_there(cells: Cells, placed: Placed) -> BoolArray:
    there = np.zeros(placed.shape, dtype=np.bool_)
    there.ravel()[cells.cell] = True
    return there


def _zeros(placed: Placed) -> BoolArray:
    """Where a row that is not there is zero, if the source leaves out such: between the first and last of its home.

    Where tables hold parts of one channel, such as tariffs of which one counts at a time, one of them has a row.
    """
    result = np.zeros(placed.shape, dtype=np.bool_)
    omitting = [cells for cells in placed.cells if cells.rows.omitted]
    if not omitting:
        return result
    there = np.logical_or.reduce([_rows_there(cells, placed) for cells in placed.cells])
    begun = np.logical_or.accumulate(there, axis=0)
    not_over = np.logical_or.accumulate(there[::-1], axis=0)[::-1]
    result = begun & not_over
    names = [{channel.name for channel in cells.rows.values} for cells in omitting]
    for name in set().union(*names):
        tables = [cells for cells, has in zip(omitting, names, strict=True) if name in has]
        if len(tables) > 1:
            result &= np.logical_or.reduce([_rows_there(cells, placed) for cells in tables])
    return result


def _other_parts(cells: Cells, placed: Placed) -> BoolArray:
    """Where another table has a row of the same channel: the tariff that counts while this one is idle."""
    names = {channel.name for channel in cells.rows.values}
    result = np.zeros(placed.shape, dtype=np.bool_)
    for other in placed.cells:
        if other is not cells and names & {channel.name for channel in other.rows.values}:
            result |= _rows_there(other, placed)
    return result


def absent(cells: Cells, placed: Placed) -> BoolArray:
    """Cells without a row that should have one: not where a source leaves out zeros, nor where none can be known."""
    if cells.fill(placed.shape):
        return np.zeros(placed.shape, dtype=np.bool_)
    there = _rows_there(cells, placed)
    if cells.rows.omitted:
        there |= _zeros(placed)
    if cells.rows.idle:
        there |= _other_parts(cells, placed)
    if placed.unknown is not None:
        there |= placed.unknown
    return ~(there | _not_begun(cells, placed))


def _is_feed_in(channel: Channel) -> bool:
    """Whether it is the whole register of export, which may begin long after that of import, with a plant."""
    return channel.name == "export" and not channel.part


def _first_import(placed: Placed) -> IntArray:
    """First interval in which each home has a reading of import; past the last where it has none."""
    first = np.full(len(placed.households), placed.intervals, dtype=np.int64)
    for cells in placed.cells:
        for channel, column in cells.rows.values.items():
            if channel.name == "import":
                t, home = np.divmod(cells.cell[~column.empty[cells.row]], len(first))
                np.minimum.at(first, home, t)
    return first


def _is_late(first: IntArray, placed: Placed) -> BoolArray:
    """Which homes have their first export a day or more after their first import; sooner it is a gap."""
    return np.asarray(
        (first < placed.intervals) & ((first - _first_import(placed)) * placed.minutes >= DAY_MINUTES)
    )


def _homes_apart(placed: Placed) -> BoolArray:
    """Homes that are known without their devices, by placed rows of other channels."""
    homes = np.zeros(len(placed.households), dtype=np.bool_)
    for cells in placed.cells:
        names = {channel.name for channel in cells.rows.values}
        if OTHER_LOAD in names:  # the load is the sum of its parts
            return np.zeros_like(homes)
        if names & NOT_DEVICES:
            homes |= cells.homes(len(homes))
    return homes


def _not_begun(cells: Cells, placed: Placed) -> BoolArray:
    """Cells before the first reading of devices or of export: a home had no such meter then, and misses nothing."""
    begun = np.zeros(placed.shape, dtype=np.bool_)
    feed_in = all(map(_is_feed_in, cells.rows.values))
    if not feed_in and not all(map(is_device, cells.rows.values)):
        return begun
    quality = cells.rows.quality
    begun.ravel()[cells.cell] = True if quality is None else quality[cells.row] != MISSING
    begun = np.logical_or.accumulate(begun, axis=0)
    late = ~begun & begun[-1]
    if not feed_in:
        return np.asarray(late & _homes_apart(placed), dtype=np.bool_)
    if late.any():
        late &= _is_late(late.sum(axis=0), placed)
        late &= np.arange(placed.intervals)[:, np.newaxis] >= _first_import(placed)
    return np.asarray(late, dtype=np.bool_)


def _not_filled_yet(cells: Cells, channel: Channel, column: Numbers, placed: Placed) -> BoolArray:
    """Rows whose cell is empty because its meter begins later; the same as `_not_begun` in a column."""
    late = np.zeros(cells.rows.count, dtype=np.bool_)
    feed_in = _is_feed_in(channel)
    if not (feed_in or is_device(channel)) or not column.empty.any():
        return late
    t, home = np.divmod(cells.cell, len(placed.households))
    first = np.zeros(len(placed.households), dtype=np.int64)  # of a home without any reading none is late
    read = ~column.empty[cells.row]
    first[home[read]] = placed.intervals
    np.minimum.at(first, home[read], t[read])
    if feed_in:
        late[cells.row] = (
            (t < first[home]) & (t >= _first_import(placed)[home]) & _is_late(first, placed)[home]
        )
    else:
        late[cells.row] = (t < first[home]) & _homes_apart(placed)[home]
    return late


def _report_late(
    cells: Cells, what: str, feed_in: bool, first: IntArray, placed: Placed, log: FindingLog
) -> None:
    """Report homes of which a meter begins later than the home; `first` is its first interval, 0 where it does not."""
    how = "as an estimate" if feed_in else "and the home is read all the same"

    def describe(h: int) -> tuple[int, str, str]:
        since = clock.shown(placed.start_s + int(first[h]) * placed.minutes * 60, placed.zone)
        message = f"{what} has its first reading at {since}; before it counts as 0, {how}"
        return cells.line_of(int(first[h]) * len(first) + h), placed.households[h], message

    log.add_rows("warning", "begins_late", np.flatnonzero(first), describe)


def _quality(cells: Cells, placed: Placed, log: FindingLog) -> QualityArray:
    """Flag each cell; a home that has no row with these channels has no such meter, and misses nothing."""
    rows = cells.rows
    if (
        cells.fill(placed.shape)
        and rows.quality is None
        and not any(c.empty.any() for c in rows.values.values())
    ):
        return np.full(placed.shape, MEASURED, dtype=np.uint8, order="F" if cells.by_home else "C")
    quality = np.full(placed.shape, MISSING, dtype=np.uint8)
    quality[:, ~cells.homes(len(placed.households))] = MEASURED
    quality.ravel()[cells.cell] = MEASURED if rows.quality is None else rows.quality[cells.row]
    counts = np.zeros(rows.count, dtype=np.bool_)
    counts[cells.row] = True
    if rows.quality is not None:
        counts &= rows.quality != MISSING
    late = _not_begun(cells, placed)
    feed_in = any(map(_is_feed_in, rows.values))
    quality[late] = ESTIMATED if feed_in else MEASURED
    until = np.where(late.any(axis=0), placed.intervals - np.argmax(late[::-1], axis=0), 0)
    _report_late(cells, ", ".join(map(str, rows.values)), feed_in, until, placed, log)
    for channel, column in rows.values.items():
        blank = _empty_cells(cells, channel, column) & counts
        waits = _not_filled_yet(cells, channel, column, placed) & blank
        if waits.any():
            blank &= ~waits
            ends = np.zeros(len(placed.households), dtype=np.int64)
            t, home = np.divmod(cells.cell[waits[cells.row]], len(ends))
            np.maximum.at(ends, home, t + 1)
            _report_late(cells, str(channel), _is_feed_in(channel), ends, placed, log)
            if _is_feed_in(channel):
                begins = cells.cell[waits[cells.row]]
                quality.ravel()[begins] = np.maximum(quality.ravel()[begins], ESTIMATED)
        _report_empty(rows, channel, blank, log)
        quality.ravel()[cells.cell[blank[cells.row]]] = MISSING
    return quality


def _report_empty(rows: Rows, channel: Channel, blank: BoolArray, log: FindingLog) -> None:
    message = f"{channel} is empty; the interval is marked as missing"
    log.add_rows("warning", "empty", np.flatnonzero(blank), rows.describe(lambda _row: message))


def _empty_cells(cells: Cells, channel: Channel, column: Numbers) -> BoolArray:
    """Return the cells of a column that lack a reading; a home with a whole sub-meter or part empty has none."""
    if not column.empty.any():
        return column.empty
    rows = cells.rows
    owner = np.zeros(len(rows.homes), dtype=np.bool_)
    owner[rows.home[~column.empty]] = True
    if channel.name in ("import", "export", "net"):
        # A tariff that a home does not have is empty as a whole; a home with all of them empty lacks its readings.
        parts = [c for other, c in rows.values.items() if other.name == channel.name]
        any_part = np.zeros(len(rows.homes), dtype=np.bool_)
        for part in parts:
            any_part[rows.home[~part.empty]] = True
        owner |= ~any_part
    return column.empty & owner[rows.home]


def _whole_wh(cells: Cells, channel: Channel, column: Numbers, shape: tuple[int, int]) -> IntArray | None:
    """Return Wh by cell where rows by home hold nothing but whole Wh, which is what `_energy` and rounding give."""
    unit, is_power = UNITS[channel.unit]
    if is_power or not cells.fill_by_home(shape):
        return None
    values = column.values if cells.alone else column.values[cells.row]
    wh = np.rint(values * (unit // MICRO))
    # Below 10^4 kWh the micro-Wh of a value that is the nearest to whole Wh are those of these Wh.
    if not (wh / (unit // MICRO) == values).all() or np.abs(wh).max() > LARGEST_WHOLE_WH:
        return None
    return _home_by_home(wh, shape)


def _home_by_home(amounts: FloatArray, shape: tuple[int, int]) -> IntArray:
    """Whole numbers of rows by home and time as a grid that lies in memory like them."""
    grid = np.empty(shape, dtype=np.int64, order="F")
    grid.T[...] = amounts.reshape(shape[::-1])
    return grid


def _energy(cells: Cells, channel: Channel, column: Numbers, shape: tuple[int, int]) -> IntArray:
    """Return micro-Wh, or micro-W, by cell."""
    values = column.values if cells.alone else column.values[cells.row]
    # Two roundings of 2^-53 each on a value below 10^4 kWh: far less than half a micro-Wh, so rint is exact.
    amount = values * float(UNITS[channel.unit][0])
    if np.isnan(amount.min(initial=0)):
        np.nan_to_num(amount, copy=False, nan=0.0)
    if cells.fill_by_home(shape):
        return _home_by_home(np.rint(amount, out=amount), shape)
    energy = (np.empty if cells.fill(shape) else np.zeros)(shape, dtype=np.int64)
    energy.ravel()[cells.cell] = np.rint(amount, out=amount).astype(np.int64)
    return energy


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
        else:  # such as energy and mean power of one channel: both in micro-Wh
            amounts[name] = there * MICRO // of_there + amount * MICRO // per_wh, MICRO

    for channel, amount in grid.energy.items():
        per_wh = MICRO * 60 // grid.minutes if UNITS[channel.unit][1] else MICRO
        add(channel.name, amount, 1 if channel in grid.in_wh else per_wh)
    if "net" in amounts:
        net, per_wh = amounts.pop("net")
        add("import", np.maximum(net, 0), per_wh)
        add("export", np.maximum(-net, 0), per_wh)
    return amounts
